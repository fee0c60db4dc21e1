//! `otapress build`: render the fleet and publish what differs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use anyhow::bail;

use super::count;
use super::depfile::Depfile;
use super::interrupt;
use super::project::{Project, progress_bar};
use crate::context::{Exit, Global};
use otapress_core::out::{Part, Tier};
use otapress_publish::catalog::Catalog;
use otapress_publish::files::Reach;
use otapress_publish::fleet::Fleet;
use otapress_publish::publish::diff::{Changes, Write, diff};
use otapress_publish::publish::disk::RealDisk;
use otapress_publish::publish::hashes::Hashes;
use otapress_publish::publish::place::{Lock, real_path};
use otapress_publish::publish::scan::{Existing, Published, scan};
use otapress_publish::publish::{apply, is_mass_removal};
use otapress_publish::tree::Tree;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; exit with 3 if out/ is not what the fleet says
    #[arg(long)]
    check: bool,
    /// Read every file in out/ instead of trusting the remembered hashes of untouched files
    #[arg(long)]
    verify: bool,
    /// Write a rule for make that names everything that was read; it is for FILE without its ending `.d`
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    depfile: Option<PathBuf>,
    /// Publish even if more than 10 % of the devices would be dropped
    #[arg(long)]
    allow_mass_removal: bool,
    /// Publish only what a plan that `otapress plan -O FILE` saved says: refuse if out/ or the fleet moved
    /// since
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    if !args.check {
        interrupt::end_with(
            "interrupted: what is published is complete, and the rest is as it was; `otapress build` goes on \
             from there",
        )?;
    }
    build(global, args)
}

/// Builds without a word for an interrupt, which is the caller's.
pub(crate) fn build(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    build_what(global, args, &global.reach(), |_| Ok(()))
}

/// What a build is about to publish: nothing is wrong with it.
pub(super) struct Ready<'a> {
    pub(super) project: &'a Project,
    pub(super) fleet: &'a Fleet,
    pub(super) catalog: &'a Catalog,
    pub(super) tree: &'a Tree,
    /// The real path of out/, and what is in it.
    pub(super) out: &'a Path,
    pub(super) existing: &'a Existing,
    pub(super) hashes: &'a mut Hashes,
}

/// Builds what stands in the files that `reach` reads. `before` runs before the first byte of out/ is
/// written, and may refuse.
#[expect(clippy::disallowed_methods, reason = "the time that publishing is told")]
pub(super) fn build_what(
    global: &Global,
    args: &Args,
    reach: &Reach,
    before: impl FnOnce(Ready<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let (begin, now) = (Instant::now(), SystemTime::now());
    // Published modes do not depend on the user who builds: 0755 and 0644.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let out = real_path(&global.out())?;
    let mut say_it = |text: &str| drop(say(global, text));
    let _lock = if args.check { None } else { Some(Lock::take(&out, &mut say_it)?) };
    let hashes_file = Hashes::beside(&out);
    let look = || {
        let mut hashes = if args.verify { Hashes::default() } else { Hashes::load(&hashes_file) };
        (scan(&out, &mut hashes), hashes)
    };
    let (project, tree, (existing, mut hashes)) = Project::load_beside(global, reach, look, |tree| tree);
    project.show_diagnostics(global)?;
    let (Some(tree), Some((fleet, catalog))) = (tree, project.fleet()) else {
        let (errors, _) = project.counts();
        say(global, &format!("{}: nothing was published", count(errors, "error")))?;
        return Ok(Exit::Failed);
    };

    let (existing, hidden) = existing?;
    hidden.are_kept(&out, fleet.keep())?;
    if let Some(file) = &args.plan {
        super::plan::hold_to(file, &out, &existing, &mut hashes, &tree)?;
    }
    let changes = diff(&tree, &out, &existing, &mut hashes)?;
    if args.check {
        return check(global, &out, &changes);
    }
    if let Existing::Published(published) = &existing {
        guard_mass_removal(published, &changes, args.allow_mass_removal)?;
        guard_mass_move(published, &changes, args.allow_mass_removal)?;
    }
    let busy = [global.fleet.parent(), out.parent(), args.depfile.as_deref().and_then(Path::parent)];
    let busy: Vec<&Path> = busy.into_iter().flatten().collect();
    let depfile = args.depfile.as_deref();
    let depfile = depfile.map(|file| Depfile::new(file, &project.inputs(global), &busy)).transpose()?;
    let (project, tree, out, existing) = (&project, &tree, &*out, &existing);
    before(Ready { project, fleet, catalog, tree, out, existing, hashes: &mut hashes })?;
    publish(global, out, tree, existing, &changes)?;
    if let Err(error) = hashes.save(&hashes_file, now) {
        // That only costs the next build some time.
        tracing::debug!("`{}` cannot be written: {error}", hashes_file.display());
    }
    if let Some(depfile) = depfile {
        depfile.write()?;
    }
    let devices = count(fleet.devices().len(), "device");
    let took = begin.elapsed();
    let summary = if changes.is_empty() {
        format!("nothing to do: {} up to date for {devices}, in {took:.2?}", count(changes.unchanged, "file"))
    } else {
        format!(
            "published {devices}: {} written, {} removed, {} unchanged, in {took:.2?}",
            tiers(changes.write.iter().map(|write| write.file.tier)),
            count(changes.remove.len(), "file"),
            changes.unchanged,
        )
    };
    say(global, &summary)?;
    Ok(Exit::Done)
}

fn check(global: &Global, out: &Path, changes: &Changes<'_>) -> anyhow::Result<Exit> {
    if changes.is_empty() {
        say(global, &format!("`{}` is what the fleet says", out.display()))?;
        return Ok(Exit::Done);
    }
    const SHOWN: usize = 20;
    let written =
        changes.write.iter().map(|write| (if write.is_new { "add" } else { "change" }, &write.file.path));
    let removed = changes.remove.iter().map(|remove| ("remove", &remove.path));
    let total = changes.write.len() + changes.remove.len();
    for (verb, path) in written.chain(removed).take(SHOWN) {
        say(global, &format!("  {verb:<6} {path}"))?;
    }
    if total > SHOWN {
        say(global, &format!("  … and {}", count(total - SHOWN, "more file")))?;
    }
    say(
        global,
        &format!(
            "`{}` differs from what the fleet says in {}: run `otapress build`",
            out.display(),
            count(total, "file")
        ),
    )?;
    Ok(Exit::Differs)
}

/// Devices that vanish from out/ in numbers are more likely a mistake than a plan.
fn guard_mass_removal(published: &Published, changes: &Changes<'_>, allowed: bool) -> anyhow::Result<()> {
    let dropped = changes.remove.iter().filter(|remove| remove.tier == Tier::Answer).count();
    let before = published.files.iter().filter(|file| file.part == Part::Answers).count();
    if !allowed && is_mass_removal(dropped, before) {
        bail!(
            "{dropped} of {} would be dropped from out/, which is more than 10 %: \
             if that is meant, build with `--allow-mass-removal`",
            count(before, "device"),
        );
    }
    Ok(())
}

/// Devices whose JADs go from one path to another still ask at the old one, unless `formerly` names it.
fn guard_mass_move(published: &Published, changes: &Changes<'_>, allowed: bool) -> anyhow::Result<()> {
    let removed = |tier| changes.remove.iter().filter(|remove| remove.tier == tier).count();
    let is_added = |write: &&Write<'_>, tier| write.is_new && write.file.tier == tier;
    let added = |tier| changes.write.iter().filter(|write| is_added(write, tier)).count();
    // JADs that come or go with their devices have not moved.
    let gone = removed(Tier::Jad).saturating_sub(removed(Tier::Answer) + removed(Tier::NoOffer));
    let moved = gone.min(added(Tier::Jad).saturating_sub(added(Tier::Answer) + added(Tier::NoOffer)));
    let jads = published.files.iter().filter(|file| file.part == Part::Jads).count();
    let devices = published.files.iter().filter(|file| file.part == Part::Answers).count();
    let shared_moves = moved == jads && moved > 0 && devices > jads;
    if !allowed && (is_mass_removal(moved, jads) || shared_moves) {
        bail!(
            "{moved} of {} would move to other paths, and devices that still ask at the old ones would find \
             none: \
             put the old `otapURI` into `formerly` of `provisioning`; if no device asks there, build with \
             `--allow-mass-removal`",
            count(jads, "JAD"),
        );
    }
    Ok(())
}

fn publish(
    global: &Global,
    out: &Path,
    tree: &Tree,
    existing: &Existing,
    changes: &Changes<'_>,
) -> anyhow::Result<()> {
    let bar = progress_bar(global, "publishing");
    bar.set_length(changes.write.len() as u64);
    let done = AtomicU64::new(0);
    let tick = || {
        let done = done.fetch_add(1, Ordering::Relaxed);
        if done.is_multiple_of(256) {
            bar.set_position(done);
        }
    };
    let result = apply::publish(&RealDisk, out, tree, existing, changes, &tick);
    bar.finish_and_clear();
    Ok(result?)
}

/// `2 JARs and sums, 3 JADs, 4 answers`.
fn tiers(written: impl Iterator<Item = Tier>) -> String {
    let mut counts = BTreeMap::new();
    for tier in written {
        let name = match tier {
            Tier::Jar => (0, "JAR file"),
            Tier::Jad => (1, "JAD"),
            Tier::NoOffer | Tier::Answer => (2, "answer"),
            Tier::Site => (3, "site file"),
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    let texts: Vec<_> = counts.iter().map(|((_, name), n)| count(*n, name)).collect();
    if texts.is_empty() { "nothing".into() } else { texts.join(", ") }
}

fn say(global: &Global, text: &str) -> std::io::Result<()> {
    if global.quiet { Ok(()) } else { writeln!(std::io::stderr(), "{text}") }
}
