//! What must not get out: the password of the JADs, files beside what is published, control characters in
//! logs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::process::{Fleet, YAML};
use crate::support::programs::otapress_cgi;
use crate::support::project::{Files, Project, Ran, SMALL, files};

const PASSWORD: &str = "swordfish";
const AUTH: &str = "  otapUser: ota\n  otapPasswordFile: secrets/otap\nmidlet:";

fn with_password() -> Project {
    Project::new(&SMALL.replace("midlet:", AUTH)).file("secrets/otap", format!("{PASSWORD}\n"))
}

/// Every command that could have something to say, but for those that are asked for the password.
const COMMANDS: &[&str] = &[
    "check",
    "check --format json",
    "check --format github",
    "plan",
    "plan --json",
    "plan --markdown",
    "build -v",
    "build --check",
    "plan -v",
    "show dev1 -v",
    "show dev1 --json",
    "status -v",
    "status dev1",
    "status --devices --json",
    "status --events",
    "status --prometheus",
    "config nginx",
    "config apache",
    "config lighttpd",
    "config systemd",
    "config htpasswd",
    "add jars/OwnTracks-0.10.65.jar",
    "retry --all",
    "resume 0.10.65",
    "simulate --url http://127.0.0.1:9",
    "probe http://127.0.0.1:9",
    "schema",
];

#[test]
fn the_password_gets_nowhere() {
    let project = with_password();
    // Whatever is wrong with the fleet and the file of the password.
    let faults: [(&str, &str, &str); 4] = [
        ("fleet.yaml", "", ""),
        ("fleet.yaml", "channels:", "chanels:"),
        ("secrets/otap", PASSWORD, "sword fish\nswordfish"),
        ("secrets/otap", PASSWORD, "swordfish\u{e4}"),
    ];
    for (path, old, new) in faults {
        let text = project.read(path);
        if !old.is_empty() {
            project.edit(path, old, new);
        }
        for command in COMMANDS {
            let ran = project.run(command);
            assert_ne!(ran.status, 2, "{command}: {}", ran.stderr);
            for said in [&ran.stdout, &ran.stderr] {
                assert!(!said.contains(PASSWORD) && !said.contains("sword fish"), "{command}: {said}");
            }
        }
        project.write(path, text);
    }
    for (path, bytes) in files(&project.path(".")) {
        let is_the_secret = path == "secrets/otap";
        assert_eq!(
            bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()),
            is_the_secret,
            "{path}"
        );
    }
}

/// What is in a directory, but for out/, state/ and what a build keeps beside out/.
fn others(dir: &Path) -> Files {
    let ours = |path: &String| ["out/", "state/", ".out."].iter().any(|start| path.starts_with(start));
    files(dir).into_iter().filter(|(path, _)| !ours(path)).collect()
}

#[test]
fn nothing_is_written_but_out_and_state() {
    let project = with_password().file("db.json", "[]");
    let before = others(&project.path("."));
    for command in COMMANDS.iter().chain(&["show dev1 --provision", "import db.json", "man"]) {
        let _ = project.run(command);
    }
    // The program that answers, with requests that name files.
    for target in ["/otap/version", "/otap/notify?id=dev1", "/otap/notify?id=../../x", "/../x", "/%2e%2e/x"] {
        for agent in ["GW/352099001761481", "GW/../../../x", "TC65i/352099001761481"] {
            let output = Command::new(otapress_cgi())
                .current_dir(project.path("."))
                .env_clear()
                .envs([("OTAPRESS_OUT", "out"), ("OTAPRESS_STATE", "state"), ("REQUEST_METHOD", "POST")])
                .envs([("REQUEST_URI", target), ("HTTP_USER_AGENT", agent), ("CONTENT_LENGTH", "0")])
                .output();
            assert!(output.unwrap().status.success());
        }
    }
    assert_eq!(others(&project.path(".")), before);
}

#[test]
fn what_is_remembered_is_for_its_user_and_group() {
    for umask in ["000", "022", "077"] {
        let fleet = Fleet::new(YAML);
        assert!(fleet.run(&["build"]).status.success());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec \"$0\"")]).arg(otapress_cgi());
        command.env("OTAPRESS_OUT", fleet.path("out")).env("OTAPRESS_STATE", fleet.path("state"));
        command.env("REQUEST_METHOD", "POST").env("REQUEST_URI", "/otap/version").env("CONTENT_LENGTH", "0");
        command.env("HTTP_USER_AGENT", "GW/352099001761481");
        assert!(command.output().unwrap().status.success());
        let mode = fs::metadata(fleet.path("state")).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, if umask == "077" { 0o700 } else { 0o750 }, "{umask}");
    }
}

#[test]
fn log_lines_are_free_of_control_characters() {
    let fleet = Fleet::new(YAML);
    let serve = fleet.serve(&[]);
    let hostile = "x\u{1b}[31m\u{7}\u{9b}1m\u{202e}\u{0}y";
    for agent in ["GW/1\u{1b}[2J", "TC65i/352099001761481", "GW/352099001761481"] {
        // Header values cannot have all of these; bodies can.
        let _ = serve.connect().send("POST", "/otap/version", agent, "", hostile.as_bytes());
        let _ = serve.connect().send(
            "POST",
            "/otap/notify?id=dev1",
            agent,
            "",
            format!("904 {hostile}\r\nforged line").as_bytes(),
        );
    }
    serve.notify("dev1", "352099001761481", &format!("904 {hostile}"));
    let log = serve.terminate().log;
    assert!(log.contains("904"), "{log:?}");
    for line in log.lines() {
        assert!(!line.chars().any(|c| c.is_control()), "{line:?}");
        assert!(!line.starts_with("forged"), "{log:?}");
    }
}

/// The program is started by a server that hands on what clients send: `HTTP_…` is theirs.
#[test]
fn the_cgi_program_ignores_what_it_does_not_need() {
    let fleet = Fleet::new(YAML);
    assert!(fleet.run(&["build"]).status.success());
    let ask = |more: &BTreeMap<&str, &str>| {
        let _ = fs::remove_dir_all(fleet.path("state"));
        let mut command = Command::new(otapress_cgi());
        command.env_clear().env("OTAPRESS_OUT", fleet.path("out")).env("OTAPRESS_STATE", fleet.path("state"));
        command.env("REQUEST_METHOD", "POST").env("REQUEST_URI", "/otap/version").env("CONTENT_LENGTH", "0");
        command.env("HTTP_USER_AGENT", "GW/352099001761481").envs(more);
        Ran::new(command.output().unwrap())
    };
    let plain = ask(&BTreeMap::new());
    let hostile = BTreeMap::from([
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("HTTP_OTAPRESS_OUT", "/"),
        ("HTTP_OTAPRESS_STATE", "/"),
        ("HTTP_X_ORIGINAL_URL", "/files/dev1/OwnTracks.jad"),
        ("HTTP_X_FORWARDED_FOR", "127.0.0.1"),
        ("HTTP_X_HTTP_METHOD_OVERRIDE", "GET"),
        ("HTTP_HOST", "elsewhere"),
        ("HTTP_CONTENT_LENGTH", "9999"),
        ("DOCUMENT_ROOT", "/"),
        ("HOME", "/nowhere"),
        ("LANG", "tr_TR.UTF-8"),
        ("PATH_TRANSLATED", "/etc/passwd"),
        ("RUST_BACKTRACE", "full"),
        ("RUST_LOG", "trace"),
        ("SQLITE_TMPDIR", "/nowhere"),
        ("TMPDIR", "/nowhere"),
        ("TZ", "Pacific/Kiritimati"),
    ]);
    assert_eq!(ask(&hostile), plain);
}
