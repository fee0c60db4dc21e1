//! The inputs of a fleet, watched for changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::project::Project;
use crate::context::Global;
use otapress_core::stamp::Stamp;

/// What the fleet is made of, as it was at one moment. To compare costs a look at each file's metadata; only
/// a change is worth reading everything.
pub(crate) struct Inputs(BTreeMap<PathBuf, Option<Stamp>>);

impl Inputs {
    /// Reads the fleet to know what it is made of.
    pub(crate) fn of(global: &Global) -> Self {
        // Stamped before it is read: what it names depends on it.
        let fleet = (global.fleet.clone(), stamp(&global.fleet));
        let project = Project::load(global);
        let mut paths: BTreeSet<PathBuf> = project.inputs(global);
        if let Some((fleet, _)) = project.fleet() {
            let auths = fleet.groups().iter().flat_map(|group| group.provisioning.auths());
            paths.extend(auths.map(|auth| fleet.dir().join(&auth.password_file)));
        }
        let mut stamps: BTreeMap<_, _> = paths
            .into_iter()
            .map(|path| {
                let stamp = stamp(&path);
                (path, stamp)
            })
            .collect();
        stamps.extend([fleet]);
        Inputs(stamps)
    }

    pub(crate) fn have_changed(&self) -> bool {
        self.0.iter().any(|(path, then)| stamp(path) != *then)
    }
}

/// `None` if there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    Some(Stamp::from(&fs::metadata(path).ok()?))
}
