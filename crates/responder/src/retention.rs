//! What is forgotten in time: events, and devices that never were in the fleet.
//!
//! Nothing that decides: what is remembered of a device stays. An event goes by its own time, so that a clock
//! that was wrong for a while takes nothing along. The last event stays in any case: numbers go on from it,
//! also in a copy.

use super::departed;
use crate::store::{Durability, Store, StoreError, Tx};

/// For how many days events are kept by default.
pub const DAYS: u32 = 400;

/// How many events are looked at in one transaction, so that a device which asks meanwhile does not wait.
const PAGE: u32 = 500;

/// After how many seconds a reader that has not read is worth a word: a week.
const LATE: i64 = 7 * 86_400;

/// A reader of the events, as the relay: what it has not read is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The name of its cursor.
    pub name: String,
    /// The number of the last event that it has read.
    pub seq: i64,
    /// The time of the first one that it has not read.
    pub waits_since: Option<i64>,
}

impl Reader {
    /// Whether an event has waited for it for long: it may be gone for good.
    pub fn is_late(&self, now: i64) -> bool {
        self.waits_since.is_some_and(|since| now.saturating_sub(LATE) >= since)
    }
}

/// Every reader, by name.
///
/// # Errors
/// If the store fails.
pub fn readers(tx: &mut dyn Tx) -> Result<Vec<Reader>, StoreError> {
    let mut readers = Vec::new();
    for (name, seq) in cursors(tx)? {
        let waits_since = tx.events(seq, 1)?.first().map(|(_, event)| event.at);
        readers.push(Reader { name, seq, waits_since });
    }
    Ok(readers)
}

/// The cursors of readers.
fn cursors(tx: &mut dyn Tx) -> Result<Vec<(String, i64)>, StoreError> {
    let mut cursors = tx.cursors()?;
    cursors.retain(|(name, _)| name != departed::CURSOR);
    Ok(cursors)
}

/// A pass over the old events.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What happened before that is forgotten.
    before: i64,
    /// The number of the last event that was looked at.
    after: i64,
}

/// What a step of a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many events were forgotten.
    pub events: usize,
    /// How many unknown devices were.
    pub unknowns: u32,
    /// There are old events that a reader, as the relay, has not read yet.
    pub is_held_up: bool,
    /// Whether the pass has come to its end.
    pub is_done: bool,
}

impl Pass {
    /// Forgets what is older than that many days.
    pub fn new(days: u32, now: i64) -> Self {
        Pass { before: now - i64::from(days) * 86_400, after: 0 }
    }

    /// Looks at the next events, in two short transactions.
    ///
    /// # Errors
    /// If the store fails; nothing was forgotten then.
    pub fn step(&mut self, store: &mut dyn Store, now: i64) -> Result<Forgotten, StoreError> {
        let Pass { before, after } = *self;
        let (mut old, mut forgotten) = (Vec::new(), Forgotten::default());
        let mut end = after;
        store.read(&mut |tx| {
            let page = tx.events(after, PAGE)?;
            let last = tx.events_before(i64::MAX, 1)?.first().map_or(0, |(seq, _)| *seq);
            let sent = cursors(tx)?.iter().map(|(_, seq)| *seq).min().unwrap_or(i64::MAX);
            let is_old = |at: i64| at < before;
            let numbers = page.iter().filter(|(_, event)| is_old(event.at)).map(|(seq, _)| *seq);
            forgotten.is_held_up = numbers.clone().any(|seq| seq > sent);
            old = numbers.filter(|&seq| seq <= sent && seq < last).collect();
            end = page.last().map_or(after, |(seq, _)| *seq);
            // A page of a clock that was ahead is passed over.
            let is_recent = page.iter().any(|(_, event)| (before..=now).contains(&event.at));
            forgotten.is_done = page.len() < PAGE as usize || end > sent || old.is_empty() && is_recent;
            Ok(())
        })?;
        let is_first = after == 0;
        if !old.is_empty() || is_first {
            store.write(Durability::Process, &mut |tx| {
                tx.forget_events(&old)?;
                if is_first {
                    forgotten.unknowns = tx.forget_unknowns(before)?;
                }
                Ok(())
            })?;
        }
        forgotten.events = old.len();
        self.after = end;
        Ok(forgotten)
    }
}

/// Makes a whole pass.
///
/// # Errors
/// If the store fails; some may be forgotten then.
pub fn prune(store: &mut dyn Store, days: u32, now: i64) -> Result<Forgotten, StoreError> {
    let (mut pass, mut all) = (Pass::new(days, now), Forgotten::default());
    while !all.is_done {
        let step = pass.step(store, now)?;
        all = Forgotten {
            events: all.events + step.events,
            unknowns: all.unknowns + step.unknowns,
            is_held_up: all.is_held_up || step.is_held_up,
            is_done: step.is_done,
        };
    }
    Ok(all)
}
