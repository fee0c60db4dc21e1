//! The command `otapress serve`: what it builds, what it serves, what it refuses, what it notices.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::cases;
use crate::support::process::{Fleet, PATIENCE, Serve, YAML, jar, otapress, tree, wait_until};

const IMEI: &str = "352099001761481";
const JAD: &str = "/files/dev1/OwnTracks.jad";
const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;

/// A fleet whose JADs and JARs are for those with the password only.
fn with_password() -> Fleet {
    let auth = "  otapUser: ota\n  otapPasswordFile: secrets/otap\nmidlet:";
    let fleet = Fleet::new(&YAML.replace("midlet:", auth));
    fleet.write("secrets/otap", "open:sesame\n");
    fleet
}

fn authorization(user: &str, password: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

/// The path of the JAR that a JAD names.
fn jar_of(jad: &str) -> &str {
    let url = jad.lines().find_map(|line| line.strip_prefix("MIDlet-Jar-URL: ")).unwrap();
    url.strip_prefix("http://ota.example.com").unwrap()
}

#[track_caller]
fn assert_refuses(output: &Output, message: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = std::str::from_utf8(&output.stderr).unwrap();
    assert!(said.contains(message), "{said}");
    assert!(!said.contains("on http://"), "{said}");
}

#[test]
fn it_builds_first_and_says_where_it_listens() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    assert!(serve.address.ip().is_loopback());
    assert_ne!(serve.address.port(), 0);
    let log = serve.log();
    assert!(log.starts_with("published 1 device: ") && log.lines().count() == 2, "{log}");
    let jad = serve.get(JAD);
    assert_eq!((jad.status, &jad.body), (200, &fs::read(fleet.path("out").join(&JAD[1..])).unwrap()));
    let jar = serve.get(jar_of(jad.text()));
    assert_eq!((jar.status, &jar.body), (200, &crate::support::process::jar("0.10.66")));
    assert_eq!(serve.check(IMEI, "0.10.65").text(), YES);
    assert_eq!(serve.notify("dev1", IMEI, "900 Success").status, 200);
    assert_eq!(serve.check(IMEI, "0.10.66").text(), NO);
    let ended = serve.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.ends_with("shutting down\n"), "{}", ended.log);
}

#[test]
fn without_a_build_it_serves_what_is_there_even_if_the_fleet_has_mistakes() {
    let fleet = Fleet::new(YAML);
    assert_refuses(
        &fleet.run(&["serve", "--no-build"]),
        "out` is not a published directory: run `otapress build`",
    );
    assert!(fleet.run(&["build"]).status.success());
    let before = fleet.tree("out");
    fleet.write("fleet.yaml", "nonsense");
    let serve = fleet.serve(&["--no-build"]);
    assert_eq!(serve.get(JAD).status, 200);
    assert_eq!(serve.check(IMEI, "0.10.65").text(), YES);
    drop(serve);
    fs::remove_file(fleet.path("fleet.yaml")).unwrap();
    let serve = fleet.serve(&["--no-build", "--quiet"]);
    assert_eq!(serve.get(JAD).status, 200);
    assert_eq!(serve.log().lines().count(), 1, "only where it listens");
    assert!(fleet.tree("out") == before);
}

#[test]
fn a_fleet_with_mistakes_is_neither_built_nor_served() {
    let fleet = Fleet::new(&YAML.replace("next: 0.10.66", "next: 0.10.99").replace("481", "48x"));
    let output = fleet.run(&["serve", "--listen", "127.0.0.1:0"]);
    let file = fleet.path("fleet.yaml");
    assert_refuses(&output, &format!("{}:7:19: error[", file.display()));
    assert_refuses(&output, &format!("{}:10:", file.display()));
    assert_refuses(&output, "nothing was published");
    assert!(!fleet.path("out").exists());
}

#[test]
fn a_port_that_is_taken_is_said_so() {
    let fleet = Fleet::new(YAML);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = format!("error: cannot listen on {address}: Address already in use");
    assert_refuses(&fleet.run(&["serve", "--listen", &address]), &message);
    assert_refuses(&fleet.run(&["serve", "--watch", "--listen", &address]), &message);
    let usage = |arguments: &[&str]| fleet.run(arguments).status.code();
    assert_eq!(usage(&["serve", "--listen", "nowhere"]), Some(2));
    assert_eq!(usage(&["serve", "--watch", "--no-build"]), Some(2));
}

#[test]
fn jads_and_jars_are_for_those_who_know_the_password() {
    let fleet = with_password();
    let serve = fleet.serve(&[]);
    let get = |path: &str, extra: &str| serve.ask("GET", path, "TC65i/352099001761481", extra, "");
    let right = authorization("ota", "open:sesame");
    let jad = get(JAD, &right);
    let jar = jar_of(jad.text());
    for path in [JAD, jar] {
        assert_eq!(get(path, &right).status, 200);
        for wrong in [
            "".into(),
            authorization("ota", "open"),
            authorization("OTA", "open:sesame"),
            authorization("", ""),
        ] {
            let reply = get(path, &wrong);
            assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Basic realm=\"otap\"")));
            assert_eq!(reply.body, b"");
        }
    }
    assert_eq!(get("/files/nobody/OwnTracks.jad", "").status, 401, "nobody learns who exists");
    assert_eq!(get("/files/nobody/OwnTracks.jad", &right).status, 404);
    // The device sends no password with these.
    assert_eq!(serve.check(IMEI, "0.10.65").text(), YES);
    assert_eq!(serve.notify("dev1", IMEI, "900 Success").status, 200);
    let log = serve.terminate().log;
    assert!(!log.contains("sesame"), "{log}");
    assert!(fleet.tree("out").iter().all(|(_, bytes)| !bytes.windows(6).any(|part| part == b"sesame")));
}

#[test]
fn without_the_password_nothing_is_served() {
    let fleet = with_password();
    assert!(fleet.run(&["build"]).status.success());
    let serve = |arguments: &[&str]| fleet.run(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat());
    for (content, message) in [
        (&b"\n"[..], "must hold the password in one line"),
        (b"a\nb\n", "in one line"),
        (b"\xff", "is not text"),
    ] {
        fleet.write("secrets/otap", content);
        assert_refuses(&serve(&["--no-build"]), message);
        assert_refuses(&serve(&[]), "secrets/otap");
    }
    fs::remove_file(fleet.path("secrets/otap")).unwrap();
    assert_refuses(&serve(&["--no-build"]), "secrets/otap");
    fleet.write("secrets/otap", "sesame");
    fleet.edit("fleet.yaml", "site:", "sight:");
    assert_refuses(&serve(&["--no-build"]), "the JADs need basic auth, and `");
    fs::remove_file(fleet.path("fleet.yaml")).unwrap();
    assert_refuses(&serve(&["--no-build"]), "does not say who may fetch them");
}

#[test]
fn edits_are_built_and_served_while_it_watches() {
    let yaml = YAML.to_owned() + "inventory: [devices/*.csv]\n";
    let fleet = Fleet::new(&yaml);
    fleet.write("devices/vans.csv", "clientID,imei\nvan-1,352099001761499\n");
    let serve = fleet.serve(&["--watch"]);
    let jad = || serve.get(JAD).text().to_owned();
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        wait_until(holds, || format!("{what} is not served:\n{}", serve.log()));
    };
    assert!(jad().contains("MIDlet-Version: 0.10.66\n"));

    fleet.edit("fleet.yaml", "next: 0.10.66", "next: 0.10.65");
    eventually("the fleet file", &|| jad().contains("MIDlet-Version: 0.10.65\n"));
    // The JAD is published before the answer that sends a device there.
    eventually("the answer", &|| serve.check(IMEI, "0.10.65").text() == NO);

    fleet.edit("devices/vans.csv", "van-1", "van-2");
    eventually("the inventory", &|| serve.get("/files/van-2/OwnTracks.jad").status == 200);
    eventually("the removal", &|| serve.get("/files/van-1/OwnTracks.jad").status == 404);
    fleet.write("devices/more.csv", "clientID,imei\nvan-3,352099001761507\n");
    eventually("another inventory", &|| serve.get("/files/van-3/OwnTracks.jad").status == 200);

    let built_in = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/OwnTracks.jad"));
    fleet.write("templates/OwnTracks.jad", built_in.unwrap() + "X-Edited: yes\n");
    eventually("the first template", &|| jad().contains("X-Edited: yes\n"));
    fleet.edit("templates/OwnTracks.jad", "Edited: yes", "Edited: again");
    eventually("the edited template", &|| jad().contains("X-Edited: again\n"));

    fleet.write("jars/OwnTracks-0.10.67.jar", jar("0.10.67"));
    let published = || serve.get("/jars/SHA256SUMS").text().contains("0.10.67/");
    eventually("the new JAR", &published);
    fleet.edit("fleet.yaml", "next: 0.10.65", "next: 0.10.67");
    eventually("the new release", &|| jad().contains("MIDlet-Version: 0.10.67\n"));
    let path = jar_of(&jad()).to_owned();
    assert_eq!(serve.get(&path).body, jar("0.10.67"));
    assert_eq!(serve.terminate().code, Some(0));
}

#[test]
fn a_mistake_leaves_what_is_served_as_it_was_until_it_is_mended() {
    let fleet = with_password();
    let serve = fleet.serve(&["--watch"]);
    let before = fleet.tree("out");
    let status = |password: &str| serve.ask("GET", JAD, "", &authorization("ota", password), "").status;
    fleet.edit("fleet.yaml", "next: 0.10.66", "next: 0.10.99");
    serve.wait_for("1 error: nothing was published");
    serve.wait_for("fleet.yaml:9:19: error[");
    assert!(fleet.tree("out") == before);
    assert_eq!(status("open:sesame"), 200);
    assert_eq!(serve.check(IMEI, "0.10.65").text(), YES);
    fleet.edit("fleet.yaml", "next: 0.10.99", "next: 0.10.65");
    wait_until(|| serve.check(IMEI, "0.10.65").text() == NO, || serve.log());

    fleet.write("secrets/otap", "another\n");
    wait_until(|| status("another") == 200, || serve.log());
    assert_eq!(status("open:sesame"), 401);
    fleet.write("secrets/otap", "\n");
    serve.wait_for("must hold the password in one line");
    assert_eq!(status("another"), 200);
    fs::remove_dir_all(fleet.path("jars")).unwrap();
    serve.wait_for("error[jar-unreadable]");
    fleet.write("jars/OwnTracks-0.10.65.jar", jar("0.10.65"));
    fleet.write("secrets/otap", "open:sesame\n");
    wait_until(|| status("open:sesame") == 200, || serve.log());
    // It is quiet as long as nothing changes; the last edits may take it one more look.
    let is_quiet = || {
        let log = serve.log();
        std::thread::sleep(std::time::Duration::from_millis(2500));
        serve.log() == log
    };
    wait_until(is_quiet, || serve.log());
}

#[test]
fn what_another_process_builds_is_served_at_once() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    assert_eq!(serve.check(IMEI, "0.10.66").text(), NO);
    fleet.edit("fleet.yaml", "next: 0.10.66", "next: 0.10.65");
    fleet.edit("fleet.yaml", "/otap/notify?id=@", "/otap/result/@");
    assert!(fleet.run(&["build"]).status.success());
    assert!(serve.get(JAD).text().contains("MIDlet-Version: 0.10.65\n"));
    assert_eq!(serve.check(IMEI, "0.10.66").text(), YES);
    // The path is told from a version check by what is published now.
    let reply = serve.ask("POST", "/otap/result/dev1", "", "", "900 Success");
    assert_eq!((reply.status, reply.text()), (200, ""));
    let reply = serve.ask("POST", "/otap/notify?id=dev1", "", "", "900 Success");
    assert_eq!((reply.status, reply.text()), (200, NO));
    // Once the site asks for a password that the server was not told, nobody is let in.
    fleet.edit("fleet.yaml", "midlet:", "  otapUser: ota\n  otapPasswordFile: secrets/otap\nmidlet:");
    fleet.write("secrets/otap", "sesame");
    assert!(fleet.run(&["build"]).status.success());
    assert_eq!(serve.get(JAD).status, 401);
}

/// The headers, in the order in which they came, without the date.
fn head(reply: &str) -> Vec<&str> {
    let (head, _) = reply.split_once("\r\n\r\n").unwrap();
    head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("date: ")).collect()
}

fn raw(serve: &Serve, request: &str) -> String {
    let mut stream = TcpStream::connect(serve.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_example_fleet_is_served_as_devices_need_it() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let state = tempfile::tempdir().unwrap();
    let mut command = otapress(["serve", "--no-build", "--listen", "127.0.0.1:0"]);
    command.arg("--fleet").arg(example.join("fleet.yaml")).arg("--state").arg(state.path());
    let serve = Serve::start(command).unwrap();
    let out = example.join("out");
    let mut kinds = std::collections::BTreeSet::new();
    for (file, bytes) in tree(&out) {
        let path = format!("/{}", file.strip_prefix(&out).unwrap().to_str().unwrap());
        let reply = serve.get(&path);
        let said = |name| reply.header(name);
        let (kind, content_type, cache) = match path.rsplit_once('.') {
            Some((_, "jad")) => ("jad", "text/vnd.sun.j2me.app-descriptor", "no-cache, no-transform"),
            Some((_, "jar")) => {
                ("jar", "application/java-archive", "public, max-age=31536000, immutable, no-transform")
            }
            _ if path == "/jars/SHA256SUMS" => ("sums", "text/plain", "no-cache, no-transform"),
            // Nothing tells who is in the fleet.
            _ => {
                assert_eq!((reply.status, said("content-length")), (404, Some("0")), "{path}");
                continue;
            }
        };
        kinds.insert(kind);
        assert_eq!((reply.status, &reply.body), (200, &bytes), "{path}");
        assert_eq!((said("content-type"), said("cache-control")), (Some(content_type), Some(cache)));
        for absent in ["content-encoding", "transfer-encoding", "location"] {
            assert_eq!(said(absent), None, "{path}");
        }
        let compressed = serve.ask("GET", &path, "", "Accept-Encoding: gzip, br\r\n", "");
        assert_eq!((compressed.header("content-encoding"), &compressed.body), (None, &bytes));
    }
    assert_eq!(kinds.len(), 3);
    for path in [
        "/",
        "/files",
        "/files/",
        "/files/dev1",
        "/files/dev1/",
        "/jars/",
        "/state/otapress.db",
        "/fleet.yaml",
    ] {
        let reply = serve.get(path);
        assert_eq!((reply.status, reply.header("location"), reply.body.len()), (404, None, 0), "{path}");
    }
}

#[test]
fn http_1_0_is_spoken() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let reply = raw(&serve, &format!("GET {JAD} HTTP/1.0\r\n\r\n"));
    let jad = fs::read_to_string(fleet.path("out").join(&JAD[1..])).unwrap();
    let length = format!("content-length: {}", jad.len());
    assert_eq!(
        head(&reply),
        [
            "HTTP/1.0 200 OK",
            "content-type: text/vnd.sun.j2me.app-descriptor",
            "cache-control: no-cache, no-transform",
            &length,
            "connection: close",
        ]
    );
    assert!(reply.ends_with(&format!("\r\n\r\n{jad}")));
    let check =
        format!("POST /otap/version HTTP/1.0\r\nUser-Agent: GW/{IMEI}\r\nContent-Length: 7\r\n\r\n0.10.65");
    let reply = raw(&serve, &check);
    assert_eq!(
        head(&reply),
        ["HTTP/1.0 200 OK", "content-type: application/json", "content-length: 13", "connection: close"]
    );
    assert!(reply.ends_with(YES));
}

#[test]
fn a_check_is_answered_wherever_it_is_posted_and_with_an_upgrade_where_devices_ask() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let paths =
        ["/", JAD, "/otap/notify?id=dev1", "/vc/352099001761481.json", "/of/last/year?x=1", "/a%20b", "//"];
    for path in paths {
        for program in ["GW", "XAK"] {
            let reply = serve.ask("POST", path, &format!("{program}/{IMEI} UNTRUSTED/1.0"), "", "0.10.65");
            let answer = if path.starts_with("/otap/notify") { YES } else { NO };
            assert_eq!((reply.status, reply.text()), (200, answer), "{program} {path}");
        }
        let reply = serve.ask("POST", path, "GW/999999999999999", "", "0.10.65");
        assert_eq!((reply.status, reply.text()), (200, NO), "{path}");
    }
    assert_eq!(serve.ask("GET", "/otap/version", &format!("GW/{IMEI}"), "", "").status, 405);
}

#[test]
fn it_replays_the_golden_cases_of_cgi() {
    cases::replay(
        |out, state| {
            let mut command = otapress(["serve", "--quiet", "--no-build", "--listen", "127.0.0.1:0"]);
            command.arg("--out").arg(out).arg("--state").arg(state);
            Serve::start(command).unwrap()
        },
        |serve, request| {
            let agent = request.agent.as_deref().unwrap_or_default();
            let mut client = serve.connect();
            let reply = client.send(&request.method, &request.path, agent, "", &request.body).unwrap();
            cases::Response {
                status: reply.status,
                content_type: reply.header("content-type").map(str::to_owned),
                length: reply.header("content-length").map(|length| length.parse().unwrap()),
                body: reply.text().to_owned(),
            }
        },
    );
}

#[test]
fn a_log_that_cannot_be_written_takes_nobodys_answer() {
    let fleet = Fleet::new(YAML);
    let mut serve = fleet.serve(&[]);
    // What reads the log ends; the disk on which it is kept being full is as bad.
    serve.deafen();
    for n in 0..20 {
        let reply = serve.check(&format!("9{n:014}"), "0.10.65");
        assert_eq!((reply.status, reply.text()), (200, NO));
    }
    // The thread of the store has something to say as well.
    fs::remove_dir_all(fleet.path("state")).unwrap();
    fs::write(fleet.path("state"), "a file in its place").unwrap();
    assert_eq!(serve.check(IMEI, "0.10.65").text(), NO);
    assert_eq!(serve.notify("dev1", IMEI, "900 Success").status, 500);
    fs::remove_file(fleet.path("state")).unwrap();
    wait_until(|| serve.check(IMEI, "0.10.65").text() == YES, || "the state is not used again".into());
    assert_eq!(serve.notify("dev1", IMEI, "900 Success").status, 200);
}

#[test]
fn trouble_with_the_state_is_said_once_and_not_every_second() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    assert_eq!(serve.check(IMEI, "0.10.65").text(), YES);
    fs::remove_dir_all(fleet.path("state")).unwrap();
    fs::write(fleet.path("state"), "a file in its place").unwrap();
    serve.wait_for(" ERROR cannot use `");
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(serve.log().matches("cannot").count(), 1, "{}", serve.log());
}
