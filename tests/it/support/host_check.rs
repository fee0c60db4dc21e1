//! `otapress config … --check` on a site, with a systemd that says what a test wants.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

use super::hosts::{Site, USER};
use super::programs::write_program;

/// Whom servers run as: root's servers become another user, those of others stay who they are.
pub fn server_user() -> String {
    if geteuid().is_root() {
        return USER.into();
    }
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().into()
}

/// A command line that verifies a host.
pub struct HostCheck<'a> {
    site: &'a Site,
    args: Vec<String>,
    command: Box<dyn Fn() -> Command + 'a>,
}

impl<'a> HostCheck<'a> {
    /// `args` are what was printed with, behind `config`; its file is `installed`.
    pub fn new(site: &'a Site, args: &[&str], installed: &str, url: &str) -> Self {
        Self::of(site, args, installed, url, Box::new(|| site.command()))
    }

    /// The same with another program or other global options.
    pub fn of(
        site: &'a Site,
        args: &[&str],
        installed: &str,
        url: &str,
        command: Box<dyn Fn() -> Command + 'a>,
    ) -> Self {
        let mut all: Vec<String> = ["config"].iter().chain(args).map(|arg| arg.to_string()).collect();
        if !args.contains(&"--user") {
            all.extend(["--user".into(), server_user()]);
        }
        all.extend(["--installed".into(), installed.into(), "--check".into(), url.into()]);
        let check = HostCheck { site, args: all, command };
        check.systemd("active", "enabled");
        check.clock("yes");
        check
    }

    /// The same for another user.
    pub fn as_user(&self, name: &str) -> HostCheck<'_> {
        let mut args = self.args.clone();
        let at = args.iter().position(|arg| arg == "--user").unwrap() + 1;
        args[at] = name.into();
        HostCheck { site: self.site, args, command: Box::new(|| (self.command)()) }
    }

    /// What systemd says of every unit.
    pub fn systemd(&self, active: &str, enabled: &str) {
        let script = format!("case $1 in is-active) echo {active} ;; is-enabled) echo {enabled} ;; esac");
        self.program("systemctl", &script);
    }

    /// Whether the clock is synchronized.
    pub fn clock(&self, synchronized: &str) {
        self.program("timedatectl", &format!("echo {synchronized}"));
    }

    fn program(&self, name: &str, script: &str) {
        let dir = self.site.path("fake");
        fs::create_dir_all(&dir).unwrap();
        write_program(&dir.join(name), &format!("#!/bin/sh\n{script}\n"));
    }

    /// The command, to be run as it is or in a namespace.
    pub fn command(&self) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = (self.command)();
        command.args(&self.args).env("PATH", format!("{}:{path}", self.site.text("fake")));
        command
    }

    /// What it prints.
    #[track_caller]
    pub fn said(&self, status: i32) -> String {
        let output = self.command().output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// It finds exactly these, of the host and of the site, in alphabetical order.
    #[track_caller]
    pub fn finds(&self, host: &[&str], site: &[&str]) {
        let output = self.command().output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (of_host, of_site) = said
            .split_once("this host: ")
            .unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!((codes(of_host), codes(of_site)), (owned(host), owned(site)), "{said}");
        let errors = said.contains("error[");
        assert_eq!(output.status.code(), Some(i32::from(errors)), "{said}");
        for finding in of_host.split_terminator("\n\n") {
            assert!(finding.contains("\n  mend: "), "{finding}");
        }
    }
}

fn owned(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| code.to_string()).collect()
}

/// The codes in a report, in alphabetical order.
pub fn codes(text: &str) -> Vec<String> {
    let firsts = text.lines().filter(|line| line.starts_with("error[") || line.starts_with("warning["));
    let mut codes: Vec<_> = firsts.map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned()).collect();
    codes.sort();
    codes.dedup();
    codes
}

/// Gives a file another time, in seconds from now.
pub fn written_in(path: &Path, seconds: u64) {
    let time = std::time::SystemTime::now() + std::time::Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}
