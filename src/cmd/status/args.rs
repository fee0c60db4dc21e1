//! The arguments of `otapress status`.

use std::path::PathBuf;

use clap::ArgGroup;

use crate::cmd::find;
use crate::cmd::gate::GateArgs;
use crate::report::status::filter::{Filter, StateFilter};
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;

/// Events shown of a single device by default.
pub(super) const HISTORY: u32 = 20;

const STATES: &str = "\
States: current (runs its target), installed (not yet proven to run), offered (upgrade under way), \
due (offered at its next check), waiting-for-wave, outside-window, rate-limited, halted (its rollout's \
brake is pulled), failed (with attempts left or without), exhausted (without), downgrade-denied, \
never-heard, no-version (reports none), no-target, held; and pending (from installed to halted), \
silent (has missed more than 2 checks, whatever its state), lost (answered 900 and has been silent \
since).

A gate is met if no rollout is halted, enough devices have finished, and the conditions hold. A device \
has finished if it runs its target or has failed. Exit code 4 if the gate is missed.";

/// Options that select devices.
#[derive(Debug, clap::Args)]
pub(crate) struct Selection {
    /// Only devices of this group
    #[arg(long)]
    group: Option<String>,
    /// Only devices of this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only devices that are to run this release
    #[arg(long, value_name = "VERSION", value_parser = version)]
    release: Option<Version>,
    /// Only devices in one of these states, which `otapress status --help` lists
    // `--state` is the directory, everywhere.
    #[arg(long, value_name = "STATE,…", value_delimiter = ',', value_parser = str::parse::<StateFilter>)]
    is: Vec<StateFilter>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = STATES)]
#[command(group(ArgGroup::new("what").args(["device", "unknown", "gate", "prometheus", "html"])))]
#[command(group(
    ArgGroup::new("filters").args(["group", "channel", "release", "is", "search"]).multiple(true)
))]
pub(crate) struct Args {
    /// One device with its history, by clientID or IMEI
    #[arg(value_name = "DEVICE", conflicts_with = "filters")]
    pub(super) device: Option<String>,
    #[command(flatten)]
    selection: Selection,
    /// Only devices about which all of these words can be read: in clientID, IMEI, group, comment, tid,
    /// versions, state or reason
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// List the devices, too; `--group`, `--is` and `--search` do so of themselves
    #[arg(long, conflicts_with_all = ["what", "events"])]
    pub(super) devices: bool,
    /// List events, the latest first: the last 50, or N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "50", require_equals = true)]
    #[arg(conflicts_with_all = ["unknown", "gate", "prometheus", "html"])]
    pub(super) events: Option<u32>,
    /// List devices that ask and are not in the fleet
    #[arg(long, conflicts_with = "filters")]
    pub(super) unknown: bool,
    /// Print JSON
    #[arg(long, conflicts_with_all = ["prometheus", "html"])]
    pub(super) json: bool,
    /// Print metrics in the text format of Prometheus
    #[arg(long)]
    pub(super) prometheus: bool,
    /// Write a report for a browser into a directory; open its index.html
    #[arg(long, value_name = "DIR", conflicts_with = "filters")]
    pub(super) html: Option<PathBuf>,
    /// Write to a file instead, by renaming, so that no reader sees half of it
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    pub(super) write: Option<PathBuf>,
    #[command(flatten)]
    pub(super) gate: GateArgs,
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|error: otapress_core::version::VersionError| error.to_string())
}

impl Args {
    pub(super) fn filter(&self, fleet: &Fleet) -> anyhow::Result<Filter> {
        Ok(Filter { text: self.search.clone(), ..self.selection.filter(fleet)? })
    }
}

impl Selection {
    pub(crate) fn filter(&self, fleet: &Fleet) -> anyhow::Result<Filter> {
        find::check_names(fleet, self.group.as_deref(), self.channel.as_deref())?;
        Ok(Filter {
            group: self.group.clone(),
            channel: self.channel.clone(),
            release: self.release,
            states: self.is.clone(),
            text: None,
        })
    }
}
