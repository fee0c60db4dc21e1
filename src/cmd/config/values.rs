//! The variables of the web servers' templates.
//!
//! - `site`, `host`, `host_pattern`, `prefix` (the path of the site, without a slash at its end),
//!   `prefix_pattern`;
//! - `listen` (`[address:]port`), `address` (`*` if there is none), `port`, `dual` (every IPv6 address, too);
//! - `out`, `state`, `cgi`, `cgi_dir`, `cgi_name`, `error_log`; `htpasswd`, if the fleet has otapUser;
//! - `responder`: a pattern of the paths of version checks and OTAP results;
//! - nginx alone: `fcgiwrap`, and `upstream` if there is one;
//! - busybox alone: `root`, `name` (of the program), `auth` (lines).
//!
//! Patterns are regular expressions without quotes, backslashes and dollar signs but at their end, so that
//! they mean the same in all servers.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::PlaceArgs;
use crate::context::Global;
use otapress_publish::fleet::Fleet;
use otapress_server::location::Location;

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listen {
    address: Option<IpAddr>,
    port: u16,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a port nor an address and a port");
        if let Ok(port) = text.parse() {
            return Ok(Listen { address: None, port });
        }
        let both: SocketAddr = text.parse().map_err(|_| wrong())?;
        Ok(Listen { address: Some(both.ip()), port: both.port() })
    }
}

impl Listen {
    /// The address to listen on, if it is one of many.
    fn one(self) -> Option<IpAddr> {
        self.address.filter(|address| !address.is_unspecified())
    }

    /// The address as virtual hosts name it.
    fn address(self) -> String {
        match self.one() {
            None => "*".into(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("[{address}]"),
        }
    }

    /// The URL for a client on this machine.
    pub(crate) fn url(self) -> String {
        let address = self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        format!("http://{}", SocketAddr::new(address, self.port))
    }
}

impl Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.one() {
            None => write!(f, "{}", self.port),
            Some(_) => write!(f, "{}:{}", self.address(), self.port),
        }
    }
}

/// The handler of POSTs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// `otapress-cgi`, which keeps its records in a directory.
    Cgi,
    /// `otapress serve`, whose records are its own business.
    Http,
}

#[derive(Debug, Serialize)]
pub(crate) struct SiteValues {
    site: String,
    host: String,
    host_pattern: String,
    prefix: String,
    prefix_pattern: String,
    listen: String,
    address: String,
    port: u16,
    dual: bool,
    out: String,
    state: Option<String>,
    cgi: String,
    cgi_dir: String,
    cgi_name: String,
    htpasswd: Option<String>,
    responder: String,
}

impl SiteValues {
    /// Combines the fleet with the operator's options.
    pub(crate) fn new(
        global: &Global,
        fleet: &Fleet,
        place: &PlaceArgs,
        backend: Backend,
        htpasswd: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let uri = fleet.site().uri();
        let own_port = uri.origin().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(80);
        let listen = place.listen.unwrap_or(Listen { address: None, port: own_port });
        let cgi = place.program()?;
        let groups = || fleet.groups().iter().map(|group| &group.provisioning);
        let responder: BTreeSet<_> = groups()
            .flat_map(|provisioning| [&provisioning.version_uri, &provisioning.notify_uri])
            .map(|uri| pattern(uri.value.path().split('?').next().unwrap_or_default()))
            .collect();
        let responder: Vec<_> = responder.into_iter().collect();
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let parent = cgi.parent().unwrap_or(Path::new("."));
        let name = cgi.file_name().with_context(|| format!("`{}` is not a file's name", cgi.display()))?;
        Ok(SiteValues {
            site: fleet.site().as_str().into(),
            host: uri.host().into(),
            host_pattern: pattern(uri.host()),
            prefix_pattern: pattern(&prefix),
            prefix,
            listen: listen.to_string(),
            address: listen.address(),
            port: listen.port,
            // nginx takes this for IPv6 alone, where devices are not.
            dual: listen.address.is_some_and(|address| address.is_ipv6() && address.is_unspecified()),
            out: path(&global.out())?,
            state: match backend {
                Backend::Cgi => Some(directory(&global.state())?),
                Backend::Http => None,
            },
            cgi_dir: path(parent)?,
            cgi_name: name.to_string_lossy().into_owned(),
            cgi: path(&cgi)?,
            htpasswd: htpasswd.map(path).transpose()?,
            responder: format!("^(?:{})$", responder.join("|")),
        })
    }
}

/// A path as it can stand in every configuration: absolute, links followed as far as it exists, and free of
/// what any of the servers gives a meaning.
pub(crate) fn path(path: &Path) -> anyhow::Result<String> {
    let wrong = || format!("the path `{}`", path.display());
    let absolute = std::path::absolute(path).with_context(wrong)?;
    let real = real(&absolute).unwrap_or(absolute);
    let text = real.to_str().with_context(|| format!("{} is not text", wrong()))?;
    match text.chars().find(|&c| !c.is_alphanumeric() && !"/._-+,:=@~".contains(c)) {
        Some(c) => {
            bail!("{} contains {c:?}, which has a meaning in configurations: use another one", wrong())
        }
        None => Ok(text.into()),
    }
}

/// The directory of the records, as a path that can stand in every configuration.
fn directory(state: &Location) -> anyhow::Result<String> {
    let hint = "otapress-cgi keeps its records in a directory: name one with `--state`";
    path(state.directory().with_context(|| format!("`{state}` is no directory: {hint}"))?)
}

pub(super) fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| Some(real(path.parent()?)?.join(path.file_name()?)))
}

/// A regular expression for a text in which `@` is any clientID.
fn pattern(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '@' => pattern += "[A-Za-z0-9._@-]+",
            '.' => pattern += "[.]",
            c if c.is_ascii_alphanumeric() || "/_-~".contains(c) => pattern.push(c),
            // The rest has a meaning in regular expressions or to one of the servers.
            _ => pattern.push('.'),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_need_no_quoting() {
        assert_eq!(pattern("/otap/notify"), "/otap/notify");
        assert_eq!(pattern("/n/@/x.y"), "/n/[A-Za-z0-9._@-]+/x[.]y");
        assert_eq!(pattern("/a(b)$c;%*"), "/a.b..c...");
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!(path(Path::new("/nowhere/at-all_1.x/y")).unwrap(), "/nowhere/at-all_1.x/y");
        assert!(Path::new(&path(Path::new("out")).unwrap()).is_absolute());
        for wrong in ["/a b", "/a\"b", "/a$b", "/a;b", "/a%b", "/a\nb", "/a{b", "/a#b", "/a'b", "/a\\b"] {
            assert!(path(Path::new(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_port_or_an_address_and_a_port() {
        let listen = |text: &str| text.parse::<Listen>().map(|listen| (listen.to_string(), listen.address()));
        assert_eq!(listen("80").unwrap(), ("80".into(), "*".into()));
        assert_eq!(listen("127.0.0.1:81").unwrap(), ("127.0.0.1:81".into(), "127.0.0.1".into()));
        assert_eq!(listen("[::1]:81").unwrap(), ("[::1]:81".into(), "[::1]".into()));
        assert_eq!(listen("[::]:81").unwrap(), ("81".into(), "*".into()));
        assert_eq!(listen("0.0.0.0:81").unwrap(), ("81".into(), "*".into()));
        let url = |text: &str| text.parse::<Listen>().unwrap().url();
        assert_eq!(url("80"), "http://127.0.0.1:80");
        assert_eq!(url("[::1]:81"), "http://[::1]:81");
        assert!(listen("localhost:80").is_err());
        assert!(listen("").is_err());
    }
}
