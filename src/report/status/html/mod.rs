//! The status as a report for a browser: `index.html`, and the devices of a large fleet beside it.
//!
//! Nothing is fetched from elsewhere, and the page works from a file. It is a template in
//! `templates/report/`, which escapes every text; the devices are data for the script of the page.

mod chart;
mod data;
mod events;
mod needs;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tera::{Context, Tera};

use super::gate::share;
use super::openings::Wait;
use super::records::Change;
use super::summary::{RolloutSummary, Summary};
use super::time::{moment, span};
use super::{State, Status, history};
use crate::report::words::{NAMED, count, few, form, grouped};
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;
use otapress_responder::offer::{is_open, opens_at};

/// The name of the page.
pub const INDEX: &str = "index.html";

/// The prefix of the files beside the page.
const DEVICES: &str = "devices-";

/// Fleets up to this size are in the page itself, so that it is one file.
const INLINE: usize = 2000;

/// Devices per file beside the page.
const CHUNK: usize = 5000;

/// Unknown devices that are shown.
const STRANGERS: usize = 100;

/// A file of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Makes the report. The page itself is the last file: what it names is there before it.
///
/// # Errors
/// If the template that is built in fails.
pub fn pages(
    fleet: &Fleet,
    status: &Status,
    summary: &Summary,
    changes: &[Change],
) -> Result<Vec<Page>, tera::Error> {
    let size = if status.devices.len() <= INLINE { INLINE } else { CHUNK };
    let inline = status.devices.len() <= size;
    let histories = inline.then(|| data::histories(changes));
    let chunk = |part| data::chunk(fleet, status, part, histories.as_ref());
    let chunks: Vec<String> = status.devices.chunks(size).map(chunk).collect();
    let name = |n: usize| format!("{DEVICES}{n:04}.js");
    let names: Vec<_> = if inline { Vec::new() } else { (0..chunks.len()).map(name).collect() };
    let mut values = values(fleet, status, summary, changes);
    values["dictionary"] = data::dictionary(fleet, status, &names).into();
    values["inline"] = if inline { chunks.clone().into() } else { json!([]) };
    let mut tera = Tera::default();
    tera.register_filter("number", |n: u64, _: tera::Kwargs, _: &tera::State<'_>| grouped(n));
    tera.add_raw_template(INDEX, include_str!("../../../../templates/report/index.html"))?;
    let index = tera.render(INDEX, &Context::from_serialize(&values)?)?;
    let mut pages = Vec::new();
    if !inline {
        let file = |(n, chunk): (usize, String)| Page { name: name(n), content: chunk.into_bytes() };
        pages.extend(chunks.into_iter().enumerate().map(file));
    }
    pages.push(Page { name: INDEX.into(), content: index.into_bytes() });
    Ok(pages)
}

/// Whether a file belongs to an earlier report of a larger fleet.
pub fn is_left_over(name: &str, pages: &[Page]) -> bool {
    let number = name.strip_prefix(DEVICES).and_then(|rest| rest.strip_suffix(".js"));
    number.is_some_and(|number| number.len() >= 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
        && pages.iter().all(|page| page.name != name)
}

/// The variables of the template.
fn values(fleet: &Fleet, status: &Status, summary: &Summary, changes: &[Change]) -> Value {
    let reported = summary.versions.keys().flatten().copied();
    let before = changes.iter().flat_map(|change| [change.from, change.to]);
    let versions: BTreeSet<Version> = reported.chain(before).collect();
    let versions: Vec<Version> = versions.into_iter().rev().collect();
    let marks = events::marks(status, summary, changes);
    json!({
        "css": include_str!("../../../../templates/report/report.css"),
        "js": include_str!("../../../../templates/report/report.js"),
        "program": env!("CARGO_PKG_VERSION"),
        "site": fleet.site().uri().as_str(),
        "name": fleet.name(),
        "needs": needs::needs(fleet, status, summary),
        "notices": needs::notices(status),
        "now": moment(status.now),
        "contact": summary.last_contact.map(|last| span(status.now - last)),
        "tiles": tiles(summary),
        "bar": bar(&|state| summary.in_state(state), summary.devices),
        "rollouts": summary.rollouts.iter().map(|counts| rollout(fleet, status, counts)).collect::<Vec<_>>(),
        "failures": failures(status, summary),
        "charts": chart::charts(fleet, status, changes, &history::beginning(status), &versions, &marks),
        "versions": chart::shares(summary, &versions),
        "past": past(status),
        "strangers": strangers(status),
        "more_strangers": status.strangers.len().saturating_sub(STRANGERS),
    })
}

/// The class of a state, which decides its colour.
fn class(state: State) -> &'static str {
    use State::*;
    match state {
        Current => "good",
        Installed | Offered | Due => "going",
        WaitingForWave | OutsideWindow | RateLimited | Proving => "waiting",
        Halted => "stopped",
        Failed | Exhausted => "bad",
        NeverHeard | NoVersion => "unheard",
        NoTarget | Held | DowngradeDenied => "aside",
    }
}

/// The classes with their names, in the order of a bar: what was offered the release comes first, so that
/// the coloured part ends where the open waves do.
const CLASSES: [(&str, &str); 7] = [
    ("good", "on target"),
    ("bad", "failed"),
    ("stopped", "halted"),
    ("going", "under way"),
    ("waiting", "waiting"),
    ("unheard", "never heard of"),
    ("aside", "held, or nothing to run"),
];

fn bar(count: &dyn Fn(State) -> usize, whole: usize) -> Vec<Value> {
    let part = |(name, title): &(&str, &str)| {
        let n: usize =
            State::ALL.iter().filter(|state| class(**state) == *name).map(|state| count(*state)).sum();
        json!({ "class": name, "title": title, "n": n, "width": percent(n, whole) })
    };
    CLASSES.iter().map(part).filter(|part| part["n"] != 0).collect()
}

/// A percentage for CSS.
fn percent(part: usize, whole: usize) -> String {
    if whole == 0 { "0".into() } else { format!("{:.3}", part as f64 * 100.0 / whole as f64) }
}

fn tiles(summary: &Summary) -> Vec<Value> {
    let sum = |class_name: &str| -> usize {
        let states = summary.states.iter();
        states.filter(|(state, _)| class(**state) == class_name).map(|(_, n)| n).sum()
    };
    let tile = |title: &str, filter: &str, n: usize, tone: &str| {
        json!({
            "title": title, "filter": filter, "n": n, "share": share(n, summary.devices),
            "tone": if n == 0 { "" } else { tone },
        })
    };
    vec![
        tile("lost", "lost", summary.lost, "bad"),
        tile("halted", "halted", sum("stopped"), "stopped"),
        tile("failed", "bad", sum("bad"), "bad"),
        tile("silent", "silent", summary.silent, "stopped"),
        tile("under way", "going", sum("going"), "going"),
        tile("waiting", "waiting", sum("waiting"), ""),
        tile("on target", "good", sum("good"), "good"),
        tile("never heard of", "unheard", sum("unheard"), ""),
        tile(form(summary.devices, "device", "devices"), "", summary.devices, ""),
    ]
}

fn rollout(fleet: &Fleet, status: &Status, counts: &RolloutSummary) -> Value {
    let rollout = &status.rollouts[counts.place];
    let record = &rollout.record;
    let now = status.now;
    let states: Vec<_> = State::ALL
        .iter()
        .filter(|state| counts.in_state(**state) > 0)
        .map(|state| {
            json!({
                "name": state.as_str(),
                "title": state.title(),
                "class": class(*state),
                "n": counts.in_state(*state),
            })
        })
        .collect();
    let mut so_far = 0;
    let waves: Vec<_> = counts
        .waves
        .iter()
        .enumerate()
        .map(|(n, wave)| {
            so_far += wave.devices;
            let at = wave.wait.map_or(wave.opened.max(wave.at), Wait::opens_at);
            let opens = match (wave.wait, at) {
                (Some(wait), _) if wait.is_for_proof() => wait.text(now),
                (Some(_), at) => format!("opens in {}", span(at.unwrap_or(now) - now)),
                (None, Some(at)) => format!("open for {}", span(now - at)),
                (None, None) => "open".into(),
            };
            let missing =
                wave.wait.map_or_else(Vec::new, |wait| wait.missing(fleet, status, counts.place, n));
            json!({
                "missing": few(&missing, NAMED),
                "n": n + 1, "percent": wave.percent.to_string(), "open": wave.is_open(), "opens": opens,
                "at": at.map(moment), "devices": wave.devices, "current": wave.current, "failed": wave.failed,
                "good": percent(wave.current, wave.devices), "bad": percent(wave.failed, wave.devices),
                "end": percent(so_far, counts.target), "last": n + 1 == counts.waves.len(),
            })
        })
        .collect();
    let window = rollout.rules.window.as_ref().map(|window| match opens_at(window, now) {
        _ if is_open(window, now) => "window open".to_owned(),
        Some(at) => format!("window opens in {}", span(at - now)),
        None => "window never opens".to_owned(),
    });
    let rate = rollout.recent.zip(rollout.rules.rate);
    let (pill, tone) = match &record.halted {
        Some(_) => ("halted", "stopped"),
        None if counts.current() == counts.target => ("complete", "good"),
        None if counts.failed() > 0 => ("going on, with failures", "stopped"),
        None => ("going on", "going"),
    };
    json!({
        "id": record.id,
        "channel": rollout.rules.channel,
        "release": rollout.rules.version.to_string(),
        "pill": pill,
        "tone": tone,
        "halted": record.halted.as_ref().map(|halt| json!({
            "why": halt.reason, "at": moment(halt.at), "ago": span(now - halt.at),
        })),
        "target": counts.target,
        "current": counts.current(),
        "share": share(counts.current(), counts.target),
        "offered": counts.offered,
        "silent": counts.silent,
        "bar": bar(&|state| counts.in_state(state), counts.target),
        "states": states,
        "waves": waves,
        "window": window,
        "rate": rate.map(|(recent, rate)| format!("{recent} of {} in the last hour", count(rate, "offer"))),
    })
}

fn failures(status: &Status, summary: &Summary) -> Vec<Value> {
    let mut failures: Vec<_> = summary
        .rollouts
        .iter()
        .flat_map(|counts| {
            counts.failures.iter().map(|(failure, n)| (*n, &status.rollouts[counts.place], *failure))
        })
        .collect();
    failures.sort_by(|a, b| b.0.cmp(&a.0).then(a.2.cmp(&b.2)));
    let most = failures.first().map_or(1, |(n, ..)| *n);
    failures
        .into_iter()
        .map(|(n, rollout, failure)| {
            json!({
                "n": n, "rollout": rollout.record.id, "name": failure.name(), "meaning": failure.meaning(),
                "fault": failure.fault(), "width": percent(n, most),
            })
        })
        .collect()
}

fn past(status: &Status) -> Vec<Value> {
    status
        .past
        .iter()
        .map(|past| {
            json!({
                "id": past.record.id, "succeeded": past.standing.succeeded, "failed": past.standing.failed,
                "open": past.standing.open, "halted": past.record.halted.as_ref().map(|halt| &halt.reason),
            })
        })
        .collect()
}

fn strangers(status: &Status) -> Vec<Value> {
    status
        .strangers
        .iter()
        .take(STRANGERS)
        .map(|stranger| {
            json!({
                "name": stranger.name, "said": stranger.said, "heard": span(status.now - stranger.last_seen),
                "at": moment(stranger.last_seen), "departed": stranger.departed,
            })
        })
        .collect()
}
