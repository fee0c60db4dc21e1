//! The status as it is served, and how often it is refreshed.

use std::time::{Duration, Instant};

use hyper::body::Bytes;

use super::super::inputs::Inputs;
use super::super::now;
use super::super::project::Project;
use super::super::status::Look;
use super::super::store::look_at;
use crate::context::Global;
use crate::report::json;
use crate::report::status::json::Answer;
use crate::report::status::summary::Summary;
use crate::report::status::{Status, html, prometheus};

/// The status is not refreshed more often than this.
const FRESH: Duration = Duration::from_secs(5);

/// A refresh that took longer is followed by a rest of this many times its duration.
const REST: u32 = 9;

/// The latest status, in the forms that were requested since.
pub(super) struct LiveStatus {
    global: Global,
    project: Project,
    inputs: Inputs,
    look: Look,
    /// The time of the next refresh.
    due: Instant,
    seen: Result<Seen, String>,
    /// The fault of the fleet file, if the status is based on its previous content.
    stale: Option<String>,
}

struct Seen {
    status: Status,
    summary: Summary,
    pages: Option<Vec<(String, Bytes)>>,
    metrics: Option<Bytes>,
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    /// A file of the report.
    Page(&'a str),
    /// The summary for programs.
    Json,
    /// The metrics.
    Metrics,
    /// The health check.
    Health,
}

/// The reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Content(Bytes),
    Nothing,
    /// The status cannot be determined, with the reason.
    Trouble(String),
}

impl LiveStatus {
    pub(crate) fn new(global: Global, project: Project) -> Self {
        let inputs = Inputs::of(&global);
        let seen = Err("nobody has looked yet".into());
        LiveStatus { global, project, inputs, look: Look::default(), due: Instant::now(), seen, stale: None }
    }

    /// Answers a request, and refreshes the status if that is due.
    pub(crate) fn find(&mut self, wanted: Resource<'_>) -> Reply {
        let begun = Instant::now();
        let looks = begun >= self.due;
        if looks {
            self.seen = self.look().map_err(|error| format!("{error:#}"));
        }
        let found = self.show(wanted).unwrap_or_else(|error| Reply::Trouble(format!("{error:#}")));
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
        let mut store = look_at(&self.global.state())?;
        let status = self.look.at(fleet, &mut store, now())?;
        let summary = Summary::of_all(fleet, &status);
        Ok(Seen { status, summary, pages: None, metrics: None })
    }

    fn show(&mut self, wanted: Resource<'_>) -> anyhow::Result<Reply> {
        let seen = match (&mut self.seen, &self.stale) {
            (Err(why), _) => return Ok(Reply::Trouble(why.clone())),
            (Ok(_), Some(why)) if wanted == Resource::Health => return Ok(Reply::Trouble(why.clone())),
            (Ok(seen), _) => seen,
        };
        let fleet = || {
            let fleet = self.project.fleet().map(|(fleet, _)| fleet);
            fleet.ok_or_else(|| anyhow::anyhow!("there is no fleet"))
        };
        let content = match wanted {
            Resource::Health => Bytes::from_static(b"ok\n"),
            Resource::Metrics => seen
                .metrics
                .get_or_insert_with(|| prometheus::metrics(&seen.status, &seen.summary).into())
                .clone(),
            Resource::Json => json::text(&Answer::of_summary(fleet()?, &seen.status, &seen.summary)).into(),
            Resource::Page(name) => {
                let pages = match &mut seen.pages {
                    Some(pages) => pages,
                    none => {
                        let fleet = fleet()?;
                        let pages = html::pages(fleet, &seen.status, &seen.summary, self.look.changes())?;
                        none.insert(pages.into_iter().map(|page| (page.name, page.content.into())).collect())
                    }
                };
                match pages.iter().find(|(known, _)| known == name) {
                    Some((_, content)) => content.clone(),
                    None => return Ok(Reply::Nothing),
                }
            }
        };
        Ok(Reply::Content(content))
    }
}
