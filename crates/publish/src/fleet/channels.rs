//! `channels`: the release of each channel, and how it spreads.

use std::collections::BTreeSet;

use super::raw::{Node, Text, Value};
use super::reader::Reader;
use super::scalars::{BasisPoints, minute_of_day, per_hour};
use super::{Channel, Spanned, keys, unproven, waves};
use crate::diag::{Code, Diagnostic};
use otapress_core::version::Version;
use otapress_core::wire::{Brake, Day, Limit, Window};

pub(super) fn read(reader: &mut Reader, name: &Text, node: Node<'_>) -> Option<Channel> {
    if &*name.text == "pin" {
        reader.bad_value(name, "channel name", "another name: rollouts of pinned devices are called `pin/…`");
    }
    let short = matches!(node.value, Value::Scalar(_));
    let mut fields = if short {
        None
    } else {
        Some(reader.fields(node.clone(), keys::CHANNEL, &format!("channel `{}`", name.text), name.span)?)
    };
    let release_node = match &mut fields {
        None => Some(node),
        Some(fields) => fields.take("release"),
    };
    let mut take = |name: &str| fields.as_mut().and_then(|fields| fields.take(name));
    let release = release_node.and_then(|node| version(reader, node));
    let otherwise = take("otherwise").map(|node| version(reader, node));
    let waves =
        take("rollout").map_or_else(|| Some(waves::everyone(name.span)), |node| waves::read(reader, node));
    let salt = take("salt").and_then(|node| reader.text(node, "`salt`"));
    let window = take("window").map(|node| {
        let span = node.span;
        window(reader, node).map(|value| Spanned { value, span })
    });
    let unproven = take("unproven").and_then(|node| unproven::read(reader, node));
    let attempts = take("attempts").and_then(|node| reader.number(node, "`attempts`", 1, 100));
    let brake = take("brake").map_or(Channel::BRAKE, |node| brake(reader, node));
    let downgrade = take("downgrade").and_then(|node| reader.one_of(node, "`downgrade`", &["allow", "deny"]));
    let rate = take("rate").and_then(|node| {
        let text = reader.text(node, "`rate`")?;
        let rate = per_hour(&text.text);
        if rate.is_none() {
            reader.bad_value(&text, "`rate`", "offers per hour, such as `500/h`");
        }
        rate
    });
    let release = release?;
    Some(Channel {
        spelling: release.value.to_string(),
        salt: salt.map(|text| text.text.into()),
        name: name.text.to_string(),
        release,
        otherwise: match otherwise {
            None => None,
            Some(version) => Some(version?),
        },
        waves: waves?,
        window: match window {
            None => None,
            Some(window) => Some(window?),
        },
        attempts: attempts.unwrap_or(Channel::ATTEMPTS),
        brake,
        unproven: unproven.unwrap_or(Limit::DEFAULT),
        no_downgrade: downgrade == Some(1),
        rate,
    })
}

fn version(reader: &mut Reader, node: Node<'_>) -> Option<Spanned<Version>> {
    let (value, span) = reader.parsed(node, "a version", Code::BadVersion)?;
    Some(Spanned { value, span })
}

fn window(reader: &mut Reader, node: Node<'_>) -> Option<Window> {
    let at = node.span;
    let mut fields = reader.fields(node, keys::WINDOW, "`window`", at)?;
    let names = Day::WEEK.map(Day::as_str);
    let days = fields.take("days").map(|node| {
        let texts = reader.texts(node, "days");
        let mut days = BTreeSet::new();
        for text in &texts {
            match Day::WEEK.into_iter().find(|day| day.as_str() == &*text.text) {
                Some(day) => drop(days.insert(day)),
                None => reader.bad_value(text, "day", &format!("`{}`", names.join("`, `"))),
            }
        }
        if texts.is_empty() {
            reader.report(
                Diagnostic::new(Code::BadValue, at, "a window without days never opens")
                    .hint("leave `days` out for every day"),
            );
        }
        days.into_iter().collect::<Vec<_>>()
    });
    let from = fields.take("from").and_then(|node| {
        let text = reader.text(node, "`from`")?;
        let minute = minute_of_day(&text.text);
        if minute.is_none() {
            reader.bad_value(&text, "`from`", "a time of day in UTC, such as `\"01:00\"`");
        }
        minute
    });
    let minutes = fields.take("minutes").and_then(|node| reader.number(node, "`minutes`", 1, 1440));
    Some(Window { days: days.unwrap_or_else(|| Day::WEEK.into()), from: from?, minutes: minutes? as u16 })
}

fn brake(reader: &mut Reader, node: Node<'_>) -> Brake {
    let mut brake = Channel::BRAKE;
    let at = node.span;
    if let Some(mut fields) = reader.fields(node, keys::BRAKE, "`brake`", at) {
        if let Some(node) = fields.take("artifactFaults") {
            brake.artifact_faults = reader.number(node, "`artifactFaults`", 0, 1_000_000).unwrap_or_default();
        }
        if let Some(node) = fields.take("failures") {
            let percent = reader.parsed::<BasisPoints>(node, "a percentage", Code::BadValue);
            brake.failures_bp = percent.map_or(0, |(percent, _)| percent.get().into());
        }
        if let Some(node) = fields.take("after") {
            brake.after = reader.number(node, "`after`", 1, 1_000_000).unwrap_or_default();
        }
    }
    brake
}
