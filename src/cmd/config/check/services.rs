//! What must run: the responder behind the web server, and the units that start it all after a reboot.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::account::{Account, Obstacle, READ, WRITE};
use super::finding::{Code, Findings};

/// A daemon on this machine accepts a connection at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the web server reaches the responder.
#[derive(Debug, Default)]
pub(in super::super) enum Way {
    /// It starts the program.
    #[default]
    Itself,
    /// By the socket of fcgiwrap, as this user.
    Fcgiwrap { socket: PathBuf, user: String },
    /// By `otapress serve`.
    Upstream(SocketAddr),
}

/// Whether the responder's daemon accepts connections.
pub(super) fn answer(way: &Way, found: &mut Findings) {
    match way {
        Way::Itself => {}
        Way::Fcgiwrap { socket, user } => {
            let shown = socket.display();
            if let Err(error) = UnixStream::connect(socket) {
                return found.add(
                    Code::SocketDown,
                    format!("fcgiwrap does not accept connections on `{shown}`: {error}"),
                    "`systemctl enable --now fcgiwrap.socket`, or name its socket with `--fcgiwrap`".into(),
                );
            }
            let closed = Account::find(user).and_then(|user| user.obstacle(socket, READ | WRITE));
            if let Some(Obstacle::Closed(path)) = closed {
                found.add(
                    Code::SocketClosed,
                    format!("`{}` is closed to `{user}`, who must connect to `{shown}`", path.display()),
                    format!("let fcgiwrap's socket belong to `{user}` (`SocketUser=` of fcgiwrap.socket)"),
                );
            }
        }
        Way::Upstream(address) => {
            if let Err(error) = TcpStream::connect_timeout(address, PATIENCE) {
                found.add(
                    Code::UpstreamDown,
                    format!("`otapress serve` does not accept connections on {address}: {error}"),
                    "`systemctl enable --now otapress.socket otapress.service`; `journalctl -u otapress` has \
                     the reason"
                        .into(),
                );
            }
        }
    }
}

/// Whether systemd, where it runs, has started the units, and will after a reboot.
pub(super) fn units(wanted: &[&[&str]], found: &mut Findings) {
    for alternatives in wanted {
        let (name, all) = (alternatives[0], alternatives.join("` or `"));
        let states: Vec<_> = alternatives.iter().filter_map(|unit| Unit::ask(unit)).collect();
        if states.is_empty() {
            // No systemd.
            return;
        }
        let is = |test: fn(&Unit) -> bool| states.iter().any(test);
        let enable = format!("`systemctl enable --now {name}`");
        if !is(Unit::is_there) {
            let mend = format!("install it, then {enable}");
            found.add(Code::UnitMissing, format!("systemd has no unit `{all}`"), mend);
        } else if !is(Unit::is_enabled) {
            let message = format!("`{all}` is not enabled: it is gone after a reboot");
            found.add(Code::UnitDisabled, message, enable);
        } else if !is(Unit::is_active) {
            let words: Vec<_> = states.iter().map(|unit| &*unit.active).collect();
            let mend = format!("`systemctl restart {name}`; `journalctl -u {name}` has the reason");
            found.add(Code::UnitStopped, format!("`{all}` is {}", words.join(", ")), mend);
        }
    }
}

struct Unit {
    active: String,
    enabled: String,
}

impl Unit {
    /// `None` where systemd does not run.
    fn ask(name: &str) -> Option<Unit> {
        let active = said("systemctl", &["is-active", "--", name])?;
        let words =
            ["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"];
        words.contains(&&*active).then_some(())?;
        Some(Unit { active, enabled: said("systemctl", &["is-enabled", "--", name])? })
    }

    fn is_there(&self) -> bool {
        !matches!(&*self.enabled, "" | "not-found")
    }

    fn is_enabled(&self) -> bool {
        matches!(&*self.enabled, "enabled" | "enabled-runtime" | "generated" | "alias" | "linked")
    }

    fn is_active(&self) -> bool {
        matches!(&*self.active, "active" | "reloading")
    }
}

/// Whether systemd, where it runs, keeps the time.
pub(super) fn clock(found: &mut Findings) {
    let says = said("timedatectl", &["show", "--property=NTPSynchronized", "--value"]);
    if says.as_deref() == Some("no") {
        found.add(
            Code::ClockUnsynchronized,
            "the clock is not synchronized".into(),
            "`timedatectl set-ntp true`, or let chrony or ntpd keep the time".into(),
        );
    }
}

/// The first line of what a program says, if there is one.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned())
}
