//! `promote`: a channel goes to a release and back, in files and in git.

use std::fs;
use std::path::Path;

use crate::support::asked::ask;
use crate::support::git::{ALONE, git};
use crate::support::programs::write_program;
use crate::support::project::{Files, Project, Ran, make_jar};

/// A canary, a channel in waves that are over, and one with waves to come.
const FLEET: &str = "\
site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
midlet: { name: OwnTracks, vendor: Choral }
channels:
  canary: 0.10.65 # few
  stable: # most
    release: 0.10.65
    otherwise: 0.10.64
    rollout: # of spring
      - { percent: 50%, at: 2026-03-01T08:00:00Z }
      - { percent: 100%, at: 2026-03-03T08:00:00Z } # two days later
  # Not in a hurry.
  slow: { release: 0.10.65, otherwise: 0.10.64, rollout: [{ percent: 5% }, { percent: 100%, at: 2099-01-01T00:00:00Z }] }
default: { channel: stable }
devices:
  c1: { imei: \"352099001761481\", channel: canary }
  c2: { imei: \"352099001761499\", channel: canary }
  d1: { imei: \"352099001761507\" }
";

fn project() -> Project {
    Project::new(FLEET).jar("0.10.64")
}

/// `otapress promote` with git's configuration left out.
fn promote(project: &Project, args: &[&str]) -> Ran {
    let output = project.command().arg("promote").args(args).envs(ALONE).output().unwrap();
    Ran::new(output)
}

fn fleet_after(args: &[&str]) -> Result<String, Ran> {
    let project = project();
    let ran = promote(&project, &[&["-q"], args].concat());
    if ran.status == 0 && ran.stdout.is_empty() { Ok(project.read("fleet.yaml")) } else { Err(ran) }
}

#[test]
fn a_channel_goes_to_a_release_and_out_with_it() {
    let project = project();
    project.build();
    let ran = promote(&project, &["canary", "0.10.66"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let said = "\
fleet.yaml:8: -   canary: 0.10.65 # few
fleet.yaml:8: +   canary: 0.10.66 # few
2 now
2 of 3 devices change: 2 sent to a higher version
";
    assert!(ran.stdout.starts_with(said), "{}", ran.stdout);
    assert_eq!(project.read("fleet.yaml"), FLEET.replace("canary: 0.10.65 #", "canary: 0.10.66 #"));
    project.run("build -q --check").expect(0, "", "");
    let ran = promote(&project, &["canary", "0.10.66"]);
    assert!(ran.stdout.starts_with("`canary` names it already\nnothing would change"), "{}", ran.stdout);
}

#[test]
fn waves_begin_again_or_everyone_is_meant() {
    let refused = fleet_after(&["stable", "0.10.66"]).unwrap_err();
    let why = "error: every wave of channel `stable` has opened, so that 0.10.66 would reach everyone at \
        once: \
               `--start TIME` begins with the first wave again, `--everyone` says that this is meant\n";
    refused.expect(1, "", why);

    // What has reached everyone is what devices outside of the new rollout run.
    let moved = FLEET.replacen(
        "release: 0.10.65\n    otherwise: 0.10.64",
        "release: 0.10.66\n    otherwise: 0.10.65",
        1,
    );
    assert_eq!(fleet_after(&["stable", "0.10.66", "--everyone"]).unwrap(), moved);
    let shifted = moved.replace("2026-03-01T08", "2099-01-31T08").replace("2026-03-03T08", "2099-02-02T08");
    let start = ["stable", "0.10.66", "--start", "2099-01-31T09:00:00+01:00"];
    assert_eq!(fleet_after(&start).unwrap(), shifted);

    // A rollout that is under way is given up for another one.
    let slow = FLEET.replace("slow: { release: 0.10.65", "slow: { release: 0.10.66");
    assert_eq!(fleet_after(&["slow", "0.10.66"]).unwrap(), slow);
    let named = slow.replace(
        "otherwise: 0.10.64, rollout: [{ percent: 5%",
        "otherwise: 0.10.65, rollout: [{ percent: 5%",
    );
    assert_eq!(fleet_after(&["slow", "0.10.66", "--otherwise", "0.10.65"]).unwrap(), named);
    let everyone = fleet_after(&["slow", "0.10.66", "--everyone"]).unwrap();
    let (start, end) = everyone.rsplit_once(", at: ").unwrap();
    assert!(slow.starts_with(start), "the waves stay: {everyone}");
    assert!(end.starts_with("20") && !end.starts_with("2099"), "and have opened: {everyone}");

    fleet_after(&["canary", "0.10.66", "--start", "2099-01-01T00:00:00Z"])
        .unwrap_err()
        .expect_usage("has an `at`");
    fleet_after(&["canry", "0.10.66"])
        .unwrap_err()
        .expect_usage("did you mean `canary`? (`--new` makes one)");
    let new = fleet_after(&["beta", "0.10.66", "--new"]).unwrap();
    assert!(new.contains("00:00:00Z }] }\n  beta: 0.10.66\ndefault:"), "{new}");
    let unknown = fleet_after(&["canary", "0.10.99"]).unwrap_err();
    assert!(
        unknown.status == 1 && unknown.stderr.contains("fleet.yaml:8:11: error[unknown-release]"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn what_is_wrong_changes_nothing() {
    let project = project();
    project.build();
    project.write("jars/OwnTracks-0.10.67.jar", make_jar("0.10.67", "page"));
    let before = (project.read("fleet.yaml"), project.out());
    for args in [
        &["canary", "0.10.67"][..],
        &["canary", "0.10.66", "--commit"],
        &["canary", "--back"],
        &["canary", "--back", "--force"],
    ] {
        assert_ne!(promote(&project, args).status, 0, "{args:?}");
        assert_eq!((project.read("fleet.yaml"), project.out()), before);
    }
}

#[test]
fn the_gate_judges_the_devices_of_other_channels() {
    let project = project();
    project.build();
    let gated = ["stable", "0.10.66", "--everyone", "--gate", "--min-success", "50%"];
    let ran = promote(&project, &gated);
    assert!(ran.status == 1 && ran.stderr.contains("there is no state in `state`"), "{}", ran.stderr);
    let say = |agent: &str, target: &str, body: &str, ago| {
        drop(ask(&project.path("out"), &project.path("state"), ago, target, agent, body));
    };
    let check = |imei: &str, version: &str, ago| say(&format!("GW/{imei}"), "/otap/version", version, ago);
    check("352099001761481", "0.10.65", 900);
    let before = project.read("fleet.yaml");
    promote(&project, &gated).expect(
        4,
        "no device of another channel is to run 0.10.66: nothing proves it\n",
        "",
    );
    assert_eq!(promote(&project, &["-q", "canary", "0.10.66"]).status, 0);
    promote(&project, &gated).expect(
        4,
        "canary/0.10.66: misses the gate: too few have finished: 0 of 2; 1 must\n",
        "",
    );
    check("352099001761481", "0.10.65", 800);
    check("352099001761481", "0.10.66", 600);
    let ran = promote(&project, &gated);
    assert!(
        ran.status == 0 && ran.stdout.starts_with("canary/0.10.66: passes: 1 of 2 runs it, 0 failed\n"),
        "{ran:?}"
    );
    let after = before.replace("canary: 0.10.65 #", "canary: 0.10.66 #");
    let after = after.replacen(
        "release: 0.10.65\n    otherwise: 0.10.64",
        "release: 0.10.66\n    otherwise: 0.10.65",
        1,
    );
    assert_eq!(project.read("fleet.yaml"), after);
}

#[test]
fn a_halted_release_is_taken_back_and_withdrawn_everywhere() {
    let project = Project::new(&FLEET.replace(
        "canary: 0.10.65 # few",
        "canary: \
        { release: 0.10.65, otherwise: 0.10.64, brake: { artifactFaults: 0, failures: 10%, after: 1 } }",
    ));
    let project = project.jar("0.10.64");
    for channel in ["canary", "slow"] {
        assert_eq!(promote(&project, &["-q", channel, "0.10.66"]).status, 0);
    }
    let say = |agent: &str, target: &str, body: &str, ago| {
        drop(ask(&project.path("out"), &project.path("state"), ago, target, agent, body));
    };
    say("GW/352099001761481", "/otap/version", "0.10.65", 900);
    let before = project.read("fleet.yaml");
    let refused = promote(&project, &["canary", "--back"]);
    refused.expect(
        1,
        "",
        "error: 0.10.66 is not halted in channel `canary`: `--force` takes it back all the same\n",
    );
    promote(&project, &["canary", "0.10.65", "--back"]).expect_usage("names 0.10.66, not 0.10.65");
    say("TC65i/352099001761481", "/otap/notify?id=c1", "905 Attribute mismatch", 800);
    let ran = promote(&project, &["canary", "--back"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let after = project.read("fleet.yaml");
    let (head, withdrawn) = after.split_once("withdrawn:\n").unwrap();
    // The canary had reached everyone with 0.10.65, `slow` had not.
    let wanted = before.replace("canary: { release: 0.10.66", "canary: { release: 0.10.65");
    let canary = wanted.split("slow:").next().unwrap();
    assert!(head.starts_with(canary), "{head}");
    assert!(head.contains("slow: { release: 0.10.64, otherwise: 0.10.64, rollout: ["), "{head}");
    assert!(
        withdrawn.starts_with("  0.10.66: 1 of 1 device that finished failed"),
        "the reason of the halt: {withdrawn}"
    );
    project.run("build -q --check").expect(0, "", "");
    assert_eq!(project.run("status").status, 0);
    // A timer may say so again: what it returned to stays.
    for again in [&["canary", "--back"][..], &["canary", "--back", "--force"]] {
        let said = "`canary` is back from 0.10.66 already; another release must be named\n";
        promote(&project, again).expect(0, said, "");
    }
    assert_eq!(project.read("fleet.yaml"), after);
    // Pins are an operator's own word.
    assert_eq!(promote(&project, &["-q", "canary", "0.10.64"]).status, 0);
    project.edit("fleet.yaml", "761507\" }", "761507\", release: 0.10.64 }");
    let ran = promote(&project, &["canary", "--back", "--force", "--to", "0.10.65"]);
    assert!(ran.status == 1 && ran.stderr.contains("error[withdrawn-release]"), "{}", ran.stderr);
}

impl Ran {
    #[track_caller]
    fn expect_usage(&self, says: &str) {
        assert!(self.status == 2 && self.stdout.is_empty() && self.stderr.contains(says), "{self:?}");
    }
}

/// The fleet in a repository with a bare one as its remote; nothing of the test's own makes the tree dirty.
struct Repository {
    project: Project,
    _bare: tempfile::TempDir,
}

impl Repository {
    fn new(ignored: &str) -> Self {
        let (project, bare) = (project(), tempfile::tempdir().unwrap());
        project.write(".gitignore", format!(".*.otapress-*\n/state\n{ignored}"));
        project.build();
        let dir = project.path("");
        git(bare.path(), &["init", "--quiet", "--bare", "--initial-branch=main"]);
        git(&dir, &["init", "--quiet", "--initial-branch=main"]);
        git(&dir, &["remote", "add", "origin", bare.path().to_str().unwrap()]);
        let repository = Repository { project, _bare: bare };
        repository.commit("The fleet");
        git(&dir, &["push", "--quiet", "--set-upstream", "origin", "main"]);
        git(&dir, &["config", "user.name", "Operator"]);
        git(&dir, &["config", "user.email", "operator@example.com"]);
        repository
    }

    fn dir(&self) -> std::path::PathBuf {
        self.project.path("")
    }

    fn git(&self, args: &[&str]) -> String {
        git(&self.dir(), args)
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }

    fn promote(&self, args: &[&str]) -> Ran {
        promote(&self.project, args)
    }

    /// The commits of all branches, and every file that git or nobody keeps.
    fn all(&self) -> (String, String, Files) {
        let files = crate::support::project::files(&self.dir());
        let own = files.into_iter().filter(|(path, _)| !path.starts_with(".git/")).collect();
        (self.git(&["for-each-ref"]), self.git(&["symbolic-ref", "--quiet", "HEAD"]), own)
    }
}

#[test]
fn one_commit_tells_the_plan() {
    let repository = Repository::new("");
    let ran = repository.promote(&["canary", "0.10.66", "--commit"]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let made = repository.git(&["rev-parse", "--short", "HEAD"]);
    assert!(
        ran.stdout.ends_with(&format!("committed {made} on `main`; nothing was pushed\n")),
        "{}",
        ran.stdout
    );
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    assert_eq!(repository.git(&["rev-list", "--count", "origin/main..main"]), "1");
    let told = repository.git(&["log", "-1", "--format=%an <%ae>%n%B"]);
    let wanted = "\
Operator <operator@example.com>
canary: 0.10.65 → 0.10.66

2 now
2 of 3 devices change: 2 sent to a higher version

Devices
  ~ 0.10.65 → 0.10.66: 2 devices (c1, c2)
";
    assert!(told.starts_with(wanted), "{told}");
    let changed = repository.git(&["show", "--format=", "--name-only", "HEAD"]);
    assert!(changed.starts_with("fleet.yaml\nout/files/c1/OwnTracks.jad\n"), "{changed}");
    repository.project.run("build -q --check").expect(0, "", "");

    // Again, and again from where it was pushed to.
    let already = |ran: Ran, place: &str| {
        ran.expect(0, &format!("`canary` is promoted on {place}: nothing to commit\n"), "");
    };
    already(repository.promote(&["canary", "0.10.66", "--commit"]), "HEAD");
    repository.git(&["push", "--quiet"]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let before = repository.all();
    already(repository.promote(&["canary", "0.10.66", "--commit"]), "`main` of `origin`");
    assert_eq!(repository.all().2, before.2);
    // A remote that is gone is no obstacle: what was seen of it last counts.
    repository.git(&["remote", "set-url", "origin", "/nowhere"]);
    let ran = repository.promote(&["canary", "0.10.66", "--commit"]);
    assert!(ran.status == 0 && ran.stderr.starts_with("note: `origin` was not reached"), "{ran:?}");
}

#[test]
fn what_is_taken_back_is_taken_back_once() {
    let repository = Repository::new("");
    assert_eq!(repository.promote(&["-q", "canary", "0.10.66", "--commit"]).status, 0);
    let back = ["canary", "0.10.66", "--back", "--force", "--to", "0.10.65", "--commit"];
    let ran = repository.promote(&back);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let made = repository.git(&["rev-parse", "HEAD"]);
    repository.promote(&back).expect(0, "`canary` is back on HEAD: nothing to commit\n", "");
    assert_eq!(repository.git(&["rev-parse", "HEAD"]), made);
}

#[test]
fn an_ignored_out_is_built_and_not_committed() {
    let repository = Repository::new("/out\n");
    assert_eq!(repository.promote(&["-q", "canary", "0.10.66", "--commit"]).status, 0);
    assert_eq!(repository.git(&["show", "--format=", "--name-only", "HEAD"]), "fleet.yaml");
    repository.project.run("build -q --check").expect(0, "", "");
}

#[test]
fn a_branch_takes_the_commit() {
    let repository = Repository::new("");
    repository.git(&["checkout", "--quiet", "--detach"]);
    repository
        .promote(&["canary", "0.10.66", "--commit"])
        .expect_usage("HEAD is detached: name a branch with `--branch`");
    let ran = repository.promote(&["-q", "canary", "0.10.66", "--commit", "--branch", "canary/0.10.66"]);
    ran.expect(0, "", "");
    assert_eq!(repository.git(&["symbolic-ref", "--short", "HEAD"]), "canary/0.10.66");
    assert_eq!(repository.git(&["rev-list", "--count", "main..canary/0.10.66"]), "1");
    repository.git(&["checkout", "--quiet", "main"]);
    let again = ["canary", "0.10.66", "--commit", "--branch", "canary/0.10.66"];
    let ran = repository.promote(&again);
    assert!(
        ran.status == 1 && ran.stderr.contains("is not where HEAD is: `git switch canary/0.10.66` first"),
        "{ran:?}"
    );
    // A branch that the remote alone has.
    repository.git(&["push", "--quiet", "origin", "canary/0.10.66"]);
    repository.git(&["branch", "--quiet", "-D", "canary/0.10.66"]);
    repository.git(&["update-ref", "-d", "refs/remotes/origin/canary/0.10.66"]);
    repository.promote(&again).expect(
        0,
        "`canary` is promoted on `canary/0.10.66` of `origin`: nothing to commit\n",
        "",
    );
    for wrong in ["-x", "a..b", "@{-1}", "a b"] {
        repository
            .promote(&["canary", "0.10.66", "--commit", &format!("--branch={wrong}")])
            .expect_usage("cannot be a branch");
    }
}

#[test]
fn a_tree_that_is_not_clean_is_left_alone() {
    type Spoil = fn(&Repository);
    let cases: [(&str, Spoil); 7] = [
        ("the work tree has changes of its own: `fleet.yaml`", |repository| {
            repository.project.edit("fleet.yaml", "# few", "# very few");
        }),
        ("the work tree has changes of its own: `.gitignore`", |repository| {
            repository.project.write(".gitignore", ".*.otapress-*\n/state\n#\n");
            repository.git(&["add", "--all"]);
        }),
        (
            "`jars/OwnTracks-0.10.67.jar` is not committed: `git add jars/OwnTracks-0.10.67.jar`",
            |repository| {
                repository.project.write("jars/OwnTracks-0.10.67.jar", make_jar("0.10.67", "good"));
            },
        ),
        ("git does not know who commits", |repository| {
            repository.git(&["config", "user.useConfigOnly", "true"]);
            repository.git(&["config", "--unset", "user.email"]);
        }),
        ("a merge is under way", |repository| {
            let head = repository.git(&["rev-parse", "HEAD"]);
            fs::write(repository.dir().join(".git/MERGE_HEAD"), head).unwrap();
        }),
        ("nothing is committed in this repository yet", |repository| {
            repository.git(&["update-ref", "-d", "HEAD"]);
        }),
        ("the fleet is not in a git repository", |repository| {
            fs::rename(repository.dir().join(".git"), repository.dir().join("git")).unwrap();
        }),
    ];
    for (says, spoil) in cases {
        let repository = Repository::new("");
        spoil(&repository);
        let files = |dir: &Path| crate::support::project::files(dir);
        let before = files(&repository.dir());
        let ran = repository.promote(&["canary", "0.10.66", "--commit"]);
        assert!(ran.status == 1 && ran.stdout.is_empty() && ran.stderr.contains(says), "{says}: {ran:?}");
        let after = files(&repository.dir());
        let changed = after.iter().filter(|(path, content)| before.get(*path) != Some(content));
        // What git remembers of its own is not ours.
        let changed: Vec<_> =
            changed.map(|(path, _)| path).filter(|path| !path.starts_with(".git/")).collect();
        assert!(changed.is_empty() && before.len() <= after.len(), "{says}: {changed:?}");
    }
}

#[test]
fn a_hook_that_refuses_leaves_word_of_what_to_do() {
    let repository = Repository::new("");
    let hook = repository.dir().join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    write_program(&hook, "#!/bin/sh\necho not on a Friday >&2\nexit 1\n");
    let ran = repository.promote(&["-q", "canary", "0.10.66", "--commit"]);
    assert!(
        ran.status == 1
            && ran
                .stderr
                .contains("`git restore --staged --worktree .` takes them back: git commit: not on a Friday"),
        "{ran:?}"
    );
    repository.git(&["restore", "--staged", "--worktree", "."]);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}
