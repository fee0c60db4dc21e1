//! The records in an SQLite database, `otapress.db` in the state directory.

use std::path::Path;
use std::time::Duration;

use super::{Durability, Store, StoreError, Work};

/// The database's name in the state directory.
pub const FILE: &str = "otapress.db";

/// An open database.
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens the database in `state`, makes the directory and the database if need be, and brings an
    /// older one up to date. Waits up to `patience` for locks, now and in every transaction.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(_state: &Path, _patience: Duration) -> Result<Self, StoreError> {
        todo!()
    }
}

impl Store for SqliteStore {
    fn read(&mut self, _work: &mut Work<'_>) -> Result<(), StoreError> {
        todo!()
    }

    fn write(&mut self, _durability: Durability, _work: &mut Work<'_>) -> Result<(), StoreError> {
        todo!()
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        todo!()
    }
}
