//! `otapress-cgi` as a server runs it: environment, standard input, standard output.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::programs::{copy_program, otapress_cgi};
use otapress_responder::record::{DeviceRecord, EventKind};
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::SqliteStore;
use serde_json::json;

use crate::cases::{self, Request, Response};

const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;
const MODEM: &str = "TC65i/123456789012345 Profile/IMP-NG Configuration/CLDC-1.1";

struct Site {
    directory: tempfile::TempDir,
}

/// What a process left: its response, and what it said on stderr.
pub type Left = (Response, String);

impl Site {
    /// A site with one device that is offered 0.10.66.
    fn new() -> Self {
        let site = Site { directory: tempfile::tempdir().unwrap() };
        cases::publish_site(&site.out());
        cases::publish(&site.out(), "123456789012345", &aimed(None));
        site
    }

    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn database(&self) -> PathBuf {
        self.state().join("otapress.db")
    }

    fn command(&self) -> Command {
        command(otapress_cgi(), &self.out(), &self.state())
    }

    fn check(&self) -> Left {
        run(self.command(), &check_request("123456789012345"))
    }

    fn notify(&self) -> Left {
        run(self.command(), &notify_request())
    }

    fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.state(), Duration::from_secs(5)).unwrap()
    }
}

fn aimed(rate: Option<u32>) -> serde_json::Value {
    let mut file = json!({
        "upgrade": 1,
        "offer": {
            "target": {
                "version": "0.10.66",
                "rollout": "next/0.10.66",
                "channel": "next",
                "attempts": 3,
                "brake": {"artifactFaults": 3, "failuresBp": 2000, "after": 1000},
            },
            "interval": 10800,
        },
    });
    if let Some(rate) = rate {
        file["offer"]["target"]["rate"] = rate.into();
    }
    file
}

fn check_request(imei: &str) -> Request {
    Request {
        method: "POST".into(),
        path: "/otap/version".into(),
        agent: Some(format!("GW/{imei}")),
        body: b"0.10.65".to_vec(),
    }
}

fn notify_request() -> Request {
    Request {
        method: "POST".into(),
        path: "/otap/notify?id=dev1".into(),
        agent: Some(MODEM.into()),
        body: b"900 Success".to_vec(),
    }
}

pub fn command(program: &Path, out: &Path, state: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("OTAPRESS_OUT", out).env("OTAPRESS_STATE", state);
    command
}

/// Sends a request as a server would.
pub fn run(mut command: Command, request: &Request) -> Left {
    command
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REQUEST_METHOD", &request.method)
        .env("REQUEST_URI", &request.path)
        .env("CONTENT_LENGTH", request.body.len().to_string());
    if let Some(agent) = &request.agent {
        command.env("HTTP_USER_AGENT", agent);
    }
    feed(command, &request.body)
}

/// Runs a process on a body, which it must read to its end.
fn feed(mut command: Command, body: &[u8]) -> Left {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let body = body.to_vec();
    let writer = thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().expect("the body is read to its end");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(log.lines().all(|line| line.starts_with("otapress-cgi: ") && !line.contains('\x1b')), "{log}");
    (response(&output.stdout), log)
}

fn response(output: &[u8]) -> Response {
    let text = String::from_utf8(output.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
    };
    Response {
        status: header("Status").unwrap()[..3].parse().unwrap(),
        content_type: header("Content-Type"),
        length: header("Content-Length").map(|length| length.parse().unwrap()),
        body: body.to_owned(),
    }
}

#[track_caller]
fn is_check(left: &Left, body: &str, log: &str) {
    let expected = Response {
        status: 200,
        content_type: Some("application/json".into()),
        length: Some(body.len()),
        body: body.into(),
    };
    assert_eq!(left.0, expected, "{}", left.1);
    assert!(if log.is_empty() { left.1.is_empty() } else { left.1.contains(log) }, "{}", left.1);
}

#[track_caller]
fn is_notify(left: &Left, status: u16) {
    let expected = Response { status, content_type: None, length: Some(0), body: String::new() };
    assert_eq!(left.0, expected, "{}", left.1);
}

#[test]
fn replays_the_golden_cases() {
    cases::replay(
        |out, state| (out.to_owned(), state.to_owned()),
        |(out, state), request| run(command(otapress_cgi(), out, state), request).0,
    );
}

#[test]
fn the_response_is_cgi() {
    let site = Site::new();
    let mut command = site.command();
    command.env("REQUEST_METHOD", "POST").env("HTTP_USER_AGENT", "GW/123456789012345");
    command.stdin(Stdio::null());
    let output = command.output().unwrap();
    let head = "Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), head.to_owned() + NO);
    let output = site.command().env("REQUEST_METHOD", "GET").env("REQUEST_URI", "/otap/version").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert_eq!(text, "Status: 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n");
}

/// What a GET or HEAD of a path is answered with, byte for byte.
fn fetch(site: &Site, method: &str, path: &str, user: &str) -> (String, String) {
    let mut command = site.command();
    command.env("REQUEST_METHOD", method).env("REQUEST_URI", path).env("REMOTE_USER", user);
    let output = command.stdin(Stdio::null()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn files_are_sent_where_the_server_hands_over_gets() {
    const JAD: &str = "Status: 200 OK\r\nContent-Type: text/vnd.sun.j2me.app-descriptor\r\n\
         Cache-Control: no-cache, no-transform\r\nContent-Length: 12\r\n\r\n";
    let refused = |status: &str, allow: &str| format!("Status: {status}\r\n{allow}Content-Length: 0\r\n\r\n");
    let site = Site::new();
    let jar = "jars/0.10.66/0123456789abcdef/OwnTracks.jar";
    for (path, content) in
        [("files/dev1/OwnTracks.jad", "MIDlet-1: x\n"), (jar, "PK"), ("vc/x.jad", "secret")]
    {
        let file = site.out().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let (path, silent) = ("/files/dev1/OwnTracks.jad", String::new());
    assert_eq!(fetch(&site, "GET", path, ""), (format!("{JAD}MIDlet-1: x\n"), silent.clone()));
    assert_eq!(fetch(&site, "HEAD", &format!("{path}?x"), ""), (JAD.to_owned(), silent.clone()));
    let immutable = "Status: 200 OK\r\nContent-Type: application/java-archive\r\n\
         Cache-Control: public, max-age=31536000, immutable, no-transform\r\nContent-Length: 2\r\n\r\nPK";
    assert_eq!(fetch(&site, "GET", &format!("/{jar}"), ""), (immutable.to_owned(), silent.clone()));
    assert_eq!(
        fetch(&site, "GET", "/files/dev2/OwnTracks.jad", ""),
        (refused("404 Not Found", ""), silent.clone())
    );
    for (method, path) in [("GET", "/vc/x.jad"), ("GET", "/otapress.json"), ("GET", "/"), ("PUT", path)] {
        let expected = (refused("405 Method Not Allowed", "Allow: POST\r\n"), silent.clone());
        assert_eq!(fetch(&site, method, path, ""), expected, "{method} {path}");
    }

    // A site with passwords, behind a server that asks for them, and one that does not.
    let file = site.out().join("otapress.json");
    let open = fs::read_to_string(&file).unwrap();
    fs::write(&file, open.replace("\"auth\":false", "\"auth\":true")).unwrap();
    assert_eq!(fetch(&site, "GET", path, "ota").0, format!("{JAD}MIDlet-1: x\n"));
    let why = "otapress-cgi: `files/dev1/OwnTracks.jad` is refused: the server did not ask for a password\n";
    assert_eq!(fetch(&site, "GET", path, ""), (refused("403 Forbidden", ""), why.to_owned()));
}

#[test]
fn the_path_is_found_without_request_uri() {
    let site = Site::new();
    let mut command = site.command();
    command
        .env("REQUEST_METHOD", "POST")
        .env("SCRIPT_NAME", "/otap")
        .env("PATH_INFO", "/notify")
        .env("QUERY_STRING", "id=dev1")
        .env("HTTP_USER_AGENT", MODEM)
        .env("CONTENT_LENGTH", "11");
    is_notify(&feed(command, b"900 Success"), 200);
    let mut clients = Vec::new();
    let read = site.store().read(&mut |tx| {
        let named =
            |device: &DeviceRecord| device.client.as_ref().is_some_and(|client| client.as_str() == "dev1");
        clients = tx.devices(None, 10)?.into_iter().filter(named).collect();
        Ok(())
    });
    read.unwrap();
    assert_eq!(clients.len(), 1);
}

#[test]
fn a_missing_or_senseless_content_length_means_to_the_end() {
    for length in [None, Some(""), Some("chunked"), Some("-1")] {
        let site = Site::new();
        let mut command = site.command();
        command
            .env("REQUEST_METHOD", "POST")
            .env("REQUEST_URI", "/otap/version")
            .env("HTTP_USER_AGENT", "GW/123456789012345");
        length.map(|length| command.env("CONTENT_LENGTH", length));
        is_check(&feed(command, b"0.10.65"), YES, "");
    }
}

#[test]
fn a_body_that_is_cut_off_is_not_a_version() {
    let site = Site::new();
    let mut command = site.command();
    command
        .env("REQUEST_METHOD", "POST")
        .env("REQUEST_URI", "/otap/version")
        .env("HTTP_USER_AGENT", "GW/123456789012345")
        .env("CONTENT_LENGTH", "7");
    is_check(&feed(command, b"0.10.6"), NO, "bad-version: `0.10.6`");
}

#[test]
fn ten_megabytes_are_read_to_their_end() {
    let site = Site::new();
    let mut request = check_request("123456789012345");
    request.body = vec![b'1'; 10_000_000];
    is_check(&run(site.command(), &request), NO, "bad-version: `1111");
}

#[test]
fn a_stranger_no_agent_and_no_text_get_a_no() {
    let site = Site::new();
    is_check(&run(site.command(), &check_request("999999999999999")), NO, "unknown-device");
    let mut request = check_request("123456789012345");
    request.body = b"\xff\xfe0.10.65".to_vec();
    is_check(&run(site.command(), &request), NO, "bad-version: `\u{ff}\u{fe}0.10.65`");
    request.agent = None;
    is_check(&run(site.command(), &request), NO, "no-imei");
}

#[test]
fn what_is_published_may_be_missing_or_broken() {
    let site = Site::new();
    let file = site.out().join("vc/123456789012345.json");
    fs::write(&file, r#"{"upgrade":1}"#).unwrap();
    is_check(&site.check(), NO, "no-answer-file: cannot read");
    fs::write(&file, "").unwrap();
    is_check(&site.check(), NO, "no-answer-file: cannot read");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    is_check(&site.check(), NO, "no-answer-file: cannot read");
    fs::remove_dir(&file).unwrap();
    is_check(&site.check(), NO, "unknown-device");
    fs::remove_dir_all(site.out()).unwrap();
    is_check(&site.check(), NO, "no-answer-file: cannot read");
    is_notify(&site.notify(), 200);
}

#[test]
fn without_its_variables_it_says_no() {
    let site = Site::new();
    let mut command = site.command();
    command.env_remove("OTAPRESS_OUT");
    is_check(&run(command, &check_request("123456789012345")), NO, "`OTAPRESS_OUT` is not set");
    for (state, why) in
        [("", "is not set"), ("postgres://db/otapress", "is a URL; here it must be a directory")]
    {
        let mut command = site.command();
        command.env("OTAPRESS_STATE", state);
        is_check(&run(command, &check_request("123456789012345")), NO, why);
        let mut command = site.command();
        command.env("OTAPRESS_STATE", state);
        is_notify(&run(command, &notify_request()), 500);
    }
}

#[test]
fn a_log_that_cannot_be_written_takes_nobodys_answer() {
    let site = Site::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = site.command();
    command.env("REQUEST_METHOD", "POST").env("HTTP_USER_AGENT", "GW/999999999999999").stderr(full);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(response(&output.stdout).body, NO);
}

#[test]
fn a_state_that_is_a_file_is_no_state() {
    let site = Site::new();
    fs::write(site.state(), "").unwrap();
    is_check(&site.check(), NO, "no-state: cannot use");
    is_notify(&site.notify(), 500);
}

/// A user other than root, and the program where that user can run it: permissions mean nothing to root.
fn as_nobody(site: &Site) -> impl Fn() -> Command + use<'_> {
    let program = site.directory.path().join("otapress-cgi");
    copy_program(otapress_cgi(), &program);
    fs::set_permissions(site.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    move || {
        let mut command = command(&program, &site.out(), &site.state());
        if rustix::process::geteuid().is_root() {
            command.uid(65534).gid(65534);
        }
        command
    }
}

#[test]
fn a_read_only_state_is_no_state() {
    let site = Site::new();
    let command = as_nobody(&site);
    let check = || run(command(), &check_request("123456789012345"));
    let notify = || run(command(), &notify_request());
    let protect = |mode| fs::set_permissions(site.state(), fs::Permissions::from_mode(mode)).unwrap();

    fs::create_dir(site.state()).unwrap();
    protect(0o555);
    is_check(&check(), NO, "no-state: cannot use");
    is_notify(&notify(), 500);

    // The same with a database that is there.
    protect(0o777);
    is_check(&check(), YES, "");
    is_notify(&notify(), 200);
    for entry in fs::read_dir(site.state()).unwrap() {
        fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o444)).unwrap();
    }
    protect(0o555);
    let mut other = notify_request();
    other.body = b"905 x".to_vec();
    is_notify(&run(command(), &other), 500);
    let mut other = check_request("123456789012345");
    other.body = b"0.10.64".to_vec();
    is_check(&run(command(), &other), NO, "no-state: cannot use");
    protect(0o777);
}

#[test]
fn a_full_disk_is_no_state() {
    let site = Site::new();
    // No file may grow beyond this; the shell ignores the signal that comes with it, as the disk would.
    let limited = |blocks: u32| {
        let mut command = Command::new("/bin/sh");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\"");
        command.args(["-c", &script]).arg(otapress_cgi());
        command.env_clear().env("OTAPRESS_OUT", site.out()).env("OTAPRESS_STATE", site.state());
        command
    };
    is_check(&run(limited(0), &check_request("123456789012345")), NO, "no-state: cannot use");
    is_notify(&run(limited(0), &notify_request()), 500);
    let left: Vec<_> = fs::read_dir(site.state()).unwrap().collect();
    assert!(left.is_empty(), "a database that could not be made is not left behind: {left:?}");

    is_check(&site.check(), YES, "");
    is_notify(&run(limited(0), &notify_request()), 500);
    let mut other = check_request("123456789012345");
    other.body = b"0.10.64".to_vec();
    is_check(&run(limited(0), &other), NO, "no-state: cannot use");
    is_notify(&site.notify(), 200);
    let mut kinds = Vec::new();
    let mut read = |tx: &mut dyn otapress_responder::store::Tx| {
        kinds = tx.events(0, 10)?.into_iter().map(|(_, event)| event.kind).collect();
        Ok(())
    };
    site.store().read(&mut read).unwrap();
    assert_eq!(kinds, [EventKind::FirstSeen, EventKind::Offered, EventKind::Installed], "once there is room");
}

#[test]
fn a_corrupt_database_is_no_state() {
    let site = Site::new();
    is_check(&site.check(), YES, "");
    fs::write(site.database(), "no database at all".repeat(1000)).unwrap();
    is_check(&site.check(), NO, "no-state: cannot use");
    is_notify(&site.notify(), 500);
    // The first page is good, the others are not.
    let site = Site::new();
    drop(site.store());
    let mut bytes = fs::read(site.database()).unwrap();
    bytes[4096..].fill(0xee);
    fs::write(site.database(), bytes).unwrap();
    is_check(&site.check(), NO, "no-state: cannot use");
    is_notify(&site.notify(), 500);
}

#[test]
fn a_locked_database_is_waited_for_ten_seconds() {
    let site = Site::new();
    drop(site.store());
    let other = rusqlite::Connection::open(site.database()).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| is_check(&site.check(), NO, "is locked by another process"));
        scope.spawn(|| is_notify(&site.notify(), 500));
    });
    assert!((10..15).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| site.notify());
        thread::sleep(Duration::from_secs(1));
        other.execute_batch("COMMIT").unwrap();
        is_notify(&waiting.join().unwrap(), 200);
    });
}

#[test]
fn sixty_four_at_once_lose_nothing() {
    const AT_ONCE: usize = 64;
    let site = Site::new();
    let imei = |n: usize| format!("1234567890{n:05}");
    for n in 0..AT_ONCE {
        cases::publish(&site.out(), &imei(n), &aimed(Some(40)));
    }
    let command = &|| site.command();
    let run_all = |request: &(dyn Fn(usize) -> Request + Sync)| -> Vec<String> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|n| {
                    scope.spawn(move || {
                        let (response, log) = run(command(), &request(n));
                        assert_eq!((response.status, &*log), (200, ""), "client {n}");
                        response.body
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        })
    };
    // The first of them make the database. Everybody asks, 40 are offered the upgrade.
    let answers = run_all(&|n| check_request(&imei(n)));
    let offered: Vec<usize> = (0..AT_ONCE).filter(|&n| answers[n] == YES).collect();
    assert_eq!(offered.len(), 40, "{answers:?}");

    // Everybody posts a result, three times, every fourth a failure.
    let failures = AtomicU32::new(0);
    for round in 0..3 {
        run_all(&|n| {
            let fails = n % 4 == 0;
            if fails && round == 0 && offered.contains(&n) {
                failures.fetch_add(1, Ordering::Relaxed);
            }
            Request {
                path: format!("/otap/notify?id=dev{n}"),
                agent: Some(format!("TC65i/{} Profile/IMP-NG", imei(n))),
                body: if fails { b"903 Loss of service".to_vec() } else { b"900 Success".to_vec() },
                ..notify_request()
            }
        });
    }
    // Those that did not fail report the target.
    run_all(&|n| {
        let upgraded = offered.contains(&n) && n % 4 != 0;
        let body = if upgraded { b"0.10.66".to_vec() } else { b"0.10.65".to_vec() };
        Request { body, ..check_request(&imei(n)) }
    });
    let failures = failures.into_inner();
    let read = site.store().read(&mut |tx| {
        let rollout = tx.rollout("next/0.10.66")?;
        assert_eq!((rollout.offered, rollout.failed, rollout.succeeded), (40, failures, 40 - failures));
        let events = tx.events(0, 10_000)?;
        let count = |kind| events.iter().filter(|(_, event)| event.kind == kind).count();
        assert_eq!(count(EventKind::FirstSeen), AT_ONCE);
        assert_eq!(count(EventKind::Installed), AT_ONCE - AT_ONCE / 4);
        assert_eq!(count(EventKind::Failed), AT_ONCE / 4, "each result once");
        assert_eq!(count(EventKind::Upgraded), (40 - failures) as usize);
        assert_eq!(count(EventKind::IdentityMismatch), 0);
        Ok(())
    });
    read.unwrap();
}

#[test]
fn an_exiting_process_leaves_the_log_and_a_later_one_copies_it() {
    let site = Site::new();
    is_check(&site.check(), YES, "");
    let log = site.state().join("otapress.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0, "no checkpoint at exit");
    let mut largest = 0;
    for n in 0..120 {
        let mut request = notify_request();
        request.body = format!("999 result {n}").into_bytes();
        is_notify(&run(site.command(), &request), 200);
        largest = largest.max(fs::metadata(&log).unwrap().len());
    }
    assert!(largest < 2 << 20, "{largest} bytes");
    let mut header = [0; 16];
    fs::File::open(site.database()).unwrap().read_exact(&mut header).unwrap();
    assert_eq!(&header, b"SQLite format 3\0");
}
