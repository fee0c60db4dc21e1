//! A database in memory, for tests of the pure core.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::exchange::{Exchanged, exchange};
use super::question::Question;
use super::record::{ChannelRecord, DeviceRecord, Event, OfferRecord, ReleaseRecord, RolloutRecord};
use super::records::{Keys, OVERDUE_LIMIT, Records};
use otapress_core::id::Imei;

#[derive(Default)]
pub(super) struct Memory {
    devices: BTreeMap<Imei, DeviceRecord>,
    pub(super) rollouts: BTreeMap<Arc<str>, RolloutRecord>,
    releases: Vec<ReleaseRecord>,
    channels: BTreeMap<Arc<str>, ChannelRecord>,
    deadlines: BTreeSet<(Arc<str>, i64, Imei)>,
    pub(super) events: Vec<Event>,
}

impl Memory {
    /// Answers a question in one transaction.
    pub(super) fn ask(&mut self, question: &Question, now: i64) -> Exchanged {
        let mut keys = Keys::default();
        question.add_keys(&mut keys);
        let mut records = Records::default();
        let mut rollouts: BTreeSet<Arc<str>> = keys.rollouts.iter().map(|&id| id.into()).collect();
        let mut imeis: BTreeSet<Imei> = keys.devices.iter().map(|(imei, _)| *imei).collect();
        for &id in &keys.rollouts {
            let clock = self.rollouts.get(id).map(|rollout| rollout.clock).unwrap_or_default();
            let Some(time) = clock.steady(now) else { continue };
            let from = (id.into(), i64::MIN, "00000000000000".parse().unwrap());
            let overdue = self.deadlines.range(from..).take_while(|(of, at, _)| **of == *id && *at <= time);
            for (_, _, imei) in overdue.take(OVERDUE_LIMIT as usize) {
                records.load_overdue(id, *imei);
                imeis.insert(*imei);
            }
        }
        for device in imeis.iter().filter_map(|imei| self.devices.get(imei)) {
            rollouts.extend(device.offers.iter().map(|offer| offer.rollout.clone()));
            records.load_device(device.clone());
        }
        rollouts.iter().filter_map(|id| self.rollouts.get(id)).for_each(|r| records.load_rollout(r.clone()));
        self.releases.iter().for_each(|release| records.load_release(release.clone()));
        self.channels.values().for_each(|channel| records.load_channel(channel.clone()));
        let exchanged = exchange(&mut records, question, now);
        let changes = records.changes();
        for device in &changes.devices {
            let known = self.devices.entry(device.imei).or_insert_with(|| (*device).clone());
            *known = DeviceRecord { offers: std::mem::take(&mut known.offers), ..(*device).clone() };
        }
        for (imei, offer) in &changes.offers {
            let device = self.devices.get_mut(imei).unwrap();
            let key = |offer: &OfferRecord| Some((offer.rollout.clone(), offer.deadline?, *imei));
            match device.offer_mut(&offer.rollout) {
                Some(known) => {
                    if let Some(key) = key(known) {
                        self.deadlines.remove(&key);
                    }
                    *known = (*offer).clone();
                }
                None => device.offers.push((*offer).clone()),
            }
            self.deadlines.extend(key(offer));
        }
        self.rollouts.extend(changes.rollouts.iter().map(|r| (r.id.clone(), (*r).clone())));
        self.channels.extend(changes.channels.iter().map(|c| (c.name.clone(), (*c).clone())));
        for release in &changes.releases {
            self.releases.retain(|known| known.version != release.version);
            self.releases.push((*release).clone());
        }
        self.events.extend(changes.events.into_iter().cloned());
        exchanged
    }
}
