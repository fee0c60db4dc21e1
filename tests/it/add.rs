//! `add`: good JARs come into the catalog, others do not, and all of one call or none.

use otapress_core::digest::Sha256;

use crate::support::project::{Project, SMALL, files, make_jar};

/// A fleet with 0.10.65 alone, and JARs beside it.
fn project() -> Project {
    Project::empty()
        .file("fleet.yaml", SMALL)
        .jar("0.10.65")
        .file("new/good.jar", make_jar("0.10.66", "good"))
        .file("new/next.jar", make_jar("0.10.67", "good"))
        .file("new/vendor.jar", make_jar("0.10.66", "of-vendor choral"))
        .file("new/name.jar", make_jar("0.10.66", "named OwnTracker"))
        .file("new/other.jar", make_jar("0.10.65", "other-bytes"))
        .file("new/page.jar", make_jar("0.10.66", "page"))
}

fn line(version: &str, path: &str) -> String {
    format!("{version}  {}  {path}\n", Sha256::of(&make_jar(version, "good")))
}

#[test]
fn a_good_jar_is_copied_under_its_name_and_version() {
    let project = project();
    project.run("add new/good.jar").expect(0, &line("0.10.66", "jars/OwnTracks-0.10.66.jar"), "");
    assert_eq!(
        files(&project.path("jars")).into_iter().collect::<Vec<_>>(),
        [
            ("OwnTracks-0.10.65.jar".to_owned(), make_jar("0.10.65", "good")),
            ("OwnTracks-0.10.66.jar".to_owned(), make_jar("0.10.66", "good")),
        ]
    );
    // Again it is there already.
    let there = line("0.10.66", "jars/OwnTracks-0.10.66.jar (was there)");
    project.run("add new/good.jar").expect(0, &there, "");
}

#[test]
fn the_first_jar_makes_the_directory() {
    let project = Project::empty().file("fleet.yaml", SMALL).file("a.jar", make_jar("0.10.65", "good"));
    project.run("add a.jar").expect(0, &line("0.10.65", "jars/OwnTracks-0.10.65.jar"), "");
    project.run("check").expect(0, "", "checked 2 devices: no mistakes\n");
}

#[test]
fn json_says_the_same() {
    let project = project();
    let ran = project.run("add --json new/good.jar jars/OwnTracks-0.10.65.jar");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let entry = |version: &str, added: bool| {
        let bytes = make_jar(version, "good");
        serde_json::json!({
            "version": version,
            "sha256": Sha256::of(&bytes).to_string(),
            "size": bytes.len(),
            "file": format!("jars/OwnTracks-{version}.jar"),
            "added": added,
            "signed": false,
        })
    };
    assert_eq!(value, serde_json::json!([entry("0.10.65", false), entry("0.10.66", true)]));
}

#[test]
fn what_does_not_fit_the_fleet_is_refused() {
    let project = project();
    let before = files(&project.path("jars"));
    let cases = [
        (
            "new/vendor.jar",
            "error[wrong-midlet]: MIDlet-Vendor is `choral`, but the fleet's MIDlet has `Choral`\n  = hint: \
             build the JAR with the fleet's name and vendor\n",
        ),
        (
            "new/name.jar",
            "error[wrong-midlet]: MIDlet-Name is `OwnTracker`, but the fleet's MIDlet has `OwnTracks`\n  = \
             hint: build the JAR with the fleet's name and vendor\n",
        ),
        (
            "new/other.jar",
            "error[version-conflict]: version 0.10.65 is already in the catalog with different content: \
             `jars/OwnTracks-0.10.65.jar`\n  = hint: give the new JAR a new MIDlet-Version\n",
        ),
        (
            "new/page.jar",
            "error[jar-invalid]: not a zip file\n  = hint: a JAR starts with the bytes `PK`; was a web page \
             saved?\n",
        ),
        (
            "new/missing.jar",
            "error[jar-unreadable]: the file cannot be read: No such file or directory (os error 2)\n",
        ),
        ("new", "error[jar-unreadable]: the file is a directory, not a file\n"),
    ];
    for (path, said) in cases {
        project.run(&format!("add {path}")).expect(1, "", &format!("{path}:1:1: {said}"));
        assert_eq!(files(&project.path("jars")), before, "{path}");
    }
}

#[test]
fn all_are_added_or_none() {
    let project = project();
    let before = files(&project.path("jars"));
    let ran = project.run("add new/good.jar new/page.jar new/next.jar new/vendor.jar");
    assert_eq!((ran.status, &*ran.stdout), (1, ""));
    let firsts: Vec<_> =
        ran.stderr.lines().filter(|line| line.contains("error[")).map(|line| &line[..12]).collect();
    assert_eq!(firsts, ["new/page.jar", "new/vendor.j"]);
    assert_eq!(files(&project.path("jars")), before);

    let both = line("0.10.66", "jars/OwnTracks-0.10.66.jar") + &line("0.10.67", "jars/OwnTracks-0.10.67.jar");
    project.run("add new/good.jar new/next.jar").expect(0, &both, "");
    assert_eq!(files(&project.path("jars")).len(), 3);
}

#[test]
fn the_same_version_twice_in_one_call() {
    let project = project().file("new/odd.jar", make_jar("0.10.66", "other-bytes"));
    project.run("add new/good.jar new/odd.jar").expect(
        1,
        "",
        "new/odd.jar:1:1: error[version-conflict]: version 0.10.66 is given twice, with different bytes\n  = \
         hint: add only one of this and `new/good.jar`\n",
    );
    // The same bytes twice are one JAR.
    let project = project.file("new/copy.jar", make_jar("0.10.66", "good"));
    let ran = project.run("add new/good.jar new/copy.jar");
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}", ran.stderr);
    assert_eq!(files(&project.path("jars")).len(), 2);
}

#[test]
fn the_conflict_is_told_of_the_jar_that_causes_it() {
    let project = project().file("new/odd.jar", make_jar("0.10.66", "other-bytes"));
    let ran = project.run("add new/page.jar new/good.jar new/odd.jar");
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("\nnew/odd.jar:1:1: error[version-conflict]"), "{}", ran.stderr);
}

#[test]
fn a_published_version_keeps_its_bytes() {
    let project = project();
    project.build();
    std::fs::remove_file(project.path("jars/OwnTracks-0.10.65.jar")).unwrap();
    project.run("add new/other.jar").expect(
        1,
        "",
        "new/other.jar:1:1: error[version-changed]: version 0.10.65 is already published with different \
         content\n  = hint: give the new JAR a new MIDlet-Version\n",
    );
}
