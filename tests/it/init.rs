//! `init`: from an empty directory to a fleet that builds.

use std::fs;

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
