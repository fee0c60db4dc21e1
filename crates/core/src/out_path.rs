//! Where a file lives below `out/`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A path below `out/`: one or more components joined by `/`, none of them empty, `.` or `..`, made of
/// the characters that stand for themselves in a URL path.
///
/// Nothing else can name a file in `out/`, so no value of a fleet or of a manifest leads out of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutPath(Box<str>);

impl OutPath {
    /// A path that this crate has made of parts that are known to be good.
    pub(crate) fn known(path: String) -> Self {
        OutPath(path.into())
    }

    /// The path with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }
}

impl fmt::Display for OutPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is not an [`OutPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutPathError {
    /// The path, or one of its components, is empty, or the path starts or ends with `/`.
    #[error("the path has an empty component")]
    Empty,
    /// A component is `.` or `..`.
    #[error("the path has a component `.` or `..`")]
    Dots,
    /// A character that would have to be encoded in a URL, or that no server treats alike.
    #[error("the path contains {0:?}, which a file's URL cannot contain")]
    Character(char),
    /// A component is longer than 255 bytes, which no file system takes.
    #[error("the path has a component of more than 255 bytes")]
    TooLong,
}

impl FromStr for OutPath {
    type Err = OutPathError;

    fn from_str(text: &str) -> Result<Self, OutPathError> {
        for component in text.as_bytes().split(|&b| b == b'/') {
            match component {
                b"" => return Err(OutPathError::Empty),
                b"." | b".." => return Err(OutPathError::Dots),
                _ if component.len() > 255 => return Err(OutPathError::TooLong),
                _ => {}
            }
        }
        // The first byte that is not allowed begins a character: all before it are ASCII.
        match text.bytes().position(|b| !ALLOWED[usize::from(b)]) {
            Some(at) => Err(OutPathError::Character(text[at..].chars().next().unwrap_or_default())),
            None => Ok(OutPath(text.into())),
        }
    }
}

/// RFC 3986's unreserved characters, and those of pchar that no server or shell rewrites. A table, because
/// every path of a large fleet is looked at.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut b = 0;
    while b < 128 {
        allowed[b] = (b as u8).is_ascii_alphanumeric()
            || matches!(b as u8, b'/' | b'-' | b'.' | b'_' | b'~' | b'@' | b'+' | b'=');
        b += 1;
    }
    allowed
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths() {
        assert_eq!("files/a@b/OwnTracks.jad".parse::<OutPath>().unwrap().as_str(), "files/a@b/OwnTracks.jad");
        let cases = [
            ("", OutPathError::Empty),
            ("/etc/passwd", OutPathError::Empty),
            ("a//b", OutPathError::Empty),
            ("a/", OutPathError::Empty),
            ("../a", OutPathError::Dots),
            ("a/./b", OutPathError::Dots),
            ("a\\b", OutPathError::Character('\\')),
            ("a%2fb", OutPathError::Character('%')),
            ("a\0b", OutPathError::Character('\0')),
            ("a b", OutPathError::Character(' ')),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<OutPath>(), Err(error), "{text:?}");
        }
        assert_eq!("x".repeat(256).parse::<OutPath>(), Err(OutPathError::TooLong));
    }
}
