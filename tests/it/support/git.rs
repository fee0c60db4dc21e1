//! A git repository of a test, which nothing outside of it configures.

use std::path::Path;
use std::process::Command;

use super::project::Ran;

/// What keeps git away from the configuration of whoever runs the tests.
pub const ALONE: [(&str, &str); 2] = [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")];

/// What git says in a directory to these arguments, without its last line end.
#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let ran = try_git(dir, args);
    assert_eq!(ran.status, 0, "git {args:?}: {}", ran.stderr);
    ran.stdout.trim_end().to_owned()
}

/// The same, whether or not it succeeds.
pub fn try_git(dir: &Path, args: &[&str]) -> Ran {
    let output = Command::new("git")
        .args(["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .envs(ALONE)
        .output()
        .unwrap();
    Ran::new(output)
}
