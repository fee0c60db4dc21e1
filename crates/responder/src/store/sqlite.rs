//! The records in an SQLite database, `otapress.db` in the state directory.
//!
//! Write-ahead logging, so that readers and the one writer do not wait for each other. The log is copied
//! into the database ("checkpoint") by [`Store::maintain`] and its [`Store::background_checkpoint`] alone,
//! after answers were sent: a CGI process that did it on its way would make a device wait for two fsyncs, and
//! one that did it at its exit would do so at every request, being the last to leave each time. The log is
//! kept short all the same: the first process that comes reads it whole.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicI32};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, ErrorCode, MAIN_DB, OpenFlags};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::failure::failure;
use super::rows::Rows;
use super::{BackgroundCheckpoint, Durability, Lease, Store, StoreError, Work, schema};

pub mod backup;
mod ownership;

/// The database's name in the state directory.
pub const FILE: &str = "otapress.db";

/// From how many pages (4 KiB each) on the log is copied into the database.
const LOG_PAGES: i32 = 256;

/// From how many pages on that should not wait: a flood of requests would fill the disk.
const LONG_LOG_PAGES: i32 = 4096;

/// An open database.
pub struct SqliteStore {
    db: Connection,
    path: PathBuf,
    patience: Duration,
    /// Which file is open; absent if it does not matter that its name may go to another one.
    file: Option<FileId>,
    /// What the connection's `synchronous` is set to; it cannot be changed in a transaction.
    durability: Option<Durability>,
    /// The length of the log after the last commit.
    log_pages: Arc<AtomicI32>,
    /// Whether background checkpoints are in use: the connection then stays open and remembers what was
    /// copied.
    long_lived: bool,
    /// Whether the log was copied and its file kept its length.
    is_log_stale: bool,
    /// Whether the file was made by this one.
    is_new: bool,
}

/// What tells a file from another one that takes its name later: device and inode.
type FileId = (u64, u64);

impl SqliteStore {
    /// Opens the database in `state`, makes the directory and the database if need be, and brings an
    /// older one up to date. Waits up to `patience` for locks, now and in every transaction.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(state: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = state.join(FILE);
        let mut is_new = false;
        let opened = retrying(patience, || match Self::try_open(&path, patience) {
            // It is not there, or it was not: somebody else may make it at this moment.
            Err(StoreError::Engine { source, .. }) if is_missing(&*source) => {
                if !path.exists() {
                    is_new = create(&path)?;
                }
                Self::try_open(&path, patience)
            }
            other => other,
        })?;
        Ok(SqliteStore { is_new, ..opened })
    }

    /// Opens the database in `state` read-only; leaves the directory as it is.
    ///
    /// # Errors
    /// If it is not there, or cannot be read, or is older than this program: read-only access never migrates.
    pub fn open_read_only(state: &Path, patience: Duration) -> Result<Self, StoreError> {
        let path = state.join(FILE);
        let failed = |error| failure(&path, error);
        ownership::refuse_link(&path)?;
        retrying(patience, || {
            // Who has the database open has a log. Without one, the engine is told that nothing will change:
            // it would make a log and its index else.
            let log = if beside(&path, "-wal").exists() { "" } else { "&immutable=1" };
            let uri = format!("{}?mode=ro{log}", uri(&path));
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            let db =
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
            configure(&db).map_err(failed)?;
            let (found, known) = (schema::number(&db).map_err(failed)?, schema::CURRENT);
            match found.cmp(&known) {
                Ordering::Less => return Err(StoreError::Outdated { path: path.clone(), found, known }),
                Ordering::Equal => {}
                Ordering::Greater => return Err(StoreError::Schema { path: path.clone(), found, known }),
            }
            let log_pages = Arc::default();
            Ok(SqliteStore {
                db,
                path: path.clone(),
                patience,
                file: None,
                durability: None,
                log_pages,
                long_lived: false,
                is_log_stale: false,
                is_new: false,
            })
        })
    }

    fn try_open(path: &Path, patience: Duration) -> Result<Self, StoreError> {
        let failed = |error| failure(path, error);
        ownership::check(path)?;
        backup::take_foreign_log_away(path)?;
        // Asked before it is opened: if it is replaced in between, that shows at the first transaction.
        let file = Some(file_id(path).unwrap_or_default());
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(path, flags).map_err(failed)?;
        // SQLite opens what it may only read without a word, and begins every transaction on it.
        if db.is_readonly(MAIN_DB).map_err(failed)? {
            let why = "this user may read it and not write it: `ls -l` shows who may".into();
            return Err(StoreError::Unfit { path: path.into(), why });
        }
        configure(&db).map_err(failed)?;
        let log_pages = Arc::new(AtomicI32::new(0));
        let pages = Arc::clone(&log_pages);
        // The hook takes the place of the automatic checkpoint.
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, n| {
            pages.store(n, atomic::Ordering::Relaxed);
            Ok(())
        }))
        .map_err(failed)?;
        match schema::number(&db).map_err(failed)? {
            schema::CURRENT => {}
            found if found > schema::CURRENT => {
                return Err(StoreError::Schema { path: path.into(), found, known: schema::CURRENT });
            }
            _ => {
                db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
                schema::migrate(&db).and_then(|()| db.execute_batch("COMMIT")).map_err(failed)?;
            }
        }
        Ok(SqliteStore {
            db,
            path: path.into(),
            patience,
            file,
            durability: None,
            log_pages,
            long_lived: false,
            is_log_stale: false,
            is_new: false,
        })
    }

    /// Opens the database anew if its name has gone to another file, or to none: the engine would go on
    /// with the removed one, and all that is written there is lost.
    fn reopen_if_replaced(&mut self) -> Result<(), StoreError> {
        if self.is_gone() {
            let state = self.path.parent().unwrap_or(Path::new("."));
            *self = SqliteStore::open(state, self.patience)?;
        }
        Ok(())
    }

    fn is_gone(&self) -> bool {
        self.file.is_some() && file_id(&self.path) != self.file
    }

    fn transaction(&mut self, begin: &str, end: &str, work: &mut Work<'_>) -> Result<(), StoreError> {
        retrying(self.patience, || {
            let failed = |error| failure(&self.path, error);
            self.db.execute_batch(begin).map_err(failed)?;
            let done = work(&mut Rows { db: &self.db, path: &self.path })
                .and_then(|()| self.db.execute_batch(end).map_err(failed));
            if done.is_err() && !self.db.is_autocommit() {
                self.db.execute_batch("ROLLBACK").map_err(failed)?;
            }
            done
        })
    }
}

impl Store for SqliteStore {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.reopen_if_replaced()?;
        self.transaction("BEGIN", "ROLLBACK", work)
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.reopen_if_replaced()?;
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
        self.transaction("BEGIN IMMEDIATE", "COMMIT", work)?;
        if !self.is_gone() {
            return Ok(());
        }
        let gone = io::Error::other("it was removed while it was written");
        Err(StoreError::Engine { path: self.path.clone(), source: gone.into() })
    }

    fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    #[expect(clippy::disallowed_methods, reason = "the lock beside the database")]
    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let path = self.path.with_file_name(format!("{name}.lock"));
        let failed = |error: io::Error| StoreError::Engine { path: path.clone(), source: error.into() };
        // The file stays: to remove it would give the lease to two, one of them with the removed file.
        let file = fs::File::options().create(true).append(true).open(&path).map_err(failed)?;
        ownership::adopt(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Box::new(LockFile { file, path }))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        if self.log_pages.load(atomic::Ordering::Relaxed) < LOG_PAGES && !self.is_log_stale {
            return Ok(());
        }
        // Truncates, because only an empty file tells the next process that all of it was copied: what a
        // checkpoint achieved is otherwise remembered by those who have the database open, and under CGI
        // that is often nobody. Who stays may leave that for a quieter time: to write over a file is less
        // work than to let it grow again. Either copies what it can without waiting for anybody.
        let keep = self.long_lived && self.needs_maintenance();
        let checkpoint =
            if keep { "PRAGMA wal_checkpoint(RESTART)" } else { "PRAGMA wal_checkpoint(TRUNCATE)" };
        let is_hindered = self.db.query_row(checkpoint, [], |row| row.get::<_, bool>(0));
        if !is_hindered.map_err(|error| failure(&self.path, error))? {
            self.log_pages.store(0, atomic::Ordering::Relaxed);
            self.is_log_stale = keep;
        }
        Ok(())
    }

    fn background_checkpoint(&mut self) -> Option<BackgroundCheckpoint> {
        self.long_lived = true;
        if self.log_pages.load(atomic::Ordering::Relaxed) < LOG_PAGES {
            return None;
        }
        let path = self.path.clone();
        Some(Box::new(move || copy_log(&path).map_err(|error| failure(&path, error))))
    }

    fn needs_maintenance(&self) -> bool {
        self.log_pages.load(atomic::Ordering::Relaxed) >= LONG_LOG_PAGES
    }
}

/// Copies what is in the log into the database. Who writes meanwhile is not held up, so the log is as long as
/// before.
fn copy_log(path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    configure(&db)?;
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// A lease: a locked file beside the database. The kernel unlocks it when it is closed.
struct LockFile {
    file: fs::File,
    path: PathBuf,
}

impl Lease for LockFile {
    fn holds(&mut self) -> bool {
        // If the state directory was replaced, the next one locks another file.
        let ours = self.file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
        ours.is_some() && ours == file_id(&self.path)
    }
}

fn configure(db: &Connection) -> rusqlite::Result<()> {
    // [`retrying`] waits instead.
    db.busy_timeout(Duration::ZERO)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A plan does not depend on the values that are bound: the engine would make some plans anew at each use
    // otherwise, to see whether a partial index fits.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// A file that the engine keeps beside the database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path as a URI, the way the engine reads it.
fn uri(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

fn file_id(path: &Path) -> Option<FileId> {
    fs::symlink_metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn is_missing(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<Error>().and_then(Error::sqlite_error_code) == Some(ErrorCode::CannotOpen)
}

/// Makes the database, complete or not at all: it is built under another name and linked to its own. Of
/// those who do so at the same time one succeeds, and nobody ever opens a database that is half made. Returns
/// whether it was this one.
#[expect(clippy::disallowed_methods, reason = "the database in state/")]
fn create(path: &Path) -> Result<bool, StoreError> {
    let io = |error: io::Error| StoreError::Engine { path: path.into(), source: error.into() };
    let state = path.parent().unwrap_or(Path::new("."));
    // IMEIs are all that a version check names itself by: others have no business with them.
    DirBuilder::new().recursive(true).mode(0o750).create(state).map_err(io)?;
    let unique = RandomState::new().hash_one(std::process::id());
    let draft = state.join(format!(".{FILE}.{unique:016x}"));
    let drafted = draft_at(&draft).map_err(|error| failure(path, error));
    let linked = drafted
        .and_then(|()| ownership::adopt(&draft).map_err(io))
        .and_then(|()| publish(&draft, path, state).map_err(|error| unlinked(path, error)));
    // A draft that is left behind is in nobody's way.
    let _ = backup::remove_all(&draft);
    let is_linked = linked?;
    // The name must survive a loss of power as what is recorded under it does.
    fs::File::open(state).and_then(|state| state.sync_all()).map_err(io)?;
    Ok(is_linked)
}

/// Links the draft to its name, unless another one has it. A log without its database, as the removal of
/// the database alone leaves behind, would be taken for the log of the new one: it goes first. Returns
/// whether it was linked.
#[expect(clippy::disallowed_methods, reason = "the database in state/")]
fn publish(draft: &Path, path: &Path, state: &Path) -> io::Result<bool> {
    // Nobody may take away the log of one who has just made the database. The lock ends with the file.
    let state = fs::File::open(state)?;
    let locked = flock(&state, FlockOperation::LockExclusive).is_ok();
    if path.exists() {
        return Ok(false);
    }
    for suffix in if locked { &["-wal", "-shm"][..] } else { &[] } {
        let log = beside(path, suffix);
        match fs::symlink_metadata(&log) {
            Ok(metadata) if metadata.is_file() => fs::remove_file(&log)?,
            _ => {}
        }
    }
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        linked => Ok(linked.is_ok()),
    }
}

/// What it means that the draft cannot be linked to its name.
fn unlinked(path: &Path, error: io::Error) -> StoreError {
    match Errno::from_io_error(&error) {
        // What Linux says of FAT, of SMB and of FUSE.
        Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS) => StoreError::Unfit {
            path: path.into(),
            why: "its file system has no hard links, as FAT, exFAT and shared folders have none: keep the \
                records on a \
                  local file system like ext4, XFS or Btrfs"
                .into(),
        },
        _ => StoreError::Engine { path: path.into(), source: error.into() },
    }
}

fn draft_at(draft: &Path) -> rusqlite::Result<()> {
    let db = Connection::open(draft)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.execute_batch("BEGIN IMMEDIATE")?;
    schema::migrate(&db)?;
    db.execute_batch("COMMIT")?;
    backup::close_in_one_file(db)
}

/// Tries again while somebody else has a lock.
///
/// The engine's own waiting goes up to a tenth of a second between two tries, which is so seldom that one
/// of many never meets an open door; trying without a pause would take the time from the one who works.
fn retrying<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let start = Instant::now();
    loop {
        match (attempt(), start.elapsed()) {
            (Err(StoreError::Busy { .. }), waited) if waited < patience => {
                let nap = (waited / 4).clamp(Duration::from_millis(1), Duration::from_millis(10));
                std::thread::sleep(nap);
            }
            (other, _) => return other,
        }
    }
}

#[cfg(test)]
mod tests;
