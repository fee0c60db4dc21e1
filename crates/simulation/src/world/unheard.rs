//! Settings of which a device has not heard, and whether the responder can know it.
//!
//! A device cannot say that an answer arrived. The responder takes a later check for a proof that it did, by
//! the rules of its `confirm`, which are here a second time. Two things it cannot know: that an answer was
//! lost after which the next check comes as late as if it had arrived, and that a device was answered by a
//! responder which could not reach the records. A device that is so misjudged has other settings than the
//! records say, until it is sent all of them again. Nothing else excuses that.

use super::fleet::INTERVAL;
use super::host::Answers;

/// A check so long after the one before is no repetition of it, and this many of them are a proof.
const PAUSE_SECONDS: i64 = 600;
const CHECKS: u32 = 3;

/// The settings that an answer carries and that are sent until they are confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    /// Some of those that are published: a bit for each.
    Part(u64),
    Whole,
}

impl News {
    pub(super) fn of(body: &str, answers: &Answers) -> News {
        match answers.news_in(body) {
            (0, _) => News::None,
            (sent, all) if sent != all => News::Part(sent),
            _ => News::Whole,
        }
    }
}

/// An answer to a check, whether it reaches the device or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub news: News,
    /// The answer went out without records, or nobody knows whether they were changed.
    pub is_unrecorded: bool,
    /// What the host's clock shows.
    pub clock: i64,
}

/// Settings that were sent and did not arrive.
#[derive(Clone, Debug)]
struct Unheard {
    news: News,
    /// When they were sent last and when the last check came, by the clocks of the hosts.
    at: i64,
    checked: i64,
    checks: u32,
    /// The responder may take them to have arrived.
    is_proven: bool,
}

/// What the records may be wrong about, of one device.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearing {
    unheard: Option<Unheard>,
    is_misjudged: bool,
}

impl Hearing {
    /// The device may have other settings than the records say.
    pub(super) fn is_misjudged(&self) -> bool {
        self.is_misjudged
    }

    /// The records were replaced by older ones.
    pub(super) fn restored(&mut self, has_news_since: bool) {
        self.is_misjudged |= has_news_since || self.unheard.is_some();
        self.unheard = None;
    }

    /// A responder has answered.
    pub(super) fn sent(&mut self, sent: Sent) {
        if sent.is_unrecorded && sent.news == News::None {
            return;
        }
        let clock = sent.clock;
        if let Some(unheard) = &mut self.unheard {
            unheard.checks = if clock - unheard.checked >= PAUSE_SECONDS { unheard.checks + 1 } else { 0 };
            unheard.checked = clock;
            let is_late = (clock - unheard.at) * 10 >= INTERVAL * 9;
            unheard.is_proven |= is_late || unheard.checks >= CHECKS;
        }
        if sent.news == News::None {
            return;
        }
        let before = self.unheard.take();
        // The other part is only sent if the first one counts as arrived.
        let is_other =
            |lost: &Unheard| matches!((lost.news, sent.news), (News::Part(a), News::Part(b)) if a & b == 0);
        let is_done_with = |lost: &Unheard| lost.is_proven && is_other(lost);
        self.is_misjudged |= !sent.is_unrecorded && before.as_ref().is_some_and(is_done_with);
        let checks = before.as_ref().map_or(0, |before| before.checks);
        // In doubt, the earlier sending may be the last one that is recorded.
        let earlier = before.filter(|_| sent.is_unrecorded);
        self.unheard = Some(Unheard {
            news: sent.news,
            at: earlier.as_ref().map_or(clock, |earlier| earlier.at.min(clock)),
            checked: clock,
            checks,
            is_proven: earlier.is_some_and(|earlier| earlier.is_proven),
        });
    }

    /// The answer that was just sent reaches the device.
    pub(super) fn heard(&mut self, sent: Sent) {
        match (sent.news, sent.is_unrecorded) {
            (News::Part(_) | News::Whole, false) => {
                self.unheard = None;
                self.is_misjudged &= sent.news != News::Whole;
            }
            // If it was not recorded, the device has settings that the records know nothing of; they are sent
            // again unless others are published then.
            (News::Part(_) | News::Whole, true) => self.unheard = None,
            (News::None, true) => self.is_misjudged |= self.unheard.take().is_some(),
            (News::None, false) => {
                self.is_misjudged |= self.unheard.take().is_some_and(|unheard| unheard.is_proven);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that was recorded and did not arrive, and one after it that did.
    fn after(lost: News, later: i64, heard: News) -> Hearing {
        let mut hearing = Hearing::default();
        hearing.sent(Sent { news: lost, is_unrecorded: false, clock: 0 });
        let second = Sent { news: heard, is_unrecorded: false, clock: later };
        hearing.sent(second);
        hearing.heard(second);
        hearing
    }

    #[test]
    fn a_lost_part_is_taken_for_there_once_the_other_one_follows_an_interval_later() {
        let misjudged = |later, heard| after(News::Part(0b01), later, heard).is_misjudged();
        assert!(misjudged(INTERVAL, News::Part(0b10)));
        assert!(misjudged(INTERVAL, News::None));
        assert!(!misjudged(INTERVAL, News::Part(0b01)), "the same part: it does not count as arrived");
        assert!(!misjudged(INTERVAL, News::Whole));
        assert!(!misjudged(60, News::Part(0b10)));
    }
}
