//! The rows, inside a transaction.
//!
//! What is read begins the transaction, and what is written goes together with the commit: a batch of
//! questions costs one round trip and the commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::bulk::{self, Bulk};
use super::connection::{Connection, Connector, Trouble, trouble};
use super::rows::{self, Read};
use super::statements::{RECENT, RELEASES, device_columns, offer_columns, select};
use otapress_core::id::Imei;
use otapress_responder::record::{
    ChannelRecord, DeviceRecord, Event, EventKind, ReleaseRecord, RolloutRecord, UnknownRecord,
};
use otapress_responder::records::{Changes, Keys, Records};
use otapress_responder::store::{
    Durability, Member, Place, Rate, Standing, StoreError, Tx, UNKNOWN_LIMIT, minutes_of_hour,
};

/// What begins a transaction that reads.
const LOOK: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

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

/// What a transaction is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    /// It reads one consistent state.
    Read,
    /// It writes, alone: it holds this lock from its first question on.
    Write(i64),
    /// The same, but it may look at one consistent state first and take the lock only when it writes; the
    /// guard makes sure that nobody wrote in between.
    LookAndWrite(i64),
}

/// How a transaction stands with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    New,
    /// The server has begun it.
    Open,
    /// What it needs was looked at. The number is that of the next transaction that writes, unless one was
    /// under way.
    Looked(Option<i64>),
    /// The server has ended it.
    Over,
}

/// What is sent with the questions of a load.
pub(super) struct Frame {
    /// What begins the transaction, if that has not happened yet.
    pub begin: Option<String>,
    /// Whether the transaction ends with the questions.
    pub is_look: bool,
}

/// A transaction on a connection.
pub(super) struct Transaction<'a> {
    pub connector: &'a Connector,
    pub connection: &'a mut Connection,
    pub limits: Limits,
    pub path: &'a Path,
    purpose: Purpose,
    durability: Durability,
    stage: Stage,
    /// What is to be written before the next question, or with the commit.
    writes: Vec<Bulk>,
    /// What went wrong with the server.
    pub trouble: Option<Trouble>,
    /// Whether the work did more than look and write, and has to be done again under the lock.
    pub needs_lock: bool,
}

/// How many statements wait to be sent at most.
const WAITING: usize = 16;

/// What an error of the server means to those who use the store.
pub(super) fn failure(path: &Path, trouble: &Trouble) -> StoreError {
    match trouble {
        Trouble::Locked => StoreError::Busy { path: path.into() },
        trouble => StoreError::Engine { path: path.into(), source: trouble.to_string().into() },
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(
        connector: &'a Connector,
        connection: &'a mut Connection,
        limits: Limits,
        path: &'a Path,
        (purpose, durability): (Purpose, Durability),
    ) -> Self {
        Transaction {
            connector,
            connection,
            limits,
            path,
            purpose,
            durability,
            stage: Stage::New,
            writes: Vec::new(),
            trouble: None,
            needs_lock: false,
        }
    }

    /// Whether the server has a transaction open.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    pub(super) fn failed(&mut self, trouble: Trouble) -> StoreError {
        let error = failure(self.path, &trouble);
        self.trouble = Some(trouble);
        error
    }

    /// What begins it. Every statement after the lock sees what was done before it.
    fn begin(&self) -> String {
        let (Purpose::Write(lock) | Purpose::LookAndWrite(lock)) = self.purpose else {
            return LOOK.to_owned();
        };
        // The server gives up a little earlier than we do, so that the connection is still good for the next
        // one.
        let left = self.limits.deadline().saturating_duration_since(Instant::now());
        let wait = 1 + left.as_millis() * 3 / 4;
        let mut begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {wait}; \
             SELECT pg_advisory_xact_lock({lock})"
        );
        if self.durability == Durability::Process {
            // Safe from the end of this process, not of the server.
            begin += "; SET LOCAL synchronous_commit = off";
        }
        // Numbers are given in the order in which transactions come to write, whoever makes them. If this one
        // gets the number that was the next one, nobody has changed what was looked at.
        if let Stage::Looked(Some(next)) = self.stage {
            begin += &format!("; SELECT 1 / (txid_current() = {next})::int");
        }
        begin
    }

    /// Begins, if that has not happened yet, and sends what is to be written.
    fn begun(&mut self) -> Result<(), StoreError> {
        match (self.stage, self.purpose) {
            (Stage::New, purpose) => {
                if let Purpose::LookAndWrite(lock) = purpose {
                    self.purpose = Purpose::Write(lock);
                }
                let begin = self.begin();
                // Half of it may have been done if it fails.
                self.stage = Stage::Open;
                self.batch(&begin)?;
            }
            (Stage::Looked(_) | Stage::Over, _) => {
                self.needs_lock = true;
                return Err(StoreError::Abandoned);
            }
            (Stage::Open, _) => {}
        }
        if self.writes.is_empty() {
            return Ok(());
        }
        let writes = std::mem::take(&mut self.writes);
        let deadline = self.limits.deadline();
        let done = self.connector.run(self.connection, deadline, async |connection| {
            let statements = prepared(connection, &writes).await?;
            write(connection.client(), &statements, &writes).await
        });
        done.map_err(|trouble| self.failed(trouble))
    }

    /// What is to be sent around the questions of a load, which come next.
    pub(super) fn frame(&mut self) -> Result<Frame, StoreError> {
        match (self.purpose, self.stage) {
            (Purpose::LookAndWrite(_), Stage::New | Stage::Looked(_)) if self.writes.is_empty() => {
                Ok(Frame { begin: Some(LOOK.into()), is_look: true })
            }
            // It begins with the questions, to save a round trip.
            (_, Stage::New) if self.writes.is_empty() => {
                let begin = self.begin();
                self.stage = Stage::Open;
                Ok(Frame { begin: Some(begin), is_look: false })
            }
            _ => self.begun().map(|()| Frame { begin: None, is_look: false }),
        }
    }

    /// Takes note of the transactions that were writing during a look: the number of the oldest one, and the
    /// next number.
    pub(super) fn looked(&mut self, oldest: i64, next: i64) {
        self.stage = Stage::Looked(Some(next).filter(|&next| next == oldest));
    }

    /// Ends it: what is left to be written goes on its way together with the commit.
    pub(super) fn end(&mut self) -> Result<(), StoreError> {
        match (self.stage, self.purpose) {
            (Stage::Looked(_), _) if self.writes.is_empty() => return Ok(()),
            (Stage::Looked(None), _) => {
                return Err(self.failed(Trouble::Conflict("somebody else writes".into())));
            }
            (Stage::Looked(Some(_)), _) => {}
            // What was never sent did not happen: so the server is heard first.
            (Stage::New, _) => {
                let writes = std::mem::take(&mut self.writes);
                self.begun()?;
                self.writes = writes;
            }
            _ => {}
        }
        if matches!(self.purpose, Purpose::Read) {
            return Ok(());
        }
        let begin = matches!(self.stage, Stage::Looked(_)).then(|| self.begin());
        let writes = std::mem::take(&mut self.writes);
        let deadline = self.limits.deadline();
        let done = self.connector.run(self.connection, deadline, async |connection| {
            let statements = prepared(connection, &writes).await?;
            let client = connection.client();
            let changes = async {
                tokio::try_join!(
                    biased;
                    send(client, begin.as_deref()),
                    write(client, &statements, &writes)
                )
            };
            // All are on their way before the first is answered. After an error the server takes the commit
            // for a rollback, as long as there is nothing else in its text.
            let (changed, committed) = tokio::join!(biased; changes, client.batch_execute("COMMIT"));
            match changed {
                Err(error) if error.as_db_error().is_some() => Ok(Err(error)),
                changed => changed.and(committed).map(Ok),
            }
        });
        self.stage = Stage::Over;
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(self.failed(trouble(&refused))),
            Err(trouble @ (Trouble::Lost(_) | Trouble::Slow)) => {
                let source = trouble.to_string().into();
                self.trouble = Some(trouble);
                Err(StoreError::InDoubt { path: self.path.into(), source })
            }
            Err(trouble) => Err(self.failed(trouble)),
        }
    }

    /// Sends text that gives no rows.
    fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let deadline = self.limits.deadline();
        let done = self
            .connector
            .run(self.connection, deadline, async |connection| connection.client().batch_execute(sql).await);
        done.map_err(|trouble| self.failed(trouble))
    }

    pub(super) fn read<T>(&self, rows: &[Row], read: impl Fn(&Row) -> Read<T>) -> Result<Vec<T>, StoreError> {
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

    /// Adds their offers to devices, those of each with the last one first.
    fn add_offers(
        &mut self,
        records: &mut [DeviceRecord],
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<(), StoreError> {
        let mut offers = self.all(sql, parameters, rows::offer)?.into_iter().peekable();
        for record in records {
            // Both are in the order of the text of the IMEIs.
            while let Some((_, offer)) = offers.next_if(|(imei, _)| *imei == record.imei) {
                record.offers.push(offer);
            }
        }
        Ok(())
    }

    /// Adds all of their offers to devices.
    fn in_full(&mut self, mut records: Vec<DeviceRecord>) -> Result<Vec<DeviceRecord>, StoreError> {
        let imeis: Vec<_> = records.iter().map(|record| record.imei.to_string()).collect();
        let sql = select!(offers, "WHERE o.imei = ANY($1) ORDER BY o.imei, o.at DESC, o.rollout");
        self.add_offers(&mut records, sql, &[&imeis])?;
        Ok(records)
    }

    fn page(&mut self, after: Option<Imei>, limit: u32) -> Result<Vec<DeviceRecord>, StoreError> {
        let after = after.map_or_else(String::new, |imei| imei.to_string());
        let sql = select!(devices, "WHERE d.imei > $1 ORDER BY d.imei LIMIT $2");
        self.all(sql, &[&after, &i64::from(limit)], rows::device)
    }
}

/// The statements, as the server knows them.
async fn prepared(connection: &mut Connection, writes: &[Bulk]) -> Result<Vec<Statement>, Error> {
    let mut statements = Vec::with_capacity(writes.len());
    for bulk in writes {
        let [statement] = connection.prepare([bulk.sql]).await?;
        statements.push(statement);
    }
    Ok(statements)
}

/// Writes; all of it is on its way before the first is answered.
async fn write(client: &Client, statements: &[Statement], writes: &[Bulk]) -> Result<(), Error> {
    let parameters: Vec<_> = writes.iter().map(Bulk::parameters).collect();
    let done = statements.iter().zip(&parameters).map(|(statement, of)| client.execute(statement, of));
    futures_util::future::try_join_all(done).await.map(drop)
}

/// Sends text that gives no rows, if there is any.
pub(super) async fn send(client: &Client, text: Option<&str>) -> Result<(), Error> {
    match text {
        Some(text) => client.batch_execute(text).await,
        None => Ok(()),
    }
}

impl Tx for Transaction<'_> {
    fn load(&mut self, keys: &Keys<'_>, now: i64) -> Result<Records, StoreError> {
        self.load_records(keys, now)
    }

    fn put(&mut self, changes: &Changes<'_>) -> Result<(), StoreError> {
        self.writes.extend(bulk::all(changes));
        if !changes.unknown.is_empty() {
            self.writes.push(Bulk::of(FORGET, Some(i64::from(UNKNOWN_LIMIT))));
        }
        if !changes.numbered.is_empty() {
            self.writes.push(Bulk::of(ADVANCE, None));
        }
        if self.writes.len() > WAITING && !matches!(self.stage, Stage::Looked(_)) {
            self.begun()
        } else {
            Ok(())
        }
    }

    fn strengthen(&mut self, durability: Durability) -> bool {
        // The server was told when it began.
        if self.stage == Stage::Open && self.durability < durability {
            return false;
        }
        self.durability = self.durability.max(durability);
        true
    }

    fn device(&mut self, imei: Imei) -> Result<Option<DeviceRecord>, StoreError> {
        let record = self.all(select!(devices, "WHERE d.imei = $1"), &[&imei.to_string()], rows::device)?;
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
        let sql = select!(
            offers,
            "JOIN devices d ON d.imei = o.imei AND d.latest = o.rollout WHERE d.imei = ANY($1)"
        );
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

    fn devices_with_offers(
        &mut self,
        after: Option<Imei>,
        limit: u32,
        rollouts: &[&str],
    ) -> Result<Vec<DeviceRecord>, StoreError> {
        let mut records = self.page(after, limit)?;
        let imeis: Vec<_> = records.iter().map(|record| record.imei.to_string()).collect();
        let sql = select!(
            offers,
            "JOIN devices d ON d.imei = o.imei WHERE o.imei = ANY($1) AND (o.place OR \
             o.rollout = d.latest OR o.rollout = ANY($2)) ORDER BY o.imei, o.at DESC, o.rollout"
        );
        self.add_offers(&mut records, sql, &[&imeis, &rollouts])?;
        Ok(records)
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
