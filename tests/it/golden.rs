//! Whole published directories, compared byte by byte, and what `show` says of their devices.
//!
//! `tests/golden/<name>/` is a fleet with its `out/`; `UPDATE_GOLDEN=1` rewrites that (and fails), to be read
//! before it is committed. The example's `out/` is the repository's. `show/<device>.txt` in a golden fleet is
//! what `otapress show <device>` prints, `.json` and `.provision` the same with that option.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use otapress_core::digest::Sha256;
use otapress_core::out::SITE_FILE;
use otapress_core::wire::{AnswerFile, Site};
use otapress_publish::{jad, jar};

use crate::support::project::{
    Files, Project, against_golden, difference, directories, files, repository, updating,
};

struct Golden {
    name: String,
    dir: PathBuf,
    project: Project,
    out: PathBuf,
}

/// The golden fleets; every one of the design's list must be there.
fn all() -> Vec<Golden> {
    let golden = |dir: PathBuf| {
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let (project, out) = if name == "example" {
            (Project::example(), repository().join("out"))
        } else {
            let project = Project::copy_of(&dir);
            if project.path("out").exists() {
                fs::remove_dir_all(project.path("out")).unwrap();
            }
            (project, dir.join("out"))
        };
        Golden { name, dir, project, out }
    };
    let all: Vec<_> = directories(&repository().join("tests/golden")).into_iter().map(golden).collect();
    let names: BTreeSet<_> = all.iter().map(|golden| &*golden.name).collect();
    for wanted in [
        "at-in-client-id",
        "csv-inventory",
        "example",
        "group-overrides",
        "per-device-template",
        "rollout",
        "shared-jad",
        "site-with-path",
        "unusual-manifests",
    ] {
        assert!(names.contains(wanted), "{wanted}");
    }
    all
}

#[test]
fn published_directories_are_the_golden_ones() {
    let mut wrong = String::new();
    for Golden { name, project, out, .. } in all() {
        project.build();
        let (is, wanted) = (project.out(), if out.exists() { files(&out) } else { Files::new() });
        let difference = difference(&is, &wanted);
        if !difference.is_empty() && updating() {
            rewrite(&out, &is);
        }
        if !difference.is_empty() {
            wrong += &format!("== {name}\n{difference}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn rewrite(out: &Path, files: &Files) {
    if out.exists() {
        fs::remove_dir_all(out).unwrap();
    }
    for (path, bytes) in files {
        fs::create_dir_all(out.join(path).parent().unwrap()).unwrap();
        fs::write(out.join(path), bytes).unwrap();
    }
}

#[test]
fn golden_directories_check_clean_and_strictly() {
    for Golden { name, project, .. } in all() {
        let ran = project.run("check --strict -q");
        assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (0, "", ""), "{name}");
    }
}

#[test]
fn what_show_says_is_golden() {
    let mut wrong = String::new();
    let mut count = 0;
    for golden in all() {
        let dir = golden.dir.join("show");
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let (device, option) = match file.rsplit_once('.') {
                Some((device, "txt")) => (device, ""),
                Some((device, "json")) => (device, "--json"),
                Some((device, "provision")) => (device, "--provision"),
                _ => panic!("{}", path.display()),
            };
            let ran = golden.project.run(&format!("show --at 2026-11-28T12:00:00Z {device} {option}"));
            assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}", path.display());
            wrong += &against_golden(&ran.stdout, &path).unwrap_or_default();
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 15, "{count}");
}

/// Looks at a published directory as devices and operators do, without the code that has made it.
#[test]
fn golden_directories_hold_together() {
    for Golden { name, out, .. } in all() {
        let files = files(&out);
        let text = |path: &str| String::from_utf8(files[path].clone()).unwrap();
        let site = Site::parse(&files[SITE_FILE]).unwrap();

        let sums = Command::new("sha256sum")
            .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(out.join("jars"))
            .output()
            .unwrap();
        assert!(sums.status.success(), "{name}: {}", String::from_utf8_lossy(&sums.stderr));
        let jars: BTreeSet<_> = files.keys().filter(|path| path.ends_with(".jar")).collect();
        let listed: BTreeSet<_> =
            text("jars/SHA256SUMS").lines().map(|line| format!("jars/{}", &line[66..])).collect();
        assert_eq!(listed.iter().collect::<BTreeSet<_>>(), jars, "{name}");
        let recorded: BTreeSet<_> = site.releases.iter().map(|release| &release.path).collect();
        assert_eq!(recorded, jars, "{name}");
        for release in &site.releases {
            let bytes = &files[&release.path];
            assert_eq!((bytes.len() as u64, Sha256::of(bytes)), (release.size, release.sha256), "{name}");
            let sixteen = &release.sha256.to_string()[..16];
            assert_eq!(release.path, format!("jars/{}/{sixteen}/OwnTracks.jar", release.version), "{name}");
        }

        let mut targets = BTreeSet::new();
        for (path, bytes) in &files {
            if path.starts_with("vc/") {
                assert!(bytes.is_ascii() && bytes.iter().filter(|&&b| b == b'\n').count() <= 1, "{path}");
                let answer = AnswerFile::parse(bytes).unwrap();
                assert_eq!(answer.upgrade == 1, answer.offer.target.is_some(), "{name}: {path}");
                targets.extend(answer.offer.target.map(|target| target.version));
            } else if path.ends_with(".jad") {
                let parsed = jad::parse(bytes).unwrap();
                let url = parsed.get("MIDlet-Jar-URL").unwrap();
                let jar_path = url.strip_prefix(&format!("{}/", site.site)).unwrap();
                let jar = jar::read(&files[jar_path]).unwrap();
                assert_eq!(jad::check(&parsed, &jar, url), [], "{name}: {path}");
                check_form(&text(path));
            } else {
                let known = path == SITE_FILE || path == "jars/SHA256SUMS" || jars.contains(path);
                assert!(known, "{name}: {path}");
            }
        }
        for target in targets {
            assert!(
                site.releases.iter().any(|release| release.version.parse() == Ok(target)),
                "{name}: {target}"
            );
        }
        // Nothing in out/ lists the devices.
        for path in ["jars/SHA256SUMS", SITE_FILE] {
            assert!(!text(path).contains("35209900176"), "{name}: {path}");
        }
    }
}

/// The form of a JAD as the strictest installer wants it, looked at without our parser.
fn check_form(jad: &str) {
    assert!(jad.is_ascii() && jad.ends_with('\n') && !jad.contains(['\r', '\t']), "{jad}");
    let mut names = Vec::new();
    for line in jad.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{line}");
        assert!(!value.is_empty() && value.trim() == value, "{line}");
        names.push(name);
    }
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{jad}");
    for name in
        ["MIDlet-Name", "MIDlet-Version", "MIDlet-Vendor", "MIDlet-Jar-URL", "MIDlet-Jar-Size", "MIDlet-1"]
    {
        assert!(names.contains(&name), "{name}");
    }
}
