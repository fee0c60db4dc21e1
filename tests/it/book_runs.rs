//! Every command line of the README and the book is run, in the order of its page, in a fleet as the book
//! describes it. What cannot be run so is listed here with the reason, and parsed all the same
//! ([`super::book`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::book::{blocks, calls, read, texts};
use crate::support::git::{ALONE, git};
use crate::support::programs::otapress_cgi;
use crate::support::project::{Project, Ran, make_jar, repository};

/// Beginnings of command lines that nothing runs here, and why.
const PARSED_ONLY: [(&str, &str); 15] = [
    ("init ", "book::the_quickstart_is_three_commands runs it"),
    ("edit add-device dev1 ", "book::the_quickstart_is_three_commands runs it"),
    ("serve", "it waits for devices; book::the_quickstart_is_three_commands runs it"),
    ("simulate --url ", "it needs a server; tests/it/simulate.rs"),
    ("probe", "it needs the site; tests/it/broken_hosts.rs"),
    ("config nginx --check ", "it needs a server; tests/it/host_check.rs"),
    ("relay ", "it needs a broker or a receiver; tests/it/relay.rs"),
    ("sign ", "it needs a key or a token; tests/it/signing.rs"),
    ("import ", "it needs the predecessor's database; tests/it/import.rs"),
    ("state prune --forget-reader ", "nobody has read events; tests/it/state.rs"),
    ("state copy ", "it needs a database; tests/it/postgres.rs"),
    ("config busybox", "the fleet's site must lie below /cgi-bin/; tests/it/hosting.rs"),
    ("promote stable --back", "no release of the fleet is halted; tests/it/promote.rs"),
    ("promote stable 0.10.66 --gate", "nothing proves the release yet: exit code 4; tests/it/promote.rs"),
    ("status --gate", "nobody has finished: exit code 4; tests/it/status.rs"),
];

/// The fleet of the book: the names that its pages use.
const FLEET: &str = r#"site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  otapUser: ota
  otapPasswordFile: secrets/otap
midlet: { name: OwnTracks, vendor: Choral }
channels:
  stable: 0.10.65
  canary: 0.10.65
  next:
    release: 0.10.65
    rollout: [{ percent: 50%, at: 2026-12-01T08:00:00Z }, { percent: 100%, at: 2026-12-03T08:00:00Z }]
default: { channel: stable }
groups:
  acme: { channel: next }
devices:
  dev1: { imei: "352099001761481", channel: canary }
  dev2: { imei: "352099001761499", group: acme }
  dev3: { imei: "352099001761507" }
"#;

/// The fleet in git, published, with records of a device that has asked, and a release that is just built.
fn scene() -> Project {
    let project = Project::empty().file("fleet.yaml", FLEET).jar("0.10.65");
    let project =
        project.file("secrets/otap", "s3cret\n").file(".gitignore", "state/\nsecrets/\n.*.otapress-*\n");
    project.build();
    let dir = project.path("");
    git(&dir, &["init", "--quiet", "--initial-branch=main"]);
    git(&dir, &["add", "-A"]);
    git(&dir, &["commit", "--quiet", "-m", "The fleet"]);
    // What a clone has besides, and what is not committed.
    fs::write(dir.join(".git/info/exclude"), "/build/\n/*.jar\n/before/\n/*.db\n/*.backup\n").unwrap();
    for path in ["build/OwnTracks.jar", "OwnTracks.jar", "OwnTracks-0.10.66.jar"] {
        project.write(path, make_jar("0.10.66", "good"));
    }
    git(&dir, &["worktree", "add", "--quiet", "before", "HEAD"]);
    asks(&project, "GW/352099001761481");
    project
}

/// A device asks the responder.
fn asks(project: &Project, agent: &str) {
    let mut cgi = Command::new(otapress_cgi());
    cgi.env("OTAPRESS_OUT", project.path("out")).env("OTAPRESS_STATE", project.path("state"));
    cgi.env("REQUEST_METHOD", "POST").env("REQUEST_URI", "/otap/version").env("HTTP_USER_AGENT", agent);
    let output = cgi.env("CONTENT_LENGTH", "0").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(project.path("state/otapress.db").exists(), "{output:?}");
}

/// A command line, whose places on a server are places in the scene.
fn run(project: &Project, call: &[String]) -> Ran {
    let places = [
        ("/srv/ota/git/", ""),
        ("/srv/ota/", ""),
        ("/etc/otapress/", ""),
        ("/var/lib/otapress/", ""),
        ("/tmp/before/", "before/"),
    ];
    let word = |word: &String| {
        let place = places.iter().find_map(|(from, to)| Some(format!("{to}{}", word.strip_prefix(from)?)));
        place.unwrap_or_else(|| word.clone())
    };
    let mut command = project.command();
    command.args(call.iter().map(word)).envs(ALONE);
    for (name, value) in [("NAME", "x"), ("EMAIL", "x@example.com")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    Ran::new(command.stdin(Stdio::null()).output().unwrap())
}

/// What else a block does that its next command needs.
fn commits(project: &Project, block: &str) {
    if block.contains("git commit") || block.contains("--commit") {
        git(&project.path(""), &["add", "-A"]);
        let _ = crate::support::git::try_git(&project.path(""), &["commit", "--quiet", "-m", "A release"]);
    }
}

#[test]
fn every_command_line_of_the_book_runs() {
    let (mut ran, mut left, mut wrong) = (0, BTreeSet::new(), Vec::new());
    let is_of_users = |path: &&std::path::PathBuf| {
        let name = path.file_name().unwrap();
        let dir = path.parent().unwrap();
        name == "README.md" && dir == repository() || dir == Path::new(repository()).join("docs")
    };
    for path in texts().iter().filter(is_of_users) {
        let project = scene();
        let text = read(path);
        for (_, block) in blocks(&text).iter().filter(|(language, _)| *language == "sh") {
            for call in calls(block) {
                let line = call.join(" ");
                if let Some(n) = PARSED_ONLY.iter().position(|(begin, _)| line.starts_with(begin)) {
                    left.insert(n);
                    continue;
                }
                if line.starts_with("promote ") {
                    commits(&project, block);
                }
                let said = run(&project, &call);
                ran += 1;
                if said.status != 0 {
                    wrong.push(format!("{}: {line}: {}{}", path.display(), said.stdout, said.stderr));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> =
        PARSED_ONLY.iter().enumerate().filter(|(n, _)| !left.contains(n)).map(|(_, entry)| entry).collect();
    assert!(unused.is_empty(), "nothing of it is in the book: {unused:#?}");
    assert!(ran >= 55, "{ran}");
}
