//! `otapress edit`: changes of devices in fleet.yaml and in the inventories, in place.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::edit_check;
use super::files::replace_all;
use super::status::Look;
use super::{count, find, look_at_store, now};
use crate::context::{Exit, Global, WrongUsage, print};
use crate::report::diagnostics;
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_publish::edit::{Edit, EditError, Edited, edit, withdrawal};
use otapress_publish::fleet::{self, Device, Fleet, Loaded};
use otapress_publish::publish::place::Lock;

/// Changed lines that are shown without `--verbose`.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    change: Change,
    /// Print the lines that would change, and write nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Give the devices this comment, too
    #[arg(long, global = true, value_name = "TEXT")]
    comment: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  otapress edit hold dev4 --comment 'in the workshop'
  otapress edit pin dev5 dev6 0.10.65
  otapress status --is silent --json | jq -r '.devices[].clientID' | otapress edit hold -
  otapress edit replace dev4 --imei 352099001761622

Comments, order, quotes and every other byte stay. `-` reads devices from the standard input, one in each \
line.";

#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Leave devices alone: neither upgrades nor settings
    Hold(Devices),
    /// Let held devices follow their channel again
    Unhold(Devices),
    /// Pin devices to a release, whatever their channel says
    Pin {
        /// The devices, by clientID or IMEI, and the release
        #[arg(required = true, num_args = 2.., value_names = ["DEVICE", "RELEASE"])]
        devices_and_release: Vec<String>,
    },
    /// Let pinned devices follow their channel again
    Unpin(Devices),
    /// Put devices into another group or channel
    Move {
        #[command(flatten)]
        devices: Devices,
        #[command(flatten)]
        place: Place,
    },
    /// Give a device another modem; it keeps its clientID and its history
    Replace {
        /// The device, by clientID or IMEI
        device: String,
        /// The new modem's IMEI
        #[arg(long, value_parser = imei)]
        imei: Imei,
    },
    /// Add a device
    AddDevice {
        /// Its clientID
        #[arg(value_name = "ID", value_parser = client_id)]
        id: ClientId,
        /// Its modem's IMEI
        #[arg(long, value_parser = imei)]
        imei: Imei,
        #[command(flatten)]
        new: New,
    },
    /// Add a device that asks and is not in the fleet: see `otapress status --unknown`
    Adopt {
        /// Its modem's IMEI
        #[arg(value_parser = imei)]
        imei: Imei,
        /// Its clientID [default: the IMEI]
        #[arg(long, value_parser = client_id)]
        id: Option<ClientId>,
        #[command(flatten)]
        new: New,
    },
    /// Remove devices from the fleet
    RemoveDevice(Devices),
    /// Withdraw a release, which no device is sent again
    Withdraw {
        /// The release
        #[arg(value_parser = release)]
        release: String,
        /// The reason, for people
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
struct Devices {
    /// The devices, by clientID or IMEI; `-` reads them from the standard input
    #[arg(required = true, value_name = "DEVICE")]
    devices: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Place {
    /// The group
    #[arg(long)]
    group: Option<String>,
    /// The channel
    #[arg(long)]
    channel: Option<String>,
}

#[derive(Debug, clap::Args)]
struct New {
    /// Its group
    #[arg(long)]
    group: Option<String>,
    /// Its channel
    #[arg(long)]
    channel: Option<String>,
    /// Its tracker ID
    #[arg(long)]
    tid: Option<String>,
    /// The inventory to add it to [default: fleet.yaml]
    #[arg(long, value_name = "FILE")]
    inventory: Option<PathBuf>,
}

fn imei(text: &str) -> Result<Imei, String> {
    text.parse().map_err(|error: otapress_core::id::ImeiError| error.to_string())
}

fn release(text: &str) -> Result<String, String> {
    let parsed: Result<Version, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn client_id(text: &str) -> Result<ClientId, String> {
    text.parse().map_err(|error: otapress_core::id::ClientIdError| error.to_string())
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let out = global.out();
    let mut say = |text: &str| drop(writeln!(io::stderr(), "{text}"));
    // A build that runs meanwhile reads the files before or after, never between two of them.
    let _lock = if out.is_dir() && !args.dry_run { Some(Lock::take(&out, &mut say)?) } else { None };
    let loaded = fleet::load_within(&global.reach(), &global.fleet);
    let Some(fleet) = loaded.fleet.as_ref().filter(|_| !loaded.has_errors()) else {
        show_errors(global, &loaded)?;
        bail!("a fleet with errors is not edited: mend it first");
    };
    let edits = edits(global, fleet, args)?;
    let files = made(global, &loaded, &edits)?;
    if files.is_empty() {
        return if global.quiet { Ok(Exit::Done) } else { print("nothing to change\n") };
    }
    edit_check::no_new_mistakes(global, &files)?;
    if !args.dry_run {
        write(&files)?;
    }
    show_changes(global, &files)
}

/// Prints the lines that differ.
pub(super) fn show_changes(global: &Global, files: &BTreeMap<PathBuf, Edited>) -> anyhow::Result<Exit> {
    if global.quiet {
        return Ok(Exit::Done);
    }
    let mut lines = Vec::new();
    for (path, Edited { old, new }) in files {
        lines.extend(difference(old, new).into_iter().map(|line| format!("{}:{line}\n", path.display())));
    }
    let shown = if global.verbose { lines.len() } else { SHOWN };
    let more = lines.len().saturating_sub(shown);
    let rest = if more > 0 { format!("… and {}\n", count(more, "more line")) } else { String::new() };
    print(lines[..lines.len() - more].concat() + &rest)
}

/// Makes edits, and shows what is wrong with them.
pub(super) fn made(
    global: &Global,
    loaded: &Loaded,
    edits: &[Edit],
) -> anyhow::Result<BTreeMap<PathBuf, Edited>> {
    edit(&global.reach(), &global.fleet, loaded, edits).map_err(|error| {
        if let EditError::Breaks(after) = &error
            && let Err(error) = show_errors(global, after)
        {
            return error.into();
        }
        error.into()
    })
}

/// Writes the new texts.
pub(super) fn write(files: &BTreeMap<PathBuf, Edited>) -> anyhow::Result<()> {
    let contents = files.iter().map(|(path, Edited { old, new })| (path.as_path(), &**old, &**new));
    replace_all(&contents.collect::<Vec<_>>())
}

fn show_errors(global: &Global, loaded: &Loaded) -> io::Result<()> {
    for diagnostic in loaded.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()) {
        let text = diagnostics::text(diagnostic, &loaded.sources, global.colour());
        io::stderr().write_all(text.as_bytes())?;
    }
    Ok(())
}

fn edits(global: &Global, fleet: &Fleet, args: &Args) -> anyhow::Result<Vec<Edit>> {
    let set = |key: &'static str, value: &str| (key, Some(value.to_owned()));
    let (devices, mut fields) = match &args.change {
        Change::Hold(Devices { devices }) => (devices.clone(), vec![set("hold", "true")]),
        Change::Unhold(Devices { devices }) => (devices.clone(), vec![("hold", None)]),
        Change::Unpin(Devices { devices }) => (devices.clone(), vec![("release", None)]),
        Change::Pin { devices_and_release } => {
            let (release, devices) = devices_and_release.split_last().context("no release is named")?;
            if let Err(error) = release.parse::<Version>() {
                bail!(WrongUsage(format!("`{release}` is not a release: {error}")));
            }
            (devices.to_vec(), vec![set("release", release)])
        }
        Change::Move { devices: Devices { devices }, place: Place { group, channel } } => {
            let group = group.iter().map(|group| set("group", group));
            (devices.clone(), group.chain(channel.iter().map(|channel| set("channel", channel))).collect())
        }
        Change::Replace { device, imei } => (vec![device.clone()], vec![set("imei", &imei.to_string())]),
        Change::AddDevice { id, imei, new } => return Ok(vec![addition(id, *imei, new, args)]),
        Change::Adopt { imei, id, new } => {
            let mut store = look_at_store(global)?;
            let status = Look::default().at(fleet, &mut store, now())?;
            let name = imei.to_string();
            if !status.strangers.iter().any(|stranger| stranger.name == name) {
                bail!("no device `{imei}` has asked; `otapress edit add-device` adds one that has not");
            }
            let id = match id {
                Some(id) => id.clone(),
                None => name.parse()?,
            };
            return Ok(vec![addition(&id, *imei, new, args)]);
        }
        Change::Withdraw { release, reason } => {
            return Ok(vec![withdrawal(release, reason)]);
        }
        Change::RemoveDevice(Devices { devices }) => {
            let devices = named(fleet, devices)?.into_iter();
            return Ok(devices.map(|device| Edit::Remove { device: device.client_id.to_string() }).collect());
        }
    };
    fields.extend(args.comment.as_deref().map(|comment| set("comment", comment)));
    let mut edits = Vec::new();
    for device in named(fleet, &devices)? {
        edits.extend(fields.iter().map(|(key, value)| Edit::Field {
            device: device.client_id.to_string(),
            key,
            value: value.clone(),
        }));
    }
    Ok(edits)
}

fn addition(id: &ClientId, imei: Imei, new: &New, args: &Args) -> Edit {
    let fields = [
        ("imei", Some(imei.to_string())),
        ("group", new.group.clone()),
        ("channel", new.channel.clone()),
        ("tid", new.tid.clone()),
        ("comment", args.comment.clone()),
    ];
    let fields = fields.into_iter().filter_map(|(key, value)| Some((key, value?)));
    Edit::Add { device: id.to_string(), fields: fields.collect(), inventory: new.inventory.clone() }
}

/// The devices of the fleet that were named, each once.
fn named<'a>(fleet: &'a Fleet, names: &[String]) -> anyhow::Result<Vec<&'a Device>> {
    let mut devices: Vec<&Device> = Vec::new();
    let mut add = |name: &str| {
        devices.push(find::device(fleet, name)?);
        anyhow::Ok(())
    };
    for name in names {
        if name == "-" {
            for line in io::stdin().lock().lines() {
                let line = line.context("cannot read the standard input")?;
                let name = line.trim();
                if !name.is_empty() && !name.starts_with('#') {
                    add(name)?;
                }
            }
        } else {
            add(name)?;
        }
    }
    devices.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    devices.dedup_by(|a, b| a.client_id == b.client_id);
    Ok(devices)
}

/// The lines that differ, with the number that each has in its text: `7: - old`, `7: + new`.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if old.get(i) == new.get(j) {
            (i, j) = (i + 1, j + 1);
            continue;
        }
        // Edits are small, so that the texts meet again soon.
        let meets = (1..).find_map(|n: usize| {
            (0..=n).map(|gone| (i + gone, j + n - gone)).find(|&(i, j)| {
                i <= old.len()
                    && j <= new.len()
                    && old.get(i) == new.get(j)
                    && old.get(i + 1) == new.get(j + 1)
            })
        });
        let (to_i, to_j) = meets.unwrap_or((old.len(), new.len()));
        lines.extend((i..to_i).map(|n| format!("{}: - {}", n + 1, old[n])));
        lines.extend((j..to_j).map(|n| format!("{}: + {}", n + 1, new[n])));
        (i, j) = (to_i, to_j);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_differ_are_shown() {
        assert_eq!(difference("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n"), ["2: - b", "2: + B", "5: + e"]);
        assert_eq!(difference("a\nb\nc\n", "a\nc\n"), ["2: - b"]);
        assert!(difference("a\n", "a\n").is_empty());
    }
}
