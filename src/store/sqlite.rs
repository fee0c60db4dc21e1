//! The records in an SQLite database, `otapress.db` in the state directory.
//!
//! Write-ahead logging, so that readers and the one writer do not wait for each other. The log is copied
//! into the database ("checkpoint") by [`Store::maintain`] alone, after answers were sent: a CGI process
//! that did it on its way would make a device wait for two fsyncs, and one that did it at its exit would do
//! so at every request, being the last to leave each time. The log is kept short all the same: the first
//! process that comes reads it whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};

use super::rows::Rows;
use super::{Durability, Store, StoreError, Work, schema};

/// The database's name in the state directory.
pub const FILE: &str = "otapress.db";

/// From how many pages (4 KiB each) on the log is copied into the database.
const LOG_PAGES: i32 = 256;

/// An open database.
pub struct SqliteStore {
    db: Connection,
    path: PathBuf,
    patience: Duration,
    /// What the connection's `synchronous` is set to; it cannot be changed in a transaction.
    durability: Option<Durability>,
    /// The length of the log after the last commit.
    log_pages: Arc<AtomicI32>,
}

impl SqliteStore {
    /// Opens the database in `state`, makes the directory and the database if need be, and brings an
    /// older one up to date. Waits up to `patience` for locks, now and in every transaction.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(state: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = state.join(FILE);
        retrying(patience, || match Self::try_open(&path, patience) {
            Err(StoreError::Engine { .. }) if !state.exists() => {
                fs::create_dir_all(state)
                    .map_err(|error| StoreError::Engine { path: path.clone(), source: error.into() })?;
                Self::try_open(&path, patience)
            }
            other => other,
        })
    }

    fn try_open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let failed = |error| failure(path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(failed)?;
        db.busy_timeout(patience).map_err(failed)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        db.set_prepared_statement_cache_capacity(64);
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&log_pages);
        // The hook takes the place of the automatic checkpoint.
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, n| {
            pages.store(n, Ordering::Relaxed);
            Ok(())
        }))
        .map_err(failed)?;
        match schema::number(&db).map_err(failed)? {
            schema::CURRENT => {}
            found if found > schema::CURRENT => {
                return Err(StoreError::Schema { path: path.into(), found, known: schema::CURRENT });
            }
            _ => {
                db.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
                db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
                schema::migrate(&db).and_then(|()| db.execute_batch("COMMIT")).map_err(failed)?;
            }
        }
        Ok(SqliteStore { db, path: path.into(), patience, durability: None, log_pages })
    }

    fn transaction(&mut self, begin: &str, work: &mut Work<'_>) -> Result<(), StoreError> {
        retrying(self.patience, || {
            let failed = |error| failure(&self.path, error);
            self.db.execute_batch(begin).map_err(failed)?;
            let done = work(&mut Rows { db: &self.db, path: &self.path })
                .and_then(|()| self.db.execute_batch("COMMIT").map_err(failed));
            if done.is_err() && !self.db.is_autocommit() {
                self.db.execute_batch("ROLLBACK").map_err(failed)?;
            }
            done
        })
    }
}

impl Store for SqliteStore {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.transaction("BEGIN", work)
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        if self.durability != Some(durability) {
            // NORMAL writes to the log without fsync: safe from the end of a process, not of the machine.
            let synchronous = match durability {
                Durability::Process => "NORMAL",
                Durability::Power => "FULL",
            };
            let set = self.db.pragma_update(None, "synchronous", synchronous);
            set.map_err(|error| failure(&self.path, error))?;
            self.durability = Some(durability);
        }
        // The write lock comes first: a transaction that reads and then wants to write could only fail.
        self.transaction("BEGIN IMMEDIATE", work)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        if self.log_pages.load(Ordering::Relaxed) < LOG_PAGES {
            return Ok(());
        }
        // Passive: copies what it can without waiting for anybody, or nothing if another one does.
        let checkpoint = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        checkpoint.map_err(|error| failure(&self.path, error))?;
        self.log_pages.store(0, Ordering::Relaxed);
        Ok(())
    }
}

/// Tries again while somebody else has a lock for which the engine itself does not wait, as while a new
/// database is made.
fn retrying<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(StoreError::Busy { .. }) if start.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

/// What an error of the engine means.
pub(super) fn failure(path: &Path, error: Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        Error::SqliteFailure(code, _)
            if matches!(code.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
        {
            StoreError::Busy { path }
        }
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => {
            StoreError::Value { path, what: format!("a value that is none of ours: {error}") }
        }
        error => StoreError::Engine { path, source: error.into() },
    }
}
