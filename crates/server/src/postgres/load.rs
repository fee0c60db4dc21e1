//! Loads what a batch of questions needs, in one round trip.
//!
//! What the keys lead to is known only from the answers: the rollouts of the devices' older offers, devices
//! that are overdue, those with a clientID. If these were not asked for, all is asked for again together with
//! them. That is seldom: rollouts that were needed lately are always asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::rows::{self, Columns};
use super::statements::{CHANNELS, CLIENTS, DEVICES, RELEASES, ROLLOUTS, SNAPSHOT, UNKNOWN};
use super::transaction::{Transaction, send};
use otapress_core::id::Imei;
use otapress_responder::record::{ChannelRecord, DeviceRecord, ReleaseRecord, RolloutRecord, UnknownRecord};
use otapress_responder::records::{Keys, OVERDUE_LIMIT, Records};
use otapress_responder::store::{StoreError, minutes_of_hour};

/// How many rollouts are remembered that no key named.
const REMEMBERED: usize = 32;

/// What is asked for.
struct Wanted<'a> {
    devices: BTreeSet<Imei>,
    /// Rollouts, and whether their overdue devices are wanted.
    rollouts: BTreeMap<String, bool>,
    /// The rollouts whose offers are wanted of every device.
    named: Vec<&'a str>,
    channels: Vec<&'a str>,
}

impl<'a> Wanted<'a> {
    fn new(keys: &Keys<'a>, remembered: &BTreeSet<String>) -> Self {
        let of_devices = keys.devices.iter().filter_map(|(_, id)| *id);
        let named: BTreeSet<_> = keys.rollouts.iter().copied().chain(of_devices).collect();
        let channels: BTreeSet<_> = keys.channels.iter().copied().collect();
        let mut rollouts: BTreeMap<_, _> = remembered.iter().map(|id| (id.clone(), false)).collect();
        rollouts.extend(named.iter().map(|&id| (id.to_owned(), true)));
        Wanted {
            devices: keys.devices.iter().map(|(imei, _)| *imei).collect(),
            rollouts,
            named: named.into_iter().collect(),
            channels: channels.into_iter().collect(),
        }
    }

    /// Adds what was found to be needed besides. Returns whether there is something new.
    fn add(&mut self, found: &Found, remembered: &mut BTreeSet<String>) -> bool {
        let before = self.devices.len();
        self.devices.extend(found.overdue.iter().map(|(_, imei)| *imei).chain(found.clients.iter().copied()));
        let mut is_new = self.devices.len() > before;
        for offer in found.devices.values().flat_map(|device| &device.offers) {
            if !self.rollouts.contains_key(&*offer.rollout) {
                is_new = true;
                self.rollouts.insert(offer.rollout.to_string(), false);
                if remembered.len() >= REMEMBERED {
                    remembered.clear();
                }
                remembered.insert(offer.rollout.to_string());
            }
        }
        is_new
    }
}

/// What was found.
struct Found {
    devices: BTreeMap<Imei, DeviceRecord>,
    rollouts: BTreeMap<Arc<str>, RolloutRecord>,
    overdue: Vec<(String, Imei)>,
    clients: Vec<Imei>,
    channels: Vec<(String, Option<ChannelRecord>, Option<u32>)>,
    releases: Vec<ReleaseRecord>,
    unknown: Vec<UnknownRecord>,
}

/// Asks, unless for nothing.
async fn ask(
    client: &Client,
    statement: &Statement,
    about: usize,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    if about == 0 { Ok(Vec::new()) } else { client.query(statement, parameters).await }
}

impl Transaction<'_> {
    /// Loads records.
    pub(super) fn load_records(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError> {
        let mut wanted = Wanted::new(keys, &self.connection.rollouts);
        let mut found = loop {
            let found = self.find(&wanted, keys, now)?;
            if !wanted.add(&found, &mut self.connection.rollouts) {
                break found;
            }
        };
        // The remembered ones may be of no device.
        let offers = found.devices.values().flat_map(|device| &device.offers);
        let offered: BTreeSet<_> = offers.map(|offer| &*offer.rollout).collect();
        found.rollouts.retain(|id, _| offered.contains(&**id) || wanted.named.contains(&&**id));
        let mut records = Records::default();
        found.devices.into_values().for_each(|device| records.load_device(device));
        found.rollouts.into_values().for_each(|rollout| records.load_rollout(rollout));
        found.overdue.iter().for_each(|(rollout, imei)| records.load_overdue(rollout, *imei));
        for (name, channel, recent) in found.channels {
            channel.into_iter().for_each(|channel| records.load_channel(channel));
            records.load_recent(&name, recent.unwrap_or(0));
        }
        found.releases.into_iter().for_each(|release| records.load_release(release));
        found.unknown.into_iter().for_each(|unknown| records.load_unknown(unknown));
        Ok(records)
    }

    fn find(&mut self, wanted: &Wanted<'_>, keys: &Keys<'_>, now: i64) -> Result<Found, StoreError> {
        let imeis: Vec<_> = wanted.devices.iter().map(Imei::to_string).collect();
        let clients: Vec<_> = keys.clients.iter().map(|client| client.as_str()).collect();
        let ids: Vec<_> = wanted.rollouts.keys().collect();
        let overdue: Vec<_> = wanted.rollouts.values().collect();
        let Wanted { named, channels, .. } = wanted;
        let limit = i64::from(OVERDUE_LIMIT);
        let (first, last) = minutes_of_hour(now);
        let frame = self.frame()?;
        let deadline = self.limits.deadline();
        let found = self.connector.run(self.connection, deadline, async |connection| {
            let statements = connection
                .prepare([DEVICES, ROLLOUTS, CLIENTS, CHANNELS, RELEASES, UNKNOWN, SNAPSHOT])
                .await?;
            let [devices, rollouts, of_clients, of_channels, releases, unknown, snapshot] = &statements;
            let client = connection.client();
            let about_devices: [&(dyn ToSql + Sync); 2] = [&imeis, named];
            let about_rollouts: [&(dyn ToSql + Sync); 4] = [&ids, &overdue, &now, &limit];
            let about_clients: [&(dyn ToSql + Sync); 1] = [&clients];
            let about_channels: [&(dyn ToSql + Sync); 3] = [channels, &first, &last];
            let about_names: [&(dyn ToSql + Sync); 1] = [&keys.names];
            // All are on their way before the first is answered, in this order.
            tokio::try_join!(
                biased;
                send(client, frame.begin.as_deref()),
                ask(client, snapshot, usize::from(frame.is_look), &[]),
                ask(client, devices, imeis.len(), &about_devices),
                ask(client, rollouts, ids.len(), &about_rollouts),
                ask(client, of_clients, clients.len(), &about_clients),
                ask(client, of_channels, channels.len(), &about_channels),
                ask(client, unknown, keys.names.len(), &about_names),
                ask(client, releases, 1, &[]),
                send(client, frame.is_look.then_some("COMMIT")),
            )
        });
        let ((), seen, devices, rollouts, clients, channels, unknown, releases, ()) =
            found.map_err(|trouble| self.failed(trouble))?;
        let seen = self.read(&seen, |row| Ok((rows::number(row, "oldest")?, rows::number(row, "next")?)))?;
        if let Some(&(oldest, next)) = seen.first() {
            self.looked(oldest, next);
        }
        let overdue = self.read(&rollouts, rows::overdue)?;
        let rollouts = self.read(&rollouts, rows::rollout_if_any)?.into_iter().flatten();
        Ok(Found {
            devices: self.devices_with_offers(&devices)?,
            rollouts: rollouts.map(|rollout| (rollout.id.clone(), rollout)).collect(),
            overdue: overdue.into_iter().flatten().collect(),
            clients: self.read(&clients, rows::imei)?,
            channels: self.read(&channels, rows::channel_and_offers)?,
            releases: self.read(&releases, rows::release)?,
            unknown: self.read(&unknown, rows::unknown)?,
        })
    }

    /// Puts devices together whose offers are rows of their own.
    fn devices_with_offers(&self, found: &[Row]) -> Result<BTreeMap<Imei, DeviceRecord>, StoreError> {
        let mut devices: BTreeMap<Imei, DeviceRecord> = BTreeMap::new();
        for row in found {
            let wrong = |what| StoreError::Value { path: self.path.into(), what };
            let imei = rows::imei(row).map_err(wrong)?;
            let device = match devices.entry(imei) {
                std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::btree_map::Entry::Vacant(new) => {
                    new.insert(rows::device(row).map_err(wrong)?)
                }
            };
            device.offers.extend(rows::offer_if_any(&mut Columns::after_device(row)).map_err(wrong)?);
        }
        Ok(devices)
    }
}
