//! What the relay is to do, until when, and how that ends.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::broker::Broker;
use super::topic::Topics;

/// The name of the lease, and of the cursor.
pub(super) const NAME: &str = "relay";

pub(crate) struct Config {
    /// The published directory.
    pub(crate) out: PathBuf,
    /// The broker.
    pub(crate) broker: Broker,
    /// The MQTT client identifier.
    pub(crate) client_id: String,
    /// The topics.
    pub(crate) topics: Topics,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Until it is stopped.
    Stopped,
    /// Until everything that is recorded is published and nothing arrives any more. What fails is not tried
    /// again.
    Drained,
}

/// How a session ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A stop was requested.
    Stopped,
    /// Everything is done.
    Drained,
    /// The lease is another one's.
    Taken,
}

/// Waits for the stop signal; a dropped sender counts as one.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
