//! A clock that a program is given, and that jumps while it runs: Debian's libfaketime.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The offset of a program's clock.
pub struct Clock(TempDir);

impl Clock {
    /// A clock that is right.
    pub fn new() -> Clock {
        let clock = Clock(tempfile::tempdir().unwrap());
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    /// Moves it to an offset from the right time, such as `+3d`.
    pub fn set(&self, offset: &str) {
        let draft = self.0.path().join("draft");
        fs::write(&draft, format!("{offset}\n")).unwrap();
        fs::rename(draft, self.file()).unwrap();
    }

    /// Gives it to a program: of both its clocks the one that people set jumps, as when a server is set right.
    pub fn give(&self, command: &mut Command) {
        self.give_both(command);
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }

    /// Gives it to a program as both its clocks: a jump is time that passes.
    pub fn give_both(&self, command: &mut Command) {
        command.env("LD_PRELOAD", library()).env("FAKETIME_TIMESTAMP_FILE", self.file());
        command.env("FAKETIME_NO_CACHE", "1");
    }
}

fn library() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found = libraries.map(|dir| dir.join("faketime/libfaketimeMT.so.1")).filter(|file| file.exists());
    found.next().expect("libfaketime must be installed: apt-get install faketime")
}
