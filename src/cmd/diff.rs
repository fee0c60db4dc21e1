//! `otapress diff`: how one release differs from another.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::project::Project;
use crate::context::{Exit, Global, print};
use crate::report::words::{NAMED, few};
use crate::report::{json, suite_diff};
use otapress_core::version::Version;
use otapress_publish::catalog::MAX_JAR;
use otapress_publish::files;
use otapress_publish::jar::{self, Jar, SuiteDiff};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The older release: a JAR, or a version of the catalog
    old: String,
    /// The newer one
    new: String,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown, for a comment on a merge request
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let mut project = None;
    let mut find = |name: &str| -> anyhow::Result<Jar> {
        // A file of that name is meant, if there is one.
        match name.parse::<Version>() {
            Ok(version) if !Path::new(name).exists() => {
                let project = project.get_or_insert_with(|| Project::load(global));
                let entry = project.catalog().get(version);
                let unknown = || {
                    let versions: Vec<_> =
                        project.catalog().versions().map(|known| known.to_string()).collect();
                    format!("release {name} is not in the catalog, which has {}", few(&versions, NAMED))
                };
                Ok(entry.with_context(unknown)?.jar().clone())
            }
            _ => read(Path::new(name)),
        }
    };
    let diff = SuiteDiff::of(&find(&args.old)?, &find(&args.new)?);
    print(match (args.json, args.markdown) {
        (true, _) => json::text(&suite_diff::json(&diff)),
        (_, true) => suite_diff::markdown(&diff),
        _ => suite_diff::text(&diff),
    })
}

/// Reads a JAR that may be good or bad for the fleet, as long as it is one.
fn read(path: &Path) -> anyhow::Result<Jar> {
    let bytes = files::read(path, MAX_JAR)?;
    match jar::read(&bytes) {
        Ok(jar) => Ok(jar),
        Err(faults) => {
            let messages: Vec<_> = faults.into_iter().map(|fault| fault.message).collect();
            bail!("`{}` is not a JAR that a device would install: {}", path.display(), messages.join("; "))
        }
    }
}
