//! `config … --check` on real servers: each thing that can be wrong with a machine is found by its name, and a
//! healthy machine is clean.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use crate::support::host_check::{HostCheck, codes, server_user, written_in};
use crate::support::hosts::{Process, Site};
use crate::support::ports::free_address;
use crate::support::programs::{self, copy_program};
use crate::support::servers;

/// A user that owns nothing.
const STRANGER: &str = "nobody";

/// The options that a configuration is printed with, as `Site::configure` does.
fn printed_with(site: &Site, host: &str, address: SocketAddr, more: &[&str]) -> Vec<String> {
    let (cgi, log) = (site.text("bin/otapress-cgi"), site.text("logs/error.log"));
    let address = address.to_string();
    let args = [host, "--listen", &address, "--cgi", &cgi, "--error-log", &log];
    args.iter().chain(more).map(|arg| arg.to_string()).collect()
}

fn check<'a>(site: &'a Site, host: &str, address: SocketAddr, more: &[&str]) -> HostCheck<'a> {
    let args = printed_with(site, host, address, more);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    HostCheck::new(site, &args, &site.text(&format!("{host}.conf")), &format!("http://{address}"))
}

#[track_caller]
fn change(file: &str, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "`{old}` is not in {text}");
    fs::write(file, text.replace(old, new)).unwrap();
}

#[test]
fn nginx_with_fcgiwrap() {
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let socket = site.text("tmp/fcgi.socket");
    let more = ["--fcgiwrap", &*socket];
    let printed = site.configure(address, "nginx", &more);
    let wrap = servers::fcgiwrap(&site);
    let nginx = servers::nginx(&site, &[&printed]).listening(address);
    let this = check(&site, "nginx", address, &more);
    this.finds(&[], &[]);

    this.systemd("inactive", "not-found");
    this.finds(&["unit-missing"], &[]);
    this.systemd("active", "disabled");
    this.finds(&["unit-disabled"], &[]);
    this.systemd("failed", "enabled");
    this.finds(&["unit-stopped"], &[]);
    // No systemd runs, as in a container.
    this.systemd("offline", "disabled");
    this.finds(&[], &[]);

    this.clock("no");
    this.finds(&["clock-unsynchronized"], &[]);
    this.clock("yes");
    written_in(&site.path("out/otapress.json"), 3600);
    this.finds(&["clock-behind"], &[]);
    written_in(&site.path("out/otapress.json"), 0);

    site.forbids_writing("state", || {
        this.as_user(STRANGER).finds(&["socket-closed", "state-closed"], &["responder-state"])
    });
    this.finds(&[], &[]);
    this.as_user("no-such-user-at-all").finds(&["user-missing"], &[]);

    // The first record is made with the first device, not by a probe.
    let host = crate::support::hosted::Host { site: &site, address };
    host.post("/otap/version", "GW/352099001761481", b"0.10.64");
    this.finds(&[], &[]);
    let database = site.path("state/otapress.db");
    let whole = fs::read(&database).unwrap();
    fs::write(&database, vec![b'x'; 8192]).unwrap();
    this.finds(&["records-unreadable"], &["responder-state"]);
    fs::write(&database, whole).unwrap();

    drop(wrap);
    this.finds(&["socket-down"], &["responder-down"]);
    drop(nginx);

    let wrong = |file: &str| change(file, "OTAPRESS_OUT ", "OTAPRESS_OUT /nowhere");
    wrong(&printed);
    fs::remove_file(&socket).unwrap();
    let _wrap = servers::fcgiwrap(&site);
    let _nginx = servers::nginx(&site, &[&printed]).listening(address);
    this.finds(&["config-differs"], &["responder-out"]);
    let said = this.said(1);
    let names = format!("has `fastcgi_param OTAPRESS_OUT /nowhere{};` in line ", site.text("out"));
    assert!(said.contains(&names), "{said}");
    fs::remove_file(&printed).unwrap();
    this.finds(&["config-missing"], &["responder-out"]);
}

#[test]
fn nginx_before_serve() {
    let site = Site::new(|yaml| yaml);
    let (address, upstream) = (free_address(), free_address());
    let (mut command, listen) = (site.command(), upstream.to_string());
    command.args(["serve", "--no-build", "--listen", &listen]);
    let serve = Process::start(&site, command).listening(upstream);
    let more = ["--upstream", &*listen];
    let printed = site.configure(address, "nginx", &more);
    let _nginx = servers::nginx(&site, &[&printed]).listening(address);
    let this = check(&site, "nginx", address, &more);
    this.finds(&[], &[]);
    drop(serve);
    this.finds(&["upstream-down"], &["responder-down"]);
}

#[test]
fn apache() {
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    let _apache = servers::apache(&site, address, &printed);
    let this = check(&site, "apache", address, &[]);
    this.finds(&[], &[]);
    this.systemd("active", "disabled");
    this.finds(&["unit-disabled"], &[]);
    this.systemd("active", "enabled");
    site.forbids_writing("state", || this.as_user(STRANGER).finds(&["state-closed"], &["responder-state"]));
    fs::remove_file(site.path("bin/otapress-cgi")).unwrap();
    this.finds(&["path-missing"], &["notify-status", "post-status", "version-status"]);
}

#[test]
fn apache_with_another_out() {
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    change(&printed, "SetEnv OTAPRESS_OUT \"", "SetEnv OTAPRESS_OUT \"/nowhere");
    let _apache = servers::apache(&site, address, &printed);
    check(&site, "apache", address, &[]).finds(&["config-differs"], &["responder-out"]);
}

/// What is closed to a user is told by the modes, without becoming that user.
#[test]
fn paths_that_a_user_cannot_reach() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    site.configure(address, "apache", &[]);
    let this = check(&site, "apache", address, &[]);
    let unreachable = &["unreachable"][..];
    this.finds(&[], unreachable);
    let mode = |name: &str, mode| {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (name, closed, open) in [
        ("out/files/dev1/OwnTracks.jad", 0o640, 0o644),
        ("out/vc", 0o750, 0o755),
        ("out", 0o700, 0o755),
        ("bin/otapress-cgi", 0o744, 0o755),
    ] {
        mode("state", 0o777);
        mode(name, closed);
        this.as_user(STRANGER).finds(&["path-closed"], unreachable);
        mode(name, open);
        this.as_user(STRANGER).finds(&[], unreachable);
    }
}

/// The disks of `out/` and `state/` are looked at, in a namespace where they are small.
#[test]
fn a_full_disk() {
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    let _apache = servers::apache(&site, address, &printed);
    let this = check(&site, "apache", address, &[]);
    let user = server_user();
    let command = this.command();
    for (mount, expected) in [
        ("mount -t tmpfs -o size=512k none \"$0\"", "disk-full"),
        ("mount -t tmpfs -o size=16m none \"$0\"", "disk-low"),
        ("mount -t tmpfs -o size=1g,nr_inodes=1 none \"$0\"", "disk-full"),
        (
            "mount -t tmpfs -o size=1g none \"$0\"; chmod 0777 \"$0\"; mount -o remount,ro \"$0\"",
            "disk-read-only",
        ),
    ] {
        let script = format!("{mount}; chown {user} \"$0\" 2> /dev/null || true; exec \"$@\"");
        let mut inside = Command::new("unshare");
        inside.arg(if user == "www-data" { "-m" } else { "-rm" });
        inside.args(["sh", "-euc", &script]).arg(site.path("state"));
        inside.arg(command.get_program()).args(command.get_args());
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = inside.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (host, _) = said.split_once("this host: ").unwrap_or_else(|| panic!("{:?}", output.stderr));
        let found = codes(host);
        assert!(found.contains(&expected.to_owned()), "{mount}: {said}");
    }
}

#[test]
fn serve() {
    let site = Site::new(|yaml| yaml);
    let (address, url) = free_url();
    let listen = address.to_string();
    // The directory of the tests' own program may be closed to others.
    let program = site.path("bin/otapress");
    copy_program(programs::otapress(), &program);
    let otapress = |global: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--fleet").arg(site.path("fleet.yaml")).args(global);
        command
    };
    let user = server_user();
    let print = ["systemd", "--listen", &listen, "--user", &user];
    let unit = site.text("otapress.service");
    let printed = otapress(&[]).arg("config").args(print).output().unwrap();
    fs::write(&unit, printed.stdout).unwrap();
    let mut command = otapress(&[]);
    command.args(["serve", "--no-build", "--listen", &listen]);
    let serve = Process::start(&site, command).listening(address);
    let this = HostCheck::of(&site, &print, &unit, &url, Box::new(|| otapress(&[])));
    this.finds(&[], &[]);
    this.systemd("inactive", "enabled");
    this.finds(&["unit-stopped"], &[]);
    this.systemd("active", "enabled");
    change(&unit, "Restart=always", "Restart=no");
    this.finds(&["config-differs"], &[]);
    change(&unit, "Restart=no", "Restart=always");
    drop(serve);

    // A database that nobody can reach.
    let state = format!("postgres://ota@{}/ota?sslmode=disable", free_address());
    let global = ["--state", &*state];
    let mut command = otapress(&global);
    command.args(["serve", "--no-build", "--listen", &listen]);
    let _serve = Process::start(&site, command).listening(address);
    let printed = otapress(&global).arg("config").args(print).output().unwrap();
    fs::write(&unit, printed.stdout).unwrap();
    let this = HostCheck::of(&site, &print, &unit, &url, Box::new(|| otapress(&global)));
    this.finds(&["database-unreachable", "environment-missing"], &["responder-state"]);
}

fn free_url() -> (SocketAddr, String) {
    let address = free_address();
    (address, format!("http://{address}"))
}
