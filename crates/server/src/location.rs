//! Where records are kept, as an operator names it: a directory, or a PostgreSQL database by its URL.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::postgres::{PostgresUrl, UrlError};

/// Where records are kept. Its text never shows a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory with an SQLite database.
    Directory(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresUrl>),
}

/// Why a text names no location. It never shows a password either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// There is none.
    #[error("no location is named: give a directory or postgres://USER@HOST/DATABASE")]
    Empty,
    /// It is the URL of something else.
    #[error("records cannot be kept at `{0}://…`: give a directory or postgres://USER@HOST/DATABASE")]
    Scheme(String),
    /// The URL is wrong.
    #[error(transparent)]
    Url(#[from] UrlError),
}

impl Location {
    /// Reads what was named: what begins with a scheme and `://` is a URL, everything else is a directory.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: OsString) -> Result<Location, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let Some((scheme, url)) = text.to_str().and_then(with_scheme) else {
            return Ok(Location::Directory(text.into()));
        };
        match scheme {
            "postgres" | "postgresql" => Ok(Location::Postgres(Box::new(PostgresUrl::parse(url)?))),
            other => Err(LocationError::Scheme(other.to_owned())),
        }
    }

    /// The directory, if it is one.
    pub fn directory(&self) -> Option<&PathBuf> {
        match self {
            Location::Directory(directory) => Some(directory),
            Location::Postgres(_) => None,
        }
    }
}

/// The scheme of a URL, and the whole of it.
fn with_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    is_scheme(scheme).then_some((scheme, text))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Directory(directory) => directory.display().fmt(f),
            Location::Postgres(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_or_a_url() {
        let shown = |text: &str| match Location::parse(text.into()) {
            Ok(Location::Directory(directory)) => format!("directory {}", directory.display()),
            Ok(location @ Location::Postgres(_)) => format!("database {location}"),
            Err(error) => error.to_string(),
        };
        for (text, expected) in [
            ("state", "directory state"),
            ("/srv/a b/ü", "directory /srv/a b/ü"),
            ("./postgres://x", "directory ./postgres://x"),
            ("postgres:", "directory postgres:"),
            ("postgres://ota:geheim@db/ota", "database postgres://ota@db/ota"),
            ("postgresql://db/ota", "database postgres://db/ota"),
            ("", "no location is named: give a directory or postgres://USER@HOST/DATABASE"),
            (
                "mysql://ota:geheim@db/ota",
                "records cannot be kept at `mysql://…`: give a directory or postgres://USER@HOST/DATABASE",
            ),
            ("postgres:///ota", "the URL of the database: it names no host: postgres://USER@HOST/DATABASE"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
