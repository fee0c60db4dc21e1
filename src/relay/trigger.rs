//! Tells chosen devices to upgrade, one after the other.
//!
//! Each attempt is recorded before the message is sent, and the message is sent once: one that may have
//! arrived and is sent again costs the device another reboot and another download. What becomes of it shows
//! as with every attempt: a device that does not come back in time counts as failed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Jitter;
use super::backoff::Backoff;
use super::broker::{Broker, Keep};
use super::link::{Link, LinkError};
use super::task::stopped;
use super::topic::Topics;
use otapress_core::id::{ClientId, Imei};
use otapress_responder::decide::{Attempt, Skipped};
use otapress_responder::operate;
use otapress_responder::service::Responder;
use otapress_responder::store::{Store, StoreError};

/// The name of the lease: two that run at the same time would exceed the rate.
pub(crate) const NAME: &str = "trigger";

/// The command that is sent to a device.
const COMMAND: &str = "upgrade";

/// Time limit for an acknowledgement.
const SILENCE: Duration = Duration::from_secs(30);

pub(crate) struct Config {
    /// The published directory.
    pub(crate) out: PathBuf,
    /// The records.
    pub(crate) store: Box<dyn Store>,
    /// The broker.
    pub(crate) broker: Broker,
    /// The MQTT client identifier.
    pub(crate) client_id: String,
    /// The topics.
    pub(crate) topics: Topics,
    /// Devices per hour.
    pub(crate) rate: u32,
    /// Seconds since 1970-01-01 UTC.
    pub(crate) clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Random factor of the waits.
    pub(crate) jitter: Jitter,
}

#[derive(Debug)]
pub(crate) enum Told {
    /// The broker has the message.
    Sent(Attempt),
    /// Its rollout no longer allows it.
    Skipped(Skipped),
    /// The attempt is recorded; it is unknown whether the message was delivered.
    Unknown(Attempt, LinkError),
}

/// Tells the devices in their order, at the rate, until `stop` holds true. `report` is told of each one.
pub(crate) async fn run(
    config: &mut Config,
    devices: &[(ClientId, Imei)],
    mut stop: watch::Receiver<bool>,
    report: &mut dyn FnMut(&ClientId, Told),
) -> Result<(), StoreError> {
    let pause = Duration::from_secs(3600) / config.rate.max(1);
    let mut next = Instant::now();
    for (client, imei) in devices {
        tokio::select! {
            () = stopped(&mut stop) => return Ok(()),
            () = sleep_until(next) => {}
        }
        let Some(link) = connect(config, &mut stop).await else { return Ok(()) };
        let responder = Responder::new(&config.out);
        let now = (config.clock)();
        let told = match block_in_place(|| operate::trigger(&mut *config.store, &responder, *imei, now))? {
            Err(skipped) => Told::Skipped(skipped),
            Ok(attempt) => {
                next = Instant::now() + pause;
                match tell(&link, config.topics.command(client)).await {
                    Ok(()) => Told::Sent(attempt),
                    Err(error) => Told::Unknown(attempt, error),
                }
            }
        };
        report(client, told);
        link.close().await;
    }
    Ok(())
}

/// Connects, however long it takes; nothing is recorded before. `None` after a stop signal.
async fn connect(config: &mut Config, stop: &mut watch::Receiver<bool>) -> Option<Link> {
    let mut backoff = Backoff::default();
    loop {
        let connected = tokio::select! {
            () = stopped(stop) => return None,
            connected = Link::connect(&config.broker, &config.client_id, Keep::Nothing) => connected,
        };
        let error = match connected {
            Ok(link) => return Some(link),
            Err(error) => error,
        };
        let pause = backoff.next((config.jitter)());
        tracing::warn!("{}: {error}; trying again in {:.1} s", config.broker.address, pause.as_secs_f64());
        tokio::select! {
            () = stopped(stop) => return None,
            () = sleep(pause) => {}
        }
    }
}

/// Sends the command, once.
async fn tell(link: &Link, topic: String) -> Result<(), LinkError> {
    let notice = link.publish(topic, COMMAND.to_owned()).await?;
    match timeout(SILENCE, notice.wait_async()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(LinkError::Ended),
        Err(_) => Err(LinkError::Silent),
    }
}
