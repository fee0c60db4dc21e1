//! `otapress show` in words.

use std::fmt::Write as _;

use super::view::{StateView, View};
use crate::report::refusal::explain;
use crate::report::status::replaced;
use crate::report::status::time::moment;
use crate::report::words::one_line;
use otapress_publish::provision::commands;
use otapress_publish::resolve::Rule;
use otapress_responder::code::lookup;
use otapress_responder::record::Verdict;

/// The whole view.
pub(super) fn text(view: &View<'_>) -> String {
    let mut lines = Lines::default();
    let (fleet, device) = (view.fleet, view.device);
    lines.add("device", device.client_id.as_str());
    lines.add("IMEI", &device.imei.to_string());
    lines.add_some("group", fleet.group(device).name.as_deref());
    lines.add_some("comment", device.comment.as_deref().or(fleet.group(device).comment.as_deref()));
    lines.add_some("declared", view.overridden.as_deref());
    let target = match view.assignment.target {
        Some(version) => version.to_string(),
        None => "none: it keeps what it runs".into(),
    };
    lines.add("target", &target);
    lines.add("because", &rule(view));
    if let Some(from) = view.assignment.from {
        lines.add("not before", &moment(from));
    }
    if let Some(wait) = &view.wait {
        lines.add("its wave", wait);
        lines.add("upgrade", &by_command(view));
    }
    let note = if view.jar.is_none() { "  (nothing is published there for it)" } else { "" };
    lines.add("JAD", &format!("{}{note}", view.jad_url));
    if let Some(jar) = &view.jar {
        lines.add("JAR", &jar.url);
        lines.add("", &format!("{} bytes, sha256 {}", jar.size, jar.sha256));
        if let Some(signer) = &jar.signer {
            lines.add("", &format!("signed by {signer}"));
        }
    }
    lines.add("notify", &view.notify_url);
    let settings = fleet.settings(device);
    if device.hold && !settings.settings.is_empty() {
        lines.add("settings", "none are sent while it is held");
    } else {
        for (i, setting) in settings.settings.iter().enumerate() {
            let note = if settings.always.contains(&setting.key) { "  (at every check)" } else { "" };
            // A pushed password comes from a file, and is shown by `--provision` alone.
            let val = if setting.key == "otapPassword" { "<from its file>" } else { &setting.val };
            lines.add(if i == 0 { "settings" } else { "" }, &format!("{}={val}{note}", setting.key));
        }
    }
    for (i, line) in commands(&view.provision).lines().enumerate() {
        lines.add(if i == 0 { "to set" } else { "" }, line);
    }
    for (i, line) in view.traffic.iter().enumerate() {
        lines.add(if i == 0 { "traffic" } else { "" }, line);
    }
    lines.add("modem", &view.command);
    for warning in &view.warnings {
        lines.add("warning", warning);
    }
    match &view.state {
        Some(state) => self::state(&mut lines, state),
        None => lines.add("state", "it has not asked yet"),
    }
    for record in &view.of_client_id.replaced {
        lines.add("replaces", &replaced::describe(record));
    }
    if let Some(result) = &view.of_client_id.named_result {
        let said = one_line(&result.said);
        lines.add("result", &format!("{said}, {}, without its IMEI", moment(result.last_seen)));
    }
    lines.0
}

/// A device that is told to upgrade does not ask whether its wave is open.
fn by_command(view: &View<'_>) -> String {
    let target = view.assignment.target.map(|version| version.to_string()).unwrap_or_default();
    format!(
        "this command by SMS, console or MQTT follows the JAD, which names {target} before the wave is open"
    )
}

fn rule(view: &View<'_>) -> String {
    let channel = view.fleet.channel(view.device);
    let name = channel.map_or("", |channel| &channel.name);
    let waves = channel.map_or(&[][..], |channel| &channel.waves);
    let reach = waves.last().map(|wave| wave.percent.to_string()).unwrap_or_default();
    match view.assignment.rule {
        Rule::Held => "`hold: true`: neither upgrades nor settings".into(),
        Rule::Pinned => "its own `release`".into(),
        Rule::Inside { bucket: None, .. } => format!("channel `{name}`, which reaches everyone"),
        Rule::Inside { bucket: Some(bucket), wave } => {
            let percent = waves[wave].percent;
            format!(
                "channel `{name}`: bucket {bucket} is in wave {} of {} ({percent})",
                wave + 1,
                waves.len()
            )
        }
        Rule::Otherwise { bucket } => {
            format!("channel `{name}`: bucket {bucket} is outside the rollout ({reach}), so `otherwise`")
        }
        Rule::Outside { bucket } => {
            format!(
                "channel `{name}`: bucket {bucket} is outside the rollout ({reach}), and there is no \
                 `otherwise`"
            )
        }
        Rule::NoChannel => "neither it nor its group nor `default` names a channel".into(),
    }
}

fn state(lines: &mut Lines, state: &StateView) {
    let record = &state.record;
    lines.add(
        "state",
        &format!("first heard of {}, last {}", moment(record.first_seen), moment(record.last_seen)),
    );
    let reported = record.reported.map_or_else(|| "nothing yet".into(), |version| version.to_string());
    lines.add("reports", &reported);
    if let Some(offer) = record.latest_offer() {
        let verdict = match offer.verdict {
            Some(Verdict::Installed) => "installed, not yet proven",
            Some(Verdict::Succeeded) => "succeeded",
            Some(Verdict::Failed) => "failed",
            None => "open",
        };
        lines.add(
            "offers",
            &format!(
                "{} of {} in {}, last {}: {verdict}",
                offer.attempts,
                offer.target,
                offer.rollout,
                moment(offer.at)
            ),
        );
    }
    if let Some(result) = &record.result {
        let meaning =
            result.code.and_then(lookup).map(|known| format!(" ({})", known.meaning)).unwrap_or_default();
        lines.add("result", &format!("{}{meaning}, {}", result.text, moment(result.at)));
    }
    if record.budget.left_out() > 0 {
        let most = otapress_responder::event_budget::KEPT;
        let text = format!("{} not kept: more than {most} of a kind in an hour", record.budget.left_out());
        lines.add("events", &text);
    }
    if let Some(sent) = &record.settings.sent {
        lines.add("settings", &format!("sent {}, not yet confirmed: {}", moment(sent.at), sent.portion));
    }
    if let Some(confirmed) = &record.settings.confirmed {
        lines.add("settings", &format!("confirmed: {confirmed}"));
    }
    let now = match state.now {
        None => "nothing can be offered before it reports a version".into(),
        Some(Ok(())) => "would be offered its target".into(),
        Some(Err(refusal)) => {
            format!("not offered an upgrade: {refusal}: {}", explain(refusal, &state.rollout))
        }
    };
    lines.add("asked now", &now);
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name:<11}{value}");
    }

    fn add_some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}
