//! Single changes in words.

use super::{Mark, Row, Words};
use crate::report::status::time::{moment, span};
use crate::report::suite_diff;
use crate::report::words::{bytes, count, form};
use otapress_core::wire::{self, Limit, Places};
use otapress_publish::jar::SuiteDiff;
use otapress_publish::plan::{
    Change, Files, Hindrance, Kind, Obstacle, Opening, Plan, Proof, Pushed, Rule, RuleChange, Running,
    SettingChange, State, Transition, Wave, is_raised,
};
use otapress_publish::settings::is_secret;

/// Devices that are told something else.
pub(super) fn transition(transition: &Transition) -> Row<'_> {
    let kind = transition.kind();
    let state = |state, absent: &str| match state {
        State::Absent => Words::said(absent),
        State::Unreadable => Words::said("unreadable"),
        State::Held => Words::said("held"),
        State::Nothing => Words::said("nothing"),
        State::Target(version) => Words::value(version.to_string()),
    };
    let what = state(transition.before, "new").becomes(state(transition.after, "removed"));
    let (mark, what) = match kind {
        Kind::Downgrade => (Mark::Danger, Words::said("DOWNGRADE ").then(what)),
        Kind::Added => (Mark::Added, what),
        Kind::Removed => (Mark::Removed, what),
        _ => (Mark::Changed, what),
    };
    let mut row = Row::new(mark, what).of(&transition.devices);
    row = match kind {
        Kind::Loses => row.note("they keep what they run"),
        Kind::Held => row.note("neither upgrades nor settings"),
        Kind::Removed => row.note("the responder does not know them, and they keep what they run"),
        _ => row,
    };
    if transition.denied > 0 {
        let who = match transition.denied {
            n if n == transition.devices.count() => "the channel denies".to_owned(),
            n => format!("for {n} of them the channel denies"),
        };
        row = row.note(format!("{who} downgrades: those that run a higher version keep it"));
    }
    if let Some(running) = &transition.running {
        row.notes.push(running_words(transition, running));
    }
    row
}

/// The versions that the devices really run.
fn running_words(transition: &Transition, running: &Running) -> Words {
    let version = |state: State| state.version().map(|version| version.to_string()).unwrap_or_default();
    let parts = [
        (running.before, format!("on {}", version(transition.before))),
        (running.after, format!("already on {}", version(transition.after))),
        (running.other, "on another version".into()),
        (running.unknown, "never heard of".into()),
    ];
    let parts: Vec<_> =
        parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    Words::said(format!("really: {}", parts.join(", ")))
}

pub(super) fn wave(wave: &Wave) -> Row<'_> {
    let mark = match wave.new {
        _ if wave.added => Mark::Added,
        0 => Mark::Plain,
        _ => Mark::Changed,
    };
    let what = Words::value(&wave.rollout).and(" ").then(opening(wave.opening));
    let row = Row::new(mark, what).of(&wave.devices);
    let row = if wave.added { row.note("a new wave") } else { row };
    match wave.new {
        0 => row.note("no new devices"),
        n if n == wave.devices.count() => row,
        n => row.note(format!("{n} of them new")),
    }
}

/// A rule with another value.
pub(super) fn rule<'a>(plan: &Plan, change: &'a RuleChange) -> Row<'a> {
    let (name, before, after) = parts(&change.rule);
    let of = match (&change.channel, &change.rule) {
        (_, Rule::Channel(..)) | (None, _) => Words::said(format!("{name}: ")),
        (Some(channel), _) => Words::said(format!("{name} of ")).and_value(channel).and(": "),
    };
    let mark = if is_daring(&change.rule) { Mark::Danger } else { Mark::Changed };
    let row = Row::new(mark, of.then(before).becomes(after)).of(&change.devices);
    match &change.rule {
        Rule::Channel(Some(old), Some(new)) if is_renamed(plan, old, new) => {
            row.note("with its rules; attempts and failures are counted from zero").note(
                "renamed: its devices fall into other buckets unless its `salt` is the old \
                `<channel>/<release>`",
            )
        }
        Rule::Channel(_, Some(_)) => row.note("with its rules; attempts and failures are counted from zero"),
        Rule::Spelling(..) => row.note(
            "as in its manifest: their buckets change this once; attempts and failures are counted \
                from zero",
        ),
        Rule::Channel(_, None) => row.note("attempts and failures are counted from zero"),
        Rule::Unproven(_, Limit::Unlimited) => {
            row.note("all of them may be sent the release before one of them has proven it")
        }
        _ => row,
    }
}

/// What keeps devices from their target.
pub(super) fn obstacle(obstacle: &Obstacle) -> Row<'_> {
    let id = &obstacle.rollout;
    let row = |mark, what: String| Row::new(mark, Words::value(id).and(what)).of(&obstacle.devices);
    match &obstacle.hindrance {
        Hindrance::Halted(reason) => row(Mark::Danger, format!(" is halted, since {reason}"))
            .note(format!("they are offered nothing before `otapress resume {id}`")),
        Hindrance::Proving(places) => row(Mark::Changed, " is proving".into()).note(format!(
            "they wait for {places} {} sent it and not heard of since",
            form(*places, "device that was", "devices that were")
        )),
        Hindrance::Exhausted => row(Mark::Changed, " is exhausted".into())
            .note("they have used their attempts; `otapress retry` gives them new ones"),
    }
}

/// Whether a channel is gone and another one is new.
fn is_renamed(plan: &Plan, old: &str, new: &str) -> bool {
    match (&plan.before.site, &plan.after.site) {
        (Some(before), Some(after)) => {
            !before.channels.contains_key(new) && !after.channels.contains_key(old)
        }
        _ => false,
    }
}

/// Whether a rule now lets more devices go at a time than before.
fn is_daring(rule: &Rule) -> bool {
    match rule {
        Rule::Wave(old, new) => new.is_sooner_than(Some(*old)),
        Rule::Unproven(old, new) => is_raised(*old, *new),
        _ => false,
    }
}

/// `open`, `from 2026-12-01T08:00:00Z`, `after wave 1 (95 % of at least 50 % run it, for 1 d)`.
fn opening(opening: Opening) -> Words {
    let at = opening.at.map(|at| Words::said("from ").and_value(moment(at)));
    let after = opening.after.map(|proof| Words::said(proof_text(proof)));
    match (at, after) {
        (None, None) => Words::said("open"),
        (Some(at), None) => at,
        (None, Some(after)) => after,
        (Some(at), Some(after)) => at.and(", ").then(after),
    }
}

fn proof_text(Proof { wave, rule }: Proof) -> String {
    let percent = |bp: u16| f64::from(bp) / 100.0;
    let soak = if rule.soak > 0 { format!(", for {}", span(rule.soak.into())) } else { String::new() };
    let (success, reached) = (percent(rule.success_bp), percent(rule.reached_bp));
    format!("after wave {wave} ({success} % of at least {reached} % run it{soak})")
}

fn limit_text(limit: Limit) -> Words {
    match limit {
        Limit::Unlimited => Words::said("unlimited"),
        Limit::Places(Places { least, share_bp }) => {
            Words::value(format!("{} or {} %", count(least, "device"), f64::from(share_bp) / 100.0))
        }
    }
}

/// The name of a rule and its two values.
fn parts(rule: &Rule) -> (&'static str, Words, Words) {
    fn each<T>(
        name: &'static str,
        old: T,
        new: T,
        words: impl Fn(T) -> Words,
    ) -> (&'static str, Words, Words) {
        (name, words(old), words(new))
    }
    let name = rule.into();
    match rule {
        Rule::Channel(old, new) => each(name, old, new, |channel: &Option<String>| match channel {
            Some(channel) => Words::value(channel),
            None => Words::said("pinned"),
        }),
        Rule::Spelling(old, new) => each(name, old, new, Words::value),
        Rule::Wave(old, new) => each(name, old, new, |when| opening(*when)),
        Rule::Unproven(old, new) => each(name, old, new, |limit| limit_text(*limit)),
        Rule::Window(old, new) => each(name, old, new, |window| match window {
            Some(window) => Words::value(window_text(window)),
            None => Words::said("always"),
        }),
        Rule::Attempts(old, new) => each(name, old, new, |n| Words::value(n.to_string())),
        Rule::Brake(old, new) => each(name, old, new, |brake| Words::value(brake_text(*brake))),
        Rule::NoDowngrade(old, new) => {
            each(name, old, new, |no| Words::value(if *no { "deny" } else { "allow" }))
        }
        Rule::Rate(old, new) => each(name, old, new, |rate| match rate {
            Some(rate) => Words::value(format!("{rate}/h")),
            None => Words::said("unlimited"),
        }),
        Rule::Interval(old, new) => each(name, old, new, |seconds| Words::value(format!("{seconds} s"))),
    }
}

/// `mon, tue 01:00 UTC for 240 min`.
fn window_text(window: &wire::Window) -> String {
    let days: Vec<_> = window.days.iter().map(|day| day.as_str()).collect();
    let days = if window.days.len() == wire::Day::WEEK.len() { "every day".into() } else { days.join(", ") };
    let (hours, minutes) = (window.from / 60, window.from % 60);
    format!("{days} {hours:02}:{minutes:02} UTC for {} min", window.minutes)
}

/// `3 artifact faults, or 20 % failures of 10`.
fn brake_text(brake: wire::Brake) -> String {
    let percent = f64::from(brake.failures_bp) / 100.0;
    let failures = format!("more than {percent} % failures after {}", brake.after);
    match brake.artifact_faults {
        0 => failures,
        n => format!("{} or {failures}", count(n as usize, "artifact fault")),
    }
}

/// A setting that is pushed otherwise. Values that are secret are not shown.
pub(super) fn setting(change: &SettingChange) -> Row<'_> {
    let key = &change.key;
    let value = |pushed: &Pushed| match &*pushed.value {
        "" => Words::said("deleted on the device"),
        _ if is_secret(key) => Words::said("a secret"),
        value => Words::value(value),
    };
    let often = |pushed: &Pushed| if pushed.always { "at every check" } else { "until confirmed" };
    let said =
        |mark, words: Words| Row::new(mark, Words::value(key).and(" = ").then(words)).of(&change.devices);
    match &change.change {
        Change::Changed(old, new) if old.value == new.value => {
            said(Mark::Changed, value(new).and(format!(", {} → {}", often(old), often(new))))
        }
        Change::Changed(old, new) => {
            let new_value = match value(new) {
                secret if secret == Words::said("a secret") => Words::said("another secret"),
                other => other,
            };
            let row = said(Mark::Changed, value(old).becomes(new_value));
            if old.always == new.always { row } else { row.note(format!("now sent {}", often(new))) }
        }
        Change::Added(new) => {
            let row = said(Mark::Added, value(new));
            if new.always { row.note("at every check") } else { row }
        }
        Change::Withdrawn(old) => {
            said(Mark::Removed, value(old)).note("no longer pushed: devices that have it keep it")
        }
    }
}

/// A JAR that comes or goes.
pub(super) fn jar<'a>(plan: &Plan, change: &'a Change<wire::Release>) -> Row<'a> {
    let told = |release: &wire::Release| {
        let sha256 = release.sha256.to_string();
        let signed = if release.suite.signed { ", signed" } else { "" };
        let size = bytes(release.size);
        Words::value(&release.version).and(format!(", {size}{signed}, sha256 ")).and_value(sha256)
    };
    match change {
        Change::Added(new) => Row::new(Mark::Added, told(new)),
        Change::Withdrawn(old) => Row::new(Mark::Removed, told(old)).note("no way back to it"),
        Change::Changed(old, new) if (old.sha256, &old.path) != (new.sha256, &new.path) => {
            Row::new(Mark::Danger, told(old).becomes(told(new)))
                .note("a published version has different content or another path")
        }
        Change::Changed(old, new) if old.withdrawn == new.withdrawn => match new.suite.signed {
            true => Row::new(Mark::Changed, Words::value(&new.version).and(" is signed now")),
            false => Row::new(Mark::Danger, Words::value(&new.version).and(" is not signed any more"))
                .note("devices that run a signed release refuse it with 910"),
        },
        Change::Changed(_, new) => match &new.withdrawn {
            Some(reason) => {
                let version = new.version.parse().ok();
                let moved =
                    plan.transitions.iter().filter(|transition| transition.before.version() == version);
                let devices: usize = moved.map(|transition| transition.devices.count()).sum();
                Row::new(Mark::Danger, Words::value(&new.version).and(" is withdrawn: ").and_value(reason))
                    .note(format!("{} told to run it, and it is never offered again", were(devices)))
            }
            None => Row::new(Mark::Changed, Words::value(&new.version).and(" is not withdrawn any more")),
        },
    }
}

/// How a JAR that comes differs from the release before it.
pub(super) fn suite(diff: &SuiteDiff) -> Row<'_> {
    let (old, new) = &diff.versions;
    let what = Words::value(old).becomes(Words::value(new)).and(format!(": {}", suite_diff::headline(diff)));
    let note = |line: suite_diff::Line| {
        let (words, separator) = (Words::said(format!("{} {} ", line.mark, line.said)), line.separator());
        let words = if line.value.is_empty() { words } else { words.and_value(line.value) };
        if line.more.is_empty() { words } else { words.and(separator).and_value(line.more) }
    };
    let notes = suite_diff::lines(diff).into_iter().map(note).collect();
    Row { notes, ..Row::new(Mark::Plain, what) }
}

fn were(devices: usize) -> String {
    match devices {
        0 => "no device was".into(),
        n => format!("{n} {}", form(n, "device was", "devices were")),
    }
}

pub(super) fn files(files: &Files) -> Vec<Row<'static>> {
    let mut rows = Vec::new();
    let mut row = |mark, verb: &str, numbers: &[usize], size: u64| {
        let kinds = ["JAR file", "JAD", "answer", "site file"].into_iter().zip(numbers);
        let kinds: Vec<_> = kinds.filter(|(_, n)| **n > 0).map(|(kind, n)| count(*n, kind)).collect();
        if !kinds.is_empty() {
            let what = format!("{verb}: {}; {}", kinds.join(", "), bytes(size));
            rows.push(Row::new(mark, Words::said(what)));
        }
    };
    row(Mark::Plain, "written", &files.written_by_part, files.bytes_written);
    row(Mark::Plain, "removed", &files.removed_by_part, files.bytes_removed);
    rows
}
