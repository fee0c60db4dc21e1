//! Opens the records, wherever they are.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;

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

/// The store, if there is one, for changing it: a command does not create it.
pub(crate) fn existing_store(global: &Global) -> anyhow::Result<Option<Box<dyn Store>>> {
    if_there(&global.state(), SqliteStore::open, PostgresStore::existing)
}

/// The store, if there is one, for a look at it, which changes nothing in it.
pub(crate) fn look_at_store(global: &Global) -> anyhow::Result<Option<Box<dyn Store>>> {
    look_at(&global.state())
}

pub(crate) fn look_at(location: &Location) -> anyhow::Result<Option<Box<dyn Store>>> {
    if_there(location, SqliteStore::open_read_only, PostgresStore::open_read_only)
}

/// The store, which is made if need be.
pub(crate) fn make(location: &Location) -> anyhow::Result<Box<dyn Store>> {
    let opened = match location {
        Location::Directory(state) => SqliteStore::open(state, PATIENCE).map(|store| Box::new(store) as _),
        Location::Postgres(url) => {
            let passfile = passfile();
            let server = Server { url, passfile: passfile.as_deref(), patience: PATIENCE, until: None };
            PostgresStore::open(&server).map(|store| Box::new(store) as _)
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
    open_directory: OpenDirectory,
    open_database: OpenDatabase,
) -> anyhow::Result<Option<Box<dyn Store>>> {
    let opened = match location {
        Location::Directory(state) if !state.join(FILE).exists() => Ok(None),
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
