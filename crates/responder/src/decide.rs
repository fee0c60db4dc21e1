//! The answer to a version check: a pure function of the offer, the records and the time.
//!
//! And the same rules for a device that did not ask, [`trigger`].
//!
//! Precedence of the refusals: the order of [`Refusal`]. Those that need the rollout's record come last, so
//! that most checks are decided without it: [`decide`] with a blank record gives the same answer unless
//! that is an upgrade.

use super::offer::{LOST_SECONDS, Managed, Offer, is_open, reads_json};
use super::outcome;
use super::record::{DeviceRecord, Event, EventKind, OfferRecord, Portion, Refusal, RolloutRecord};
use otapress_core::version::Version;
use otapress_core::wire::{Answer, Setting, Target};

/// How long a modem works on an upgrade at most: then the firmware reboots it.
const BUSY_SECONDS: i64 = 600;

/// What is answered, and what is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the device is sent.
    pub answer: Answer,
    /// Why it is no upgrade.
    pub refusal: Option<Refusal>,
    /// The device's record from now on.
    pub device: DeviceRecord,
    /// The rollout's record from now on.
    pub rollout: RolloutRecord,
    /// The channel for which an offer is to be counted.
    pub counted: Option<String>,
    /// What happened.
    pub events: Vec<Event>,
}

/// Decides a check of a device that reports a version.
///
/// `device` is as [`outcome::settle`] left it, `rollout` is the target's, or any if there is no target.
/// `recent` is how many offers the target's channel made in the last hour.
pub fn decide(
    offer: &Offer,
    reported: Version,
    device: &DeviceRecord,
    rollout: &RolloutRecord,
    recent: u32,
    now: i64,
) -> Decision {
    let mut decision = Decision {
        answer: Answer::NO,
        refusal: Some(Refusal::Held),
        device: device.clone(),
        rollout: rollout.clone(),
        counted: None,
        events: Vec::new(),
    };
    confirm(&mut decision, now);
    if let Offer::Managed(managed) = offer {
        decision.refusal = upgrade(managed, reported, &mut decision, recent, now).err();
        decision.answer.upgrade = decision.refusal.is_none();
        decision.answer.settings = settings(managed, reported, &mut decision, now);
    }
    seen(&mut decision.device, Some(reported), decision.refusal, now, &mut decision.events);
    decision
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

/// Decides whether a device that did not ask is to upgrade: under the same rules as if it had asked now and reported
/// what it reported last, and only if it cannot be busy with an upgrade. Neither settings are sent nor confirmed.
///
/// # Errors
/// Why not.
pub fn trigger(
    offer: &Offer,
    device: &DeviceRecord,
    rollout: &RolloutRecord,
    recent: u32,
    now: i64,
) -> Result<(Attempt, Decision), Skipped> {
    let Offer::Managed(managed) = offer else { return Err(Skipped::Refused(Refusal::Held)) };
    let target = managed.target.as_ref().ok_or(Skipped::Refused(Refusal::NoTarget))?;
    let from = device.reported.ok_or(Skipped::NeverReported)?;
    let mut decision = Decision {
        answer: Answer::NO,
        refusal: None,
        device: device.clone(),
        rollout: rollout.clone(),
        counted: None,
        events: Vec::new(),
    };
    upgrade(managed, from, &mut decision, recent, now).map_err(Skipped::Refused)?;
    let busy = device.latest_offer().filter(|offer| offer.deadline.is_some() && !offer.answered);
    if let Some(offer) = busy.filter(|offer| (0..BUSY_SECONDS).contains(&(now - offer.at))) {
        return Err(Skipped::UnderWay(now - offer.at));
    }
    for event in decision.events.iter_mut().filter(|event| event.kind == EventKind::Offered) {
        event.detail += ", triggered";
    }
    let number = decision.device.offer(&target.rollout).map_or(0, |offer| offer.attempts);
    Ok((Attempt { from, target: target.version, number }, decision))
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

/// Makes the offer in the decision's records, or says why not.
fn upgrade(
    managed: &Managed,
    reported: Version,
    decision: &mut Decision,
    recent: u32,
    now: i64,
) -> Result<(), Refusal> {
    let target = managed.target.as_ref().ok_or(Refusal::NoTarget)?;
    if reported == target.version {
        return Err(Refusal::Current);
    }
    if target.no_downgrade && reported > target.version {
        return Err(Refusal::DowngradeDenied);
    }
    if target.from.is_some_and(|from| now < from) {
        return Err(Refusal::WaitingForWave);
    }
    if target.window.as_ref().is_some_and(|window| !is_open(window, now)) {
        return Err(Refusal::OutsideWindow);
    }
    let lost = answer_was_lost(target, reported, &decision.device, now);
    let used = decision.device.offer(&target.rollout).map_or(0, |offer| offer.attempts);
    if !lost && used >= target.attempts {
        return Err(Refusal::AttemptsUsed);
    }
    decision.rollout.brake = Some(target.brake);
    outcome::pull_brake(&mut decision.rollout, now, &mut decision.events);
    if decision.rollout.halted.is_some() {
        return Err(Refusal::Halted);
    }
    if lost {
        return Ok(());
    }
    if target.rate.is_some_and(|rate| recent >= rate) {
        return Err(Refusal::RateLimited);
    }
    attempt(target, managed.patience(), reported, decision, now);
    Ok(())
}

/// Whether the last attempt's answer cannot have reached the device: it asks again at once, nothing about
/// it has changed, and its modem has not reported a result.
///
/// Counted from the attempt's first answer, so that a device that asks twice a minute for ever still uses
/// its attempts up.
fn answer_was_lost(target: &Target, reported: Version, device: &DeviceRecord, now: i64) -> bool {
    device.latest_offer().is_some_and(|offer| {
        offer.rollout == target.rollout
            && offer.target == target.version
            && offer.from == reported
            && offer.attempts > 0
            && !offer.answered
            && offer.deadline.is_some()
            && (0..LOST_SECONDS).contains(&(now - offer.at))
    })
}

/// Begins an attempt.
fn attempt(target: &Target, patience: i64, reported: Version, decision: &mut Decision, now: i64) {
    let Decision { device, rollout, .. } = decision;
    if device.latest.as_ref() != Some(&target.rollout) {
        // An attempt of another rollout that is under way will not end any more.
        if let Some(latest) = device.latest.clone().and_then(|id| device.offer_mut(&id)) {
            latest.deadline = None;
        }
        device.latest = Some(target.rollout.clone());
    }
    let until = now.saturating_add(patience);
    let blank = OfferRecord {
        rollout: target.rollout.clone(),
        target: target.version,
        attempts: 0,
        at: now,
        from: reported,
        deadline: None,
        until,
        answered: false,
        code: None,
        verdict: None,
        artifact_fault: false,
        epoch: rollout.epoch,
    };
    let before = device.offer(&target.rollout);
    // What was counted in an earlier epoch is not counted in this one.
    let (attempts, before) = match before {
        Some(offer) if offer.epoch == rollout.epoch => (offer.attempts, Some(offer)),
        other => (other.map_or(0, |offer| offer.attempts), None),
    };
    let record = OfferRecord {
        attempts: attempts + 1,
        // An attempt that is under way keeps its deadline: further ones must not put the failure off.
        deadline: Some(before.and_then(|offer| offer.deadline).unwrap_or(until)),
        verdict: before.and_then(|offer| offer.verdict),
        artifact_fault: before.is_some_and(|offer| offer.artifact_fault),
        ..blank
    };
    if before.is_none() {
        rollout.offered += 1;
    }
    let detail = format!("{reported} → {}, attempt {}", target.version, record.attempts);
    match device.offer_mut(&target.rollout) {
        Some(offer) => *offer = record,
        None => device.offers.push(record),
    }
    let offered = event(device, now, EventKind::Offered, Some(&target.rollout), detail);
    decision.events.push(offered);
    decision.counted = target.rate.and(target.channel.clone());
}

/// Takes a check long enough after settings were sent as proof that they arrived.
fn confirm(decision: &mut Decision, now: i64) {
    let Some((portion, at)) = decision.device.settings.sent.take() else { return };
    if now - at < LOST_SECONDS {
        decision.device.settings.sent = Some((portion, at));
        return;
    }
    let detail = portion.to_string();
    decision.device.settings.confirmed = Some(portion);
    let confirmed = event(&decision.device, now, EventKind::SettingsConfirmed, None, detail);
    decision.events.push(confirmed);
}

/// The settings that go with the answer.
///
/// Sent again within a minute, they count as sent again: a device that never gets an answer asks every
/// second, and must not be taken to have them a minute later.
fn settings(managed: &Managed, reported: Version, decision: &mut Decision, now: i64) -> Vec<Setting> {
    let ones = decision.answer.upgrade || reads_json(reported);
    let record = &mut decision.device.settings;
    let confirmed = record.confirmed.as_ref().filter(|c| Some(&c.generation) == managed.generation.as_ref());
    let (all_there, plain_there) = (confirmed.is_some_and(|c| c.whole), confirmed.is_some());
    let due = |has_one: bool| if has_one { ones && !all_there } else { !plain_there };
    let once = managed.settings.iter().filter(|push| !push.always);
    if once.clone().any(|push| due(push.has_one))
        && let Some(generation) = managed.generation.clone()
    {
        let whole = ones || !once.clone().any(|push| push.has_one);
        let portion = Portion { generation, whole };
        let news = record.sent.as_ref().is_none_or(|(sent, _)| *sent != portion);
        let detail = portion.to_string();
        record.sent = Some((portion, now));
        if news {
            let sent = event(&decision.device, now, EventKind::SettingsSent, None, detail);
            decision.events.push(sent);
        }
    }
    managed
        .settings
        .iter()
        .filter(|push| if push.always { ones || !push.has_one } else { due(push.has_one) })
        .map(|push| push.setting.clone())
        .collect()
}

fn event(device: &DeviceRecord, at: i64, kind: EventKind, rollout: Option<&str>, detail: String) -> Event {
    Event { at, kind, imei: Some(device.imei), rollout: rollout.map(str::to_owned), code: None, detail }
}

#[cfg(test)]
mod tests;
