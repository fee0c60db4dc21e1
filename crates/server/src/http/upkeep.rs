//! What is done about the records beside the answers, now and then.

use std::path::PathBuf;

use otapress_core::words::count;
use otapress_responder::departed;
use otapress_responder::operate;
use otapress_responder::retention::Pass;
use otapress_responder::service::Responder;
use otapress_responder::store::{Store, StoreError};

/// What is to be done, and when it was done last.
pub(super) struct Upkeep {
    out: PathBuf,
    /// The minute of the last look for devices that left the fleet.
    looked: Option<i64>,
    /// For how many days events are kept; absent: for ever.
    keep: Option<u32>,
    /// The hour in which old events were looked for last, and how far that has come.
    pruned: Option<i64>,
    pass: Option<Pass>,
}

impl Upkeep {
    pub(super) fn new(out: PathBuf, keep: Option<u32>) -> Self {
        Upkeep { out, looked: None, keep, pruned: None, pass: None }
    }

    /// Does what is due.
    pub(super) fn run(&mut self, store: &mut dyn Store, now: i64) -> Result<(), StoreError> {
        // Somebody may have removed them while we serve.
        if let Some(said) = operate::note_no_memory(store, &self.out, now)? {
            tracing::warn!("{said}");
        }
        // Devices that never ask again are judged, too, so that a brake is pulled even if nobody else asks.
        operate::judge_overdue(store, now)?;
        let minute = now.div_euclid(60);
        if self.looked.replace(minute) != Some(minute) {
            for (rollout, imei) in departed::look(store, &Responder::new(&self.out), now)? {
                tracing::info!("{rollout}: {imei} left the fleet and gave its place back");
            }
        }
        self.prune(store, now)
    }

    /// Forgets a few of the old events at a time.
    fn prune(&mut self, store: &mut dyn Store, now: i64) -> Result<(), StoreError> {
        let Some(days) = self.keep else { return Ok(()) };
        let hour = now.div_euclid(3600);
        if self.pass.is_none() && self.pruned.replace(hour) != Some(hour) {
            self.pass = Some(Pass::new(days, now));
        }
        let Some(mut pass) = self.pass.take() else { return Ok(()) };
        let forgotten = pass.step(store, now)?;
        if forgotten.events > 0 {
            let events = count(forgotten.events, "event");
            tracing::debug!("{events} older than {} forgotten", count(days, "day"));
        }
        self.pass = (!forgotten.is_done).then_some(pass);
        Ok(())
    }
}
