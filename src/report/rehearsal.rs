//! What a rehearsal tells: its rollouts, who was lost, and what it costs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::json::value;
use super::status::time::{moment, span};
use super::words::{NAMED, count, few, form};
use otapress_core::id::Imei;
use otapress_core::wire::percent;
use otapress_publish::fleet::DataPlan;
use otapress_publish::price::amount;
use otapress_publish::traffic::megabytes;
use otapress_simulation::Report;
use otapress_simulation::rehearsal::{RolloutOutlook, WaveOutlook};

/// The bytes that were sent and received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub(crate) checks: f64,
    pub(crate) downloads: f64,
    /// What the devices published besides, as `dataPlan` says that they are used.
    pub(crate) locations: f64,
}

pub(crate) struct View<'a> {
    pub(crate) seed: u64,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) rollouts: Vec<RolloutOutlook>,
    pub(crate) lost: Vec<String>,
    pub(crate) data: Data,
    pub(crate) plan: Option<&'a DataPlan>,
    pub(crate) names: &'a BTreeMap<Imei, String>,
    pub(crate) report: &'a Report,
}

impl View<'_> {
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let length = span(self.end - self.start);
        let _ = writeln!(
            text,
            "{}, {length} from {} to {}, seed {}\n",
            count(self.report.devices, "device"),
            moment(self.start),
            moment(self.end),
            self.seed
        );
        for rollout in &self.rollouts {
            self.rollout_to_text(rollout, &mut text);
        }
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        let who = if self.lost.is_empty() { String::new() } else { format!(": {}", few(&self.lost, NAMED)) };
        row("lost", format!("{} of {}{who}", self.lost.len(), self.report.devices));
        row("data", self.data_to_text());
        text.push('\n');
        text + &self.report.to_text()
    }

    fn rollout_to_text(&self, rollout: &RolloutOutlook, text: &mut String) {
        let RolloutOutlook { id, devices, run, told, unproven, halted, waves } = rollout;
        let _ = writeln!(
            text,
            "{id}: {run} of {} {} it, {told} {} told",
            count(*devices, "device"),
            form(*run, "runs", "run"),
            form(*told, "was", "were")
        );
        // A rollout of one wave is one that has none.
        for (n, wave) in waves.iter().enumerate().filter(|_| waves.len() > 1) {
            let name = format!("wave {} (to {})", n + 1, percent(wave.wave.wave));
            let run = format!("{} of {} {} it", wave.run, wave.devices, form(wave.run, "runs", "run"));
            let _ = writeln!(text, "  {name:<20}{}, {run}", opening(wave));
        }
        if let Some(halt) = halted {
            let _ = writeln!(text, "  halted {}: {}", moment(halt.at), halt.reason);
        }
        if !unproven.is_empty() {
            let names: Vec<_> = unproven.iter().map(|imei| self.name(*imei)).collect();
            let devices = count(names.len(), "device");
            let _ = writeln!(text, "  not heard of since they were told: {devices}: {}", few(&names, NAMED));
        }
        text.push('\n');
    }

    fn name(&self, imei: Imei) -> String {
        self.names.get(&imei).cloned().unwrap_or_else(|| imei.to_string())
    }

    fn data_to_text(&self) -> String {
        let Data { checks, downloads, locations } = self.data;
        let all = checks + downloads + locations;
        let sum = self.plan.map_or_else(|| megabytes(all), |plan| amount(all, plan));
        format!(
            "{sum}: {} of version checks, {} of downloads, {} of locations",
            megabytes(checks),
            megabytes(downloads),
            megabytes(locations)
        )
    }

    pub(crate) fn to_json(&self) -> Value {
        let rollout = |rollout: &RolloutOutlook| {
            let wave = |wave: &WaveOutlook| {
                json!({
                    "to": percent(wave.wave.wave),
                    "devices": wave.devices,
                    "run": wave.run,
                    "opened": wave.opened.map(moment),
                })
            };
            json!({
                    "rollout": rollout.id,
                    "devices": rollout.devices,
                    "run": rollout.run,
                    "told": rollout.told,
                    "waves": rollout.waves.iter().map(wave).collect::<Vec<_>>(),
                    "halted": rollout.halted.as_ref().map(|halt| {
                json!({"at": moment(halt.at), "reason": halt.reason})
            }),
                    "unproven": rollout.unproven.iter().map(|imei| self.name(*imei)).collect::<Vec<_>>(),
                })
        };
        let Data { checks, downloads, locations } = self.data;
        let all = checks + downloads + locations;
        let price = |plan: &DataPlan| {
            let amount = cents(all / 1e6 * plan.per_megabyte);
            json!({"amount": amount, "currency": plan.currency})
        };
        json!({
            "seed": self.seed,
            "start": moment(self.start),
            "end": moment(self.end),
            "rollouts": self.rollouts.iter().map(rollout).collect::<Vec<_>>(),
            "lost": self.lost,
            "bytes": {
                "checks": checks.round(),
                "downloads": downloads.round(),
                "locations": locations.round(),
            },
            "price": self.plan.map(price),
            "play": value(self.report),
        })
    }
}

fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn opening(wave: &WaveOutlook) -> String {
    match (wave.opened, wave.wave.at, wave.wave.after) {
        (Some(at), ..) => format!("opened {}", moment(at)),
        (None, _, Some(_)) => "did not open: the waves before it did not show enough".into(),
        (None, Some(at), None) => format!("opens {}", moment(at)),
        (None, None, None) => "did not open".into(),
    }
}
