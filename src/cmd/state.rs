//! `otapress state`: the records as a whole.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use indicatif::ProgressBar;

use super::keep::Keep;
use super::now;
use super::store::{existing_store, look_at, make};
use crate::context::{Discreet, Exit, Global, print, visible_location};
use crate::relay::webhook::Address;
use crate::report::status::time::moment;
use crate::report::status::{self, LateReader};
use crate::report::words;
use otapress_responder::retention::{self, Reader};
use otapress_responder::store::copy::{CopyError, Sum, copy, count};
use otapress_responder::store::sqlite::{FILE, SqliteStore, backup};
use otapress_responder::store::{Durability, Store};
use otapress_server::location::Location;

/// Operations on the records as a whole.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum State {
    /// Write all records into one file, an SQLite database, while responders go on
    Backup {
        /// The file; one of that name is replaced
        file: PathBuf,
    },
    /// Put a backup in the place of the records; responders and relays must be stopped
    Restore {
        /// What `otapress state backup` has written
        file: PathBuf,
    },
    /// Read all records, and say what is wrong with them
    Check,
    /// Forget old events, and devices that are not in the fleet and were not heard of since; `serve` does so,
    /// too
    Prune {
        /// For how long they are remembered, as 400d
        #[arg(long, value_name = "TIME", default_value = Keep::DEFAULT, value_parser = Keep::parse)]
        keep: Keep,
        /// Forget a relay that is gone for good: `relay`, or the URL or the name of a webhook's receiver;
        /// if it comes back it sends all that is remembered once more
        #[arg(long, value_name = "NAME")]
        forget_reader: Option<String>,
    },
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

pub(crate) fn run(global: &Global, state: &State) -> anyhow::Result<Exit> {
    match state {
        State::Backup { file } => back_up(global, file),
        State::Restore { file } => restore(global, file),
        State::Check => check(global),
        State::Prune { keep, forget_reader } => prune(global, *keep, forget_reader.as_deref()),
        State::Copy { from, to } => copy_all(global, from, to),
    }
}

fn back_up(global: &Global, file: &Path) -> anyhow::Result<Exit> {
    let from = global.state();
    let mut source = look_at(&from)?.with_context(|| format!("there is no state in `{from}`"))?;
    let bar = spinner(global);
    let sums = backup::backup(&mut *source, file, |sum| show(&bar, sum.kind, sum.count));
    bar.finish_and_clear();
    let sums = sums.map_err(|error| anyhow!("{error}"))?;
    print(format!("backed up `{from}` to `{}`:\n{}", file.display(), table(&sums)))
}

fn restore(global: &Global, file: &Path) -> anyhow::Result<Exit> {
    let to = global.state();
    let directory = match &to {
        Location::Directory(directory) => directory,
        Location::Postgres(_) => {
            let mut source = SqliteStore::open_backup(file).map_err(|error| anyhow!("{error}"))?;
            let mut target = make(&to)?;
            return match copy(&mut source, &mut *target, |_| ()) {
                Ok(sums) => print(format!("restored `{}` to `{to}`:\n{}", file.display(), table(&sums))),
                Err(CopyError::NotEmpty) => {
                    bail!("there are records in `{to}` already: name an empty database with `--state`")
                }
                Err(error) => Err(anyhow!("{error}")),
            };
        }
    };
    // What cannot be read is replaced all the same.
    let before = look_at(&to).ok().flatten().and_then(|mut store| count(&mut *store).ok());
    let kept = backup::restore(file, directory).map_err(|error| anyhow!("{error}"))?;
    let mut now = look_at(&to)?.with_context(|| format!("there is no state in `{to}`"))?;
    let after = count(&mut *now).map_err(|error| anyhow!("{error}"))?;
    let mut text = format!("restored `{}` to `{to}`:\n", file.display());
    for (n, sum) in after.iter().enumerate() {
        let was = match (&kept, &before) {
            (None, _) => String::new(),
            (Some(_), Some(before)) => format!(", before {}", before[n].count),
            (Some(_), None) => ", before unreadable".into(),
        };
        let _ = writeln!(text, "{:>10} {}{was}", sum.count, kind(sum));
    }
    if let Some(kept) = kept {
        let _ = writeln!(
            text,
            "what was recorded since the backup is lost; all of it is kept as `{}`",
            kept.display()
        );
    }
    print(text)
}

fn check(global: &Global) -> anyhow::Result<Exit> {
    let place = global.state();
    if let Location::Directory(directory) = &place
        && directory.join(FILE).exists()
    {
        let faults = backup::faults_of(&directory.join(FILE)).map_err(|error| anyhow!("{error}"))?;
        if !faults.is_empty() {
            bail!(
                "`{}` is damaged: {}; `otapress state restore FILE` puts a backup in its place",
                directory.join(FILE).display(),
                faults.join("; ")
            );
        }
    }
    let mut store = look_at(&place)?.with_context(|| format!("there is no state in `{place}`"))?;
    let sums = count(&mut *store).map_err(|error| anyhow!("{error}"))?;
    let late: String =
        late_readers(&mut *store)?.iter().map(|reader| format!("reader {}\n", reader.text())).collect();
    print(format!("nothing is wrong with `{place}`:\n{}{late}", table(&sums)))
}

fn late_readers(store: &mut dyn Store) -> anyhow::Result<Vec<LateReader>> {
    Ok(status::late_readers(&all_readers(store)?, now()))
}

fn all_readers(store: &mut dyn Store) -> anyhow::Result<Vec<Reader>> {
    let mut found = Vec::new();
    store
        .read(&mut |tx| {
            found = retention::readers(tx)?;
            Ok(())
        })
        .map_err(|error| anyhow!("{error}"))?;
    Ok(found)
}

/// Takes the name of a reader, or the URL of a receiver of webhooks.
fn forget_reader(store: &mut dyn Store, named: &str) -> anyhow::Result<String> {
    let name = named.parse::<Address>().map_or_else(|_| named.to_owned(), |address| address.name());
    let readers = all_readers(store)?;
    let Some(reader) = readers.iter().find(|reader| reader.name == name) else {
        let each = |reader: &Reader| match reader.waits_since {
            Some(since) => format!("`{}`, for which events wait since {}", reader.name, moment(since)),
            None => format!("`{}`, which has read all", reader.name),
        };
        match &readers[..] {
            [] => bail!("nobody has read events, so no reader is called `{name}`"),
            _ => bail!(
                "no reader is called `{name}`: there are {}",
                readers.iter().map(each).collect::<Vec<_>>().join(" and ")
            ),
        }
    };
    let Some(_lease) = store.lease(&name).map_err(|error| anyhow!("{error}"))? else {
        bail!("a relay that reads as `{name}` is active: stop it first");
    };
    store.write(Durability::Power, &mut |tx| tx.forget_cursor(&name)).map_err(|error| anyhow!("{error}"))?;
    Ok(format!("forgot the reader `{name}`, which had read up to event {}\n", reader.seq))
}

fn prune(global: &Global, keep: Keep, gone: Option<&str>) -> anyhow::Result<Exit> {
    let mut store = existing_store(global)?;
    let mut text = gone.map(|name| forget_reader(&mut *store, name)).transpose()?.unwrap_or_default();
    let Some(days) = keep.days() else { return print(text + "nothing is forgotten\n") };
    let forgotten = retention::prune(&mut *store, days, now()).map_err(|error| anyhow!("{error}"))?;
    store.maintain().map_err(|error| anyhow!("{error}"))?;
    text += &format!(
        "forgot {} and {}, older than {}",
        words::count(forgotten.events, "event"),
        words::count(forgotten.unknowns as usize, "unknown device"),
        words::count(days as usize, "day")
    );
    if forgotten.is_held_up {
        text += "; older ones that a relay has not sent are kept";
        text.extend(late_readers(&mut *store)?.iter().map(|reader| format!("\nreader {}", reader.text())));
    }
    print(text + "\n")
}

fn copy_all(global: &Global, from: &Location, to: &Location) -> anyhow::Result<Exit> {
    let mut source = look_at(from)?.with_context(|| format!("there is no state in `{from}`"))?;
    let mut target = make(to)?;
    let bar = spinner(global);
    let sums = copy(&mut *source, &mut *target, |sum| show(&bar, sum.kind, sum.count));
    bar.finish_and_clear();
    match sums {
        Ok(sums) => print(format!("copied `{from}` to `{to}`; both are the same:\n{}", table(&sums))),
        Err(CopyError::NotEmpty) => bail!("there are records in `{to}` already: name an empty place"),
        Err(error) => Err(anyhow!("{error}")),
    }
}

fn table(sums: &[Sum]) -> String {
    let line = |sum: &Sum| format!("{:>10} {:<16} sha256 {}\n", sum.count, kind(sum), sum.digest.short());
    sums.iter().map(line).collect()
}

/// The kind of the records in the number that goes with how many there are.
fn kind(sum: &Sum) -> &str {
    words::form(sum.count, sum.kind.trim_end_matches('s'), sum.kind)
}

fn spinner(global: &Global) -> ProgressBar {
    if global.quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() }
}

/// Says now and then how far it is; how much there will be is not known.
fn show(bar: &ProgressBar, kind: &str, count: u64) {
    if count.is_multiple_of(1_000) {
        bar.set_message(format!("{count} {kind}"));
    }
}
