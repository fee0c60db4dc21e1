//! The answer to a version check: a pure function of the offer, the records and the time.
//!
//! And the same rules for a device that did not ask, [`trigger`].
//!
//! Precedence of the refusals: the order of [`Refusal`].

use std::cmp::Ordering;
use std::sync::Arc;

use super::code;
use super::offer::{LOST_SECONDS, Managed, Offer, is_open, reads_json};
use super::outcome;
use super::record::{
    DeviceRecord, Event, EventKind, OfferRecord, Portion, Refusal, RolloutRecord, Sent, SettingsRecord,
};
use super::records::{Ledger, Scratch};
use super::waves;
use super::weakened::{Rule, holds};
use otapress_core::version::Version;
use otapress_core::wire::{Answer, Setting, Target};

/// How long a modem works on an upgrade at most: then the firmware reboots it.
const BUSY_SECONDS: i64 = 600;

/// The versionInterval of a device of which nothing is published.
pub(super) const USUAL_INTERVAL: u32 = 10_800;

/// A check so long after the one before is no repetition of it.
const PAUSE_SECONDS: i64 = 600;

/// So many checks in a row, each after a pause, prove that an answer arrived.
const CHECKS: u32 = 3;

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the device is sent.
    pub answer: Answer,
    /// Why it is no upgrade.
    pub refusal: Option<Refusal>,
    /// The channel for which an offer is to be counted.
    pub counted: Option<String>,
}

/// What the settings go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Upgrade,
    /// Of an earlier answer the device may report the same target.
    UpgradeAgain,
}

/// Decides a check of a device that reports a version. Its record is as [`outcome::settle`] left it.
pub fn decide(offer: &Offer, reported: Version, ledger: &mut Ledger<'_>, now: i64) -> Decision {
    let mut decision = Decision { answer: Answer::NO, refusal: Some(Refusal::Held), counted: None };
    let interval = match offer {
        Offer::Managed(managed) => managed.interval,
        Offer::Held => USUAL_INTERVAL,
    };
    confirm(interval, reported, ledger, now);
    match offer {
        Offer::Managed(managed) => {
            let may_know =
                managed.target.as_ref().is_some_and(|target| may_upgrade_to(target, ledger.device));
            let upgrade = upgrade(managed, reported, ledger, now);
            decision.answer.upgrade = upgrade.is_ok();
            decision.refusal = upgrade.as_ref().err().copied();
            decision.counted = upgrade.ok().flatten();
            let told = match (decision.answer.upgrade, may_know) {
                (false, _) => Told::Nothing,
                (true, false) => Told::Upgrade,
                (true, true) => Told::UpgradeAgain,
            };
            decision.answer.settings = settings(managed, reported, told, ledger, now);
        }
        Offer::Held => doubt(&mut ledger.device.settings),
    }
    seen(ledger.device, Some(reported), decision.refusal, now, ledger.events);
    decision
}

/// Why a device would not be offered its target now, if it would not. `recent` is how many offers the
/// target's channel made in the last hour.
pub fn refusal(
    offer: &Offer,
    reported: Version,
    device: &DeviceRecord,
    rollout: &RolloutRecord,
    recent: u32,
    now: i64,
) -> Option<Refusal> {
    let (mut device, mut rollout, mut scratch) =
        (device.clone(), Arc::new(rollout.clone()), Scratch::default());
    let mut ledger = Ledger { recent, ..scratch.ledger(&mut device, &mut rollout) };
    decide(offer, reported, &mut ledger, now).refusal
}

/// An attempt that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// What the device reported last.
    pub from: Version,
    /// What it is to run.
    pub target: Version,
    /// Which attempt it is.
    pub number: u32,
}

/// Why no attempt is made for a device that did not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// A check of it would be refused, too.
    Refused(Refusal),
    /// Nobody knows what it runs.
    NeverReported,
    /// It may be busy with an attempt of so many seconds ago.
    UnderWay(i64),
}

impl std::fmt::Display for Skipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Skipped::Refused(refusal) => refusal.fmt(f),
            Skipped::NeverReported => f.write_str("never reported a version"),
            Skipped::UnderWay(seconds) => write!(f, "an attempt began {seconds} s ago and may be under way"),
        }
    }
}

/// Decides whether a device that did not ask is to upgrade: under the same rules as if it had asked now and
/// reported what it reported last, and only if it cannot be busy with an upgrade. Neither settings are sent
/// nor confirmed. Returns the channel, too, for which the offer is to be counted.
///
/// # Errors
/// Why not; the records are of no use then.
pub fn trigger(
    offer: &Offer,
    ledger: &mut Ledger<'_>,
    now: i64,
) -> Result<(Attempt, Option<String>), Skipped> {
    let Offer::Managed(managed) = offer else { return Err(Skipped::Refused(Refusal::Held)) };
    let target = managed.target.as_ref().ok_or(Skipped::Refused(Refusal::NoTarget))?;
    let from = ledger.device.reported.ok_or(Skipped::NeverReported)?;
    let busy = ledger.device.latest_offer().filter(|offer| offer.deadline.is_some() && !offer.answered);
    let since = busy.map(|offer| now - offer.at).filter(|since| (0..BUSY_SECONDS).contains(since));
    let counted = upgrade(managed, from, ledger, now).map_err(Skipped::Refused)?;
    if let Some(seconds) = since {
        return Err(Skipped::UnderWay(seconds));
    }
    for event in ledger.events.iter_mut().filter(|event| event.kind == EventKind::Offered) {
        event.detail += ", triggered";
    }
    let number = ledger.device.offer(&target.rollout).map_or(0, |offer| offer.attempts);
    Ok((Attempt { from, target: target.version, number }, counted))
}

/// Writes down that a device was heard of, what it reports and why it is not offered an upgrade.
pub fn seen(
    device: &mut DeviceRecord,
    reported: Option<Version>,
    refusal: Option<Refusal>,
    now: i64,
    events: &mut Vec<Event>,
) {
    if let (Some(before), Some(reported)) = (device.reported, reported)
        && before != reported
    {
        events.push(event(device, now, EventKind::VersionChanged, None, format!("{before} → {reported}")));
    }
    let changed = device.refusal != refusal || (reported.is_some() && device.reported != reported);
    if changed || (now - device.last_seen).abs() >= DeviceRecord::TOUCH_SECONDS {
        device.last_seen = now;
    }
    device.reported = reported.or(device.reported);
    device.refusal = refusal;
}

/// Makes the offer in the records, or says why not. Returns the channel for which it is to be counted.
fn upgrade(
    managed: &Managed,
    reported: Version,
    ledger: &mut Ledger<'_>,
    now: i64,
) -> Result<Option<String>, Refusal> {
    let target = managed.target.as_ref().ok_or(Refusal::NoTarget)?;
    suits(target, reported)?;
    if managed.rules.is_withdrawn && holds(Rule::NothingWithdrawn) {
        return Err(Refusal::Withdrawn);
    }
    let is_closed = |(_, wave): (&str, &_)| !waves::has_opened(&ledger.rollout, wave, now);
    let is_early = target.from.is_some_and(|from| now < from) && holds(Rule::WavesByTime);
    if is_early || managed.wave().is_some_and(is_closed) {
        return Err(Refusal::WaitingForWave);
    }
    if target.window.as_ref().is_some_and(|window| !is_open(window, now)) && holds(Rule::Windows) {
        return Err(Refusal::OutsideWindow);
    }
    let made = ledger.device.offer(&target.rollout);
    let has_place = made.is_some_and(|offer| offer.place && offer.epoch == ledger.rollout.epoch);
    // Without a place it would count for nothing: a clock that was set back makes an attempt young again
    // whose place is free by now, and a `resume` counts places anew.
    let lost = answer_was_lost(target, reported, ledger.device, now)
        && (has_place || !holds(Rule::PlaceOfALostAnswer));
    let used = made.map_or(0, |offer| attempts_of(offer, &ledger.rollout));
    if !lost && used >= target.attempts && holds(Rule::Attempts) {
        return Err(Refusal::AttemptsUsed);
    }
    if ledger.rollout.brake != Some(target.brake) {
        ledger.rollout.brake = Some(target.brake);
    }
    ledger.artifact_faults = managed.rules.artifact_faults;
    outcome::pull_brakes(ledger, now);
    if ledger.rollout.halted.is_some() && holds(Rule::HaltedIsHalted) {
        return Err(Refusal::Halted);
    }
    let places = managed.rules.unproven.places(ledger.rollout.proven.into());
    let are_taken = places.is_some_and(|places| u64::from(ledger.rollout.places) >= places);
    if !has_place && are_taken && holds(Rule::Places) {
        return Err(Refusal::Proving);
    }
    if !lost && target.rate.is_some_and(|rate| ledger.recent >= rate) && holds(Rule::Rates) {
        return Err(Refusal::RateLimited);
    }
    if !managed.rules.is_published {
        return Err(Refusal::NotPublished);
    }
    if lost {
        return Ok(None);
    }
    attempt(managed, target, reported, ledger, now);
    Ok(target.rate.and(target.channel.clone()))
}

/// Whether a target is one for a device that reports this, whatever the time and the records say.
///
/// # Errors
/// Why not.
pub fn suits(target: &Target, reported: Version) -> Result<(), Refusal> {
    match reported.cmp(&target.version) {
        Ordering::Equal if holds(Rule::NothingForTheCurrent) => Err(Refusal::Current),
        Ordering::Greater if target.no_downgrade && holds(Rule::NoDowngrade) => Err(Refusal::DowngradeDenied),
        _ => Ok(()),
    }
}

/// The attempts that count: those before a rollout began anew do not.
fn attempts_of(offer: &OfferRecord, rollout: &RolloutRecord) -> u32 {
    if offer.epoch < rollout.attempts_since { 0 } else { offer.attempts }
}

/// Whether the last attempt's answer cannot have reached the device: it asks again at once, nothing about
/// it has changed, and its modem has not reported a result.
///
/// Counted from the attempt's first answer, so that a device that asks twice a minute for ever still uses
/// its attempts up.
fn answer_was_lost(target: &Target, reported: Version, device: &DeviceRecord, now: i64) -> bool {
    device.latest_offer().is_some_and(|offer| {
        *offer.rollout == *target.rollout
            && offer.target == target.version
            && offer.from == reported
            && offer.attempts > 0
            && !offer.answered
            && offer.deadline.is_some()
            && (0..LOST_SECONDS).contains(&(now - offer.at))
    })
}

/// Whether an upgrade to the target may be under way, or be done and not reported yet.
fn may_upgrade_to(target: &Target, device: &DeviceRecord) -> bool {
    device.latest_offer().is_some_and(|offer| {
        let is_installed = offer.answered && offer.code == Some(code::INSTALLED);
        offer.target == target.version && (offer.deadline.is_some() || is_installed)
    })
}

/// Begins an attempt.
fn attempt(managed: &Managed, target: &Target, reported: Version, ledger: &mut Ledger<'_>, now: i64) {
    let Ledger { device, rollout, events, .. } = ledger;
    let id: Arc<str> = (*target.rollout).into();
    if device.latest.as_ref() != Some(&id) {
        // An attempt of another rollout that is under way will not end any more.
        if let Some(latest) = device.latest.clone().and_then(|id| device.offer_mut(&id)) {
            latest.deadline = None;
        }
        device.latest = Some(id.clone());
    }
    let until = rollout.clock.time(now).saturating_add(managed.patience());
    let before = device.offer(&target.rollout);
    let attempts = before.map_or(0, |offer| attempts_of(offer, rollout));
    // What was counted in an earlier epoch is not counted in this one.
    let counted = before.filter(|offer| offer.epoch == rollout.epoch && offer.was_offered());
    let open = counted.and_then(|offer| offer.deadline);
    let record = OfferRecord {
        rollout: id,
        target: target.version,
        attempts: attempts + 1,
        at: now,
        from: reported,
        // Further attempts must not put the failure of one that is under way off.
        deadline: Some(open.unwrap_or(until).min(until)),
        until,
        answered: false,
        code: None,
        verdict: counted.and_then(|offer| offer.verdict),
        artifact_fault: counted.is_some_and(|offer| offer.artifact_fault),
        epoch: rollout.epoch,
        place: true,
        proven: before.and_then(|offer| offer.proven),
        since: None,
        blamed: before.and_then(|offer| offer.blamed),
        missing: None,
        wave: managed.wave().map(|(_, wave)| wave.wave),
        outside: None,
    };
    rollout.offered += u32::from(counted.is_none());
    rollout.places += u32::from(holds(Rule::PlacesAreCounted) && !counted.is_some_and(|offer| offer.place));
    let detail = format!("{reported} → {}, attempt {}", target.version, record.attempts);
    match device.offer_mut(&target.rollout) {
        Some(offer) => *offer = record,
        None => device.offers.push(record),
    }
    events.push(event(device, now, EventKind::Offered, Some(&target.rollout), detail));
}

/// Takes a check as proof that the settings arrived, if the answer that carried them cannot have been lost.
///
/// A device without an answer asks every second, and one without coverage whenever it has some, so only a
/// check about a versionInterval after the last sending proves that. A device that starts often never asks so
/// late: the third check in a row that comes after a pause proves it, too. So does a report of the target of
/// that very answer, unless an earlier one without these settings may have led to it.
///
/// Of an upgrade answer only that report proves anything to firmware that takes any 1 for an upgrade: if its
/// commit was in doubt, it went out as a "no", without the settings that hold a 1.
fn confirm(interval: u32, reported: Version, ledger: &mut Ledger<'_>, now: i64) {
    let device = &mut *ledger.device;
    let Some(sent) = &mut device.settings.sent else { return };
    let pause = now - sent.checked;
    sent.checks = if pause >= PAUSE_SECONDS { sent.checks + 1 } else { 0 };
    sent.checked = now;
    let may_lack_ones = sent.target.is_some() && !device.reported.is_some_and(reads_json);
    let is_confirmed = (!may_lack_ones
        && ((now - sent.at) * 10 >= i64::from(interval) * 9 || sent.checks >= CHECKS))
        || sent.target == Some(reported)
        || !holds(Rule::ConfirmedAfterAnInterval);
    let is_confirmed = is_confirmed && holds(Rule::ConfirmedAtAll);
    if let Some(sent) = device.settings.sent.take_if(|_| is_confirmed) {
        let detail = sent.portion.to_string();
        device.settings.confirmed = Some(sent.portion);
        ledger.events.push(event(device, now, EventKind::SettingsConfirmed, None, detail));
    }
}

/// An answer goes out without the settings that were sent last and are not confirmed: later checks prove that
/// this answer arrived, not the one with the settings. Nor is it known any more that the device has the
/// settings of another generation, which they replaced if they arrived.
pub(super) fn doubt(record: &mut SettingsRecord) {
    if !holds(Rule::DoubtAfterAnotherAnswer) {
        return;
    }
    if let Some(Sent { portion, .. }) = record.sent.take() {
        record.confirmed.take_if(|confirmed| confirmed.generation != portion.generation);
    }
}

/// The settings that go with the answer.
fn settings(
    managed: &Managed,
    reported: Version,
    told: Told,
    ledger: &mut Ledger<'_>,
    now: i64,
) -> Vec<Setting> {
    let ones = told != Told::Nothing || reads_json(reported) || !holds(Rule::NoOnesForOldFirmware);
    let record = &mut ledger.device.settings;
    let generation = managed.generation.as_deref();
    if record.sent.as_ref().is_some_and(|sent| Some(&*sent.portion.generation) != generation) {
        doubt(record);
    }
    let confirmed = record.confirmed.as_ref().filter(|c| Some(&*c.generation) == generation);
    let (all_there, plain_there) = (confirmed.is_some_and(|c| c.is_complete), confirmed.is_some());
    let due = |has_one: bool| if has_one { ones && !all_there } else { !plain_there };
    let once = managed.settings.iter().filter(|push| !push.always);
    if once.clone().any(|push| due(push.has_one))
        && let Some(generation) = generation
    {
        let of_upgrade = managed.target.as_ref().map(|target| target.version);
        let target = match told {
            Told::Nothing => None,
            Told::Upgrade => of_upgrade,
            Told::UpgradeAgain => {
                record.sent.as_ref().and_then(|sent| sent.target).filter(|_| of_upgrade.is_some())
            }
        };
        // Without that proof, only what goes out with a "no", too, will be confirmed.
        let is_provable = told == Told::Nothing || target.is_some() || reads_json(reported);
        let is_complete = (ones && is_provable) || !once.clone().any(|push| push.has_one);
        let portion = Portion { generation: generation.into(), is_complete };
        let before = record.sent.take().filter(|sent| sent.portion == portion);
        let detail = portion.to_string();
        let checks = before.as_ref().map_or(0, |sent| sent.checks);
        record.sent = Some(Sent { portion, at: now, target, checks, checked: now });
        if before.is_none() {
            ledger.events.push(event(ledger.device, now, EventKind::SettingsSent, None, detail));
        }
    } else {
        doubt(record);
    }
    managed
        .settings
        .iter()
        .filter(|push| if push.always { ones || !push.has_one } else { due(push.has_one) })
        .map(|push| push.setting.clone())
        .collect()
}

fn event(device: &DeviceRecord, at: i64, kind: EventKind, rollout: Option<&str>, detail: String) -> Event {
    Event { at, kind, imei: Some(device.imei), rollout: rollout.map(Arc::from), code: None, detail }
}

#[cfg(test)]
mod tests;
