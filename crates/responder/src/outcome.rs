//! How attempts end, and when a rollout's brake is pulled: pure.
//!
//! An attempt ends when the device reports the target (success), when a result carries a fault code, or
//! when neither comes in time. A device stands in a rollout as its last attempt ended; while a further
//! attempt is under way, it stands as before, so that devices which fail again and again count as failed
//! all the time. Late success is success.
//!
//! `resume` begins a new epoch of the rollout with all counts at zero, and an attempt counts only in the
//! epoch in which it began: what pulled the brake, and what was under way then, cannot pull it again.

use super::code::{self, Fault};
use super::message::Posted;
use super::record::{
    DeviceRecord, Event, EventKind, Halt, OfferRecord, ResultRecord, RolloutRecord, Verdict,
};
use super::records::Ledger;
use otapress_core::version::Version;
use otapress_core::wire::Brake;

/// For how long the same result is the same post when it belongs to no attempt that is under way.
const REPOST_SECONDS: i64 = 600;

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target was reported.
    Reported,
    /// It was not reported in time.
    Overdue,
    /// A result with a fault code came.
    Fault(Posted, Fault),
}

/// What a check (or only the time) tells of the latest offer.
pub fn told(device: &DeviceRecord, reported: Option<Version>, now: i64) -> Option<Ending> {
    let offer = device.latest_offer()?;
    if reported == Some(offer.target) {
        let known = offer.verdict == Some(Verdict::Succeeded) && offer.deadline.is_none();
        return (!known).then_some(Ending::Reported);
    }
    offer.deadline.is_some_and(|deadline| now >= deadline).then_some(Ending::Overdue)
}

/// Writes down how the device's attempt in the ledger's rollout ended, and pulls the brake if that is due. Does
/// nothing if it was made no offer there.
pub fn settle(ledger: &mut Ledger<'_>, ending: &Ending, now: i64) {
    let Ledger { device, rollout, events, .. } = ledger;
    let imei = device.imei;
    let Some(offer) = device.offer_mut(&rollout.id) else { return };
    offer.deadline = None;
    let verdict = match ending {
        Ending::Reported => Verdict::Succeeded,
        Ending::Overdue | Ending::Fault(..) => Verdict::Failed,
    };
    let (kind, code, detail) = match ending {
        Ending::Reported => (EventKind::Upgraded, None, format!("{} → {}", offer.from, offer.target)),
        Ending::Overdue => (EventKind::Failed, None, format!("{} was not reported in time", offer.target)),
        Ending::Fault(posted, _) => (EventKind::Failed, posted.code, posted.text.clone()),
    };
    events.push(Event { at: now, kind, imei: Some(imei), rollout: Some(rollout.id.clone()), code, detail });
    let before = offer.verdict.replace(verdict);
    let blamed = matches!(ending, Ending::Fault(_, Fault::Artifact)) && !offer.artifact_fault;
    offer.artifact_fault |= blamed;
    if offer.epoch != rollout.epoch {
        return;
    }
    if before != Some(verdict) {
        let count = |rollout: &mut RolloutRecord, verdict, change: i32| {
            let counter = match verdict {
                Verdict::Succeeded => &mut rollout.succeeded,
                Verdict::Failed => &mut rollout.failed,
            };
            *counter = counter.saturating_add_signed(change);
        };
        if let Some(before) = before {
            count(rollout, before, -1);
        }
        count(rollout, verdict, 1);
    }
    rollout.artifact_faults += u32::from(blamed);
    pull_brake(rollout, now, events);
}

/// Halts a rollout whose counts its brake does not allow, unless it is halted.
pub fn pull_brake(rollout: &mut RolloutRecord, now: i64, events: &mut Vec<Event>) {
    let Some(reason) = rollout.brake.and_then(|brake| exceeded(brake, rollout)) else { return };
    if rollout.halted.is_some() {
        return;
    }
    rollout.halted = Some(Halt { at: now, reason: reason.clone() });
    events.push(Event {
        at: now,
        kind: EventKind::Halted,
        imei: None,
        rollout: Some(rollout.id.clone()),
        code: None,
        detail: reason,
    });
}

/// Which condition of the brake is met.
fn exceeded(brake: Brake, rollout: &RolloutRecord) -> Option<String> {
    if brake.artifact_faults > 0 && rollout.artifact_faults >= brake.artifact_faults {
        return Some(match rollout.artifact_faults {
            1 => "1 device reports a fault of the artifact".into(),
            n => format!("{n} devices report a fault of the artifact"),
        });
    }
    let failed = u64::from(rollout.failed);
    let finished = failed + u64::from(rollout.succeeded);
    let too_many = failed * 10_000 > u64::from(brake.failures_bp) * finished;
    (finished >= u64::from(brake.after) && too_many)
        .then(|| format!("{failed} of {finished} devices that finished failed"))
}

/// The rollout to which a result that comes now is put down: that of the latest offer, while its last
/// attempt can still be under way. Later results come from upgrades that nobody here offered.
pub fn attempt_at(device: &DeviceRecord, now: i64) -> Option<&OfferRecord> {
    device.latest_offer().filter(|offer| {
        let proven = offer.verdict == Some(Verdict::Succeeded) && offer.deadline.is_none();
        now <= offer.until && !proven
    })
}

/// Writes down a result of the attempt that [`attempt_at`] names, in the ledger's rollout. One that was posted before
/// changes nothing.
pub fn hear_of_attempt(ledger: &mut Ledger<'_>, posted: &Posted, now: i64) {
    let id = ledger.rollout.id.clone();
    let is_answered = ledger.device.offer(&id).is_some_and(|offer| offer.answered);
    let is_again = is_answered
        && ledger
            .device
            .result
            .as_ref()
            .is_some_and(|result| is_same(result, posted) && result.rollout.as_ref() == Some(&id));
    if is_again {
        return;
    }
    keep_result(ledger.device, Some(&id), posted, now);
    if let Some(offer) = ledger.device.offer_mut(&id) {
        offer.answered = true;
        offer.code = posted.code;
    }
    let fault = fault(posted);
    if fault == Fault::None {
        ledger.events.push(heard(ledger.device, Some(id), posted, now));
    } else {
        settle(ledger, &Ending::Fault(posted.clone(), fault), now);
    }
}

/// Writes down a result that belongs to no attempt of ours. One that was posted shortly before changes nothing.
pub fn hear_of_no_attempt(device: &mut DeviceRecord, posted: &Posted, now: i64, events: &mut Vec<Event>) {
    let is_again = device
        .result
        .as_ref()
        .is_some_and(|result| is_same(result, posted) && (now - result.at).abs() < REPOST_SECONDS);
    if !is_again {
        keep_result(device, None, posted, now);
        events.push(heard(device, None, posted, now));
    }
}

fn is_same(result: &ResultRecord, posted: &Posted) -> bool {
    result.code == posted.code && result.text == posted.text
}

fn keep_result(device: &mut DeviceRecord, rollout: Option<&str>, posted: &Posted, now: i64) {
    let rollout = rollout.map(str::to_owned);
    device.last_seen = now;
    device.result = Some(ResultRecord { at: now, code: posted.code, text: posted.text.clone(), rollout });
}

fn fault(posted: &Posted) -> Fault {
    posted.code.and_then(code::lookup).map_or(Fault::None, |known| known.fault)
}

fn heard(device: &DeviceRecord, rollout: Option<String>, posted: &Posted, now: i64) -> Event {
    let kind = match (posted.code, fault(posted)) {
        (Some(code::INSTALLED), _) => EventKind::Installed,
        (_, Fault::None) => EventKind::Notified,
        (_, Fault::Device | Fault::Artifact) => EventKind::Failed,
    };
    Event { at: now, kind, imei: Some(device.imei), rollout, code: posted.code, detail: posted.text.clone() }
}

/// Gives a device new attempts in every rollout. Returns whether it had used any.
pub fn retry(device: &mut DeviceRecord, now: i64, events: &mut Vec<Event>) -> bool {
    let mut changed = false;
    for offer in device.offers.iter_mut().filter(|offer| offer.attempts > 0) {
        events.push(Event {
            at: now,
            kind: EventKind::Retried,
            imei: Some(device.imei),
            rollout: Some(offer.rollout.clone()),
            code: None,
            detail: format!("after {} attempts", offer.attempts),
        });
        offer.attempts = 0;
        changed = true;
    }
    changed
}

/// Releases a rollout's brake. Returns whether it was pulled.
pub fn resume(rollout: &mut RolloutRecord, now: i64, events: &mut Vec<Event>) -> bool {
    let Some(halt) = rollout.halted.take() else { return false };
    *rollout = RolloutRecord {
        brake: rollout.brake,
        epoch: rollout.epoch + 1,
        ..RolloutRecord::new(std::mem::take(&mut rollout.id))
    };
    events.push(Event {
        at: now,
        kind: EventKind::Resumed,
        imei: None,
        rollout: Some(rollout.id.clone()),
        code: None,
        detail: format!("was halted: {}", halt.reason),
    });
    true
}

#[cfg(test)]
mod tests;
