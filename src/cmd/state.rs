//! `otapress state copy`: takes the records elsewhere.

use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;

use super::store::{look_at, make};
use crate::context::{Discreet, Exit, Global, print, visible_location};
use otapress_responder::store::copy::{CopyError, copy};
use otapress_server::location::Location;

/// Operations on the records as a whole.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum State {
    /// Copy all records into an empty place and compare; nothing may use the records meanwhile
    Copy {
        /// A directory, or postgres://USER@HOST/DATABASE
        #[arg(value_parser = Discreet(visible_location))]
        from: Location,
        /// An empty one, or one that does not exist yet
        #[arg(value_parser = Discreet(visible_location))]
        to: Location,
    },
}

pub(crate) fn run(global: &Global, State::Copy { from, to }: &State) -> anyhow::Result<Exit> {
    let mut source = look_at(from)?.with_context(|| format!("there is no state in `{from}`"))?;
    let mut target = make(to)?;
    let bar = if global.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let sums = copy(&mut *source, &mut *target, |sum| show(&bar, sum.kind, sum.count));
    bar.finish_and_clear();
    let sums = match sums {
        Ok(sums) => sums,
        Err(CopyError::NotEmpty) => bail!("there are records in `{to}` already: name an empty place"),
        Err(error) => return Err(anyhow!("{error}")),
    };
    let mut text = format!("copied `{from}` to `{to}`; both are the same:\n");
    for sum in sums {
        text += &format!("{:>10} {:<16} sha256 {}\n", sum.count, sum.kind, sum.digest.short());
    }
    print(text)
}

/// Says now and then how far it is; how much there will be is not known.
fn show(bar: &ProgressBar, kind: &str, count: u64) {
    if count.is_multiple_of(1_000) {
        bar.set_message(format!("{count} {kind}"));
    }
}
