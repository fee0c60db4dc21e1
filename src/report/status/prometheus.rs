//! The status as metrics, in the text format of Prometheus, for a scrape or for the textfile collector.
//!
//! No metric has a label for a device: their number must not depend on the size of the fleet.

use std::fmt::{Display, Write as _};
use std::sync::Arc;

use super::summary::{RolloutSummary, Summary};
use super::{Rollout, State, Status};

/// The content type.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics.
pub fn metrics(status: &Status, summary: &Summary) -> String {
    let mut page = Exposition::default();
    page.metric("otapress_status_timestamp_seconds", "When these metrics were made.");
    page.sample(&[], status.now);
    page.metric("otapress_devices", "Devices of the fleet, by how they stand towards their target.");
    for state in State::ALL {
        page.sample(&[("state", state.as_str())], summary.in_state(*state));
    }
    page.metric("otapress_devices_silent", "Devices that have missed more than two version checks.");
    page.sample(&[], summary.silent);
    page.metric("otapress_devices_lost", "Devices that answered 900 and have been silent since.");
    page.sample(&[], summary.lost);
    page.metric("otapress_devices_reporting", "Devices by the version that they report.");
    for (version, n) in &summary.versions {
        let version = version.map_or_else(String::new, |version| version.to_string());
        page.sample(&[("version", &version)], *n);
    }
    page.metric("otapress_devices_unknown", "Devices that ask and are not in the fleet.");
    page.sample(&[], status.strangers.len());
    page.metric("otapress_devices_unpublished_path", "Devices of the fleet that post to unpublished paths.");
    page.sample(&[], status.strays.iter().map(|stray| stray.devices).sum::<usize>());
    if !status.former.is_empty() {
        page.metric("otapress_devices_formerly", "Devices that use a URI of `formerly`, by the setting.");
    }
    for uri in ["otapURI", "notifyURI", "versionURI"] {
        let of_uri = || status.former.iter().filter(|former| former.uri == uri);
        if of_uri().next().is_some() {
            page.sample(&[("uri", uri)], of_uri().map(|former| former.devices).sum::<usize>());
        }
    }
    if let Some(last) = summary.last_contact {
        page.metric("otapress_last_contact_timestamp_seconds", "When any device was last heard of.");
        page.sample(&[], last);
    }
    rollouts(&mut page, status, summary);
    page.text
}

fn rollouts(page: &mut Exposition, status: &Status, summary: &Summary) {
    let all: Vec<(Labels, &Rollout, &RolloutSummary)> = summary
        .rollouts
        .iter()
        .map(|counts| {
            let rollout = &status.rollouts[counts.place];
            (Labels::of(rollout), rollout, counts)
        })
        .collect();
    page.metric(
        "otapress_rollout_devices",
        "Devices whose target the rollout is, by how they stand towards it.",
    );
    for (labels, _, counts) in &all {
        for state in State::ALL.iter().filter(|state| state.has_target()) {
            page.sample(&labels.and("state", state.as_str()), counts.in_state(*state));
        }
    }
    page.metric("otapress_rollout_offered_devices", "Devices that were ever made an offer of the rollout.");
    for (labels, _, counts) in &all {
        page.sample(&labels.all(), counts.offered);
    }
    page.metric(
        "otapress_rollout_silent_devices",
        "Devices of the rollout that have missed more than two checks.",
    );
    for (labels, _, counts) in &all {
        page.sample(&labels.all(), counts.silent);
    }
    page.metric(
        "otapress_rollout_failures",
        "Devices whose last attempt that has ended failed, by the code of the result, or unproven or silent.",
    );
    for (labels, _, counts) in &all {
        for (failure, n) in &counts.failures {
            let mut labels = labels.all();
            let name = failure.name();
            labels.extend([("failure", name.as_str()), ("fault", failure.fault())]);
            page.sample(&labels, *n);
        }
    }
    page.metric("otapress_rollout_halted", "1 if the brake of the rollout is pulled.");
    for (labels, rollout, _) in &all {
        page.sample(&labels.all(), u8::from(rollout.record.halted.is_some()));
    }
    page.metric("otapress_rollout_wave_devices", "Devices that come in with a wave.");
    for (labels, _, counts) in &all {
        for (n, wave) in counts.waves.iter().enumerate() {
            page.sample(&labels.and("wave", &(n + 1).to_string()), wave.devices);
        }
    }
    page.metric("otapress_rollout_wave_open", "1 if the devices of the wave are offered the release.");
    for (labels, _, counts) in &all {
        for (n, wave) in counts.waves.iter().enumerate() {
            page.sample(&labels.and("wave", &(n + 1).to_string()), u8::from(wave.is_open()));
        }
    }
    page.metric(
        "otapress_rollout_wave_opens_timestamp_seconds",
        "When a wave opens at the earliest, if that is not at once.",
    );
    for (labels, _, counts) in &all {
        for (n, wave) in counts.waves.iter().enumerate() {
            if let Some(at) = wave.at {
                page.sample(&labels.and("wave", &(n + 1).to_string()), at);
            }
        }
    }
    page.metric(
        "otapress_rollout_rate_limit_per_hour",
        "Offers that the channel may make in an hour, if limited.",
    );
    for (labels, rollout, _) in &all {
        if let Some(rate) = rollout.rules.rate {
            page.sample(&labels.all(), rate);
        }
    }
    page.metric("otapress_rollout_rate_used", "Offers that the channel made in the last hour, if limited.");
    for (labels, rollout, _) in &all {
        if let Some(recent) = rollout.recent {
            page.sample(&labels.all(), recent);
        }
    }
}

/// The labels of a rollout.
struct Labels {
    rollout: Arc<str>,
    channel: String,
    release: String,
}

impl Labels {
    fn of(rollout: &Rollout) -> Self {
        Labels {
            rollout: rollout.record.id.clone(),
            channel: rollout.rules.channel.clone().unwrap_or_default(),
            release: rollout.rules.version.to_string(),
        }
    }

    fn all(&self) -> Vec<(&str, &str)> {
        vec![("rollout", &self.rollout), ("channel", &self.channel), ("release", &self.release)]
    }

    fn and<'a>(&'a self, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut all = self.all();
        all.push((name, value));
        all
    }
}

/// The page while it is written.
#[derive(Default)]
struct Exposition {
    text: String,
    name: &'static str,
    /// Written with the first sample, so that no metric is described that has none.
    help: Option<&'static str>,
}

impl Exposition {
    fn metric(&mut self, name: &'static str, help: &'static str) {
        (self.name, self.help) = (name, Some(help));
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let name = self.name;
        if let Some(help) = self.help.take() {
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
        }
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

/// Escapes the value of a label.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
