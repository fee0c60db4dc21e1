//! The URIs that a device is told, and what the device makes of their `@`.

use std::borrow::Cow;

use otapress_core::id::ClientId;
use otapress_core::out_path::{OutPath, OutPathError};

/// What the device makes of otapURI and notifyURI: every `@` becomes the clientID, unless the clientID itself
/// contains one; then nothing is replaced. Nothing is URL-encoded.
pub fn expand<'a>(uri: &'a str, client_id: &ClientId) -> Cow<'a, str> {
    if client_id.as_str().contains('@') || !uri.contains('@') {
        Cow::Borrowed(uri)
    } else {
        Cow::Owned(uri.replace('@', client_id.as_str()))
    }
}

/// An absolute http or https URI as far as it matters here, `@` unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUri {
    text: Box<str>,
    path_at: usize,
}

/// Why a text is not an [`HttpUri`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum UriError {
    #[error("it must start with `http://`: the modem knows no other scheme")]
    Scheme,
    #[error("it must start with `http://` or `https://`")]
    WebScheme,
    #[error(
        "after `http://` there must be a host name, optionally with a port: `http://ota.example.com:8080/…`"
    )]
    Host,
    #[error("a URI cannot contain {0:?}, and the device encodes nothing")]
    Character(char),
    #[error("a fragment (`#…`) is never sent to a server")]
    Fragment,
    /// Or an escape of a control character.
    #[error(
        "after `%` there must be two hexadecimal digits of a visible character: servers answer anything else \
         with 400, and the device then asks every second"
    )]
    Percent,
}

impl HttpUri {
    /// Parses `http://host[:port][/path][?query]`.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        if text.starts_with("http://") { Self::parse_web(text) } else { Err(UriError::Scheme) }
    }

    /// The same, or with `https://`, which the MIDlet's own client speaks but not the modem.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse_web(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        if !matches!(scheme, "http" | "https") {
            return Err(UriError::WebScheme);
        }
        if let Some(c) = text.chars().find(|&c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c)) {
            return Err(UriError::Character(c));
        }
        if text.contains('#') {
            return Err(UriError::Fragment);
        }
        if text.match_indices('%').any(|(i, _)| !is_visible_escape(&text.as_bytes()[i + 1..])) {
            return Err(UriError::Percent);
        }
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
        let host_good = !host.is_empty()
            && host.split('.').all(|label| !label.is_empty())
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        let port_good =
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
        if !host_good || !port_good {
            return Err(UriError::Host);
        }
        Ok(HttpUri { text: text.into(), path_at: text.len() - rest.len() + authority.len() })
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.text[..self.path_at]
    }

    /// The host name or address.
    pub fn host(&self) -> &str {
        let authority = self.origin().split_once("://").map_or("", |(_, authority)| authority);
        authority.split_once(':').map_or(authority, |(host, _)| host)
    }

    /// Path and query as a request names them; `/` if there is none.
    pub fn path(&self) -> Cow<'_, str> {
        match &self.text[self.path_at..] {
            path if path.starts_with('/') => Cow::Borrowed(path),
            query => Cow::Owned(format!("/{query}")),
        }
    }

    /// The path behind the site's, whatever the host, if it is below it.
    pub fn path_below<'a>(&'a self, site: &Site) -> Option<&'a str> {
        let base = &site.uri().text[site.uri().path_at..];
        self.text[self.path_at..].strip_prefix(base)?.strip_prefix('/')
    }

    /// The rest of the URI behind the site's, if it is below it.
    pub fn below<'a>(&'a self, site: &Site) -> Option<&'a str> {
        self.text.strip_prefix(site.as_str())?.strip_prefix('/')
    }

    /// Whether public DNS, which is what the modem asks, is unlikely to resolve the host.
    pub fn is_private(&self) -> bool {
        let host = self.host();
        match host.parse::<std::net::Ipv4Addr>() {
            Ok(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
            Err(_) => {
                !host.contains('.')
                    || [".local", ".lan", ".internal", ".home.arpa", ".localhost"]
                        .iter()
                        .any(|end| host.ends_with(end))
            }
        }
    }
}

/// Whether the text behind a `%` starts with two hexadecimal digits of no control character.
fn is_visible_escape(behind: &[u8]) -> bool {
    let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
    let byte = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    byte.and_then(|digits| u8::from_str_radix(digits, 16).ok()).is_some_and(|byte| !byte.is_ascii_control())
}

/// The URL under which `out/` is served, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site(HttpUri);

impl Site {
    /// From a URI without query; slashes at its end are dropped.
    pub fn new(uri: &HttpUri) -> Option<Self> {
        let text = uri.as_str().trim_end_matches('/');
        if text.contains(['?', '@']) {
            return None;
        }
        HttpUri::parse(text).ok().map(Site)
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The URL as a URI.
    pub fn uri(&self) -> &HttpUri {
        &self.0
    }

    /// The URL of a file of `out/`.
    pub fn url(&self, path: &OutPath) -> String {
        format!("{}/{path}", self.as_str())
    }
}

/// Where a device's JAD lives, `@` unexpanded: an otapURI's path below the site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JadPath(Box<str>);

impl JadPath {
    /// From the part of an otapURI below the site.
    ///
    /// # Errors
    /// If that does not name a file, whatever the clientID: a clientID holds nothing that a path component
    /// may not hold, does not start with a dot and is at least one character, so checking with one clientID
    /// checks for all of them but for length.
    pub fn new(below: &str) -> Result<Self, OutPathError> {
        below.replace('@', "x").parse::<OutPath>().map(|_| JadPath(below.into()))
    }

    /// As written, below the site.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file for one device.
    ///
    /// # Errors
    /// If a component becomes longer than file systems take.
    pub fn expand(&self, client_id: &ClientId) -> Result<OutPath, OutPathError> {
        expand(&self.0, client_id).parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ClientId {
        text.parse().unwrap()
    }

    #[test]
    fn every_at_is_replaced_unless_the_client_id_has_one() {
        assert_eq!(expand("http://h/@/x@.jad", &id("dev1")), "http://h/dev1/xdev1.jad");
        assert_eq!(expand("http://h/@/x.jad", &id("me@home")), "http://h/@/x.jad");
        assert_eq!(expand("http://h/x.jad", &id("dev1")), "http://h/x.jad");
    }

    #[test]
    fn uris_are_taken_apart() {
        let uri = HttpUri::parse("http://ota.example.com:8080/otap/notify?id=@").unwrap();
        assert_eq!(
            (uri.origin(), uri.host(), &*uri.path()),
            ("http://ota.example.com:8080", "ota.example.com", "/otap/notify?id=@")
        );
        assert_eq!(HttpUri::parse("http://h?x").unwrap().path(), "/?x");
        let uri = HttpUri::parse_web("https://check.example.com/%41").unwrap();
        assert_eq!((uri.host(), &*uri.path()), ("check.example.com", "/%41"));
        assert_eq!(HttpUri::parse_web("ftp://h/"), Err(UriError::WebScheme));
        for (text, error) in [
            ("https://h/", UriError::Scheme),
            ("ftp://h/", UriError::Scheme),
            ("h/x", UriError::Scheme),
            ("http://", UriError::Host),
            ("http:///x", UriError::Host),
            ("http://@/x", UriError::Host),
            ("http://u@h/x", UriError::Host),
            ("http://h:0/x", UriError::Host),
            ("http://h:99999/", UriError::Host),
            ("http://h..x/", UriError::Host),
            ("http://h/a b", UriError::Character(' ')),
            ("http://h/ä", UriError::Character('ä')),
            ("http://h/#x", UriError::Fragment),
            ("http://h/%", UriError::Percent),
            ("http://h/%4", UriError::Percent),
            ("http://h/%+1", UriError::Percent),
            ("http://h/%00", UriError::Percent),
            ("http://h/%0a", UriError::Percent),
        ] {
            assert_eq!(HttpUri::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn below_the_site_means_behind_a_slash() {
        let site = Site::new(&HttpUri::parse("http://h/ota//").unwrap()).unwrap();
        assert_eq!(site.as_str(), "http://h/ota");
        assert_eq!(HttpUri::parse("http://h/ota/a/b.jad").unwrap().below(&site), Some("a/b.jad"));
        assert_eq!(HttpUri::parse("http://h/otapress/b.jad").unwrap().below(&site), None);
        assert!(Site::new(&HttpUri::parse("http://h/?x").unwrap()).is_none());
    }

    #[test]
    fn private_hosts_are_known() {
        for (uri, private) in [
            ("http://ota.example.com/", false),
            ("http://192.0.2.1/", false),
            ("http://10.1.2.3/", true),
            ("http://localhost/", true),
            ("http://ota.lan/", true),
        ] {
            assert_eq!(HttpUri::parse(uri).unwrap().is_private(), private, "{uri}");
        }
    }
}
