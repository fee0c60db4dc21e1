//! `otapress serve --admin`: the status of the fleet, live, on an address of its own.
//!
//! It must never delay the devices' answers: it has its own thread, runtime and handle on the store, only
//! reads, and reads the records so seldom that requests cannot load the machine.

mod live_status;
mod server;

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, bail};

use super::project::Project;
use crate::context::Global;
use live_status::LiveStatus;

/// Listens there, in a thread that ends with the process.
pub(crate) fn start(global: &Global, address: SocketAddr) -> anyhow::Result<()> {
    let project = Project::load(global);
    if project.fleet().is_none() {
        project.show_diagnostics(global)?;
        bail!("`--admin` judges by `{}`, which has errors", global.fleet.display());
    }
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address} (`--admin`)"))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            "`--admin {address}` can be reached from other machines and asks for no password: it shows \
             every clientID and IMEI"
        );
    }
    // Printed even with `--quiet`, like the devices' address.
    let _ = writeln!(io::stderr(), "status on http://{address}");
    let global = global.clone();
    std::thread::Builder::new().name("admin".into()).spawn(move || {
        if let Err(error) = server::run(listener, LiveStatus::new(global, project)) {
            tracing::error!(%error, "the status is not served any more");
        }
    })?;
    Ok(())
}
