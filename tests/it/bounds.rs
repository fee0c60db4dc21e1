//! Input that is made to use memory or time up: both stay bounded.

use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use otapress_responder::store::UNKNOWN_LIMIT;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::jar::{JarBuilder, Member, zip};
use crate::support::process::{Fleet, PATIENCE, YAML, heavy};
use crate::support::project::{Project, Ran, SMALL};

/// How much address space a command has, in kibibytes: what it is, its threads, and not much more.
const SPACE: u64 = 768 << 10;

/// `otapress check` with bounded memory, which must come to an end soon.
#[track_caller]
fn check(project: &Project) -> Ran {
    let start = Instant::now();
    let script = format!("ulimit -v {SPACE} && exec \"$0\" check --color never");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_otapress")])
        .current_dir(project.path("."))
        .env("LC_ALL", "C")
        .output();
    let ran = Ran::new(output.unwrap());
    assert!(start.elapsed() < PATIENCE, "{:?}: {ran:?}", start.elapsed());
    ran
}

/// One error of a kind, shown in few words.
#[track_caller]
fn assert_refused(project: &Project, code: &str) {
    let ran = check(project);
    assert_eq!(ran.status, 1, "{ran:?}");
    let wanted = format!("error[{code}]");
    assert!(
        ran.stderr.contains(&wanted) && ran.stderr.len() < 4000,
        "{}",
        &ran.stderr[..ran.stderr.len().min(4000)]
    );
}

#[test]
fn aliases_cannot_multiply() {
    // Nine to the power of nine texts, in one kilobyte.
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let before = n - 1;
        let _ = writeln!(bomb, "a{n}: &a{n} [{}]", [format!("*a{before}")].repeat_comma(9));
    }
    assert_refused(&Project::new(&format!("{bomb}{SMALL}")), "yaml");
    // One long text, named often.
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), ["*a".to_owned()].repeat_comma(20_000));
    assert_refused(&Project::new(&format!("{long}{SMALL}")), "yaml");
}

trait Repeat {
    fn repeat_comma(&self, times: usize) -> String;
}

impl Repeat for [String; 1] {
    fn repeat_comma(&self, times: usize) -> String {
        vec![self[0].as_str(); times].join(", ")
    }
}

#[test]
fn nesting_has_an_end() {
    for open in ["[", "{ a: ", "- ", "? "] {
        assert_refused(&Project::new(&format!("{SMALL}x: {}", open.repeat(100_000))), "yaml");
    }
}

#[test]
fn long_texts_are_read_and_not_repeated() {
    let long = "x".repeat(10 << 20);
    let with = |field: &str| Project::new(&SMALL.replace("dev2: { ", &format!("dev2: {{ {field}: {long}, ")));
    // A comment may be as long as one likes.
    check(&with("comment")).expect(0, "", "checked 2 devices: no mistakes\n");
    for field in ["group", "unknown"] {
        let ran = check(&with(field));
        assert_eq!(ran.status, 1);
    }
}

#[test]
fn a_million_tiny_entries_are_no_jar() {
    let _alone = heavy();
    let jar = JarBuilder::new("OwnTracks", "0.10.66", "Choral").build();
    // The end record can count to 65535; what it leaves out is found.
    let mut archive = Vec::new();
    let header = {
        let mut header = b"PK\x03\x04".to_vec();
        header.resize(30, 0);
        header[26] = 1;
        header.push(b'a');
        header
    };
    // As many as fit what is read of a JAR at all.
    archive.extend(header.repeat(500_000));
    archive.extend(&jar);
    let project = Project::new(SMALL).file("jars/many.jar", &archive);
    assert_refused(&project, "jar-invalid");
    archive.splice(0..0, header.repeat(500_000));
    project.write("jars/many.jar", &archive);
    assert_refused(&project, "jar-unreadable");
    let members: Vec<_> = (0..65_535).map(|n| Member::stored(&format!("{n}"), b"")).collect();
    project.write("jars/many.jar", zip(&members));
    assert_refused(&project, "manifest-invalid");
}

#[test]
fn a_huge_manifest_is_not_unpacked() {
    let _alone = heavy();
    let mut manifest = JarBuilder::new("OwnTracks", "0.10.67", "Choral").manifest_bytes();
    manifest.extend(b"X: x\r\n".repeat((100 << 20) / 6));
    let jar = JarBuilder::new("OwnTracks", "0.10.67", "Choral").manifest(&manifest).deflated().build();
    assert!(jar.len() < 1 << 20);
    assert_refused(&Project::new(SMALL).file("jars/huge.jar", jar), "manifest-invalid");
}

/// What a server says to bytes, until it hangs up.
fn talk(fleet: &crate::support::process::Serve, bytes: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut stream = TcpStream::connect(fleet.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    for piece in bytes {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    // It may hang up in the middle of what is sent.
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    answer
}

/// The answer that keeps a device from asking again at once, or no more than the end of the connection.
#[track_caller]
fn assert_no(answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    assert!(text.is_empty() || text.ends_with("\r\n\r\n{\"upgrade\":0}"), "{text:?}");
}

#[test]
fn floods_of_headers_and_bodies_without_end_leave_the_server_as_it_was() {
    let _alone = heavy();
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let before = serve.peak_memory();
    let head = b"POST /otap/version HTTP/1.1\r\nUser-Agent: GW/352099001761481\r\n".to_vec();
    let many = std::iter::once(head.clone()).chain((0..4000).map(|_| b"X-Header: value\r\n".repeat(64)));
    assert_no(&talk(&serve, many));
    let long = std::iter::once(b"GET /".to_vec()).chain((0..64).map(|_| vec![b'x'; 1 << 16]));
    // No device does this, so that it may be told what is wrong.
    let answer = String::from_utf8(talk(&serve, long)).unwrap();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer:?}");
    let endless = std::iter::once([&head[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat())
        .chain((0..160).map(|_| [b"100000\r\n", &vec![b'1'; 1 << 20][..], b"\r\n"].concat()));
    assert_no(&talk(&serve, endless));
    let after = serve.peak_memory();
    assert!(after < before + (32 << 20), "{before} bytes before, and {after} after");
    assert_eq!(serve.check("352099001761481", "0.10.65").text(), r#"{"upgrade":1}"#);
}

#[test]
fn connections_without_end_keep_no_device_out_and_take_little_memory() {
    let _alone = heavy();
    // More than are served at a time.
    const CONNECTIONS: usize = 17_500;
    let allowed = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, ..allowed }).unwrap();
    assert!(
        allowed.maximum.is_none_or(|most| most > CONNECTIONS as u64 + 1000),
        "this test needs {CONNECTIONS} open files: raise the hard limit of `ulimit -n`"
    );
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let mut open = Vec::with_capacity(CONNECTIONS);
    let begun = [
        &b""[..],
        b"POST /otap/ver",
        &[b"POST /otap/version HTTP/1.1\r\nX: ", &[b'x'; 15 << 10][..]].concat(),
        b"POST /otap/version HTTP/1.1\r\nUser-Agent: GW/1\r\nContent-Length: 4000\r\n\r\n0.10",
        b"GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n",
        b"",
    ];
    for n in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(serve.address).unwrap();
        // It may have been closed already, to make room.
        let _ = stream.write_all(begun[n % begun.len()]);
        open.push(stream);
        if n % 1000 == 0 {
            let start = Instant::now();
            assert_eq!(serve.check("352099001761481", "0.10.66").text(), r#"{"upgrade":0}"#);
            assert!(start.elapsed() < Duration::from_secs(2), "{n}: {:?}", start.elapsed());
        }
    }
    let start = Instant::now();
    assert_eq!(serve.check("352099001761481", "0.10.65").text(), r#"{"upgrade":1}"#);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    let peak = serve.peak_memory();
    assert!(peak < 100 << 20, "{peak} bytes");
    drop(open);
    assert_eq!(serve.check("352099001761481", "0.10.66").text(), r#"{"upgrade":0}"#);
}

#[test]
fn a_flood_of_strangers_fills_no_disk() {
    let _alone = heavy();
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let mut client = serve.connect();
    for n in 0..UNKNOWN_LIMIT + 2000 {
        let agent = format!("GW/{:015}", u64::from(n) + 490_000_000_000_000);
        let reply = client.send("POST", "/otap/version", &agent, "", b"0.10.65").unwrap();
        assert_eq!(reply.text(), r#"{"upgrade":0}"#);
    }
    let size: u64 =
        fs::read_dir(fleet.path("state")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 32 << 20, "{size} bytes");
}
