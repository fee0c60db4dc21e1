//! One connection, driven from an ordinary thread: whatever is asked of it ends by a deadline, whether the
//! server answers or not.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Statement};

use super::passfile;
use super::tls;
use super::url::PostgresUrl;

/// Why something asked of the server did not work.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The connection is lost, or never was.
    #[error("{0}")]
    Lost(String),
    /// It took too long; what the server does with it is not known.
    #[error("the server does not answer in time")]
    Slow,
    /// Somebody else has a lock for too long.
    #[error("it is locked")]
    Locked,
    /// Somebody else was in the way; it may work the next time.
    #[error("{0}")]
    Conflict(String),
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

/// How connections are made.
pub(super) struct Connector {
    /// There until the end.
    runtime: Option<Runtime>,
    config: Config,
    tls: tokio_postgres_rustls::MakeRustlsConnect,
}

/// An open connection.
pub(super) struct Connection {
    client: Client,
    statements: HashMap<&'static str, Statement>,
    /// Rollouts that were needed lately though no key named them.
    pub rollouts: BTreeSet<String>,
}

impl Connector {
    /// Reads what the URL names: the passwords in `passfile` or the file that the URL names instead, and the
    /// authorities.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(super) fn new(url: &PostgresUrl, passfile: Option<&Path>) -> Result<Self, String> {
        let mut config = url.config.clone();
        let file = url.passfile.as_deref().or(passfile);
        if let (None, Some(file)) = (config.get_password(), file) {
            let found = passfile::password(file, &config)
                .map_err(|error| format!("the passwords in `{}`: {error}", file.display()))?;
            if let Some(password) = found {
                config.password(password);
            }
        }
        // A server that vanished is noticed while nothing is asked of it, too.
        config
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Connector {
            runtime: Some(runtime.map_err(|error| error.to_string())?),
            config,
            tls: tls::connector(url.trust, url.authorities.as_deref())?,
        })
    }

    /// Connects.
    pub(super) fn connect(&self, deadline: Instant) -> Result<Connection, Trouble> {
        let client = self.wait(deadline, async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            tokio::spawn(connection);
            Ok(client)
        })?;
        Ok(Connection { client, statements: HashMap::new(), rollouts: BTreeSet::new() })
    }

    /// Waits for the server, but not beyond the deadline.
    fn wait<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        let Some(runtime) = &self.runtime else { return Err(Trouble::Lost("it is closed".into())) };
        let done = runtime.block_on(async { tokio::time::timeout_at(deadline.into(), work).await });
        match done {
            Ok(result) => result.map_err(|error| trouble(&error)),
            Err(_) => Err(Trouble::Slow),
        }
    }

    /// Does something on a connection.
    pub(super) fn run<T>(
        &self,
        connection: &mut Connection,
        deadline: Instant,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Trouble> {
        self.wait(deadline, work(connection))
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        // A name that is still looked up is not waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Connection {
    /// The connection itself.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The statements in `texts`, as the server knows them: the first time it has to be told.
    pub(super) async fn prepare<const N: usize>(
        &mut self,
        texts: [&'static str; N],
    ) -> Result<[Statement; N], tokio_postgres::Error> {
        for text in texts {
            if !self.statements.contains_key(text) {
                let statement = self.client.prepare(text).await?;
                self.statements.insert(text, statement);
            }
        }
        Ok(texts.map(|text| self.statements[text].clone()))
    }
}

/// What an error of the client or the server means.
pub(super) fn trouble(error: &tokio_postgres::Error) -> Trouble {
    let Some(db) = error.as_db_error() else {
        let why = std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        let io = std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>());
        return if error.is_closed() || io { Trouble::Lost(why) } else { Trouble::Refused(why) };
    };
    let why = db.message().to_owned();
    match *db.code() {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        // Only the guard of a transaction divides.
        | SqlState::DIVISION_BY_ZERO => Trouble::Conflict(why),
        SqlState::LOCK_NOT_AVAILABLE => Trouble::Locked,
        SqlState::ADMIN_SHUTDOWN
        | SqlState::CRASH_SHUTDOWN
        | SqlState::CANNOT_CONNECT_NOW
        // It has become a standby; another host may be written to now.
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Trouble::Lost(why),
        _ => Trouble::Refused(why),
    }
}
