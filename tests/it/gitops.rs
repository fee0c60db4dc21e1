//! The recipes of docs/hosting.md for a fleet in git: what CI runs for a merge request, and what the server
//! runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::git::git;
use crate::support::hosts::Site;
use crate::support::project::{difference, files};

#[track_caller]
fn otapress(dir: &Path, args: &[&str], code: i32) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_otapress")).current_dir(dir).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_merge_request_is_checked_and_planned_and_the_server_pulls_it() {
    let site = Site::new(|yaml| yaml);
    let (fleet, server, served) = (site.path(""), site.path("tmp/server"), site.path("tmp/served"));
    fs::write(site.path(".gitignore"), "state/\nsecrets/\ntmp/\nlogs/\nbin/\n.*.otapress-*\n").unwrap();
    git(&fleet, &["init", "--quiet", "--initial-branch=main"]);
    git(&fleet, &["add", "-A"]);
    git(&fleet, &["commit", "--quiet", "-m", "The fleet"]);

    // The server builds into a directory of its own.
    let pull = || {
        let yaml = server.join("fleet.yaml");
        let args = ["-q", "-f", yaml.to_str().unwrap(), "-o", served.to_str().unwrap(), "build"];
        otapress(&fleet, &args, 0);
        assert_eq!(difference(&files(&served), &files(&site.path("out"))), "");
    };
    git(&fleet, &["clone", "--quiet", ".", server.to_str().unwrap()]);
    pull();

    // A merge request whose author forgot to build, and then did not.
    git(&fleet, &["checkout", "--quiet", "-b", "change"]);
    let yaml = fs::read_to_string(site.path("fleet.yaml")).unwrap();
    let changed = yaml.replace("release: 0.10.65, comment: pinned", "release: 0.10.66, comment: pinned");
    assert_ne!(changed, yaml);
    fs::write(site.path("fleet.yaml"), changed).unwrap();
    assert_eq!(otapress(&fleet, &["check", "--strict", "--format", "github"], 0), "");
    otapress(&fleet, &["build", "--check"], 3);
    otapress(&fleet, &["build"], 0);
    otapress(&fleet, &["build", "--check"], 0);
    git(&fleet, &["commit", "--quiet", "-am", "dev5 has its antenna"]);
    git(&fleet, &["worktree", "add", "--quiet", "tmp/before", "main"]);
    let plan = otapress(&fleet, &["plan", "--markdown", "--against", "tmp/before/out"], 0);
    let said = "### otapress plan\n\n**1 now**\n\n1 of 9 devices change: 1 sent to a higher version\n";
    assert!(plan.starts_with(said), "{plan}");

    git(&site.path("tmp/before"), &["merge", "--quiet", "--ff-only", "change"]);
    git(&server, &["pull", "--quiet", "--ff-only", "origin", "main"]);
    pull();
}
