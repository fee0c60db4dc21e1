//! `otapress retry`: new attempts for devices that have used theirs.

use anyhow::{Context as _, bail};

use super::project::Project;
use super::{count, existing_store, now};
use crate::cli::{Global, Outcome, print};
use crate::id::Imei;
use crate::responder::operate;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The devices, by clientID or IMEI
    #[arg(value_name = "DEVICE", required_unless_present = "all")]
    devices: Vec<String>,
    /// Every device
    #[arg(long, conflicts_with = "devices")]
    all: bool,
}

/// Runs the command.
///
/// # Errors
/// If a device is not in the fleet, there is no state, or it cannot be written.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<Outcome> {
    let imeis = if args.all { Vec::new() } else { imeis(global, &args.devices)? };
    let mut store = existing_store(global)?.with_context(|| {
        format!("there is no state in `{}`: no device has asked yet", global.state().display())
    })?;
    if args.all {
        let retried = operate::retry_all(&mut store, now())?;
        return print(format!("{} may try again\n", count(retried, "device")).as_bytes());
    }
    let retried = operate::retry(&mut store, &imeis, now())?;
    for (name, imei) in args.devices.iter().zip(imeis) {
        let what = if retried.contains(&imei) { "may try again" } else { "had used no attempt" };
        print(format!("{name} {what}\n").as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// An IMEI stands for itself, even if the fleet has a mistake at this moment.
fn imeis(global: &Global, names: &[String]) -> anyhow::Result<Vec<Imei>> {
    if let Ok(imeis) = names.iter().map(|name| name.parse()).collect() {
        return Ok(imeis);
    }
    let project = Project::load(global);
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        bail!("clientIDs are known only from a fleet without errors: mend it, or name IMEIs");
    };
    names
        .iter()
        .map(|name| {
            fleet
                .find(name)
                .map(|device| device.imei)
                .with_context(|| format!("no device `{name}` in the fleet"))
        })
        .collect()
}
