//! The records that a batch of questions reads and changes: loaded once, changed in memory, committed once.
//!
//! [`crate::exchange`] works on this value alone. An engine loads it by [`Keys`] and commits its [`Changes`],
//! each in bulk. What is not loaded counts as not recorded, so the keys name everything that a question may
//! look at.

mod draft;
mod releases;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use draft::Draft;
pub use releases::Releases;
use smallvec::SmallVec;
use table::{Slot, Table};

use super::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, OfferRecord, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use crate::durability::Durability;
use otapress_core::id::{ClientId, Imei};

/// How many overdue devices of a rollout are loaded at a time; the next batch finds more.
pub const OVERDUE_LIMIT: u32 = 500;

/// One or two, mostly: they take no memory of their own then.
pub type Few<T> = SmallVec<[T; 2]>;

/// What a batch of questions needs.
#[derive(Clone, Debug, Default)]
pub struct Keys<'a> {
    /// Devices, each with the rollout of its target. They are loaded with that offer, with their latest one,
    /// with those that take a place, carry an artifact's fault or are counted in a wave, and with the
    /// rollouts of all of these.
    pub devices: Few<(Imei, Option<&'a str>)>,
    /// The devices whose results named these clientIDs are loaded, too.
    pub clients: Few<&'a ClientId>,
    /// Rollouts, with the devices that are overdue in them: up to [`OVERDUE_LIMIT`] of each.
    pub rollouts: Few<&'a str>,
    /// Channels, with the offers of the last hour.
    pub channels: Few<&'a str>,
    /// Names under which unknown devices may be recorded.
    pub names: Vec<String>,
}

/// The records of a batch.
#[derive(Clone, Debug, Default)]
pub struct Records {
    devices: Table<DeviceRecord>,
    rollouts: Table<RolloutRecord>,
    /// All that are recorded.
    releases: Releases,
    channels: Table<ChannelRecord>,
    unknown: Table<UnknownRecord>,
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
    touched: Few<Imei>,
}

/// Records that an engine in memory lends to a batch.
#[derive(Clone, Debug, Default)]
pub struct Lent {
    /// Devices, with all of their offers.
    pub devices: Vec<Arc<DeviceRecord>>,
    /// Rollouts.
    pub rollouts: Vec<Arc<RolloutRecord>>,
    /// Releases.
    pub releases: Vec<Arc<ReleaseRecord>>,
    /// Channels.
    pub channels: Vec<Arc<ChannelRecord>>,
}

/// The records that one decision reads and changes.
#[derive(Debug)]
pub struct Ledger<'a> {
    /// The device.
    pub device: &'a mut DeviceRecord,
    /// The target's rollout; any if there is no target.
    pub rollout: Draft<'a, RolloutRecord>,
    /// The releases.
    pub releases: &'a mut Releases,
    /// So many artifact's faults stop the release, as far as `otapress.json` says; 0: any number.
    pub artifact_faults: u32,
    /// How many offers the target's channel made in the last hour.
    pub recent: u32,
    /// What happened.
    pub events: &'a mut Vec<Event>,
}

/// What a ledger needs besides its device and its rollout where nothing is kept.
#[derive(Debug, Default)]
pub struct Scratch {
    releases: Releases,
    events: Vec<Event>,
}

impl Scratch {
    /// A ledger of a device and a rollout. Nothing is known of the release, and no offers were made lately.
    pub fn ledger<'a>(
        &'a mut self,
        device: &'a mut DeviceRecord,
        rollout: &'a mut Arc<RolloutRecord>,
    ) -> Ledger<'a> {
        let Scratch { releases, events } = self;
        let rollout = Draft::from(rollout);
        Ledger { device, rollout, releases, artifact_faults: 0, recent: 0, events }
    }
}

impl Records {
    /// Takes a device as an engine read it, with its offers.
    pub fn load_device(&mut self, device: impl Into<Arc<DeviceRecord>>) {
        let device = device.into();
        match self.devices.slot_mut(&device.imei) {
            None => self.devices.load(device),
            // Asked for twice, with two rollouts.
            Some(slot) => {
                let is_new = |offer: &&OfferRecord| slot.get().offer(&offer.rollout).is_none();
                let new: Vec<_> = device.offers.iter().filter(is_new).cloned().collect();
                if !new.is_empty() {
                    slot.load(|device| device.offers.extend_from_slice(&new));
                }
            }
        }
    }

    /// Takes a rollout as an engine read it.
    pub fn load_rollout(&mut self, rollout: impl Into<Arc<RolloutRecord>>) {
        self.rollouts.load(rollout.into());
    }

    /// Takes a release as an engine read it.
    pub fn load_release(&mut self, release: impl Into<Arc<ReleaseRecord>>) {
        self.releases.0.load(release.into());
    }

    /// Takes a channel as an engine read it.
    pub fn load_channel(&mut self, channel: impl Into<Arc<ChannelRecord>>) {
        self.channels.load(channel.into());
    }

    /// Takes an unknown device as an engine read it.
    pub fn load_unknown(&mut self, unknown: impl Into<Arc<UnknownRecord>>) {
        self.unknown.load(unknown.into());
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

    /// Takes records that an engine lends, each with all there is of it. What nobody else holds is changed in
    /// place, so nothing is copied; and all of it counts as changed.
    pub fn lend(&mut self, lent: Lent) {
        lent.devices.into_iter().for_each(|record| self.devices.lend(record));
        lent.rollouts.into_iter().for_each(|record| self.rollouts.lend(record));
        lent.releases.into_iter().for_each(|record| self.releases.0.lend(record));
        lent.channels.into_iter().for_each(|record| self.channels.lend(record));
    }

    /// Gives back what was lent, with what was added to it. It is no part of the [`Changes`] then.
    pub fn give_back(&mut self) -> Lent {
        Lent {
            devices: std::mem::take(&mut self.devices).give_back().collect(),
            rollouts: std::mem::take(&mut self.rollouts).give_back().collect(),
            releases: std::mem::take(&mut self.releases).0.give_back().collect(),
            channels: std::mem::take(&mut self.channels).give_back().collect(),
        }
    }

    /// A device; `None` if it is not recorded.
    pub fn device(&self, imei: Imei) -> Option<&DeviceRecord> {
        self.devices.get(&imei)
    }

    /// A rollout; `None` if nothing is known of it.
    pub fn rollout(&self, id: &str) -> Option<&RolloutRecord> {
        self.rollouts.get(id)
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
        let records = self.devices.slots().map(Slot::get);
        records.filter(move |device| device.client.as_ref() == Some(client)).map(|device| device.imei)
    }

    pub(super) fn unknown(&self, name: &str) -> Option<&UnknownRecord> {
        self.unknown.get(name)
    }

    pub(super) fn put_unknown(&mut self, unknown: UnknownRecord) {
        self.has_new_unknown = true;
        self.unknown.put(unknown);
    }

    /// A device for changing, and the events; a new one if it is not recorded.
    pub(super) fn device_mut(&mut self, imei: Imei, now: i64) -> (&mut DeviceRecord, &mut Vec<Event>) {
        touch(&mut self.touched, imei);
        let device = self.devices.get_mut_or_new(&imei, || DeviceRecord::new(imei, now));
        (device, &mut self.events)
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
        let Self { rollouts, releases, devices, events, touched, .. } = self;
        touch(touched, imei);
        // Unchanged, what is new is not written.
        Ledger {
            device: devices.get_mut_or_new(&imei, || DeviceRecord::new(imei, now)),
            rollout: rollouts.draft(rollout, RolloutRecord::new),
            releases,
            artifact_faults: 0,
            recent,
            events,
        }
    }

    /// A rollout for changing, new if it is not recorded, and the events.
    pub(super) fn rollout_mut(&mut self, id: &str) -> (Draft<'_, RolloutRecord>, &mut Vec<Event>) {
        (self.rollouts.draft(id, RolloutRecord::new), &mut self.events)
    }

    /// A channel for changing.
    pub(super) fn channel(&mut self, name: &str) -> Draft<'_, ChannelRecord> {
        self.channels.draft(name, ChannelRecord::new)
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
            let slot = event.imei.and_then(|imei| self.devices.slot_mut(&imei));
            let is_kept = slot.is_none_or(|slot| {
                let device = slot.get_mut();
                touch(&mut self.touched, device.imei);
                device.budget.admits(event.kind, now)
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
    pub(super) fn part(&self, keys: &Keys<'_>) -> Records {
        let overdue: BTreeMap<_, _> = self
            .overdue
            .iter()
            .filter(|(rollout, _)| keys.rollouts.contains(&&***rollout))
            .map(|(rollout, imeis)| (rollout.clone(), imeis.clone()))
            .collect();
        let is_named = |device: &DeviceRecord| {
            keys.devices.iter().any(|(of, _)| *of == device.imei)
                || keys.clients.iter().any(|client| device.client.as_ref() == Some(client))
                || overdue.values().flatten().any(|of| *of == device.imei)
        };
        Records {
            devices: self.devices.filtered(is_named),
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
            || self.rollouts.is_changed()
            || self.releases.0.is_changed()
            || self.channels.is_changed()
            || std::mem::take(&mut self.touched)
                .iter()
                .any(|imei| self.devices.slot(imei).is_some_and(Slot::is_changed))
    }

    /// What is to be written.
    pub fn changes(&self) -> Changes<'_> {
        let Changed { devices, rollouts, releases, channels, others } = self.changed();
        let mut changes = Changes {
            rollouts: rollouts.into_iter().map(|record| &**record).collect(),
            releases: releases.into_iter().map(|record| &**record).collect(),
            channels: channels.into_iter().map(|record| &**record).collect(),
            ..others
        };
        devices.into_iter().for_each(|(loaded, record)| changes.changed_device(loaded, record));
        changes
    }

    /// The same for an engine in memory, which can keep the records as they are.
    pub fn changed(&self) -> Changed<'_> {
        let others = Changes {
            unknown: self.unknown.changed().map(|record| &**record).collect(),
            rates: self.counted.iter().map(|((channel, minute), &n)| (&**channel, *minute, n)).collect(),
            events: self.events.iter().collect(),
            ..Changes::default()
        };
        let devices = self.devices.slots().filter_map(|slot| Some((slot.before(), slot.changed()?)));
        Changed {
            devices: devices.collect(),
            rollouts: self.rollouts.changed().collect(),
            releases: self.releases.0.changed().collect(),
            channels: self.channels.changed().collect(),
            others,
        }
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

fn touch(touched: &mut Few<Imei>, imei: Imei) {
    if touched.last() != Some(&imei) {
        touched.push(imei);
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

/// Records that were changed.
#[derive(Clone, Debug)]
pub struct Changed<'a> {
    /// Devices with all the offers that are loaded, each with what was loaded of it; nothing of a new one.
    pub devices: Few<(Option<&'a Arc<DeviceRecord>>, &'a Arc<DeviceRecord>)>,
    /// Rollouts.
    pub rollouts: Few<&'a Arc<RolloutRecord>>,
    /// Releases.
    pub releases: Few<&'a Arc<ReleaseRecord>>,
    /// Channels.
    pub channels: Few<&'a Arc<ChannelRecord>>,
    /// All that is none of these.
    pub others: Changes<'a>,
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

    /// Adds what is not the same in two states of a device.
    pub fn changed_device(&mut self, before: Option<&'a Arc<DeviceRecord>>, device: &'a DeviceRecord) {
        if before.is_none_or(|before| !is_same_row(before, device)) {
            self.devices.push(device);
        }
        let was = |offer: &OfferRecord| before.and_then(|before| before.offer(&offer.rollout));
        let changed = device.offers.iter().filter(|&offer| was(offer) != Some(offer));
        self.offers.extend(changed.map(|offer| (device.imei, offer)));
    }
}
