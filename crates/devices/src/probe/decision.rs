//! What the responder says of a version check, against what out/ says: the header [`DECISION`] that it gives
//! a simulated device.

use std::time::UNIX_EPOCH;

use super::{Code, Sent, Subject, Walk};
use crate::device::Device;
use crate::device::http::{Reply, Request};
use otapress_core::version::Version;
use otapress_core::wire::{DECISION, NO, Target, UNREADABLE_OUT, Wave};

/// Lower than any release, so that its device is due.
const LOWEST: &str = "0.0";

/// Clocks that differ by less are not worth a word, in seconds. A wave that opens at such a time may be open
/// for one of them.
const CLOCK_SLACK: i64 = 300;

/// The two halves of the header.
struct Decision<'a> {
    name: &'a str,
    keeps_records: bool,
}

impl<'a> Decision<'a> {
    fn of(reply: &'a Reply) -> Option<Decision<'a>> {
        let (name, store) = reply.header(DECISION)?.split_once(';')?;
        Some(Decision { name: name.trim(), keeps_records: store.trim() == "store=ok" })
    }
}

/// Whether the responder decided for an upgrade, and no static answer or proxy did.
pub(super) fn is_upgrade(reply: &Reply) -> bool {
    Decision::of(reply).is_some_and(|decision| decision.name == "upgrade")
}

impl Walk<'_> {
    /// A check of a device that must be offered its target, once for each wave of each rollout.
    pub(super) fn upgrade(&mut self, device: &Device, subject: &Subject) {
        let Some(target) = &subject.answer.offer.target else { return };
        let class = (target.rollout.clone(), target.wave);
        if Ok(target.version) == LOWEST.parse::<Version>() || !self.upgraded.insert(class) {
            return;
        }
        let mut device = device.clone();
        device.version = LOWEST.into();
        let Some((sent, upgrades)) = self.version_answer(super::UPGRADE, &mut device) else { return };
        let Ok(reply) = &sent.reply else { return };
        let Some(decision) = self.decision(&device, &sent, reply) else { return };
        if decision == "upgrade" && !upgrades {
            let message = "the responder decides for an upgrade, and the answer is none".into();
            self.find(Code::VersionAltered, &sent, message);
        }
        let expected = Expected::of(target.wave_in(&self.site.rollouts), target, self.now());
        let is_withdrawn = self
            .site
            .releases
            .iter()
            .any(|release| release.withdrawn.is_some() && release.version.parse() == Ok(target.version));
        if !expected.permits(&decision, is_withdrawn) {
            self.stale(&sent, &decision, "runs less than its target");
        }
    }

    /// Judges the answer to a device that runs its target, or has none.
    pub(super) fn no_upgrade(&mut self, device: &Device, sent: &Sent, reply: &Reply, subject: &Subject) {
        let Some(decision) = self.decision(device, sent, reply) else { return };
        let (expected, what) = match (&subject.answer.offer.target, subject.answer.offer.held) {
            (_, true) => ("held", "is held"),
            (Some(_), false) => ("current", "runs its target"),
            (None, false) => ("no-target", "has no target"),
        };
        if decision != expected {
            self.stale(sent, &decision, what);
        }
    }

    fn stale(&mut self, sent: &Sent, decision: &str, what: &str) {
        let message = format!("the responder decides `{decision}` for a device that {what} in out/");
        self.find(Code::ResponderStale, sent, message);
    }

    /// What the responder decided, if it could: its own troubles are found here.
    fn decision(&mut self, device: &Device, sent: &Sent, reply: &Reply) -> Option<String> {
        self.clock(sent, reply);
        let Some(decision) = Decision::of(reply) else {
            self.nobody_decided(device, sent, reply);
            return None;
        };
        if decision.name == UNREADABLE_OUT {
            let message = "the responder finds no published directory".into();
            self.find(Code::ResponderOut, sent, message);
            return None;
        }
        if !decision.keeps_records {
            self.find(Code::ResponderState, sent, "the responder cannot keep records".into());
        }
        match decision.name {
            "no-state" => None,
            "no-answer-file" => {
                let message = "the responder cannot read the device's answer file".into();
                self.find(Code::ResponderOut, sent, message);
                None
            }
            "unknown-device" => {
                self.find(Code::ResponderStale, sent, "the responder does not know the device".into());
                None
            }
            // The JAR itself was looked at before.
            "not-published" if self.report.has(Code::JarSize) || self.report.has(Code::JarStatus) => None,
            "not-published" => {
                let message = "the responder's out/ lacks the JAR of the device's target".into();
                self.find(Code::ResponderStale, sent, message);
                None
            }
            name => Some(name.to_owned()),
        }
    }

    /// An answer that does not say what was decided: of a server that could not ask the responder, or of a
    /// responder that does not know the path.
    fn nobody_decided(&mut self, device: &Device, sent: &Sent, reply: &Reply) {
        if self.is_fallback(device, sent) || reply.body != NO.as_bytes() {
            let message = format!("{} is not the responder's", sent.what);
            self.find(Code::ResponderDown, sent, message);
        } else {
            let message = format!("{} is that of a path which the responder does not know", sent.what);
            self.find(Code::VersionUnpublished, sent, message);
        }
    }

    /// Whether the server answers there without its responder, which refuses a GET.
    pub(super) fn is_fallback(&mut self, device: &Device, sent: &Sent) -> bool {
        let url = &sent.request.url;
        if let Some(&known) = self.fallbacks.get(url) {
            return known;
        }
        let mut request = Request::get(url);
        if let Some(agent) = sent.request.header_value("User-Agent") {
            request = request.header("User-Agent", agent);
        }
        self.report.requests += 1;
        let is_fallback = device.network.exchange(&request).is_ok_and(|reply| reply.status == 200);
        self.fallbacks.insert(url.clone(), is_fallback);
        is_fallback
    }

    fn clock(&mut self, sent: &Sent, reply: &Reply) {
        let Some(date) = reply.header("Date").and_then(|date| httpdate::parse_http_date(date).ok()) else {
            return;
        };
        let Ok(theirs) = date.duration_since(UNIX_EPOCH) else { return };
        let ahead = i64::try_from(theirs.as_secs()).unwrap_or(i64::MAX).saturating_sub(self.now());
        if ahead.abs() > CLOCK_SLACK {
            let which = if ahead > 0 { "ahead of" } else { "behind" };
            let message = format!("the server's clock is {} s {which} that of this machine", ahead.abs());
            self.find(Code::ClockOff, sent, message);
        }
    }
}

/// What a device may be told that runs less than its target: an upgrade, if its wave is open; and what
/// records alone can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Nothing but the records is in its way, or a window or a rate.
    Open { has_window: bool, has_rate: bool },
    /// Its wave opens later.
    Closed,
    /// The records say whether its wave is open.
    Either,
}

impl Expected {
    fn of(wave: Option<Wave>, target: &Target, now: i64) -> Expected {
        let Some(Wave { at, after, .. }) = wave else { return Expected::Closed };
        match at {
            Some(at) if at > now + CLOCK_SLACK => Expected::Closed,
            Some(at) if at > now - CLOCK_SLACK => Expected::Either,
            _ if after.is_some() => Expected::Either,
            _ => Expected::Open { has_window: target.window.is_some(), has_rate: target.rate.is_some() },
        }
    }

    fn permits(self, decision: &str, is_withdrawn: bool) -> bool {
        if is_withdrawn || decision == "withdrawn" {
            return is_withdrawn == (decision == "withdrawn");
        }
        match (decision, self) {
            ("upgrade", expected) => expected != Expected::Closed,
            ("waiting-for-wave", expected) => !matches!(expected, Expected::Open { .. }),
            ("outside-window", Expected::Open { has_window, .. }) => has_window,
            ("rate-limited", Expected::Open { has_rate, .. }) => has_rate,
            ("outside-window" | "rate-limited", expected) => expected == Expected::Either,
            ("attempts-used" | "halted" | "proving", expected) => expected != Expected::Closed,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_out_says_bounds_what_the_responder_may_decide() {
        let open = Expected::Open { has_window: false, has_rate: true };
        for (decision, permitted) in [
            ("upgrade", [true, false, true]),
            ("waiting-for-wave", [false, true, true]),
            ("proving", [true, false, true]),
            ("halted", [true, false, true]),
            ("rate-limited", [true, false, true]),
            ("outside-window", [false, false, true]),
            ("held", [false; 3]),
            ("current", [false; 3]),
            ("withdrawn", [false; 3]),
        ] {
            let found = [open, Expected::Closed, Expected::Either].map(|e| e.permits(decision, false));
            assert_eq!(found, permitted, "{decision}");
        }
        assert!(open.permits("withdrawn", true) && !open.permits("upgrade", true));
    }
}
