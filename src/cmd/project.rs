//! A fleet with all that it is made of, and the mistakes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::now;
use crate::context::Global;
use crate::report::diagnostics;
use otapress_core::id::Imei;
use otapress_core::out::answer_path;
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Site};
use otapress_publish::catalog::{self, Catalog};
use otapress_publish::diag::{Code, Diagnostic, Severity};
use otapress_publish::files::Reach;
use otapress_publish::fleet::{self, Fleet, Loaded, Midlet};
use otapress_publish::publish::scan::read_site;
use otapress_publish::render::Rendered;
use otapress_publish::signing::validity;
use otapress_publish::template::{self, Template};
use otapress_publish::tree::Tree;
use otapress_publish::{files, regression, release_checks, render, signing};

/// Diagnostics of one kind shown in text: a large fleet can have one for every device.
const SHOWN: usize = 20;

/// No answer file is longer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;

/// A fleet with its JARs and its template.
#[derive(Debug)]
pub(crate) struct Project {
    loaded: Loaded,
    catalog: Catalog,
    template: Option<Template>,
    /// What out/ says of itself, once it is looked at.
    published: Option<Site>,
}

impl Project {
    /// Reads fleet.yaml, the inventories, the JARs and the template.
    pub(crate) fn load(global: &Global) -> Self {
        Project::load_within(global, &global.reach())
    }

    /// The same, reading no more than `reach` allows, and the texts that it has in place of files.
    pub(crate) fn load_within(global: &Global, reach: &Reach) -> Self {
        let mut loaded = fleet::load_within(reach, &global.fleet);
        let dir = global.fleet.parent().unwrap_or("".as_ref());
        let (mut catalog, mut template) = (Catalog::default(), None);
        if let Some(jars) = loaded.jars.as_ref().map(|jars| dir.join(jars)) {
            let midlet = loaded.midlet.as_ref().map(Midlet::suite);
            let (found, wrong) = catalog::load(reach, &jars, &jars, midlet);
            catalog = found;
            loaded.report(wrong);
            release_checks::check(&mut loaded, &catalog);
        }
        if let Some(midlet) = loaded.midlet.clone() {
            match template::load(reach, dir, &midlet, &mut loaded.sources) {
                Ok(parsed) => template = Some(parsed),
                Err(diagnostic) => loaded.report([diagnostic]),
            }
        }
        Project { loaded, catalog, template, published: None }
    }

    /// Notes what depends on more than the fleet and is in no published byte: JARs that have changed under a
    /// version that is published in out/, certificates that are not valid today, and new rollouts without
    /// waves to come.
    pub(crate) fn check_published(&mut self, global: &Global) {
        if let Some(midlet) = &self.loaded.midlet
            && let Some(signing) = &midlet.signing
        {
            let found = signing.validity(&midlet.rules, now());
            self.loaded.report(found);
        }
        // A fault of out/ itself is reported when it is written.
        let site = read_site(&global.out()).ok().flatten();
        let past: Vec<_> = self
            .loaded
            .fleet
            .iter()
            .flat_map(|fleet| release_checks::past_waves(fleet, site.as_ref(), now()))
            .collect();
        self.loaded.report(past);
        if let Some(site) = site {
            self.loaded.report(render::changed_releases(&site, &self.catalog));
            if let Some(midlet) = &self.loaded.midlet {
                let found = regression::regressions(&site, &self.catalog, midlet);
                self.loaded.report(found);
            }
            self.published = Some(site);
        }
    }

    /// Finds all that `check` finds, and tells whether out/ can be made of it.
    pub(crate) fn check(&mut self, global: &Global) -> bool {
        self.check_published(global);
        let bar = progress_bar(global, "checking");
        // Some mistakes show only in what is rendered: a JAD that no device would take, two devices that want
        // one path.
        let is_rendered = self.render(global, &bar).is_some();
        bar.finish_and_clear();
        is_rendered
    }

    /// The fleet and its JARs, if nothing is wrong that stops a build.
    pub(crate) fn fleet(&self) -> Option<(&Fleet, &Catalog)> {
        if self.loaded.has_errors() {
            None
        } else {
            self.loaded.fleet.as_ref().map(|fleet| (fleet, &self.catalog))
        }
    }

    /// Reads a fleet and renders it, while `look` looks at what is published: both take their time.
    /// `rendered` takes what is needed of the tree, if nothing is wrong that stops a build: that of a large
    /// fleet is large.
    pub(crate) fn load_beside<L: Send, R>(
        global: &Global,
        reach: &Reach,
        look: impl FnOnce() -> L + Send,
        rendered: impl FnOnce(Tree) -> R,
    ) -> (Self, Option<R>, L) {
        thread::scope(|scope| {
            let looking = scope.spawn(look);
            let mut project = Project::load_within(global, reach);
            project.check_published(global);
            let bar = progress_bar(global, "rendering");
            let rendered = project.render(global, &bar).map(rendered);
            bar.finish_and_clear();
            (project, rendered, looking.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// Renders out/, if nothing is wrong that stops a build.
    pub(crate) fn render(&mut self, global: &Global, progress: &ProgressBar) -> Option<Tree> {
        let template = self.template.as_ref()?;
        let (fleet, catalog) = self.fleet()?;
        progress.set_length(fleet.devices().len() as u64);
        let mut tick = |done: usize| {
            if done.is_multiple_of(1024) {
                progress.set_position(done as u64);
            }
        };
        match render::render(fleet, catalog, template, &self.loaded.sources, &mut tick) {
            Ok(Rendered { tree, warnings, unsigned, chains }) => {
                let mut found = warnings;
                for (chain, place) in chains {
                    let wrong =
                        validity(&chain, now()).into_iter().map(|found| found.fault.at(place.clone()));
                    found.extend(wrong.filter(|found| !fleet.midlet().rules.allows(found.code)));
                }
                if let Some(site) = &self.published {
                    let out = global.out();
                    found.extend(regression::unsigned(site, fleet, &unsigned, |imei| {
                        published_target(&out, imei)
                    }));
                }
                let is_refused = found.iter().any(Diagnostic::is_error);
                self.loaded.report(found);
                (!is_refused).then_some(tree)
            }
            Err(found) => {
                self.loaded.report(found);
                None
            }
        }
    }

    /// The files and directories that the fleet is made of.
    pub(crate) fn inputs(&self, global: &Global) -> BTreeSet<PathBuf> {
        let texts = self.loaded.sources.iter().map(|source| source.path.clone());
        let jars = self.catalog.entries().map(|entry| entry.path().to_owned());
        let signed = self.catalog.entries().filter(|entry| entry.signature().is_some());
        let jars = jars.chain(signed.map(|entry| signing::path(entry.path())));
        let files: BTreeSet<PathBuf> = texts.chain(jars).collect();
        // New files show in the directories.
        let dirs: BTreeSet<_> = files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        // The places where the first JAR and the first own template will appear.
        let dir = global.fleet.parent().unwrap_or("".as_ref());
        let named = self.loaded.midlet.iter().flat_map(|midlet| {
            [dir.join(&midlet.jars), dir.join("templates"), dir.join("templates").join(&midlet.template)]
        });
        let signing = self.loaded.midlet.iter().filter_map(|midlet| midlet.signing.as_ref());
        let certificates = signing.flat_map(|signing| &signing.files).map(|file| dir.join(file));
        let secrets =
            self.loaded.fleet.iter().flat_map(|fleet| fleet.secret_files()).map(|file| dir.join(file));
        files.into_iter().chain(dirs).chain(named).chain(certificates).chain(secrets).collect()
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        &self.loaded.diagnostics
    }

    pub(crate) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Shows what was found to people, and how much that is.
    pub(crate) fn show_diagnostics(&self, global: &Global) -> io::Result<()> {
        self.show(global, |found| !global.quiet || found.is_error())
    }

    /// The same of those that are `wanted`.
    pub(super) fn show(&self, global: &Global, wanted: impl Fn(&Diagnostic) -> bool) -> io::Result<()> {
        let mut err = io::BufWriter::new(io::stderr().lock());
        let mut seen: BTreeMap<Code, usize> = BTreeMap::new();
        for diagnostic in self.diagnostics().iter().filter(|found| wanted(found)) {
            let count = seen.entry(diagnostic.code).or_default();
            *count += 1;
            if *count <= SHOWN {
                err.write_all(
                    diagnostics::text(diagnostic, &self.loaded.sources, global.colour()).as_bytes(),
                )?;
            }
        }
        for (code, count) in seen {
            if count > SHOWN {
                let more = count - SHOWN;
                writeln!(err, "… and {more} more of `{code}`: `otapress check --format json` has all")?;
            }
        }
        err.flush()?;
        Ok(())
    }

    /// The numbers of errors and warnings.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let errors =
            self.diagnostics().iter().filter(|found| found.code.severity() == Severity::Error).count();
        (errors, self.diagnostics().len() - errors)
    }
}

/// The version that out/ has for a device; none if there is none, or the answer cannot be read.
fn published_target(out: &Path, imei: Imei) -> Option<Version> {
    let file = answer_path(imei).below(out);
    let answer = AnswerFile::parse(&files::read(&file, LONGEST_ANSWER).ok()?).ok()?;
    answer.offer.target.map(|target| target.version)
}

/// A progress bar on a terminal, for what takes longer than a moment.
pub(crate) fn progress_bar(global: &Global, what: &'static str) -> ProgressBar {
    if global.quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_message(what);
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {human_pos}/{human_len} {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
