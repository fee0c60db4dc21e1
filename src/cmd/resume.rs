//! `otapress resume`: releases the brake of a rollout.

use anyhow::{Context as _, bail};

use super::{existing_store, now};
use crate::cli::{Global, Outcome, print};
use otapress_responder::operate;

/// The arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release (`0.10.66`), or one of its rollouts (`next/0.10.66`)
    release: String,
}

/// Runs the command.
///
/// # Errors
/// If no rollout of the release is halted, or the state cannot be written.
pub fn run(global: &Global, args: &Args) -> anyhow::Result<Outcome> {
    let mut store = existing_store(global)?
        .with_context(|| format!("there is no state in `{}`: nothing was ever halted", global.state()))?;
    let resumed = operate::resume(&mut store, &args.release, now())?;
    if resumed.is_empty() {
        bail!("no rollout of `{}` is halted", args.release);
    }
    for rollout in resumed {
        print(format!("{rollout} goes on\n").as_bytes())?;
    }
    Ok(Outcome::Done)
}
