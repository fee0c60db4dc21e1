//! Settings that the records say a device has, and whether it can be known that it has not.
//!
//! A device cannot say that an answer arrived. The responder takes a later check for a proof that it did, by
//! the rules of its `confirm`, which are here a second time. So it is wrong about settings that were lost and
//! after which the next check comes as late as if they had arrived, and about all that a device heard since a
//! backup that is put back. Nothing else excuses that a device lacks a setting.

use std::collections::BTreeMap;

use super::fleet::INTERVAL;

/// A check so long after the one before is no repetition of it, and this many of them are a proof.
const PAUSE_SECONDS: i64 = 600;
const CHECKS: u32 = 3;

/// Values by their keys.
pub(super) type Settings = BTreeMap<String, String>;

/// How the records took a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They could not be reached.
    Unrecorded,
    /// It was that of no device, or without a version, or nothing could be read that is published for it:
    /// such a check proves nothing, and its answer has no settings.
    AsNoProof,
    AsProof,
}

/// An answer to a check, whether it reaches the device or not.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// What it carries of the settings that are sent until they are confirmed.
    pub settings: Settings,
    pub taken: Taken,
    /// It is an upgrade for firmware that takes any 1 for one: only a report of the target proves that it
    /// arrived.
    pub needs_report: bool,
    /// What the host's clock shows.
    pub clock: i64,
}

/// Settings that were sent last and did not arrive.
#[derive(Clone, Debug)]
struct Unheard {
    settings: Settings,
    needs_report: bool,
    /// When they were sent last and when the last check came, by the clocks of the hosts.
    at: i64,
    checked: i64,
    checks: u32,
}

impl Unheard {
    /// A check proves to the responder that they arrived.
    fn is_proven(&mut self, clock: i64) -> bool {
        self.checks = if clock - self.checked >= PAUSE_SECONDS { self.checks + 1 } else { 0 };
        let is_late = (clock - self.at) * 10 >= INTERVAL * 9;
        !self.needs_report && (is_late || self.checks >= CHECKS)
    }
}

/// What the records may know of the settings of one device. It goes back with them when they are restored.
#[derive(Clone, Debug, Default)]
pub(super) struct Hearing {
    unheard: Option<Unheard>,
    /// What counts as arrived: all that did, and what was lost and seems to have.
    claimed: Settings,
}

impl Hearing {
    /// The records may say, and have no reason to doubt, that the device has this value.
    pub(super) fn is_claimed(&self, key: &str, value: &str) -> bool {
        self.claimed.get(key).is_some_and(|claimed| claimed == value)
    }

    /// A responder has answered.
    pub(super) fn sent(&mut self, sent: &Sent) {
        if sent.taken == Taken::Unrecorded {
            return;
        }
        let mut checks = 0;
        if let Some(mut lost) = self.unheard.take() {
            if sent.taken == Taken::AsProof && lost.is_proven(sent.clock) {
                // What is sent all the same replaces it, or does not count as arrived.
                let arrived = lost.settings.iter().filter(|(key, _)| !sent.settings.contains_key(*key));
                self.claimed.extend(arrived.map(|(key, value)| (key.clone(), value.clone())));
            }
            checks = if lost.settings == sent.settings { lost.checks } else { 0 };
        }
        // An answer without them takes the proof away.
        self.unheard = (!sent.settings.is_empty()).then(|| Unheard {
            settings: sent.settings.clone(),
            needs_report: sent.needs_report,
            at: sent.clock,
            checked: sent.clock,
            checks,
        });
    }

    /// The answer that was just sent reaches the device.
    pub(super) fn heard(&mut self, sent: &Sent) {
        if !sent.settings.is_empty() {
            self.unheard = None;
            self.claimed.extend(sent.settings.clone());
        }
    }
}

#[cfg(test)]
mod tests;
