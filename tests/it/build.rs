//! `build` and `build --check`: what is written and when, what is refused, and that nothing but the input
//! decides the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use walkdir::WalkDir;

use crate::support::jar::JarBuilder;
use crate::support::jar::class::ClassBuilder;
use crate::support::process::wait_until;
use crate::support::project::{Project, Ran, SMALL, difference, files, make_jar, modes};

/// Inode and time of every file and directory.
fn stamps(dir: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let stamp = |entry: walkdir::DirEntry| {
        let metadata = entry.metadata().unwrap();
        (entry.path().display().to_string(), (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))
    };
    WalkDir::new(dir).into_iter().map(Result::unwrap).map(stamp).collect()
}

fn inode(project: &Project, path: &str) -> u64 {
    fs::metadata(project.path(path)).unwrap().ino()
}

#[test]
fn a_build_says_what_it_wrote_and_the_second_writes_nothing() {
    let project = Project::example();
    project.run("build").expect_timed(
        0,
        "published 9 devices: 3 JAR files, 8 JADs, 9 answers, 1 site file written, 0 files removed, 0 \
         unchanged, in TIME\n",
    );
    let before = stamps(&project.path("out"));
    project.run("build").expect_timed(0, "nothing to do: 21 files up to date for 9 devices, in TIME\n");
    assert_eq!(stamps(&project.path("out")), before);
    project.run("build -q").expect(0, "", "");
    let out = fs::canonicalize(project.path("out")).unwrap();
    project.run("build --check").expect(0, "", &format!("`{}` is what the fleet says\n", out.display()));
    assert_eq!(stamps(&project.path("out")), before);
}

#[test]
fn ten_builds_in_different_surroundings_are_alike() {
    let umasks = ["000", "077", "022", "027", "777"];
    let zones = ["UTC", "Asia/Kathmandu", "America/St_Johns"];
    let locales = ["C", "de_DE.UTF-8", "tr_TR.UTF-8", "ja_JP.eucJP"];
    let mut first = None;
    for i in 0..10 {
        let project = Project::example();
        let status = Command::new("sh")
            .args(["-c", &format!("umask {}; exec \"$0\" build -q", umasks[i % umasks.len()])])
            .arg(env!("CARGO_BIN_EXE_otapress"))
            .current_dir(project.path("."))
            .env("TZ", zones[i % zones.len()])
            .env("LC_ALL", locales[i % locales.len()])
            .env("LANG", locales[i % locales.len()])
            .status()
            .unwrap();
        assert!(status.success(), "{i}");
        let modes = modes(&project.path("out"));
        assert_eq!(modes[""], 0o755);
        for (path, mode) in &modes {
            assert_eq!(*mode, if project.path("out").join(path).is_dir() { 0o755 } else { 0o644 }, "{path}");
        }
        let (out, modes) = first.get_or_insert_with(|| (project.out(), modes.clone())).clone();
        assert_eq!(difference(&project.out(), &out), "", "{i}");
        assert_eq!(crate::support::project::modes(&project.path("out")), modes, "{i}");
    }
}

#[test]
fn sha256sum_accepts_the_sums() {
    let project = Project::example();
    project.build();
    let output = Command::new("sha256sum")
        .args(["-c", "SHA256SUMS"])
        .current_dir(project.path("out/jars"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let ran = Ran::new(output);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert_eq!(ran.stdout.lines().filter(|line| line.ends_with(": OK")).count(), 2, "{}", ran.stdout);
}

#[test]
fn identical_files_share_an_inode() {
    let project = Project::example();
    project.build();
    let vans = ["out/vc/352099001761549.json", "out/vc/352099001761556.json", "out/vc/352099001761564.json"];
    assert_eq!(vans.map(|path| inode(&project, path)), [inode(&project, vans[0]); 3]);
    let of_content: BTreeMap<Vec<u8>, BTreeSet<u64>> =
        project.out().iter().fold(BTreeMap::new(), |mut map, (path, bytes)| {
            map.entry(bytes.clone()).or_default().insert(inode(&project, &format!("out/{path}")));
            map
        });
    assert!(of_content.values().all(|inodes| inodes.len() == 1));
    // One of them changes: the others keep their file.
    project.edit("devices/vans.csv", "van-02,352099001761556,vans,V2", "van-02,352099001761556,couriers,V2");
    let before = inode(&project, vans[0]);
    project.build();
    assert_eq!([vans[0], vans[2]].map(|path| inode(&project, path)), [before; 2]);
    assert_ne!(inode(&project, vans[1]), before);
}

/// Edits after which `build --check` must say that out/ differs.
/// A release that loses nothing of the example's.
fn next_release() -> Vec<u8> {
    const CLASS: &str = "demo/owntracks/OwnTracks";
    let permissions = ["http", "socket", "file.read", "file.write"];
    let permissions = permissions.map(|name| format!("javax.microedition.io.Connector.{name}")).join(", ");
    JarBuilder::new("OwnTracks", "0.10.67", "Choral")
        .attribute("MIDlet-1", "OwnTracks,,demo.owntracks.OwnTracks")
        .attribute("MIDlet-Permissions", &permissions)
        .class(&ClassBuilder::midlet(CLASS, ""), CLASS)
        .build()
}

#[test]
fn every_edit_that_matters_is_noticed() {
    type Edit = fn(&Project);
    let edits: &[(&str, Edit)] = &[
        ("site", |p| {
            p.write("fleet.yaml", p.read("fleet.yaml").replace("ota.example.com", "ota2.example.com"))
        }),
        ("otapURI", |p| p.edit("fleet.yaml", "/files/@/", "/jads/@/")),
        ("notifyURI", |p| p.edit("fleet.yaml", "notify?id=@", "notify?who=@")),
        ("versionURI", |p| p.edit("fleet.yaml", "/otap/version", "/otap/check")),
        ("versionInterval", |p| p.edit("fleet.yaml", "10800", "10801")),
        ("release", |p| p.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66")),
        ("pin", |p| p.edit("fleet.yaml", "release: 0.10.65, comment", "release: 0.10.66, comment")),
        ("percent", |p| p.edit("fleet.yaml", "percent: 25%", "percent: 85%")),
        ("wave", |p| p.edit("fleet.yaml", "2026-01-14", "2026-01-15")),
        ("brake", |p| p.edit("fleet.yaml", "failures: 20%", "failures: 21%")),
        ("attempts", |p| p.edit("fleet.yaml", "attempts: 3", "attempts: 4")),
        ("rate", |p| p.edit("fleet.yaml", "500/h", "501/h")),
        ("window", |p| {
            p.edit("fleet.yaml", "    rate:", "    window: { from: \"01:00\", minutes: 60 }\n    rate:")
        }),
        ("downgrade", |p| p.edit("fleet.yaml", "    rate:", "    downgrade: deny\n    rate:")),
        ("setting", |p| p.edit("fleet.yaml", "keepAlive: \"300\"", "keepAlive: \"301\"")),
        ("enforce", |p| p.edit("fleet.yaml", "enforce: always", "enforce: until-confirmed")),
        ("group", |p| p.edit("fleet.yaml", "group: couriers, tid: D1", "group: vans, tid: D1")),
        ("hold", |p| p.edit("fleet.yaml", ", hold: true", "")),
        ("held", |p| p.edit("fleet.yaml", "tid: D1", "hold: true")),
        ("auth", |p| p.edit("fleet.yaml", "  apn: internet", "  otapUser: x\n  otapPasswordFile: y")),
        ("device added", |p| {
            p.edit("fleet.yaml", "devices:\n", "devices:\n  new: { imei: \"352099001761572\" }\n")
        }),
        ("device in the inventory", |p| {
            p.write("devices/vans.csv", p.read("devices/vans.csv") + "van-04,352099001761572,vans,,\n");
        }),
        ("device removed", |p| {
            p.edit("fleet.yaml", "  dev2: { imei: \"352099001761499\", group: couriers, tid: D2 }\n", "")
        }),
        ("inventory added", |p| p.write("devices/more.csv", "clientID,imei\nnew,352099001761572\n")),
        ("IMEI", |p| p.edit("fleet.yaml", "352099001761481", "352099001761572")),
        ("clientID", |p| p.edit("fleet.yaml", "dev1:", "dev9:")),
        ("JAR added", |p| p.write("jars/new.jar", next_release())),
        ("template", |p| {
            p.edit("templates/OwnTracks.jad", "MicroEdition-Profile:", "X-Note: x\nMicroEdition-Profile:")
        }),
        ("answer changed", |p| p.edit("out/vc/352099001761515.json", "10800", "10801")),
        ("JAD removed", |p| fs::remove_file(p.path("out/files/dev1/OwnTracks.jad")).unwrap()),
        ("JAR damaged", |p| {
            let path = "out/jars/0.10.65/4cb0aa8e0d8edc2c/OwnTracks.jar";
            let mut bytes = fs::read(p.path(path)).unwrap();
            bytes[100] ^= 1;
            p.write(path, bytes);
        }),
        ("JAD of nobody", |p| p.write("out/files/nobody/OwnTracks.jad", "x")),
        ("answer of nobody", |p| p.write("out/vc/352099001761572.json", "{}")),
        ("sums", |p| p.write("out/jars/SHA256SUMS", "")),
        ("site file", |p| p.edit("out/otapress.json", "\"auth\": false", "\"auth\": true")),
        ("all of it", |p| fs::remove_dir_all(p.path("out")).unwrap()),
    ];
    let base = Project::example();
    base.build();
    for (what, edit) in edits {
        let project = Project::copy_of(&base.path("."));
        assert_eq!(project.run("build --check -q").status, 0, "{what}");
        edit(&project);
        let before = project.out_or_nothing();
        let ran = project.run("build --check");
        assert_eq!(ran.status, 3, "{what}: {}", ran.stderr);
        assert!(ran.stderr.ends_with(": run `otapress build`\n"), "{what}: {}", ran.stderr);
        assert_eq!(project.out_or_nothing(), before, "{what}: --check writes nothing");
        let ran = project.run("build -q --allow-mass-removal");
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{what}");
        project.run("build --check -q").expect(0, "", "");
    }
}

/// The bytes of a file are changed in place, and everything of it that can be put back is: size and time.
#[test]
fn a_hidden_change_of_what_is_remembered_is_noticed() {
    let project = Project::new(SMALL);
    project.build();
    let remembered = project.path(".out.otapress-hashes");
    wait_until(
        // What was written a moment ago is not remembered yet.
        || {
            project.build();
            fs::metadata(&remembered).is_ok_and(|metadata| metadata.len() > 5 * 72)
        },
        || "nothing is remembered".into(),
    );
    let before = project.out();
    let path = project.path("out/files/dev1/OwnTracks.jad");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[20] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    for args in ["build --check -q", "build --check -q --verify"] {
        assert_eq!(project.run(args).status, 3, "{args}");
    }
    project.build();
    assert_eq!(difference(&project.out(), &before), "");
    for damage in ["", "otapress hashes 1\n"] {
        project.write(".out.otapress-hashes", damage);
        project.run("build --check -q").expect(0, "", "");
    }
}

#[test]
fn edits_that_do_not_matter_change_nothing() {
    let project = Project::example();
    project.build();
    let before = stamps(&project.path("out"));
    project.write("fleet.yaml", format!("# a comment\n{}# another\n", project.read("fleet.yaml")));
    project.edit("fleet.yaml", "comment: in the workshop", "comment: still in the workshop");
    project.edit(
        "fleet.yaml",
        "  dev1: { imei: \"352099001761481\", group: couriers, tid: D1 }\n  dev2: \
         { imei: \"352099001761499\", group: couriers, tid: D2 }\n",
        "  dev2:\n    tid: D2\n    imei: 352099001761499\n    group: 'couriers'\n  dev1: \
         { tid: D7, group: couriers, imei: \"352099001761481\" }\n",
    );
    project.edit(
        "fleet.yaml",
        "keepAlive: \"300\", minInterval: \"3600\"",
        "minInterval: 3600, keepAlive: 300",
    );
    project.edit("fleet.yaml", "percent: 25%", "percent: 2500bp");
    project.edit("fleet.yaml", "2026-01-12T08:00:00Z", "2026-01-12T09:00:00+01:00");
    project.edit("fleet.yaml", "apn: internet", "apn: m2m");
    project.edit("fleet.yaml", "midlet: { name: OwnTracks, vendor: Choral }\n", "");
    project
        .write("fleet.yaml", project.read("fleet.yaml") + "midlet:\n  vendor: Choral\n  name: OwnTracks\n");
    fs::rename(project.path("jars/OwnTracks-0.10.65.jar"), project.path("jars/a.jar")).unwrap();
    let ran = project.run("build --check -q");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    project.build();
    assert_eq!(stamps(&project.path("out")), before);
}

#[test]
fn the_differences_are_named() {
    let project = Project::new(SMALL);
    project.build();
    project.edit("fleet.yaml", "  dev2:", "  dev3:");
    let out = fs::canonicalize(project.path("out")).unwrap();
    project.run("build --check").expect(
        3,
        "",
        &format!(
            "  add    files/dev3/OwnTracks.jad\n  remove files/dev2/OwnTracks.jad\n\
             `{}` differs from what the fleet says in 2 files: run `otapress build`\n",
            out.display()
        ),
    );
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    let project = Project::new(SMALL).file("out/index.html", "hello");
    let out = fs::canonicalize(project.path("out")).unwrap();
    let said = format!(
        "error: `{}` is neither empty nor a directory that otapress has made: choose another with `--out`, \
         or empty it\n",
        out.display()
    );
    for args in ["build", "build --check", "build --allow-mass-removal"] {
        project.run(args).expect(1, "", &said);
    }
    assert_eq!(project.out().into_keys().collect::<Vec<_>>(), ["index.html"]);
    // An empty one is good.
    fs::remove_file(project.path("out/index.html")).unwrap();
    project.build();
}

#[test]
fn a_foreign_file_is_refused_and_kept() {
    let project = Project::new(SMALL);
    project.build();
    let out = fs::canonicalize(project.path("out")).unwrap();
    for path in ["index.html", "files/dev1/notes.txt", "OwnTracks.jad~", ".htaccess", "files/dev1/.htaccess"]
    {
        project.write(&format!("out/{path}"), "mine");
        let before = project.out();
        project.edit("fleet.yaml", "  dev2:", "  dev3:");
        let why = match path.rsplit('/').next().unwrap().starts_with('.') {
            true => ", or name it in `keep` of the fleet file if the host needs it",
            false => ", which otapress keeps exactly as the fleet says",
        };
        let said = format!(
            "error: `{}` is not a file that otapress would publish: move it out of `{}`{why}\n",
            out.join(path).display(),
            out.display()
        );
        project.run("build").expect(1, "", &said);
        project.run("plan").expect(1, "", &said);
        assert_eq!(project.out(), before);
        project.edit("fleet.yaml", "  dev3:", "  dev2:");
        fs::remove_file(project.path("out").join(path)).unwrap();
    }
}

#[test]
fn what_the_host_needs_is_kept() {
    let project = Project::new(SMALL);
    project.write("fleet.yaml", format!("keep: [.well-known, .htaccess]\n{}", project.read("fleet.yaml")));
    let kept = [".well-known/acme-challenge/token", ".htaccess", "files/dev2/.htaccess"];
    // Nobody has asked for these; they are left where they are, and what is to go goes.
    let clutter = [".DS_Store", "files/dev2/._OwnTracks.jad", "vc/Thumbs.db", "files/dev2/.nfs000000000001"];
    let put = |paths: &[&str]| paths.iter().for_each(|path| project.write(&format!("out/{path}"), path));
    // In a directory that is new, and in one that is ours.
    put(&[kept[0], clutter[0]]);
    project.build();
    put(&kept);
    put(&clutter);
    for args in ["build -q", "build --check -q", "plan --exit-code -q"] {
        let ran = project.run(args);
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{args}");
    }
    project.edit("fleet.yaml", "  dev2:", "  dev3:");
    project.run("build -q").expect(0, "", "");
    assert!(!project.path("out/files/dev2/OwnTracks.jad").exists());
    project.run("build --check -q").expect(0, "", "");
    for path in kept.iter().chain(&clutter) {
        assert_eq!(project.read(&format!("out/{path}")), **path);
    }
}

#[test]
fn a_symbolic_link_is_refused() {
    let project = Project::new(SMALL).file("elsewhere/OwnTracks.jad", "mine");
    project.build();
    fs::remove_dir_all(project.path("out/files/dev1")).unwrap();
    symlink(project.path("elsewhere"), project.path("out/files/dev1")).unwrap();
    let link = fs::canonicalize(project.path("out")).unwrap().join("files/dev1");
    let said = format!(
        "error: `{}` is a symbolic link: otapress neither follows nor replaces it; remove it\n",
        link.display()
    );
    project.run("build").expect(1, "", &said);
    assert_eq!(project.read("elsewhere/OwnTracks.jad"), "mine");
}

#[test]
fn a_published_version_keeps_its_bytes() {
    let project = Project::new(SMALL);
    project.build();
    let before = stamps(&project.path("out"));
    project.write("jars/OwnTracks-0.10.66.jar", make_jar("0.10.66", "other-bytes"));
    project.run("build").expect(
        1,
        "",
        "jars/OwnTracks-0.10.66.jar:1:1: error[version-changed]: version 0.10.66 is already published with \
         different content\n  \
         = hint: a published version never changes: give the new JAR a new MIDlet-Version\n1 error: nothing \
         was published\n",
    );
    assert_eq!(stamps(&project.path("out")), before);
}

#[test]
fn dropping_many_devices_needs_a_word() {
    let list = |range: std::ops::Range<u32>| -> String {
        range.map(|n| format!("dev{n},3520990{n:07}\n")).collect()
    };
    let fleet = SMALL.split("devices:").next().unwrap().to_owned() + "inventory: [d.csv]\n";
    let project = Project::new(&fleet).file("d.csv", format!("clientID,imei\n{}", list(0..20)));
    project.build();
    // One device is no mass, nor is a tenth.
    project.write("d.csv", format!("clientID,imei\n{}", list(2..20)));
    project.build();
    project.write("d.csv", format!("clientID,imei\n{}", list(4..20)));
    let before = project.out();
    project.run("build").expect(
        1,
        "",
        "error: 2 of 18 devices would be dropped from out/, which is more than 10 %: if that is meant, build \
         with `--allow-mass-removal`\n",
    );
    assert_eq!(project.out(), before);
    assert_eq!(project.run("build --check -q").status, 3);
    project.run("build -q --allow-mass-removal").expect(0, "", "");
    assert_eq!(files(&project.path("out/vc")).len(), 16);
    assert_eq!(files(&project.path("out/files")).len(), 16);
    assert!(!project.path("out/files/dev2").exists());
}

#[test]
fn what_a_killed_build_leaves_is_cleaned() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    let leftovers = ["out/files/dev1/.otapress-tmp-0123456789abcdef", "out/.otapress-tmp-0123456789abcdef"];
    for path in leftovers {
        project.write(path, "half");
    }
    project.build();
    assert_eq!(difference(&project.out(), &before), "");

    // Killed before the fresh tree was renamed.
    fs::remove_dir_all(project.path("out")).unwrap();
    project.write(".out.otapress-new/vc/half.json", "half");
    project.build();
    assert_eq!(difference(&project.out(), &before), "");
    assert!(!project.path(".out.otapress-new").exists());
}

#[test]
fn a_jad_can_become_a_directory_and_a_directory_a_jad() {
    let project = Project::new(&SMALL.replace("files/@/OwnTracks.jad", "all.jad"));
    project.build();
    project.edit("fleet.yaml", "all.jad", "all.jad/@.jad");
    assert_eq!(project.run("build --allow-mass-removal").status, 0);
    assert!(project.path("out/all.jad/dev2.jad").is_file());
    project.edit("fleet.yaml", "all.jad/@.jad", "all.jad");
    assert_eq!(project.run("build --allow-mass-removal").status, 0);
    assert!(project.path("out/all.jad").is_file());
    project.run("build --check -q").expect(0, "", "");
}

#[test]
fn two_builds_at_once_give_one_tree() {
    let project = Project::example();
    let wanted = Project::example();
    wanted.build();
    for _ in 0..3 {
        let builds: Vec<_> = (0..4)
            .map(|_| project.command().args(["build", "-q"]).stderr(Stdio::piped()).spawn().unwrap())
            .collect();
        for build in builds {
            let output = build.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(difference(&project.out(), &wanted.out()), "");
        fs::remove_dir_all(project.path("out")).unwrap();
    }
}

#[test]
fn a_failed_build_leaves_what_is_published() {
    let project = Project::new(SMALL);
    project.build();
    let before = stamps(&project.path("out"));
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.64");
    let ran = project.run("build");
    assert_eq!((ran.status, &*ran.stdout), (1, ""));
    assert!(ran.stderr.ends_with("\n1 error: nothing was published\n"), "{}", ran.stderr);
    assert_eq!(stamps(&project.path("out")), before);
}

#[test]
fn paths_can_be_named() {
    let project = Project::new(SMALL);
    fs::create_dir(project.path("elsewhere")).unwrap();
    let fleet = project.path("fleet.yaml");
    let ran = project.command().current_dir("/").args(["build", "-q", "-f"]).arg(&fleet).output().unwrap();
    Ran::new(ran).expect(0, "", "");
    project.run("build -q --out elsewhere/public").expect(0, "", "");
    assert_eq!(difference(&files(&project.path("elsewhere/public")), &project.out()), "");
}
