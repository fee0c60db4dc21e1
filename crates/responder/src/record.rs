//! What the responder remembers: of a device, of a rollout, and what happened.
//!
//! Plain values without behaviour of their own; [`super::decide`] and [`super::outcome`] make new ones
//! from old ones, and [`crate::store`] keeps them. All times are seconds since 1970-01-01 UTC.

mod stray;

use std::borrow::Cow;
use std::sync::Arc;

pub use super::event::{Event, EventKind};
pub use stray::StrayPath;

use super::event_budget::EventBudget;
use super::names::names;
use super::wave_record::Waves;
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_core::wire::Brake;

/// What is remembered of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its key.
    pub imei: Imei,
    /// The clientID that its OTAP results named, once there was one.
    pub client: Option<ClientId>,
    /// When it was first heard of.
    pub first_seen: i64,
    /// When it was last heard of; may lag by [`DeviceRecord::TOUCH_SECONDS`].
    pub last_seen: i64,
    /// The version that its last readable check reported.
    pub reported: Option<Version>,
    /// Why its last check was not answered with an upgrade; absent if it was, or if there was no check.
    pub refusal: Option<Refusal>,
    /// What it was sent of the settings.
    pub settings: SettingsRecord,
    /// The rollout of the last offer made to it.
    pub latest: Option<Arc<str>>,
    /// Its offers, one per rollout: of those that were asked for when the record was read.
    pub offers: Vec<OfferRecord>,
    /// The last OTAP result.
    pub result: Option<ResultRecord>,
    /// How many more of its events are kept.
    pub budget: EventBudget,
}

impl DeviceRecord {
    /// A check that changes nothing is written down only if the last one is older than this: what it
    /// costs is a write per check, what it buys is to see a device fall silent.
    pub const TOUCH_SECONDS: i64 = 600;

    /// A device that was never heard of.
    pub fn new(imei: Imei, now: i64) -> Self {
        DeviceRecord {
            imei,
            client: None,
            first_seen: now,
            last_seen: now,
            reported: None,
            refusal: None,
            settings: SettingsRecord::default(),
            latest: None,
            offers: Vec::new(),
            result: None,
            budget: EventBudget::default(),
        }
    }

    /// Its offer of that rollout.
    pub fn offer(&self, rollout: &str) -> Option<&OfferRecord> {
        self.offers.iter().find(|o| &*o.rollout == rollout)
    }

    /// The last offer made to it.
    pub fn latest_offer(&self) -> Option<&OfferRecord> {
        self.latest.as_deref().and_then(|rollout| self.offer(rollout))
    }

    /// The same for changing; the caller knows that it is there.
    pub(super) fn offer_mut(&mut self, rollout: &str) -> Option<&mut OfferRecord> {
        self.offers.iter_mut().find(|o| &*o.rollout == rollout)
    }
}

/// Which of the until-confirmed settings a device was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsRecord {
    /// What was sent last and is not confirmed.
    pub sent: Option<Sent>,
    /// What the device is known to have.
    pub confirmed: Option<Portion>,
}

/// Settings that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub portion: Portion,
    /// When they were sent last.
    pub at: i64,
    /// The target of the upgrade that they were sent with.
    pub target: Option<Version>,
    /// How many checks came since, each 10 minutes or more after the one before.
    pub checks: u32,
    /// When the last of these came.
    pub checked: i64,
}

/// A part of a generation of settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The generation's name.
    pub generation: Arc<str>,
    /// Whether it is all of it, or only the settings whose JSON is free of the digit 1 (which old
    /// firmware takes for an upgrade).
    pub is_complete: bool,
}

impl std::fmt::Display for Portion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = if self.is_complete { "" } else { ", without those with a digit 1" };
        write!(f, "generation {}{part}", self.generation)
    }
}

/// What one device met in one rollout: the offers made to it, or that it runs the release without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferRecord {
    /// The rollout.
    pub rollout: Arc<str>,
    /// What was offered.
    pub target: Version,
    /// How many attempts were made since the device was last given new ones.
    pub attempts: u32,
    /// When the last attempt began: when its first upgrade answer was given.
    pub at: i64,
    /// What the device reported then.
    pub from: Version,
    /// Until when success is awaited, in the rollout's time; absent if nothing is.
    pub deadline: Option<i64>,
    /// Until when a result may belong to the last attempt, in the rollout's time.
    pub until: i64,
    /// Whether a result of the last attempt was recorded.
    pub answered: bool,
    /// The code of that result.
    pub code: Option<u16>,
    /// How the device stands in this rollout; a new attempt leaves it as it is.
    pub verdict: Option<Verdict>,
    /// Whether the device is counted among those with an artifact's fault.
    pub artifact_fault: bool,
    /// The rollout's epoch in which the last attempt began; the outcome counts in no other.
    pub epoch: u32,
    /// It takes one of the rollout's places: it was sent the release, and nothing tells what became of it.
    pub place: bool,
    /// The rollout's epoch in which the device was counted as having proven the release.
    pub proven: Option<u32>,
    /// Since when it has reported the release without interruption, in the rollout's time.
    pub since: Option<i64>,
    /// The release's epoch in which the device was counted among those with an artifact's fault.
    pub blamed: Option<u32>,
    /// When its answer file was first missed while it took a place, in the rollout's time.
    pub missing: Option<i64>,
    /// The wave in which the device is counted: of this rollout only while its answer names it.
    pub wave: Option<u16>,
    /// When its answer was first seen to name no wave while it was counted in one, in the rollout's time.
    pub outside: Option<i64>,
}

impl OfferRecord {
    /// A record of a device that runs the release without having been offered it.
    pub fn proof(rollout: &RolloutRecord, release: Version, now: i64) -> Self {
        OfferRecord {
            rollout: rollout.id.clone(),
            target: release,
            attempts: 0,
            at: now,
            from: release,
            deadline: None,
            until: rollout.clock.time(now),
            answered: false,
            code: None,
            verdict: None,
            artifact_fault: false,
            epoch: rollout.epoch,
            place: false,
            proven: None,
            since: None,
            blamed: None,
            missing: None,
            wave: None,
            outside: None,
        }
    }

    /// Whether an offer was made at all: nobody is offered what it reports.
    pub fn was_offered(&self) -> bool {
        self.from != self.target
    }
}

/// An OTAP result as it was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRecord {
    /// When it was recorded first.
    pub at: i64,
    /// The three digits, if there were.
    pub code: Option<u16>,
    /// The whole text, control characters escaped.
    pub text: Arc<str>,
    /// The rollout that it was put down to.
    pub rollout: Option<Arc<str>>,
}

/// What is remembered of a rollout. Counts are of devices, since the last `resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutRecord {
    /// Its id: `<channel>/<release>` or `pin/<release>`.
    pub id: Arc<str>,
    /// The brake as the last offer named it; absent before the first.
    pub brake: Option<Brake>,
    /// How often its counts began anew.
    pub epoch: u32,
    /// Devices that were made an offer.
    pub offered: u32,
    /// Devices that stand as installed.
    pub installed: u32,
    /// Devices that stand as succeeded.
    pub succeeded: u32,
    /// Devices that stand as failed.
    pub failed: u32,
    /// Devices with a result that is the artifact's fault.
    pub artifact_faults: u32,
    /// Since when no offers are made, and why.
    pub halted: Option<Halt>,
    /// Devices that take a place.
    pub places: u32,
    /// Devices that reported the release, offered or not.
    pub proven: u32,
    /// The first epoch whose proofs count.
    pub proven_since: u32,
    /// The first epoch whose attempts count.
    pub attempts_since: u32,
    /// The rollout's time.
    pub clock: Clock,
    /// When a check was judged for it last, in the channel's time; kept to 10 minutes.
    pub judged: Option<i64>,
    /// Its waves, if it has several.
    pub waves: Waves,
}

/// A time that stands still while nobody is heard: neither an outage of ours nor a step of the clock counts.
///
/// It lags behind the wall clock by what was left out. Only the span between two that are heard can be told
/// from silence, so the time is that of the last one heard, plus what the wall clock says since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// When somebody was heard last, by the wall clock; kept to 10 minutes.
    pub heard: Option<i64>,
    /// How far it is behind the wall clock, in seconds; negative after a step back of that.
    pub lag: i64,
    /// The longest span that is not left out.
    pub patience: i64,
}

impl Clock {
    /// Its time at `now`.
    pub fn time(&self, now: i64) -> i64 {
        now.saturating_sub(self.lag)
    }

    /// When the wall clock shows `now` if nothing more is left out.
    pub fn wall(&self, time: i64) -> i64 {
        time.saturating_add(self.lag)
    }

    /// Its time at `now`, if nothing is to be left out up to then.
    pub fn steady(&self, now: i64) -> Option<i64> {
        let heard = self.heard.unwrap_or(now);
        ((now - heard).abs() <= self.patience).then(|| self.time(now))
    }

    /// Keeps in `first` when something was first seen, and says whether it is seen again an hour or more
    /// later, so that a copy of `out/` which is half made is no reason for anything.
    pub(super) fn is_seen_again(&self, first: &mut Option<i64>, now: i64) -> bool {
        // A step of the clock is no hour.
        let Some(time) = self.steady(now) else { return false };
        let since = *first.get_or_insert(time);
        *first = Some(since.min(time));
        time - since >= Clock::APART_SECONDS
    }

    /// How far apart two looks are that count as two.
    const APART_SECONDS: i64 = 3600;

    /// Somebody is heard, who asks once in a versionInterval or whose interval is not known. Returns the span
    /// that is left out, if one is.
    pub(super) fn hear(&mut self, interval: Option<u32>, now: i64) -> Option<i64> {
        let patience = match interval {
            Some(interval) => i64::from(interval) * 3 / 2 + DeviceRecord::TOUCH_SECONDS,
            None => self.patience,
        };
        let gap = self.heard.map_or(0, |heard| now - heard);
        if gap.abs() >= DeviceRecord::TOUCH_SECONDS || self.heard.is_none() {
            self.heard = Some(now);
            self.patience = patience;
        }
        // A small step of the clock is left in, forwards and backwards: hosts whose clocks differ take turns.
        (gap.abs() > patience).then(|| {
            self.lag = self.lag.saturating_add(gap);
            gap
        })
    }
}

/// What is remembered of a release, over all of its rollouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseRecord {
    /// Its version.
    pub version: Arc<str>,
    /// How often its faults were forgotten.
    pub epoch: u32,
    /// Devices with a result that is the artifact's fault.
    pub faults: u32,
    /// Since when no rollout offers it, and why.
    pub halted: Option<Halt>,
    /// When a check was judged for it last; kept to 10 minutes, and only while there are faults.
    pub judged: i64,
}

impl ReleaseRecord {
    /// A release that nothing is known of.
    pub fn new(version: impl Into<Arc<str>>) -> Self {
        ReleaseRecord { version: version.into(), epoch: 0, faults: 0, halted: None, judged: 0 }
    }
}

/// What is remembered of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelRecord {
    /// Its name.
    pub name: Arc<str>,
    /// The time in which checks were judged for a release of it.
    pub clock: Clock,
}

impl ChannelRecord {
    /// A channel that nothing is known of.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        ChannelRecord { name: name.into(), clock: Clock::default() }
    }
}

impl RolloutRecord {
    /// A rollout that nothing is known of.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        RolloutRecord {
            id: id.into(),
            brake: None,
            epoch: 0,
            offered: 0,
            installed: 0,
            succeeded: 0,
            failed: 0,
            artifact_faults: 0,
            halted: None,
            places: 0,
            proven: 0,
            proven_since: 0,
            attempts_since: 0,
            clock: Clock::default(),
            judged: None,
            waves: Waves::default(),
        }
    }

    /// The same, halted if its release is.
    pub fn with_release(mut self, releases: &[ReleaseRecord]) -> Self {
        let version = Self::release(&self.id);
        let halt = releases.iter().find(|release| *release.version == *version);
        self.halted = self.halted.or_else(|| halt.and_then(|release| release.halted.clone()));
        self
    }

    pub(super) fn event(&self, kind: EventKind, at: i64, detail: String) -> Event {
        Event { at, kind, imei: None, rollout: Some(self.id.clone()), code: None, detail }
    }

    /// The release that a rollout brings, by its id; empty for the blank rollout of devices without a target.
    pub fn release(id: &str) -> Cow<'_, str> {
        let text = id.bytes().rposition(|byte| byte == b'/').map_or(id, |slash| &id[slash + 1..]);
        // Spellings of the same version are the same release.
        let version = has_leading_zeros(text).then(|| text.parse::<Version>().ok()).flatten();
        version.map_or_else(|| text.into(), |version| version.to_string().into())
    }
}

fn has_leading_zeros(version: &str) -> bool {
    let bytes = version.as_bytes();
    let begins = |n: usize| n == 0 || bytes[n - 1] == b'.';
    bytes.windows(2).enumerate().any(|(n, pair)| pair[0] == b'0' && pair[1].is_ascii_digit() && begins(n))
}

/// A brake that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    /// When.
    pub at: i64,
    /// Which condition was met, for the operator.
    pub reason: String,
}

names! {
    /// How an offer ended.
    Verdict {
        /// A result says that the target is installed; it counts as finished until silence or another version
        /// says otherwise.
        Installed = "installed",
        /// The device reported the target.
        Succeeded = "succeeded",
        /// It answered with a fault code, or did not report the target in time.
        Failed = "failed",
    }
}

names! {
    /// Why a version check was not answered with an upgrade, in the order in which the reasons are looked
    /// for: the first that holds is the one that is named.
    Refusal {
        /// The request names no IMEI.
        NoImei = "no-imei",
        /// There is no answer file for the IMEI.
        UnknownDevice = "unknown-device",
        /// `out/` or the device's answer file is missing, unreadable or malformed.
        NoAnswerFile = "no-answer-file",
        /// The state cannot be read or written.
        NoState = "no-state",
        /// The body is not a version.
        BadVersion = "bad-version",
        /// The device is held.
        Held = "held",
        /// There is nothing that it should run.
        NoTarget = "no-target",
        /// It runs its target.
        Current = "current",
        /// It runs something higher, and is not to be downgraded.
        DowngradeDenied = "downgrade-denied",
        /// The release is withdrawn.
        Withdrawn = "withdrawn",
        /// Its wave is not open yet.
        WaitingForWave = "waiting-for-wave",
        /// Now is not the time of the week.
        OutsideWindow = "outside-window",
        /// It had as many offers as it gets.
        AttemptsUsed = "attempts-used",
        /// The rollout's brake is pulled.
        Halted = "halted",
        /// As many devices as may be were sent the release and have not proven it.
        Proving = "proving",
        /// The channel made as many offers in the last hour as it may.
        RateLimited = "rate-limited",
        /// The JAR is not there, or not all of it.
        NotPublished = "not-published",
    }
}

/// Somebody who is not in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRecord {
    /// The IMEI, or the clientID of a result without one.
    pub name: String,
    /// When it was first heard of.
    pub first_seen: i64,
    /// When it was last heard of; may lag by [`DeviceRecord::TOUCH_SECONDS`].
    pub last_seen: i64,
    /// What it said last; of a device of the fleet that asks at an unpublished path, that path.
    pub said: String,
}
