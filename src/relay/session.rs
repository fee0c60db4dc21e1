//! One connection's work: events out, start messages in.

use std::pin::Pin;
use std::time::Duration;

use rumqttc::{Publish, SubscribeNoticeError};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::echo::{Dropped, Echo};
use super::feed::{Feed, GRACE, LOOK, Message, Sink};
use super::link::{Link, LinkError, WINDOW};
use super::outbox::Acknowledgement;
use super::payload::payload;
use super::start;
use super::task::{Config, End, NAME, Until, stopped};
use super::topic::Topics;
use otapress_responder::message::printable;
use otapress_responder::service::{Responder, answer};
use otapress_responder::store::{Durability, Lease, Store, StoreError};

/// The pause after a failed write to the records.
const AGAIN: Duration = Duration::from_secs(5);

/// Time limit for an acknowledgement.
const SILENCE: Duration = Duration::from_secs(60);

/// After this long without a message, the broker is taken to have delivered everything.
const QUIET: Duration = Duration::from_secs(1);

/// The most start messages recorded in one transaction.
const BATCH: usize = 256;

pub(super) enum Trouble {
    Link(LinkError),
    Store(StoreError),
    Unrecorded(usize),
}

impl From<LinkError> for Trouble {
    fn from(error: LinkError) -> Self {
        Trouble::Link(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Store(error)
    }
}

/// What becomes of the subscription to start messages, and whether we may listen to our own events.
type Subscribed = (Result<(), SubscribeNoticeError>, bool);
type Subscription = Pin<Box<dyn Future<Output = Subscribed> + Send>>;

/// The topics of events at a broker.
struct Events<'a>(&'a Link, &'a Topics);

impl Sink for Events<'_> {
    type Error = LinkError;

    async fn send(&self, message: &Message) -> Result<Acknowledgement<LinkError>, LinkError> {
        let payload = payload(message.seq, &message.event, message.client.as_ref());
        let notice = self.0.publish(self.1.event(message.event.kind), payload).await?;
        Ok(Box::pin(async { notice.wait_async().await.map(drop).map_err(|_| LinkError::Ended) }))
    }
}

/// The work over one connection.
pub(super) struct Session<'a> {
    config: &'a Config,
    pub(crate) feed: Feed<LinkError>,
    /// The connection.
    pub(crate) link: Link,
    /// Start messages that the store did not take, and when it was tried last.
    unrecorded: (Vec<Publish>, Instant),
    /// The time of the last received message.
    heard: Instant,
    echo: Echo,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        config: &'a Config,
        store: Box<dyn Store>,
        lease: Box<dyn Lease>,
        link: Link,
    ) -> Result<Self, StoreError> {
        let feed = Feed::new(NAME, store, lease, WINDOW.into())?;
        let now = Instant::now();
        Ok(Session { config, feed, link, unrecorded: (Vec::new(), now), heard: now, echo: Echo::new(now) })
    }

    /// Works until it is to stop, the work is done, or something fails.
    pub(crate) async fn work(
        &mut self,
        until: Until,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<End, Trouble> {
        let starts = self.link.subscribe(self.config.topics.starts()).await?;
        let events = self.link.listen(self.config.topics.all_events()).await?;
        let mut subscription: Option<Subscription> = Some(Box::pin(async {
            (starts.wait_completion_async().await, events.wait_completion_async().await.is_ok())
        }));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                () = stopped(stop) => {
                    if !self.feed.await_arrivals(GRACE).await {
                        tracing::warn!("the broker did not acknowledge the last events: they will be sent \
                            again");
                    }
                    return Ok(End::Stopped);
                }
                acknowledged = self.feed.arrival() => {
                    acknowledged?;
                    self.echo.acknowledged(Instant::now());
                    if self.feed.is_idle() {
                        self.feed.keep_cursor()?;
                        if !self.send_page().await? {
                            return Ok(End::Taken);
                        }
                    }
                }
                arrived = self.link.incoming.recv_many(&mut batch, BATCH) => {
                    if arrived == 0 {
                        return Err(LinkError::Ended.into());
                    }
                    self.heard = Instant::now();
                    self.record(std::mem::take(&mut batch)).await?;
                }
                (starts, may_listen) = wait_for(&mut subscription) => {
                    subscription = None;
                    self.heard = Instant::now();
                    self.look_at_subscription(starts)?;
                    if !may_listen {
                        self.echo.settle_events();
                    }
                }
                _ = look.tick() => {
                    if self.feed.is_idle() && !self.send_page().await? {
                        return Ok(End::Taken);
                    }
                    if !self.feed.is_idle() && self.feed.sent.elapsed() > SILENCE {
                        return Err(LinkError::Silent.into());
                    }
                    self.look_at_echo().await?;
                    let is_over = self.feed.is_idle() && subscription.is_none() && !self.echo.awaits_event();
                    let idle = is_over && self.heard.elapsed() >= QUIET;
                    match (until, self.unrecorded.0.len()) {
                        (Until::Drained, 0) if idle => return Ok(End::Drained),
                        (Until::Drained, unrecorded) if idle => return Err(Trouble::Unrecorded(unrecorded)),
                        (Until::Stopped, 1..) if self.unrecorded.1.elapsed() >= AGAIN => {
                            let again = std::mem::take(&mut self.unrecorded.0);
                            self.record(again).await?;
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Sends the next events, if there are any and if it still is ours to do. Returns whether it is.
    async fn send_page(&mut self) -> Result<bool, Trouble> {
        let Some(page) = self.feed.page()? else { return Ok(false) };
        self.feed.send(&Events(&self.link, &self.config.topics), page).await?;
        Ok(true)
    }

    /// Records start messages, and acknowledges those that are recorded or are none.
    async fn record(&mut self, messages: Vec<Publish>) -> Result<(), Trouble> {
        let responder = Responder::new(&self.config.out);
        let mut asked = Vec::new();
        for message in messages {
            if self.config.topics.is_event(&message.topic) {
                self.stop_listening().await?;
                continue;
            }
            self.echo.heard_start();
            match self.read(&message) {
                Ok(start) => asked.push((message, responder.started(start))),
                Err(why) => {
                    let topic = printable(&message.topic, 100);
                    tracing::warn!(
                        "ignored a message on `{topic}`: {why}: `{}`",
                        printable(&message.payload, 100)
                    );
                    self.link.acknowledge(&message).await?;
                }
            }
        }
        let (messages, questions): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let now = (self.config.clock)();
        let replies = block_in_place(|| answer(&mut *self.feed.store, Durability::Process, &questions, now));
        self.unrecorded.1 = Instant::now();
        for (message, reply) in messages.into_iter().zip(replies) {
            if let Some(log) = reply.log {
                tracing::warn!("{log}");
            }
            if reply.status == 200 {
                self.link.acknowledge(&message).await?;
            } else {
                self.unrecorded.0.push(message);
            }
        }
        Ok(())
    }

    fn read(&self, message: &Publish) -> Result<otapress_responder::service::Start, String> {
        let client = self.config.topics.starter(&message.topic).ok_or("it is no topic of start messages")?;
        start::parse(client, &message.payload).map_err(|error| error.to_string())
    }

    /// One event came back, which is enough.
    async fn stop_listening(&mut self) -> Result<(), LinkError> {
        if self.echo.settle_events() {
            self.link.unsubscribe(self.config.topics.all_events()).await?;
        }
        Ok(())
    }

    /// Says what the broker seems to drop.
    async fn look_at_echo(&mut self) -> Result<(), LinkError> {
        let client = &self.config.client_id;
        match self.echo.missing(Instant::now()) {
            None => return Ok(()),
            Some(Dropped::Events) => {
                let filter = self.config.topics.all_events();
                tracing::warn!(
                    "the broker acknowledges events and does not deliver them: its access list seems to drop \
                     them; \
                     allow `{client}` to write and to read `{filter}`"
                );
                self.link.unsubscribe(filter).await?;
            }
            Some(Dropped::Starts) => tracing::info!(
                "the broker has no start message on `{}`: either no device has said anything, or its access \
                 list \
                 drops them; allow `{client}` to read them",
                self.config.topics.starts()
            ),
        }
        Ok(())
    }

    fn look_at_subscription(&mut self, result: Result<(), SubscribeNoticeError>) -> Result<(), LinkError> {
        match result {
            Ok(()) => Ok(()),
            Err(SubscribeNoticeError::V4SubAckFailure(_)) => {
                self.echo.heard_start();
                let filter = self.config.topics.starts();
                tracing::error!(
                    "the broker refuses the subscription to `{filter}`: versions that devices report at \
                     their start \
                     are not seen; allow it to `{}`",
                    self.config.client_id
                );
                Ok(())
            }
            Err(_) => Err(LinkError::Ended),
        }
    }
}

/// Waits for the broker's word, once.
async fn wait_for(subscription: &mut Option<Subscription>) -> Subscribed {
    match subscription {
        Some(subscription) => subscription.await,
        None => std::future::pending().await,
    }
}
