//! The Debian package: installed, used and removed with dpkg, in a directory of its own; and what else a release is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::process::{Serve, heavy};
use crate::support::project::{files, repository};

/// Runs a program to its end, which must be a good one.
#[track_caller]
fn run(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let command = Command::new(&program).args(args).env("SOURCE_DATE_EPOCH", "1700000000").output();
    let Output { status, stdout, stderr } =
        command.unwrap_or_else(|error| panic!("`{}`: {error}", program.as_ref().display()));
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The programs without what a debugger needs, which is most of them.
fn stripped(into: &Path) {
    for program in [env!("CARGO_BIN_EXE_otapress"), env!("CARGO_BIN_EXE_otapress-cgi")] {
        let name = Path::new(program).file_name().unwrap();
        run("strip", &["-o", into.join(name).to_str().unwrap(), program]);
    }
}

fn script(name: &str, bin: &Path, into: &Path) -> PathBuf {
    let program = repository().join("packaging").join(name);
    run(program, &[bin.to_str().unwrap(), into.to_str().unwrap()]).trim_end().into()
}

/// dpkg on a root of its own, for any user who is root in it.
fn dpkg(root: &Path, args: &[&str]) {
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::OpenOptions::new().create(true).append(true).open(root.join("var/lib/dpkg/status")).unwrap();
    let root = format!("--root={}", root.display());
    // The C library is not a package of this root.
    let forced = "--force-script-chrootless,depends,not-root";
    let all = [&[&*root, forced], args].concat();
    if rustix::process::geteuid().is_root() {
        run("dpkg", &all);
    } else {
        run("sudo", &[&["-n", "dpkg"], &all[..]].concat());
    }
}

#[test]
fn the_package_is_installed_started_and_removed() {
    let _alone = heavy();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let bin = path("bin");
    fs::create_dir(&bin).unwrap();
    stripped(&bin);
    let deb = script("deb", &bin, &path("one"));
    let again = script("deb", &bin, &path("two"));
    assert!(fs::read(&deb).unwrap() == fs::read(again).unwrap(), "packed twice, it is the same");

    let root = path("root");
    dpkg(&root, &["--install", deb.to_str().unwrap()]);
    let installed: BTreeSet<_> = files(&root.join("usr")).into_keys().collect();
    for file in [
        "bin/otapress",
        "bin/otapress-cgi",
        "share/man/man1/otapress.1.gz",
        "share/man/man1/otapress-cgi.1.gz",
        "share/bash-completion/completions/otapress",
        "share/zsh/vendor-completions/_otapress",
        "share/fish/vendor_completions.d/otapress.fish",
        "lib/systemd/system/otapress.service",
        "lib/systemd/system/otapress.socket",
        "lib/systemd/system/otapress-relay.service",
        "share/doc/otapress/copyright",
        "share/doc/otapress/example/fleet.yaml",
    ] {
        assert!(installed.contains(file), "{file} is not in {installed:#?}");
    }
    assert!(root.join("var/lib/otapress/state").is_dir());

    // The example is published and served as the unit does it, with the paths of this root.
    let at = |path: &str| root.join(path).to_str().unwrap().to_owned();
    fs::create_dir_all(root.join("etc/otapress")).unwrap();
    run("cp", &["-r", &(at("usr/share/doc/otapress/example") + "/."), &at("etc/otapress")]);
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/otapress.service")).unwrap();
    assert!(!unit.contains(dir.path().to_str().unwrap()) && !unit.contains("/tmp/"), "{unit}");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<_> = start
        .split(' ')
        .map(|word| word.strip_prefix('/').map_or_else(|| word.to_owned(), at))
        .map(|word| if word.starts_with("127.0.0.1:") { "127.0.0.1:0".into() } else { word })
        .collect();
    let (fleet, out) = (at("etc/otapress/fleet.yaml"), at("var/lib/otapress/out"));
    run(&words[0], &["--fleet", &fleet, "--out", &out, "build", "-q"]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_remove("OTAPRESS_STATE");
    let serve = Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"));
    assert_eq!(serve.check("999999999999999", "0.10.65").text(), r#"{"upgrade":0}"#);
    assert_eq!(serve.terminate().code, Some(0));

    dpkg(&root, &["--remove", "otapress"]);
    assert!(!root.join("usr/bin/otapress").exists() && root.join("var/lib/otapress/out").is_dir());
    dpkg(&root, &["--purge", "otapress"]);
    assert!(!root.join("var/lib/otapress").exists());
    let left: Vec<_> =
        if root.join("usr").exists() { files(&root.join("usr")).into_keys().collect() } else { Vec::new() };
    assert!(left.is_empty(), "{left:?}");
    assert!(root.join("etc/otapress/fleet.yaml").exists(), "the operator's");
}

#[test]
fn the_archive_has_its_checksum() {
    let _alone = heavy();
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // What is in the programs does not matter here, and they are large.
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_otapress"));
    for name in ["otapress", "otapress-cgi"] {
        fs::write(bin.join(name), &program).unwrap();
        run("chmod", &["755", bin.join(name).to_str().unwrap()]);
    }
    let archives = ["one", "two"].map(|name| script("archive", &bin, &dir.path().join(name)));
    let [one, two] = archives.each_ref().map(|archive| fs::read(archive).unwrap());
    assert!(one == two, "packed twice, it is the same");
    run(
        "sh",
        &[
            "-c",
            &format!("cd '{}' && sha256sum --check --quiet SHA256SUMS", dir.path().join("one").display()),
        ],
    );
    let listed = run("tar", &["-tzf", archives[0].to_str().unwrap()]);
    let wanted = "/usr/share/doc/otapress/README.md";
    assert!(listed.lines().any(|line| line.ends_with(wanted)), "{listed}");
}
