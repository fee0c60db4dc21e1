//! The events of the records on their way to a sink: in their order, at least once, from a cursor of the
//! sink's own.

use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};

use super::outbox::{Acknowledgement, Outbox};
use otapress_core::id::ClientId;
use otapress_responder::record::Event;
use otapress_responder::store::{Durability, Lease, Store, StoreError};

/// The interval at which new events are looked for.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Time limit for the last acknowledgements at the end.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// An event to be sent.
pub(super) struct Message {
    pub(super) seq: i64,
    pub(super) event: Event,
    /// The clientID that its device had last.
    pub(super) client: Option<ClientId>,
}

/// Where events go.
pub(super) trait Sink {
    /// Why one did not arrive.
    type Error;

    /// Begins to send a message.
    fn send(
        &self,
        message: &Message,
    ) -> impl Future<Output = Result<Acknowledgement<Self::Error>, Self::Error>> + Send;
}

/// The records as a sink reads them: nobody else does, by a lease.
pub(super) struct Feed<E> {
    pub(super) store: Box<dyn Store>,
    lease: Box<dyn Lease>,
    /// Of the cursor.
    name: String,
    outbox: Outbox<E>,
    /// The number in the store.
    kept: i64,
    /// When the messages in flight were sent.
    pub(super) sent: Instant,
    /// The most that are in flight.
    window: u32,
}

impl<E> Feed<E> {
    pub(super) fn new(
        name: &str,
        mut store: Box<dyn Store>,
        lease: Box<dyn Lease>,
        window: u32,
    ) -> Result<Self, StoreError> {
        let mut kept = 0;
        block_in_place(|| store.read(&mut |tx| tx.cursor(name).map(|cursor| kept = cursor)))?;
        let (outbox, sent) = (Outbox::new(kept), Instant::now());
        Ok(Feed { store, lease, name: name.to_owned(), outbox, kept, sent, window })
    }

    /// Whether nothing is under way. The next page is sent then: that keeps the order, whatever is repeated.
    pub(super) fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The next events; none if they are not ours to send any more.
    pub(super) fn page(&mut self) -> Result<Option<Vec<Message>>, StoreError> {
        let (after, window) = (self.outbox.acknowledged(), self.window);
        let mut page = Vec::new();
        block_in_place(|| {
            self.store.read(&mut |tx| {
                page.clear();
                for (seq, event) in tx.events(after, window)? {
                    let device = event.imei.map_or(Ok(None), |imei| tx.device(imei))?;
                    let client = device.and_then(|device| device.client);
                    page.push(Message { seq, event, client });
                }
                Ok(())
            })?;
            Ok(self.lease.holds().then_some(page))
        })
    }

    pub(super) async fn send<S: Sink<Error = E>>(&mut self, sink: &S, page: Vec<Message>) -> Result<(), E> {
        self.sent = Instant::now();
        for message in page {
            let acknowledgement = sink.send(&message).await?;
            self.outbox.push(message.seq, acknowledgement);
        }
        Ok(())
    }

    /// Waits until the next one has arrived. Cancel-safe.
    pub(super) async fn arrival(&mut self) -> Result<(), E> {
        self.outbox.next().await
    }

    /// Writes down how far events have arrived. A loss of power may take it back: then some are sent twice.
    pub(super) fn keep_cursor(&mut self) -> Result<(), StoreError> {
        let seq = self.outbox.acknowledged();
        if seq != self.kept {
            let name = &self.name;
            block_in_place(|| self.store.write(Durability::Process, &mut |tx| tx.put_cursor(name, seq)))?;
            self.kept = seq;
        }
        Ok(())
    }

    /// Waits for what is under way. Returns whether all of it has arrived; what has not is sent again one
    /// day.
    pub(super) async fn await_arrivals(&mut self, patience: Duration) -> bool {
        let all = async {
            while !self.outbox.is_empty() {
                if self.outbox.next().await.is_err() {
                    return false;
                }
            }
            true
        };
        // Without patience it is only seen what has arrived.
        timeout(patience, all).await.unwrap_or(false)
    }
}
