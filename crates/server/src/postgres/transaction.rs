//! The rows, inside a transaction.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connection::{Connection, Connector, Trouble};
use super::held::Held;
use super::rows::{self, Read};
use otapress_core::id::{ClientId, Imei};
use otapress_responder::record::{DeviceRecord, Event, EventKind, RolloutRecord, UnknownRecord};
use otapress_responder::store::{Asked, Rate, Standing, StoreError, Tx, UNKNOWN_LIMIT};

/// Devices by their IMEIs.
pub(super) const DEVICES: &str = "SELECT * FROM devices WHERE imei = ANY($1)";

/// The latest offer of each device, and that of the rollout that was asked for.
pub(super) const OFFERS: &str = "SELECT o.* FROM unnest($1::text[], $2::text[]) AS asked (imei, rollout) LEFT JOIN devices d USING \
     (imei) JOIN offers o ON o.imei = asked.imei AND (o.rollout = asked.rollout OR o.rollout = d.latest)";

/// The rollouts that were asked for, and those of the latest offers.
pub(super) const ROLLOUTS: &str = "SELECT * FROM rollouts WHERE id = ANY($2::text[] || ARRAY(SELECT latest FROM devices WHERE \
     imei = ANY($1)))";

/// Unknown devices by their names.
pub(super) const UNKNOWN: &str = "SELECT * FROM unknown WHERE name = ANY($1)";

/// Who has the clientIDs.
pub(super) const CLIENTS: &str = "SELECT imei, client FROM devices WHERE client = ANY($1)";

/// Forgets those that were not heard of for longest.
const FORGET: &str = "DELETE FROM unknown WHERE name IN (SELECT name FROM unknown ORDER BY last_seen, name LIMIT \
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
    pub held: Held,
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

impl Transaction<'_> {
    fn failed(&mut self, trouble: Trouble) -> StoreError {
        let error = failure(self.path, &trouble);
        self.trouble = Some(trouble);
        error
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

    /// Asks the server, once it knows what was put.
    fn all<T>(
        &mut self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
        read: impl Fn(&Row) -> Read<T>,
    ) -> Result<Vec<T>, StoreError> {
        self.flush()?;
        let deadline = self.limits.deadline();
        let found = self.connector.run(self.connection, deadline, async |connection| {
            let [statement] = connection.prepare([sql]).await?;
            connection.client().query(&statement, parameters).await
        });
        let found = found.map_err(|trouble| self.failed(trouble))?;
        self.read(&found, read)
    }

    /// Tells the server what was put.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if !self.held.is_dirty() {
            return Ok(());
        }
        let (bulks, afterwards) = self.held.bulks();
        let deadline = self.limits.deadline();
        let done = self.connector.run(self.connection, deadline, async |connection| {
            let mut statements = Vec::with_capacity(bulks.len());
            for bulk in &bulks {
                let [statement] = connection.prepare([bulk.sql]).await?;
                statements.push(statement);
            }
            let [forget, advance] = connection.prepare([FORGET, ADVANCE]).await?;
            let parameters: Vec<_> = bulks.iter().map(|bulk| bulk.parameters()).collect();
            let client = connection.client();
            // All are on their way before the first is answered.
            let writes =
                statements.iter().zip(&parameters).map(|(statement, of)| client.execute(statement, of));
            futures_util::future::try_join_all(writes).await?;
            if afterwards.forget {
                client.execute(&forget, &[&i64::from(UNKNOWN_LIMIT)]).await?;
            }
            if afterwards.advance {
                client.query(&advance, &[]).await?;
            }
            Ok(())
        });
        drop(bulks);
        done.map_err(|trouble| self.failed(trouble))?;
        self.held.written();
        Ok(())
    }

    fn flush_if_full(&mut self) -> Result<(), StoreError> {
        if self.held.is_full() { self.flush() } else { Ok(()) }
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
    fn expect(&mut self, asked: &Asked<'_>) -> Result<(), StoreError> {
        let imeis: Vec<_> = asked.devices.iter().map(|(imei, _)| imei.to_string()).collect();
        let rollouts: Vec<_> = asked.devices.iter().map(|&(_, rollout)| rollout).collect();
        let clients: Vec<_> = asked.clients.iter().map(|client| client.as_str()).collect();
        self.flush()?;
        let deadline = self.limits.deadline();
        let found = self.connector.run(self.connection, deadline, async |connection| {
            let statements = connection.prepare([DEVICES, OFFERS, ROLLOUTS, UNKNOWN, CLIENTS]).await?;
            let [devices, offers, of_rollouts, unknown, of_clients] = &statements;
            let client = connection.client();
            let by_imei: [&(dyn ToSql + Sync); 1] = [&imeis];
            let by_both: [&(dyn ToSql + Sync); 2] = [&imeis, &rollouts];
            let by_client: [&(dyn ToSql + Sync); 1] = [&clients];
            tokio::try_join!(
                client.query(devices, &by_imei),
                client.query(offers, &by_both),
                client.query(of_rollouts, &by_both),
                client.query(unknown, &by_imei),
                client.query(of_clients, &by_client),
            )
        });
        let (devices, offers, of_rollouts, unknown, of_clients) =
            found.map_err(|trouble| self.failed(trouble))?;
        let devices = self.read(&devices, rows::device)?;
        let offers = self.read(&offers, rows::offer)?;
        let read_rollouts = self.read(&of_rollouts, rows::rollout)?;
        let unknown = self.read(&unknown, rows::unknown)?;
        let of_clients = self.read(&of_clients, rows::client)?;
        let latest: Vec<_> = devices.iter().filter_map(|device| device.latest.clone()).collect();
        self.held.read_devices(asked.devices.iter().copied(), devices, offers);
        read_rollouts.into_iter().for_each(|rollout| self.held.read_rollout(rollout));
        // Those that were asked for and not found are not there.
        let none = latest.into_iter().chain(rollouts.into_iter().flatten().map(str::to_owned));
        none.for_each(|id| self.held.read_rollout(RolloutRecord::new(id)));
        self.held.read_unknown(imeis, unknown);
        self.held.read_clients(asked.clients.iter().copied(), of_clients);
        Ok(())
    }

    fn device(&mut self, imei: Imei, rollout: Option<&str>) -> Result<Option<DeviceRecord>, StoreError> {
        if let Some(known) = self.held.device(imei, rollout) {
            return Ok(known);
        }
        let asked = [(imei, rollout)];
        self.expect(&Asked { devices: &asked, clients: &[] })?;
        Ok(self.held.device(imei, rollout).flatten())
    }

    fn device_in_full(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError> {
        let record = self.all(DEVICES, &[&[imei.to_string()].as_slice()], rows::device)?;
        Ok(self.in_full(record)?.pop())
    }

    fn devices_of_client(&mut self, client: &ClientId) -> Result<Vec<Imei>, StoreError> {
        if let Some(known) = self.held.clients(client) {
            return Ok(known);
        }
        self.expect(&Asked { devices: &[], clients: &[client] })?;
        Ok(self.held.clients(client).unwrap_or_default())
    }

    fn put_device(&mut self, device: &DeviceRecord) -> Result<(), StoreError> {
        self.held.put_device(device);
        self.flush_if_full()
    }

    fn rollout(&mut self, id: &str) -> Result<RolloutRecord, StoreError> {
        if let Some(known) = self.held.rollout(id) {
            return Ok(known);
        }
        let sql = "SELECT * FROM rollouts WHERE id = $1";
        let read = self.all(sql, &[&id], rows::rollout)?.pop().unwrap_or_else(|| RolloutRecord::new(id));
        self.held.read_rollout(read.clone());
        Ok(read)
    }

    fn put_rollout(&mut self, rollout: &RolloutRecord) -> Result<(), StoreError> {
        self.held.put_rollout(rollout);
        self.flush_if_full()
    }

    fn overdue(&mut self, rollout: &str, now: i64, limit: u32) -> Result<Vec<Imei>, StoreError> {
        if let Some(known) = self.held.overdue(rollout, now, limit) {
            return Ok(known);
        }
        let sql = "SELECT deadline, imei FROM offers WHERE rollout = $1 AND deadline <= $2 ORDER BY deadline, imei \
             LIMIT $3";
        let found = self.all(sql, &[&rollout, &now, &i64::from(limit)], rows::deadline)?;
        let imeis = found.iter().map(|&(_, imei)| imei).collect();
        if found.len() < limit as usize {
            self.held.read_overdue(rollout, now, found);
        }
        Ok(imeis)
    }

    fn offers_in_hour(&mut self, channel: &str, now: i64) -> Result<u32, StoreError> {
        if let Some(known) = self.held.in_hour(channel, now) {
            return Ok(known);
        }
        // The minute in which the hour began counts whole: rather too few offers than too many. So do
        // minutes to come, which only a clock that was set back leaves behind.
        let sql =
            "SELECT coalesce(sum(offers), 0)::bigint AS seq FROM rates WHERE channel = $1 AND minute >= $2";
        let count = self.all(sql, &[&channel, &(now - 3600).div_euclid(60)], rows::seq)?;
        let count = count.first().map_or(0, |&count| u32::try_from(count).unwrap_or(u32::MAX));
        self.held.read_in_hour(channel, now, count);
        Ok(count)
    }

    fn count_offer(&mut self, channel: &str, now: i64) -> Result<(), StoreError> {
        self.held.count(channel, now);
        self.flush_if_full()
    }

    fn put_event(&mut self, event: &Event) -> Result<(), StoreError> {
        self.held.put_event(event);
        self.flush_if_full()
    }

    fn unknown(&mut self, name: &str) -> Result<Option<UnknownRecord>, StoreError> {
        if let Some(known) = self.held.unknown(name) {
            return Ok(known);
        }
        let found = self.all(UNKNOWN, &[&[name].as_slice()], rows::unknown)?.pop();
        self.held.read_unknown([name.to_owned()], found.clone().into_iter().collect());
        Ok(found)
    }

    fn put_unknown(&mut self, unknown: &UnknownRecord) -> Result<(), StoreError> {
        self.held.put_unknown(unknown);
        self.flush_if_full()
    }

    fn devices(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let mut records = self.page(after, limit)?;
        let imeis: Vec<_> = records.iter().map(|record| record.imei.to_string()).collect();
        let none = vec![None::<&str>; imeis.len()];
        let offers = self.all(OFFERS, &[&imeis, &none], rows::offer)?;
        let mut offers: std::collections::BTreeMap<_, _> = offers.into_iter().collect();
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

    fn events_of_kind(
        &mut self,
        kind: EventKind,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = "SELECT * FROM events WHERE seq > $1 AND kind = $2 ORDER BY seq LIMIT $3";
        self.all(sql, &[&after, &kind.as_str(), &i64::from(limit)], rows::event)
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
        let sql = "INSERT INTO cursors VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET seq = greatest(cursors.seq, \
             excluded.seq) RETURNING seq";
        self.all(sql, &[&name, &seq], rows::seq).map(|_| ())
    }

    fn standings(&mut self) -> Result<Vec<(String, Standing)>, StoreError> {
        let sql = "SELECT rollout, count(*) FILTER (WHERE verdict IS NULL) AS open, count(*) FILTER (WHERE verdict IS \
             NULL AND code = 900) AS installed, count(*) FILTER (WHERE verdict = 'succeeded') AS succeeded, count(*) \
             FILTER (WHERE verdict = 'failed') AS failed FROM offers GROUP BY rollout ORDER BY rollout";
        self.all(sql, &[], rows::standing)
    }

    fn rates(&mut self) -> Result<Vec<Rate>, StoreError> {
        self.all("SELECT * FROM rates ORDER BY channel, minute", &[], rows::rate)
    }

    fn cursors(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        self.all("SELECT * FROM cursors ORDER BY name", &[], rows::cursor)
    }

    fn put_rate(&mut self, rate: &Rate) -> Result<(), StoreError> {
        self.held.put_rate(rate);
        self.flush_if_full()
    }

    fn put_event_as(&mut self, seq: i64, event: &Event) -> Result<(), StoreError> {
        self.held.put_event_as(seq, event);
        self.flush_if_full()
    }
}
