//! `otapress retry`: new attempts for devices that have used theirs.

use anyhow::bail;

use super::project::Project;
use super::{count, existing_store, now};
use crate::context::{Exit, Global, print};
use otapress_core::id::Imei;
use otapress_responder::operate;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The devices, by clientID or IMEI
    #[arg(value_name = "DEVICE", required_unless_present = "all")]
    devices: Vec<String>,
    /// All devices
    #[arg(long, conflicts_with = "devices")]
    all: bool,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let devices = if args.all { Vec::new() } else { devices(global, &args.devices)? };
    let mut store = existing_store(global)?;
    if args.all {
        let retried = operate::retry_all(&mut store, now())?;
        return print(format!("{} may try again\n", count(retried, "device")));
    }
    let imeis: Vec<_> = devices.iter().map(|device| device.imei).collect();
    let retried = operate::retry(&mut store, &imeis, now())?;
    let mut outcome = Exit::Done;
    for (name, device) in args.devices.iter().zip(devices) {
        let what = match (retried.contains(&device.imei), device.in_fleet) {
            (true, _) => "may try again",
            (false, Some(false)) => {
                outcome = Exit::Failed;
                "is not in the fleet, and was offered nothing"
            }
            (false, _) => "had used no attempt",
        };
        print(format!("{name} {what}\n"))?;
    }
    Ok(outcome)
}

/// A device that was named.
struct Named {
    imei: Imei,
    /// Unknown if the fleet cannot be read.
    in_fleet: Option<bool>,
}

/// A clientID is looked up in the fleet. An IMEI stands for itself, so that it may be one that the fleet does
/// not have any more, and so that a mistake in the fleet at this moment does not matter.
fn devices(global: &Global, names: &[String]) -> anyhow::Result<Vec<Named>> {
    let project = Project::load(global);
    let fleet = project.fleet().map(|(fleet, _)| fleet);
    names
        .iter()
        .map(|name| match (fleet.and_then(|fleet| fleet.find(name)), name.parse(), fleet) {
            (Some(device), ..) => Ok(Named { imei: device.imei, in_fleet: Some(true) }),
            (None, Ok(imei), fleet) => Ok(Named { imei, in_fleet: fleet.map(|_| false) }),
            (None, Err(_), Some(_)) => bail!("no device `{name}` in the fleet"),
            (None, Err(_), None) => {
                project.show_diagnostics(global)?;
                bail!("clientIDs are known only from a fleet without errors: mend it, or name IMEIs")
            }
        })
        .collect()
}
