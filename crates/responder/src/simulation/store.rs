//! A store whose transactions fail by chance, and whose process may end between two of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, Lease, Store, StoreError, Work};

/// A small generator (xorshift64*), so that a seed is the same everywhere.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// An SQLite database as one process has it.
pub(crate) struct FaultyStore {
    inner: SqliteStore,
    state: PathBuf,
    chance: Chance,
    /// How many of a hundred transactions fail.
    fails: u64,
    /// After how many of a hundred the process starts anew.
    restarts: u64,
}

fn open(state: &Path) -> SqliteStore {
    SqliteStore::open(state, Duration::from_secs(10)).unwrap()
}

impl FaultyStore {
    pub(crate) fn open(state: &Path, chance: Chance, (fails, restarts): (u64, u64)) -> Self {
        FaultyStore { inner: open(state), state: state.into(), chance, fails, restarts }
    }

    fn busy(&self) -> StoreError {
        StoreError::Busy { path: self.state.clone() }
    }
}

impl Store for FaultyStore {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        if self.chance.happens(self.fails / 4) {
            return Err(self.busy());
        }
        self.inner.read(work)
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        if self.chance.happens(self.restarts) {
            self.inner = open(&self.state);
        }
        if !self.chance.happens(self.fails) {
            return self.inner.write(durability, work);
        }
        match self.chance.below(3) {
            // Before anything was done.
            0 => Err(self.busy()),
            // While it commits: all of it is taken back.
            1 => {
                let undone = self.inner.write(durability, &mut |tx| {
                    work(tx)?;
                    Err(StoreError::Abandoned)
                });
                Err(undone
                    .err()
                    .filter(|error| !matches!(error, StoreError::Abandoned))
                    .unwrap_or(self.busy()))
            }
            // After it: the changes are kept, and nobody is told.
            _ => {
                self.inner.write(durability, work)?;
                let source = "the connection broke".into();
                Err(StoreError::InDoubt { path: self.state.clone(), source })
            }
        }
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.inner.lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.inner.maintain()
    }
}
