//! `otapress promote`: a channel goes to a release, or back, in the fleet file and in out/; and in git as one
//! commit.
//!
//! ```text
//! git: clean? already? ─► gate ─► edits ─► check, plan ─► fleet file ─► out/ ─► commit
//! ```
//! Everything that can refuse comes before the first byte is written.

mod changes;
mod git;
mod proof;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::build::{self, Ready};
use super::gate::GateArgs;
use super::project::Project;
use super::{edit, find, interrupt, now};
use crate::context::{Exit, Global, WrongUsage, print};
use crate::report::plan::{Style, text::text};
use changes::Changes;
use git::Target;
use otapress_core::version::Version;
use otapress_publish::edit::Edited;
use otapress_publish::fleet::{self, Fleet, Loaded};
use otapress_publish::plan::compare;
use otapress_publish::plan::names::Names;
use otapress_publish::plan::published::view_of;
use otapress_publish::plan::view::View;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The channel
    channel: String,
    /// The release; with --back that which is taken back [default there: the one of the channel]
    #[arg(value_parser = release, required_unless_present = "back")]
    release: Option<Release>,
    #[command(flatten)]
    gate: GateArgs,
    /// Commit the fleet's files, and out/ if it is tracked; needs a clean tree, and pushes nothing
    #[arg(long)]
    commit: bool,
    /// Commit on this branch, which begins at HEAD [default: the current branch]
    #[arg(long, value_name = "NAME", requires = "commit")]
    branch: Option<String>,
    /// Move all waves equally, so that the first one with a time opens then
    #[arg(long, value_name = "TIME", value_parser = super::plan::moment)]
    start: Option<i64>,
    /// Reach all devices of the channel at once
    #[arg(long, conflicts_with = "start")]
    everyone: bool,
    /// The release of devices outside of the rollout [default: the one before, once it had reached everyone]
    #[arg(long, value_name = "RELEASE", value_parser = release)]
    otherwise: Option<Release>,
    /// Make the channel, if the fleet has none of that name
    #[arg(long)]
    new: bool,
    /// Take back the channel's release, which the responder has halted: devices return to `otherwise`, at
    /// once
    #[arg(long, conflicts_with_all = ["start", "everyone", "otherwise", "new", "gate"])]
    back: bool,
    /// Take back to this release
    #[arg(long, value_name = "RELEASE", value_parser = release, requires = "back")]
    to: Option<Release>,
    /// Take back a release that is not halted
    #[arg(long, requires = "back")]
    force: bool,
    /// Why it is taken back, for people [default: why it is halted]
    #[arg(long, value_name = "TEXT", requires = "back")]
    reason: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  otapress promote canary 0.10.66
  otapress promote stable 0.10.66 --gate --min-success 95% --start 2026-12-01T08:00:00Z --commit && git push
  otapress promote stable --back --commit && git push

A channel whose waves have all opened would reach everyone at once: `--start` begins with the first wave \
again,
and `--everyone` says that this is meant. The gate judges the devices of other channels that are to run the
release; exit code 4 if there is none, or if they miss a condition.

Taking a release back withdraws it, in every channel that names it. With --commit, a release that HEAD, the
branch or its remote has already promoted is exit code 0 without a commit.";

/// A release as somebody spells it.
#[derive(Clone, Debug)]
struct Release {
    text: String,
    version: Version,
}

fn release(text: &str) -> Result<Release, String> {
    let version = text.parse().map_err(|error: otapress_core::version::VersionError| error.to_string())?;
    Ok(Release { text: text.to_owned(), version })
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let target = args.commit.then(|| Target::find(global, args.branch.as_deref())).transpose()?;
    if let Some(target) = &target {
        let already = |text: &str| changes::are_in(text, args);
        if let Some(place) = target.first_with(global, already)? {
            let done = if args.back { "back" } else { "promoted" };
            return say(global, &format!("`{}` is {done} on {place}: nothing to commit\n", args.channel));
        }
        target.require_clean()?;
    }
    let project = Project::load(global);
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        bail!("a fleet with errors is not promoted: mend it first");
    };
    if let (Some(gate), Some(release)) = (args.gate.gate(), &args.release)
        && !proof::is_given(global, fleet, (&args.channel, release.version), &gate)?
    {
        return Ok(Exit::MissesGate);
    }
    if args.back
        && let Some(from) = proof::is_back(global, fleet, args)?
    {
        return say(
            global,
            &format!("`{}` is back from {from} already; another release must be named\n", args.channel),
        );
    }
    // The files alone, without JARs and template, which no edit reads.
    let loaded = fleet::load_within(&global.reach(), &global.fleet);
    let text = fleet_text(&loaded, global)?;
    let changes = if args.back {
        let why = proof::to_take_back(global, fleet, args)?;
        Changes::back(fleet, text, args, &why, now())?
    } else {
        let release = args.release.as_ref().context("no release is named")?;
        Changes::forward(fleet, text, args, release, now())?
    };
    let files = edit::made(global, &loaded, &changes.edits)?;
    if files.is_empty() {
        say(global, &format!("`{}` names it already\n", args.channel))?;
    }
    interrupt::end_with(
        "interrupted: what is published is complete, and the rest is as it was; `otapress build` goes on \
         from there",
    )?;
    let mut planned = String::new();
    let texts = files.iter().map(|(path, Edited { new, .. })| (path.clone(), new.clone()));
    let reach = global.reach().with_texts(texts.collect());
    let built = build::build_what(global, &build::Args::default(), &reach, |ready| {
        if let Some(target) = &target {
            target.require_committed(&committed_inputs(global, ready.project))?;
        }
        planned = plan(global, ready)?;
        edit::write(&files)?;
        edit::show_changes(global, &files).and_then(|_| say(global, &planned)).map(drop)
    })?;
    match target {
        Some(target) if built == Exit::Done && !files.is_empty() => {
            commit(global, &target, &files, &format!("{}\n\n{planned}", changes.title))
        }
        _ => Ok(built),
    }
}

fn say(global: &Global, text: &str) -> anyhow::Result<Exit> {
    if global.quiet { Ok(Exit::Done) } else { print(text) }
}

fn fleet_text<'a>(loaded: &'a Loaded, global: &Global) -> anyhow::Result<&'a str> {
    let mut sources = loaded.sources.iter();
    let found = sources.find(|source| source.path == global.fleet).map(|source| &*source.text);
    found.with_context(|| format!("`{}` was not read", global.fleet.display()))
}

/// The files that the fleet is made of, but for secrets.
fn committed_inputs(global: &Global, project: &Project) -> Vec<PathBuf> {
    let dir = global.fleet.parent().unwrap_or("".as_ref());
    let secrets = project.fleet().map(|(fleet, _)| fleet.secret_files().iter().map(|file| dir.join(file)));
    let secrets: Vec<_> = secrets.into_iter().flatten().collect();
    let inputs = project.inputs(global).into_iter();
    inputs.filter(|path| path.is_file() && !secrets.contains(path)).collect()
}

/// What the build is about to change.
fn plan(global: &Global, ready: Ready<'_>) -> anyhow::Result<String> {
    let names = Names::of(ready.fleet);
    let before = view_of(ready.out, ready.existing, ready.hashes)?;
    let mut plan = compare(&before, &View::of(ready.tree), &names);
    plan.look_into(|version| Some(ready.catalog.get(version)?.jar().clone()));
    Ok(text(&plan, Style { names: &names, in_full: global.verbose, now: now(), colour: false }))
}

fn commit(
    global: &Global,
    target: &Target,
    files: &BTreeMap<PathBuf, Edited>,
    message: &str,
) -> anyhow::Result<Exit> {
    let done = target.commit(files.keys(), message).context(
        "the files are changed and built, but not committed: `git diff HEAD` shows them, `git restore \
         --staged --worktree .` takes them back",
    )?;
    say(global, &format!("{done}\n"))
}

/// A channel that the fleet does not have.
fn no_channel(fleet: &Fleet, name: &str) -> anyhow::Error {
    WrongUsage(format!("{} (`--new` makes one)", find::no_channel(fleet, name))).into()
}
