//! Releases with make: `build --depfile`, and examples/release.mk with real make.

use std::fs;
use std::process::Command;

use crate::support::project::{Project, Ran, SMALL, difference, repository};

/// A fleet with an inventory, a template and names that makefiles have to quote.
fn project() -> Project {
    let fleet = SMALL.to_owned() + "inventory: [devices/*.csv]\n";
    Project::new(&fleet)
        .file("devices/north #1.csv", "clientID,imei\nvan1,352099001761507\n")
        .file("devices/$outh: a*[b]?.csv", "clientID,imei\nvan2,352099001761515\n")
        .file("templates/OwnTracks.jad", fs::read(repository().join("templates/OwnTracks.jad")).unwrap())
}

#[test]
fn a_depfile_names_everything_that_was_read() {
    let project = project();
    project.run("build -q --depfile release.stamp.d").expect(0, "", "");
    let inputs = [
        "devices",
        "devices/$$outh\\:\\ a\\*\\[b]\\?.csv",
        "devices/north\\ \\#1.csv",
        "fleet.yaml",
        "jars",
        "jars/OwnTracks-0.10.65.jar",
        "jars/OwnTracks-0.10.66.jar",
        "templates",
        "templates/OwnTracks.jad",
    ];
    let list: String = inputs.iter().map(|input| format!(" \\\n  {input}")).collect();
    let rules: String = inputs.iter().map(|input| format!("\n{input}:\n")).collect();
    assert_eq!(project.read("release.stamp.d"), format!("release.stamp:{list}\n{rules}"));
}

#[test]
fn a_depfile_is_written_on_success_only() {
    let project = Project::new(SMALL);
    project.run("build -q --depfile a.d").expect(0, "", "");
    let first = project.read("a.d");
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.64");
    project.write("jars/more.jar", "no JAR");
    assert_eq!(project.run("build -q --depfile a.d").status, 1);
    assert_eq!(project.run("build -q --depfile b.d").status, 1);
    assert_eq!(project.read("a.d"), first);
    assert!(!project.path("b.d").exists());
}

#[test]
fn a_depfile_that_no_makefile_can_include_is_refused_before_anything_is_published() {
    let project = Project::new(SMALL);
    project.run("build -q --depfile release.stamp").expect(
        1,
        "",
        "error: the name of a depfile ends in `.d`, and its rule is for the name without it: `release.stamp` \
         does not\n",
    );
    for name in ["a=b", "a;b", "a|b", "a%b", "a\\b", "a\tb"] {
        let jar = format!("jars/{name}.jar");
        fs::rename(project.path("jars/OwnTracks-0.10.66.jar"), project.path(&jar)).unwrap();
        project.run("build -q --depfile a.d").expect(
            1,
            "",
            &format!("error: no makefile can hold the name `{jar}`: rename it\n"),
        );
        fs::rename(project.path(&jar), project.path("jars/OwnTracks-0.10.66.jar")).unwrap();
    }
    assert!(!project.path("out").exists() && !project.path("a.d").exists());
    project.run("build --check --depfile a.d").expect(
        2,
        "",
        "error: the argument '--check' cannot be used with '--depfile <FILE>'\n\nUsage: otapress build \
         --check\n\nFor more information, try '--help'.\n",
    );
}

/// Runs make with the example makefile; says whether it has built.
#[track_caller]
fn make(project: &Project) -> bool {
    let output = Command::new("make")
        .args(["-f", "release.mk", "release"])
        .arg(concat!("OTAPRESS=", env!("CARGO_BIN_EXE_otapress"), " -q"))
        .current_dir(project.path(""))
        .env("LC_ALL", "C")
        // `make test` hands these down, and with them make says other things.
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    let ran = Ran::new(output);
    assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}", ran.stdout);
    let built = ran.stdout.contains("build --depfile");
    assert!(built || ran.stdout == "make: Nothing to be done for 'release'.\n", "{}", ran.stdout);
    built
}

/// Compiling takes minutes: that the result could not be written is said before.
#[test]
fn install_says_at_once_that_it_may_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let output = Command::new("make")
        .args(["install", "CARGO=false"])
        .arg(format!("PREFIX={}", file.join("below").display()))
        .current_dir(repository())
        .env("LC_ALL", "C")
        .env_remove("DESTDIR")
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    let file = file.display();
    let said = format!(
        "cannot install to {file}/below/bin: {file} is not a directory that you may write to; as root, or \
         for \
         yourself: make install PREFIX=~/.local"
    );
    let ran = Ran::new(output);
    assert_eq!((ran.status, &*ran.stdout, ran.stderr.lines().next()), (2, "", Some(&*said)));
}

#[test]
fn make_builds_when_something_has_changed_and_never_twice() {
    let project = project();
    let example = fs::read_to_string(repository().join("examples/release.mk")).unwrap();
    project.write("release.mk", example);
    type Edit = fn(&Project);
    let edits: &[(&str, Edit)] = &[
        ("nothing is built yet", |_| {}),
        ("a release", |p| p.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66")),
        ("an inventory with a blank", |p| p.edit("devices/north #1.csv", "van1", "van3")),
        ("an inventory with everything else", |p| p.edit("devices/$outh: a*[b]?.csv", "van2", "van4")),
        ("an inventory more", |p| p.write("devices/new one.csv", "clientID,imei\nvan5,352099001761523\n")),
        ("an inventory less", |p| fs::remove_file(p.path("devices/new one.csv")).unwrap()),
        ("a JAR more", |p| {
            p.write("jars/my new.jar", crate::support::project::make_jar("0.10.67", "good"));
        }),
        ("a JAR less", |p| fs::remove_file(p.path("jars/my new.jar")).unwrap()),
        ("the template", |p| {
            p.edit("templates/OwnTracks.jad", "MicroEdition-Profile:", "X-Note: x\nMicroEdition-Profile:")
        }),
        ("no template", |p| fs::remove_dir_all(p.path("templates")).unwrap()),
        ("what is published", |p| fs::remove_dir_all(p.path("out")).unwrap()),
    ];
    for (what, edit) in edits {
        edit(&project);
        // Times of files may be as coarse as the clock's tick: what make compares must differ.
        assert!(make(&project), "{what}");
        assert!(!make(&project), "{what}: built twice");
        project.run("build --check -q").expect(0, "", "");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_release_is_taken_back_by_git_revert_and_a_build() {
    let project = Project::new(SMALL);
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(project.path(""))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert_eq!(Ran::new(output).status, 0, "git {args:?}");
    };
    git(&["init", "-q"]);
    project.write(".gitignore", ".*.otapress-*\n");
    project.build();
    git(&["add", "."]);
    git(&["commit", "-qm", "0.10.65"]);
    let before = project.out();
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66");
    project.build();
    git(&["commit", "-qam", "0.10.66"]);
    let jars = |project: &Project| {
        use std::os::unix::fs::MetadataExt as _;
        let jars = project.out().into_keys().filter(|path| path.starts_with("jars/"));
        let stamp = |path: &String| fs::metadata(project.path("out").join(path)).unwrap();
        jars.map(|path| (stamp(&path).ino(), stamp(&path).mtime_nsec(), path)).collect::<Vec<_>>()
    };
    let published = jars(&project);

    // Without out/ in the commit, as fleets have it that publish elsewhere: only what leads to the JARs is
    // written.
    git(&["revert", "--no-commit", "HEAD"]);
    git(&["checkout", "-q", "HEAD", "--", "out"]);
    project.run("build").expect_timed(
        0,
        "published 2 devices: 2 JADs, 2 answers, 1 site file written, 0 files removed, 3 unchanged, in \
         TIME\n",
    );
    assert_eq!(difference(&project.out(), &before), "");
    assert_eq!(jars(&project), published);
    git(&["commit", "-qam", "back to 0.10.65"]);

    // With out/ in the commit git has done it already, and the build proves it.
    git(&["revert", "--no-edit", "HEAD"]);
    git(&["revert", "--no-edit", "HEAD"]);
    project.run("build").expect_timed(0, "nothing to do: 8 files up to date for 2 devices, in TIME\n");
    assert_eq!(difference(&project.out(), &before), "");
    assert_eq!(jars(&project), published);
}
