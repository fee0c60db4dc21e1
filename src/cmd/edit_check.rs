//! What an edit would make of the whole fleet: JARs, template and out/ included, which an edit does not read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;

use super::project::Project;
use crate::context::Global;
use otapress_publish::diag::Code;
use otapress_publish::edit::Edited;

/// The errors of each kind.
type Errors = BTreeMap<Code, usize>;

/// Refuses new texts of which `check` finds more errors than of those on the disk, and shows them. A fleet
/// that has errors can still be edited, or nobody could mend it by command.
///
/// # Errors
/// If there are more.
pub(super) fn no_new_mistakes(global: &Global, files: &BTreeMap<PathBuf, Edited>) -> anyhow::Result<()> {
    let texts = files.iter().map(|(path, Edited { new, .. })| (path.clone(), new.clone())).collect();
    let mut after = Project::load_within(global, &global.reach().with_texts(texts));
    let unrendered = errors(&after);
    after.check(global);
    let found = errors(&after);
    if found.is_empty() {
        return Ok(());
    }
    let mut before = Project::load(global);
    let is_renderable = before.fleet().is_some();
    before.check(global);
    let known = errors(&before);
    // An edit that mends the last mistake of the files lets those come to light that rendering finds.
    let found = if is_renderable { found } else { unrendered };
    let is_new = |code: Code| found.get(&code) > known.get(&code);
    if found.keys().any(|code| is_new(*code)) {
        after.show(global, |diagnostic| diagnostic.is_error() && is_new(diagnostic.code))?;
        bail!("the edit would break the fleet, so nothing was written");
    }
    Ok(())
}

fn errors(project: &Project) -> Errors {
    let mut errors = Errors::new();
    for diagnostic in project.diagnostics().iter().filter(|found| found.is_error()) {
        *errors.entry(diagnostic.code).or_default() += 1;
    }
    errors
}
