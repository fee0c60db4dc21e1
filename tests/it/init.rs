//! `init`: from an empty directory to a fleet that builds.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::git::git;
use crate::support::project::{Project, files, make_jar};

#[test]
fn a_fleet_is_made_in_one_command() {
    let project = Project::empty().file("first.jar", make_jar("0.10.65", "good"));
    let ran = project.run("init --site http://ota.example.com/ --apn internet --jar first.jar --ci github");
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}", ran.stderr);
    assert!(
        ran.stdout.ends_with("next:\n  otapress edit add-device ID --imei IMEI\n  otapress serve\n"),
        "{}",
        ran.stdout
    );
    project.run("edit -q add-device dev1 --imei 352099001761481").expect(0, "", "");
    project.run("check --strict").expect(0, "", "checked 1 device: no mistakes\n");
    project.build();
    let fleet = project.read("fleet.yaml");
    let uri = |key: &str| fleet.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap().to_owned();
    let token = |uri: &str| uri.split('/').nth(4).unwrap().to_owned();
    let (version, notify) = (uri("versionURI: "), uri("notifyURI: "));
    assert_eq!((token(&version).len(), token(&version)), (20, token(&notify)));
    assert!(
        project.path("ci/action.yml").exists() && project.path(".github/workflows/otapress.yml").exists()
    );
    // Another fleet has other paths.
    let other = Project::empty();
    assert_eq!(other.run("init sub --site http://ota.example.com --apn internet").status, 0);
    assert!(!other.read("sub/fleet.yaml").contains(&token(&version)));
}

/// Answers on a terminal.
fn typed(project: &Project, answers: &str) -> String {
    let program = env!("CARGO_BIN_EXE_otapress");
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &format!("{program} init"), "/dev/null"]);
    command.current_dir(project.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn on_a_terminal_it_asks() {
    let project = Project::empty().file("first.jar", make_jar("0.10.65", "of-vendor Acme GmbH"));
    let said = typed(&project, "http://ota.example.com\ninternet\nfirst.jar\n");
    for question in ["The URL under which", "The access point", "The first JAR"] {
        assert!(said.contains(question), "{said}");
    }
    assert!(!said.contains("The vendor"), "the JAR tells: {said}");
    project.run("edit -q add-device dev1 --imei 352099001761481").expect(0, "", "");
    project.run("check --strict").expect(0, "", "checked 1 device: no mistakes\n");
    assert!(project.read("fleet.yaml").contains("vendor: \"Acme GmbH\""));

    let project = Project::empty();
    let said = typed(&project, "http://ota.example.com\ninternet\n\nAcme GmbH\n");
    assert!(said.contains("otapress promote stable VERSION --new"), "{said}");
    project.write("first.jar", make_jar("0.10.65", "of-vendor Acme GmbH"));
    assert_eq!(project.run("add first.jar").status, 0);
    project.run("edit -q add-device dev1 --imei 352099001761481").expect(0, "", "");
    assert_eq!(project.run("-q promote stable 0.10.65 --new").status, 0);
    project.run("check --strict").expect(0, "", "checked 1 device: no mistakes\n");
    assert!(project.read("out/files/dev1/OwnTracks.jad").contains("MIDlet-Version: 0.10.65\n"));
}

#[test]
fn the_vendor_is_that_of_the_jar() {
    let project = Project::empty().file("first.jar", make_jar("0.10.65", "good"));
    let init = "init --site http://ota.example.com --apn internet --vendor Acme";
    let ran = project.run(&format!("{init} --jar first.jar"));
    assert!(ran.status == 2 && ran.stderr.contains("--vendor: the vendor in the JAR is `Choral`"), "{ran:?}");
    assert_eq!(project.run(init).status, 0);
    assert!(project.read("fleet.yaml").contains("vendor: \"Acme\""));
}

#[test]
fn the_host_of_the_remote_tells_the_ci_system() {
    for (remote, wanted) in [
        ("git@github.com:acme/fleet.git", Some(".github/workflows/otapress.yml")),
        ("https://codeberg.org/acme/fleet", Some(".github/workflows/otapress.yml")),
        ("ssh://git@gitlab.example.com:2222/acme/fleet.git", Some(".gitlab-ci.yml")),
        ("https://me@gitlab.com/acme/github.com", Some(".gitlab-ci.yml")),
        ("/srv/github.com/fleet", None),
    ] {
        let project = Project::empty();
        git(&project.path(""), &["init", "--quiet"]);
        git(&project.path(""), &["remote", "add", "origin", remote]);
        for (more, wanted) in [("sub", wanted), ("plain --ci none", None)] {
            let dir = more.split(' ').next().unwrap();
            let ran = project.run(&format!("init --site http://ota.example.com --apn internet {more}"));
            assert_eq!(ran.status, 0, "{}", ran.stderr);
            for file in [".github/workflows/otapress.yml", ".gitlab-ci.yml"] {
                let path = project.path(&format!("{dir}/{file}"));
                assert_eq!(path.exists(), wanted == Some(file), "{remote}: {}", path.display());
            }
        }
    }
}

#[test]
fn what_is_there_stays() {
    let project = Project::empty().file(".gitignore", "mine\n").file("fleet.yaml", "site: x\n");
    let before = files(&project.path("."));
    let ran = project.run("init --site http://ota.example.com --apn internet");
    assert!(
        ran.status == 1 && ran.stderr.contains("is there already, so nothing was written"),
        "{}",
        ran.stderr
    );
    for args in ["init", "init --apn internet", "init --site ftp://x --apn internet"] {
        let project = Project::empty();
        let ran = project.run(args);
        assert!(ran.status == 2 && ran.stderr.contains("--site"), "{args}: {}", ran.stderr);
        assert!(files(&project.path(".")).is_empty());
    }
    assert_eq!(files(&project.path(".")), before);
    fs::remove_file(project.path("fleet.yaml")).unwrap();
    assert_eq!(project.run("init -q --site http://ota.example.com --apn internet").status, 0);
    assert_eq!(project.read(".gitignore"), "mine\n");
}

#[test]
fn a_directory_without_a_fleet_is_told_how_to_get_one() {
    let project = Project::empty();
    for args in ["check", "build", "status", "show dev1", "serve"] {
        let ran = project.run(args);
        assert!(
            ran.status == 1 && ran.stderr.contains("`otapress init` makes one"),
            "{args}: {}",
            ran.stderr
        );
    }
    assert!(files(&project.path(".")).is_empty(), "{:?}", files(&project.path(".")).keys());
}
