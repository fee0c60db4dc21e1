//! The commands, one in each file: its arguments, and what it does with them.
//!
//! Here the clock and the environment are read; everything below is told.

pub mod add;
mod admin;
pub mod build;
pub mod check;
pub mod config;
pub mod copy;
mod depfile;
mod files;
pub mod import;
mod inputs;
pub mod plan;
pub mod probe;
pub mod project;
mod provision;
pub mod relay;
pub mod resume;
pub mod retry;
pub mod serve;
pub mod show;
mod show_text;
pub mod simulate;
mod state;
pub mod status;
mod tracker;
mod trigger;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::report::words::count;
use state::{existing_store, look_at_store};

/// Seconds since 1970-01-01 UTC.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
