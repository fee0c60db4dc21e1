//! Judges one device's state: pure.

use crate::report::words::form;
use otapress_responder::code;
use otapress_responder::decide;
use otapress_responder::offer::Offer;
use otapress_responder::record::{DeviceRecord, OfferRecord, Refusal, RolloutRecord, Verdict};

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal, $titles:literal;)*) => {
        /// A device's state with regard to its target. Each device is in exactly one state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum State { $($(#[$doc])* $name,)* }

        impl State {
            /// Every state, from the best to those without a target.
            pub const ALL: &[State] = &[$(State::$name),*];

            /// Its name; stable.
            pub fn as_str(self) -> &'static str {
                match self { $(State::$name => $text),* }
            }

            /// Its name for people.
            pub fn title(self) -> &'static str {
                match self { $(State::$name => $title),* }
            }

            /// How many devices are in it, for people: `1 runs its target`, `2 run their target`.
            pub fn counted(self, n: usize) -> String {
                let title = match self { $(State::$name => form(n, $title, $titles)),* };
                format!("{n} {title}")
            }
        }
    };
}

states! {
    /// It reports its target.
    Current = "current", "runs its target", "run their target";
    /// A result says that the target is installed; no check has proven it yet.
    Installed = "installed", "installed, not yet proven", "installed, not yet proven";
    /// It was told to upgrade, and its time is not over.
    Offered = "offered", "upgrade under way", "upgrades under way";
    /// It is offered its target at its next check.
    Due = "due", "offered at its next check", "offered at their next check";
    /// Its wave is not open yet.
    WaitingForWave = "waiting-for-wave", "waits for its wave", "wait for their wave";
    /// The channel's window is closed.
    OutsideWindow = "outside-window", "waits for the window", "wait for the window";
    /// The channel made its offers of this hour.
    RateLimited = "rate-limited", "waits for the rate", "wait for the rate";
    /// As many devices as may be were sent the release and have not proven it.
    Proving = "proving", "waits until others have proven it", "wait until others have proven it";
    /// The rollout's brake is pulled.
    Halted = "halted", "in a halted rollout", "in a halted rollout";
    /// Its last attempt failed; it has more.
    Failed = "failed", "failed, will retry", "failed, will retry";
    /// Its attempts are used up.
    Exhausted = "exhausted", "failed for good", "failed for good";
    /// It runs something higher, and is not to be downgraded.
    DowngradeDenied = "downgrade-denied", "runs a higher version", "run a higher version";
    /// It has never asked.
    NeverHeard = "never-heard", "never heard of", "never heard of";
    /// It was heard of, but has never reported a version.
    NoVersion = "no-version", "reports no version", "report no version";
    /// There is nothing that it should run.
    NoTarget = "no-target", "has no target", "have no target";
    /// `hold: true`.
    Held = "held", "held", "held";
}

impl State {
    /// On its way, or waiting for something that comes by itself or by `resume`.
    pub fn is_pending(self) -> bool {
        use State::*;
        matches!(
            self,
            Installed | Offered | Due | WaitingForWave | OutsideWindow | RateLimited | Proving | Halted
        )
    }

    /// There is something that the device should run.
    pub fn has_target(self) -> bool {
        !matches!(self, State::NoTarget | State::Held)
    }

    /// Failed, with attempts left or without.
    pub fn is_failed(self) -> bool {
        matches!(self, State::Failed | State::Exhausted)
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// With that code.
    Code(u16),
    /// It was installed, and the target was never reported.
    Unproven,
    /// Nothing was heard of it in time.
    Silent,
}

impl Failure {
    /// The code, `unproven` or `silent`; stable.
    pub fn name(self) -> String {
        match self {
            Failure::Code(code) => code.to_string(),
            Failure::Unproven => "unproven".into(),
            Failure::Silent => "silent".into(),
        }
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        match self {
            Failure::Code(code) => {
                code::lookup(code).map_or("a code that is not known", |known| known.meaning)
            }
            Failure::Unproven => "installed, but it did not report the release in time",
            Failure::Silent => "no result, and it did not report the release in time",
        }
    }

    /// Whose fault it is: `artifact`, `device` or `unknown`.
    pub fn fault(self) -> &'static str {
        match self {
            Failure::Code(code) => match code::lookup(code).map(|known| known.fault) {
                Some(code::Fault::Artifact) => "artifact",
                Some(code::Fault::Device) => "device",
                _ => "unknown",
            },
            Failure::Unproven | Failure::Silent => "unknown",
        }
    }
}

/// Judges a device: its state, and how its last attempt that has ended failed, if it did.
pub(super) fn judge(
    offer: &Offer,
    record: Option<&DeviceRecord>,
    rollout: &RolloutRecord,
    recent: u32,
    now: i64,
) -> (State, Option<Failure>) {
    let Offer::Managed(managed) = offer else { return (State::Held, None) };
    let Some(target) = &managed.target else { return (State::NoTarget, None) };
    let Some(record) = record else { return (State::NeverHeard, None) };
    let Some(reported) = record.reported else { return (State::NoVersion, None) };
    if reported == target.version {
        return (State::Current, None);
    }
    let made = record.offer(&target.rollout).filter(|made| made.was_offered());
    let failure = made.filter(|made| made.verdict == Some(Verdict::Failed)).map(|made| failure(record, made));
    let refusal = decide::refusal(offer, reported, record, rollout, recent, now);
    let state = match (made, refusal) {
        (_, Some(Refusal::DowngradeDenied)) => State::DowngradeDenied,
        (Some(made), _) if made.deadline.is_some() && made.code == Some(code::INSTALLED) => State::Installed,
        (Some(made), _) if made.deadline.is_some() => State::Offered,
        (Some(made), _) if made.attempts >= target.attempts => State::Exhausted,
        _ if failure.is_some() => State::Failed,
        (_, Some(Refusal::WaitingForWave)) => State::WaitingForWave,
        (_, Some(Refusal::OutsideWindow)) => State::OutsideWindow,
        (_, Some(Refusal::Halted)) => State::Halted,
        (_, Some(Refusal::Proving)) => State::Proving,
        (_, Some(Refusal::RateLimited)) => State::RateLimited,
        _ => State::Due,
    };
    (state, failure)
}

/// How the judged attempt failed: the last one, or the one before if the last is under way.
fn failure(record: &DeviceRecord, made: &OfferRecord) -> Failure {
    let earlier = || record.result.as_ref().filter(|result| result.rollout.as_ref() == Some(&made.rollout));
    let code = if made.answered || made.deadline.is_none() {
        made.code
    } else {
        earlier().and_then(|result| result.code)
    };
    match code {
        Some(code::INSTALLED) => Failure::Unproven,
        Some(code) => Failure::Code(code),
        None => Failure::Silent,
    }
}
