//! The records that the model needs, read in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;
use otapress_publish::render;
use otapress_responder::record::{
    DeviceRecord, Event, EventKind, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use otapress_responder::retention::{Reader, readers};
use otapress_responder::store::{Standing, Store, StoreError, Tx, UNKNOWN_LIMIT};

/// Rows read per page.
const PAGE: u32 = 2000;

/// Devices by IMEI; in boxes, because they are passed on from one collection to the next.
pub type Devices = BTreeMap<Imei, Box<DeviceRecord>>;

/// Rollouts by id.
pub type Rollouts = BTreeMap<Arc<str>, Arc<RolloutRecord>>;

/// The records at one moment.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Every device that was ever heard of, with the offers that were wanted.
    pub devices: Devices,
    /// Every rollout, by id.
    pub rollouts: Rollouts,
    /// Every release that has or had faults.
    pub releases: Vec<ReleaseRecord>,
    /// The counts of each rollout's devices.
    pub standings: BTreeMap<String, Standing>,
    /// Devices that never were in the fleet.
    pub unknowns: Vec<UnknownRecord>,
    /// Offers in the last hour, by channel.
    pub recent: BTreeMap<String, u32>,
    /// The last events of each kind that concern the records as a whole, and of each rollout.
    pub notices: Vec<Event>,
    /// Who reads the events.
    pub readers: Vec<Reader>,
    /// The time of the first event that is kept, if earlier ones may have been forgotten.
    pub history_since: Option<i64>,
}

/// What a status is made for: the rest of the records is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// All offers of every device, and not only those that decide about its state.
    pub all_offers: bool,
    /// Every version change.
    pub changes: bool,
}

impl Extent {
    /// Everything.
    pub const ALL: Extent = Extent { all_offers: true, changes: true };

    fn kinds(self) -> &'static [EventKind] {
        if self.changes { &KINDS } else { &KINDS[1..] }
    }
}

impl Default for Extent {
    fn default() -> Self {
        Extent::ALL
    }
}

impl Records {
    /// Reads them, and what has changed of versions since `changes` were read last.
    ///
    /// # Errors
    /// An error of the store.
    pub fn read(
        store: &mut dyn Store,
        fleet: &Fleet,
        extent: Extent,
        changes: &mut Changes,
        now: i64,
    ) -> Result<Records, StoreError> {
        let aimed = if extent.all_offers { BTreeMap::new() } else { render::rollouts(fleet) };
        let aimed: Vec<_> = aimed.keys().map(|id| &**id).collect();
        let mut read = None;
        store.read(&mut |tx| {
            let mut later = changes.clone_if_of(tx)?;
            later.read_on(tx, extent.kinds())?;
            let devices = if extent.all_offers { devices(tx)? } else { devices_aimed(tx, &aimed)? };
            let rollouts = tx.rollouts()?.into_iter().map(|rollout| (rollout.id.clone(), rollout.into()));
            let rollouts = rollouts.collect();
            let releases = tx.releases()?;
            let standings = tx.standings()?.into_iter().collect();
            let unknowns = tx.unknowns(UNKNOWN_LIMIT)?;
            let mut recent = BTreeMap::new();
            for channel in fleet.channels().iter().filter(|channel| channel.rate.is_some()) {
                recent.insert(channel.name.clone(), tx.offers_in_hour(&channel.name, now)?);
            }
            let notices = later.notices.values().cloned().collect();
            let first = tx.events(0, 1)?.pop();
            let history_since = first.filter(|(seq, _)| *seq > 1).map(|(_, event)| event.at);
            let readers = readers(tx)?;
            let records = Records {
                devices,
                rollouts,
                releases,
                standings,
                unknowns,
                recent,
                notices,
                readers,
                history_since,
            };
            read = Some((records, later));
            Ok(())
        })?;
        let (records, later) = read.unwrap_or_default();
        *changes = later;
        Ok(records)
    }
}

pub(super) fn devices(tx: &mut dyn Tx) -> Result<Devices, StoreError> {
    all(|last| tx.devices_in_full(last, PAGE))
}

/// The devices with the offers of these rollouts, among others.
fn devices_aimed(tx: &mut dyn Tx, rollouts: &[&str]) -> Result<Devices, StoreError> {
    all(|last| tx.devices_with_offers(last, PAGE, rollouts))
}

fn all(
    mut page: impl FnMut(Option<Imei>) -> Result<Vec<DeviceRecord>, StoreError>,
) -> Result<Devices, StoreError> {
    let (mut devices, mut last) = (Devices::new(), None);
    loop {
        let page = page(last)?;
        let Some(end) = page.last() else { return Ok(devices) };
        last = Some(end.imei);
        devices.extend(page.into_iter().map(|device| (device.imei, Box::new(device))));
    }
}

/// A device came to report another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The time.
    pub at: i64,
    /// The device.
    pub imei: Imei,
    /// The old version.
    pub from: Version,
    /// The new version.
    pub to: Version,
}

/// Every version change in chronological order, and what was noticed last. Kept from one reading of the store
/// to the next, so that nothing is read twice.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    last: i64,
    all: Vec<Change>,
    notices: BTreeMap<(EventKind, Option<Arc<str>>), Event>,
}

/// The kinds that are read; version changes, which are many, come first.
const KINDS: [EventKind; 3] = [EventKind::VersionChanged, EventKind::TimeLeftOut, EventKind::NoMemory];

impl Changes {
    /// The changes.
    pub fn all(&self) -> &[Change] {
        &self.all
    }

    /// These, if the store has not been replaced by a younger one; else none.
    fn clone_if_of(&self, tx: &mut dyn Tx) -> Result<Changes, StoreError> {
        Ok(if newest(tx)? < self.last { Changes::default() } else { self.clone() })
    }

    fn read_on(&mut self, tx: &mut dyn Tx, kinds: &[EventKind]) -> Result<(), StoreError> {
        loop {
            let page = tx.events_of_kinds(kinds, self.last, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            self.last = *last;
            for (_, event) in page {
                match event.kind {
                    EventKind::VersionChanged => self.all.extend(change(&event)),
                    kind => drop(self.notices.insert((kind, event.rollout.clone()), event)),
                }
            }
        }
        // All up to there were looked at.
        self.last = newest(tx)?;
        Ok(())
    }
}

fn newest(tx: &mut dyn Tx) -> Result<i64, StoreError> {
    Ok(tx.events_before(i64::MAX, 1)?.first().map_or(0, |(number, _)| *number))
}

fn change(event: &Event) -> Option<Change> {
    let (from, to) = event.detail.split_once(" → ")?;
    Some(Change { at: event.at, imei: event.imei?, from: from.parse().ok()?, to: to.parse().ok()? })
}
