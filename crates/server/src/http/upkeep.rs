//! What is done about the records beside the answers, now and then.

use std::path::PathBuf;

use otapress_responder::departed;
use otapress_responder::operate;
use otapress_responder::service::Responder;
use otapress_responder::store::{Store, StoreError};

/// What is to be done, and when it was done last.
pub(super) struct Upkeep {
    out: PathBuf,
    /// The minute of the last look for devices that left the fleet.
    looked: Option<i64>,
}

impl Upkeep {
    pub(super) fn new(out: PathBuf) -> Self {
        Upkeep { out, looked: None }
    }

    /// Does what is due.
    pub(super) fn run(&mut self, store: &mut dyn Store, now: i64) -> Result<(), StoreError> {
        // Devices that never ask again are judged, too, so that a brake is pulled even if nobody else asks.
        operate::judge_overdue(store, now)?;
        let minute = now.div_euclid(60);
        if self.looked.replace(minute) != Some(minute) {
            for (rollout, imei) in departed::look(store, &Responder::new(&self.out), now)? {
                tracing::info!("{rollout}: {imei} left the fleet and gave its place back");
            }
        }
        Ok(())
    }
}
