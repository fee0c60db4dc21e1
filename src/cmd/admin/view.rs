//! What is shown, and how often it is made anew.

use std::time::{Duration, Instant};

use hyper::body::Bytes;

use super::super::inputs::Inputs;
use super::super::project::Project;
use super::super::status::Look;
use super::super::{look_at_store, now};
use crate::context::Global;
use crate::report::json;
use crate::report::status::json::Answer;
use crate::report::status::summary::Summary;
use crate::report::status::{Status, html, prometheus};

/// For how long a look at the records is good enough.
const FRESH: Duration = Duration::from_secs(5);

/// And for how many times as long as it took: a large fleet is not looked at all the time.
const REST: u32 = 9;

/// The status as it was looked at last, in the forms that were asked for since.
pub(super) struct View {
    global: Global,
    project: Project,
    inputs: Inputs,
    look: Look,
    /// When the next look is due.
    due: Instant,
    seen: Result<Seen, String>,
    /// What is wrong with the fleet file, if the status is of one that it was before.
    stale: Option<String>,
}

struct Seen {
    status: Status,
    summary: Summary,
    pages: Option<Vec<(String, Bytes)>>,
    metrics: Option<Bytes>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// A file of the report.
    Page(&'a str),
    /// The summary for programs.
    Json,
    /// The metrics.
    Metrics,
    /// Whether all is well.
    Health,
}

/// What is there for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its content.
    Content(Bytes),
    /// Nothing of that name.
    Nothing,
    /// It cannot be told, and why.
    Trouble(String),
}

impl View {
    pub(crate) fn new(global: Global, project: Project) -> Self {
        let inputs = Inputs::of(&global);
        let seen = Err("nobody has looked yet".into());
        View { global, project, inputs, look: Look::default(), due: Instant::now(), seen, stale: None }
    }

    /// Finds what is wanted, and looks at the records if it was long ago.
    pub(crate) fn find(&mut self, wanted: Wanted<'_>) -> Found {
        let begun = Instant::now();
        let looks = begun >= self.due;
        if looks {
            self.seen = self.look().map_err(|error| format!("{error:#}"));
        }
        let found = self.show(wanted).unwrap_or_else(|error| Found::Trouble(format!("{error:#}")));
        if looks {
            let ended = Instant::now();
            self.due = ended + FRESH.max((ended - begun) * REST);
        }
        found
    }

    fn look(&mut self) -> anyhow::Result<Seen> {
        if self.inputs.have_changed() {
            self.inputs = Inputs::of(&self.global);
            let project = Project::load(&self.global);
            self.stale = match project.fleet() {
                Some(_) => {
                    self.project = project;
                    None
                }
                None => Some(format!("`{}` has errors", self.global.fleet.display())),
            };
        }
        let (fleet, _) = self.project.fleet().ok_or_else(|| anyhow::anyhow!("there is no fleet"))?;
        let mut store = look_at_store(&self.global)?;
        let status = self.look.at(fleet, &mut store, now())?;
        let summary = Summary::of_all(fleet, &status);
        Ok(Seen { status, summary, pages: None, metrics: None })
    }

    fn show(&mut self, wanted: Wanted<'_>) -> anyhow::Result<Found> {
        let seen = match (&mut self.seen, &self.stale) {
            (Err(why), _) => return Ok(Found::Trouble(why.clone())),
            (Ok(_), Some(why)) if wanted == Wanted::Health => return Ok(Found::Trouble(why.clone())),
            (Ok(seen), _) => seen,
        };
        let content = match wanted {
            Wanted::Health => Bytes::from_static(b"ok\n"),
            Wanted::Metrics => seen
                .metrics
                .get_or_insert_with(|| prometheus::metrics(&seen.status, &seen.summary).into())
                .clone(),
            Wanted::Json => json::text(&Answer::of_summary(&seen.status, &seen.summary)).into(),
            Wanted::Page(name) => {
                let pages = match &mut seen.pages {
                    Some(pages) => pages,
                    none => {
                        let (fleet, _) =
                            self.project.fleet().ok_or_else(|| anyhow::anyhow!("there is no fleet"))?;
                        let pages = html::pages(fleet, &seen.status, &seen.summary, self.look.changes())?;
                        none.insert(pages.into_iter().map(|page| (page.name, page.content.into())).collect())
                    }
                };
                match pages.iter().find(|(known, _)| known == name) {
                    Some((_, content)) => content.clone(),
                    None => return Ok(Found::Nothing),
                }
            }
        };
        Ok(Found::Content(content))
    }
}
