//! The records in a PostgreSQL database, which several responders share.
//!
//! # Who writes
//!
//! One transaction at a time, as with the SQLite database: each holds the same advisory lock until it is
//! committed. So there are no deadlocks, and events are numbered in the order in which they are seen. It
//! costs little: nearly every answer that changes something changes the counts of one rollout, and would
//! wait for the others at that row; and a responder answers all that is waiting in one transaction.
//!
//! What a batch needs is looked at before the lock is taken, so that what changes nothing, which is most,
//! waits for nobody. What it changes is then sent all at once: lock, guard, changes and commit, in one round
//! trip. The guard fails if anybody wrote since the look, by the numbers that the server gives to
//! transactions that write: no two transactions ever decide by the same state of a rollout. Then the batch
//! is looked at again under the lock, and so are the next ones, because others are about.
//!
//! # Who waits
//!
//! Nobody for ever. [`connection`] gives up by a deadline whatever the server does. A transaction whose
//! `COMMIT` was not sent did not happen, whatever was the matter; one whose `COMMIT` was sent and not
//! answered is [`StoreError::InDoubt`]. The server in turn ends sessions that leave a transaction open, so
//! that a machine that vanished does not keep the lock.

mod bulk;
mod connection;
mod lease;
mod load;
mod passfile;
mod rows;
mod schema;
mod statements;
mod tls;
mod transaction;
mod url;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use connection::{Connection, Connector, Trouble};
use lease::SessionLease;
use transaction::{Limits, Purpose, Transaction, failure};
pub use url::{PostgresUrl, UrlError};

use otapress_responder::store::{Durability, Lease, Store, StoreError, Work};

/// How often a transaction is tried that others were in the way of.
const TRIES: u32 = 5;

/// For how many transactions others are expected to be in the way, once they were.
const CROWDED: u32 = 64;

/// The kind of the lock that all sessions share which may write.
const USERS: &[u8; 4] = b"otau";

/// For how long a session may leave a transaction open without a word, in milliseconds: the longest pause in
/// ours is that of a decision.
const SILENCE: u32 = 5_000;

/// Every statement of a responder finds few rows by their keys. A plan that was made while the tables were
/// small, before the server had counted them, would read them whole ever after; with 50,000 devices that made
/// answers ten times slower.
const PLANS: &str =
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off";

/// How a server is reached.
#[derive(Clone, Copy, Debug)]
pub struct Server<'a> {
    /// Its URL.
    pub url: &'a PostgresUrl,
    /// Where passwords are looked for if the URL has none.
    pub passfile: Option<&'a Path>,
    /// How long each of its answers may take.
    pub patience: Duration,
    /// Until when it must have been reached.
    pub until: Option<Instant>,
}

/// A database.
pub struct PostgresStore {
    connector: Connector,
    connection: Option<Connection>,
    url: PostgresUrl,
    path: PathBuf,
    passfile: Option<PathBuf>,
    patience: Duration,
    until: Option<Instant>,
    access: Access,
    /// The key of the writers' lock.
    lock: i64,
    /// Whether the tables were made by this one.
    is_new: bool,
    /// For how many more transactions the lock is taken before anything is looked at.
    crowded: u32,
}

/// What is to be done with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It is only read, and not brought up to date either.
    ReadOnly,
    /// It is written, too, if it is there.
    Existing,
    /// It is made.
    Create,
}

impl PostgresStore {
    /// Opens the database, makes the tables if need be, and brings older ones up to date.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn open(server: &Server<'_>) -> Result<Self, StoreError> {
        let mut store = Self::new(server, Access::Create)?;
        store.reach()?;
        Ok(store)
    }

    /// The same without making tables; `None` if there are none.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn existing(server: &Server<'_>) -> Result<Option<Self>, StoreError> {
        let mut store = Self::new(server, Access::Existing)?;
        Ok(store.reach()?.then_some(store))
    }

    /// Opens the database read-only; `None` if there are no tables.
    ///
    /// # Errors
    /// If it cannot be read, or is older than this program: read-only access never migrates.
    pub fn open_read_only(server: &Server<'_>) -> Result<Option<Self>, StoreError> {
        let mut store = Self::new(server, Access::ReadOnly)?;
        Ok(store.reach()?.then_some(store))
    }

    fn new(server: &Server<'_>, access: Access) -> Result<Self, StoreError> {
        let &Server { url, passfile, patience, until } = server;
        let path = PathBuf::from(url.to_string());
        let wrong = |why: String| StoreError::Engine { path: path.clone(), source: why.into() };
        Ok(PostgresStore {
            connector: Connector::new(url, passfile).map_err(wrong)?,
            connection: None,
            url: url.clone(),
            path,
            passfile: passfile.map(Path::to_owned),
            patience,
            until,
            access,
            lock: 0,
            is_new: false,
            crowded: 0,
        })
    }

    /// Connects for the first time.
    fn reach(&mut self) -> Result<bool, StoreError> {
        let there = self.connect();
        self.until = None;
        there
    }

    fn limits(&self) -> Limits {
        Limits { patience: self.patience, until: self.until }
    }

    /// Connects and looks at the tables; `false` if there are none.
    fn connect(&mut self) -> Result<bool, StoreError> {
        let failed = |trouble| failure(&self.path, &trouble);
        let limits = self.limits();
        let mut connection = self.connector.connect(limits.deadline()).map_err(failed)?;
        let settings = self.settings();
        let session = self.connector.run(&mut connection, limits.deadline(), async |connection| {
            connection.client().batch_execute(&settings).await?;
            let sql = "SELECT current_setting('server_encoding'), \
                       (SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema())";
            let row = connection.client().query_one(sql, &[]).await?;
            Ok((row.try_get::<_, String>(0)?, row.try_get::<_, Option<i64>>(1)?))
        });
        let (encoding, namespace) = session.map_err(failed)?;
        if encoding != "UTF8" {
            let why = format!(
                "its encoding is {encoding}, and texts of devices and fleets need UTF8: make another one \
                 with \
                 CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            );
            return Err(StoreError::Unfit { path: self.path.clone(), why });
        }
        let Some(namespace) = namespace else {
            let why = "it has no schema for the tables, or this user may not use it";
            return Err(StoreError::Engine { path: self.path.clone(), source: why.into() });
        };
        // Two fleets in two schemas of one database do not wait for each other.
        self.lock = lock_key(b"otap", namespace);
        if self.access != Access::ReadOnly {
            let users = lock_key(USERS, namespace);
            self.batch(&mut connection, &format!("SELECT pg_advisory_lock_shared({users})"))
                .map_err(failed)?;
        }
        let found = self.schema(&mut connection).map_err(failed)?;
        if found == 0 && self.access != Access::Create {
            return Ok(false);
        }
        self.is_new |= self.bring_up_to_date(&mut connection, found)?;
        self.connection = Some(connection);
        Ok(true)
    }

    /// Keeps others from writing for as long as this connection lasts. Returns whether nobody else may now.
    ///
    /// # Errors
    /// If the server does not answer.
    pub fn take_alone(&mut self) -> Result<bool, StoreError> {
        let (users, deadline) = (lock_key(USERS, self.lock), self.limits().deadline());
        let Some(connection) = &mut self.connection else { return Ok(false) };
        let taken = self.connector.run(connection, deadline, async |connection| {
            let row = connection.client().query_one("SELECT pg_try_advisory_lock($1)", &[&users]).await?;
            row.try_get::<_, bool>(0)
        });
        taken.map_err(|trouble| failure(&self.path, &trouble))
    }

    /// What every session is told first.
    fn settings(&self) -> String {
        let patience = self.patience.as_millis();
        let mut settings = format!(
            "{PLANS}; SET statement_timeout = {patience}; SET idle_in_transaction_session_timeout = \
             {SILENCE}; \
             SELECT set_config('client_connection_check_interval', '1s', false) FROM pg_settings \
             WHERE name = 'client_connection_check_interval'; \
             SELECT set_config('plan_cache_mode', 'force_generic_plan', false) FROM pg_settings \
             WHERE name = 'plan_cache_mode'; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE \
             current_setting('synchronous_commit') = 'off'"
        );
        if self.access == Access::ReadOnly {
            settings += "; SET default_transaction_read_only = on";
        }
        settings
    }

    /// Compares the number of the tables with ours; makes or changes them, one process at a time. Returns
    /// whether it has made them.
    fn bring_up_to_date(&self, connection: &mut Connection, found: u32) -> Result<bool, StoreError> {
        let failed = |trouble| failure(&self.path, &trouble);
        let (path, known) = (self.path.clone(), schema::CURRENT);
        match (found.cmp(&known), self.access) {
            (Ordering::Equal, _) => Ok(false),
            (Ordering::Greater, _) => Err(StoreError::Schema { path, found, known }),
            (Ordering::Less, Access::ReadOnly) => Err(StoreError::Outdated { path, found, known }),
            (Ordering::Less, Access::Existing | Access::Create) => {
                let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({})", self.lock);
                self.batch(connection, &begin).map_err(failed)?;
                // Somebody else may have done it meanwhile.
                let found = self.schema(connection).map_err(failed)?;
                if found > known {
                    return Err(StoreError::Schema { path, found, known });
                }
                if found < known {
                    self.batch(connection, &schema::migration(found)).map_err(failed)?;
                }
                self.batch(connection, "COMMIT").map_err(failed)?;
                Ok(found == 0)
            }
        }
    }

    fn batch(&self, connection: &mut Connection, sql: &str) -> Result<(), Trouble> {
        self.connector.run(connection, self.limits().deadline(), async |connection| {
            connection.client().batch_execute(sql).await
        })
    }

    /// The number of the tables; 0 if there are none.
    fn schema(&self, connection: &mut Connection) -> Result<u32, Trouble> {
        let number = self.connector.run(connection, self.limits().deadline(), async |connection| {
            let client = connection.client();
            // Not `to_regclass`: within a transaction that remembers what was not there when it began.
            let sql = "SELECT FROM pg_class WHERE relname = 'otapress_schema' AND relnamespace = (SELECT oid \
                FROM \
                 pg_namespace WHERE nspname = current_schema())";
            if client.query_opt(sql, &[]).await?.is_none() {
                return Ok(0);
            }
            client.query_one("SELECT number FROM otapress_schema", &[]).await?.try_get::<_, i64>(0)
        })?;
        u32::try_from(number).map_err(|_| Trouble::Refused(format!("its schema has the number {number}")))
    }

    fn transaction(
        &mut self,
        mut purpose: Purpose,
        durability: Durability,
        work: &mut Work<'_>,
    ) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let fresh = self.connection.is_none();
            if fresh {
                self.connect()?;
            }
            // Back only if it is as good as before.
            let Some(mut connection) = self.connection.take() else {
                let why = "its tables are gone";
                return Err(StoreError::Engine { path: self.path.clone(), source: why.into() });
            };
            let (connector, limits) = (&self.connector, self.limits());
            let mut tx =
                Transaction::new(connector, &mut connection, limits, &self.path, (purpose, durability));
            let done = work(&mut tx).and_then(|()| tx.end());
            let (trouble, is_open, needs_lock) = (tx.trouble.take(), tx.is_open(), tx.needs_lock);
            let lost = matches!(trouble, Some(Trouble::Lost(_) | Trouble::Slow));
            // Without its answer the connection is of no more use, and nothing was changed, or nobody knows.
            if !lost && (!is_open || self.batch(&mut connection, "ROLLBACK").is_ok()) {
                self.connection = Some(connection);
            }
            if matches!(done, Ok(()) | Err(StoreError::InDoubt { .. })) {
                return done;
            }
            let again = match (trouble, purpose) {
                (_, Purpose::LookAndWrite(lock)) if needs_lock => {
                    purpose = Purpose::Write(lock);
                    true
                }
                (Some(Trouble::Conflict(_)), Purpose::LookAndWrite(lock)) => {
                    purpose = Purpose::Write(lock);
                    self.crowded = CROWDED;
                    true
                }
                (Some(Trouble::Conflict(_)), _) => tries < TRIES,
                // The server was started anew since it was asked last.
                (Some(Trouble::Lost(_)), _) => !fresh,
                _ => false,
            };
            if !again {
                return done;
            }
        }
    }
}

impl Store for PostgresStore {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.transaction(Purpose::Read, Durability::Process, work)
    }

    /// A write looks before it takes the lock, so that who changes nothing waits for nobody, unless others
    /// write all the time.
    fn prefers_reading(&self) -> bool {
        self.crowded > 0
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        let purpose = match self.crowded {
            0 => Purpose::LookAndWrite(self.lock),
            _ => Purpose::Write(self.lock),
        };
        self.crowded = self.crowded.saturating_sub(1);
        self.transaction(purpose, durability, work)
    }

    fn set_deadline(&mut self, until: Instant) -> bool {
        self.until = Some(until);
        true
    }

    fn take_new(&mut self) -> bool {
        std::mem::take(&mut self.is_new)
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        let connector = Connector::new(&self.url, self.passfile.as_deref())
            .map_err(|why| StoreError::Engine { path: self.path.clone(), source: why.into() })?;
        let lease = SessionLease::take(connector, self.lock, name, self.patience);
        let lease = lease.map_err(|trouble| failure(&self.path, &trouble))?;
        Ok(lease.map(|lease| Box::new(lease) as Box<dyn Lease>))
    }

    /// The server does its own housekeeping.
    fn maintain(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The key of an advisory lock. They are numbers that all programs of a database share: the first half says
/// that it is ours.
fn lock_key(kind: &[u8; 4], what: i64) -> i64 {
    (i64::from(u32::from_be_bytes(*kind)) << 32) | (what & 0xffff_ffff)
}

#[cfg(test)]
#[path = "../../../../tests/it/support/ports.rs"]
mod ports;
#[cfg(test)]
#[path = "../../../../tests/it/support/postgres.rs"]
#[allow(dead_code, reason = "the integration tests use the rest")]
mod private;
#[cfg(test)]
mod tests;
