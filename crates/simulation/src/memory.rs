//! Records in memory: a [`Store`] for simulations, with the contract of those on a disk and none of their
//! costs.

mod shelf;
mod tables;
mod tx;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use otapress_core::id::Imei;
use otapress_responder::exchange::Exchanged;
use otapress_responder::question::Question;
use otapress_responder::record::{DeviceRecord, Event, OfferRecord, ReleaseRecord, RolloutRecord};
use otapress_responder::store::{Durability, Lease, Place, Store, StoreError, Work};
use tables::Tables;
use tx::Rows;

/// A handle on records in memory; its clones share them, as processes share a database.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    tables: Arc<Mutex<Tables>>,
    leases: Arc<Mutex<BTreeSet<String>>>,
}

/// Records as they were at a time.
#[derive(Clone, Debug)]
pub struct Backup(Tables);

impl Memory {
    /// Answers a question in one transaction, which does not fail.
    pub fn ask(&self, question: &Question, now: i64) -> Exchanged {
        self.tables().ask(question, now)
    }

    /// A device with all of its offers.
    pub fn device(&self, imei: Imei) -> Option<DeviceRecord> {
        self.tables().device(imei).cloned()
    }

    /// Every rollout, by id.
    pub fn rollouts(&self) -> Vec<RolloutRecord> {
        self.tables().rollouts().cloned().collect()
    }

    /// A rollout; a new one if it was never recorded.
    pub fn rollout(&self, id: &str) -> RolloutRecord {
        self.tables().rollout(id).cloned().unwrap_or_else(|| RolloutRecord::new(id))
    }

    /// The offers of a rollout, of all devices.
    pub fn offers_of(&self, rollout: &str) -> Vec<OfferRecord> {
        let tables = self.tables();
        let offers = tables.every_device().flat_map(|device| &device.offers);
        offers.filter(|offer| *offer.rollout == *rollout).cloned().collect()
    }

    /// The brakes that are pulled: ids of rollouts, and versions.
    pub fn halted(&self) -> BTreeSet<Arc<str>> {
        let tables = self.tables();
        let rollouts = tables.rollouts().filter(|rollout| rollout.halted.is_some());
        let releases = tables.releases().filter(|release| release.halted.is_some());
        let versions = releases.map(|release| release.version.clone());
        rollouts.map(|rollout| rollout.id.clone()).chain(versions).collect()
    }

    /// How many devices are counted among those with a fault of a release.
    pub fn devices_blamed(&self, release: &ReleaseRecord) -> usize {
        let is_blamed = |offer: &OfferRecord| {
            offer.blamed == Some(release.epoch) && offer.target.to_string() == *release.version
        };
        self.tables().every_device().filter(|device| device.offers.iter().any(is_blamed)).count()
    }

    /// Every release with faults, or that had some.
    pub fn releases(&self) -> Vec<ReleaseRecord> {
        self.tables().releases().cloned().collect()
    }

    /// The places that are taken, by rollout and IMEI.
    pub fn places(&self) -> Vec<Place> {
        self.tables().places()
    }

    /// Looks at the events with their numbers, after that number.
    pub fn events_after<T>(&self, seq: i64, look: impl FnOnce(&[(i64, Event)]) -> T) -> T {
        look(self.tables().events_after(seq))
    }

    /// Copies everything.
    pub fn backup(&self) -> Backup {
        Backup(self.tables().clone())
    }

    /// Puts a backup in place of everything, for all handles.
    pub fn restore(&self, backup: &Backup) {
        *self.tables() = backup.0.clone();
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A test that panicked has failed already.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let mut rows = Rows::new(&mut tables);
        let done = work(&mut rows);
        rows.undo();
        done
    }

    fn prefers_reading(&self) -> bool {
        false
    }

    fn write(&mut self, _: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let mut rows = Rows::new(&mut tables);
        let done = work(&mut rows);
        if done.is_err() {
            rows.undo();
        }
        done
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = leases.insert(name.to_owned());
        let lease =
            || Box::new(Held { name: name.to_owned(), leases: self.leases.clone() }) as Box<dyn Lease>;
        Ok(taken.then(lease))
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Held {
    name: String,
    leases: Arc<Mutex<BTreeSet<String>>>,
}

impl Lease for Held {
    fn holds(&mut self) -> bool {
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_responder::store::conformance::Subject;

    impl Subject for Memory {
        fn new() -> Self {
            Memory::default()
        }

        fn open(&self) -> Box<dyn Store> {
            Box::new(self.clone())
        }
    }

    otapress_responder::conformance!(Memory);
}
