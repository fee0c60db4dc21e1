//! All records in one file, the way back, and a log that belongs to another database.
//!
//! A database and its log are two files. Whoever copies an older database over it leaves the log, and the
//! engine would apply it: a mixture of both, mostly malformed. So a copy is made by reading all records, and
//! put back with the log taken away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{FlockOperation, flock};

use super::{FILE, SqliteStore, beside, configure, draft_at, ownership, uri};
use crate::store::copy::{CopyError, Sum, copy};
use crate::store::failure::failure;
use crate::store::{Store, StoreError, schema};

/// Writes everything that a store keeps into one file, which replaces one of that name when it is complete.
///
/// # Errors
/// If the store cannot be read, or the file not be written.
#[expect(clippy::disallowed_methods, reason = "the backup that was asked for")]
pub fn backup(from: &mut dyn Store, file: &Path, progress: impl FnMut(Sum)) -> Result<Vec<Sum>, CopyError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!(".{name}.otapress-new"));
    let io_failed = |error| engine(file, error);
    remove_all(&draft).map_err(io_failed)?;
    let copied = (|| {
        // For its owner alone, as the records are.
        let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
        new.map_err(io_failed)?;
        draft_at(&draft).map_err(|error| failure(file, error))?;
        let db = Connection::open(&draft).map_err(|error| failure(file, error))?;
        configure(&db).map_err(|error| failure(file, error))?;
        let mut store = SqliteStore::around(db, &draft, Duration::ZERO);
        let copied = copy(from, &mut store, progress)?;
        single_file(&store.db).map_err(|error| failure(file, error))?;
        store.db.close().map_err(|(_, error)| failure(file, error))?;
        File::open(&draft).and_then(|draft| draft.sync_all()).map_err(io_failed)?;
        fs::rename(&draft, file).map_err(io_failed)?;
        sync_directory(file).map_err(io_failed)?;
        Ok(copied)
    })();
    if copied.is_err() {
        let _ = remove_all(&draft);
    }
    copied
}

/// Puts a backup in the place of the records in `state`; what was there is renamed, log and all, and its new
/// name returned.
///
/// # Errors
/// If the backup is damaged, or somebody uses the records; nothing has changed then.
#[expect(clippy::disallowed_methods, reason = "the database in state/")]
pub fn restore(file: &Path, state: &Path) -> Result<Option<PathBuf>, StoreError> {
    let path = state.join(FILE);
    let draft = state.join(format!(".{FILE}.restored"));
    let io_failed = |error| engine(&path, error);
    remove_all(&draft).map_err(io_failed)?;
    let restored = (|| {
        let faults = faults_of(file)?;
        if let Some(fault) = faults.first() {
            return Err(unfit(file, format!("the backup is damaged: {fault}")));
        }
        fs::copy(file, &draft).map_err(io_failed)?;
        let db = Connection::open(&draft).map_err(|error| failure(file, error))?;
        bring_up_to_date(&db, file)?;
        close_in_one_file(db).map_err(|error| failure(file, error))?;
        ownership::adopt(&draft).map_err(io_failed)?;
        File::open(&draft).and_then(|draft| draft.sync_all()).map_err(io_failed)?;
        let kept = retire(&path)?;
        fs::rename(&draft, &path).map_err(io_failed)?;
        sync_directory(&path).map_err(io_failed)?;
        Ok(kept)
    })();
    if restored.is_err() {
        let _ = remove_all(&draft);
    }
    restored
}

/// Everything that the engine finds wrong with a database file.
///
/// # Errors
/// If it cannot be looked at.
pub fn faults_of(path: &Path) -> Result<Vec<String>, StoreError> {
    let found = look(path, has_log(path)).and_then(|db| faults(&db, "integrity_check"));
    match found {
        Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
        found => found.map_err(|error| failure(path, error)),
    }
}

/// Takes a log away that belongs to another database: the file was replaced since, and with its log it is
/// malformed, without it not. Costs two looks at metadata, unless the database was written after its log or
/// at the same time.
///
/// # Errors
/// If it cannot be looked at or taken away.
#[expect(clippy::disallowed_methods, reason = "the log of the database in state/")]
pub(super) fn take_foreign_log_away(path: &Path) -> Result<(), StoreError> {
    let io_failed = |error| engine(path, error);
    let log = beside(path, "-wal");
    if !is_older_log(path, &log) {
        return Ok(());
    }
    // Of those who come at the same time one takes it away; the lock ends with the file.
    let state = File::open(path.parent().unwrap_or(Path::new("."))).map_err(io_failed)?;
    let _ = flock(&state, FlockOperation::LockExclusive);
    let sound = |with_log| look(path, with_log).and_then(|db| faults(&db, "quick_check"));
    if !is_older_log(path, &log) || is_sound(sound(true)) || !is_sound(sound(false)) {
        return Ok(());
    }
    let aside = beside(path, "-wal.foreign");
    fs::rename(&log, &aside).map_err(io_failed)?;
    let _ = fs::remove_file(beside(path, "-shm"));
    let _ = writeln!(
        io::stderr(),
        "warning: `{}` was replaced, and the log beside it belongs to another database: it is now `{}`; put \
         backups back with \
         `otapress state restore`",
        path.display(),
        aside.display()
    );
    Ok(())
}

/// Whether there is a log that was written before the database was, or at the same time: a file system counts
/// in steps of some milliseconds. A copy may keep the time of its original, but not when it was put there.
fn is_older_log(path: &Path, log: &Path) -> bool {
    let (Ok(database), Ok(log)) = (fs::metadata(path), fs::metadata(log)) else { return false };
    let changed = |file: &fs::Metadata| (file.ctime(), file.ctime_nsec());
    log.len() > 0 && changed(&database) >= changed(&log)
}

fn is_sound(found: rusqlite::Result<Vec<String>>) -> bool {
    // A lock that somebody holds says nothing against it.
    found.map_or_else(|error| !is_damage(&error), |faults| faults.is_empty())
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

fn has_log(path: &Path) -> bool {
    beside(path, "-wal").exists()
}

fn look(path: &Path, with_log: bool) -> rusqlite::Result<Connection> {
    let log = if with_log { "" } else { "&immutable=1" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("{}?mode=ro{log}", uri(path)), flags)
}

fn faults(db: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(&format!("PRAGMA {check}(10)"))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(if found == ["ok"] { Vec::new() } else { found })
}

/// Moves the log into the database and goes on without one; fails as busy while somebody else has it open.
fn single_file(db: &Connection) -> rusqlite::Result<()> {
    let mode: String = db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
    if mode == "delete" { Ok(()) } else { Err(busy()) }
}

/// Closes a database whose file gets another name and leaves its log behind. The engine copies the log when
/// it is closed, too, and keeps to itself that it could not, as on a full disk.
pub(super) fn close_in_one_file(db: Connection) -> rusqlite::Result<()> {
    let is_hindered: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_hindered {
        return Err(busy());
    }
    db.close().map_err(|(_, error)| error)
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)
}

fn bring_up_to_date(db: &Connection, file: &Path) -> Result<(), StoreError> {
    let failed = |error| failure(file, error);
    let found = schema::number(db).map_err(failed)?;
    match found {
        0 => return Err(unfit(file, "it holds no records of otapress".into())),
        found if found > schema::CURRENT => {
            return Err(StoreError::Schema { path: file.into(), found, known: schema::CURRENT });
        }
        _ => {}
    }
    db.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    schema::migrate(db).and_then(|()| db.execute_batch("COMMIT")).map_err(failed)?;
    db.pragma_update(None, "journal_mode", "WAL").map_err(failed)
}

/// Renames the database and its log, if nobody has them open.
#[expect(clippy::disallowed_methods, reason = "the database in state/")]
fn retire(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    // Held until the names are changed; who comes meanwhile waits, and then finds the new one.
    let lock = Connection::open(path).and_then(|db| {
        single_file(&db)?;
        db.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(db)
    });
    match &lock {
        // What is damaged cannot be locked either.
        Err(error) if is_damage(error) => {}
        Err(_) => {
            return Err(unfit(
                path,
                "somebody uses the records: stop every responder and relay first".into(),
            ));
        }
        Ok(_) => {}
    }
    let numbered = |n: u32| if n == 1 { ".before-restore".into() } else { format!(".before-restore-{n}") };
    let free = (1..1000).map(|n| beside(path, &numbered(n))).find(|name| !name.exists());
    let aside = free.ok_or_else(|| unfit(path, "too many `.before-restore` lie beside it".into()))?;
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(beside(path, suffix), beside(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(engine(path, error)),
            _ => {}
        }
    }
    Ok(Some(aside))
}

#[expect(clippy::disallowed_methods, reason = "a draft of a database")]
pub(super) fn remove_all(draft: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        match fs::remove_file(beside(draft, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn engine(path: &Path, error: io::Error) -> StoreError {
    StoreError::Engine { path: path.into(), source: error.into() }
}

fn unfit(path: &Path, why: String) -> StoreError {
    StoreError::Unfit { path: path.into(), why }
}

impl SqliteStore {
    /// A store whose file is nobody else's.
    fn around(db: Connection, path: &Path, patience: Duration) -> Self {
        SqliteStore {
            db,
            path: path.into(),
            patience,
            file: None,
            durability: None,
            log_pages: Arc::default(),
            long_lived: false,
            is_log_stale: false,
            is_new: false,
        }
    }

    /// Opens a backup, read-only.
    ///
    /// # Errors
    /// If it is not there, cannot be read, or is not one.
    pub fn open_backup(file: &Path) -> Result<Self, StoreError> {
        let db = look(file, has_log(file)).map_err(|error| failure(file, error))?;
        configure(&db).map_err(|error| failure(file, error))?;
        let (found, known) = (schema::number(&db).map_err(|error| failure(file, error))?, schema::CURRENT);
        if found != known {
            return Err(unfit(file, format!("it has the schema {found}, not {known}")));
        }
        Ok(SqliteStore::around(db, file, Duration::ZERO))
    }
}
