//! `rollout` of a channel.

use super::raw::{Node, Value};
use super::reader::Reader;
use super::scalars::BasisPoints;
use super::{Wave, keys};
use crate::diag::{Code, Diagnostic, Span};

/// A rollout that reaches everyone at once.
pub(super) fn everyone() -> Vec<Wave> {
    vec![Wave { at: None, percent: BasisPoints::ALL }]
}

/// A percentage that holds now, or waves that ascend strictly in time and percent.
pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> Option<Vec<Wave>> {
    let at = node.span;
    let Value::Seq(items) = node.value else {
        let (percent, _) = reader.parsed(node, "a percentage", Code::BadValue)?;
        return Some(vec![Wave { at: None, percent }]);
    };
    let count = items.len();
    let mut waves: Vec<(Wave, Span)> = Vec::with_capacity(count);
    for item in items {
        let span = item.span;
        waves.extend(wave(reader, item).map(|wave| (wave, span)));
    }
    for pair in waves.windows(2) {
        let ((one, _), (next, span)) = (pair[0], pair[1]);
        if next.at <= one.at || next.percent <= one.percent {
            reader.report(
                Diagnostic::new(Code::BadWaves, span, "the waves do not ascend in time and percent")
                    .hint("each wave opens later than the one before it and takes more devices in"),
            );
        }
    }
    if count == 0 {
        reader.report(
            Diagnostic::new(Code::BadWaves, at, "the rollout has no wave")
                .hint("leave `rollout` out to reach everyone at once"),
        );
    }
    (count > 0 && waves.len() == count).then(|| waves.into_iter().map(|(wave, _)| wave).collect())
}

fn wave(reader: &mut Reader, node: Node<'_>) -> Option<Wave> {
    let span = node.span;
    let mut fields = reader.fields(node, keys::WAVE, "a wave", span)?;
    let at = fields.take("at").and_then(|node| {
        let text = reader.text(node, "`at`")?;
        let at = text.text.parse::<jiff::Timestamp>();
        if at.is_err() {
            reader.bad_value(&text, "`at`", "a moment with its time zone, such as `2026-12-01T08:00:00Z`");
        }
        at.ok()
    });
    let percent = fields.take("percent").and_then(|node| reader.parsed(node, "a percentage", Code::BadValue));
    Some(Wave { at: Some(at?.as_second()), percent: percent?.0 })
}
