//! A transaction on records in memory.

use std::collections::BTreeMap;

use super::tables::{Journal, Tables, without_offers};
use otapress_core::id::Imei;
use otapress_responder::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, OfferRecord, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use otapress_responder::records::{Changes, Keys, Records};
use otapress_responder::store::{Member, Place, Rate, Standing, StoreError, Tx};

pub(super) struct Rows<'a> {
    tables: &'a mut Tables,
    journal: Journal,
}

impl<'a> Rows<'a> {
    pub(super) fn new(tables: &'a mut Tables) -> Self {
        Rows { tables, journal: Some(Vec::new()) }
    }

    /// Takes all changes back.
    pub(super) fn undo(self) {
        self.tables.undo(self.journal.unwrap_or_default());
    }
}

fn latest_offer(device: &DeviceRecord) -> DeviceRecord {
    without_offers(device, device.latest_offer().into_iter().cloned().collect())
}

fn in_full(device: &DeviceRecord) -> DeviceRecord {
    let mut offers: Vec<OfferRecord> = device.offers.clone();
    offers.sort_by(|one, other| other.at.cmp(&one.at).then_with(|| one.rollout.cmp(&other.rollout)));
    without_offers(device, offers)
}

fn first<'a>(events: impl Iterator<Item = &'a (i64, Event)>, limit: u32) -> Vec<(i64, Event)> {
    events.take(limit as usize).cloned().collect()
}

impl Tx for Rows<'_> {
    fn load(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError> {
        Ok(self.tables.load(keys, now))
    }

    fn put(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.tables.put(changes, &mut self.journal);
        Ok(())
    }

    fn save(&mut self, records: &Records) -> Result<(), StoreError> {
        self.tables.save(records, &mut self.journal);
        Ok(())
    }

    fn device(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError> {
        Ok(self.tables.device(imei).map(in_full))
    }

    fn rollout(&mut self, id: &str) -> Result<RolloutRecord, StoreError> {
        Ok(self.tables.rollout(id).cloned().unwrap_or_else(|| RolloutRecord::new(id)))
    }

    fn offers_in_hour(&mut self, channel: &str, now: i64) -> Result<u32, StoreError> {
        Ok(self.tables.offers_in_hour(channel, now))
    }

    fn devices(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        Ok(self.tables.devices_after(after, limit).into_iter().map(latest_offer).collect())
    }

    fn devices_in_full(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        Ok(self.tables.devices_after(after, limit).into_iter().map(in_full).collect())
    }

    fn rollouts(&mut self) -> Result<Vec<RolloutRecord>, StoreError> {
        Ok(self.tables.rollouts().cloned().collect())
    }

    fn releases(&mut self) -> Result<Vec<ReleaseRecord>, StoreError> {
        Ok(self.tables.releases().cloned().collect())
    }

    fn channels(&mut self) -> Result<Vec<ChannelRecord>, StoreError> {
        Ok(self.tables.channels().cloned().collect())
    }

    fn places(&mut self, offset: u32, limit: u32) -> Result<Vec<Place>, StoreError> {
        Ok(self.tables.places().into_iter().skip(offset as usize).take(limit as usize).collect())
    }

    fn member_count(&mut self, rollout: &str) -> Result<u32, StoreError> {
        Ok(u32::try_from(self.tables.members(rollout).len()).unwrap_or(u32::MAX))
    }

    fn members(&mut self, rollout: &str, offset: u32, limit: u32) -> Result<Vec<Member>, StoreError> {
        let members = self.tables.members(rollout).into_iter();
        Ok(members.skip(offset as usize).take(limit as usize).collect())
    }

    fn unknowns(&mut self, limit: u32) -> Result<Vec<UnknownRecord>, StoreError> {
        let mut unknown: Vec<_> = self.tables.unknowns().cloned().collect();
        unknown.sort_by(|one, other| {
            other.last_seen.cmp(&one.last_seen).then_with(|| one.name.cmp(&other.name))
        });
        unknown.truncate(limit as usize);
        Ok(unknown)
    }

    fn events(&mut self, after: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        Ok(first(self.tables.events_after(after).iter(), limit))
    }

    fn events_before(&mut self, before: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        Ok(first(self.tables.events().iter().rev().skip_while(|(seq, _)| *seq >= before), limit))
    }

    fn events_of_kinds(
        &mut self,
        kinds: &[EventKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Event)>, StoreError> {
        let of_kinds =
            self.tables.events_after(after).iter().filter(|(_, event)| kinds.contains(&event.kind));
        Ok(first(of_kinds, limit))
    }

    fn events_of(&mut self, imei: Imei, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let of_device = self.tables.events().iter().rev().filter(|(_, event)| event.imei == Some(imei));
        Ok(first(of_device, limit))
    }

    fn cursor(&mut self, name: &str) -> Result<i64, StoreError> {
        let mut cursors = self.tables.cursors();
        Ok(cursors.find(|(known, _)| *known == name).map_or(0, |(_, seq)| seq))
    }

    fn put_cursor(&mut self, name: &str, seq: i64) -> Result<(), StoreError> {
        self.tables.put_cursor(name, seq, &mut self.journal);
        Ok(())
    }

    fn forget_cursor(&mut self, name: &str) -> Result<(), StoreError> {
        self.tables.forget_cursor(name, &mut self.journal);
        Ok(())
    }

    fn forget_events(&mut self, numbers: &[i64]) -> Result<(), StoreError> {
        self.tables.forget_events(numbers, &mut self.journal);
        Ok(())
    }

    fn forget_unknowns(&mut self, before: i64) -> Result<u32, StoreError> {
        Ok(self.tables.forget_unknowns(before, &mut self.journal))
    }

    fn standings(&mut self) -> Result<Vec<(String, Standing)>, StoreError> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for offer in self.tables.every_device().flat_map(|device| &device.offers) {
            // Proof without an offer is no standing.
            if !offer.was_offered() {
                continue;
            }
            standings.entry(offer.rollout.to_string()).or_default().add(offer.verdict);
        }
        Ok(standings.into_iter().collect())
    }

    fn rates(&mut self) -> Result<Vec<Rate>, StoreError> {
        Ok(self.tables.rates())
    }

    fn cursors(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        Ok(self.tables.cursors().map(|(name, seq)| (name.clone(), seq)).collect())
    }
}
