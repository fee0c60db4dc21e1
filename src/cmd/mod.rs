//! The commands, one in each file: its arguments, and what it does with them.
//!
//! Here the clock and the environment are read; everything below is told.

pub mod add;
pub mod build;
pub mod check;
pub mod probe;
pub mod project;
pub mod resume;
pub mod retry;
pub mod serve;
pub mod show;
mod show_text;
pub mod simulate;
mod tracker;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

use crate::cli::Global;
use crate::store::sqlite::SqliteStore;

/// Seconds since 1970-01-01 UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// How long an operator's command waits for the responder to release a lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store, if there is one: a look at it does not create it.
fn existing_store(global: &Global) -> anyhow::Result<Option<SqliteStore>> {
    let state = global.state();
    if !state.join(crate::store::sqlite::FILE).exists() {
        return Ok(None);
    }
    let store =
        SqliteStore::open(&state, PATIENCE).with_context(|| format!("state in `{}`", state.display()))?;
    Ok(Some(store))
}

/// `1 device`, `2 devices`.
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
