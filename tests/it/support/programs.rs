//! The programs under test, and those that a test makes.
//!
//! A test writes no program itself: a process that another test forks at that moment would have the file open
//! for writing, too, and what is open so cannot be started ("Text file busy").

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// `otapress`.
pub fn otapress() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_otapress"))
}

/// `otapress-cgi`, which is a program of another package: cargo does not build it for these tests by itself.
pub fn otapress_cgi() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let profile = otapress().parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(super::project::repository());
        // With a test of the workspace beside it, its dependencies have the features that they are built with.
        build.args(["build", "--quiet", "--locked", "--workspace", "--bin", "otapress-cgi", "--test", "it"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "{build:?}");
        profile.join("otapress-cgi")
    });
    &PROGRAM
}

/// Copies a program to where a test starts it.
pub fn copy_program(from: &Path, to: &Path) {
    assert!(install().args([from, to]).status().unwrap().success(), "{}", to.display());
}

/// Makes a program of a script.
pub fn write_program(to: &Path, script: &str) {
    let mut install = install().arg("/dev/stdin").arg(to).stdin(Stdio::piped()).spawn().unwrap();
    install.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(install.wait().unwrap().success(), "{}", to.display());
}

fn install() -> Command {
    let mut install = Command::new("install");
    install.args(["--mode", "755"]);
    install
}
