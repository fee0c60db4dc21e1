//! The events that are under way to a sink, in their order.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;

/// Ready when a message is acknowledged, or will not be.
pub(super) type Acknowledgement<E> = Pin<Box<dyn Future<Output = Result<(), E>> + Send>>;

/// Messages that are sent, the first one first.
pub(super) struct Outbox<E> {
    acknowledged: i64,
    under_way: VecDeque<(i64, Acknowledgement<E>)>,
}

impl<E> Outbox<E> {
    /// An outbox without messages in flight; everything up to `cursor` is acknowledged.
    pub(crate) fn new(cursor: i64) -> Self {
        Outbox { acknowledged: cursor, under_way: VecDeque::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The number up to which everything is acknowledged.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// Adds what was sent; numbers ascend.
    pub(crate) fn push(&mut self, seq: i64, acknowledgement: Acknowledgement<E>) {
        self.under_way.push_back((seq, acknowledgement));
    }

    /// Waits until the first one is acknowledged. Later ones may be before; the number does not pass one that
    /// is not: if it will never be, no message is in flight any more.
    ///
    /// Cancel-safe: nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<(), E> {
        let Some((seq, acknowledgement)) = self.under_way.front_mut() else { return pending().await };
        let (seq, result) = (*seq, acknowledgement.as_mut().await);
        self.under_way.pop_front();
        match result {
            Ok(()) => self.acknowledged = seq,
            Err(_) => self.under_way.clear(),
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(10);

    #[tokio::test]
    async fn the_cursor_never_passes_what_is_not_acknowledged() {
        let mut outbox = Outbox::new(3);
        assert!(timeout(MOMENT, outbox.next()).await.is_err(), "nothing is under way");
        let mut senders: Vec<_> = (4..=6)
            .map(|seq| {
                let (sender, receiver) = oneshot::channel();
                outbox.push(seq, Box::pin(async move { receiver.await.unwrap_or(Err("lost")) }));
                Some(sender)
            })
            .collect();
        let mut acknowledge = |n: usize| senders[n].take().unwrap().send(Ok(())).unwrap();
        acknowledge(1);
        assert!(timeout(MOMENT, outbox.next()).await.is_err());
        assert_eq!(outbox.acknowledged(), 3);
        acknowledge(0);
        outbox.next().await.unwrap();
        outbox.next().await.unwrap();
        assert_eq!((outbox.acknowledged(), outbox.is_empty()), (5, false));
        drop(senders);
        outbox.push(7, Box::pin(async { Ok(()) }));
        assert_eq!(outbox.next().await, Err("lost"));
        assert_eq!((outbox.acknowledged(), outbox.is_empty()), (5, true));
        assert!(timeout(MOMENT, outbox.next()).await.is_err());
    }
}
