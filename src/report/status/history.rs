//! The number of devices on each version over time.
//!
//! Counted backwards from what the devices report now: every change of a version is undone in its turn, and a
//! device is gone before it was first heard of. So the last point of a curve always equals the summary.

use std::collections::{BTreeMap, HashMap};

use super::Status;
use super::records::Change;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;

/// The counts at some moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The moments, ascending and evenly spaced; the last one is now.
    pub times: Vec<i64>,
    /// The number of devices at each moment, for each version that any device ran.
    pub versions: BTreeMap<Version, Vec<u32>>,
}

/// When the first device of the fleet was heard of, or since when events are known.
pub fn beginning(status: &Status) -> Option<i64> {
    let records = status.devices.iter().filter_map(|device| device.record.as_ref());
    let first = records.map(|record| record.first_seen).min()?;
    Some(status.history_since.filter(|since| *since <= status.now).map_or(first, |since| since.max(first)))
}

/// Counts the devices at `steps` moments after `from`, and at `from` itself.
pub fn adoption(fleet: &Fleet, status: &Status, changes: &[Change], from: i64, steps: usize) -> Adoption {
    let span = (status.now - from).max(1);
    let steps = steps.max(1);
    let moment = |step: usize| from + (i128::from(span) * step as i128 / steps as i128) as i64;
    let times: Vec<i64> = (0..=steps).map(moment).collect();
    let mut undone = Undone::new(fleet, status);
    let mut events = events(status, changes, &undone, from);
    let mut versions: BTreeMap<Version, Vec<u32>> = BTreeMap::new();
    for (step, time) in times.iter().enumerate().rev() {
        while let Some(event) = events.pop_if(|event| event.at > *time) {
            undone.undo(&event);
        }
        for (version, count) in undone.counts.iter().filter(|(_, count)| **count > 0) {
            versions.entry(*version).or_insert_with(|| vec![0; times.len()])[step] = *count;
        }
    }
    Adoption { times, versions }
}

/// An event to undo: a change from a version, or, without one, a device's first contact.
struct Happened {
    at: i64,
    imei: Imei,
    change: Option<Version>,
}

/// The events after `from`, in ascending order.
fn events(status: &Status, changes: &[Change], undone: &Undone, from: i64) -> Vec<Happened> {
    let records = status.devices.iter().filter_map(|device| device.record.as_ref());
    let heard = records.filter(|record| record.first_seen > from).map(|record| Happened {
        at: record.first_seen,
        imei: record.imei,
        change: None,
    });
    let changed = changes
        .iter()
        .filter(|change| change.at > from && undone.runs.contains_key(&change.imei))
        .map(|change| Happened { at: change.at, imei: change.imei, change: Some(change.from) });
    let mut all: Vec<_> = heard.chain(changed).collect();
    // A device is heard of before it changes anything. Changes of one second stay in their order.
    all.sort_by_key(|event| (event.at, event.change.is_some()));
    all
}

/// The devices as they were.
struct Undone {
    runs: HashMap<Imei, Version>,
    counts: BTreeMap<Version, u32>,
}

impl Undone {
    fn new(fleet: &Fleet, status: &Status) -> Self {
        let reports = status.devices.iter().filter_map(|device| {
            let reported = device.record.as_ref()?.reported?;
            Some((fleet.devices()[device.index].imei, reported))
        });
        let mut undone = Undone { runs: reports.collect(), counts: BTreeMap::new() };
        for version in undone.runs.values() {
            *undone.counts.entry(*version).or_default() += 1;
        }
        undone
    }

    fn undo(&mut self, event: &Happened) {
        let Some(runs) = self.runs.get_mut(&event.imei) else { return };
        let now = *runs;
        if let Some(count) = self.counts.get_mut(&now) {
            *count = count.saturating_sub(1);
        }
        match event.change {
            Some(from) => {
                *runs = from;
                *self.counts.entry(from).or_default() += 1;
            }
            None => {
                self.runs.remove(&event.imei);
            }
        }
    }
}
