//! A rehearsal: what a build would publish, played in this process.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::bail;

use super::super::project::{Project, progress_bar};
use super::super::simulated_devices::{self, SimulatedDevice};
use super::{Args, Until, stop_on_interrupt, wait};
use crate::context::{Exit, Global, print};
use crate::report::json;
use crate::report::rehearsal::{Data, View};
use otapress_core::id::Imei;
use otapress_core::out::answer_path;
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site, Target};
use otapress_devices::device::http::Network;
use otapress_publish::fleet::{Device, Fleet};
use otapress_publish::price::Price;
use otapress_publish::publish::scan::read_site;
use otapress_publish::{resolve, traffic};
use otapress_simulation::published::Published;
use otapress_simulation::rehearsal::{InProcess, Played};
use otapress_simulation::{Play, Player, Report, play, starts_with};

pub(super) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let start = args.start.unwrap_or_else(super::super::now);
    let seconds = match args.until {
        Until::Span(span) => span.into(),
        Until::Moment(moment) => u64::try_from(moment.saturating_sub(start)).unwrap_or(0),
    };
    if seconds == 0 {
        bail!("the play ends before it begins: `--until` must be later than `--start`");
    }
    let mut project = Project::load(global);
    let bar = progress_bar(global, "rendering");
    let tree = project.render(global, &bar);
    bar.finish_and_clear();
    project.show_diagnostics(global)?;
    let (Some(tree), Some((fleet, _))) = (tree, project.fleet()) else { return Ok(Exit::Failed) };
    let files = Published::of(&tree)?;
    let answer = |device: &Device| answer_of(&files, device.imei);
    let devices = simulated_devices::devices(fleet, &answer, None, &Network::default())?;
    let targets: Vec<Option<Target>> = devices.iter().map(|device| device.target().cloned()).collect();
    let mut host = InProcess::new(files, start)?;
    let players = players(global, host.site(), devices);
    // Nothing but this play has these records.
    let what = Play { record: true, ..args.play(seconds) };
    let stop = stop_on_interrupt()?;
    let bar = progress_bar(global, "simulating");
    bar.set_length(seconds);
    let begin = Instant::now();
    let report = play(&what, players, &mut host, &mut |at| {
        bar.set_position(at);
        wait(begin, at, None, &stop)
    });
    bar.finish_and_clear();
    let lived = report.interrupted.unwrap_or(seconds);
    let end = start.saturating_add_unsigned(lived);
    let played: Vec<_> = targets
        .into_iter()
        .enumerate()
        .filter_map(|(n, target)| Some(Played { target: target?, runs_it: report.runs_target(n) }))
        .collect();
    let names = fleet.devices().iter().map(|device| (device.imei, device.client_id.to_string())).collect();
    let view = View {
        seed: args.seed,
        start,
        end,
        rollouts: host.outlook(&played, end),
        lost: report.silent.iter().map(|&n| fleet.devices()[n].client_id.to_string()).collect(),
        data: data(fleet, &report, lived),
        plan: fleet.data_plan(),
        names: &names,
        report: &report,
    };
    print(if args.json { json::text(&view.to_json()) } else { view.to_text() })?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

fn answer_of(files: &Published, imei: Imei) -> anyhow::Result<AnswerFile> {
    let text = files.get(answer_path(imei).as_str()).map(|bytes| &**bytes);
    Ok(AnswerFile::parse(text.unwrap_or_default())?)
}

/// Each device runs what out/ has for it now, and where that is its target, the release before it.
fn players(global: &Global, site: &Site, devices: Vec<SimulatedDevice>) -> Vec<Player> {
    let out = global.out();
    let before = read_site(&out).ok().flatten();
    let spelling = |version: Version| {
        let releases = before.iter().chain([site]).flat_map(|site| &site.releases);
        let mut texts = releases.map(|release| &release.version);
        texts.find(|text| text.parse() == Ok(version)).map_or_else(|| version.to_string(), String::clone)
    };
    let player = |simulated: SimulatedDevice| {
        let target = simulated.version();
        let published = simulated_devices::published_answer(&out, simulated.device.imei).ok();
        let runs = published.and_then(|answer| answer.offer.target).map(|target| target.version);
        let runs = runs.filter(|&runs| Some(runs) != target).map(spelling);
        simulated.player(runs.unwrap_or_else(|| starts_with(site, target)))
    };
    devices.into_iter().map(player).collect()
}

fn data(fleet: &Fleet, report: &Report, seconds: u64) -> Data {
    let checks = report.requests.get("check").copied().unwrap_or(0);
    // Devices that are used alike send alike.
    let mut locations: BTreeMap<u64, usize> = BTreeMap::new();
    for device in fleet.devices() {
        let price = Price::of(fleet, device, resolve::assign(fleet, device), None);
        *locations.entry(price.locations.to_bits()).or_default() += 1;
    }
    let locations = locations.into_iter().map(|(bits, n)| f64::from_bits(bits) * n as f64).sum();
    Data {
        checks: traffic::of_checks(checks),
        downloads: traffic::of_upgrades(report.upgrades(), report.downloaded),
        locations: traffic::in_seconds(locations, seconds),
    }
}
