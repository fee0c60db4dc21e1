//! A request to the CGI program: lines of `NAME=value`, an empty line, and the body.
#![no_main]

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use libfuzzer_sys::fuzz_target;
use otapress_responder::cgi;
use otapress_responder::message::{Agent, Program};

/// What no answer may hold.
const SECRET: &str = "swordfish";

struct World {
    dir: tempfile::TempDir,
    body: File,
    runs: u32,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::new({
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("out/vc")).expect("out/");
        fs::write(dir.path().join("secret"), SECRET).expect("a secret");
        fs::write(dir.path().join("out/otapress.json"), include_str!("../site.json")).expect("otapress.json");
        fs::write(dir.path().join("out/vc/352099001761481.json"), include_str!("../answer.json")).expect("an \
            answer");
        World { dir, body: tempfile::tempfile().expect("a file"), runs: 0 }
    });
}

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
    let body = bytes.get(end + 2..).unwrap_or_default();
    let variables: Vec<_> = bytes[..end]
        .split(|&b| b == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|&b| b == b'=')?;
            let value = line[at + 1..].iter().copied().filter(|&b| b != 0).collect();
            Some((&line[..at], OsString::from_vec(value)))
        })
        .collect();
    WORLD.with_borrow_mut(|world| {
        world.runs += 1;
        // What is remembered does not grow without end, and a run can be repeated.
        if world.runs.is_multiple_of(512) {
            let _ = fs::remove_dir_all(world.dir.path().join("state"));
        }
        let env = |name: &str| match name {
            "OTAPRESS_OUT" => Some(world.dir.path().join("out").into()),
            "OTAPRESS_STATE" => Some(world.dir.path().join("state").into()),
            _ => {
                variables.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value.clone())
            }
        };
        let mut input = &world.body;
        input.set_len(0).expect("truncated");
        input.rewind().expect("at its start");
        input.write_all(body).expect("written");
        input.rewind().expect("at its start");
        let mut outcome = cgi::run(&env, input, || 1_796_126_400);
        let mut sent = Vec::new();
        outcome.send(&mut sent).expect("in memory");
        let text = String::from_utf8(sent).expect("an answer is text");
        assert!(text.starts_with("Status: ") && text.is_ascii(), "{text:?}");
        assert!(!text.contains(SECRET) && !text.contains("rollout"), "{text:?}");
        let agent = env("HTTP_USER_AGENT").map(OsString::into_vec);
        let is_post = env("REQUEST_METHOD").is_some_and(|method| method == "POST");
        if is_post && Agent::parse(agent.as_deref()).program == Program::Midlet {
            assert!(text.starts_with("Status: 200 OK\r\n") && text.contains("{\"upgrade\":"), "{text:?}");
        }
        if let Some(log) = outcome.log() {
            assert!(!log.chars().any(char::is_control), "{log:?}");
        }
        // It is dropped and not finished: finishing leaves the database open, for the process to end with it.
        drop(outcome);
    });
});
