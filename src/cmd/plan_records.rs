//! What the records say of the devices of a plan: where they are, and what keeps them from their targets.

use std::collections::HashMap;
use std::sync::Arc;

use super::required_store;
use crate::context::Global;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::plan::names::Names;
use otapress_publish::plan::{Aim, Hindrance, Plan};
use otapress_responder::record::{OfferRecord, ReleaseRecord, RolloutRecord};
use otapress_responder::store::Store as _;

/// Devices read from the records per page.
const PAGE: u32 = 1000;

/// The records, as far as a plan asks.
#[derive(Default)]
pub(super) struct Known {
    /// The version that each device has reported last.
    reported: HashMap<Imei, Version>,
    /// The offers of each device that it has used attempts of.
    offers: HashMap<Imei, Vec<OfferRecord>>,
    rollouts: HashMap<Arc<str>, RolloutRecord>,
    releases: Vec<ReleaseRecord>,
}

pub(super) fn read(global: &Global) -> anyhow::Result<Known> {
    let mut store = required_store(global)?;
    let mut known = Known::default();
    store.read(&mut |tx| {
        known = Known { releases: tx.releases()?, ..Known::default() };
        known.rollouts = tx.rollouts()?.into_iter().map(|rollout| (rollout.id.clone(), rollout)).collect();
        let mut after = None;
        loop {
            let page = tx.devices_in_full(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.imei);
            known.reported.extend(page.iter().filter_map(|device| Some((device.imei, device.reported?))));
            for mut device in page {
                device.offers.retain(|offer| offer.attempts > 0);
                if !device.offers.is_empty() {
                    known.offers.insert(device.imei, device.offers);
                }
            }
        }
    })?;
    Ok(known)
}

impl Known {
    /// Notes where the devices are, and what is in their way.
    pub(super) fn tell(&self, plan: &mut Plan, names: &Names<'_>) {
        plan.locate(&self.reported);
        for aim in plan.aims.clone() {
            // Who runs it needs no offer.
            let is_there = |imei: &Imei| self.reported.get(imei) == Some(&aim.version);
            let mut waiting: Vec<_> = plan.aimed(&aim).filter(|imei| !is_there(imei)).collect();
            names.sort(&mut waiting);
            let record = self.rollouts.get(&*aim.rollout).cloned();
            let record = record.unwrap_or_else(|| RolloutRecord::new(&*aim.rollout));
            let record = record.with_release(&self.releases);
            let exhausted = waiting.iter().copied().filter(|imei| self.is_exhausted(*imei, &aim, &record));
            plan.hinder(&aim.rollout, Hindrance::Exhausted, exhausted.collect());
            let places = aim.unproven.places(record.proven.into());
            if let Some(halt) = record.halted {
                plan.hinder(&aim.rollout, Hindrance::Halted(halt.reason), waiting);
            } else if places.is_some_and(|places| u64::from(record.places) >= places) {
                plan.hinder(&aim.rollout, Hindrance::Proving(record.places), waiting);
            }
        }
    }

    fn is_exhausted(&self, imei: Imei, aim: &Aim, record: &RolloutRecord) -> bool {
        let offer = self.offers.get(&imei).and_then(|of| of.iter().find(|of| *of.rollout == *aim.rollout));
        offer.is_some_and(|offer| offer.epoch >= record.attempts_since && offer.attempts >= aim.attempts)
    }
}
