//! `otapress plan`: what a build would change, and for whom; and that a build does what was planned.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::files::replace;
use super::project::Project;
use super::{now, plan_records};
use crate::context::{Exit, Global, print};
use crate::report::json;
use crate::report::plan::json::{self as plan_json, fingerprints};
use crate::report::plan::markdown::markdown;
use crate::report::plan::{Style, text::text};
use otapress_core::out::Part;
use otapress_core::out_path::OutPath;
use otapress_core::version::Version;
use otapress_publish::catalog::MAX_JAR;
use otapress_publish::files;
use otapress_publish::fleet;
use otapress_publish::jar::{self, Jar};
use otapress_publish::plan::names::Names;
use otapress_publish::plan::published::{view, view_of};
use otapress_publish::plan::view::{Fingerprint, View};
use otapress_publish::plan::{Plan, compare};
use otapress_publish::publish::hashes::Hashes;
use otapress_publish::publish::place::real_path;
use otapress_publish::publish::scan::Existing;
use otapress_publish::tree::Tree;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Exit with 3 if anything would change
    #[arg(long)]
    exit_code: bool,
    /// Print JSON, with every device by name
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown, for a comment on a merge request
    #[arg(long)]
    markdown: bool,
    /// Compare two published directories, from DIR (old) to out/ (new); the fleet only names the devices, and
    /// says what traffic costs
    #[arg(long, value_name = "DIR", conflicts_with = "save")]
    against: Option<PathBuf>,
    /// Say what goes now and what goes later as of this moment, such as `2026-12-01T08:00:00Z` [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<i64>,
    /// Save the plan for `otapress build --plan FILE`, which refuses if anything has moved by then
    #[arg(short = 'O', long, value_name = "FILE")]
    save: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  otapress plan                              from out/ to what fleet.yaml says now
  otapress plan -v                           the same with every device by name
  otapress plan -s state                     and what the devices really run
  otapress plan --markdown > comment.md      for a merge request
  otapress plan -O plan.json && otapress build --plan plan.json
  otapress plan --against /backup/out        from that directory to out/

Values of settings that hold secrets are never shown.";

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    if let Some(old) = &args.against {
        // The fleet only says what the devices are called, what is kept and what traffic costs, so it may
        // have any mistake.
        let fleet = fleet::load_within(&global.reach(), &global.fleet).fleet;
        let names = fleet.as_ref().map(Names::of).unwrap_or_default();
        let keep = fleet.as_ref().map(|fleet| fleet.keep().clone()).unwrap_or_default();
        let (before, after) = (published(old, &keep)?, published(&global.out(), &keep)?);
        let mut plan = compare(&before, &after, &names);
        let sides = [(global.out(), &after), (old.clone(), &before)];
        plan.look_into(|version| sides.iter().find_map(|(dir, view)| published_jar(dir, view, version)));
        fleet.iter().for_each(|fleet| plan.reckon(fleet));
        return show(global, args, plan, &names);
    }
    let out = real_path(&global.out());
    let look = || out.and_then(|out| view(&out).map(|(view, hidden)| (out, view, hidden)));
    let (project, after, before) =
        Project::load_beside(global, &global.reach(), look, |tree| View::of(&tree));
    project.show_diagnostics(global)?;
    let (Some(after), Some((fleet, catalog))) = (after, project.fleet()) else { return Ok(Exit::Failed) };
    let names = Names::of(fleet);
    let (out, before, hidden) = before?;
    hidden.are_kept(&out, fleet.keep())?;
    let mut plan = compare(&before, &after, &names);
    plan.look_into(|version| Some(catalog.get(version)?.jar().clone()));
    plan.reckon(fleet);
    show(global, args, plan, &names)
}

/// Reads a moment as in RFC 3339.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let moment = text.parse::<jiff::Timestamp>();
    moment.map(jiff::Timestamp::as_second).map_err(|_| "a moment is written `2026-12-01T08:00:00Z`".into())
}

/// A directory in which something must be published.
fn published(dir: &Path, keep: &BTreeSet<String>) -> anyhow::Result<View> {
    let (view, hidden) = view(dir)?;
    hidden.are_kept(dir, keep)?;
    if view.site().is_none() {
        bail!("nothing is published in `{}`", dir.display());
    }
    Ok(view)
}

/// A release as it is published; none if it is not, or not readable any more.
fn published_jar(dir: &Path, view: &View, version: Version) -> Option<Jar> {
    let release = view.site()?.releases.iter().find(|release| release.version.parse() == Ok(version))?;
    // A path of otapress.json stays below the directory.
    let path: OutPath = release.path.parse().ok()?;
    jar::read(&files::read(&dir.join(path.as_str()), MAX_JAR).ok()?).ok()
}

fn show(global: &Global, args: &Args, mut plan: Plan, names: &Names<'_>) -> anyhow::Result<Exit> {
    if global.names_state() {
        plan_records::read(global)?.tell(&mut plan, names);
    }
    let now = args.at.unwrap_or_else(now);
    let style = Style { names, in_full: global.verbose, now, colour: global.colour_data() };
    let as_json = |plan: &Plan| json::text(&plan_json::json(plan, style));
    if let Some(file) = &args.save {
        replace(file, as_json(&plan).as_bytes())?;
    }
    let shown = match (args.json, args.markdown) {
        (true, _) => as_json(&plan),
        (_, true) => markdown(&plan, style),
        _ => text(&plan, style),
    };
    print(shown)?;
    Ok(if args.exit_code && !plan.is_empty() { Exit::Differs } else { Exit::Done })
}

/// Sees that a saved plan is still what a build would do.
pub(super) fn hold_to(
    file: &Path,
    out: &Path,
    existing: &Existing,
    hashes: &mut Hashes,
    tree: &Tree,
) -> anyhow::Result<()> {
    let shown = file.display();
    let text = fs::read(file).with_context(|| format!("cannot read `{shown}`"))?;
    let (before, after) = fingerprints(&text)
        .map_err(anyhow::Error::msg)
        .with_context(|| format!("`{shown}` is not a plan that `otapress plan -O` has saved"))?;
    let (is, wanted) = (view_of(out, existing, hashes)?.fingerprint(), View::of(tree).fingerprint());
    let mut moved = Vec::new();
    // A plan that is already carried out passes, too.
    if is != before && is != after {
        moved.push(format!("`{}` has other {} than then", out.display(), differing(&is, &before)));
    }
    if wanted != after {
        moved.push(format!(
            "the fleet, its JARs or the template now lead to other {}",
            differing(&wanted, &after)
        ));
    }
    if moved.is_empty() {
        return Ok(());
    }
    bail!(
        "`{shown}` was made of something else: {}; nothing was published: look at a new plan \
         (`otapress plan -O {shown}`), or build without `--plan`",
        moved.join(", and ")
    )
}

/// The differing parts of two trees: `answers and JADs`.
fn differing(one: &Fingerprint, other: &Fingerprint) -> String {
    let parts = Part::ALL.into_iter().filter(|&part| one.of(part) != other.of(part));
    let names: Vec<_> = parts.map(Part::name).collect();
    match names.split_last() {
        Some((last, [])) => (*last).into(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}
