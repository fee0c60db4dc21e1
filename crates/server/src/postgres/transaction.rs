//! The rows, inside a transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::bulk;
use super::connection::{Connection, Connector, Trouble};
use super::rows::{self, Read};
use otapress_core::id::Imei;
use otapress_responder::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, OfferRecord, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use otapress_responder::records::{Changes, Keys, OVERDUE_LIMIT, Records};
use otapress_responder::store::{
    Member, Place, Rate, Standing, StoreError, Tx, UNKNOWN_LIMIT, minutes_of_hour,
};

/// A device by its IMEI.
const DEVICE: &str = "SELECT * FROM devices WHERE imei = $1";

/// Whom a batch is about: `$1` IMEIs, `$2` clientIDs, `$3` rollouts, `$4` the time, `$5` how many overdue
/// devices at most.
macro_rules! asked {
    ($rest:literal) => {
        concat!(
            "WITH asked AS (SELECT unnest($1::text[]) AS imei UNION SELECT imei FROM devices WHERE client = \
             ANY($2::text[]) \
             UNION SELECT o.imei FROM unnest($3::text[]) AS r (id) LEFT JOIN rollouts c USING (id), LATERAL \
             (SELECT imei \
             FROM offers WHERE rollout = r.id AND deadline <= $4::bigint - coalesce(c.lag, 0) AND (c.heard \
             IS NULL OR \
             abs($4 - c.heard) <= c.patience) ORDER BY deadline, imei LIMIT $5::bigint) o) ",
            $rest
        )
    };
}

/// The devices.
pub(super) const DEVICES: &str = asked!("SELECT d.* FROM asked JOIN devices d USING (imei)");

/// Of each device the latest offer, and those of the rollouts that were asked for.
pub(super) const OFFERS: &str = asked!(
    "SELECT o.* FROM asked JOIN devices d USING (imei) JOIN offers o ON o.imei = d.imei AND (o.rollout = \
     d.latest OR \
     o.rollout = ANY($3) OR o.place OR o.blamed IS NOT NULL OR o.wave IS NOT NULL)"
);

/// The rollouts that were asked for, and those of these offers.
pub(super) const ROLLOUTS: &str = asked!(
    "SELECT * FROM rollouts WHERE id IN (SELECT unnest($3::text[]) UNION SELECT o.rollout FROM asked JOIN \
     devices d USING \
     (imei) JOIN offers o ON o.imei = d.imei AND (o.rollout = d.latest OR o.place OR o.blamed IS NOT NULL OR \
     o.wave IS NOT NULL))"
);

/// Which devices are overdue in the rollouts.
pub(super) const OVERDUE: &str = "SELECT o.* FROM unnest($1::text[]) AS r (id) LEFT JOIN rollouts c USING \
    (id), LATERAL \
     (SELECT rollout, imei FROM offers WHERE rollout = r.id AND deadline <= $2::bigint - coalesce(c.lag, 0) \
     AND (c.heard IS \
     NULL OR abs($2 - c.heard) <= c.patience) ORDER BY deadline, imei LIMIT $3) o";

/// Every release with faults, or that had some.
const RELEASES: &str = "SELECT * FROM releases ORDER BY version";

/// Channels by name.
const CHANNELS: &str = "SELECT * FROM channels WHERE name = ANY($1)";

/// Unknown devices by their names.
pub(super) const UNKNOWN: &str = "SELECT * FROM unknown WHERE name = ANY($1)";

/// Offers by channel. The minute in which the hour began counts whole: rather too few offers than too many.
const RECENT: &str = "SELECT channel, sum(offers)::bigint AS seq FROM rates WHERE channel = ANY($1) AND \
    minute BETWEEN $2 AND $3 \
     GROUP BY channel";

/// Forgets those that were not heard of for longest.
const FORGET: &str = "DELETE FROM unknown WHERE name IN (SELECT name FROM unknown ORDER BY last_seen, name \
    LIMIT \
     greatest(0, (SELECT count(*) FROM unknown) - $1))";

/// Lets events be numbered from the last number on.
const ADVANCE: &str = "SELECT setval(pg_get_serial_sequence('events', 'seq'), max(seq)) FROM events";

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Each answer of the server.
    pub patience: Duration,
    /// All of it.
    pub until: Option<Instant>,
}

impl Limits {
    /// Until when the server has to answer what it is asked now.
    pub(super) fn deadline(self) -> Instant {
        let patience = Instant::now() + self.patience;
        self.until.map_or(patience, |until| until.min(patience))
    }
}

/// A transaction that is open on a connection.
pub(super) struct Transaction<'a> {
    pub connector: &'a Connector,
    pub connection: &'a mut Connection,
    pub limits: Limits,
    pub path: &'a Path,
    /// What begins it, until that is sent: with the first questions, to save a round trip.
    pub begin: Option<&'a str>,
    /// What went wrong with the server.
    pub trouble: Option<Trouble>,
}

/// What an error of the server means to those who use the store.
pub(super) fn failure(path: &Path, trouble: &Trouble) -> StoreError {
    match trouble {
        Trouble::Locked => StoreError::Busy { path: path.into() },
        trouble => StoreError::Engine { path: path.into(), source: trouble.to_string().into() },
    }
}

async fn begin(client: &Client, begin: Option<&str>) -> Result<(), tokio_postgres::Error> {
    match begin {
        Some(begin) => client.batch_execute(begin).await,
        None => Ok(()),
    }
}

impl Transaction<'_> {
    fn failed(&mut self, trouble: Trouble) -> StoreError {
        let error = failure(self.path, &trouble);
        self.trouble = Some(trouble);
        error
    }

    /// Begins, if that has not happened yet.
    pub(super) fn begun(&mut self) -> Result<(), StoreError> {
        self.begin.take().map_or(Ok(()), |begin| self.batch(begin))
    }

    /// Sends text that gives no rows.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let deadline = self.limits.deadline();
        let done = self
            .connector
            .run(self.connection, deadline, async |connection| connection.client().batch_execute(sql).await);
        done.map_err(|trouble| self.failed(trouble))
    }

    fn read<T>(&self, rows: &[Row], read: impl Fn(&Row) -> Read<T>) -> Result<Vec<T>, StoreError> {
        let wrong = |what| StoreError::Value { path: self.path.into(), what };
        rows.iter().map(read).collect::<Read<_>>().map_err(wrong)
    }

    fn all<T>(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
        read: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.begun()?;
        let deadline = self.limits.deadline();
        let found = self.connector.run(self.connection, deadline, async |connection| {
            let [statement] = connection.prepare([sql]).await?;
            connection.client().query(&statement, parameters).await
        });
        let found = found.map_err(|trouble| self.failed(trouble))?;
        self.read(&found, read)
    }

    /// Adds all of their offers to devices, those of each with the last one first.
    fn in_full(&mut self, mut records: Vec<DeviceRecord>) -> Result<Vec<DeviceRecord>, StoreError> {
        let imeis: Vec<_> = records.iter().map(|record| record.imei.to_string()).collect();
        let sql = "SELECT * FROM offers WHERE imei = ANY($1) ORDER BY imei, at DESC, rollout";
        let mut offers = self.all(sql, &[&imeis], rows::offer)?.into_iter().peekable();
        for record in &mut records {
            // Both are in the order of the text of the IMEIs.
            while let Some((_, offer)) = offers.next_if(|(imei, _)| *imei == record.imei) {
                record.offers.push(offer);
            }
        }
        Ok(records)
    }

    fn page(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let after = after.map_or_else(String::new, |imei| imei.to_string());
        let sql = "SELECT * FROM devices WHERE imei > $1 ORDER BY imei LIMIT $2";
        self.all(sql, &[&after, &i64::from(limit)], rows::device)
    }
}

impl Tx for Transaction<'_> {
    fn load(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError> {
        let imeis: Vec<_> = keys.devices.iter().map(|(imei, _)| imei.to_string()).collect();
        let clients: Vec<_> = keys.clients.iter().map(|client| client.as_str()).collect();
        let rollouts: BTreeSet<_> =
            keys.rollouts.iter().chain(keys.devices.iter().filter_map(|(_, id)| id.as_ref())).collect();
        let rollouts: Vec<_> = rollouts.into_iter().collect();
        let channels: Vec<_> = keys.channels.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let limit = i64::from(OVERDUE_LIMIT);
        let (first, last) = minutes_of_hour(now);
        let (start, deadline) = (self.begin.take(), self.limits.deadline());
        let found = self.connector.run(self.connection, deadline, async |connection| {
            let statements = connection
                .prepare([DEVICES, OFFERS, ROLLOUTS, OVERDUE, UNKNOWN, RECENT, RELEASES, CHANNELS])
                .await?;
            let [devices, offers, of_rollouts, overdue, unknown, recent, releases, named] = &statements;
            let client = connection.client();
            let asked: [&(dyn ToSql + Sync); 5] = [&imeis, &clients, &rollouts, &now, &limit];
            let of_overdue: [&(dyn ToSql + Sync); 3] = [&rollouts, &now, &limit];
            let by_name: [&(dyn ToSql + Sync); 1] = [&keys.names];
            let of_channels: [&(dyn ToSql + Sync); 3] = [&channels, &first, &last];
            let by_channel: [&(dyn ToSql + Sync); 1] = [&channels];
            // All are on their way before the first is answered, in this order.
            tokio::try_join!(
                biased;
                begin(client, start),
                client.query(devices, &asked),
                client.query(offers, &asked),
                client.query(of_rollouts, &asked),
                client.query(overdue, &of_overdue),
                client.query(unknown, &by_name),
                client.query(recent, &of_channels),
                client.query(releases, &[]),
                client.query(named, &by_channel),
            )
        });
        let ((), devices, offers, of_rollouts, overdue, unknown, recent, releases, named) =
            found.map_err(|trouble| self.failed(trouble))?;
        let mut of_device: BTreeMap<Imei, Vec<OfferRecord>> = BTreeMap::new();
        for (imei, offer) in self.read(&offers, rows::offer)? {
            of_device.entry(imei).or_default().push(offer);
        }
        let mut records = Records::default();
        for mut device in self.read(&devices, rows::device)? {
            device.offers = of_device.remove(&device.imei).unwrap_or_default();
            records.load_device(device);
        }
        self.read(&of_rollouts, rows::rollout)?.into_iter().for_each(|rollout| records.load_rollout(rollout));
        for (rollout, imei) in self.read(&overdue, rows::of_rollout)? {
            records.load_overdue(&rollout, imei);
        }
        self.read(&unknown, rows::unknown)?.into_iter().for_each(|unknown| records.load_unknown(unknown));
        for (channel, offers) in self.read(&recent, rows::recent)? {
            records.load_recent(&channel, offers);
        }
        self.read(&releases, rows::release)?.into_iter().for_each(|release| records.load_release(release));
        self.read(&named, rows::channel)?.into_iter().for_each(|channel| records.load_channel(channel));
        Ok(records)
    }

    fn put(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        let bulks = bulk::all(changes);
        if bulks.is_empty() {
            return Ok(());
        }
        self.begun()?;
        let (forget, advance) = (!changes.unknown.is_empty(), !changes.numbered.is_empty());
        let deadline = self.limits.deadline();
        let done = self.connector.run(self.connection, deadline, async |connection| {
            let mut statements = Vec::with_capacity(bulks.len());
            for bulk in &bulks {
                let [statement] = connection.prepare([bulk.sql]).await?;
                statements.push(statement);
            }
            let [forget_sql, advance_sql] = connection.prepare([FORGET, ADVANCE]).await?;
            let parameters: Vec<_> = bulks.iter().map(|bulk| bulk.parameters()).collect();
            let client = connection.client();
            // All are on their way before the first is answered.
            let writes =
                statements.iter().zip(&parameters).map(|(statement, of)| client.execute(statement, of));
            futures_util::future::try_join_all(writes).await?;
            if forget {
                client.execute(&forget_sql, &[&i64::from(UNKNOWN_LIMIT)]).await?;
            }
            if advance {
                client.query(&advance_sql, &[]).await?;
            }
            Ok(())
        });
        done.map_err(|trouble| self.failed(trouble))
    }

    fn device(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError> {
        let record = self.all(DEVICE, &[&imei.to_string()], rows::device)?;
        Ok(self.in_full(record)?.pop())
    }

    fn rollout(&mut self, id: &str) -> Result<RolloutRecord, StoreError> {
        let sql = "SELECT * FROM rollouts WHERE id = $1";
        Ok(self.all(sql, &[&id], rows::rollout)?.pop().unwrap_or_else(|| RolloutRecord::new(id)))
    }

    fn offers_in_hour(&mut self, channel: &str, now: i64) -> Result<u32, StoreError> {
        let (first, last) = minutes_of_hour(now);
        let found = self.all(RECENT, &[&[channel].as_slice(), &first, &last], rows::recent)?;
        Ok(found.first().map_or(0, |(_, offers)| *offers))
    }

    fn devices(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let mut records = self.page(after, limit)?;
        let imeis: Vec<_> = records.iter().map(|record| record.imei.to_string()).collect();
        let sql = "SELECT o.* FROM unnest($1::text[]) AS asked (imei) JOIN devices d USING (imei) JOIN \
            offers o ON \
             o.imei = d.imei AND o.rollout = d.latest";
        let mut offers: BTreeMap<_, _> = self.all(sql, &[&imeis], rows::offer)?.into_iter().collect();
        for record in &mut records {
            record.offers.extend(offers.remove(&record.imei));
        }
        Ok(records)
    }

    fn devices_in_full(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let records = self.page(after, limit)?;
        self.in_full(records)
    }

    fn rollouts(&mut self) -> Result<Vec<RolloutRecord>, StoreError> {
        self.all("SELECT * FROM rollouts ORDER BY id", &[], rows::rollout)
    }

    fn releases(&mut self) -> Result<Vec<ReleaseRecord>, StoreError> {
        self.all(RELEASES, &[], rows::release)
    }

    fn channels(&mut self) -> Result<Vec<ChannelRecord>, StoreError> {
        self.all("SELECT * FROM channels ORDER BY name", &[], rows::channel)
    }

    fn places(&mut self, offset: u32, limit: u32) -> Result<Vec<Place>, StoreError> {
        let sql = "SELECT o.rollout, o.imei, o.missing FROM rollouts r JOIN offers o ON o.rollout = r.id \
             AND o.epoch = r.epoch WHERE o.place ORDER BY o.rollout, o.imei LIMIT $1 OFFSET $2";
        self.all(sql, &[&i64::from(limit), &i64::from(offset)], rows::place)
    }

    fn member_count(&mut self, rollout: &str) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) AS members FROM offers WHERE rollout = $1 AND wave IS NOT NULL";
        Ok(self.all(sql, &[&rollout], |row| rows::number(row, "members"))?.pop().unwrap_or(0))
    }

    fn members(&mut self, rollout: &str, offset: u32, limit: u32) -> Result<Vec<Member>, StoreError> {
        let sql = "SELECT imei, wave, outside FROM offers WHERE rollout = $1 AND wave IS NOT NULL \
             ORDER BY imei LIMIT $2 OFFSET $3";
        self.all(sql, &[&rollout, &i64::from(limit), &i64::from(offset)], rows::member)
    }

    fn unknowns(&mut self, limit: u32) -> Result<Vec<UnknownRecord>, StoreError> {
        let sql = "SELECT * FROM unknown ORDER BY last_seen DESC, name LIMIT $1";
        self.all(sql, &[&i64::from(limit)], rows::unknown)
    }

    fn events(&mut self, after: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = "SELECT * FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
        self.all(sql, &[&after, &i64::from(limit)], rows::event)
    }

    fn events_before(&mut self, before: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = "SELECT * FROM events WHERE seq < $1 ORDER BY seq DESC LIMIT $2";
        self.all(sql, &[&before, &i64::from(limit)], rows::event)
    }

    fn events_of_kinds(
        &mut self,
        kinds: &[EventKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = "SELECT * FROM events WHERE seq > $1 AND kind = ANY($2) ORDER BY seq LIMIT $3";
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.as_str()).collect();
        self.all(sql, &[&after, &kinds, &i64::from(limit)], rows::event)
    }

    fn events_of(&mut self, imei: Imei, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = "SELECT * FROM events WHERE imei = $1 ORDER BY seq DESC LIMIT $2";
        self.all(sql, &[&imei.to_string(), &i64::from(limit)], rows::event)
    }

    fn cursor(&mut self, name: &str) -> Result<i64, StoreError> {
        let found = self.all("SELECT seq FROM cursors WHERE name = $1", &[&name], rows::seq)?;
        Ok(found.first().copied().unwrap_or(0))
    }

    fn put_cursor(&mut self, name: &str, seq: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO cursors VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = \
            greatest(cursors.seq, \
             excluded.seq) RETURNING seq";
        self.all(sql, &[&name, &seq], rows::seq).map(|_| ())
    }

    fn forget_cursor(&mut self, name: &str) -> Result<(), StoreError> {
        self.all("DELETE FROM cursors WHERE name = $1 RETURNING seq", &[&name], rows::seq).map(|_| ())
    }

    fn forget_events(&mut self, numbers: &[i64]) -> Result<(), StoreError> {
        let sql = "WITH gone AS (DELETE FROM events WHERE seq = ANY($1) RETURNING seq) SELECT max(seq) AS \
            seq FROM gone \
             HAVING count(*) > 0";
        self.all(sql, &[&numbers], rows::seq).map(|_| ())
    }

    fn forget_unknowns(&mut self, before: i64) -> Result<u32, StoreError> {
        let sql = "WITH gone AS (DELETE FROM unknown WHERE last_seen < $1 RETURNING name) SELECT count(*) AS \
            seq FROM gone";
        let gone = self.all(sql, &[&before], rows::seq)?;
        Ok(gone.first().map_or(0, |&gone| u32::try_from(gone).unwrap_or(u32::MAX)))
    }

    fn standings(&mut self) -> Result<Vec<(String, Standing)>, StoreError> {
        let sql = "SELECT rollout, count(*) FILTER (WHERE verdict IS NULL OR verdict = 'installed') AS open, \
            count(*) \
             FILTER (WHERE verdict = 'installed') AS installed, count(*) FILTER (WHERE verdict = \
             'succeeded') AS succeeded, count(*) \
             FILTER (WHERE verdict = 'failed') AS failed FROM offers WHERE target <> reported GROUP BY \
             rollout ORDER BY \
             rollout";
        self.all(sql, &[], rows::standing)
    }

    fn rates(&mut self) -> Result<Vec<Rate>, StoreError> {
        self.all("SELECT * FROM rates ORDER BY channel, minute", &[], rows::rate)
    }

    fn cursors(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        self.all("SELECT * FROM cursors ORDER BY name", &[], rows::cursor)
    }
}
