//! `otapress resume`: releases the brake of a rollout.

use anyhow::bail;

use super::{existing_store, now};
use crate::context::{Exit, Global, print};
use otapress_responder::operate;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The release (`0.10.66`), or one of its rollouts (`next/0.10.66`)
    release: String,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let mut store = existing_store(global)?;
    let resumed = operate::resume(&mut store, &args.release, now())?;
    if resumed.is_empty() {
        bail!("no rollout of `{}` is halted", args.release);
    }
    for rollout in resumed {
        print(format!("{rollout} goes on\n"))?;
    }
    Ok(Exit::Done)
}
