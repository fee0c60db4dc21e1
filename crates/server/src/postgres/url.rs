//! The URL of a database, as PostgreSQL's own programs read it; what is shown of it holds no password.

use std::fmt::{self, Write as _};
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// Which server a connection accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any, in clear text: on this machine, or because the URL says `sslmode=disable`.
    ClearText,
    /// One whose certificate a known authority signed: `verify-ca`.
    Authority,
    /// The same, and the certificate names the host: `verify-full`.
    Host,
}

/// The URL of a PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) trust: Trust,
    /// `sslrootcert`: the authorities, in PEM.
    pub(super) authorities: Option<PathBuf>,
    /// `passfile`.
    pub(super) passfile: Option<PathBuf>,
}

/// What is wrong with a URL; it holds no part of a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the URL of the database: {0}")]
pub struct UrlError(String);

impl PostgresUrl {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?KEY=VALUE&…`; several hosts are separated by
    /// commas.
    ///
    /// # Errors
    /// If it is not like that.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        // The password may hold a question mark.
        let credentials = url.find('@').unwrap_or(0);
        let (head, query) = match url[credentials..].split_once('?') {
            Some((rest, query)) => (&url[..credentials + rest.len()], query),
            None => (url, ""),
        };
        let (mut left, mut trust, mut authorities, mut passfile) = (Vec::new(), None, None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decoded = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match (key, &*decoded) {
                ("sslrootcert", _) => authorities = Some(PathBuf::from(decoded)),
                ("passfile", _) => passfile = Some(PathBuf::from(decoded)),
                ("sslmode", "disable") => trust = Some(Trust::ClearText),
                ("sslmode", "verify-ca") => trust = Some(Trust::Authority),
                ("sslmode", "verify-full") => trust = Some(Trust::Host),
                ("sslmode", mode) => {
                    let why = match mode {
                        "allow" | "prefer" | "require" => "it would take any certificate",
                        _ => "there is no such mode",
                    };
                    let modes = "use verify-full, which is the default, verify-ca, or disable for clear text";
                    return Err(UrlError(format!("sslmode={}: {why}: {modes}", mode.escape_default())));
                }
                _ => left.push(pair),
            }
        }
        let url = if left.is_empty() { head.to_owned() } else { format!("{head}?{}", left.join("&")) };
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why =
                std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            UrlError(why)
        })?;
        if config.get_hosts().is_empty() {
            return Err(UrlError("it names no host: postgres://USER@HOST/DATABASE".into()));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        let named = |host: &Host| match host {
            Host::Tcp(name) => !name.is_empty() && name.chars().all(is_name),
            Host::Unix(_) => true,
        };
        if !config.get_hosts().iter().all(named) {
            // What stands there may be the end of a password.
            let hint = "write `@`, `/`, `:` and `?` in a password as %40, %2F, %3A and %3F";
            return Err(UrlError(format!("the host is not a name: {hint}")));
        }
        let trust = trust.unwrap_or(if is_local(&config) { Trust::ClearText } else { Trust::Host });
        config.ssl_mode(if trust == Trust::ClearText { SslMode::Disable } else { SslMode::Require });
        if config.get_hosts().len() > 1 && !query.contains("target_session_attrs=") {
            // A standby takes connections, too, and writes nothing.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        if config.get_application_name().is_none() {
            config.application_name("otapress");
        }
        Ok(PostgresUrl { config, trust, authorities, passfile })
    }

    /// Whether the URL holds a password, which does not belong where others can read it.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

/// Whether all hosts are sockets or loopback addresses: what is sent there does not leave the machine.
fn is_local(config: &Config) -> bool {
    let is_loopback = |name: &str| {
        name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback(name),
        Host::Unix(_) => true,
    });
    hosts && config.get_hostaddrs().iter().all(|address| address.is_loopback())
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let ports = self.config.get_ports();
        let mut sockets = String::new();
        for (i, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(i).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => {
                    let comma = if i > 0 { "," } else { "" };
                    let (open, close) = if name.contains(':') { ("[", "]") } else { ("", "") };
                    write!(f, "{comma}{open}{name}{close}")?;
                    if port != 5432 {
                        write!(f, ":{port}")?;
                    }
                }
                Host::Unix(path) => {
                    let sign = if sockets.is_empty() { '?' } else { '&' };
                    write!(sockets, "{sign}host={}", path.display())?;
                    if port != 5432 {
                        write!(sockets, "&port={port}")?;
                    }
                }
            }
        }
        write!(f, "/{}{sockets}", self.config.get_dbname().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(url: &str) -> String {
        PostgresUrl::parse(url).map_or_else(|error| error.to_string(), |url| url.to_string())
    }

    #[test]
    fn what_is_shown_has_no_password() {
        for (url, expected) in [
            ("postgres://db/ota", "postgres://db/ota"),
            ("postgresql://ota:geheim@db:5433/ota", "postgres://ota@db:5433/ota"),
            ("postgres://ota:ge%40he?im/@db/ota?sslmode=verify-ca", "postgres://ota@db/ota"),
            ("postgres://ota@a,b:6000/ota", "postgres://ota@a,b:6000/ota"),
            ("postgres://ota@[::1]:6000/ota", "postgres://ota@[::1]:6000/ota"),
            (
                "postgres:///ota?host=/run/x&port=6000&password=geheim",
                "postgres:///ota?host=/run/x&port=6000",
            ),
        ] {
            assert_eq!(shown(url), expected, "{url}");
            let debug = format!("{:?}", PostgresUrl::parse(url).unwrap());
            assert!(!debug.contains("geheim") && !debug.contains("he?im"), "{debug}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, expected) in [
            ("postgres:///ota", "it names no host: postgres://USER@HOST/DATABASE"),
            (
                "postgres://ota:ge@heim@db/ota",
                "the host is not a name: write `@`, `/`, `:` and `?` in a password as %40, %2F, %3A and %3F",
            ),
            ("postgres://ota:geheim@db:x/ota", "invalid value for option `port`"),
            (
                "postgres://db/ota?sslmode=no",
                "sslmode=no: there is no such mode: use verify-full, which is the default, verify-ca, or \
                 disable for clear text",
            ),
            (
                "postgres://db/ota?sslmode=require",
                "sslmode=require: it would take any certificate: use verify-full, which is the default, \
                 verify-ca, or disable for clear text",
            ),
            ("postgres://db/ota?colour=red", "unknown option `colour`"),
        ] {
            assert_eq!(shown(url), format!("the URL of the database: {expected}"), "{url}");
        }
    }

    #[test]
    fn over_the_network_certificates_are_verified() {
        let read = |url: &str| {
            let url = PostgresUrl::parse(&format!("postgres://{url}")).unwrap();
            (url.config.get_ssl_mode(), url.trust)
        };
        let (clear, authority, host) = (
            (SslMode::Disable, Trust::ClearText),
            (SslMode::Require, Trust::Authority),
            (SslMode::Require, Trust::Host),
        );
        for (url, expected) in [
            ("db/ota", host),
            ("10.0.0.1/ota", host),
            ("127.0.0.1,db/ota", host),
            ("localhost/ota?hostaddr=10.0.0.1", host),
            ("127.0.0.1/ota", clear),
            ("localhost,[::1]/ota", clear),
            ("/ota?host=/run/postgresql", clear),
            ("db/ota?sslmode=disable", clear),
            ("db/ota?sslmode=verify-ca", authority),
            ("127.0.0.1/ota?sslmode=verify-full", host),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
        let url = PostgresUrl::parse("postgres://db/ota?sslrootcert=/a%20b.pem&connect_timeout=3").unwrap();
        assert_eq!(url.authorities, Some(PathBuf::from("/a b.pem")));
    }

    #[test]
    fn of_several_hosts_the_one_that_is_written_to_is_used() {
        let attrs = |url: &str| PostgresUrl::parse(url).unwrap().config.get_target_session_attrs();
        assert_eq!(attrs("postgres://a,b/ota"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attrs("postgres://a,b/ota?target_session_attrs=any"), TargetSessionAttrs::Any);
        assert_eq!(attrs("postgres://a/ota"), TargetSessionAttrs::Any);
    }

    #[test]
    fn a_password_in_it_is_noticed() {
        let has = |url: &str| PostgresUrl::parse(url).unwrap().has_password();
        assert!(has("postgres://ota:geheim@db/ota") && has("postgres://ota@db/ota?password=geheim"));
        assert!(!has("postgres://ota@db/ota?passfile=/x"));
    }
}
