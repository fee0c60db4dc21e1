//! `otapress probe`: is a live site what devices need?

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use strum::VariantArray as _;

use super::now;
use super::project::{Project, progress_bar};
use super::simulated_devices::{self, Selection, SimulatedDevice, SimulatedFleet};
use crate::context::{Exit, Global, print};
use crate::report::json;
use crate::report::words::known;
use otapress_core::out_path::OutPath;
use otapress_devices::probe::{Code, FormerUris, PublishedJad, Subject, probe};

/// Time limit for a reply, in seconds.
const TIMEOUT: u64 = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to connect, as `http://host:port`; requests are for the fleet's `site` in any case [default: the
    /// site]
    url: Option<String>,
    /// The authorities for a versionURI with https, as a PEM file [default: those of the system]
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Play only N devices, spread evenly over the fleet [default: all]
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,
    /// Time limit for a reply, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Leave findings of this code out: for servers that cannot do better, such as those that refuse POSTs to
    /// anything but programs (`post-status`)
    #[arg(long, value_name = "CODE", value_parser = code)]
    allow: Vec<Code>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// A walk with all devices.
    pub(super) fn whole_site(url: Option<String>) -> Self {
        Args { url, cafile: None, sample: None, timeout: TIMEOUT, allow: Vec::new(), json: false }
    }
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    walk(global, &Project::load(global), args)
}

/// Walks the site of a fleet and prints what was found.
pub(super) fn walk(global: &Global, project: &Project, args: &Args) -> anyhow::Result<Exit> {
    let timeout = Duration::from_secs(args.timeout);
    let wanted =
        Selection { url: args.url.as_deref(), devices: args.sample, timeout, cafile: args.cafile.as_deref() };
    let Some(SimulatedFleet { site, devices }) = simulated_devices::select(global, project, &wanted)? else {
        return Ok(Exit::Failed);
    };
    let out = global.out();
    let subjects =
        devices.into_iter().map(|tracker| subject(tracker, &out)).collect::<anyhow::Result<Vec<_>>>()?;
    let bar = progress_bar(global, "probing");
    bar.set_length(subjects.len() as u64);
    let mut report = probe(&site, &subjects, now(), &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    report.allow(&args.allow);
    let text = if args.json { json::text(&report.view()) } else { report.to_text() };
    print(text)?;
    Ok(if report.has_errors() { Exit::Failed } else { Exit::Done })
}

fn code(text: &str) -> Result<Code, String> {
    let codes = Code::VARIANTS.iter().map(Into::into);
    text.parse().map_err(|_| format!("no finding has that code{}", known(text, codes)))
}

fn subject(tracker: SimulatedDevice, out: &Path) -> anyhow::Result<Subject> {
    let SimulatedDevice { mut device, answer, jad, formerly, .. } = tracker;
    if let Some(target) = &answer.offer.target {
        device.version = target.version.to_string();
    }
    let jad = jad.map(|path| published(out, path)).transpose()?;
    let otap = formerly
        .otap
        .into_iter()
        .map(|(uri, path)| anyhow::Ok((uri, path.map(|path| published(out, path)).transpose()?)))
        .collect::<anyhow::Result<_>>()?;
    let formerly = FormerUris { otap, version: formerly.version, notify: formerly.notify };
    Ok(Subject { device, jad, answer, formerly })
}

fn published(out: &Path, path: OutPath) -> anyhow::Result<PublishedJad> {
    let file = out.join(path.as_str());
    let bytes =
        fs::read(&file).with_context(|| format!("cannot read `{}`: run `otapress build`", file.display()))?;
    Ok(PublishedJad { path, bytes })
}
