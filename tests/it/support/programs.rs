//! The programs under test.

use std::path::{Path, PathBuf};
use std::process::Command;
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
