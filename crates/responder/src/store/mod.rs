//! Where the responder keeps its records.
//!
//! One trait, [`Store`], over transactions; the rules are in [`crate`], an implementation only
//! keeps rows. Several processes, and with some engines several machines, share one store.

use std::path::PathBuf;
use std::time::Instant;

use crate::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, ReleaseRecord, RolloutRecord, UnknownRecord, Verdict,
};
use crate::records::{Changes, Keys, Records};
use otapress_core::id::Imei;

pub use crate::durability::Durability;

#[cfg(any(test, feature = "testing"))]
#[expect(missing_docs, reason = "each test says in its name what it holds")]
pub mod conformance;
pub mod copy;
mod failure;
mod rows;
mod schema;
pub mod sqlite;

/// How many unknown devices are remembered; the one not heard of for longest is forgotten first.
pub const UNKNOWN_LIMIT: u32 = 10_000;

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine or the file system said no.
    #[error("cannot use `{path}`: {source}")]
    Engine {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The place does not suit records, and only a person can mend it.
    #[error("cannot use `{path}`: {why}")]
    Unfit {
        /// The database.
        path: PathBuf,
        /// What is wrong with it, and what mends it.
        why: String,
    },
    /// The engine did not say whether the changes are kept.
    #[error("cannot tell whether `{path}` keeps the changes: {source}")]
    InDoubt {
        /// The database.
        path: PathBuf,
        /// What happened instead.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Somebody else kept it locked for too long.
    #[error("`{path}` is locked by another process")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// An older otapress wrote it, and it was only to be read.
    #[error(
        "`{path}` has the schema {found} of an older otapress, this one reads {known}: the responder brings \
         it up to \
         date (`otapress serve` when it starts, `otapress-cgi` at its next request)"
    )]
    Outdated {
        /// The database.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A newer otapress wrote it.
    #[error(
        "`{path}` has the schema {found}, this program knows {known}: a newer otapress wrote it, use that one"
    )]
    Schema {
        /// The database.
        path: PathBuf,
        /// Its number.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The work gave up of its own accord.
    #[error("the transaction was given up")]
    Abandoned,
    /// A value that this program never wrote.
    #[error("`{path}` holds {what}")]
    Value {
        /// The database.
        path: PathBuf,
        /// What and where.
        what: String,
    },
}

/// A place for records.
pub trait Store: Send {
    /// Runs `work` on one consistent state; what it puts is dropped, or fails. `work` may be run again from
    /// the start.
    ///
    /// # Errors
    /// What `work` returns, or what the engine says.
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError>;

    /// Whether work that may change nothing is better tried by [`Store::read`] first, because
    /// [`Store::write`] waits for others, or makes them wait.
    fn prefers_reading(&self) -> bool {
        true
    }

    /// Runs `work` so that nobody else changes what it has read before its changes are done; either all of
    /// them are, or none. `work` may be run again from the start.
    ///
    /// # Errors
    /// What `work` returns, or what the engine says; nothing was changed then, unless it is
    /// [`StoreError::InDoubt`].
    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError>;

    /// Sets a deadline for later transactions; a client is waiting. Returns whether the engine keeps it: one
    /// on the same machine has its own patience and does not.
    fn set_deadline(&mut self, until: Instant) -> bool {
        let _ = until;
        false
    }

    /// Whether this one made the records since it was asked last.
    fn take_new(&mut self) -> bool {
        false
    }

    /// Takes the lease of that name, which one process at a time has, among all that use these records;
    /// `None` while another one has it. It ends when it is dropped, and with the process, whatever ends that.
    ///
    /// # Errors
    /// What the engine says.
    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError>;

    /// Housekeeping that nobody waits for: to be called now and then after answers were sent.
    ///
    /// # Errors
    /// What the engine says; nothing is lost then.
    fn maintain(&mut self) -> Result<(), StoreError>;

    /// The part of [`Store::maintain`] that takes long and blocks no transaction: a busy server runs it on
    /// another thread first, and the rest is short. `None` if there is nothing of that kind to do.
    fn background_checkpoint(&mut self) -> Option<BackgroundCheckpoint> {
        None
    }

    /// Whether maintenance should not wait for its usual time.
    fn needs_maintenance(&self) -> bool {
        false
    }
}

/// Work on the same records that needs no [`Store`]; what it returns is as with [`Store::maintain`].
pub type BackgroundCheckpoint = Box<dyn FnOnce() -> Result<(), StoreError> + Send>;

/// The right to do what one process at a time may do.
pub trait Lease: Send {
    /// Whether it still is ours: an engine may have taken it away, as with its connection. To be asked again
    /// before each piece of that work.
    fn holds(&mut self) -> bool;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        (**self).read(work)
    }

    fn prefers_reading(&self) -> bool {
        (**self).prefers_reading()
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        (**self).write(durability, work)
    }

    fn set_deadline(&mut self, until: Instant) -> bool {
        (**self).set_deadline(until)
    }

    fn take_new(&mut self) -> bool {
        (**self).take_new()
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        (**self).lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        (**self).maintain()
    }

    fn background_checkpoint(&mut self) -> Option<BackgroundCheckpoint> {
        (**self).background_checkpoint()
    }

    fn needs_maintenance(&self) -> bool {
        (**self).needs_maintenance()
    }
}

/// What a transaction does.
pub type Work<'a> = dyn FnMut(&mut dyn Tx) -> Result<(), StoreError> + 'a;

/// The rows, inside a transaction.
pub trait Tx {
    /// Loads what a batch of questions needs, all of it at once.
    ///
    /// # Errors
    /// What the engine says, as for all of them.
    fn load(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError>;

    /// Makes the changes of this transaction at least as durable as that. Returns whether the engine still
    /// can: if not, the work has to be given up and begun anew.
    fn strengthen(&mut self, durability: Durability) -> bool {
        let _ = durability;
        false
    }

    /// Writes records, all of them at once.
    fn put(&mut self, changes: &Changes<'_>) -> Result<(), StoreError>;

    /// Writes what was changed of records that this transaction has loaded.
    fn save(&mut self, records: &Records) -> Result<(), StoreError> {
        self.put(&records.changes())
    }

    /// A device with all of its offers, the last one first; `None` if it was never recorded.
    fn device(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError>;

    /// A rollout; a new one if it was never recorded.
    fn rollout(&mut self, id: &str) -> Result<RolloutRecord, StoreError>;

    /// The offers counted for a channel in the hour before `now`: exactly them, or up to a minute's more.
    /// What is counted in the future, by a clock that was wrong, is left out.
    fn offers_in_hour(&mut self, channel: &str, now: i64) -> Result<u32, StoreError>;

    /// Up to `limit` devices in ascending order of IMEI, after `after`; with their latest offers.
    fn devices(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError>;

    /// The same with all of their offers, those of each device with the last one first.
    fn devices_in_full(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError>;

    /// The same with their latest offers, those of these rollouts, and those that take a place; those of each
    /// device with the last one first.
    fn devices_with_offers(
        &mut self,
        after: Option<Imei>,
        limit: u32,
        rollouts: &[&str],
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        let mut devices = self.devices_in_full(after, limit)?;
        for DeviceRecord { offers, latest, .. } in &mut devices {
            offers.retain(|offer| {
                offer.place || latest.as_ref() == Some(&offer.rollout) || rollouts.contains(&&*offer.rollout)
            });
        }
        Ok(devices)
    }

    /// Every rollout, by id.
    fn rollouts(&mut self) -> Result<Vec<RolloutRecord>, StoreError>;

    /// Every release with faults, or that had some, by version.
    fn releases(&mut self) -> Result<Vec<ReleaseRecord>, StoreError>;

    /// Every channel, by name.
    fn channels(&mut self) -> Result<Vec<ChannelRecord>, StoreError>;

    /// The places that rollouts count, by rollout and IMEI: up to `limit`, without the first `offset`.
    fn places(&mut self, offset: u32, limit: u32) -> Result<Vec<Place>, StoreError>;

    /// How many devices are counted in waves of a rollout.
    fn member_count(&mut self, rollout: &str) -> Result<u32, StoreError>;

    /// The devices that are counted in waves of a rollout, by IMEI: up to `limit`, without the first
    /// `offset`.
    fn members(&mut self, rollout: &str, offset: u32, limit: u32) -> Result<Vec<Member>, StoreError>;

    /// Up to `limit` unknown devices, the last heard of first.
    fn unknowns(&mut self, limit: u32) -> Result<Vec<UnknownRecord>, StoreError>;

    /// Up to `limit` events with their sequence numbers, in ascending order, after `after` (0: from the
    /// first). Numbers ascend and are never used twice; an event is never seen before one with a lower
    /// number.
    fn events(&mut self, after: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError>;

    /// Up to `limit` events before `before` (`i64::MAX`: from the last), the latest first.
    fn events_before(&mut self, before: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError>;

    /// Up to `limit` events of some kinds, in ascending order, after `after`.
    fn events_of_kinds(
        &mut self,
        kinds: &[EventKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Event)>, StoreError>;

    /// The last `limit` events of a device, the latest first.
    fn events_of(&mut self, imei: Imei, limit: u32) -> Result<Vec<(i64, Event)>, StoreError>;

    /// How far a reader of the events has come: the number that [`Tx::put_cursor`] kept under that name; 0 if
    /// there was none.
    fn cursor(&mut self, name: &str) -> Result<i64, StoreError>;

    /// Keeps how far a reader of the events has come. A cursor never goes back: a lower number changes
    /// nothing.
    fn put_cursor(&mut self, name: &str, seq: i64) -> Result<(), StoreError>;

    /// Forgets a reader of the events: what it has not read is kept for it no longer.
    fn forget_cursor(&mut self, name: &str) -> Result<(), StoreError>;

    /// Forgets the events with these numbers.
    fn forget_events(&mut self, numbers: &[i64]) -> Result<(), StoreError>;

    /// Forgets the unknown devices that were not heard of since. Returns how many.
    fn forget_unknowns(&mut self, before: i64) -> Result<u32, StoreError>;

    /// How the devices of each rollout stand, by id.
    fn standings(&mut self) -> Result<Vec<(String, Standing)>, StoreError>;

    /// Every count of offers, by channel and minute.
    fn rates(&mut self) -> Result<Vec<Rate>, StoreError>;

    /// Every cursor, by name.
    fn cursors(&mut self) -> Result<Vec<(String, i64)>, StoreError>;
}

/// How far clocks of hosts may differ, in minutes: what one counts ahead of another by no more is counted.
const SKEW_MINUTES: i64 = 5;

/// The first and the last minute, counted from 1970-01-01 UTC, whose offers belong to the hour before `now`.
pub fn minutes_of_hour(now: i64) -> (i64, i64) {
    ((now - 3600).div_euclid(60), now.div_euclid(60) + SKEW_MINUTES)
}

/// A place that a device takes in a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The rollout.
    pub rollout: String,
    /// The device.
    pub imei: Imei,
    /// When its answer file was first missed, in the rollout's time.
    pub missing: Option<i64>,
}

/// A device that is counted in a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The device.
    pub imei: Imei,
    /// The wave.
    pub wave: u16,
    /// When its answer was first seen to name none, in the rollout's time.
    pub outside: Option<i64>,
}

/// How many offers a channel made in a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The channel.
    pub channel: String,
    /// The minute, counted from 1970-01-01 UTC.
    pub minute: i64,
    /// The offers.
    pub offers: u32,
}

/// How many devices of a rollout stand how, whatever was resumed in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Made an offer, no verdict yet.
    pub open: u32,
    /// Of these: a result says that it is installed.
    pub installed: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Failed.
    pub failed: u32,
}

impl Standing {
    /// Counts a device that was made an offer.
    pub fn add(&mut self, verdict: Option<Verdict>) {
        self.open += u32::from(matches!(verdict, None | Some(Verdict::Installed)));
        match verdict {
            None => {}
            Some(Verdict::Installed) => self.installed += 1,
            Some(Verdict::Succeeded) => self.succeeded += 1,
            Some(Verdict::Failed) => self.failed += 1,
        }
    }
}
