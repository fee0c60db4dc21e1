//! The rows, with what finds them quickly, and the way back from what a transaction changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::shelf::Shelf;
use otapress_core::id::{ClientId, Imei};
use otapress_responder::exchange::{Exchanged, exchange};
use otapress_responder::question::Question;
use otapress_responder::record::{
    ChannelRecord, DeviceRecord, Event, OfferRecord, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use otapress_responder::records::{Changed, Changes, Few, Keys, Lent, OVERDUE_LIMIT, Records};
use otapress_responder::store::{Member, Place, Rate, UNKNOWN_LIMIT, minutes_of_hour};

/// All records. A copy shares them until they are changed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    devices: Shelf<Imei, DeviceRecord>,
    clients: BTreeMap<ClientId, BTreeSet<Imei>>,
    /// Those for whom success is awaited, by rollout.
    deadlines: BTreeMap<Arc<str>, BTreeSet<(i64, Imei)>>,
    rollouts: Shelf<Arc<str>, RolloutRecord>,
    releases: Shelf<Arc<str>, ReleaseRecord>,
    channels: Shelf<Arc<str>, ChannelRecord>,
    unknown: BTreeMap<String, UnknownRecord>,
    rates: BTreeMap<String, BTreeMap<i64, u32>>,
    events: Vec<(i64, Event)>,
    cursors: BTreeMap<String, i64>,
}

/// What one change replaced, by its key or by the record that took its place.
#[derive(Debug)]
pub(super) enum Undo {
    Device(Imei, Option<Arc<DeviceRecord>>),
    Rollout(Arc<RolloutRecord>, Option<Arc<RolloutRecord>>),
    Release(Arc<ReleaseRecord>, Option<Arc<ReleaseRecord>>),
    Channel(Arc<ChannelRecord>, Option<Arc<ChannelRecord>>),
    Unknown(String, Option<UnknownRecord>),
    Rates(String, BTreeMap<i64, u32>),
    Events(usize),
    Forgotten(Vec<(i64, Event)>),
    Cursor(String, Option<i64>),
}

/// The changes of a transaction, the last one at the end; none where it cannot fail.
pub(super) type Journal = Option<Vec<Undo>>;

fn note(journal: &mut Journal, undo: impl FnOnce() -> Undo) {
    if let Some(journal) = journal {
        journal.push(undo());
    }
}

impl Tables {
    pub(super) fn load(&self, keys: &Keys<'_>, now: i64) -> Records {
        let mut records = Records::default();
        let load = |records: &mut Records, id: &str| {
            if records.rollout(id).is_none() {
                self.rollouts.get(id).into_iter().for_each(|rollout| records.load_rollout(rollout.clone()));
            }
        };
        keys.rollouts.iter().for_each(|id| load(&mut records, id));
        let wanted = self.find(keys, now, &mut records);
        for of_device in wanted.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(device) = self.devices.get(&of_device[0].0) else { continue };
            let is_wanted = |offer: &OfferRecord| {
                offer.place
                    || offer.blamed.is_some()
                    || offer.wave.is_some()
                    || device.latest.as_ref() == Some(&offer.rollout)
                    || of_device.iter().any(|(_, rollout)| *rollout == Some(&*offer.rollout))
            };
            let mut is_whole = true;
            for offer in &device.offers {
                match is_wanted(offer) {
                    true => load(&mut records, &offer.rollout),
                    false => is_whole = false,
                }
            }
            match is_whole {
                true => records.load_device(device.clone()),
                false => {
                    let offers = device.offers.iter().filter(|offer| is_wanted(offer));
                    records.load_device(without_offers(device, offers.cloned().collect()));
                }
            }
        }
        self.releases.values().for_each(|release| records.load_release(release.clone()));
        let channels = keys.channels.iter().filter_map(|&channel| self.channels.get(channel));
        channels.for_each(|channel| records.load_channel(channel.clone()));
        records
    }

    /// Answers a question in one transaction, which does not fail: so the records are lent for it, and
    /// nothing is copied.
    pub(super) fn ask(&mut self, question: &Question, now: i64) -> Exchanged {
        let mut keys = Keys::default();
        question.add_keys(&mut keys);
        let mut records = Records::default();
        let mut wanted = self.find(&keys, now, &mut records);
        wanted.dedup_by_key(|(imei, _)| *imei);
        let mut lent = Lent::default();
        lent.devices.extend(wanted.into_iter().filter_map(|(imei, _)| self.devices.lend(&imei)));
        // A question that names no clientID changes none.
        let of_client = !keys.clients.is_empty();
        let marks = |device: &Arc<DeviceRecord>| (device.imei, Marks::of(device, of_client));
        let marks: Vec<_> = lent.devices.iter().map(marks).collect();
        let of_devices = lent.devices.iter().flat_map(|device| &device.offers).map(|offer| &*offer.rollout);
        let rollouts = keys.rollouts.iter().copied().chain(of_devices);
        // Who is lent already is not there again.
        lent.rollouts = rollouts.filter_map(|id| self.rollouts.lend(id)).collect();
        lent.releases = self.releases.lend_all();
        lent.channels = keys.channels.iter().filter_map(|&name| self.channels.lend(name)).collect();
        records.lend(lent);
        let exchanged = exchange(&mut records, question, now);
        let Lent { devices, rollouts, releases, channels } = records.give_back();
        for device in devices {
            let imei = device.imei;
            let before = marks.iter().find(|(of, _)| *of == imei).map(|(_, marks)| marks);
            self.mark(imei, before.unwrap_or(&Marks::default()), &Marks::of(&device, of_client));
            self.devices.put(&imei, sorted(device));
        }
        rollouts.into_iter().for_each(|record| drop(self.rollouts.put(&record.id.clone(), record)));
        releases.into_iter().for_each(|record| drop(self.releases.put(&record.version.clone(), record)));
        channels.into_iter().for_each(|record| drop(self.channels.put(&record.name.clone(), record)));
        self.put(&records.changes(), &mut None);
        exchanged
    }

    /// Loads what is only read. Returns the devices with the rollouts they are asked for with.
    fn find<'a>(&self, keys: &Keys<'a>, now: i64, records: &mut Records) -> Few<(Imei, Option<&'a str>)> {
        let of_clients = keys.clients.iter().filter_map(|client| self.clients.get(client)).flatten();
        let mut wanted = keys.devices.clone();
        wanted.extend(of_clients.map(|imei| (*imei, None)));
        for id in distinct(keys.rollouts.clone()) {
            for imei in self.overdue(id, records.rollout(id).or_else(|| self.rollout(id)), now) {
                records.load_overdue(id, imei);
                wanted.push((imei, Some(id)));
            }
        }
        wanted.sort_unstable();
        for &channel in &keys.channels {
            match self.offers_in_hour(channel, now) {
                0 => {}
                offers => records.load_recent(channel, offers),
            }
        }
        for name in &keys.names {
            self.unknown.get(name).into_iter().for_each(|known| records.load_unknown(known.clone()));
        }
        wanted
    }

    /// The devices that are overdue in a rollout, the one that waits longest first.
    fn overdue(&self, id: &str, rollout: Option<&RolloutRecord>, now: i64) -> Vec<Imei> {
        let clock = rollout.map(|rollout| rollout.clock).unwrap_or_default();
        let (Some(time), Some(deadlines)) = (clock.steady(now), self.deadlines.get(id)) else {
            return Vec::new();
        };
        let overdue = deadlines.iter().take_while(|(deadline, _)| *deadline <= time);
        overdue.take(OVERDUE_LIMIT as usize).map(|(_, imei)| *imei).collect()
    }

    /// Keeps what was changed of records that were loaded from here. They are shared, not copied.
    pub(super) fn save(&mut self, records: &Records, journal: &mut Journal) {
        let Changed { devices, rollouts, releases, channels, mut others } = records.changed();
        for (loaded, record) in devices {
            let is_whole = match (loaded, self.devices.get(&record.imei)) {
                (Some(loaded), Some(known)) => Arc::ptr_eq(loaded, known),
                (None, None) => true,
                _ => false,
            };
            match is_whole {
                true => self.set_device(record.imei, Some(sorted(record.clone())), journal),
                false => others.changed_device(loaded, record),
            }
        }
        rollouts.into_iter().for_each(|record| self.put_rollout(record.clone(), journal));
        releases.into_iter().for_each(|record| self.put_release(record.clone(), journal));
        channels.into_iter().for_each(|record| self.put_channel(record.clone(), journal));
        self.put(&others, journal);
    }

    fn put_rollout(&mut self, record: Arc<RolloutRecord>, journal: &mut Journal) {
        let before = self.rollouts.put(&record.id, record.clone());
        note(journal, || Undo::Rollout(record, before));
    }

    fn put_release(&mut self, record: Arc<ReleaseRecord>, journal: &mut Journal) {
        let before = self.releases.put(&record.version, record.clone());
        note(journal, || Undo::Release(record, before));
    }

    fn put_channel(&mut self, record: Arc<ChannelRecord>, journal: &mut Journal) {
        let before = self.channels.put(&record.name, record.clone());
        note(journal, || Undo::Channel(record, before));
    }

    pub(super) fn put(&mut self, changes: &Changes<'_>, journal: &mut Journal) {
        let Changes { devices, offers, rollouts, releases, channels, unknown, rates, events, numbered } =
            changes;
        for &device in devices {
            let offers = self.devices.get(&device.imei).map_or(Vec::new(), |known| known.offers.clone());
            self.set_device(device.imei, Some(without_offers(device, offers).into()), journal);
        }
        for (imei, offer) in offers {
            let Some(known) = self.devices.get(imei) else { continue };
            let mut device = DeviceRecord::clone(known);
            match device.offers.iter_mut().find(|known| known.rollout == offer.rollout) {
                Some(known) => *known = (*offer).clone(),
                None => device.offers.push((*offer).clone()),
            }
            sort(&mut device.offers);
            self.set_device(*imei, Some(device.into()), journal);
        }
        rollouts.iter().for_each(|&record| self.put_rollout(record.clone().into(), journal));
        releases.iter().for_each(|&record| self.put_release(record.clone().into(), journal));
        channels.iter().for_each(|&record| self.put_channel(record.clone().into(), journal));
        for &record in unknown {
            let before = self.unknown.insert(record.name.clone(), record.clone());
            note(journal, || Undo::Unknown(record.name.clone(), before));
        }
        while self.unknown.len() > UNKNOWN_LIMIT as usize {
            let Some(oldest) = self.unknown.values().min_by_key(|known| known.last_seen) else { break };
            let name = oldest.name.clone();
            let before = self.unknown.remove(&name);
            note(journal, || Undo::Unknown(name, before));
        }
        for (channel, minute, offers) in rates {
            let minutes = self.rates.entry((*channel).to_owned()).or_default();
            note(journal, || Undo::Rates((*channel).to_owned(), minutes.clone()));
            // Earlier hours are of no use to anybody.
            *minutes = minutes.split_off(&(minute - 120));
            *minutes.entry(*minute).or_default() += offers;
        }
        note(journal, || Undo::Events(self.events.len()));
        self.events.extend(numbered.iter().map(|(seq, event)| (*seq, (*event).clone())));
        for &event in events {
            let seq = self.events.last().map_or(1, |(seq, _)| seq + 1);
            self.events.push((seq, event.clone()));
        }
    }

    /// Replaces a device with all of its offers.
    fn set_device(&mut self, imei: Imei, device: Option<Arc<DeviceRecord>>, journal: &mut Journal) {
        let before = self.devices.set(imei, device.clone());
        if !Marks::are_same(before.as_deref(), device.as_deref()) {
            let marks = |device: Option<&DeviceRecord>| {
                device.map(|device| Marks::of(device, true)).unwrap_or_default()
            };
            self.mark(imei, &marks(before.as_deref()), &marks(device.as_deref()));
        }
        note(journal, || Undo::Device(imei, before));
    }

    /// Keeps up with what a device is found by.
    fn mark(&mut self, imei: Imei, before: &Marks, after: &Marks) {
        if before.client != after.client {
            if let Some(client) = &before.client {
                self.clients.entry(client.clone()).or_default().remove(&imei);
            }
            if let Some(client) = &after.client {
                self.clients.entry(client.clone()).or_default().insert(imei);
            }
        }
        if before.deadlines != after.deadlines {
            for (rollout, deadline) in &before.deadlines {
                self.deadlines.entry(rollout.clone()).or_default().remove(&(*deadline, imei));
            }
            for (rollout, deadline) in &after.deadlines {
                self.deadlines.entry(rollout.clone()).or_default().insert((*deadline, imei));
            }
        }
    }

    pub(super) fn put_cursor(&mut self, name: &str, seq: i64, journal: &mut Journal) {
        let before = self.cursors.get(name).copied();
        self.cursors.insert(name.to_owned(), seq.max(before.unwrap_or(0)));
        note(journal, || Undo::Cursor(name.to_owned(), before));
    }

    pub(super) fn forget_cursor(&mut self, name: &str, journal: &mut Journal) {
        let before = self.cursors.remove(name);
        note(journal, || Undo::Cursor(name.to_owned(), before));
    }

    pub(super) fn forget_events(&mut self, numbers: &[i64], journal: &mut Journal) {
        let forgotten = self.events.extract_if(.., |(seq, _)| numbers.contains(seq)).collect();
        note(journal, || Undo::Forgotten(forgotten));
    }

    /// Returns how many.
    pub(super) fn forget_unknowns(&mut self, before: i64, journal: &mut Journal) -> u32 {
        let (old, kept): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.unknown).into_iter().partition(|(_, known)| known.last_seen < before);
        self.unknown = kept;
        let count = u32::try_from(old.len()).unwrap_or(u32::MAX);
        old.into_iter().for_each(|(name, known)| note(journal, || Undo::Unknown(name, Some(known))));
        count
    }

    /// Takes changes back, the last one first.
    pub(super) fn undo(&mut self, journal: Vec<Undo>) {
        fn set<T>(table: &mut BTreeMap<String, T>, key: String, before: Option<T>) {
            match before {
                Some(before) => table.insert(key, before),
                None => table.remove(&key),
            };
        }
        for undo in journal.into_iter().rev() {
            match undo {
                Undo::Device(imei, before) => self.set_device(imei, before, &mut None),
                Undo::Rollout(put, before) => drop(self.rollouts.set(put.id.clone(), before)),
                Undo::Release(put, before) => drop(self.releases.set(put.version.clone(), before)),
                Undo::Channel(put, before) => drop(self.channels.set(put.name.clone(), before)),
                Undo::Unknown(key, before) => set(&mut self.unknown, key, before),
                Undo::Rates(key, before) => set(&mut self.rates, key, Some(before)),
                Undo::Events(count) => self.events.truncate(count),
                Undo::Forgotten(events) => {
                    self.events.extend(events);
                    self.events.sort_by_key(|(seq, _)| *seq);
                }
                Undo::Cursor(key, before) => set(&mut self.cursors, key, before),
            }
        }
    }

    pub(super) fn device(&self, imei: Imei) -> Option<&DeviceRecord> {
        self.devices.get(&imei).map(|device| &**device)
    }

    /// In the order of IMEIs as text, after one of them.
    pub(super) fn devices_after(&self, after: Option<Imei>, limit: u32) -> Vec<&DeviceRecord> {
        let mut devices: Vec<_> =
            self.devices.values().map(|device| (device.imei.to_string(), device)).collect();
        devices.sort_by(|one, other| one.0.cmp(&other.0));
        let after = after.map(|imei| imei.to_string()).unwrap_or_default();
        let rest = devices.into_iter().skip_while(|(imei, _)| *imei <= after);
        rest.take(limit as usize).map(|(_, device)| &**device).collect()
    }

    pub(super) fn every_device(&self) -> impl Iterator<Item = &DeviceRecord> {
        self.devices.values().map(|device| &**device)
    }

    pub(super) fn rollout(&self, id: &str) -> Option<&RolloutRecord> {
        self.rollouts.get(id).map(|rollout| &**rollout)
    }

    pub(super) fn rollouts(&self) -> impl Iterator<Item = &RolloutRecord> {
        self.rollouts.values().map(|record| &**record)
    }

    pub(super) fn releases(&self) -> impl Iterator<Item = &ReleaseRecord> {
        self.releases.values().map(|record| &**record)
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &ChannelRecord> {
        self.channels.values().map(|record| &**record)
    }

    pub(super) fn unknowns(&self) -> impl Iterator<Item = &UnknownRecord> {
        self.unknown.values()
    }

    pub(super) fn cursors(&self) -> impl Iterator<Item = (&String, i64)> {
        self.cursors.iter().map(|(name, seq)| (name, *seq))
    }

    pub(super) fn events(&self) -> &[(i64, Event)] {
        &self.events
    }

    pub(super) fn events_after(&self, seq: i64) -> &[(i64, Event)] {
        match self.events.last() {
            Some((last, _)) if *last > seq => {
                &self.events[self.events.partition_point(|(known, _)| *known <= seq)..]
            }
            // Mostly there are none.
            _ => &[],
        }
    }

    /// The places that count, by rollout and IMEI.
    pub(super) fn places(&self) -> Vec<Place> {
        let offers = self.devices.values().flat_map(|device| device.offers.iter().map(|o| (device.imei, o)));
        let counts = |offer: &OfferRecord| {
            offer.place && self.rollouts.get(&offer.rollout).is_some_and(|r| r.epoch == offer.epoch)
        };
        let mut places: Vec<_> = offers
            .filter(|(_, offer)| counts(offer))
            .map(|(imei, offer)| Place { rollout: offer.rollout.to_string(), imei, missing: offer.missing })
            .collect();
        places.sort_by_cached_key(|place| (place.rollout.clone(), place.imei.to_string()));
        places
    }

    /// The devices that are counted in waves of a rollout, by IMEI.
    pub(super) fn members(&self, rollout: &str) -> Vec<Member> {
        let member = |device: &DeviceRecord| {
            let offer = device.offer(rollout)?;
            Some(Member { imei: device.imei, wave: offer.wave?, outside: offer.outside })
        };
        let mut members: Vec<_> = self.every_device().filter_map(member).collect();
        members.sort_by_cached_key(|member| member.imei.to_string());
        members
    }

    pub(super) fn offers_in_hour(&self, channel: &str, now: i64) -> u32 {
        let (first, last) = minutes_of_hour(now);
        self.rates.get(channel).map_or(0, |minutes| minutes.range(first..=last).map(|(_, n)| n).sum())
    }

    pub(super) fn rates(&self) -> Vec<Rate> {
        let of = |(channel, minutes): (&String, &BTreeMap<i64, u32>)| {
            let rate = |(&minute, &offers)| Rate { channel: channel.clone(), minute, offers };
            minutes.iter().map(rate).collect::<Vec<_>>()
        };
        self.rates.iter().flat_map(of).collect()
    }
}

/// Each name once.
fn distinct(mut names: Few<&str>) -> Few<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

/// The device with its offers in order.
fn sorted(mut device: Arc<DeviceRecord>) -> Arc<DeviceRecord> {
    if !device.offers.is_sorted_by_key(|offer| &*offer.rollout) {
        sort(&mut Arc::make_mut(&mut device).offers);
    }
    device
}

fn sort(offers: &mut [OfferRecord]) {
    offers.sort_by(|one, other| one.rollout.cmp(&other.rollout));
}

/// What a device is found by.
#[derive(Debug, Default)]
struct Marks {
    client: Option<ClientId>,
    /// The rollouts in which success is awaited.
    deadlines: Vec<(Arc<str>, i64)>,
}

impl Marks {
    /// Whether two states of a device are found by the same.
    fn are_same(one: Option<&DeviceRecord>, other: Option<&DeviceRecord>) -> bool {
        fn deadlines(device: Option<&DeviceRecord>) -> impl Iterator<Item = (&str, i64)> {
            let offers = device.map(|device| &*device.offers).unwrap_or_default().iter();
            offers.filter_map(|offer| Some((&*offer.rollout, offer.deadline?)))
        }
        let is_same_client =
            one.and_then(|one| one.client.as_ref()) == other.and_then(|other| other.client.as_ref());
        is_same_client && deadlines(one).eq(deadlines(other))
    }

    fn of(device: &DeviceRecord, with_client: bool) -> Self {
        let deadline = |offer: &OfferRecord| offer.deadline.map(|deadline| (offer.rollout.clone(), deadline));
        Marks {
            client: device.client.as_ref().filter(|_| with_client).cloned(),
            deadlines: device.offers.iter().filter_map(deadline).collect(),
        }
    }
}

/// A device with other offers.
pub(super) fn without_offers(device: &DeviceRecord, offers: Vec<OfferRecord>) -> DeviceRecord {
    let DeviceRecord { imei, client, first_seen, last_seen, reported, refusal, settings, .. } = device;
    DeviceRecord {
        imei: *imei,
        client: client.clone(),
        first_seen: *first_seen,
        last_seen: *last_seen,
        reported: *reported,
        refusal: *refusal,
        settings: settings.clone(),
        latest: device.latest.clone(),
        offers,
        result: device.result.clone(),
        budget: device.budget.clone(),
    }
}
