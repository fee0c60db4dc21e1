//! `probe` against the server that it is made for, and against servers with one fault each.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use otapress_core::out::SITE_FILE;
use otapress_core::wire::{AnswerFile, Site};
use otapress_devices::device::Device;
use otapress_devices::device::http::Network;
use otapress_devices::probe::{Code, FormerUris, PublishedJad, Report, Subject, probe};
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_server::http::Credentials;

use crate::support::canned::{NOBODY, Seen};
use crate::support::proxy::{Proxy, Reply};
use crate::support::server::Server;
use crate::support::tree::{Tree, jad, offer};

const IMEI: &str = "123456789012345";
const HELD: &str = "123456789012352";

/// A site with two releases, a device that runs the second one, and one that has no target.
struct Live {
    tree: Tree,
    server: Server,
}

impl Live {
    fn start() -> Live {
        let mut tree = Tree::new();
        tree.release("0.10.65");
        let release = tree.release("0.10.66");
        tree.offer("dev1", IMEI, &release);
        let mut held = offer(&release);
        held.upgrade = 0;
        held.offer.target = None;
        tree.vc(HELD, &held);
        let server = Server::start(&tree);
        Live { tree, server }
    }

    fn site(&self) -> Site {
        Site::parse(&fs::read(self.tree.out().join(SITE_FILE)).unwrap()).unwrap()
    }

    fn subjects(&self, change: impl Fn(&mut Device)) -> Vec<Subject> {
        let path = "files/dev1/OwnTracks.jad";
        let bytes = fs::read(self.tree.out().join(path)).unwrap();
        let jad = Some(PublishedJad { path: path.parse().unwrap(), bytes });
        [("dev1", IMEI, "0.10.66", jad), ("dev2", HELD, "0.10.65", None)]
            .map(|(client, imei, version, jad)| {
                let mut device = self.server.device(client, imei, version);
                change(&mut device);
                let answer = fs::read(self.tree.out().join(format!("vc/{imei}.json"))).unwrap();
                let answer = AnswerFile::parse(&answer).unwrap();
                Subject { device, jad, answer, formerly: FormerUris::default() }
            })
            .into()
    }

    fn probe(&self, change: impl Fn(&mut Device)) -> Report {
        probe(&self.site(), &self.subjects(change), now(), &mut |_| {})
    }
}

fn now() -> i64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().try_into().unwrap()
}

fn codes(report: &Report) -> Vec<&'static str> {
    let mut codes: Vec<_> = report.findings().map(|finding| finding.code.into()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// What is found at a site whose replies are twisted.
fn twisted(twist: impl Fn(&Seen, Reply) -> Reply + Send + 'static) -> Report {
    let live = Live::start();
    let proxy = Proxy::start(live.server.address, twist);
    live.probe(|device| device.network.connect_to = Some(proxy.address))
}

/// The same, and the exact codes.
#[track_caller]
fn finds(expected: &[&str], twist: impl Fn(&Seen, Reply) -> Reply + Send + 'static) {
    let report = twisted(twist);
    assert_eq!(codes(&report), expected, "{}", report.to_text());
}

fn is(seen: &Seen, method: &str, end: &str) -> bool {
    let mut parts = seen.line.split(' ');
    parts.next() == Some(method) && parts.next().is_some_and(|target| target.ends_with(end))
}

fn with_credentials(password: &'static str) -> impl Fn(&mut Device) {
    move |device| {
        device.settings.apply("otapUser", "ota").unwrap();
        device.settings.apply("otapPassword", password).unwrap();
    }
}

#[test]
fn the_server_is_clean_and_keeps_no_trace() {
    let live = Live::start();
    let report = live.probe(|_| {});
    assert_eq!(codes(&report), [""; 0], "{}", report.to_text());
    assert!(!report.has_errors() && report.gave_up.is_none());
    assert_eq!(report.devices, 2);
    let Live { tree, server } = live;
    server.stop();
    let mut store = SqliteStore::open(&tree.state(), Duration::from_secs(5)).unwrap();
    store
        .read(&mut |tx| {
            assert_eq!(tx.events(0, 10)?, []);
            assert_eq!(tx.devices(None, 10)?, []);
            assert_eq!(tx.unknowns(10)?, []);
            assert_eq!(tx.rollouts()?, []);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_site_with_auth_is_clean_and_one_that_forgets_it_is_not() {
    let mut live = Live::start();
    // Credentials that nobody is asked for.
    let report = live.probe(with_credentials("secret"));
    assert_eq!(codes(&report), ["no-auth"], "{}", report.to_text());
    live.tree.change_site(|site| site.auth = true);
    live.server.credentials.send(Credentials::new([("ota", "secret")])).unwrap();
    let report = live.probe(with_credentials("secret"));
    assert_eq!(codes(&report), [""; 0], "{}", report.to_text());
    let report = live.probe(with_credentials("wrong"));
    assert!(codes(&report).contains(&"auth-refused"), "{}", report.to_text());
    // The finding shows the request, but not the password (in base64: ota:wrong).
    assert!(report.to_text().contains("Authorization: Basic …"));
    assert!(
        !format!("{}{}", report.to_text(), serde_json::to_string(&report.view()).unwrap())
            .contains("b3RhOndyb25n")
    );
    // A device that has none.
    let report = live.probe(|_| {});
    assert!(codes(&report).contains(&"jad-status"), "{}", report.to_text());
}

#[test]
fn default_mime_types() {
    finds(&["jad-type"], |seen, reply| match is(seen, "GET", ".jad") {
        true => reply.with("Content-Type", "text/plain"),
        false => reply,
    });
    finds(&["jad-type"], |seen, reply| match is(seen, "GET", ".jad") {
        true => reply.with("Content-Type", "text/vnd.sun.j2me.app-descriptor; charset=\"utf-8\""),
        false => reply,
    });
    finds(&["jar-type"], |seen, reply| match is(seen, "GET", ".jar") {
        true => reply.with("Content-Type", "application/octet-stream"),
        false => reply,
    });
}

#[test]
fn compression_for_those_who_take_it() {
    let report = twisted(|seen, reply| match seen.header("Accept-Encoding") {
        Some(_) => reply.with("Content-Encoding", "gzip"),
        None => reply,
    });
    assert_eq!(codes(&report), ["compressed"]);
    // The JAD, the JAR and the answer.
    assert_eq!(report.findings().count(), 3);
}

#[test]
fn posts_to_static_files() {
    finds(&["post-status"], |seen, reply| match is(seen, "POST", ".jad") {
        true => Reply::new("405 Method Not Allowed", "<html>"),
        false => reply,
    });
}

#[test]
fn redirects() {
    let report =
        twisted(|_, _| Reply::new("301 Moved Permanently", "").with("Location", "https://ota.example.com/"));
    assert_eq!(codes(&report), ["https-redirect"], "{}", report.to_text());
    finds(&["redirect"], |seen, reply| match is(seen, "GET", ".jar") {
        true => Reply::new("302 Found", "").with("Location", "http://cdn.example.com/x.jar"),
        false => reply,
    });
}

#[test]
fn jars_of_the_wrong_length_or_content() {
    finds(&["jar-size"], |seen, reply| match is(seen, "GET", ".jar") {
        true => reply.body("PK"),
        false => reply,
    });
    finds(&["broken-reply"], |seen, reply| match is(seen, "GET", ".jar") {
        true => reply.with("Content-Length", "999999"),
        false => reply,
    });
    finds(&["jar-altered"], |seen, reply| match is(seen, "GET", ".jar") {
        true => {
            let zeros = vec![0; reply.body.len()];
            reply.body(zeros)
        }
        false => reply,
    });
    finds(&["jar-status"], |seen, reply| match is(seen, "GET", ".jar") {
        true => Reply::new("404 Not Found", ""),
        false => reply,
    });
}

#[test]
fn a_cache_with_the_jad_of_the_release_before() {
    let live = Live::start();
    let old = jad(&live.site().releases[0]);
    let proxy = Proxy::start(live.server.address, move |seen, reply| match is(seen, "GET", ".jad") {
        true => reply.body(&old).with("Age", "3600"),
        false => reply,
    });
    let report = live.probe(|device| device.network.connect_to = Some(proxy.address));
    assert_eq!(codes(&report), ["cached", "jad-stale"], "{}", report.to_text());
    let stale = report.findings().find(|finding| finding.code.to_string() == "jad-stale").unwrap();
    assert_eq!(stale.message, "the JAD is of 0.10.65, not of 0.10.66");
    assert_eq!(stale.devices, ["dev1"]);
    assert_eq!(stale.evidence.sent.request, "GET http://ota.example.com/files/dev1/OwnTracks.jad");
    let agent = format!("TC65i/{IMEI} Profile/IMP-NG Configuration/CLDC-1.1");
    let sent = [("Host", "ota.example.com"), ("User-Agent", &agent), ("Accept", "*/*")];
    assert_eq!(stale.evidence.sent.headers, sent.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(stale.evidence.got.status, "HTTP/1.1 200 OK");
    assert!(stale.evidence.got.headers.contains(&("Age".into(), "3600".into())));
}

#[test]
fn jads_that_are_not_those_of_out() {
    finds(&["jad-altered"], |seen, reply| match is(seen, "GET", ".jad") {
        true => {
            let longer = [&reply.body[..], b"X-Proxy: 1\n"].concat();
            reply.body(longer)
        }
        false => reply,
    });
    finds(&["jad-altered", "jad-malformed"], |seen, reply| match is(seen, "GET", ".jad") {
        true => {
            let text = String::from_utf8(reply.body.clone()).unwrap().replace('\n', "\r\n");
            reply.body(text)
        }
        false => reply,
    });
    finds(&["jad-status"], |seen, reply| match is(seen, "GET", ".jad") {
        true => Reply::new("403 Forbidden", ""),
        false => reply,
    });
}

#[test]
fn cache_headers_of_jads() {
    finds(&["jad-cacheable"], |seen, reply| match is(seen, "GET", ".jad") {
        true => reply.with("Cache-Control", "public, max-age=86400"),
        false => reply,
    });
    let report = twisted(|_, reply| reply.without("Cache-Control"));
    assert_eq!(codes(&report), ["jad-cache-control"]);
    assert!(!report.has_errors());
    let mut report = report;
    report.allow(&[Code::JadCacheControl]);
    assert_eq!(report.findings().count(), 0);
}

#[test]
fn what_is_nobodys_business() {
    finds(&["directory-listing", "site-file-exposed", "vc-exposed"], |seen, reply| {
        let exposed = [".json", "/jars/", "/vc/"].iter().any(|end| is(seen, "GET", end));
        if exposed { Reply::new("200 OK", "{}") } else { reply }
    });
}

#[test]
fn version_answers() {
    let check = |seen: &Seen| is(seen, "POST", "/otap/version");
    finds(&["chunked"], move |seen, reply| if check(seen) { reply.chunked() } else { reply });
    finds(
        &["no-length"],
        move |seen, reply| {
            if check(seen) { reply.without("Content-Length") } else { reply }
        },
    );
    finds(
        &["version-status"],
        move |seen, reply| {
            if check(seen) { Reply::new("500 Internal Server Error", "") } else { reply }
        },
    );
    finds(
        &["no-reason"],
        move |seen, reply| {
            if check(seen) { Reply { status: "HTTP/1.1 200".into(), ..reply } } else { reply }
        },
    );
    finds(
        &["version-malformed"],
        move |seen, reply| {
            if check(seen) { reply.body("<html></html>") } else { reply }
        },
    );
    finds(
        &["version-malformed"],
        move |seen, reply| {
            if check(seen) { reply.body(r#"{"upgrade":"0"}"#) } else { reply }
        },
    );
    finds(
        &["version-loop"],
        move |seen, reply| {
            if check(seen) { reply.body(r#"{"upgrade":1}"#) } else { reply }
        },
    );
    finds(&["version-leak"], move |seen, reply| {
        if check(seen) { reply.body(r#"{"upgrade":0,"offer":{"interval":10800}}"#) } else { reply }
    });
}

/// What the responder decides is compared with what out/ says, and its header is the proof that it decided.
#[test]
fn decisions() {
    let check = |seen: &Seen| is(seen, "POST", "/otap/version");
    // A server's own answer, whatever is sent there.
    finds(&["responder-down"], |seen, reply| match seen.line.contains("/otap/version") {
        true => Reply::new("200 OK", r#"{"upgrade":0}"#),
        false => reply,
    });
    finds(&["version-unpublished"], move |seen, reply| {
        if check(seen) { reply.without("X-Otapress").body(r#"{"upgrade":0}"#) } else { reply }
    });
    for (decision, code) in [
        ("unreadable-out; store=none", "responder-out"),
        ("no-answer-file; store=ok", "responder-out"),
        ("no-state; store=none", "responder-state"),
        ("unknown-device; store=ok", "responder-stale"),
        ("not-published; store=ok", "responder-stale"),
        ("no-such-decision; store=ok", "responder-stale"),
    ] {
        finds(&[code], move |seen, reply| match check(seen) {
            true => reply.body(r#"{"upgrade":0}"#).with("X-Otapress", decision),
            false => reply,
        });
    }
    finds(&["responder-state"], move |seen, reply| match seen.line.contains("/otap/version") {
        true => Reply {
            headers: reply.headers.iter().map(|line| line.replace("store=ok", "store=none")).collect(),
            ..reply
        },
        false => reply,
    });
    // An upgrade that does not arrive.
    finds(&["version-altered"], move |seen, reply| match reply.body == br#"{"upgrade":1}"# {
        true if check(seen) => reply.body(r#"{"upgrade":0}"#),
        _ => reply,
    });
    let report = twisted(|_, reply| reply.with("Date", "Tue, 15 Nov 1994 08:12:31 GMT"));
    assert_eq!(codes(&report), ["clock-off"], "{}", report.to_text());
    assert!(!report.has_errors());
}

#[test]
fn results() {
    finds(&["notify-status"], |seen, reply| match seen.line.contains("/otap/notify") {
        true => Reply::new("404 Not Found", ""),
        false => reply,
    });
    // The modem may not know how to answer this one.
    finds(&["notify-status"], |seen, reply| match seen.line.contains("/otap/notify") {
        true => Reply::new("401 Unauthorized", "").with("WWW-Authenticate", "Basic realm=\"ota\""),
        false => reply,
    });
}

#[test]
fn a_server_that_is_not_there() {
    let live = Live::start();
    let report = live.probe(|device| device.network.connect_to = Some(NOBODY));
    assert_eq!(codes(&report), ["unreachable"]);
    assert!(report.gave_up.is_some() && report.has_errors());
}

#[test]
fn a_server_that_says_nothing_costs_a_bounded_time() {
    let live = Live::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Held until the client goes.
            std::thread::spawn(move || stream.unwrap().read_to_end(&mut Vec::new()));
        }
    });
    let begin = Instant::now();
    let network =
        Network { connect_to: Some(address), timeout: Duration::from_millis(200), ..Network::default() };
    let report = live.probe(|device| device.network = network.clone());
    assert_eq!(codes(&report), ["timed-out"]);
    assert!(report.gave_up.is_some());
    assert!(begin.elapsed() < Duration::from_secs(20));
}
