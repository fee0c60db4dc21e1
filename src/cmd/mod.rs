//! The commands, one in each file: `Args` and `run`.
//!
//! Only commands read the clock and the environment; the layers below take both as arguments.

pub(crate) mod add;
mod admin;
mod background;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod config;
mod depfile;
pub(crate) mod diff;
pub(crate) mod edit;
mod edit_check;
mod files;
mod find;
mod gate;
pub(crate) mod import;
pub(crate) mod init;
mod inputs;
mod interrupt;
mod keep;
pub(crate) mod man;
mod passphrase;
pub(crate) mod plan;
mod plan_records;
pub(crate) mod probe;
mod project;
pub(crate) mod promote;
pub(crate) mod relay;
pub(crate) mod resume;
pub(crate) mod retry;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod sign;
mod signer;
pub(crate) mod simulate;
mod simulated_devices;
pub(crate) mod state;
pub(crate) mod status;
mod store;
mod trigger;
mod webhooks;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;

use crate::context::WrongUsage;
use crate::report::words::count;
use store::{existing_store, look_at_store, required_store};

/// Seconds since 1970-01-01 UTC.
#[expect(clippy::disallowed_methods, reason = "commands hand the time to all below")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Asks whether something is to be done, for which `--yes` stands where nobody can be asked.
fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!(WrongUsage("there is no terminal to confirm it on: say --yes".into()));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
