//! Records as rows of the SQLite database.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::failure::failure;
use super::{Member, Place, Rate, Standing, StoreError, Tx, UNKNOWN_LIMIT, minutes_of_hour};
use crate::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, OfferRecord, Refusal, ReleaseRecord, RolloutRecord,
    UnknownRecord, Verdict,
};
use crate::records::{Changes, Keys, OVERDUE_LIMIT, Records};
use otapress_core::id::{ClientId, Imei};
use read::{Columns, channel, device, event, imei, offer, offer_after, parse, release, rollout, unknown};

mod read;

/// The columns of the tables, in the order in which they are read. Macros, so that statements are put
/// together at compile time.
macro_rules! columns {
    (devices) => {
        "imei, client, first_seen, last_seen, reported, refusal, sent_generation, sent_whole, sent_at, \
         sent_target, sent_checks, sent_checked, confirmed_generation, confirmed_whole, latest, result_at, \
         result_code, result_text, result_rollout, budget"
    };
    (offers) => {
        "rollout, target, attempts, at, reported, deadline, until, answered, code, verdict, artifact_fault, \
         epoch, place, proven, since, blamed, missing, wave, outside"
    };
    (rollouts) => {
        "id, brake_artifact_faults, brake_failures_bp, brake_after, epoch, offered, succeeded, failed, \
         artifact_faults, halted_at, halted_reason, installed, places, proven, proven_since, attempts_since, \
         heard, lag, patience, judged, waves"
    };
    (releases) => {
        "version, epoch, faults, halted_at, halted_reason, judged"
    };
    (channels) => {
        "name, heard, lag, patience"
    };
    (events) => {
        "seq, at, kind, imei, rollout, code, detail"
    };
    (unknown) => {
        "name, first_seen, last_seen, said"
    };
}

/// `SELECT` of all columns of a table, and the rest of the statement.
macro_rules! select {
    ($table:ident $(, $rest:literal)?) => {
        concat!("SELECT ", columns!($table), " FROM ", stringify!($table) $(, " ", $rest)?)
    };
}

/// A transaction that is open on a connection.
pub(super) struct Rows<'a> {
    pub db: &'a Connection,
    pub path: &'a Path,
}

impl Rows<'_> {
    fn one<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let run = || self.db.prepare_cached(sql)?.query_row(params, read).optional();
        run().map_err(|error| failure(self.path, error))
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run =
            || self.db.prepare_cached(sql)?.query_map(params, read)?.collect::<rusqlite::Result<Vec<T>>>();
        run().map_err(|error| failure(self.path, error))
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), StoreError> {
        let run = || self.db.prepare_cached(sql)?.execute(params);
        run().map(|_| ()).map_err(|error| failure(self.path, error))
    }

    /// Runs a statement for each item, and looks it up only once.
    fn for_each<T>(
        &self,
        sql: &str,
        items: &[T],
        run: impl Fn(&mut CachedStatement<'_>, &T) -> rusqlite::Result<usize>,
    ) -> Result<(), StoreError> {
        let all = || {
            let mut statement = self.db.prepare_cached(sql)?;
            items.iter().try_for_each(|item| run(&mut statement, item).map(|_| ()))
        };
        if items.is_empty() { Ok(()) } else { all().map_err(|error| failure(self.path, error)) }
    }

    /// Up to `limit` devices after `after`, with those of their offers that `keeps` keeps: by the device, the
    /// rollout, and whether the offer takes a place.
    fn page(
        &self,
        after: Option<Imei>,
        limit: u32,
        keeps: impl Fn(&DeviceRecord, &str, bool) -> bool,
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        let after = after.map_or_else(String::new, |imei| imei.to_string());
        let sql = select!(devices, "WHERE imei > ? ORDER BY imei LIMIT ?");
        let mut records = self.all(sql, params![after, limit], device)?;
        let Some(last) = records.last().map(|record| record.imei.to_string()) else { return Ok(records) };
        let mut add = || -> rusqlite::Result<()> {
            // One query for the whole page instead of one for each device, in the order of the table: to have
            // the offers of each device sorted by the engine takes longer than to read them.
            let sql = concat!(
                "SELECT place, imei, ",
                columns!(offers),
                " FROM offers WHERE imei > ? AND imei <= ? ORDER BY imei, rollout"
            );
            let mut statement = self.db.prepare_cached(sql)?;
            let mut offers = statement.query(params![after, last])?;
            let mut devices = records.iter_mut().map(|record| (record.imei.to_string(), record)).peekable();
            while let Some(row) = offers.next()? {
                let imei = row.get_ref(1)?.as_str()?;
                // Both are in the order of the text of the IMEIs.
                while devices.next_if(|(of, _)| &**of < imei).is_some() {}
                let Some((_, record)) = devices.peek_mut().filter(|(of, _)| of == imei) else { continue };
                if keeps(record, row.get_ref(2)?.as_str()?, row.get(0)?) {
                    record.offers.push(offer_after(row, 2)?);
                }
            }
            Ok(())
        };
        add().map_err(|error| failure(self.path, error))?;
        records.iter_mut().for_each(|record| record.offers.sort_by_key(|offer| Reverse(offer.at)));
        Ok(records)
    }

    fn one_rollout(&self, id: &str) -> Result<Option<RolloutRecord>, StoreError> {
        self.one(select!(rollouts, "WHERE id = ?"), [id], rollout)
    }

    fn put_devices(&self, devices: &[&DeviceRecord]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO devices VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
        self.for_each(sql, devices, |statement, d| {
            let sent = d.settings.sent.as_ref();
            let confirmed = d.settings.confirmed.as_ref();
            let result = d.result.as_ref();
            statement.execute(params![
                d.imei.to_string(),
                d.client.as_ref().map(ClientId::as_str),
                d.first_seen,
                d.last_seen,
                d.reported.map(|version| version.to_string()),
                d.refusal.map(Refusal::as_str),
                sent.map(|sent| &sent.portion.generation),
                sent.map(|sent| sent.portion.is_complete),
                sent.map(|sent| sent.at),
                confirmed.map(|portion| &portion.generation),
                confirmed.map(|portion| portion.is_complete),
                d.latest,
                result.map(|result| result.at),
                result.and_then(|result| result.code),
                result.map(|result| &result.text),
                result.and_then(|result| result.rollout.as_ref()),
                sent.and_then(|sent| sent.target).map(|target| target.to_string()),
                sent.map(|sent| sent.checks),
                sent.map(|sent| sent.checked),
                d.budget.to_string(),
            ])
        })
    }

    fn put_offers(&self, offers: &[(Imei, &OfferRecord)]) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO offers VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
        self.for_each(sql, offers, |statement, (imei, o)| {
            statement.execute(params![
                imei.to_string(),
                o.rollout,
                o.target.to_string(),
                o.attempts,
                o.at,
                o.from.to_string(),
                o.deadline,
                o.until,
                o.answered,
                o.code,
                o.verdict.map(Verdict::as_str),
                o.artifact_fault,
                o.epoch,
                o.place,
                o.proven,
                o.since,
                o.blamed,
                o.missing,
                o.wave,
                o.outside,
            ])
        })
    }

    fn put_rollout(&self, r: &RolloutRecord) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO rollouts VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            params![
                r.id,
                r.brake.map(|brake| brake.artifact_faults),
                r.brake.map(|brake| brake.failures_bp),
                r.brake.map(|brake| brake.after),
                r.epoch,
                r.offered,
                r.succeeded,
                r.failed,
                r.artifact_faults,
                r.halted.as_ref().map(|halt| halt.at),
                r.halted.as_ref().map(|halt| &halt.reason),
                r.installed,
                r.places,
                r.proven,
                r.proven_since,
                r.attempts_since,
                r.clock.heard,
                r.clock.lag,
                r.clock.patience,
                r.judged,
                r.waves.to_text(),
            ],
        )
    }

    fn put_release(&self, r: &ReleaseRecord) -> Result<(), StoreError> {
        let (at, reason) = r.halted.as_ref().map_or((None, None), |halt| (Some(halt.at), Some(&halt.reason)));
        self.execute(
            "INSERT OR REPLACE INTO releases VALUES (?,?,?,?,?,?)",
            params![r.version, r.epoch, r.faults, at, reason, r.judged],
        )
    }

    fn put_channel(&self, c: &ChannelRecord) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO channels VALUES (?,?,?,?)",
            params![c.name, c.clock.heard, c.clock.lag, c.clock.patience],
        )
    }

    fn add_to_rate(&self, channel: &str, minute: i64, offers: u32) -> Result<(), StoreError> {
        self.execute("DELETE FROM rates WHERE channel = ? AND minute < ?", params![channel, minute - 60])?;
        let sql =
            "INSERT INTO rates VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET offers = offers + excluded.offers";
        self.execute(sql, params![channel, minute, offers])
    }

    fn put_events(&self, events: &[(Option<i64>, &Event)]) -> Result<(), StoreError> {
        let sql = "INSERT INTO events (seq, at, kind, imei, rollout, code, detail) VALUES (?,?,?,?,?,?,?)";
        self.for_each(sql, events, |statement, (seq, e)| {
            let imei = e.imei.map(|imei| imei.to_string());
            statement.execute(params![seq, e.at, e.kind.as_str(), imei, e.rollout, e.code, e.detail])
        })
    }

    fn put_unknown(&self, u: &UnknownRecord) -> Result<(), StoreError> {
        self.execute(
            "INSERT OR REPLACE INTO unknown VALUES (?,?,?,?)",
            params![u.name, u.first_seen, u.last_seen, u.said],
        )
    }
}

/// Reads devices, with statements that are looked up once for all of them.
struct DeviceReader<'a> {
    rows: &'a Rows<'a>,
    device: Option<CachedStatement<'a>>,
    offers: Option<CachedStatement<'a>>,
}

impl<'a> DeviceReader<'a> {
    fn new(rows: &'a Rows<'a>) -> Self {
        DeviceReader { rows, device: None, offers: None }
    }

    /// A device with its latest offer, that of `rollout`, and those that other records count.
    fn read(&mut self, imei: &str, rollout: Option<&str>) -> Result<Option<DeviceRecord>, StoreError> {
        self.try_read(imei, rollout).map_err(|error| failure(self.rows.path, error))
    }

    fn try_read(&mut self, imei: &str, rollout: Option<&str>) -> rusqlite::Result<Option<DeviceRecord>> {
        let of_device = prepared(&mut self.device, self.rows.db, select!(devices, "WHERE imei = ?"))?;
        let Some(mut record) = of_device.query_row([imei], device).optional()? else { return Ok(None) };
        let sql = select!(
            offers,
            "WHERE imei = ?1 AND (rollout IN (?2, ?3) OR place OR blamed IS NOT NULL \
              OR wave IS NOT NULL) \
             ORDER BY rollout"
        );
        // A process of CGI that finds no device never needs this one.
        let of_offers = prepared(&mut self.offers, self.rows.db, sql)?;
        let offers = of_offers.query_map(params![imei, record.latest, rollout], offer)?;
        record.offers = offers.collect::<rusqlite::Result<_>>()?;
        Ok(Some(record))
    }
}

fn prepared<'a, 's>(
    statement: &'s mut Option<CachedStatement<'a>>,
    db: &'a Connection,
    sql: &str,
) -> rusqlite::Result<&'s mut CachedStatement<'a>> {
    match statement {
        Some(statement) => Ok(statement),
        none => Ok(none.insert(db.prepare_cached(sql)?)),
    }
}

impl Tx for Rows<'_> {
    fn load(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError> {
        let mut records = Records::default();
        let mut rollouts: BTreeSet<Arc<str>> = keys.rollouts.iter().map(|&id| id.into()).collect();
        let mut of_device = DeviceReader::new(self);
        let mut load = |records: &mut Records, imei: &str, rollout| -> Result<(), StoreError> {
            if let Some(device) = of_device.read(imei, rollout)? {
                for offer in &device.offers {
                    if !rollouts.contains(&offer.rollout) {
                        rollouts.insert(offer.rollout.clone());
                    }
                }
                records.load_device(device);
            }
            Ok(())
        };
        for (imei, rollout) in &keys.devices {
            load(&mut records, &imei.to_string(), *rollout)?;
        }
        for client in &keys.clients {
            let sql = "SELECT imei FROM devices WHERE client = ? ORDER BY imei";
            for imei in self.all(sql, [client.as_str()], |row| row.get::<_, String>(0))? {
                load(&mut records, &imei, None)?;
            }
        }
        for &rollout in keys.rollouts.iter().collect::<BTreeSet<_>>() {
            let clock = self.one_rollout(rollout)?.map(|rollout| rollout.clock);
            let Some(time) = clock.unwrap_or_default().steady(now) else { continue };
            let sql =
                "SELECT imei FROM offers WHERE rollout = ? AND deadline <= ? ORDER BY deadline, imei LIMIT ?";
            let overdue = self.all(sql, params![rollout, time, OVERDUE_LIMIT], imei)?;
            for imei in overdue {
                records.load_overdue(rollout, imei);
                load(&mut records, &imei.to_string(), Some(rollout))?;
            }
        }
        drop(of_device);
        for id in &rollouts {
            self.one_rollout(id)?.into_iter().for_each(|rollout| records.load_rollout(rollout));
        }
        for name in &keys.names {
            let sql = select!(unknown, "WHERE name = ?");
            self.one(sql, [name], unknown)?.into_iter().for_each(|unknown| records.load_unknown(unknown));
        }
        for channel in keys.channels.iter().collect::<BTreeSet<_>>() {
            records.load_recent(channel, self.offers_in_hour(channel, now)?);
            let sql = select!(channels, "WHERE name = ?");
            self.one(sql, [channel], self::channel)?
                .into_iter()
                .for_each(|record| records.load_channel(record));
        }
        self.releases()?.into_iter().for_each(|release| records.load_release(release));
        Ok(records)
    }

    fn put(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.put_devices(&changes.devices)?;
        self.put_offers(&changes.offers)?;
        changes.rollouts.iter().try_for_each(|rollout| self.put_rollout(rollout))?;
        changes.releases.iter().try_for_each(|release| self.put_release(release))?;
        changes.channels.iter().try_for_each(|channel| self.put_channel(channel))?;
        let mut rates = changes.rates.iter();
        rates.try_for_each(|(channel, minute, offers)| self.add_to_rate(channel, *minute, *offers))?;
        let events = changes.events.iter().map(|&event| (None, event));
        let numbered = changes.numbered.iter().map(|&(seq, event)| (Some(seq), event));
        self.put_events(&events.chain(numbered).collect::<Vec<_>>())?;
        changes.unknown.iter().try_for_each(|unknown| self.put_unknown(unknown))?;
        if changes.unknown.is_empty() {
            return Ok(());
        }
        self.execute(
            "DELETE FROM unknown WHERE name IN (SELECT name FROM unknown ORDER BY last_seen, name \
             LIMIT max(0, (SELECT count(*) FROM unknown) - ?))",
            [UNKNOWN_LIMIT],
        )
    }

    fn device(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError> {
        let sql = select!(devices, "WHERE imei = ?");
        let Some(mut record) = self.one(sql, [imei.to_string()], device)? else { return Ok(None) };
        let sql = select!(offers, "WHERE imei = ? ORDER BY at DESC, rollout");
        record.offers = self.all(sql, [imei.to_string()], offer)?;
        Ok(Some(record))
    }

    fn rollout(&mut self, id: &str) -> Result<RolloutRecord, StoreError> {
        Ok(self.one_rollout(id)?.unwrap_or_else(|| RolloutRecord::new(id)))
    }

    fn offers_in_hour(&mut self, channel: &str, now: i64) -> Result<u32, StoreError> {
        // The minute in which the hour began counts whole: rather too few offers than too many.
        let sql = "SELECT coalesce(sum(offers), 0) FROM rates WHERE channel = ? AND minute BETWEEN ? AND ?";
        let (first, last) = minutes_of_hour(now);
        let count = self.one(sql, params![channel, first, last], |row| row.get(0))?;
        Ok(count.unwrap_or(0))
    }

    fn devices(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let after = after.map_or_else(String::new, |imei| imei.to_string());
        let sql = select!(devices, "WHERE imei > ? ORDER BY imei LIMIT ?");
        let mut records = self.all(sql, params![after, limit], device)?;
        let sql = select!(offers, "WHERE imei = ? AND rollout = ?");
        for record in &mut records {
            if let Some(latest) = &record.latest {
                record.offers = self.all(sql, params![record.imei.to_string(), latest], offer)?;
            }
        }
        Ok(records)
    }

    fn devices_in_full(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        self.page(after, limit, |_, _, _| true)
    }

    fn devices_with_offers(
        &mut self,
        after: Option<Imei>,
        limit: u32,
        rollouts: &[&str],
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        self.page(after, limit, |device, rollout, place| {
            place || device.latest.as_deref() == Some(rollout) || rollouts.contains(&rollout)
        })
    }

    fn rollouts(&mut self) -> Result<Vec<RolloutRecord>, StoreError> {
        self.all(select!(rollouts, "ORDER BY id"), [], rollout)
    }

    fn releases(&mut self) -> Result<Vec<ReleaseRecord>, StoreError> {
        self.all(select!(releases, "ORDER BY version"), [], release)
    }

    fn channels(&mut self) -> Result<Vec<ChannelRecord>, StoreError> {
        self.all(select!(channels, "ORDER BY name"), [], channel)
    }

    fn places(&mut self, offset: u32, limit: u32) -> Result<Vec<Place>, StoreError> {
        let sql = "SELECT o.rollout, o.imei, o.missing FROM rollouts r JOIN offers o ON o.rollout = r.id \
             AND o.epoch = r.epoch WHERE o.place ORDER BY o.rollout, o.imei LIMIT ? OFFSET ?";
        self.all(sql, [limit, offset], |row| {
            let row = &mut Columns::of(row);
            Ok(Place { rollout: row.get()?, imei: row.text_there(parse)?, missing: row.get()? })
        })
    }

    fn member_count(&mut self, rollout: &str) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM offers WHERE rollout = ? AND wave IS NOT NULL";
        Ok(self.one(sql, [rollout], |row| row.get(0))?.unwrap_or(0))
    }

    fn members(&mut self, rollout: &str, offset: u32, limit: u32) -> Result<Vec<Member>, StoreError> {
        let sql = "SELECT imei, wave, outside FROM offers WHERE rollout = ? AND wave IS NOT NULL \
             ORDER BY imei LIMIT ? OFFSET ?";
        self.all(sql, params![rollout, limit, offset], |row| {
            let row = &mut Columns::of(row);
            Ok(Member { imei: row.text_there(parse)?, wave: row.get()?, outside: row.get()? })
        })
    }

    fn unknowns(&mut self, limit: u32) -> Result<Vec<UnknownRecord>, StoreError> {
        let sql = select!(unknown, "ORDER BY last_seen DESC, name LIMIT ?");
        self.all(sql, [limit], unknown)
    }

    fn events(&mut self, after: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = select!(events, "WHERE seq > ? ORDER BY seq LIMIT ?");
        self.all(sql, params![after, limit], event)
    }

    fn events_before(&mut self, before: i64, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = select!(events, "WHERE seq < ? ORDER BY seq DESC LIMIT ?");
        self.all(sql, params![before, limit], event)
    }

    fn events_of_kinds(
        &mut self,
        kinds: &[EventKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Event)>, StoreError> {
        // Their names are ours, and have no quotes.
        let kinds: Vec<_> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
        let kinds = kinds.join(",");
        let sql = format!("{} WHERE seq > ? AND kind IN ({kinds}) ORDER BY seq LIMIT ?", select!(events));
        self.all(&sql, params![after, limit], event)
    }

    fn events_of(&mut self, imei: Imei, limit: u32) -> Result<Vec<(i64, Event)>, StoreError> {
        let sql = select!(events, "WHERE imei = ? ORDER BY seq DESC LIMIT ?");
        self.all(sql, params![imei.to_string(), limit], event)
    }

    fn cursor(&mut self, name: &str) -> Result<i64, StoreError> {
        let seq = self.one("SELECT seq FROM cursors WHERE name = ?", [name], |row| row.get(0))?;
        Ok(seq.unwrap_or(0))
    }

    fn put_cursor(&mut self, name: &str, seq: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)";
        self.execute(sql, params![name, seq])
    }

    fn forget_cursor(&mut self, name: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM cursors WHERE name = ?", [name])
    }

    fn forget_events(&mut self, numbers: &[i64]) -> Result<(), StoreError> {
        numbers.iter().try_for_each(|seq| self.execute("DELETE FROM events WHERE seq = ?", [seq]))
    }

    fn forget_unknowns(&mut self, before: i64) -> Result<u32, StoreError> {
        self.execute("DELETE FROM unknown WHERE last_seen < ?", [before])?;
        Ok(u32::try_from(self.db.changes()).unwrap_or(u32::MAX))
    }

    fn standings(&mut self) -> Result<Vec<(String, Standing)>, StoreError> {
        let count = || -> rusqlite::Result<BTreeMap<String, Standing>> {
            let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
            // Counted here: to group them the engine would sort them all.
            let mut statement =
                self.db.prepare_cached("SELECT rollout, verdict FROM offers WHERE target <> reported")?;
            let mut offers = statement.query([])?;
            while let Some(row) = offers.next()? {
                let rollout = row.get_ref(0)?.as_str()?;
                let verdict = row.get_ref(1)?.as_str_or_null()?.and_then(Verdict::from_name);
                match standings.get_mut(rollout) {
                    Some(standing) => standing.add(verdict),
                    None => standings.entry(rollout.to_owned()).or_default().add(verdict),
                }
            }
            Ok(standings)
        };
        let standings = count().map_err(|error| failure(self.path, error))?;
        Ok(standings.into_iter().collect())
    }

    fn rates(&mut self) -> Result<Vec<Rate>, StoreError> {
        self.all("SELECT channel, minute, offers FROM rates ORDER BY channel, minute", [], |row| {
            Ok(Rate { channel: row.get(0)?, minute: row.get(1)?, offers: row.get(2)? })
        })
    }

    fn cursors(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        self.all("SELECT name, seq FROM cursors ORDER BY name", [], |row| Ok((row.get(0)?, row.get(1)?)))
    }
}
