//! What a transaction has read and is going to write: kept here, so that the server, which may be far away, is
//! asked seldom and told once.

use std::collections::{BTreeMap, BTreeSet};

use super::bulk::{self, Bulk};
use otapress_core::id::{ClientId, Imei};
use otapress_responder::record::{DeviceRecord, Event, OfferRecord, RolloutRecord, UnknownRecord};
use otapress_responder::store::Rate;

/// So many records are written at a time, so that a long transaction needs little memory.
const PENDING: usize = 2_000;

/// A record, as the transaction sees it.
#[derive(Clone, Debug)]
struct Kept<T> {
    record: T,
    /// It is to be written.
    dirty: bool,
}

/// A device: what is known of it, not always all of its offers.
#[derive(Clone, Debug)]
struct Device {
    record: Option<Kept<DeviceRecord>>,
    /// By rollout; an offer that is known not to be there is absent.
    offers: BTreeMap<String, Option<Kept<OfferRecord>>>,
}

/// What is to be done once everything is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Afterwards {
    /// Unknown devices that are too many are to be forgotten.
    pub forget: bool,
    /// Further events are to be numbered behind those that had their numbers.
    pub advance: bool,
}

/// Everything that is held.
#[derive(Debug, Default)]
pub(super) struct Held {
    devices: BTreeMap<Imei, Device>,
    clients: BTreeMap<ClientId, BTreeSet<Imei>>,
    rollouts: BTreeMap<String, Kept<RolloutRecord>>,
    unknown: BTreeMap<String, Option<Kept<UnknownRecord>>>,
    /// By rollout and time, where all of them are known.
    overdue: BTreeMap<(String, i64), BTreeSet<(i64, Imei)>>,
    /// By channel and time.
    in_hour: BTreeMap<(String, i64), u32>,
    /// By channel and minute.
    counted: BTreeMap<(String, i64), i64>,
    events: Vec<Event>,
    /// Events that have their numbers.
    numbered: Vec<(i64, Event)>,
    pending: usize,
}

impl Held {
    /// A device with its latest offer and that of `rollout`; the outer `None` if the server has to be asked.
    pub(super) fn device(&self, imei: Imei, rollout: Option<&str>) -> Option<Option<DeviceRecord>> {
        let device = self.devices.get(&imei)?;
        let Some(kept) = &device.record else { return Some(None) };
        let mut record = kept.record.clone();
        let wanted: BTreeSet<&str> = record.latest.as_deref().into_iter().chain(rollout).collect();
        let mut offers = Vec::with_capacity(wanted.len());
        for rollout in wanted {
            offers.extend(device.offers.get(rollout)?.as_ref().map(|kept| kept.record.clone()));
        }
        record.offers = offers;
        Some(Some(record))
    }

    /// Keeps what was read of devices: of each IMEI that was asked for, the rollout that was asked for too.
    pub(super) fn read_devices<'a>(
        &mut self,
        asked: impl IntoIterator<Item = (Imei, Option<&'a str>)>,
        devices: Vec<DeviceRecord>,
        offers: Vec<(Imei, OfferRecord)>,
    ) {
        let mut read: BTreeMap<Imei, Device> = BTreeMap::new();
        for (imei, rollout) in asked {
            let device = read.entry(imei).or_insert(Device { record: None, offers: BTreeMap::new() });
            device.offers.extend(rollout.map(|rollout| (rollout.to_owned(), None)));
        }
        for record in devices {
            let Some(device) = read.get_mut(&record.imei) else { continue };
            // Without it there was none.
            device.offers.extend(record.latest.clone().map(|latest| (latest, None)));
            device.record = Some(Kept { record, dirty: false });
        }
        for (imei, offer) in offers {
            let Some(device) = read.get_mut(&imei) else { continue };
            device.offers.insert(offer.rollout.clone(), Some(Kept { record: offer, dirty: false }));
        }
        for (imei, device) in read {
            match self.devices.get_mut(&imei) {
                None => drop(self.devices.insert(imei, device)),
                // What was put since, and was not written yet, counts more.
                Some(known) => {
                    for (rollout, offer) in device.offers {
                        known.offers.entry(rollout).or_insert(offer);
                    }
                }
            }
        }
    }

    /// Puts a device and its offers.
    pub(super) fn put_device(&mut self, device: &DeviceRecord) {
        let (imei, client) = (device.imei, device.client.as_ref());
        for (of, imeis) in &mut self.clients {
            if Some(of) == client {
                imeis.insert(imei);
            } else {
                imeis.remove(&imei);
            }
        }
        for ((rollout, now), overdue) in &mut self.overdue {
            if let Some(offer) = device.offer(rollout) {
                overdue.retain(|&(_, of)| of != imei);
                overdue.extend(offer.deadline.filter(|deadline| deadline <= now).map(|at| (at, imei)));
            }
        }
        let kept = self.devices.entry(imei).or_insert(Device { record: None, offers: BTreeMap::new() });
        let record = DeviceRecord { offers: Vec::new(), ..device.clone() };
        kept.record = Some(Kept { record, dirty: true });
        for offer in &device.offers {
            let offer = Kept { record: offer.clone(), dirty: true };
            kept.offers.insert(offer.record.rollout.clone(), Some(offer));
        }
        self.pending += 1 + device.offers.len();
    }

    /// The devices with that clientID.
    pub(super) fn clients(&self, client: &ClientId) -> Option<Vec<Imei>> {
        // As the server orders them: as text.
        let mut imeis: Vec<_> = self.clients.get(client)?.iter().copied().collect();
        imeis.sort_by_cached_key(Imei::to_string);
        Some(imeis)
    }

    /// Keeps which devices have the clientIDs that were asked for.
    pub(super) fn read_clients<'a>(
        &mut self,
        asked: impl IntoIterator<Item = &'a ClientId>,
        found: Vec<(ClientId, Imei)>,
    ) {
        let mut read: BTreeMap<ClientId, BTreeSet<Imei>> =
            asked.into_iter().map(|client| (client.clone(), BTreeSet::new())).collect();
        for (client, imei) in found {
            read.entry(client).or_default().insert(imei);
        }
        for (client, mut imeis) in read {
            for (&imei, device) in &self.devices {
                let Some(kept) = device.record.as_ref().filter(|kept| kept.dirty) else { continue };
                if kept.record.client.as_ref() == Some(&client) {
                    imeis.insert(imei);
                } else {
                    imeis.remove(&imei);
                }
            }
            self.clients.entry(client).or_insert(imeis);
        }
    }

    /// A rollout.
    pub(super) fn rollout(&self, id: &str) -> Option<RolloutRecord> {
        self.rollouts.get(id).map(|kept| kept.record.clone())
    }

    /// Keeps a rollout that was read, or is known not to be there.
    pub(super) fn read_rollout(&mut self, rollout: RolloutRecord) {
        self.rollouts.entry(rollout.id.clone()).or_insert(Kept { record: rollout, dirty: false });
    }

    /// Puts a rollout.
    pub(super) fn put_rollout(&mut self, rollout: &RolloutRecord) {
        let kept = Kept { record: rollout.clone(), dirty: true };
        self.rollouts.insert(rollout.id.clone(), kept);
        self.pending += 1;
    }

    /// The first devices of a rollout that are overdue.
    pub(super) fn overdue(&self, rollout: &str, now: i64, limit: u32) -> Option<Vec<Imei>> {
        let all = self.overdue.get(&(rollout.to_owned(), now))?;
        let mut all: Vec<_> =
            all.iter().map(|&(deadline, imei)| (deadline, imei.to_string(), imei)).collect();
        all.sort();
        Some(all.into_iter().take(limit as usize).map(|(.., imei)| imei).collect())
    }

    /// Keeps all devices of a rollout that are overdue. Everything put must have been written.
    pub(super) fn read_overdue(&mut self, rollout: &str, now: i64, all: Vec<(i64, Imei)>) {
        self.overdue.insert((rollout.to_owned(), now), all.into_iter().collect());
    }

    /// How many offers were counted.
    pub(super) fn in_hour(&self, channel: &str, now: i64) -> Option<u32> {
        self.in_hour.get(&(channel.to_owned(), now)).copied()
    }

    /// Keeps how many were. Everything put must have been written.
    pub(super) fn read_in_hour(&mut self, channel: &str, now: i64, offers: u32) {
        self.in_hour.insert((channel.to_owned(), now), offers);
    }

    /// Counts an offer.
    pub(super) fn count(&mut self, channel: &str, at: i64) {
        // Within the same minute it is certainly counted; otherwise the server knows.
        self.in_hour.retain(|(of, now), _| of != channel || now.div_euclid(60) == at.div_euclid(60));
        for ((of, _), offers) in &mut self.in_hour {
            *offers += u32::from(of == channel);
        }
        *self.counted.entry((channel.to_owned(), at.div_euclid(60))).or_default() += 1;
        self.pending += 1;
    }

    /// An unknown device.
    pub(super) fn unknown(&self, name: &str) -> Option<Option<UnknownRecord>> {
        self.unknown.get(name).map(|kept| kept.as_ref().map(|kept| kept.record.clone()))
    }

    /// Keeps what was read of unknown devices.
    pub(super) fn read_unknown(
        &mut self,
        asked: impl IntoIterator<Item = String>,
        found: Vec<UnknownRecord>,
    ) {
        let mut read: BTreeMap<String, Option<Kept<UnknownRecord>>> =
            asked.into_iter().map(|name| (name, None)).collect();
        for record in found {
            read.insert(record.name.clone(), Some(Kept { record, dirty: false }));
        }
        for (name, kept) in read {
            self.unknown.entry(name).or_insert(kept);
        }
    }

    /// Puts an unknown device.
    pub(super) fn put_unknown(&mut self, unknown: &UnknownRecord) {
        let kept = Kept { record: unknown.clone(), dirty: true };
        self.unknown.insert(unknown.name.clone(), Some(kept));
        self.pending += 1;
    }

    /// Puts an event.
    pub(super) fn put_event(&mut self, event: &Event) {
        self.events.push(event.clone());
        self.pending += 1;
    }

    /// Puts an event under its number.
    pub(super) fn put_event_as(&mut self, seq: i64, event: &Event) {
        self.numbered.push((seq, event.clone()));
        self.pending += 1;
    }

    /// Puts a count of offers.
    pub(super) fn put_rate(&mut self, rate: &Rate) {
        self.in_hour.clear();
        *self.counted.entry((rate.channel.clone(), rate.minute)).or_default() += i64::from(rate.offers);
        self.pending += 1;
    }

    /// Whether anything is to be written.
    pub(super) fn is_dirty(&self) -> bool {
        self.pending > 0
    }

    /// Whether so much is to be written that it should be.
    pub(super) fn is_full(&self) -> bool {
        self.pending >= PENDING
    }

    /// The statements that write what was put, each in the order of its keys; and what is to be done then.
    pub(super) fn bulks(&self) -> (Vec<Bulk<'_>>, Afterwards) {
        fn dirty<'a, T: 'a>(kept: impl Iterator<Item = &'a Kept<T>>) -> Vec<&'a T> {
            kept.filter(|kept| kept.dirty).map(|kept| &kept.record).collect()
        }
        let mut bulks = Vec::new();
        let devices = dirty(self.devices.values().filter_map(|device| device.record.as_ref()));
        if !devices.is_empty() {
            bulks.push(bulk::devices(devices));
        }
        let offers: Vec<_> = self
            .devices
            .iter()
            .flat_map(|(&imei, device)| device.offers.values().flatten().map(move |kept| (imei, kept)))
            .filter(|(_, kept)| kept.dirty)
            .map(|(imei, kept)| (imei, &kept.record))
            .collect();
        if !offers.is_empty() {
            bulks.push(bulk::offers(offers));
        }
        let rollouts = dirty(self.rollouts.values());
        if !rollouts.is_empty() {
            bulks.push(bulk::rollouts(rollouts));
        }
        if !self.counted.is_empty() {
            let counted = self.counted.iter().map(|((channel, minute), &n)| (&**channel, *minute, n));
            bulks.push(bulk::rates(counted.collect()));
        }
        if !self.events.is_empty() {
            bulks.push(bulk::events(self.events.iter().collect()));
        }
        let unknown = dirty(self.unknown.values().flatten());
        let afterwards = Afterwards { forget: !unknown.is_empty(), advance: !self.numbered.is_empty() };
        if afterwards.forget {
            bulks.push(bulk::unknown(unknown));
        }
        if afterwards.advance {
            bulks.push(bulk::numbered(self.numbered.iter().map(|(seq, event)| (*seq, event)).collect()));
        }
        (bulks, afterwards)
    }

    /// Notes that everything was written.
    pub(super) fn written(&mut self) {
        if self.is_full() {
            // A transaction of that length does not come back to what it had.
            *self = Held::default();
            return;
        }
        for device in self.devices.values_mut() {
            device.record.iter_mut().for_each(|kept| kept.dirty = false);
            device.offers.values_mut().flatten().for_each(|kept| kept.dirty = false);
        }
        self.rollouts.values_mut().for_each(|kept| kept.dirty = false);
        // Some may have been forgotten.
        self.unknown.clear();
        self.counted.clear();
        self.events.clear();
        self.numbered.clear();
        self.pending = 0;
    }
}
