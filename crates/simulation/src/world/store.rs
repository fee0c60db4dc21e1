//! Records whose transactions fail.

use std::sync::{Arc, Mutex, PoisonError};

use super::faults::{Fault, Weather};
use crate::Prng;
use crate::memory::Memory;
use otapress_responder::store::{Durability, Lease, Store, StoreError, Work};

/// The chance of all handles of a history.
pub(super) type Dice = Arc<Mutex<Prng>>;

/// One responder's handle on the records.
#[derive(Clone, Debug)]
pub(super) struct FaultyStore {
    pub memory: Memory,
    pub weather: Weather,
    pub dice: Dice,
    /// As those on a disk do.
    pub prefers_reading: bool,
    /// How often a transaction failed.
    pub failures: u64,
}

impl FaultyStore {
    fn happens(&self, fault: Fault, per_mille: u64) -> bool {
        let draw = || self.dice.lock().unwrap_or_else(PoisonError::into_inner).below(1000);
        self.weather.has(fault) && draw() < per_mille
    }

    fn busy(&mut self) -> StoreError {
        self.failures += 1;
        StoreError::Busy { path: "memory".into() }
    }
}

impl Store for FaultyStore {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        if self.happens(Fault::StoreBefore, 10) {
            return Err(self.busy());
        }
        self.memory.read(work)
    }

    fn prefers_reading(&self) -> bool {
        self.prefers_reading
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        if self.happens(Fault::StoreBefore, 20) {
            return Err(self.busy());
        }
        if self.happens(Fault::StoreDuring, 20) {
            let undone = self.memory.write(durability, &mut |tx| {
                work(tx)?;
                Err(StoreError::Abandoned)
            });
            return match undone {
                Err(StoreError::Abandoned) | Ok(()) => Err(self.busy()),
                Err(error) => Err(error),
            };
        }
        self.memory.write(durability, work)?;
        if self.happens(Fault::StoreAfter, 20) {
            self.failures += 1;
            let source = "the connection broke".into();
            return Err(StoreError::InDoubt { path: "memory".into(), source });
        }
        Ok(())
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.memory.lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.memory.maintain()
    }
}
