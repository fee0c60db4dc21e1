//! The releases of a batch, found by the rollouts that bring them.

use super::draft::Draft;
use super::table::Table;
use crate::record::{ReleaseRecord, RolloutRecord};

/// Releases with faults, or that had some: of most nothing is known.
#[derive(Clone, Debug, Default)]
pub struct Releases(pub(super) Table<ReleaseRecord>);

impl Releases {
    /// What is known of the release that a rollout brings.
    pub(crate) fn known(&self, rollout: &str) -> Option<&ReleaseRecord> {
        // Spares the search for its name.
        if self.0.is_empty() { None } else { self.0.get(&RolloutRecord::release(rollout)) }
    }

    /// The same for changing. Unchanged, one that nothing is known of is not written.
    pub(crate) fn of(&mut self, rollout: &str) -> Draft<'_, ReleaseRecord> {
        self.0.draft(&RolloutRecord::release(rollout), ReleaseRecord::new)
    }
}
