//! `otapress status`: the fleet as the records know it.

mod answers;
mod args;
mod look;

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::bail;

pub(crate) use args::{Args, Selection};
pub(crate) use look::Look;

use super::project::Project;
use super::{count, files, look_at_store, now, required_store};
use crate::context::{Exit, Global, print};
use crate::report::status::records::Extent;
use crate::report::status::summary::Summary;
use crate::report::status::{Status, html, prometheus};
use answers::Asked;

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    let project = Project::load(global);
    let Some((fleet, _)) = project.fleet() else {
        project.show_diagnostics(global)?;
        return Ok(Exit::Failed);
    };
    let filter = args.filter(fleet)?;
    let mut store = match args.gate.gate().is_some() || args.prometheus {
        true => Some(required_store(global)?),
        false => look_at_store(global)?,
    };
    let extent = Extent { all_offers: args.device.is_some() || args.json, changes: args.html.is_some() };
    let mut look = Look::of(extent);
    let status = look.at(fleet, &mut store, now())?;
    remark(global, store.is_some(), &status)?;
    let asked = Asked { fleet, status: &status, filter: &filter, json: args.json };
    let mut outcome = Exit::Done;
    let text = if let Some(name) = &args.device {
        asked.device(name, &mut store, args.events.unwrap_or(args::HISTORY))?
    } else if let Some(limit) = args.events {
        asked.events(&mut store, limit)?
    } else if args.unknown {
        asked.strangers()
    } else {
        let summary = Summary::new(fleet, &status, |device| filter.keeps(fleet, &status, device));
        if let Some(dir) = &args.html {
            report(dir, &html::pages(fleet, &status, &summary, look.changes())?)?;
            return Ok(Exit::Done);
        }
        if args.prometheus {
            prometheus::metrics(&status, &summary)
        } else if let Some(gate) = args.gate.gate() {
            let judgements = gate.judge(fleet, &status, &summary);
            if judgements.is_empty() {
                bail!("no device is aimed at such a rollout: there is nothing to judge");
            }
            if judgements.iter().any(|judgement| !judgement.misses.is_empty()) {
                outcome = Exit::MissesGate;
            }
            asked.gate(&summary, &judgements)
        } else {
            asked.summary(&summary, args.devices)
        }
    };
    match &args.write {
        Some(file) => files::replace(file, text.as_bytes())?,
        None => drop(print(text)?),
    }
    Ok(outcome)
}

/// Says why there is little to see.
fn remark(global: &Global, has_records: bool, status: &Status) -> io::Result<()> {
    let known = status.devices.iter().any(|device| device.record.is_some());
    if global.quiet || known {
        return Ok(());
    }
    match status.strangers.len() {
        _ if !has_records => {
            writeln!(io::stderr(), "note: no records yet: there is no state in `{}`", global.state())
        }
        0 => Ok(()),
        n => writeln!(
            io::stderr(),
            "warning: none of the {} in `{}` is in the fleet: are these the records of another fleet?",
            count(n, "device"),
            global.state()
        ),
    }
}

/// Writes a report, and takes away what the report of a larger fleet has left there.
fn report(dir: &Path, pages: &[html::Page]) -> anyhow::Result<()> {
    for page in pages {
        files::replace(&dir.join(&page.name), &page.content)?;
    }
    files::remove(dir, |name| html::is_left_over(name, pages))
}
