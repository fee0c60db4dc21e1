//! The recipes of docs/hosting.md for a fleet in git: what CI runs for a merge request, and what the server
//! runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::book::{blocks, read};
use crate::support::git::{ALONE, git};
use crate::support::hosts::Site;
use crate::support::programs::write_program;
use crate::support::project::{Project, SMALL, difference, files, make_jar, repository};

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
    let said = "### otapress plan\n\n**1 now**\n\n1 of 9 devices changes: 1 sent to a higher version\n";
    assert!(plan.starts_with(said), "{plan}");

    git(&site.path("tmp/before"), &["merge", "--quiet", "--ff-only", "change"]);
    git(&server, &["pull", "--quiet", "--ff-only", "origin", "main"]);
    pull();
}

/// The README's recipe of a release, with or without `out/` in git, and `git revert` of its last commit: devices
/// are sent the release before, and the JAR stays published.
#[test]
fn a_release_is_reverted() {
    let readme = read(&repository().join("README.md"));
    let (_, after) = readme.split_once("## A release\n").unwrap();
    let (_, recipe) = blocks(after).into_iter().next().unwrap();
    for commits_out in [true, false] {
        let project = Project::empty().file("fleet.yaml", SMALL).jar("0.10.65");
        let ignored = if commits_out { "" } else { "/out/\n" };
        let project = project.file(".gitignore", format!("{ignored}/build/\n/bin/\n.*.otapress-*\n"));
        let project = project.file("build/OwnTracks.jar", make_jar("0.10.66", "good"));
        // Who edits the fleet file.
        fs::create_dir(project.path("bin")).unwrap();
        write_program(&project.path("bin/editor"), "#!/bin/sh\nsed -i s/0.10.65/0.10.66/ \"$1\"\n");
        project.build();
        let dir = project.path("");
        git(&dir, &["init", "--quiet", "--initial-branch=main"]);
        git(&dir, &["add", "-A"]);
        git(&dir, &["commit", "--quiet", "-m", "The fleet"]);
        let before = project.out();

        // What git does not commit cannot be added.
        let recipe = if commits_out { recipe.clone() } else { recipe.replace(" out &&", " &&") };
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &recipe]).current_dir(&dir).envs(ALONE);
        shell.env("EDITOR", project.path("bin/editor"));
        for role in ["AUTHOR", "COMMITTER"] {
            shell.env(format!("GIT_{role}_NAME"), "x").env(format!("GIT_{role}_EMAIL"), "x@example.com");
        }
        let bin = Path::new(env!("CARGO_BIN_EXE_otapress")).parent().unwrap();
        shell.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let jad = || project.read("out/files/dev1/OwnTracks.jad");
        assert!(jad().contains("MIDlet-Version: 0.10.66\n"));
        assert_eq!(git(&dir, &["status", "--short"]), "");
        let with_jar = git(&dir, &["show", "--stat", "--format=", "HEAD^"]);
        assert!(with_jar.contains("jars/OwnTracks-0.10.66.jar") && !with_jar.contains("fleet.yaml"));

        git(&dir, &["revert", "--no-edit", "HEAD"]);
        project.build();
        assert!(jad().contains("MIDlet-Version: 0.10.65\n"));
        assert_eq!(git(&dir, &["status", "--short"]), "", "the revert is complete");
        let after = project.out();
        let is_jar = |name: &str| name.starts_with("jars/0.10.66/");
        assert!(after.keys().any(|name| is_jar(name)), "the JAR stays published");
        for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with("files/")) {
            assert_eq!(after.get(name), Some(bytes), "{name}");
        }
        project.run("build -q --check").expect(0, "", "");
    }
}
