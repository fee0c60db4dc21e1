//! The commands, one in each file: its arguments, and what it does with them.
//!
//! Here the clock and the environment are read; everything below is told.

pub mod add;
pub mod build;
pub mod check;
pub mod config;
pub mod project;
pub mod resume;
pub mod retry;
pub mod serve;
pub mod show;
mod show_text;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::cli::Global;
use crate::store::StoreError;
use crate::store::sqlite::{FILE, SqliteStore};

/// Seconds since 1970-01-01 UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How long an operator's command waits for the responder to release a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store, if there is one, for changing it: a command does not create it.
fn existing_store(global: &Global) -> anyhow::Result<Option<SqliteStore>> {
    if_there(global, SqliteStore::open)
}

/// The store, if there is one, for a look at it, which changes nothing in its directory.
fn look_at_store(global: &Global) -> anyhow::Result<Option<SqliteStore>> {
    if_there(global, SqliteStore::look)
}

fn if_there(
    global: &Global,
    open: fn(&Path, Duration) -> Result<SqliteStore, StoreError>,
) -> anyhow::Result<Option<SqliteStore>> {
    let state = global.state();
    if !state.join(FILE).exists() {
        return Ok(None);
    }
    open(&state, PATIENCE).map(Some).with_context(|| format!("state in `{}`", state.display()))
}

/// `1 device`, `2 devices`.
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
