//! `rollout` of a channel: its waves.

use super::raw::{Node, Value};
use super::reader::Reader;
use super::scalars::{BasisPoints, duration};
use super::{Wave, keys};
use crate::diag::{Code, Diagnostic, Span};
use otapress_core::wire::After;

/// The longest that a wave may have to stay good: a year.
const MAX_SOAK: u32 = 365 * 86_400;

/// A rollout that reaches everyone at once.
pub(super) fn everyone(span: Span) -> Vec<Wave> {
    vec![Wave { at: None, after: None, percent: BasisPoints::ALL, span }]
}

/// A percentage that holds now, or waves that ascend strictly in percent, and in time where they have one.
pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Option<Vec<Wave>> {
    let at = node.span;
    let Value::Seq(items) = node.value else {
        let (percent, span) = reader.parsed(node, "a percentage", Code::BadValue)?;
        return Some(vec![Wave { at: None, after: None, percent, span }]);
    };
    if items.is_empty() {
        reader.report(
            Diagnostic::new(Code::BadWaves, at, "the rollout has no wave")
                .hint("leave `rollout` out to reach everyone at once"),
        );
        return None;
    }
    let count = items.len();
    let waves: Vec<Wave> = items.into_iter().filter_map(|item| wave(reader, item)).collect();
    check_order(reader, &waves);
    (waves.len() == count).then_some(waves)
}

fn check_order(reader: &mut Reader, waves: &[Wave]) {
    let mut wrong = |wave: &Wave, message: &str, hint: &str| {
        reader.report(Diagnostic::new(Code::BadWaves, wave.span, message).hint(hint));
    };
    let mut latest = waves.first().and_then(|wave| wave.at);
    for pair in waves.windows(2) {
        let [one, next] = pair else { continue };
        if next.percent <= one.percent || next.at.is_some_and(|at| Some(at) <= latest) {
            wrong(
                next,
                "the waves do not ascend in time and percent",
                "each wave opens later than the one before it and takes more devices in",
            );
        } else if next.at.is_none() && next.after.is_none() {
            wrong(
                next,
                "nothing keeps this wave back",
                "give it `at: 2026-12-01T08:00:00Z`, `after: { success: 95% }` or both",
            );
        }
        latest = next.at.or(latest);
    }
}

fn wave(reader: &mut Reader, node: Node<'_>) -> Option<Wave> {
    let span = node.span;
    let mut fields = reader.fields(node, keys::WAVE, "a wave", span)?;
    let at = fields.take("at").map(|node| {
        let text = reader.text(node, "`at`")?;
        let at = text.text.parse::<jiff::Timestamp>();
        if at.is_err() {
            reader.bad_value(&text, "`at`", "a moment with its time zone, such as `2026-12-01T08:00:00Z`");
        }
        at.ok().map(jiff::Timestamp::as_second)
    });
    let after = fields.take("after").map(|node| after(reader, node));
    let percent = fields.take("percent").and_then(|node| reader.parsed(node, "a percentage", Code::BadValue));
    // What was given and is wrong makes no wave that opens sooner.
    Some(Wave { at: all_or_none(at)?, after: all_or_none(after)?, percent: percent?.0, span })
}

/// `None` if there is a value and it is wrong.
fn all_or_none<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn after(reader: &mut Reader, node: Node<'_>) -> Option<After> {
    let at = node.span;
    let mut fields = reader.fields(node, keys::AFTER, "`after`", at)?;
    let mut percent = |reader: &mut Reader, name: &str| {
        let node = fields.take(name)?;
        Some(
            reader
                .parsed::<BasisPoints>(node, "a percentage", Code::BadValue)
                .map(|(points, _)| points.get()),
        )
    };
    let success = percent(reader, "success");
    let reached = percent(reader, "reached").unwrap_or(Some(After::REACHED_BP));
    let soak = fields.take("soak").map_or(Some(0), |node| {
        let text = reader.text(node, "`soak`")?;
        let soak = duration(&text.text).filter(|soak| *soak <= MAX_SOAK);
        if soak.is_none() {
            reader.bad_value(&text, "`soak`", "minutes, hours or days up to a year, such as `24h`");
        }
        soak
    });
    Some(After { success_bp: success??, reached_bp: reached?, soak: soak? })
}
