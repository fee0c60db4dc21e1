//! Opens the records, wherever they are.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::Global;
use crate::responder::http::OpenStore;
use crate::store::location::Location;
use crate::store::sqlite::{FILE, SqliteStore};
use crate::store::{Store, StoreError};

/// How long an operator's command waits for the responder to release a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a version check waits for another process to release a lock: long enough for any transaction, short enough
/// for a device.
const SERVING_PATIENCE: Duration = Duration::from_secs(5);

/// The store, if there is one, for changing it: a command does not create it.
pub fn existing_store(global: &Global) -> anyhow::Result<Option<Box<dyn Store>>> {
    if_there(global, SqliteStore::open)
}

/// The store, if there is one, for a look at it, which changes nothing in its directory.
pub fn look_at_store(global: &Global) -> anyhow::Result<Option<Box<dyn Store>>> {
    if_there(global, SqliteStore::look)
}

/// Opens the store for answering devices, and makes it if need be.
pub fn serving_store(global: &Global) -> OpenStore {
    let location = global.state();
    Box::new(move || match &location {
        Location::Directory(state) => Ok(Box::new(SqliteStore::open(state, SERVING_PATIENCE)?)),
        Location::Postgres(_) => Err(not_yet(&location)),
    })
}

fn if_there(
    global: &Global,
    open: fn(&Path, Duration) -> Result<SqliteStore, StoreError>,
) -> anyhow::Result<Option<Box<dyn Store>>> {
    let location = global.state();
    let opened = match &location {
        Location::Directory(state) if !state.join(FILE).exists() => return Ok(None),
        Location::Directory(state) => open(state, PATIENCE),
        Location::Postgres(_) => Err(not_yet(&location)),
    };
    opened
        .map(|store| Some(Box::new(store) as Box<dyn Store>))
        .with_context(|| format!("state in `{location}`"))
}

fn not_yet(location: &Location) -> StoreError {
    StoreError::Engine { path: location.to_string().into(), source: "PostgreSQL is not known yet".into() }
}
