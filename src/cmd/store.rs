//! Opens the records, wherever they are.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustix::fs::Access;
use rustix::io::Errno;

use crate::context::Global;
use otapress_responder::store::sqlite::{FILE, SqliteStore};
use otapress_responder::store::{Store, StoreError};
use otapress_server::http::OpenStore;
use otapress_server::location::Location;
use otapress_server::postgres::{PostgresStore, Server};

/// Operators' commands wait this long for the responder to release a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// A version check waits this long for another process to release a lock: long enough for any transaction,
/// short enough for a device.
const SERVING_PATIENCE: Duration = Duration::from_secs(5);

/// The store for changing it. A command does not create one.
pub(crate) fn existing_store(global: &Global) -> anyhow::Result<Box<dyn Store>> {
    let location = global.state();
    if_there(&location, Access::WRITE_OK, SqliteStore::open, PostgresStore::existing)?
        .with_context(|| missing(&location))
}

/// The store for reading. None: it does not exist yet, and nobody named it.
pub(crate) fn look_at_store(global: &Global) -> anyhow::Result<Option<Box<dyn Store>>> {
    if global.names_state() { required_store(global).map(Some) } else { look_at(&global.state()) }
}

/// The store for reading, where an answer without records would be wrong.
pub(crate) fn required_store(global: &Global) -> anyhow::Result<Box<dyn Store>> {
    let location = global.state();
    look_at(&location)?.with_context(|| missing(&location))
}

/// Fails if the records exist and this user may not change them.
pub(crate) fn check_access(global: &Global) -> anyhow::Result<()> {
    match global.state() {
        Location::Directory(state) => is_there(&state, Access::WRITE_OK).map(drop),
        Location::Postgres(_) => Ok(()),
    }
}

fn missing(location: &Location) -> String {
    format!("there is no state in `{location}`: no device has asked yet, or it is kept elsewhere (`--state`)")
}

/// Whether a directory has records. What may not be read is not taken for empty.
fn is_there(state: &Path, access: Access) -> anyhow::Result<bool> {
    let file = state.join(FILE);
    match rustix::fs::access(&file, Access::READ_OK | access) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => {
            let verb = if access == Access::WRITE_OK { "change" } else { "read" };
            let owner =
                file.ancestors().find_map(|path| fs::metadata(path).ok()).map(|found| user(found.uid()));
            let owner = owner.unwrap_or_else(|| "another user".into());
            bail!(
                "this user may not {verb} `{}` ({error}): it belongs to {owner}; run the command as that \
                 user",
                file.display()
            )
        }
    }
}

/// A user's name, if the machine's own list has it.
fn user(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then_some(name)
    });
    name.map_or_else(|| format!("the user with the number {uid}"), |name| format!("`{name}`"))
}

pub(crate) fn look_at(location: &Location) -> anyhow::Result<Option<Box<dyn Store>>> {
    if_there(location, Access::empty(), SqliteStore::open_read_only, PostgresStore::open_read_only)
}

/// The store, which is made if need be, for one who uses it alone.
pub(crate) fn make(location: &Location) -> anyhow::Result<Box<dyn Store>> {
    let opened = match location {
        Location::Directory(state) => SqliteStore::open(state, PATIENCE).map(|store| Box::new(store) as _),
        Location::Postgres(url) => {
            let passfile = passfile();
            let server = Server { url, passfile: passfile.as_deref(), patience: PATIENCE, until: None };
            let mut store = PostgresStore::open(&server).map_err(said)?;
            if !store.take_alone().map_err(said)? {
                bail!("somebody uses the records in `{location}`: stop every responder and relay first");
            }
            return Ok(Box::new(store));
        }
    };
    opened.map_err(said)
}

/// Opens the store for answering devices, and makes it if need be.
pub(crate) fn serving_store(global: &Global) -> OpenStore {
    let location = global.state();
    let passfile = passfile();
    Box::new(move |until| match &location {
        Location::Directory(state) => Ok(Box::new(SqliteStore::open(state, SERVING_PATIENCE)?)),
        Location::Postgres(url) => {
            let (passfile, patience) = (passfile.as_deref(), SERVING_PATIENCE);
            Ok(Box::new(PostgresStore::open(&Server { url, passfile, patience, until: Some(until) })?))
        }
    })
}

type OpenDirectory = fn(&Path, Duration) -> Result<SqliteStore, StoreError>;
type OpenDatabase = fn(&Server<'_>) -> Result<Option<PostgresStore>, StoreError>;

fn if_there(
    location: &Location,
    access: Access,
    open_directory: OpenDirectory,
    open_database: OpenDatabase,
) -> anyhow::Result<Option<Box<dyn Store>>> {
    let opened = match location {
        Location::Directory(state) if !is_there(state, access)? => Ok(None),
        Location::Directory(state) => open_directory(state, PATIENCE).map(|store| Some(Box::new(store) as _)),
        Location::Postgres(url) => {
            let passfile = passfile();
            let server = Server { url, passfile: passfile.as_deref(), patience: PATIENCE, until: None };
            let opened = open_database(&server);
            opened.map(|store| store.map(|store| Box::new(store) as _))
        }
    };
    opened.map_err(said)
}

/// The text says where and why; the source would say why once more.
fn said(error: StoreError) -> anyhow::Error {
    anyhow!("{error}")
}

/// The password file, found as PostgreSQL's own programs find it.
#[expect(clippy::disallowed_methods, reason = "as PostgreSQL's own programs")]
fn passfile() -> Option<PathBuf> {
    let named = env::var_os("PGPASSFILE").map(PathBuf::from);
    named.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".pgpass")))
}
