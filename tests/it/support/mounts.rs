//! Scripts in a mount namespace of their own, where disks are as small as a test wants them.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use super::project::Ran;

/// Runs a script as root of its own mounts; `$0` is otapress, `$1` and so on are the arguments.
#[track_caller]
pub fn with_mounts(script: &str, dir: &Path, arguments: &[&OsStr]) {
    let mut command = Command::new("unshare");
    command.arg(if geteuid().is_root() { "-m" } else { "-rm" });
    let output = command
        .args(["sh", "-euc", script, env!("CARGO_BIN_EXE_otapress")])
        .args(arguments)
        .current_dir(dir)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let ran = Ran::new(output);
    assert_eq!(ran.status, 0, "unshare must be there and be permitted: {}{}", ran.stdout, ran.stderr);
}
