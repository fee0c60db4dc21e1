//! Everything that one store keeps, copied into another one that keeps nothing yet, and compared.

use crate::record::{ChannelRecord, DeviceRecord, Event, ReleaseRecord, RolloutRecord, UnknownRecord};
use crate::records::Changes;
use crate::store::{Durability, Rate, Store, StoreError, Tx, UNKNOWN_LIMIT};
use otapress_core::digest::Sha256;

/// How many devices are read at a time.
const DEVICES: u32 = 500;

/// How many events are.
const EVENTS: u32 = 2_000;

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There are records where they should go.
    #[error("there are records in it already")]
    NotEmpty,
    /// What was read back is not what was written.
    #[error("{0} were copied, and differ")]
    Differs(&'static str),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many records of a kind there are, and a digest of all that is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// The kind, in the plural.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Of them all, in their order.
    pub digest: Sha256,
}

/// A record of any kind.
enum Entry<'a> {
    Device(&'a DeviceRecord),
    Rollout(&'a RolloutRecord),
    Release(&'a ReleaseRecord),
    Channel(&'a ChannelRecord),
    Rate(&'a Rate),
    Event(i64, &'a Event),
    Unknown(&'a UnknownRecord),
    Cursor(&'a str, i64),
}

/// The kinds, in the order in which they come.
const KINDS: [&str; 8] =
    ["devices", "rollouts", "releases", "channels", "rates", "events", "unknown devices", "cursors"];

impl Entry<'_> {
    /// Where its kind stands among [`KINDS`], and all that is in it.
    fn text(&self) -> (usize, String) {
        match self {
            Entry::Device(device) => (0, format!("{device:?}")),
            Entry::Rollout(rollout) => (1, format!("{rollout:?}")),
            Entry::Release(release) => (2, format!("{release:?}")),
            Entry::Channel(channel) => (3, format!("{channel:?}")),
            Entry::Rate(rate) => (4, format!("{rate:?}")),
            Entry::Event(seq, event) => (5, format!("{seq} {event:?}")),
            Entry::Unknown(unknown) => (6, format!("{unknown:?}")),
            Entry::Cursor(name, seq) => (7, format!("{name} {seq}")),
        }
    }

    /// Adds it to what is to be written; a cursor is written at once.
    fn add<'a>(&'a self, changes: &mut Changes<'a>, tx: &mut dyn Tx) -> Result<(), StoreError> {
        match *self {
            Entry::Device(device) => changes.device(device),
            Entry::Rollout(rollout) => changes.rollouts.push(rollout),
            Entry::Release(release) => changes.releases.push(release),
            Entry::Channel(channel) => changes.channels.push(channel),
            Entry::Rate(rate) => changes.rates.push((&rate.channel, rate.minute, rate.offers)),
            Entry::Event(seq, event) => changes.numbered.push((seq, event)),
            Entry::Unknown(unknown) => changes.unknown.push(unknown),
            Entry::Cursor(name, seq) => tx.put_cursor(name, seq)?,
        }
        Ok(())
    }
}

/// Copies everything from one store into an empty one, all of it or nothing, and reads it back. `progress` is
/// told how many records of a kind were copied so far.
///
/// # Errors
/// If the other one is not empty, or one of them fails.
pub fn copy(
    from: &mut dyn Store,
    to: &mut dyn Store,
    mut progress: impl FnMut(Sum),
) -> Result<Vec<Sum>, CopyError> {
    let (mut copied, mut is_empty) = (Vec::new(), true);
    let done = from.read(&mut |source| {
        to.write(Durability::Power, &mut |target| {
            is_empty = nothing_in(target)?;
            if !is_empty {
                return Err(StoreError::Abandoned);
            }
            copied = sums(source, &mut |page, sum| {
                let mut changes = Changes::default();
                page.iter().try_for_each(|entry| entry.add(&mut changes, target))?;
                target.put(&changes)?;
                progress(*sum);
                Ok(())
            })?;
            Ok(())
        })
    });
    if !is_empty {
        return Err(CopyError::NotEmpty);
    }
    done?;
    let kept = count(to)?;
    match copied.iter().zip(&kept).find(|(copied, kept)| copied != kept) {
        Some((differs, _)) => Err(CopyError::Differs(differs.kind)),
        None => Ok(copied),
    }
}

/// How many records of each kind a store keeps; reads every one of them.
///
/// # Errors
/// If one of them cannot be read.
pub fn count(store: &mut dyn Store) -> Result<Vec<Sum>, StoreError> {
    let mut found = Vec::new();
    store.read(&mut |tx| {
        found = sums(tx, &mut |_, _| Ok(()))?;
        Ok(())
    })?;
    Ok(found)
}

fn nothing_in(tx: &mut dyn Tx) -> Result<bool, StoreError> {
    Ok(tx.devices(None, 1)?.is_empty()
        && tx.rollouts()?.is_empty()
        && tx.rates()?.is_empty()
        && tx.events(0, 1)?.is_empty()
        && tx.unknowns(1)?.is_empty()
        && tx.cursors()?.is_empty())
}

/// What is done with a page of records of one kind, and the sum up to its end.
type Visit<'a> = dyn FnMut(&[Entry<'_>], &Sum) -> Result<(), StoreError> + 'a;

/// Hands every record to `visit`, a page at a time, with the sum up to it; returns the sums of all kinds.
fn sums(tx: &mut dyn Tx, visit: &mut Visit<'_>) -> Result<Vec<Sum>, StoreError> {
    let mut sums = KINDS.map(|kind| Sum { kind, count: 0, digest: Sha256::of(b"") });
    let mut each = |page: Vec<Entry<'_>>| {
        let Some(kind) = page.first().map(|entry| entry.text().0) else { return Ok(()) };
        let sum = &mut sums[kind];
        for entry in &page {
            sum.count += 1;
            sum.digest = Sha256::of_parts([sum.digest.as_bytes().as_slice(), entry.text().1.as_bytes()]);
        }
        visit(&page, sum)
    };
    let mut last = None;
    loop {
        let page = tx.devices_in_full(last, DEVICES)?;
        let Some(end) = page.last() else { break };
        last = Some(end.imei);
        each(page.iter().map(Entry::Device).collect())?;
    }
    each(tx.rollouts()?.iter().map(Entry::Rollout).collect())?;
    each(tx.releases()?.iter().map(Entry::Release).collect())?;
    each(tx.channels()?.iter().map(Entry::Channel).collect())?;
    each(tx.rates()?.iter().map(Entry::Rate).collect())?;
    let mut last = 0;
    loop {
        let page = tx.events(last, EVENTS)?;
        let Some(&(end, _)) = page.last() else { break };
        last = end;
        each(page.iter().map(|(seq, event)| Entry::Event(*seq, event)).collect())?;
    }
    each(tx.unknowns(UNKNOWN_LIMIT)?.iter().map(Entry::Unknown).collect())?;
    each(tx.cursors()?.iter().map(|(name, seq)| Entry::Cursor(name, *seq)).collect())?;
    Ok(sums.to_vec())
}
