//! Every command of the predecessor, done as docs/otap-py.md says.
//!
//! The table there and the tests below are compared: a line without a test fails, and so does a test without
//! a line.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::asked::ask;
use crate::support::process::{Fleet, YAML};
use crate::support::project::{Project, SMALL, make_jar, repository};

/// Makes a test of each, and a list of their names.
macro_rules! commands {
    ($($command:literal => fn $name:ident() $body:block)*) => {
        const TESTED: &[&str] = &[$($command),*];
        $(#[test] fn $name() $body)*
    };
}

const IMEI: &str = "352099001761481";
const OTHER: &str = "352099001761499";
const DEV1: &str = "dev1: { imei: \"352099001761481\" }";
const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;

/// A fleet of two devices on 0.10.65, published.
fn fleet() -> Project {
    let project = Project::new(SMALL);
    project.build();
    project
}

/// The same after an edit of the line of the first device.
fn with(fields: &str) -> Project {
    let project = Project::new(SMALL);
    edit(&project, DEV1, &DEV1.replace(" }", &format!(", {fields} }}")));
    project
}

/// An edit of fleet.yaml, and its publication.
fn edit(project: &Project, old: &str, new: &str) {
    project.edit("fleet.yaml", old, new);
    project.run("check -q").expect(0, "", "");
    project.build();
}

/// What a device that runs a version is answered some seconds ago.
fn check(project: &Project, ago: i64, imei: &str, version: &str) -> String {
    let agent = format!("GW/{imei}");
    ask(&project.path("out"), &project.path("state"), ago, "/otap/version", &agent, version).body.into_owned()
}

fn shown(project: &Project, args: &str) -> String {
    let ran = project.run(args);
    // Of a fleet that no device has asked yet, `status` says so.
    let note = "note: no records yet: there is no state in `state`\n";
    let told = if args.starts_with("status") && !project.path("state").exists() { note } else { "" };
    assert_eq!((ran.status, &*ran.stderr), (0, told), "{args}");
    ran.stdout
}

/// The clientIDs of the devices that a search finds.
fn found(project: &Project, text: &str) -> Vec<String> {
    let json: Value =
        serde_json::from_str(&shown(project, &format!("status --search {text} --json"))).unwrap();
    json["devices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|device| device["clientID"].as_str().unwrap().into())
        .collect()
}

#[track_caller]
fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|is| is.trim() == line), "`{line}` is not in\n{text}");
}

/// What `check` says, which must be one error.
#[track_caller]
fn assert_missed(project: &Project, message: &str) {
    let ran = project.run("check");
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains(message) && ran.stderr.ends_with("1 error, 0 warnings\n"), "{}", ran.stderr);
}

commands! {
    "ping" => fn ping() {
        let fleet = Fleet::new(YAML);
        let serve = fleet.serve(&[]);
        let url = format!("http://{}", serve.address);
        let alive = fleet.run(&["probe", &url]);
        assert_eq!(alive.status.code(), Some(0), "{alive:?}");
        drop(serve);
        assert_eq!(fleet.run(&["probe", &url]).status.code(), Some(1));
    }

    "show" => fn show() {
        let text = shown(&fleet(), "show dev1");
        assert!(text.starts_with("device     dev1\nIMEI       352099001761481\ntarget     \
            0.10.65\n"), "{text}");
    }

    "find" => fn find() {
        let project = with("tid: D1, comment: in Kreuzberg");
        assert_eq!([found(&project, "D1"), found(&project, "Kreuzberg")], [["dev1"], ["dev1"]]);
        assert_eq!(found(&project, "Schoeneberg"), [""; 0]);
    }

    "imei" => fn imei() {
        let project = with("tid: D1");
        let json: Value = serde_json::from_str(&shown(&project, "status --search D1 --json")).unwrap();
        assert_eq!(json["devices"][0]["imei"], IMEI);
    }

    "setcomment" => fn setcomment() {
        assert_has(&shown(&with("comment: in the workshop"), "show dev1"), "comment    in the workshop");
    }

    "setflags" => fn setflags() {
        let project = fleet();
        let heard = || {
            let json: Value = serde_json::from_str(&shown(&project, "status --devices --json")).unwrap();
            json["devices"][0]["lastSeen"].is_number()
        };
        assert!(!heard());
        assert_eq!(check(&project, 0, IMEI, "0.10.65"), NO);
        assert!(heard());
    }

    "jars" => fn jars() {
        let project = fleet();
        let listed: Vec<_> = fs::read_dir(project.path("jars")).unwrap().collect();
        let sums = project.read("out/jars/SHA256SUMS");
        assert_eq!((listed.len(), sums.lines().count()), (2, 2));
        let versions: Vec<_> = sums.lines().map(|line| line[66..].split('/').next().unwrap()).collect();
        assert_eq!(versions, ["0.10.65", "0.10.66"]);
    }

    "add" => fn add() {
        let project = fleet();
        assert_eq!(check(&project, 9, "352099001761507", "0.10.60"), NO);
        edit(&project, DEV1, &format!("{DEV1}\n  van1: {{ imei: \"352099001761507\", tid: V1 }}"));
        assert_eq!(check(&project, 0, "352099001761507", "0.10.60"), YES);
    }

    "deliver" => fn deliver() {
        let project = with("release: 0.10.66");
        assert_eq!(check(&project, 0, IMEI, "0.10.65"), YES);
        assert_eq!(check(&project, 0, OTHER, "0.10.65"), NO);
        assert!(project.read("out/files/dev1/OwnTracks.jad").contains("\nMIDlet-Version: 0.10.66\n"));
    }

    "block" => fn block() {
        let project = with("hold: true");
        assert_eq!(check(&project, 0, IMEI, "0.10.60"), NO);
        assert_eq!(check(&project, 0, OTHER, "0.10.60"), YES);
        let project = Project::new(SMALL);
        project.edit("fleet.yaml", "default: { channel: stable }\n", "");
        project.build();
        assert_eq!([IMEI, OTHER].map(|imei| check(&project, 0, imei, "0.10.60")), [NO, NO]);
    }

    "unblock" => fn unblock() {
        let project = with("hold: true");
        assert_eq!(check(&project, 9, IMEI, "0.10.60"), NO);
        edit(&project, ", hold: true", "");
        assert_eq!(check(&project, 0, IMEI, "0.10.60"), YES);
    }

    "upload" => fn upload() {
        let project = fleet().file("new.jar", make_jar("0.10.67", "good")).file("same.jar", make_jar("0.10.66", "other-bytes"));
        assert_has(
            &shown(&project, "add new.jar").replacen("  ", "\n", 2),
            "jars/OwnTracks-0.10.67.jar",
        );
        project.build();
        assert_eq!(project.read("out/jars/SHA256SUMS").lines().count(), 3);
        assert_eq!(project.run("add same.jar").status, 1);
    }

    "purge" => fn purge() {
        let project = fleet();
        fs::remove_file(project.path("jars/OwnTracks-0.10.66.jar")).unwrap();
        project.build();
        assert_eq!(project.read("out/jars/SHA256SUMS").lines().count(), 1);
        assert!(project.out().keys().all(|path| !path.contains("0.10.66")));
        project.write("jars/OwnTracks-0.10.66.jar", make_jar("0.10.66", "good"));
        fs::remove_file(project.path("jars/OwnTracks-0.10.65.jar")).unwrap();
        assert_missed(&project, "error[unknown-release]: release `0.10.65` is not in jars/");
    }

    "versioncheck" => fn versioncheck() {
        let project = fleet();
        let simulated = |version: &str| {
            let (out, state) = (project.path("out"), project.path("state"));
            ask(&out, &state, 0, "/otap/version", &format!("SIMU/{IMEI}"), version).body.into_owned()
        };
        assert_eq!((&*simulated("0.10.60"), &*simulated("0.10.65")), (YES, NO));
        assert!(shown(&project, "show dev1").ends_with("\nstate      it has not asked yet\n"));
    }

    "otap" => fn otap() {
        let jad = fleet().read("out/files/dev1/OwnTracks.jad");
        assert_has(&jad, "MIDlet-Version: 0.10.65");
    }

    "showconfig" => fn showconfig() {
        let text = shown(&fleet(), "show dev1 --provision");
        for line in [
            "set otapURI=http://ota.example.com/files/@/OwnTracks.jad",
            "set notifyURI=http://ota.example.com/otap/notify?id=@",
            "set versionURI=http://ota.example.com/otap/version",
        ] {
            assert_has(&text, line);
        }
    }

    "versionlog" => fn versionlog() {
        let project = fleet();
        assert_eq!(check(&project, 600, IMEI, "0.10.60"), YES);
        assert_eq!(check(&project, 300, IMEI, "0.10.65"), NO);
        let text = shown(&project, "status --events");
        // Behind the time of each.
        let kinds: Vec<_> = text.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
        assert_eq!(kinds, ["version-changed", "upgraded", "offered", "first-seen"], "{text}");
    }

    "define" => fn define() {
        let project = Project::new(SMALL);
        project.edit("fleet.yaml", "default: {", "settings:\n  quiet: { keepAlive: \"300\" }\ndefault: \
            { settings: [quiet],");
        project.run("check -q").expect(0, "", "");
        project.build();
        assert_has(&shown(&project, "show dev1"), "settings   keepAlive=300");
    }

    "undef" => fn undef() {
        let project = with_settings_of_dev1("{ keepAlive: \"300\" }");
        project.edit("fleet.yaml", "settings:\n  quiet: { keepAlive: \"300\" }\n", "");
        assert_missed(&project, "error[unknown-settings]: settings set `quiet` is not defined");
        edit(&project, ", settings: [quiet]", "");
    }

    "showsets" => fn showsets() {
        let project = with_settings_of_dev1("{ keepAlive: \"300\", minInterval: \"3600\" }");
        let json: Value = serde_json::from_str(&shown(&project, "show dev1 --json")).unwrap();
        assert_eq!(json["settings"], json!({ "keepAlive": "300", "minInterval": "3600" }));
    }

    "set" => fn set() {
        let project = with_settings_of_dev1("{ values: { keepAlive: \"300\" }, enforce: always }");
        let answer = r#"{"upgrade":0,"settings":[{"key":"keepAlive","val":"300"}]}"#;
        assert_eq!([600, 300, 0].map(|ago| check(&project, ago, IMEI, "0.10.65")), [answer, answer, answer]);
        assert_eq!(check(&project, 0, OTHER, "0.10.65"), NO);
    }

    "set --once" => fn set_once() {
        let project = with_settings_of_dev1("{ keepAlive: \"300\" }");
        let answer = r#"{"upgrade":0,"settings":[{"key":"keepAlive","val":"300"}]}"#;
        // The next check comes a versionInterval later, which is what proves that the answer arrived.
        assert_eq!([22_000, 11_000, 0].map(|ago| check(&project, ago, IMEI, "0.10.65")), [answer, NO, NO]);
    }

    "unset" => fn unset() {
        let project = with_settings_of_dev1("{ values: { keepAlive: \"300\" }, enforce: always }");
        assert_ne!(check(&project, 9, IMEI, "0.10.65"), NO);
        project.edit("fleet.yaml", ", settings: [quiet]", "");
        project.build();
        assert_eq!(check(&project, 0, IMEI, "0.10.65"), NO);
    }

    "dbjson" => fn dbjson() {
        let project = with("tid: D1, release: 0.10.66, comment: first");
        let json: Value = serde_json::from_str(&shown(&project, "status --devices --json")).unwrap();
        let device = &json["devices"][0];
        for (key, value) in [("clientID", "dev1"), ("imei", IMEI), ("target", "0.10.66"), ("comment", "first")] {
            assert_eq!(device[key], value);
        }
        assert_eq!(json["devices"].as_array().unwrap().len(), 2);
    }
}

/// A fleet whose first device has the set `quiet`.
fn with_settings_of_dev1(settings: &str) -> Project {
    let project = Project::new(SMALL);
    project.edit("fleet.yaml", "default:", &format!("settings:\n  quiet: {settings}\ndefault:"));
    edit(&project, DEV1, &DEV1.replace(" }", ", settings: [quiet] }"));
    project
}

#[test]
fn every_line_of_the_table_has_a_test() {
    let text = fs::read_to_string(repository().join("docs/otap-py.md")).unwrap();
    let (_, table) = text.split_once("| `otc` | |\n|---|---|\n").unwrap();
    let lines: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let named: Vec<_> = lines.iter().map(|line| line.split('`').nth(1).unwrap()).collect();
    assert_eq!(named.iter().collect::<BTreeSet<_>>(), TESTED.iter().collect::<BTreeSet<_>>());
    assert_eq!((named.len(), TESTED.len()), (24, 24));
}
