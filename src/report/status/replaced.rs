//! Replaced trackers, whose clientID goes on with another IMEI, and results that name a device by its
//! clientID alone: both belong to the device of that clientID.

use std::collections::{BTreeMap, BTreeSet};

use otapress_core::id::{ClientId, Imei};
use otapress_publish::fleet::Fleet;
use otapress_responder::record::{DeviceRecord, UnknownRecord};
use otapress_responder::store::{StoreError, Tx, UNKNOWN_LIMIT};

use super::records::{self, Devices};
use super::time::moment;

/// Takes the records of replaced trackers out of those that are not of the fleet, by the clientID that their
/// results named; the one that was heard of last comes first.
pub(super) fn take_replaced(fleet: &Fleet, devices: &mut Devices) -> BTreeMap<ClientId, Vec<DeviceRecord>> {
    let ours: BTreeSet<Imei> = fleet.devices().iter().map(|device| device.imei).collect();
    let is_replaced = |imei: &Imei, record: &mut Box<DeviceRecord>| {
        !ours.contains(imei) && record.client.as_ref().is_some_and(|client| has(fleet, client.as_str()))
    };
    let mut replaced: BTreeMap<ClientId, Vec<DeviceRecord>> = BTreeMap::new();
    for (_, record) in devices.extract_if(.., is_replaced) {
        if let Some(client) = record.client.clone() {
            replaced.entry(client).or_default().push(*record);
        }
    }
    for records in replaced.values_mut() {
        records.sort_by_key(|record| std::cmp::Reverse(record.last_seen));
    }
    replaced
}

/// Separates the unknown names that are clientIDs of the fleet: results without an IMEI.
pub(super) fn by_client_id(
    fleet: &Fleet,
    unknowns: Vec<UnknownRecord>,
) -> (BTreeMap<String, UnknownRecord>, Vec<UnknownRecord>) {
    let (named, others): (Vec<_>, Vec<_>) =
        unknowns.into_iter().partition(|unknown| has(fleet, &unknown.name));
    (named.into_iter().map(|unknown| (unknown.name.clone(), unknown)).collect(), others)
}

fn has(fleet: &Fleet, client: &str) -> bool {
    fleet.devices().binary_search_by(|device| device.client_id.as_str().cmp(client)).is_ok()
}

/// What a device's clientID has besides its own record.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfClientId {
    /// The trackers that it has replaced.
    pub(crate) replaced: Vec<DeviceRecord>,
    /// The last result without an IMEI.
    pub(crate) named_result: Option<UnknownRecord>,
}

impl OfClientId {
    /// What a search looks into.
    pub(super) fn searched(&self) -> impl Iterator<Item = String> {
        let imeis = self.replaced.iter().map(|record| record.imei.to_string());
        imeis.chain(self.named_result.iter().map(|result| result.said.clone()))
    }

    /// Reads it for one device.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) fn read(tx: &mut dyn Tx, fleet: &Fleet, client: &ClientId) -> Result<Self, StoreError> {
        let replaced = take_replaced(fleet, &mut records::devices(tx)?).remove(client).unwrap_or_default();
        let named_result = by_client_id(fleet, tx.unknowns(UNKNOWN_LIMIT)?).0.remove(client.as_str());
        Ok(OfClientId { replaced, named_result })
    }
}

/// A replaced tracker in a line.
pub(crate) fn describe(record: &DeviceRecord) -> String {
    let version =
        record.reported.map_or("reported no version".into(), |version| format!("reported {version}"));
    format!("{}, {version}, last heard of {}", record.imei, moment(record.last_seen))
}
