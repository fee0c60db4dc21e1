//! `otapress check`: every mistake in one run.

use std::io::Write as _;

use clap::ValueEnum;
use otapress_publish::diag::Severity;

use super::count;
use super::project::Project;
use crate::context::{Exit, Global, print};
use crate::report::{ci_formats, diagnostics};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The output format
    #[arg(long, default_value = "text")]
    format: Format,
    /// Fail on warnings, too
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, on the standard error
    Text,
    /// A JSON array on the standard output
    Json,
    /// Workflow commands of GitHub Actions on the standard output
    Github,
    /// A Code Quality report of GitLab on the standard output
    Gitlab,
    /// JUnit's XML on the standard output, which most CI systems show
    Junit,
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let mut project = Project::load(global);
    let rendered = project.check(global);
    let (errors, warnings) = project.counts();
    let found = project.diagnostics();
    match args.format {
        Format::Text => {
            project.show_diagnostics(global)?;
            if !global.quiet {
                let devices = match project.fleet().filter(|_| rendered) {
                    Some((fleet, _)) => count(fleet.devices().len(), "device"),
                    None => "the fleet".into(),
                };
                let verdict = if found.is_empty() {
                    "no mistakes".into()
                } else {
                    format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
                };
                writeln!(std::io::stderr(), "checked {devices}: {verdict}")?;
            }
        }
        Format::Json => drop(print(diagnostics::json(found, &project.loaded().sources).as_bytes())?),
        Format::Github => {
            for diagnostic in found {
                print(diagnostics::github(diagnostic, &project.loaded().sources).as_bytes())?;
            }
        }
        Format::Gitlab => {
            print(ci_formats::gitlab(found, &project.loaded().sources))?;
        }
        Format::Junit => {
            let fails = |severity| severity == Severity::Error || args.strict;
            print(ci_formats::junit(found, &project.loaded().sources, fails))?;
        }
    }
    let failed = errors > 0 || (args.strict && warnings > 0);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
