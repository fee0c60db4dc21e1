//! `serve` over the wire: what is served, what is refused, and that a version check is always answered.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use otapress_core::wire::NO;
use otapress_devices::device::http::{Framing, Network, Reply, ReplyFraming, Request};
use otapress_devices::device::{Answered, CheckOutcome};
use otapress_responder::store::{Durability, Lease, Store, StoreError, Work};
use otapress_server::http::{Credentials, Limits, OpenStore};

use crate::support::server::{Server, read, sqlite};
use crate::support::tree::{SITE, Tree, offer, setting};

const IMEI: &str = "123456789012345";
const OTHER: &str = "123456789012352";

/// A directory with one release, and two devices that are to run it.
fn published() -> Tree {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    tree.offer("dev1", IMEI, &release);
    tree.offer("dev2", OTHER, &release);
    tree.write("jars/SHA256SUMS", format!("{}  {}\n", release.sha256, &release.path[5..]));
    tree
}

fn send(server: &Server, request: &Request) -> Reply {
    let network =
        Network { connect_to: Some(server.address), timeout: Duration::from_secs(10), ..Network::default() };
    network.exchange(request).unwrap()
}

fn get(server: &Server, path: &str) -> Reply {
    send(server, &Request::get(&format!("{SITE}{path}")))
}

/// A store that does nothing but fail, in a way of the test's choice.
struct Failing(fn() -> StoreError);

impl Store for Failing {
    fn read(&mut self, _: &mut Work<'_>) -> Result<(), StoreError> {
        Err((self.0)())
    }

    fn write(&mut self, _: Durability, _: &mut Work<'_>) -> Result<(), StoreError> {
        Err((self.0)())
    }

    fn lease(&mut self, _: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        Err((self.0)())
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        Err((self.0)())
    }
}

fn busy() -> StoreError {
    StoreError::Busy { path: "otapress.db".into() }
}

fn failing(error: fn() -> StoreError) -> OpenStore {
    Box::new(move |_| Ok(Box::new(Failing(error))))
}

fn unopened() -> OpenStore {
    Box::new(|_| Err(busy()))
}

/// Checks that a device is told no, in the only form that never hurts, and that nothing is odd about it.
#[track_caller]
fn assert_no(reply: &Reply) {
    assert_eq!((reply.status, reply.reason.as_str()), (200, "OK"));
    assert_eq!(String::from_utf8_lossy(&reply.body), NO);
    assert_eq!(reply.framing, ReplyFraming::Length);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
}

/// The same for a reply that was read as it came.
#[track_caller]
fn assert_raw_no(reply: &str) {
    assert!(
        reply.starts_with("HTTP/1.1 200 OK\r\n") || reply.starts_with("HTTP/1.0 200 OK\r\n"),
        "{reply:?}"
    );
    assert!(reply.to_ascii_lowercase().contains("content-length: 13\r\n"), "{reply:?}");
    assert!(reply.ends_with(&format!("\r\n\r\n{NO}")), "{reply:?}");
}

#[test]
fn files_have_their_types_lengths_and_cache_rules() {
    let tree = published();
    let server = Server::start_with(&tree, Limits::default(), unopened());
    let jar = std::fs::read_dir(tree.out().join("jars/0.10.66")).unwrap().next().unwrap().unwrap();
    let jar = format!("jars/0.10.66/{}/OwnTracks.jar", jar.file_name().into_string().unwrap());
    let fresh = "no-cache, no-transform";
    for (path, content_type, cache) in [
        ("files/dev1/OwnTracks.jad", "text/vnd.sun.j2me.app-descriptor", fresh),
        (&*jar, "application/java-archive", "public, max-age=31536000, immutable, no-transform"),
        ("jars/SHA256SUMS", "text/plain", fresh),
    ] {
        let content = std::fs::read(tree.out().join(path)).unwrap();
        let request = Request::get(&format!("{SITE}/{path}"))
            .header("Accept-Encoding", "gzip, br")
            .header("Range", "bytes=0-9")
            .header("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT");
        let reply = send(&server, &request);
        assert_eq!((reply.status, reply.reason.as_str()), (200, "OK"), "{path}");
        assert_eq!(reply.body, content);
        assert_eq!(reply.framing, ReplyFraming::Length);
        assert_eq!(reply.header("Content-Length"), Some(&*content.len().to_string()));
        assert_eq!(reply.header("Content-Type"), Some(content_type));
        assert_eq!(reply.header("Cache-Control"), Some(cache));
        assert_eq!(reply.header("Content-Encoding"), None);

        let head = send(&server, &Request { method: "HEAD", ..request });
        assert_eq!((head.status, &head.body[..]), (200, &b""[..]));
        assert_eq!(head.header("Content-Length"), reply.header("Content-Length"));
        assert_eq!(head.header("Content-Type"), Some(content_type));
    }
    let query = get(&server, "/files/dev1/OwnTracks.jad?x=y");
    assert_eq!(query.status, 200);
}

#[test]
fn nothing_else_is_served() {
    let tree = published();
    std::fs::write(tree.out().parent().unwrap().join("secret.jad"), "secret").unwrap();
    symlink("../secret.jad", tree.out().join("link.jad")).unwrap();
    symlink("..", tree.out().join("up")).unwrap();
    tree.write("files/dev1/notes.txt", "private");
    let server = Server::start_with(&tree, Limits::default(), unopened());
    for path in [
        "/",
        "/files",
        "/files/",
        "/files/dev1",
        "/files/dev1/OwnTracks.jad/",
        "/files//dev1/OwnTracks.jad",
        "/files/dev1/owntracks.jad",
        "/files/dev1/OwnTracks.JAD",
        "/files/dev1/OwnTracks.jad%00",
        "/files/dev1/OwnTracks%2Ejad",
        "/files/dev1/notes.txt",
        "/files/dev1/../dev2/OwnTracks.jad",
        "/otapress.json",
        "/vc/123456789012345.json",
        "/vc/",
        "/link.jad",
        "/up/secret.jad",
        "/../secret.jad",
        "/%2e%2e/secret.jad",
        "/..%2fsecret.jad",
        "/files/%2e%2e/%2e%2e/secret.jad",
        "/files\\..\\..\\secret.jad",
        "/jars",
    ] {
        for method in ["GET", "HEAD"] {
            let reply =
                server.raw(format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
            assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{method} {path}: {reply:?}");
            assert!(reply.ends_with("content-length: 0\r\n\r\n") || reply.contains("content-length: 0\r\n"));
            assert!(reply.ends_with("\r\n\r\n"), "a body: {reply:?}");
        }
    }
    // A proxy's form of the same request: the path counts, the host does not.
    let absolute = |path: &str| {
        server.raw(format!(
            "GET http://elsewhere.example{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        ))
    };
    assert!(absolute("/files/dev1/OwnTracks.jad").starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(absolute("/../secret.jad").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(absolute("").starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn other_methods_are_told_which_are_right() {
    let tree = published();
    let server = Server::start_with(&tree, Limits::default(), unopened());
    for (method, path, allow) in [
        ("GET", "/otap/version", "POST"),
        ("HEAD", "/otap/version", "POST"),
        ("GET", "/otap/notify?id=dev1", "POST"),
        ("PUT", "/files/dev1/OwnTracks.jad", "GET, HEAD"),
        ("DELETE", "/files/dev1/OwnTracks.jad", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
    ] {
        let reply = send(&server, &Request { method, ..Request::get(&format!("{SITE}{path}")) });
        assert_eq!((reply.status, reply.header("Allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(reply.header("Content-Length"), Some("0"));
    }
}

#[test]
fn a_client_of_http_1_0_gets_a_length_and_the_end() {
    let tree = published();
    let server = Server::start_with(&tree, Limits::default(), unopened());
    let jad = std::fs::read_to_string(tree.out().join("files/dev1/OwnTracks.jad")).unwrap();
    let reply = server.raw("GET /files/dev1/OwnTracks.jad HTTP/1.0\r\n\r\n");
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}", jad.len())), "{head}");
    assert!(!head.to_lowercase().contains("keep-alive"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, jad);
    let check =
        format!("POST /otap/version HTTP/1.0\r\nUser-Agent: GW/{IMEI}\r\nContent-Length: 7\r\n\r\n0.10.65");
    assert_raw_no(&server.raw(check));
}

#[test]
fn a_site_below_a_path_is_served_there() {
    let mut tree = published();
    tree.change_site(|site| site.site = "http://ota.example.com/gw".into());
    let server = Server::start_with(&tree, Limits::default(), unopened());
    assert_eq!(get(&server, "/gw/files/dev1/OwnTracks.jad").status, 200);
    assert_eq!(get(&server, "/files/dev1/OwnTracks.jad").status, 404);
}

#[test]
fn jads_and_jars_are_for_those_with_credentials() {
    let mut tree = published();
    let server = Server::start_with(&tree, Limits::default(), unopened());
    let jad = "/files/dev1/OwnTracks.jad";
    let with = |path: &str, authorization: &str| {
        send(&server, &Request::get(&format!("{SITE}{path}")).header("Authorization", authorization)).status
    };
    assert_eq!(get(&server, jad).status, 200);

    server.credentials.send_replace(Credentials::new([("ota", "old"), ("ota", "new")]));
    let refused = get(&server, jad);
    assert_eq!((refused.status, &refused.body[..]), (401, &b""[..]));
    assert_eq!(refused.header("WWW-Authenticate"), Some("Basic realm=\"otap\""));
    // b3RhOm9sZA== is ota:old, b3RhOm5ldw== is ota:new, b3RhOmJhZA== is ota:bad.
    assert_eq!(with(jad, "Basic b3RhOm9sZA=="), 200);
    assert_eq!(with(jad, "Basic b3RhOm5ldw=="), 200);
    assert_eq!(with(jad, "Basic b3RhOmJhZA=="), 401);
    // Who has no credentials does not learn what there is.
    assert_eq!(get(&server, "/files/nobody/OwnTracks.jad").status, 401);
    assert_eq!(with("/files/nobody/OwnTracks.jad", "Basic b3RhOm5ldw=="), 404);
    assert_eq!(get(&server, "/jars/SHA256SUMS").status, 200);
    assert_eq!(get(&server, "/otapress.json").status, 404);
    // Neither POST endpoint asks for them: not all modems would send any.
    assert!(server.device("dev1", IMEI, "0.10.65").check().outcome.is_checked());

    // A site that wants credentials is closed as long as none are known.
    server.credentials.send_replace(Credentials::default());
    tree.change_site(|site| site.auth = true);
    assert_eq!(get(&server, jad).status, 401);
    assert_eq!(with(jad, "Basic b3RhOm5ldw=="), 401);
}

#[test]
fn what_is_published_later_is_served_at_once() {
    let mut tree = Tree::new();
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    assert!(!device.check().outcome.is_upgrade());
    let release = tree.release("0.10.66");
    tree.offer("dev1", IMEI, &release);
    assert_eq!(get(&server, "/files/dev1/OwnTracks.jad").status, 200);
    assert!(device.check().outcome.is_upgrade());
    // Another notifyURI is known as soon as it is published.
    assert_eq!(get(&server, "/result/dev1").status, 404);
    tree.change_site(|site| site.notify_paths.push("/result/@".into()));
    assert_eq!(get(&server, "/result/dev1").status, 405);
    // The directory is replaced as a whole.
    let other = published();
    std::fs::rename(tree.out(), tree.out().with_extension("old")).unwrap();
    assert_eq!(get(&server, "/files/dev2/OwnTracks.jad").status, 404);
    std::fs::rename(other.out(), tree.out()).unwrap();
    assert_eq!(get(&server, "/files/dev2/OwnTracks.jad").status, 200);
    assert_eq!(get(&server, "/result/dev1").status, 404);
}

#[test]
fn every_version_check_is_answered() {
    let tree = published();
    tree.vc("123456789012360", &{
        let mut held = offer(&otapress_release(&tree));
        held.upgrade = 0;
        held.settings = Vec::new();
        held.offer.held = true;
        held.offer.target = None;
        held
    });
    tree.write("vc/123456789012378.json", "{\"upgrade\":1,");
    let server = Server::start(&tree);
    let url = format!("{SITE}/otap/version");
    let check = |imei: &str, body: &[u8]| {
        Request::post(&url, body, Framing::Length).header("User-Agent", &format!("GW/{imei}"))
    };
    let huge = vec![b'1'; 10 << 20];
    for (what, request) in [
        ("unknown IMEI", check("999999999999999", b"0.10.65")),
        ("no IMEI", check("", b"0.10.65")),
        ("held", check("123456789012360", b"0.10.65")),
        ("no User-Agent", Request::post(&url, b"0.10.65", Framing::Length)),
        ("empty body", check(IMEI, b"")),
        ("not a version", check(IMEI, b"latest")),
        ("10 MB", check(IMEI, &huge)),
        (
            "10 MB chunked",
            Request {
                framing: Framing::Chunked,
                headers: vec![
                    ("Host".into(), "h".into()),
                    ("Transfer-Encoding".into(), "chunked".into()),
                    ("User-Agent".into(), format!("GW/{IMEI}")),
                ],
                ..check(IMEI, &huge)
            },
        ),
        ("not UTF-8", check(IMEI, b"0.10.65\xff\xfe")),
        ("corrupt answer file", check("123456789012378", b"0.10.65")),
        ("runs its target", check(IMEI, b"0.10.66")),
        (
            "a JAD's path",
            Request::post(&format!("{SITE}/files/dev1/OwnTracks.jad"), b"0.10.66", Framing::Length)
                .header("User-Agent", &format!("XAK/{IMEI}")),
        ),
        (
            "nowhere",
            Request::post(&format!("{SITE}/%2e%2e/nowhere?x"), b"0.10.66", Framing::Length)
                .header("User-Agent", &format!("GW/{IMEI} UNTRUSTED/1.0")),
        ),
    ] {
        let network = Network {
            connect_to: Some(server.address),
            timeout: Duration::from_secs(30),
            ..Network::default()
        };
        let reply = network.exchange(&request).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reply.body, NO.as_bytes(), "{what}");
        assert_no(&reply);
    }
}

/// The release that [`published`] made.
fn otapress_release(tree: &Tree) -> otapress_core::wire::Release {
    let text = std::fs::read(tree.out().join("otapress.json")).unwrap();
    otapress_core::wire::Site::parse(&text).unwrap().releases.remove(0)
}

#[test]
fn a_check_is_understood_however_it_is_framed() {
    let tree = published();
    let server = Server::start(&tree);
    for (imei, framing) in [(IMEI, Framing::Length), (OTHER, Framing::Chunked)] {
        let mut device = server.device("dev1", imei, "0.10.65");
        device.quirks.framing = framing;
        device.quirks.agent_suffix = " UNTRUSTED/1.0".into();
        device.quirks.omit = vec!["Host".into()];
        assert!(device.check().outcome.is_upgrade(), "{framing:?}");
    }
    let mut device = server.device("dev1", "123456789012360", "0.10.65");
    tree.vc("123456789012360", &offer(&otapress_release(&tree)));
    device.quirks.http10 = true;
    let check = device.check();
    assert!(check.outcome.is_upgrade());
    assert_eq!(check.exchange.unwrap().reply.unwrap().body, b"{\"upgrade\":1}");
}

#[test]
fn what_is_hardly_http_is_answered_without_an_upgrade() {
    let tree = published();
    let server = Server::start(&tree);
    let agent = format!("User-Agent: GW/{IMEI}\r\n");
    let long = "x".repeat(600_000);
    let many = "X-Header: 1\r\n".repeat(300);
    for (what, request) in [
        ("no length", format!("POST /otap/version HTTP/1.1\r\n{agent}\r\n0.10.65")),
        ("no length, HTTP/1.0", format!("POST /otap/version HTTP/1.0\r\n{agent}\r\n0.10.65")),
        ("bad length", format!("POST /otap/version HTTP/1.1\r\n{agent}Content-Length: x\r\n\r\n0.10.65")),
        (
            "two lengths",
            format!(
                "POST /otap/version HTTP/1.1\r\n{agent}Content-Length: 7\r\nContent-Length: 8\r\n\r\n0.10.65"
            ),
        ),
        (
            "chunked, HTTP/1.0",
            format!(
                "POST /otap/version HTTP/1.0\r\n{agent}Transfer-Encoding: \
                 chunked\r\n\r\n7\r\n0.10.65\r\n0\r\n\r\n"
            ),
        ),
        (
            "bad chunks",
            format!(
                "POST /otap/version HTTP/1.1\r\n{agent}Transfer-Encoding: chunked\r\nConnection: \
                 close\r\n\r\nzz\r\n0.10.65\r\n0\r\n\r\n"
            ),
        ),
        (
            "long header",
            format!(
                "POST /otap/version HTTP/1.1\r\n{agent}X-Header: {long}\r\nContent-Length: 7\r\n\r\n0.10.65"
            ),
        ),
        ("long path", format!("POST /{long} HTTP/1.1\r\n{agent}Content-Length: 7\r\n\r\n0.10.65")),
        (
            "many headers",
            format!("POST /otap/version HTTP/1.1\r\n{agent}{many}Content-Length: 7\r\n\r\n0.10.65"),
        ),
        ("bad version", format!("POST /otap/version HTTP/3.7\r\n{agent}Content-Length: 7\r\n\r\n0.10.65")),
        ("bad path", format!("POST /otap/ver\u{1}sion HTTP/1.1\r\n{agent}Content-Length: 7\r\n\r\n0.10.65")),
    ] {
        let reply = server.raw(request);
        assert!(reply.contains(" 200 OK\r\n"), "{what}: {reply:?}");
        assert_raw_no(&reply);
    }
    // Anybody else is told what is wrong.
    let reply = server.raw(format!("GET /{long} HTTP/1.1\r\n\r\n"));
    assert!(reply.starts_with("HTTP/1.1 4"), "{reply:?}");
}

#[test]
fn odd_headers_do_not_matter() {
    let tree = published();
    let server = Server::start(&tree);
    let reply = server.raw(format!(
        "POST /otap/version HTTP/1.1\r\nUser-Agent: GW/{IMEI}\r\nBad Name: x\r\nX-Latin: \u{e9}\r\n\
         Expect: 100-continue\r\nConnection: close\r\nContent-Length: 7\r\n\r\n0.10.65"
    ));
    assert!(reply.ends_with("\r\n\r\n{\"upgrade\":1}"), "{reply:?}");
}

#[test]
fn a_body_that_stops_coming_is_no_version() {
    let tree = published();
    let limits = Limits { body: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start_with(&tree, limits, sqlite(&tree));
    // `0.10.6` would be another version than the `0.10.66` that was to come.
    let head = format!("HTTP/1.1\r\nUser-Agent: GW/{IMEI}\r\nContent-Length: 7\r\n\r\n");
    assert_raw_no(&server.raw(format!("POST /otap/version {head}0.10.6")));
    // A result that is not whole is not acknowledged.
    let modem = head.replace("GW/", "TC65i/");
    let reply = server.raw(format!("POST /otap/notify?id=dev1 {modem}900"));
    assert!(reply.starts_with("HTTP/1.1 500 "), "{reply:?}");
}

#[test]
fn without_a_store_checks_get_no_and_results_are_not_acknowledged() {
    let tree = published();
    let state_is_a_file = {
        let state = tree.state();
        std::fs::remove_dir(&state).unwrap();
        std::fs::write(&state, "not a directory").unwrap();
        sqlite(&tree)
    };
    let panics: fn() -> StoreError = || panic!("made by the test");
    for open in [
        unopened(),
        failing(busy),
        failing(panics),
        state_is_a_file,
        Box::new(|_| panic!("made by the test")),
    ] {
        let server = Server::start_with(&tree, Limits::default(), open);
        for _ in 0..3 {
            let check = server.device("dev1", IMEI, "0.10.65").check();
            assert_eq!(check.outcome, CheckOutcome::Checked(Answered::default()));
            assert_no(&check.exchange.unwrap().reply.unwrap());
            let notify =
                Request::post(&format!("{SITE}/otap/notify?id=dev1"), b"900 Success", Framing::Length)
                    .header("User-Agent", &format!("TC65i/{IMEI} Profile/IMP-NG"));
            assert_eq!(send(&server, &notify).status, 500);
        }
        server.stop();
    }
}

#[test]
fn a_store_that_recovers_is_used_again() {
    let tree = published();
    let broken = Arc::new(AtomicBool::new(true));
    let open: OpenStore = {
        let broken = broken.clone();
        let mut open = sqlite(&tree);
        Box::new(move |until| if broken.load(Ordering::SeqCst) { Err(busy()) } else { open(until) })
    };
    let server = Server::start_with(&tree, Limits::default(), open);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    assert!(!device.check().outcome.is_upgrade());
    broken.store(false, Ordering::SeqCst);
    let patience = Instant::now() + Duration::from_secs(10);
    while !device.check().outcome.is_upgrade() {
        assert!(Instant::now() < patience, "the store is not opened again");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn silent_clients_are_dropped_and_patient_ones_are_not() {
    let mut tree = published();
    let big = vec![7; 20 << 20];
    tree.write("jars/big.jar", &big);
    tree.release("0.10.67");
    let (idle, stall) = (Duration::from_millis(2400), Duration::from_secs(3));
    let limits = Limits { idle, stall, ..Limits::default() };
    let server = Server::start_with(&tree, limits, unopened());
    let request = "GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n";
    let download = "GET /jars/big.jar HTTP/1.1\r\nHost: h\r\n\r\n";

    let [mut silent, mut half, mut trickling, mut regular, mut stalled, mut slow] =
        [(); 6].map(|()| server.connect());
    half.write_all(&request.as_bytes()[..9]).unwrap();
    stalled.write_all(download.as_bytes()).unwrap();
    slow.write_all(download.as_bytes()).unwrap();
    let mut buffer = vec![0; 64 << 10];
    let mut slowly = 0;
    let mut asked = Instant::now() - idle;
    for byte in request.bytes().take(30) {
        // A head that comes byte by byte never comes.
        let _ = trickling.write_all(&[byte]);
        // Long enough between two requests to be put aside, not long enough to be dropped.
        if asked.elapsed() >= idle / 2 {
            asked = Instant::now();
            regular.write_all(request.as_bytes()).unwrap();
            assert!(read(&regular, &mut buffer).unwrap() > 0);
        }
        for _ in 0..16 {
            slowly += read(&slow, &mut buffer).unwrap();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    for dropped in [&mut silent, &mut half, &mut trickling] {
        dropped.set_nonblocking(true).unwrap();
        let end = read(dropped, &mut buffer);
        let gone =
            matches!(&end, Ok(0)) || end.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
        assert!(gone, "{end:?}");
    }
    regular.write_all(request.as_bytes()).unwrap();
    assert!(read(&regular, &mut buffer).unwrap() > 0);
    let rest = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        rest.len()
    };
    // What the kernel had taken is all that the stalled one gets.
    assert!(rest(&mut stalled) < big.len());
    assert!(slowly + rest(&mut slow) > big.len());
}

#[test]
fn beyond_the_limit_the_longest_idle_connection_gives_way() {
    let tree = published();
    let limits = Limits { connections: 8, active: 4, ..Limits::default() };
    let server = Server::start_with(&tree, limits, sqlite(&tree));
    let request = "GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut buffer = [0; 4096];
    let mut idle: Vec<_> = (0..8).map(|_| server.connect()).collect();
    // As many have begun a request as may, and none goes on.
    for stream in &mut idle[4..] {
        stream.write_all(&request.as_bytes()[..9]).unwrap();
    }
    for _ in 0..20 {
        let check = server.device("dev1", IMEI, "0.10.66").check();
        assert_eq!(check.outcome, CheckOutcome::Checked(Answered::default()));
    }
    // What is answered near the limit does not stay. Each check may have taken one of the eight away.
    let others: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let mut crowded = server.connect();
    crowded.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    crowded.read_to_end(&mut reply).unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("connection: close\r\n"));
    assert_eq!(read(&idle[0], &mut buffer).unwrap(), 0, "the first one was closed");
    drop((idle, others));
    std::thread::sleep(Duration::from_millis(100));
    let mut roomy = server.connect();
    for _ in 0..2 {
        roomy.write_all(request.as_bytes()).unwrap();
        assert!(read(&roomy, &mut buffer).unwrap() > 0);
    }
}

#[test]
fn a_post_is_answered_whatever_stood_before_it() {
    let tree = published();
    let server = Server::start(&tree);
    let check = |length: &str| {
        format!(
            "POST /otap/version HTTP/1.1\r\nUser-Agent: GW/{IMEI}\r\nConnection: close\r\n{length}\r\n0.10.65"
        )
    };
    let get = "GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n";
    let good = check("Content-Length: 7\r\n");
    for (before, upgrade) in [
        (String::new(), 1),
        ("\r\n".into(), 1),
        ("\r\n\n\r\n".into(), 1),
        (get.into(), 1),
        (get.repeat(3), 1),
        (good.replace("Connection: close\r\n", ""), 1),
        // What a proxy has left of another request.
        ("0.10.65".into(), 1),
        ("garbage\r\n\r\n".into(), 0),
        (" ".into(), 0),
    ] {
        let reply = server.raw(format!("{before}{good}"));
        assert!(reply.ends_with(&format!("\r\n\r\n{{\"upgrade\":{upgrade}}}")), "{before:?}: {reply:?}");
        assert!(!reply.contains("HTTP/1.1 4"), "{before:?}: {reply:?}");
        // The same where it is hardly HTTP.
        let reply = server.raw(format!("{before}{}", check("Content-Length: x\r\n")));
        assert!(reply.ends_with(&format!("\r\n\r\n{NO}")), "{before:?}: {reply:?}");
        assert!(!reply.contains("HTTP/1.1 4"), "{before:?}: {reply:?}");
    }
    // Later than what stood before it, and cut off.
    let mut stream = server.connect();
    let mut buffer = [0; 4096];
    stream.write_all(get.as_bytes()).unwrap();
    assert!(read(&stream, &mut buffer).unwrap() > 0);
    stream.write_all(b"POST /otap/version HTTP/1.1\r\nUser-Agent: GW/").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_raw_no(&reply);
}

#[test]
fn half_a_request_that_does_not_go_on_is_answered() {
    let tree = published();
    let limits = Limits { idle: Duration::from_millis(400), ..Limits::default() };
    let server = Server::start_with(&tree, limits, sqlite(&tree));
    assert_raw_no(&server.raw("POST /otap/version HTTP/1.1\r\nUser-Agent: GW/"));
    assert_eq!(server.raw("GET /otap/version HTTP/1.1\r\nUser-Agent: GW/"), "");
}

#[test]
fn a_shutdown_answers_what_is_under_way() {
    let tree = published();
    let server = Server::start(&tree);
    let mut idle = server.connect();
    idle.write_all(b"GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut buffer = [0; 4096];
    assert!(read(&idle, &mut buffer).unwrap() > 0);
    let mut posting = server.connect();
    let head = format!(
        "POST /otap/notify?id=dev1 HTTP/1.1\r\nUser-Agent: TC65i/{IMEI}\r\nContent-Length: 11\r\n\r\n"
    );
    posting.write_all(head.as_bytes()).unwrap();
    // The head is read by now; the body comes when the server is already closing.
    std::thread::sleep(Duration::from_millis(200));
    let poster = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        posting.write_all(b"900 Success").unwrap();
        let mut reply = String::new();
        posting.read_to_string(&mut reply).unwrap();
        reply
    });
    let start = Instant::now();
    server.stop();
    assert!(start.elapsed() < Duration::from_secs(5));
    let reply = poster.join().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply:?}");
    assert!(reply.contains("content-length: 0\r\n"), "{reply:?}");
    assert_eq!(read(&idle, &mut buffer).unwrap(), 0);
}

#[test]
fn many_at_once_all_get_their_own_answer() {
    let tree = published();
    let release = otapress_release(&tree);
    let imeis: Vec<String> = (0..64).map(|i| format!("3520990000000{i:02}")).collect();
    for (i, imei) in imeis.iter().enumerate() {
        let mut file = offer(&release);
        file.settings = vec![setting("tid", &format!("{i:02}"))];
        file.offer.generation = Some(format!("g{i}"));
        tree.vc(imei, &file);
    }
    let server = Server::start(&tree);
    std::thread::scope(|scope| {
        for (i, imei) in imeis.iter().enumerate() {
            let mut device = server.device("dev1", imei, "0.10.65");
            scope.spawn(move || {
                for _ in 0..5 {
                    assert!(device.check().outcome.is_upgrade(), "{imei}");
                    assert_eq!(device.settings.get("tid"), Some(&*format!("{i:02}")));
                }
            });
        }
    });
}
