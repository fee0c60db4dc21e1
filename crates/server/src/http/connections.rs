//! The connections that are open, and room for new ones.
//!
//! A client cannot keep others out by being connected: when there are nearly too many connections, the one
//! that has been idle for the longest gives way to a new one. Two things are counted. An open connection
//! costs a file descriptor and a little memory; one that has begun a request has buffers besides, so that far
//! fewer of those are allowed, and memory stays below a bound whatever clients do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Limits;

/// One part in so many of each limit is kept free for clients that come next.
const RESERVE: usize = 16;

/// Answers close their connections when less than one part in so many is free.
const CROWDED: usize = 4;

/// How long a client waits for another one to give way before a further one is asked to.
const GIVE_WAY: Duration = Duration::from_millis(250);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has said nothing since it was opened, or since its last request.
    Silent,
    /// It has buffers, and the head of a request is awaited or has begun.
    Head,
    /// The body of a request is read.
    Body,
    /// A request was read and is being answered, which is never interrupted.
    Answering,
    /// An answer is sent.
    Sending,
}

/// All connections of a server.
#[derive(Debug)]
pub struct Connections {
    open: Counter,
    active: Counter,
    queues: Mutex<Queues>,
}

#[derive(Debug)]
struct Counter {
    limit: usize,
    free: Arc<Semaphore>,
}

impl Counter {
    fn new(limit: usize) -> Self {
        Counter { limit, free: Arc::new(Semaphore::new(limit)) }
    }

    fn has_less_than(&self, part: usize) -> bool {
        self.free.available_permits() < (self.limit / part).max(1)
    }
}

/// Connections that can give way, by the order in which they began to wait.
#[derive(Debug, Default)]
struct Queues {
    next: u64,
    silent: BTreeMap<u64, Arc<Notify>>,
    active: BTreeMap<u64, Arc<Notify>>,
}

impl Queues {
    fn of(&mut self, phase: Phase) -> Option<&mut BTreeMap<u64, Arc<Notify>>> {
        match phase {
            Phase::Silent => Some(&mut self.silent),
            Phase::Head | Phase::Body | Phase::Sending => Some(&mut self.active),
            Phase::Answering => None,
        }
    }
}

/// One connection's place among all.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    give_way: Arc<Notify>,
    at: Mutex<(Phase, u64)>,
    _open: OwnedSemaphorePermit,
}

impl Connections {
    /// None yet.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Connections {
            open: Counter::new(limits.connections),
            active: Counter::new(limits.active),
            queues: Mutex::default(),
        })
    }

    /// Room for one more connection. Where there is none the longest idle one gives way.
    pub async fn enter(self: &Arc<Self>) -> Place {
        let permit = take(&self.open, || {
            let mut queues = self.queues();
            let Queues { silent, active, .. } = &mut *queues;
            silent.pop_first().or_else(|| active.pop_first())
        });
        let place = Place {
            connections: self.clone(),
            _open: permit.await,
            give_way: Arc::default(),
            at: Mutex::new((Phase::Answering, 0)),
        };
        place.set(Phase::Silent);
        place
    }

    /// Leave to use buffers. Where there is none the connection gives way that has made no progress for the
    /// longest.
    pub async fn activate(&self) -> OwnedSemaphorePermit {
        take(&self.active, || self.queues().active.pop_first()).await
    }

    /// Whether clients should not stay after their answers.
    pub fn are_crowded(&self) -> bool {
        self.open.has_less_than(CROWDED) || self.active.has_less_than(CROWDED)
    }

    /// Waits until all have ended.
    pub async fn ended(&self) {
        let all = u32::try_from(self.open.limit).unwrap_or(u32::MAX);
        let _ = self.open.free.acquire_many(all).await;
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it is locked.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a permit; where few are left, `longest` gives way.
async fn take(counter: &Counter, longest: impl Fn() -> Option<(u64, Arc<Notify>)>) -> OwnedSemaphorePermit {
    let mut permit = std::pin::pin!(counter.free.clone().acquire_owned());
    loop {
        if counter.has_less_than(RESERVE)
            && let Some((_, notify)) = longest()
        {
            notify.notify_one();
        }
        tokio::select! {
            biased;
            Ok(permit) = &mut permit => return permit,
            () = tokio::time::sleep(GIVE_WAY) => {}
        }
    }
}

impl Place {
    /// What it is doing from now on. It goes to the end of the queue of those that give way.
    pub fn set(&self, phase: Phase) {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queues = self.connections.queues();
        let (before, number) = *at;
        if let Some(queue) = queues.of(before) {
            queue.remove(&number);
        }
        queues.next += 1;
        let number = queues.next;
        if let Some(queue) = queues.of(phase) {
            queue.insert(number, self.give_way.clone());
        }
        *at = (phase, number);
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits until it should give way to others.
    pub async fn should_give_way(&self) {
        self.give_way.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (phase, number) = *self.at.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = self.connections.queues().of(phase) {
            queue.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn limits(connections: usize, active: usize) -> Limits {
        Limits { connections, active, ..Limits::default() }
    }

    fn should_give_way(place: &Place) -> bool {
        place.should_give_way().now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_longest_idle_one_gives_way_and_only_one() {
        let all = Connections::new(&limits(4, 4));
        let a = all.enter().await;
        let b = all.enter().await;
        let c = all.enter().await;
        assert!(all.enter().now_or_never().is_some(), "there is room for a fourth");
        let d = all.enter().await;
        // The oldest speaks, so that the second is the one that has been silent for the longest.
        a.set(Phase::Silent);
        let mut fifth = std::pin::pin!(all.enter());
        assert!(fifth.as_mut().now_or_never().is_none());
        assert_eq!([&a, &b, &c, &d].map(should_give_way), [false, true, false, false]);
        drop(b);
        assert!(fifth.now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_is_being_answered_never_gives_way() {
        let all = Connections::new(&limits(8, 2));
        let (a, b) = (all.enter().await, all.enter().await);
        let _active = [all.activate().await, all.activate().await];
        a.set(Phase::Answering);
        b.set(Phase::Answering);
        assert!(all.activate().now_or_never().is_none());
        assert!(!should_give_way(&a) && !should_give_way(&b));
        b.set(Phase::Sending);
        assert!(all.activate().now_or_never().is_none());
        assert!(!should_give_way(&a) && should_give_way(&b));
    }

    #[tokio::test]
    async fn answers_close_when_it_gets_crowded() {
        let all = Connections::new(&limits(8, 8));
        let mut open = Vec::new();
        for n in 0..8 {
            assert_eq!(all.are_crowded(), n > 6, "{n}");
            open.push(all.enter().await);
        }
        open.truncate(6);
        assert!(!all.are_crowded());
    }
}
