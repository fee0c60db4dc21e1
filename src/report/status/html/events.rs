//! What happened on the way, as marks of the curves: waves that opened, halts, and when a release first ran.

use std::collections::BTreeMap;

use crate::report::status::Status;
use crate::report::status::records::Change;
use crate::report::status::summary::Summary;
use otapress_core::version::Version;

/// A mark, in seconds since 1970-01-01 UTC.
pub(super) struct Mark {
    pub(super) at: i64,
    pub(super) kind: &'static str,
    pub(super) title: String,
}

/// In chronological order.
pub(super) fn marks(status: &Status, summary: &Summary, changes: &[Change]) -> Vec<Mark> {
    let mut marks = Vec::new();
    for counts in &summary.rollouts {
        let record = &status.rollouts[counts.place].record;
        for (n, wave) in counts.waves.iter().enumerate() {
            let opened = wave.opened.or(wave.at).filter(|at| *at <= status.now);
            if let Some(at) = opened.filter(|_| wave.wait.is_none()) {
                let title = format!("wave {} of {}", n + 1, record.id);
                marks.push(Mark { at, kind: "wave", title });
            }
        }
        if let Some(halt) = &record.halted {
            marks.push(Mark { at: halt.at, kind: "halt", title: format!("{} halted", record.id) });
        }
    }
    let mut first: BTreeMap<Version, i64> = BTreeMap::new();
    for change in changes {
        first.entry(change.to).or_insert(change.at);
    }
    let released = first.into_iter();
    marks.extend(released.map(|(version, at)| Mark {
        at,
        kind: "release",
        title: format!("{version} runs for the first time"),
    }));
    marks.sort_by_key(|mark| mark.at);
    marks
}
