//! `otapress retry`: new attempts for devices that have used theirs, or that others wait for.

use std::io::{self, Write as _};

use anyhow::bail;

use super::project::Project;
use super::status::{Look, Selection};
use super::{confirmed, count, existing_store, find, now};
use crate::context::{Exit, Global, print};
use crate::report::status::{DeviceStatus, State, Status, text};
use otapress_core::id::Imei;
use otapress_publish::fleet::Fleet;
use otapress_publish::render::answer;
use otapress_publish::resolve::assign;
use otapress_responder::operate;

#[derive(Debug, clap::Args)]
#[command(after_help = NOTE)]
#[command(group(
    clap::ArgGroup::new("chosen").args(["all", "is", "group", "channel", "release"]).multiple(true)
))]
pub(crate) struct Args {
    /// The devices, by clientID or IMEI
    #[arg(value_name = "DEVICE", required_unless_present = "chosen", conflicts_with = "chosen")]
    devices: Vec<String>,
    /// All devices
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selection: Selection,
    /// Do not ask about devices that are not named
    #[arg(long, requires = "chosen")]
    yes: bool,
}

const NOTE: &str = "\
Only a device that has used attempts of its present target, or that takes a place in a rollout, is touched.";

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    if args.devices.is_empty() { chosen(global, args) } else { named(global, args) }
}

fn named(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    let devices = devices(global, &project, &args.devices)?;
    let mut store = existing_store(global)?;
    let wanted: Vec<_> = devices.iter().map(|device| (device.imei, device.rollout.as_deref())).collect();
    let retried = operate::retry(&mut store, &wanted, now())?;
    let mut outcome = Exit::Done;
    for (name, device) in args.devices.iter().zip(&devices) {
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
    /// That of its present target.
    rollout: Option<String>,
}

/// A clientID is looked up in the fleet. An IMEI stands for itself, so that it may be one that the fleet does
/// not have any more, and so that a mistake in the fleet at this moment does not matter.
fn devices(global: &Global, project: &Project, names: &[String]) -> anyhow::Result<Vec<Named>> {
    let fleet = project.fleet().map(|(fleet, _)| fleet);
    names
        .iter()
        .map(|name| match (fleet.and_then(|fleet| Some((fleet, fleet.find(name)?))), name.parse(), fleet) {
            (Some((fleet, device)), ..) => {
                let target = answer(fleet, device, assign(fleet, device)).offer.target;
                let rollout = target.map(|target| target.rollout);
                Ok(Named { imei: device.imei, in_fleet: Some(true), rollout })
            }
            (None, Ok(imei), fleet) => Ok(Named { imei, in_fleet: fleet.map(|_| false), rollout: None }),
            (None, Err(_), Some(fleet)) => bail!(find::no_device(fleet, name)),
            (None, Err(_), None) => {
                project.show_diagnostics(global)?;
                bail!("clientIDs are known only from a fleet without errors: mend it, or name IMEIs")
            }
        })
        .collect()
}

fn chosen(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let filter = args.selection.filter(fleet)?;
    let status = Look::default().at(fleet, &mut Some(existing_store(global)?), now())?;
    let keeps = |device: &&DeviceStatus| filter.keeps(fleet, &status, device) && is_touched(&status, device);
    let touched: Vec<_> = status.devices.iter().filter(keeps).collect();
    if touched.is_empty() {
        return print("no such device has used an attempt or takes a place\n");
    }
    if !args.yes {
        io::stderr().write_all(text::list(fleet, &status, &touched).as_bytes())?;
        let question = format!("Let {} try again?", count(touched.len(), "device"));
        if !confirmed(&question)? {
            io::stderr().write_all(b"nobody was given an attempt\n")?;
            return Ok(Exit::Failed);
        }
    }
    let mut store = existing_store(global)?;
    let wanted: Vec<_> = touched.iter().map(|device| (imei(fleet, device), id(&status, device))).collect();
    let retried = operate::retry(&mut store, &wanted, now())?;
    print(format!("{} may try again\n", count(retried.len(), "device")))
}

fn imei(fleet: &Fleet, device: &DeviceStatus) -> Imei {
    fleet.devices()[device.index].imei
}

/// The rollout of a device's present target.
fn id<'a>(status: &'a Status, device: &DeviceStatus) -> Option<&'a str> {
    device.rollout.map(|place| &*status.rollouts[place].record.id)
}

/// Whether there is something to give back: attempts of the present target, unless that runs, or a place.
fn is_touched(status: &Status, device: &DeviceStatus) -> bool {
    let Some(record) = &device.record else { return false };
    let present = id(status, device).and_then(|id| record.offer(id));
    let has_used = present.is_some_and(|offer| offer.attempts > 0) && device.state != State::Current;
    has_used || record.offers.iter().any(|offer| offer.place)
}
