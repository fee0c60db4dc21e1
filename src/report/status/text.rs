//! The status for people.

use std::fmt::Write as _;

use super::gate::{self, share};
use super::summary::{RolloutSummary, Summary, WaveSummary};
use super::time::{moment, span};
use super::{DeviceStatus, Former, State, Status, Stranger, Stray, replaced, words};
use crate::report::words::{NAMED, count, few, form, one_line};
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;
use otapress_responder::code;
use otapress_responder::offer::{is_open, opens_at};
use otapress_responder::record::{Event, RolloutRecord, Verdict};

/// The whole summary.
pub fn summary(fleet: &Fleet, status: &Status, summary: &Summary) -> String {
    let mut text = headline(status, summary);
    for notice in &status.notices {
        row(&mut text, "notice", &format!("{}, {}: {}", moment(notice.at), notice.about(), notice.detail));
    }
    for rollout in &summary.rollouts {
        text.push('\n');
        text += &self::rollout(fleet, status, rollout);
    }
    let without: Vec<_> = [State::NoTarget, State::Held]
        .into_iter()
        .map(|state| (summary.in_state(state), state))
        .filter(|(n, _)| *n > 0)
        .map(|(n, state)| state.counted(n))
        .collect();
    text.push('\n');
    if !without.is_empty() {
        row(&mut text, "no rollout", &without.join(", "));
    }
    let versions: Vec<_> = summary
        .versions
        .iter()
        .rev()
        .map(|(version, n)| format!("{} {n}", version.map_or("none".into(), |version| version.to_string())))
        .collect();
    row(&mut text, "reported", &versions.join(", "));
    if summary.devices == fleet.devices().len() {
        for past in &status.past {
            let standing = past.standing;
            let halted = if past.record.halted.is_some() { ", was halted" } else { "" };
            let counts = format!(
                "{} succeeded, {} failed, {} open{halted}",
                standing.succeeded, standing.failed, standing.open
            );
            row(&mut text, "past", &format!("{}: {counts}", past.record.id));
        }
        for Stray { path, devices, remedy } in &status.strays {
            let who = count(*devices, "device");
            let what = format!("{who} at `{path}`, which gets no upgrade: if they are yours, put {remedy}");
            row(&mut text, "unpublished path", &what);
        }
        for Former { uri, at, devices } in &status.former {
            let who = count(*devices, "device");
            let what = match at {
                Some(at) => format!("{who} at the former {uri} `{at}`"),
                None => format!("{who} without a word that the pushed {uri} has arrived"),
            };
            row(&mut text, "formerly", &what);
        }
        for reader in &status.late_readers {
            row(&mut text, "reader", &reader.text());
        }
        if !status.strangers.is_empty() {
            let n = status.strangers.len();
            row(&mut text, "unknown", &format!("{n} not in the fleet: `otapress status --unknown`"));
        }
    }
    text
}

fn headline(status: &Status, summary: &Summary) -> String {
    let failed = summary.in_state(State::Failed) + summary.in_state(State::Exhausted);
    let mut text = format!(
        "{}: {}, {} on target, {failed} failed, {} silent; ",
        moment(status.now),
        count(summary.devices, "device"),
        summary.in_state(State::Current),
        summary.silent
    );
    if summary.lost > 0 {
        text += &format!("{} LOST after 900 (`otapress status --is lost`); ", summary.lost);
    }
    text += &match summary.last_contact {
        Some(last) => format!("the last one was heard of {} ago\n", span(status.now - last)),
        None => "none was ever heard of\n".into(),
    };
    text
}

fn rollout(fleet: &Fleet, status: &Status, counts: &RolloutSummary) -> String {
    let rollout = &status.rollouts[counts.place];
    let record = &rollout.record;
    let mut text = format!("{}\n", record.id);
    if let Some(halt) = &record.halted {
        let since = moment(halt.at);
        row(&mut text, "HALTED", &format!("since {since}: {}; `otapress resume {}`", halt.reason, record.id));
    }
    if record.places > 0 {
        row(&mut text, "proving", &unproven(fleet, status, record));
    }
    row(&mut text, "target", &count(counts.target, "device"));
    row(&mut text, "on it", &format!("{} ({})", counts.current(), share(counts.current(), counts.target)));
    row(&mut text, "ever offered", &counts.offered.to_string());
    for state in State::ALL.iter().filter(|state| **state != State::Current) {
        let n = counts.in_state(*state);
        if n > 0 {
            row(&mut text, state.as_str(), &state.counted(n));
        }
    }
    for (failure, n) in &counts.failures {
        let fault = match failure.fault() {
            "unknown" => String::new(),
            fault => format!(" ({fault})"),
        };
        row(&mut text, "failure", &format!("{n} × {}: {}{fault}", failure.name(), failure.meaning()));
    }
    if counts.silent > 0 {
        row(&mut text, "silent", &format!("{} for more than 2 intervals", counts.silent));
    }
    for (n, wave) in counts.waves.iter().enumerate() {
        row(&mut text, &format!("wave {}", n + 1), &self::wave(wave, status.now));
        if let Some(wait) = wave.wait.filter(|_| is_judged(wave)) {
            row(&mut text, "", &wait.text(status.now));
            let missing = wait.missing(fleet, status, counts.place, n);
            if !missing.is_empty() {
                row(&mut text, "", &format!("missing: {}", few(&missing, NAMED)));
            }
        }
    }
    if let Some(window) = &rollout.rules.window {
        let state = match opens_at(window, status.now) {
            _ if is_open(window, status.now) => "open".to_owned(),
            Some(at) => format!("opens in {}, at {}", span(at - status.now), moment(at)),
            None => "never opens".to_owned(),
        };
        row(&mut text, "window", &state);
    }
    if let (Some(recent), Some(rate)) = (rollout.recent, rollout.rules.rate) {
        row(&mut text, "rate", &format!("{recent} of {} in the last hour", count(rate, "offer")));
    }
    text
}

/// The devices that were sent the release and were not heard of since.
fn unproven(fleet: &Fleet, status: &Status, record: &RolloutRecord) -> String {
    let takes_place = |device: &&DeviceStatus| {
        let offer = device.record.as_ref().and_then(|device| device.offer(&record.id));
        offer.is_some_and(|offer| offer.place && offer.epoch == record.epoch)
    };
    let names = status.devices.iter().filter(takes_place);
    let names: Vec<_> = names.map(|device| fleet.devices()[device.index].client_id.as_str()).collect();
    let names = if names.is_empty() { "no longer in the fleet".to_owned() } else { few(&names, NAMED) };
    sent(record.places) + &names
}

fn sent(n: u32) -> String {
    let (were, have) = (form(n, "device was", "devices were"), form(n, "has", "have"));
    format!("{n} {were} sent it and {have} not been heard of since: ")
}

/// Whether the success of others opens it.
fn is_judged(wave: &WaveSummary) -> bool {
    wave.wait.is_some_and(|wait| wait.is_for_proof())
}

fn wave(wave: &WaveSummary, now: i64) -> String {
    let opens = match (wave.wait, wave.opened.max(wave.at)) {
        (Some(_), _) if is_judged(wave) => "closed".into(),
        (Some(wait), _) => wait.text(now),
        (None, Some(at)) => format!("open since {}", moment(at)),
        (None, None) => "open".into(),
    };
    format!(
        "to {}, {opens}: {}, {} on it, {} failed",
        wave.percent,
        count(wave.devices, "device"),
        wave.current,
        wave.failed
    )
}

/// A line for each device.
pub fn list(fleet: &Fleet, status: &Status, shown: &[&DeviceStatus]) -> String {
    let version = |version: Option<Version>| version.map_or("-".into(), |version| version.to_string());
    // A lost device needs somebody most.
    let (lost, others): (Vec<&DeviceStatus>, Vec<_>) = shown.iter().copied().partition(|device| device.lost);
    let rows: Vec<[String; 6]> = lost
        .into_iter()
        .chain(others)
        .map(|device| {
            let record = device.record.as_ref();
            let heard = record.map_or("never".into(), |record| span(status.now - record.last_seen));
            let reason =
                words::reason(fleet, status, device).map_or(String::new(), |reason| match reason.todo {
                    Some(todo) => format!("{}. To do: {todo}", reason.why),
                    None => reason.why,
                });
            [
                fleet.devices()[device.index].client_id.to_string(),
                version(record.and_then(|record| record.reported)),
                version(device.assignment.target),
                device.state.as_str().into(),
                heard,
                reason,
            ]
        })
        .collect();
    let head = ["DEVICE", "RUNS", "TARGET", "STATE", "HEARD", "WHY"].map(str::to_owned);
    table(std::iter::once(&head).chain(&rows))
}

/// One device with its history, the latest event first.
pub fn device(fleet: &Fleet, status: &Status, device: &DeviceStatus, events: &[Event]) -> String {
    let mut text = format!("{}\n", fleet.devices()[device.index].client_id);
    for (name, value) in facts(fleet, status, device) {
        row(&mut text, name, &value);
    }
    for (n, event) in events.iter().enumerate() {
        row(&mut text, if n == 0 { "history" } else { "" }, &self::event(event, None));
    }
    text
}

/// All that is known of a device but its history: names with values; one without a name goes on with the one
/// before.
pub(crate) fn facts(fleet: &Fleet, status: &Status, device: &DeviceStatus) -> Vec<(&'static str, String)> {
    let declared = &fleet.devices()[device.index];
    let now = status.now;
    let ago = |at: i64| format!("{} ({} ago)", moment(at), span(now - at));
    let mut facts = vec![("IMEI", declared.imei.to_string())];
    if let Some(group) = &fleet.group(declared).name {
        facts.push(("group", group.clone()));
    }
    if let Some(comment) = &declared.comment {
        facts.push(("comment", one_line(comment)));
    }
    let target = device.assignment.target.map_or("none".into(), |version| version.to_string());
    let rollout = device.rollout.map(|place| format!(" ({})", status.rollouts[place].record.id));
    facts.push(("target", target + &rollout.unwrap_or_default()));
    facts.push(("state", format!("{}: {}", device.state.as_str(), device.state.title())));
    if let Some(reason) = words::reason(fleet, status, device) {
        facts.push(("why", reason.why));
        facts.extend(reason.todo.map(|todo| ("to do", todo)));
    }
    for record in &device.of_client_id.replaced {
        facts.push(("replaces", replaced::describe(record)));
    }
    if let Some(result) = &device.of_client_id.named_result {
        let said = format!("{}, {}, without its IMEI", one_line(&result.said), ago(result.last_seen));
        facts.push(("result", said));
    }
    let Some(record) = &device.record else { return facts };
    let reported = record.reported.map_or("nothing yet".into(), |version| version.to_string());
    facts.push(("reports", reported));
    facts.push(("heard of", format!("first {}", ago(record.first_seen))));
    let silent = if device.silent { ": silent for more than 2 intervals" } else { "" };
    facts.push(("", format!("last {}{silent}", ago(record.last_seen))));
    facts.push(("interval", span(device.interval.into())));
    for offer in &record.offers {
        let verdict = match (offer.verdict, offer.deadline) {
            _ if !offer.was_offered() => continue,
            (_, Some(deadline)) => format!("under way until {}", moment(deadline)),
            (Some(Verdict::Installed), None) => "installed".into(),
            (Some(Verdict::Succeeded), None) => "succeeded".into(),
            (Some(Verdict::Failed), None) => "failed".into(),
            (None, None) => "given up for another rollout".into(),
        };
        let offered = format!(
            "{}: {} → {}, {} made, the last {}: {verdict}",
            offer.rollout,
            offer.from,
            offer.target,
            count(offer.attempts, "attempt"),
            ago(offer.at)
        );
        facts.push(("offer", offered));
    }
    if let Some(result) = &record.result {
        facts.push(("result", format!("{}{}, {}", result.text, meaning(result.code), ago(result.at))));
    }
    facts
}

fn meaning(code: Option<u16>) -> String {
    code.and_then(code::lookup).map(|known| format!(" ({})", known.meaning)).unwrap_or_default()
}

/// A line for each event; `name` finds the clientIDs.
pub fn events<'a>(events: &[Event], name: impl Fn(Imei) -> Option<&'a str>) -> String {
    events.iter().map(|event| self::event(event, Some(&name)) + "\n").collect()
}

/// Finds the clientID of an IMEI.
type Names<'a, 'b> = &'b dyn Fn(Imei) -> Option<&'a str>;

fn event(event: &Event, name: Option<Names<'_, '_>>) -> String {
    let mut parts = vec![moment(event.at), format!("{:<18}", event.kind.as_str())];
    if let (Some(imei), Some(name)) = (event.imei, name) {
        parts.push(match name(imei) {
            Some(client) => format!("{client} ({imei})"),
            None => imei.to_string(),
        });
    }
    parts.extend(event.rollout.as_deref().map(str::to_owned));
    if !event.detail.is_empty() {
        parts.push(format!("{}{}", event.detail, meaning(event.code)));
    }
    parts.join("  ").trim_end().to_owned()
}

/// A line for each of those who are not in the fleet.
pub fn strangers(strangers: &[Stranger], now: i64) -> String {
    let rows: Vec<[String; 5]> = strangers
        .iter()
        .map(|stranger| {
            let what = if stranger.departed { "left the fleet" } else { "never was in the fleet" };
            [
                stranger.name.clone(),
                span(now - stranger.last_seen),
                moment(stranger.first_seen),
                one_line(&stranger.said),
                what.to_owned(),
            ]
        })
        .collect();
    let head = ["WHO", "HEARD", "FIRST", "SAYS", "IS"].map(str::to_owned);
    table(std::iter::once(&head).chain(&rows))
}

/// A line for each rollout.
pub fn gate(verdicts: &[gate::Judgement]) -> String {
    let lines = |verdict: &gate::Judgement| {
        let line = match &verdict.misses[..] {
            [] => format!("{}: passes: {}\n", verdict.rollout, verdict.stands),
            misses => format!("{}: misses the gate: {}\n", verdict.rollout, misses.join("; ")),
        };
        line + &verdict.waves.iter().map(|wave| format!("  {wave}\n")).collect::<String>()
    };
    verdicts.iter().map(lines).collect()
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{}", format!("  {name:<17} {value}").trim_end());
}

/// Columns as wide as their widest cell, but for the last one.
fn table<'a, const N: usize>(rows: impl Iterator<Item = &'a [String; N]> + Clone) -> String {
    let mut widths = [0; N];
    for row in rows.clone() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
