//! The relay itself: publishes what is recorded, records what devices say, and comes back whenever the broker
//! does.
//!
//! One of those that use the same records is active, by a lease; the others wait for it to end. Since they
//! share the clientID and the session at the broker, too, the next one takes over where the last one was.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Jitter;
use super::backoff::Backoff;
use super::broker::Keep;
use super::feed::{Feed, GRACE, LOOK};
use super::link::{Link, LinkError};
use super::session::{Session, Trouble};
use super::task::{Config, End, NAME, Until, stopped};
use super::webhook::{Hook, HookError};
use otapress_responder::store::{Lease, Store, StoreError};
use otapress_server::http::OpenStore;

/// Time limit for connecting to the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// POSTs between two looks at the cursor. They are made one after the other.
const HOOK_WINDOW: u32 = 16;

/// A stand-by relay tries for the lease at this interval.
const TURN: Duration = Duration::from_secs(1);

/// A connection that has lived so long was a success.
const STABLE: Duration = Duration::from_secs(10);

/// Why a session ended; the relay tries again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The connection.
    #[error("{broker}: {why}")]
    Link {
        /// The place.
        broker: String,
        /// What.
        why: LinkError,
    },
    /// The connection, soon after it was made. MQTT 3.1.1 has no word for either reason.
    #[error(
        "{broker}: {why}, soon after it had begun: either another client of the broker has the id \
         `{client_id}`, which \
         relays have by default (give those of other records another --client-id), or the broker's access \
         list does not \
         let it publish on `{events}`; the log of the broker tells which"
    )]
    Short {
        /// Where.
        broker: String,
        /// What.
        why: LinkError,
        /// Who we are there.
        client_id: String,
        /// The topics of events.
        events: String,
    },
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A receiver of webhooks.
    #[error("{receiver}: {why}")]
    Hook {
        /// Where.
        receiver: String,
        /// What.
        why: HookError,
    },
    /// Start messages came that the records did not take.
    #[error("{0} of the start messages could not be recorded: the broker keeps them")]
    Unrecorded(usize),
    /// Somebody else does it.
    #[error("another relay of these records is active")]
    Active,
}

/// What is done again and again until it is done.
pub(crate) trait Turns: Send {
    /// From the lease to the end of one connection.
    fn take(
        &mut self,
        until: Until,
        stop: &mut watch::Receiver<bool>,
    ) -> impl Future<Output = Result<End, RelayError>> + Send;
}

/// Events to a broker, and start messages from it.
pub(crate) struct ToBroker {
    pub(crate) config: Config,
    pub(crate) open_store: OpenStore,
}

impl Turns for ToBroker {
    async fn take(&mut self, until: Until, stop: &mut watch::Receiver<bool>) -> Result<End, RelayError> {
        turn(&self.config, &mut self.open_store, until, stop).await
    }
}

/// Events to a receiver of webhooks.
pub(crate) struct ToHook {
    pub(crate) hook: Hook,
    pub(crate) open_store: OpenStore,
}

impl Turns for ToHook {
    async fn take(&mut self, until: Until, stop: &mut watch::Receiver<bool>) -> Result<End, RelayError> {
        let hook = &self.hook;
        let Some((store, lease)) = records(&mut self.open_store, &hook.name)? else { return Ok(End::Taken) };
        let mut feed = Feed::new(&hook.name, store, lease, HOOK_WINDOW)?;
        let ended = post(&mut feed, hook, until, stop).await;
        // Also if it ended badly: what has arrived need not be sent again.
        let kept = feed.keep_cursor();
        match ended {
            Ok(end) => kept.map(|()| end).map_err(RelayError::from),
            Err(HookTrouble::Hook(why)) => Err(RelayError::Hook { receiver: hook.address.to_string(), why }),
            Err(HookTrouble::Store(error)) => Err(error.into()),
        }
    }
}

/// Takes turns until `stop` holds true, or as [`Until`] says; after one that ends badly it tries again, later
/// and later. Needs a runtime with several threads: the records are read and written on the calling one.
pub(crate) async fn run(
    mut turns: impl Turns,
    mut jitter: Jitter,
    until: Until,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RelayError> {
    let mut backoff = Backoff::default();
    let mut waits_for_its_turn = false;
    loop {
        let begin = Instant::now();
        let pause = match turns.take(until, &mut stop).await {
            Ok(End::Stopped | End::Drained) => return Ok(()),
            Ok(End::Taken) if until == Until::Drained => return Err(RelayError::Active),
            Ok(End::Taken) => {
                if !std::mem::replace(&mut waits_for_its_turn, true) {
                    tracing::info!("another relay of these records is active: waiting for its end");
                }
                TURN
            }
            Err(error) if until == Until::Drained => return Err(error),
            Err(error) => {
                waits_for_its_turn = false;
                if begin.elapsed() >= STABLE {
                    backoff.reset();
                }
                let pause = backoff.next(jitter());
                tracing::warn!("{error}; trying again in {:.1} s", pause.as_secs_f64());
                pause
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
    }
}

/// The records, and the right to work with them.
type Leased = (Box<dyn Store>, Box<dyn Lease>);

/// The records, if nobody else works with them under that name.
fn records(open_store: &mut OpenStore, name: &str) -> Result<Option<Leased>, StoreError> {
    block_in_place(|| {
        let mut store = open_store((Instant::now() + PATIENCE).into())?;
        let lease = store.lease(name)?;
        Ok(lease.map(|lease| (store, lease)))
    })
}

enum HookTrouble {
    Hook(HookError),
    Store(StoreError),
}

impl From<HookError> for HookTrouble {
    fn from(error: HookError) -> Self {
        HookTrouble::Hook(error)
    }
}

impl From<StoreError> for HookTrouble {
    fn from(error: StoreError) -> Self {
        HookTrouble::Store(error)
    }
}

/// Posts events until it is to stop, all are posted, or one does not arrive.
async fn post(
    feed: &mut Feed<HookError>,
    hook: &Hook,
    until: Until,
    stop: &mut watch::Receiver<bool>,
) -> Result<End, HookTrouble> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stopped(stop) => {
                feed.await_arrivals(GRACE).await;
                return Ok(End::Stopped);
            }
            arrived = feed.arrival() => {
                arrived?;
                if !feed.is_idle() {
                    continue;
                }
                feed.keep_cursor()?;
            }
            _ = look.tick(), if feed.is_idle() => {}
        }
        let Some(page) = feed.page()? else { return Ok(End::Taken) };
        if page.is_empty() && until == Until::Drained {
            return Ok(End::Drained);
        }
        feed.send(hook, page).await?;
    }
}

/// From the lease to the end of one connection.
async fn turn(
    config: &Config,
    open_store: &mut OpenStore,
    until: Until,
    stop: &mut watch::Receiver<bool>,
) -> Result<End, RelayError> {
    let Some((store, lease)) = records(open_store, NAME)? else { return Ok(End::Taken) };
    let failed = |why| RelayError::Link { broker: config.broker.address.to_string(), why };
    let link = tokio::select! {
        link = Link::connect(&config.broker, &config.client_id, Keep::Session) => link.map_err(failed)?,
        () = stopped(stop) => return Ok(End::Stopped),
    };
    let connected = Instant::now();
    tracing::info!("connected to {} as `{}`", config.broker.address, config.client_id);
    let mut session = Session::new(config, store, lease, link)?;
    let ended = session.work(until, stop).await;
    // Also if it ended badly: what is acknowledged need not be sent again.
    session.feed.await_arrivals(Duration::ZERO).await;
    let kept = session.feed.keep_cursor();
    let link = session.link;
    match ended {
        Ok(end) => {
            link.close().await;
            kept?;
            Ok(end)
        }
        Err(Trouble::Link(LinkError::Ended)) if connected.elapsed() < STABLE => Err(RelayError::Short {
            broker: config.broker.address.to_string(),
            why: link.fate().await,
            client_id: config.client_id.clone(),
            events: config.topics.all_events(),
        }),
        Err(Trouble::Link(LinkError::Ended)) => Err(failed(link.fate().await)),
        Err(Trouble::Link(error)) => Err(failed(error)),
        Err(Trouble::Store(error)) => Err(error.into()),
        Err(Trouble::Unrecorded(count)) => Err(RelayError::Unrecorded(count)),
    }
}
