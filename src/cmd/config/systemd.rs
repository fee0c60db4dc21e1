//! Units for systemd: the daemon, the socket that outlives it, and the relay.
//!
//! The daemon's unit works with and without the socket's: where systemd holds the socket, the daemon takes
//! it, and no device is refused while the daemon is restarted; without it the daemon listens by itself.

use std::net::SocketAddr;

use anyhow::bail;
use serde::Serialize;

use super::check_args::CheckArgs;
use super::{templates, values};
use crate::context::{Global, listen_address};
use otapress_publish::fleet::Fleet;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The unit
    #[arg(value_enum, default_value_t = Unit::Serve)]
    unit: Unit,
    /// Where the daemon or its socket listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8810", value_parser = listen_address)]
    listen: SocketAddr,
    /// The user that it runs as
    #[arg(long, value_name = "NAME", default_value = "otapress")]
    user: String,
    /// The broker that the relay publishes to
    #[arg(long, value_name = "URL", default_value = "mqtt://127.0.0.1:1883")]
    mqtt: String,
    #[command(flatten)]
    pub(super) check: CheckArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Unit {
    /// otapress.service: `otapress serve`
    Serve,
    /// otapress.socket: what it listens on, kept open while it is restarted
    Socket,
    /// otapress-relay.service: `otapress relay`
    Relay,
}

impl Args {
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The name of the unit's file.
    pub(super) fn unit(&self) -> &'static str {
        self.units()[0]
    }

    pub(super) fn units(&self) -> &'static [&'static str] {
        match self.unit {
            Unit::Serve => &["otapress.service"],
            Unit::Socket => &["otapress.socket"],
            Unit::Relay => &["otapress-relay.service"],
        }
    }
}

/// The variables of the templates.
#[derive(Serialize)]
struct Values<'a> {
    site: &'a str,
    otapress: String,
    fleet: String,
    out: String,
    state: Option<String>,
    listen: SocketAddr,
    local: bool,
    privileged_port: bool,
    user: &'a str,
    mqtt: &'a str,
}

/// The unit.
pub(crate) fn text(global: &Global, fleet: &Fleet, args: &Args) -> anyhow::Result<String> {
    let Args { unit, listen, user, mqtt, .. } = args;
    if user.is_empty() || !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        bail!("`{user}` is not the name of a user");
    }
    // A space ends an argument, a percent sign is a specifier, a dollar sign a variable.
    if let Some(c) = mqtt.chars().find(|c| !c.is_ascii_graphic() || "%$\"'\\;".contains(*c)) {
        bail!("`{mqtt}` contains {c:?}, which has a meaning in units");
    }
    let state = global.state();
    let is_relay = *unit == Unit::Relay;
    let values = Values {
        site: fleet.site().as_str(),
        otapress: values::path(&std::env::current_exe()?)?,
        fleet: values::path(&global.fleet)?,
        out: values::path(&global.out())?,
        state: state.directory().map(|dir| values::path(dir)).transpose()?,
        listen: *listen,
        // The relay goes wherever the broker is, and both to a database.
        local: !is_relay && listen.ip().is_loopback() && state.directory().is_some(),
        // Linux: net.ipv4.ip_unprivileged_port_start
        privileged_port: !is_relay && listen.port() < 1024,
        user,
        mqtt,
    };
    let template = match unit {
        Unit::Serve => "systemd.service",
        Unit::Socket => "systemd.socket",
        Unit::Relay => "systemd-relay.service",
    };
    templates::render(fleet, template, &values)
}
