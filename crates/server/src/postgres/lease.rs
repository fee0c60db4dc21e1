//! The right to do what one process at a time may do: an advisory lock of a session, which ends with its
//! connection.

use std::time::{Duration, Instant};

use super::connection::{Connection, Connector, Trouble};
use super::lock_key;
use otapress_core::digest::Sha256;
use otapress_responder::store::Lease;

/// A lease, with a connection of its own.
pub(super) struct SessionLease {
    connector: Connector,
    connection: Connection,
    key: i64,
    patience: Duration,
}

impl SessionLease {
    /// Takes the lease of that name; `None` while another session has it. `store` is the key of the store's
    /// own lock.
    pub(super) fn take(
        connector: Connector,
        store: i64,
        name: &str,
        patience: Duration,
    ) -> Result<Option<Self>, Trouble> {
        let digest = Sha256::of(format!("{store}\0{name}").as_bytes());
        let key = lock_key(b"otal", digest.prefix64().cast_signed());
        let deadline = Instant::now() + patience;
        let mut connection = connector.connect(deadline)?;
        // The server need not notice by itself that the machine is gone: it is asked for a sign of life.
        let settings =
            "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3";
        let taken = connector.run(&mut connection, deadline, async |connection| {
            connection.client().batch_execute(settings).await?;
            let row = connection.client().query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?;
            row.try_get::<_, bool>(0)
        })?;
        Ok(taken.then_some(SessionLease { connector, connection, key, patience }))
    }
}

impl Lease for SessionLease {
    fn holds(&mut self) -> bool {
        let (deadline, key) = (Instant::now() + self.patience, self.key);
        let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = \
            pg_backend_pid() AND granted \
             AND (classid::bigint << 32 | objid::bigint) = $1)";
        let held = self.connector.run(&mut self.connection, deadline, async |connection| {
            connection.client().query_one(sql, &[&key]).await?.try_get::<_, bool>(0)
        });
        held.unwrap_or(false)
    }
}
