//! The records that a batch of questions reads and changes: loaded once, changed in memory, committed once.
//!
//! [`crate::exchange`] works on this value alone. An engine loads it by [`Keys`] and commits its [`Changes`],
//! each in bulk. What is not loaded counts as not recorded, so the keys name everything that a question may
//! look at.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, OfferRecord, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use crate::store::Durability;
use otapress_core::id::{ClientId, Imei};

/// How many overdue devices of a rollout are loaded at a time; the next batch finds more.
pub const OVERDUE_LIMIT: u32 = 500;

/// What a batch of questions needs.
#[derive(Clone, Debug, Default)]
pub struct Keys<'a> {
    /// Devices, each with the rollout of its target. They are loaded with that offer, with their latest one,
    /// with those that take a place, carry an artifact's fault or are counted in a wave, and with the
    /// rollouts of all of these.
    pub devices: Vec<(Imei, Option<&'a str>)>,
    /// The devices whose results named these clientIDs are loaded, too.
    pub clients: Vec<&'a ClientId>,
    /// Rollouts, with the devices that are overdue in them: up to [`OVERDUE_LIMIT`] of each.
    pub rollouts: Vec<&'a str>,
    /// Channels, with the offers of the last hour.
    pub channels: Vec<&'a str>,
    /// Names under which unknown devices may be recorded.
    pub names: Vec<String>,
}

/// A record as it was loaded, if it was there, and as it is now.
#[derive(Clone, Debug)]
struct Slot<T> {
    loaded: Option<T>,
    record: T,
}

impl<T: Clone + PartialEq> Slot<T> {
    fn loaded(record: T) -> Self {
        Slot { loaded: Some(record.clone()), record }
    }

    fn is_changed(&self) -> bool {
        self.loaded.as_ref() != Some(&self.record)
    }

    fn changed(&self) -> Option<&T> {
        self.is_changed().then_some(&self.record)
    }
}

/// The records of a batch.
#[derive(Clone, Debug, Default)]
pub struct Records {
    devices: BTreeMap<Imei, Slot<DeviceRecord>>,
    rollouts: BTreeMap<String, Slot<RolloutRecord>>,
    /// The release of each rollout that was asked for: working it out takes longer than to look it up.
    versions: BTreeMap<String, String>,
    /// All that are recorded.
    releases: BTreeMap<String, Slot<ReleaseRecord>>,
    channels: BTreeMap<String, Slot<ChannelRecord>>,
    unknown: BTreeMap<String, Slot<UnknownRecord>>,
    overdue: BTreeMap<String, Vec<Imei>>,
    /// Rollouts in which there may be more of them.
    more_overdue: BTreeSet<String>,
    /// Offers in the last hour, by channel.
    recent: BTreeMap<String, u32>,
    /// Offers made, by channel and minute.
    counted: BTreeMap<(String, i64), u32>,
    events: Vec<Event>,
    has_result: bool,
    has_new_unknown: bool,
    /// The devices that may have been changed since [`Records::is_changed`] was asked last.
    touched: Vec<Imei>,
}

/// The records that one decision reads and changes.
#[derive(Debug)]
pub struct Ledger<'a> {
    /// The device.
    pub device: &'a mut DeviceRecord,
    /// The target's rollout; any if there is no target.
    pub rollout: &'a mut RolloutRecord,
    /// Its release.
    pub release: &'a mut ReleaseRecord,
    /// So many artifact's faults stop the release, as far as `otapress.json` says; 0: any number.
    pub artifact_faults: u32,
    /// How many offers the target's channel made in the last hour.
    pub recent: u32,
    /// What happened.
    pub events: &'a mut Vec<Event>,
}

impl Records {
    /// Takes a device as an engine read it, with its offers.
    pub fn load_device(&mut self, device: DeviceRecord) {
        match self.devices.get_mut(&device.imei) {
            None => drop(self.devices.insert(device.imei, Slot::loaded(device))),
            // Asked for twice, with two rollouts.
            Some(slot) => {
                for offer in device.offers {
                    if slot.record.offer(&offer.rollout).is_none() {
                        slot.loaded.iter_mut().for_each(|loaded| loaded.offers.push(offer.clone()));
                        slot.record.offers.push(offer);
                    }
                }
            }
        }
    }

    /// Takes a rollout as an engine read it.
    pub fn load_rollout(&mut self, rollout: RolloutRecord) {
        self.rollouts.insert(rollout.id.clone(), Slot::loaded(rollout));
    }

    /// Takes a release as an engine read it.
    pub fn load_release(&mut self, release: ReleaseRecord) {
        self.releases.insert(release.version.clone(), Slot::loaded(release));
    }

    /// Takes a channel as an engine read it.
    pub fn load_channel(&mut self, channel: ChannelRecord) {
        self.channels.insert(channel.name.clone(), Slot::loaded(channel));
    }

    /// Takes an unknown device as an engine read it.
    pub fn load_unknown(&mut self, unknown: UnknownRecord) {
        self.unknown.insert(unknown.name.clone(), Slot::loaded(unknown));
    }

    /// Takes an overdue device of a rollout, the one that waits longest first.
    pub fn load_overdue(&mut self, rollout: &str, imei: Imei) {
        let overdue = self.overdue.entry(rollout.to_owned()).or_default();
        overdue.push(imei);
        if overdue.len() >= OVERDUE_LIMIT as usize {
            self.more_overdue.insert(rollout.to_owned());
        }
    }

    /// Takes the number of offers that a channel made in the last hour.
    pub fn load_recent(&mut self, channel: &str, offers: u32) {
        self.recent.insert(channel.to_owned(), offers);
    }

    /// A device; `None` if it is not recorded.
    pub fn device(&self, imei: Imei) -> Option<&DeviceRecord> {
        self.devices.get(&imei).map(|slot| &slot.record)
    }

    /// A rollout; `None` if nothing is known of it.
    pub fn rollout(&self, id: &str) -> Option<&RolloutRecord> {
        self.rollouts.get(id).map(|slot| &slot.record)
    }

    /// The rollouts in which devices are overdue.
    pub(super) fn overdue_rollouts(&self) -> Vec<String> {
        self.overdue.keys().cloned().collect()
    }

    /// Whether more devices may be overdue in a rollout than were loaded.
    pub(super) fn has_more_overdue(&self, rollout: &str) -> bool {
        self.more_overdue.contains(rollout)
    }

    /// The devices with that clientID.
    pub(super) fn devices_of_client(&self, client: &ClientId) -> impl Iterator<Item = Imei> {
        let records = self.devices.values().map(|slot| &slot.record);
        records.filter(move |device| device.client.as_ref() == Some(client)).map(|device| device.imei)
    }

    pub(super) fn unknown(&self, name: &str) -> Option<&UnknownRecord> {
        self.unknown.get(name).map(|slot| &slot.record)
    }

    pub(super) fn put_unknown(&mut self, unknown: UnknownRecord) {
        self.has_new_unknown = true;
        match self.unknown.get_mut(&unknown.name) {
            Some(slot) => slot.record = unknown,
            None => {
                let slot = Slot { loaded: None, record: unknown };
                self.unknown.insert(slot.record.name.clone(), slot);
            }
        }
    }

    /// A device for changing, and the events; a new one if it is not recorded.
    pub(super) fn device_mut(&mut self, imei: Imei, now: i64) -> (&mut DeviceRecord, &mut Vec<Event>) {
        self.touched.push(imei);
        let slot = self
            .devices
            .entry(imei)
            .or_insert_with(|| Slot { loaded: None, record: DeviceRecord::new(imei, now) });
        (&mut slot.record, &mut self.events)
    }

    /// A device and a rollout for changing; either is new if it is not recorded.
    pub(super) fn ledger(
        &mut self,
        imei: Imei,
        rollout: &str,
        channel: Option<&str>,
        now: i64,
    ) -> Ledger<'_> {
        let recent = channel.and_then(|channel| self.recent.get(channel)).copied().unwrap_or(0);
        // Unchanged, what is new is not written.
        if !self.versions.contains_key(rollout) {
            let version = RolloutRecord::release(rollout);
            if !self.releases.contains_key(&version) {
                self.load_release(ReleaseRecord::new(&*version));
            }
            if !self.rollouts.contains_key(rollout) {
                self.load_rollout(RolloutRecord::new(rollout));
            }
            self.versions.insert(rollout.to_owned(), version);
        }
        let Self { rollouts, versions, releases, devices, events, touched, .. } = self;
        touched.push(imei);
        let device = devices
            .entry(imei)
            .or_insert_with(|| Slot { loaded: None, record: DeviceRecord::new(imei, now) });
        let release = releases.get_mut(&versions[rollout]).expect("was inserted above");
        let rollout = rollouts.get_mut(rollout).expect("was inserted above");
        Ledger {
            device: &mut device.record,
            rollout: &mut rollout.record,
            release: &mut release.record,
            artifact_faults: 0,
            recent,
            events,
        }
    }

    /// A channel for changing.
    pub(super) fn channel_mut(&mut self, name: &str) -> &mut ChannelRecord {
        if !self.channels.contains_key(name) {
            self.load_channel(ChannelRecord::new(name));
        }
        &mut self.channels.get_mut(name).expect("was inserted above").record
    }

    /// The devices that are overdue in a rollout, each handed out once.
    pub(super) fn take_overdue(&mut self, rollout: &str) -> Vec<Imei> {
        self.overdue.remove(rollout).unwrap_or_default()
    }

    pub(super) fn push_event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// How many events there are.
    pub(super) fn event_count(&self) -> usize {
        self.events.len()
    }

    /// The events from that number on.
    pub(super) fn events_from(&self, from: usize) -> &[Event] {
        &self.events[from..]
    }

    /// Keeps no more of the events from that number on than their devices may have in an hour.
    pub(super) fn bound_events(&mut self, from: usize, now: i64) {
        for event in self.events.split_off(from) {
            let slot = event.imei.and_then(|imei| self.devices.get_mut(&imei));
            let is_kept = slot.is_none_or(|slot| {
                self.touched.push(slot.record.imei);
                slot.record.budget.admits(event.kind, now)
            });
            if is_kept {
                self.events.push(event);
            }
        }
    }

    /// Counts an offer of a channel.
    pub(super) fn count_offer(&mut self, channel: &str, now: i64) {
        *self.recent.entry(channel.to_owned()).or_default() += 1;
        *self.counted.entry((channel.to_owned(), now.div_euclid(60))).or_default() += 1;
    }

    /// Notes that a result is among the questions: it must not be forgotten once it is acknowledged.
    pub(super) fn note_result(&mut self) {
        self.has_result = true;
    }

    /// The part of the records that these keys name.
    pub(super) fn scratch(&self, keys: &Keys<'_>) -> Records {
        let overdue: BTreeMap<_, _> = self
            .overdue
            .iter()
            .filter(|(rollout, _)| keys.rollouts.contains(&&***rollout))
            .map(|(rollout, imeis)| (rollout.clone(), imeis.clone()))
            .collect();
        let is_named = |imei: Imei, slot: &Slot<DeviceRecord>| {
            keys.devices.iter().any(|(of, _)| *of == imei)
                || keys.clients.iter().any(|client| slot.record.client.as_ref() == Some(client))
                || overdue.values().flatten().any(|of| *of == imei)
        };
        let devices = self.devices.iter().filter(|(imei, slot)| is_named(**imei, slot));
        Records {
            devices: devices.map(|(imei, slot)| (*imei, slot.clone())).collect(),
            rollouts: self.rollouts.clone(),
            releases: self.releases.clone(),
            channels: self.channels.clone(),
            recent: self.recent.clone(),
            overdue,
            more_overdue: self.more_overdue.clone(),
            ..Records::default()
        }
    }

    /// Whether anything was changed since this was asked last and said no.
    pub(super) fn is_changed(&mut self) -> bool {
        !self.events.is_empty()
            || !self.counted.is_empty()
            || self.has_new_unknown
            || self.rollouts.values().any(Slot::is_changed)
            || self.releases.values().any(Slot::is_changed)
            || self.channels.values().any(Slot::is_changed)
            || std::mem::take(&mut self.touched)
                .iter()
                .any(|imei| self.devices.get(imei).is_some_and(Slot::is_changed))
    }

    /// What is to be written.
    pub fn changes(&self) -> Changes<'_> {
        let mut changes = Changes {
            rollouts: self.rollouts.values().filter_map(Slot::changed).collect(),
            releases: self.releases.values().filter_map(Slot::changed).collect(),
            channels: self.channels.values().filter_map(Slot::changed).collect(),
            unknown: self.unknown.values().filter_map(Slot::changed).collect(),
            rates: self.counted.iter().map(|((channel, minute), &n)| (&**channel, *minute, n)).collect(),
            events: self.events.iter().collect(),
            ..Changes::default()
        };
        for Slot { loaded, record } in self.devices.values() {
            if loaded.as_ref().is_none_or(|loaded| !is_same_row(loaded, record)) {
                changes.devices.push(record);
            }
            let was = |offer: &OfferRecord| loaded.as_ref().and_then(|device| device.offer(&offer.rollout));
            let changed = record.offers.iter().filter(|&offer| was(offer) != Some(offer));
            changes.offers.extend(changed.map(|offer| (record.imei, offer)));
        }
        changes
    }

    /// What the changes must survive: an attempt or a result that a loss of power takes back would be a
    /// promise broken; that a device was seen may be forgotten.
    pub fn durability(&self) -> Durability {
        let may_be_lost = [EventKind::FirstSeen, EventKind::VersionChanged, EventKind::TimeLeftOut];
        let matters = |event: &Event| !may_be_lost.contains(&event.kind);
        if self.has_result || self.events.iter().any(matters) {
            Durability::Power
        } else {
            Durability::Process
        }
    }
}

/// Whether two states of a device are the same, apart from its offers.
fn is_same_row(one: &DeviceRecord, other: &DeviceRecord) -> bool {
    let DeviceRecord {
        imei,
        client,
        first_seen,
        last_seen,
        reported,
        refusal,
        settings,
        latest,
        offers: _,
        result,
        budget,
    } = one;
    (imei, client, first_seen, last_seen) == (&other.imei, &other.client, &other.first_seen, &other.last_seen)
        && (reported, refusal, settings) == (&other.reported, &other.refusal, &other.settings)
        && (latest, result, budget) == (&other.latest, &other.result, &other.budget)
}

/// Records to be written, each in place of the one that is there.
#[derive(Clone, Debug, Default)]
pub struct Changes<'a> {
    /// Devices, without their offers.
    pub devices: Vec<&'a DeviceRecord>,
    /// Offers.
    pub offers: Vec<(Imei, &'a OfferRecord)>,
    /// Rollouts.
    pub rollouts: Vec<&'a RolloutRecord>,
    /// Releases.
    pub releases: Vec<&'a ReleaseRecord>,
    /// Channels.
    pub channels: Vec<&'a ChannelRecord>,
    /// Unknown devices; others beyond [`crate::store::UNKNOWN_LIMIT`] are forgotten.
    pub unknown: Vec<&'a UnknownRecord>,
    /// Offers to be added to the counts of a channel and a minute since 1970-01-01 UTC.
    pub rates: Vec<(&'a str, i64, u32)>,
    /// Events to be appended.
    pub events: Vec<&'a Event>,
    /// Events under numbers that are higher than all others; what is appended later gets higher ones.
    pub numbered: Vec<(i64, &'a Event)>,
}

impl<'a> Changes<'a> {
    /// Adds a device and the offers that its record holds.
    pub fn device(&mut self, device: &'a DeviceRecord) {
        self.devices.push(device);
        self.offers.extend(device.offers.iter().map(|offer| (device.imei, offer)));
    }
}
