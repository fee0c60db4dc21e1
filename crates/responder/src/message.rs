//! What a request is and who sent it: pure readings of method, path, User-Agent and body.

use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_core::wire::{Formerly, Site};

/// How many bytes of a body are looked at. Adapters read on to its end, keep this many and drop the rest.
pub const BODY_LIMIT: usize = 4096;

/// The longest text that is kept of what somebody said, in characters: they may be hostile.
pub const SAID_LIMIT: usize = 80;

/// A request as an adapter hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `POST`, `GET` …
    pub method: &'a str,
    /// The path with its query, as sent.
    pub target: &'a str,
    /// The host that is asked, from the target or the Host header.
    pub host: Option<&'a str>,
    /// The User-Agent header.
    pub agent: Option<&'a [u8]>,
    /// At most [`BODY_LIMIT`] bytes of the body, decoded if it was chunked.
    pub body: &'a [u8],
    /// Whether that is all of the body: not longer than the limit, and not cut off on its way.
    pub is_complete: bool,
}

impl<'a> Request<'a> {
    /// A POST with all of its body, to no host in particular.
    pub fn post(target: &'a str, agent: &'a str, body: &'a [u8]) -> Self {
        Request { method: "POST", target, host: None, agent: Some(agent.as_bytes()), body, is_complete: true }
    }
}

/// Who says that they send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Which program.
    pub program: Program,
    /// On which modem.
    pub imei: Option<Imei>,
}

/// The program that sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The firmware's own HTTP: `GW/`, formerly `XAK/`.
    Midlet,
    /// A simulated device, `SIMU/`, which leaves no trace in any record.
    Simulator,
    /// The modem's OTAP: any other product before an IMEI.
    Modem,
    /// Anything else, or nothing.
    Other,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A version check.
    Check,
    /// An OTAP result, of the clientID in the path if one is there.
    Notify(Option<ClientId>),
    /// A POST to a path that is not published: whoever sends it does not know where devices ask.
    Stray,
    /// One of the responder's paths with another method than POST.
    Method,
    /// Nothing of the responder's: a static file, perhaps.
    Other,
}

/// An OTAP result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The three digits at its start, if they are there.
    pub code: Option<u16>,
    /// The whole text, fit for a log: see [`printable`].
    pub text: String,
}

impl Agent {
    /// Reads a User-Agent. Only its first token counts, because platforms append words to it.
    pub fn parse(header: Option<&[u8]>) -> Agent {
        let header = header.unwrap_or_default().trim_ascii_start();
        let token = header.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let mut parts = token.split(|&b| b == b'/');
        let product = parts.next().unwrap_or_default();
        let imei = parts.next().and_then(|part| std::str::from_utf8(part).ok()?.parse::<Imei>().ok());
        let program = match (product, imei) {
            (b"GW" | b"XAK", _) => Program::Midlet,
            (b"SIMU", _) => Program::Simulator,
            (b"", _) | (_, None) => Program::Other,
            (_, Some(_)) => Program::Modem,
        };
        Agent { program, imei }
    }
}

/// Tells what a request is. Offers, settings and records belong to the published paths, today's and former
/// ones, so that an unguessable part of them is a key.
///
/// Without a site no path is known: every POST is a version check or a result, and results are told by the
/// modem's User-Agent and their body.
pub fn route(site: Option<&Site>, request: &Request<'_>) -> Route {
    let agent = Agent::parse(request.agent);
    let target = origin_form(request.target).replace("%40", "@");
    let is_version_path = site.is_some_and(|site| {
        let mut paths = site.version_paths.iter().chain(&site.formerly.version_paths);
        paths.any(|path| same_path(path, &target))
    });
    let notify = || {
        let site = site?;
        let mut patterns = site.notify_paths.iter().chain(&site.formerly.notify_paths);
        patterns.find_map(|pattern| client_in(pattern, &target))
    };
    if request.method != "POST" {
        return if is_version_path || notify().is_some() { Route::Method } else { Route::Other };
    }
    let is_result = agent.program == Program::Modem && Posted::parse(request.body).code.is_some();
    match notify() {
        _ if is_version_path && !is_result => Route::Check,
        Some(_) if agent.program == Program::Midlet => Route::Check,
        Some(client) => Route::Notify(client),
        None if is_version_path => Route::Notify(None),
        None if site.is_some() => Route::Stray,
        None if is_result => Route::Notify(None),
        None => Route::Check,
    }
}

/// The former path that a request is for, as it is published, and behind its host if that alone has moved;
/// `None` if the client has moved.
pub(super) fn former_path(site: &Site, request: &Request<'_>) -> Option<String> {
    let former = &site.formerly;
    if *former == Formerly::default() {
        return None;
    }
    let target = origin_form(request.target).replace("%40", "@");
    let of_check = |paths: &[String]| paths.iter().find(|path| same_path(path, &target)).cloned();
    let of_result =
        |patterns: &[String]| patterns.iter().find(|path| client_in(path, &target).is_some()).cloned();
    let host = request.host.unwrap_or_default().to_ascii_lowercase();
    let host = host.rsplit_once(':').map_or(&*host, |(host, _)| host);
    let behind =
        |hosts: &[String], path| hosts.iter().any(|known| known == host).then(|| format!("{host}{path}"));
    match (of_check(&site.version_paths), of_result(&site.notify_paths)) {
        (Some(path), _) => behind(&former.version_hosts, path),
        (None, Some(path)) => behind(&former.notify_hosts, path),
        (None, None) => of_check(&former.version_paths).or_else(|| of_result(&former.notify_paths)),
    }
}

/// The path and query of a request's target, which a proxy may send as a whole URL.
pub(super) fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) else {
        return target;
    };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

/// Whether the request is for that path; its query counts only if the path has one.
fn same_path(path: &str, target: &str) -> bool {
    target == path
        || (!path.contains('?') && target.strip_prefix(path).is_some_and(|rest| rest.starts_with('?')))
}

/// Matches a target with a notify path in which every `@` stands for the clientID.
///
/// `Some(None)`: it matches to the letter. A device whose clientID has an `@` replaces none, so the path
/// does not tell who it is.
fn client_in(pattern: &str, target: &str) -> Option<Option<ClientId>> {
    if pattern == target {
        return Some(None);
    }
    let holes = pattern.matches('@').count();
    let fixed = pattern.len() - holes;
    let len = target.len().checked_sub(fixed)?.checked_div(holes)?;
    let start = pattern.find('@')?;
    let client = target.get(start..start + len)?;
    if pattern.replace('@', client) != target {
        return None;
    }
    client.parse().ok().map(Some)
}

/// Reads the body of a version check.
///
/// # Errors
/// What it says instead of a version, fit for a log.
pub fn reported(request: &Request<'_>) -> Result<Version, String> {
    let text = request.body.trim_ascii();
    match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
        // A version that was cut off is a version, too, but another one.
        Some(version) if request.is_complete => Ok(version),
        _ => Err(printable(text, 64)),
    }
}

impl Posted {
    /// Reads the body of a result: three digits, then free text. Anything is accepted.
    pub fn parse(body: &[u8]) -> Posted {
        let body = body.trim_ascii_end();
        let code = match body {
            [a, b, c, rest @ ..]
                if [a, b, c].iter().all(|d| d.is_ascii_digit())
                    && !rest.first().is_some_and(|b| b.is_ascii_digit() || *b == b'.') =>
            {
                Some([a, b, c].iter().fold(0, |n, &&d| n * 10 + u16::from(d - b'0')))
            }
            _ => None,
        };
        Posted { code, text: printable(body, SAID_LIMIT) }
    }
}

/// What somebody sent as a text of at most `limit` characters for logs and records: UTF-8 if it is, else
/// Latin-1; what would control a terminal or reorder a line is written as `\u{…}`, and counts as these
/// characters.
pub fn printable(bytes: &[u8], limit: usize) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => escaped(text.chars(), limit),
        Err(_) => escaped(bytes.iter().map(|&b| char::from(b)), limit),
    }
}

fn escaped(chars: impl Iterator<Item = char>, limit: usize) -> String {
    let (mut text, mut length) = (String::new(), 0);
    for c in chars {
        let reorders =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        let is_escaped = c.is_control() || reorders;
        length += if is_escaped { c.escape_unicode().len() } else { 1 };
        if length > limit {
            break;
        }
        if is_escaped { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(header: &str) -> (Program, Option<String>) {
        let agent = Agent::parse(Some(header.as_bytes()));
        (agent.program, agent.imei.map(|i| i.to_string()))
    }

    #[test]
    fn the_first_token_tells_who_asks() {
        let imei = Some("123456789012345".to_string());
        for (header, program, imei) in [
            ("GW/123456789012345", Program::Midlet, imei.clone()),
            ("XAK/123456789012345 UNTRUSTED/1.0", Program::Midlet, imei.clone()),
            (" GW/123456789012345", Program::Midlet, imei.clone()),
            ("GW/", Program::Midlet, None),
            ("GW/../../etc/passwd", Program::Midlet, None),
            ("gw/123456789012345", Program::Modem, imei.clone()),
            ("SIMU/123456789012345", Program::Simulator, imei.clone()),
            ("TC65i/123456789012345 Profile/IMP-NG Configuration/CLDC-1.1", Program::Modem, imei.clone()),
            ("EGS5-X/123456789012345/1 Profile/IMP-NG", Program::Modem, imei),
            ("/123456789012345", Program::Other, Some("123456789012345".into())),
            ("Mozilla/5.0 (X11)", Program::Other, None),
            ("curl/8.9.1 GW/123456789012345", Program::Other, None),
            ("", Program::Other, None),
        ] {
            assert_eq!(agent(header), (program, imei), "{header}");
        }
        assert_eq!(Agent::parse(None), Agent { program: Program::Other, imei: None });
        assert_eq!(Agent::parse(Some(b"GW/\xff")), Agent { program: Program::Midlet, imei: None });
    }

    fn site(version: &[&str], notify: &[&str]) -> Site {
        let list = |paths: &[&str]| paths.iter().map(|p| p.to_string()).collect();
        Site {
            otapress: otapress_core::wire::FORMAT,
            site: "http://ota.example.com".into(),
            version_paths: list(version),
            notify_paths: list(notify),
            ..Site::default()
        }
    }

    fn client(text: &str) -> Route {
        Route::Notify(Some(text.parse().unwrap()))
    }

    const GW: &str = "GW/123456789012345";
    const MODEM: &str = "TC65i/123456789012345 Profile/IMP-NG";

    #[test]
    fn requests_are_told_apart() {
        let mut site = site(&["/otap/version"], &["/otap/notify?id=@", "/n/@/of/@"]);
        site.formerly.version_paths.push("/former/version".into());
        site.formerly.notify_paths.push("/former/notify/@".into());
        for (method, target, agent, body, route_wanted) in [
            ("POST", "/otap/version", GW, "0.1.2", Route::Check),
            ("POST", "/otap/version?x", GW, "0.1.2", Route::Check),
            ("POST", "/otap/version", "", "0.1.2", Route::Check),
            ("POST", "http://ota.example.com/otap/version", "", "0.1.2", Route::Check),
            ("POST", "/of/last/year", GW, "0.1.2", Route::Stray),
            ("POST", "/of/last/year", MODEM, "900 Success", Route::Stray),
            ("POST", "/former/version", GW, "0.1.2", Route::Check),
            ("POST", "/former/version", MODEM, "900", Route::Notify(None)),
            ("POST", "/former/notify/dev1", MODEM, "900", client("dev1")),
            ("GET", "/former/version", GW, "", Route::Method),
            ("POST", "/otap/notify?id=dev1", GW, "900", Route::Check),
            ("POST", "/of/last/year", "", "0.1.2", Route::Stray),
            ("POST", "/otap/notify?id=dev1", MODEM, "900 Success", client("dev1")),
            ("POST", "/otap/notify?id=dev1", "", "", client("dev1")),
            ("POST", "/otap/notify?id=a@b", MODEM, "900", client("a@b")),
            ("POST", "/otap/notify?id=@", MODEM, "900", Route::Notify(None)),
            ("POST", "/otap/notify?id=%40", MODEM, "900", Route::Notify(None)),
            ("POST", "/n/dev1/of/dev1", MODEM, "900", client("dev1")),
            ("POST", "/n/dev1/of/dev2", MODEM, "900", Route::Stray),
            ("POST", "/n/dev1/of/dev2", "", "900", Route::Stray),
            ("POST", "/otap/notify?id=", MODEM, "900", Route::Stray),
            ("POST", "/otap/version", MODEM, "904 JAR size mismatch", Route::Notify(None)),
            ("POST", "/otap/version", MODEM, "0.1.2", Route::Check),
            ("GET", "/otap/version", GW, "", Route::Method),
            ("GET", "/otap/notify?id=dev1", "", "", Route::Method),
            ("PUT", "/n/a/of/a", "", "", Route::Method),
            ("GET", "/files/dev1/OwnTracks.jad", MODEM, "", Route::Other),
            ("GET", "/otap/versions", "", "", Route::Other),
            ("POST", "/otap/notify?id=../x", "", "", Route::Stray),
            ("POST", "/otap/notify?id=\u{e4}", "", "", Route::Stray),
            ("POST", "", "", "", Route::Stray),
        ] {
            let request = Request {
                method,
                target,
                host: None,
                agent: Some(agent.as_bytes()),
                body: body.as_bytes(),
                is_complete: true,
            };
            assert_eq!(route(Some(&site), &request), route_wanted, "{method} {target} {agent} {body}");
        }
    }

    #[test]
    fn a_former_path_is_told_by_path_or_by_host() {
        let mut site = site(&["/otap/version"], &["/notify?id=@"]);
        site.formerly.version_paths.push("/vc".into());
        site.formerly.notify_paths.push("/result/@".into());
        site.formerly.notify_hosts.push("old.example.com".into());
        let former = |target: &str, host| {
            let (agent, body): (_, &[u8]) = (None, b"");
            former_path(&site, &Request { method: "POST", target, host, agent, body, is_complete: true })
        };
        let old = Some("OLD.example.com:80");
        for (target, host, at) in [
            ("/vc", None, Some("/vc")),
            ("/vc?x=1", old, Some("/vc")),
            ("/result/dev1", None, Some("/result/@")),
            // Results have moved to another host, version checks never were there.
            ("/notify?id=dev1", old, Some("old.example.com/notify?id=@")),
            ("/notify?id=dev1", Some("ota.example.com"), None),
            ("/notify?id=dev1", None, None),
            ("/otap/version", old, None),
            ("/elsewhere", old, None),
        ] {
            assert_eq!(former(target, host).as_deref(), at, "{target} {host:?}");
        }
    }

    #[test]
    fn without_a_site_results_are_known_by_their_sender() {
        let request =
            |agent, body: &'static str| Request::post("/otap/notify?id=dev1", agent, body.as_bytes());
        assert_eq!(route(None, &request(MODEM, "900 Success")), Route::Notify(None));
        assert_eq!(route(None, &request(MODEM, "0.10.65")), Route::Check);
        assert_eq!(route(None, &request("", "900 Success")), Route::Check);
    }

    #[test]
    fn a_path_that_is_a_clientid_of_the_pattern_stays_the_version_path() {
        let site = site(&["/otap/version"], &["/otap/@"]);
        let mut request = Request {
            method: "POST",
            target: "/otap/version",
            host: None,
            agent: None,
            body: b"0.1",
            is_complete: true,
        };
        assert_eq!(route(Some(&site), &request), Route::Check);
        request.target = "/otap/dev1";
        assert_eq!(route(Some(&site), &request), client("dev1"));
    }

    #[test]
    fn bodies_of_checks() {
        let read = |body: &[u8], is_complete| {
            reported(&Request { method: "POST", target: "/", host: None, agent: None, body, is_complete })
        };
        assert_eq!(read(b"0.1.2", true), Ok("0.1.2".parse().unwrap()));
        assert_eq!(read(b" 0.1.2\r\n", true), Ok("0.1.2".parse().unwrap()));
        assert_eq!(read(b"0.1.2", false), Err("0.1.2".into()), "cut off");
        assert_eq!(read(b"", true), Err(String::new()));
        assert_eq!(read(b"v\xe4\n\x1b[31m", true), Err("v\u{e4}\\u{a}\\u{1b}[31m".into()));
        assert_eq!(read(&[b'1'; 4096], true), Err("1".repeat(64)));
    }

    #[test]
    fn bodies_of_results() {
        for (body, code, text) in [
            (&b"900 Success"[..], Some(900), "900 Success"),
            (b"900 Success\r\n", Some(900), "900 Success"),
            (b"905", Some(905), "905"),
            (b"905: x", Some(905), "905: x"),
            (b"999 new", Some(999), "999 new"),
            (b"9000", None, "9000"),
            (b"0.10.65", None, "0.10.65"),
            (b"100.10", None, "100.10"),
            (b"90", None, "90"),
            (b"", None, ""),
            (b"904 a\r\nb\x00\x7f\xff", Some(904), "904 a\\u{d}\\u{a}b\\u{0}\\u{7f}\u{ff}"),
            ("901 \u{e4}\u{202e}".as_bytes(), Some(901), "901 \u{e4}\\u{202e}"),
        ] {
            assert_eq!(Posted::parse(body), Posted { code, text: text.into() });
        }
    }

    #[test]
    fn what_is_kept_is_short_after_escaping() {
        assert_eq!(printable(&[b'x'; 4096], SAID_LIMIT), "x".repeat(80));
        // An escape is kept whole or not at all.
        assert_eq!(printable(&[1; 4096], SAID_LIMIT), "\\u{1}".repeat(16));
        assert_eq!(printable("\u{e4}\u{202e}x".as_bytes(), 9), "\u{e4}\\u{202e}");
        assert_eq!(printable("\u{e4}\u{202e}x".as_bytes(), 8), "\u{e4}");
    }
}
