//! Notices an access list of the broker that drops what we publish, or what we should hear.
//!
//! MQTT 3.1.1 has no word for it: the broker acknowledges a message and delivers it to nobody. So the relay
//! listens to its own events until the first one has come back. Pure: the session tells it what happens.

use std::time::Duration;

use tokio::time::Instant;

/// How long a broker may take to deliver a message that it has acknowledged.
const DELIVERY: Duration = Duration::from_secs(10);

/// Brokers send retained start messages right after the subscription: after this time there are none.
const STARTS: Duration = Duration::from_secs(60);

/// What was seen on one connection.
#[derive(Debug)]
pub(super) struct Echo {
    events: Events,
    connected: Instant,
    /// A start message has arrived, or it was said that none has.
    starts_settled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Events {
    /// None was acknowledged yet.
    Open,
    /// One was acknowledged at that time, and none has come back.
    Awaited(Instant),
    /// One came back, or it cannot be known.
    Settled,
}

/// What the broker seems to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    Events,
    Starts,
}

impl Echo {
    pub(super) fn new(now: Instant) -> Self {
        Echo { events: Events::Open, connected: now, starts_settled: false }
    }

    pub(super) fn acknowledged(&mut self, now: Instant) {
        if self.events == Events::Open {
            self.events = Events::Awaited(now);
        }
    }

    /// An event came back, or the broker does not let us listen. Returns whether it was the first.
    pub(super) fn settle_events(&mut self) -> bool {
        std::mem::replace(&mut self.events, Events::Settled) != Events::Settled
    }

    pub(super) fn heard_start(&mut self) {
        self.starts_settled = true;
    }

    /// Whether an event may still come back. A run that ends before it does knows nothing of the access list.
    pub(super) fn awaits_event(&self) -> bool {
        matches!(self.events, Events::Awaited(_))
    }

    /// What is missing by now; each is said once.
    pub(super) fn missing(&mut self, now: Instant) -> Option<Dropped> {
        if let Events::Awaited(since) = self.events
            && now.duration_since(since) >= DELIVERY
        {
            self.events = Events::Settled;
            return Some(Dropped::Events);
        }
        if !self.starts_settled && now.duration_since(self.connected) >= STARTS {
            self.starts_settled = true;
            return Some(Dropped::Starts);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_come_back_is_said_once() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut echo = Echo::new(begin);
        assert_eq!(echo.missing(after(50)), None, "nothing was published");
        assert!(!echo.awaits_event());
        echo.acknowledged(after(50));
        assert_eq!(echo.missing(after(59)), None);
        assert!(echo.awaits_event());
        assert_eq!(echo.missing(after(60)), Some(Dropped::Events));
        assert!(!echo.awaits_event());
        assert_eq!(echo.missing(after(60)), Some(Dropped::Starts));
        echo.acknowledged(after(61));
        assert_eq!(echo.missing(after(100)), None);

        let mut echo = Echo::new(begin);
        echo.heard_start();
        echo.acknowledged(begin);
        assert!(echo.settle_events() && !echo.settle_events());
        assert_eq!(echo.missing(after(100)), None);
        assert!(!echo.awaits_event());
    }
}
