//! The records that the model needs, read in one transaction.

use std::collections::BTreeMap;

use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::fleet::Fleet;
use otapress_responder::record::{DeviceRecord, EventKind, ReleaseRecord, RolloutRecord, UnknownRecord};
use otapress_responder::store::{Standing, Store, StoreError, Tx, UNKNOWN_LIMIT};

/// Rows read per page.
const PAGE: u32 = 2000;

/// The records at one moment.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Every device that was ever heard of, with all of its offers.
    pub devices: BTreeMap<Imei, DeviceRecord>,
    /// Every rollout, by id.
    pub rollouts: BTreeMap<String, RolloutRecord>,
    /// Every release that has or had faults.
    pub releases: Vec<ReleaseRecord>,
    /// The counts of each rollout's devices.
    pub standings: BTreeMap<String, Standing>,
    /// Devices that never were in the fleet.
    pub unknowns: Vec<UnknownRecord>,
    /// Offers in the last hour, by channel.
    pub recent: BTreeMap<String, u32>,
}

impl Records {
    /// Reads them, and what has changed of versions since `changes` were read last.
    ///
    /// # Errors
    /// An error of the store.
    pub fn read(
        store: &mut dyn Store,
        fleet: &Fleet,
        changes: &mut Changes,
        now: i64,
    ) -> Result<Records, StoreError> {
        let mut read = None;
        store.read(&mut |tx| {
            let mut later = changes.clone_if_of(tx)?;
            later.read_on(tx)?;
            let devices = devices(tx)?;
            let rollouts = tx.rollouts()?.into_iter().map(|rollout| (rollout.id.clone(), rollout)).collect();
            let releases = tx.releases()?;
            let standings = tx.standings()?.into_iter().collect();
            let unknowns = tx.unknowns(UNKNOWN_LIMIT)?;
            let mut recent = BTreeMap::new();
            for channel in fleet.channels().iter().filter(|channel| channel.rate.is_some()) {
                recent.insert(channel.name.clone(), tx.offers_in_hour(&channel.name, now)?);
            }
            read = Some((Records { devices, rollouts, releases, standings, unknowns, recent }, later));
            Ok(())
        })?;
        let (records, later) = read.unwrap_or_default();
        *changes = later;
        Ok(records)
    }
}

fn devices(tx: &mut dyn Tx) -> Result<BTreeMap<Imei, DeviceRecord>, StoreError> {
    let mut devices = BTreeMap::new();
    let mut last = None;
    loop {
        let page = tx.devices_in_full(last, PAGE)?;
        let Some(end) = page.last() else { return Ok(devices) };
        last = Some(end.imei);
        devices.extend(page.into_iter().map(|device| (device.imei, device)));
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

/// Every version change in chronological order. Kept from one reading of the store to the next, so that
/// nothing is read twice.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    last: i64,
    all: Vec<Change>,
}

impl Changes {
    /// The changes.
    pub fn all(&self) -> &[Change] {
        &self.all
    }

    /// These, if the store has not been replaced by a younger one; else none.
    fn clone_if_of(&self, tx: &mut dyn Tx) -> Result<Changes, StoreError> {
        let newest = tx.events_before(i64::MAX, 1)?.first().map_or(0, |(number, _)| *number);
        Ok(if newest < self.last { Changes::default() } else { self.clone() })
    }

    fn read_on(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        loop {
            let page = tx.events_of_kind(EventKind::VersionChanged, self.last, PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            self.last = *last;
            self.all.extend(page.iter().filter_map(|(_, event)| {
                let (from, to) = event.detail.split_once(" → ")?;
                let (from, to) = (from.parse().ok()?, to.parse().ok()?);
                Some(Change { at: event.at, imei: event.imei?, from, to })
            }));
        }
    }
}
