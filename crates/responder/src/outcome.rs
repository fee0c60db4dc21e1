//! How attempts end, what they take and give back, and when a brake is pulled: pure.
//!
//! An attempt ends when the device reports the target (success), when a result carries a fault code, when a
//! device that said "installed" reports another version, or when nothing comes in time. A device stands in a
//! rollout as its last attempt ended; while a further attempt is under way, it stands as before, so that
//! devices which fail again and again count as failed all the time. Late success is success.
//!
//! An offer takes a *place*, which only a sign of life gives back: [`reported`] and a fault. Neither silence
//! nor a clock does, because silence is the sign of a device that is gone.
//!
//! `resume` begins a new epoch of the rollout with all counts at zero, and an attempt counts only in the
//! epoch in which it began: what pulled the brake, and what was under way then, cannot pull it again.

use std::ops::DerefMut;
use std::sync::Arc;

use super::code::{self, Fault};
use super::message::Posted;
use super::offer::LOST_SECONDS;
use super::record::{
    DeviceRecord, Event, EventKind, Halt, OfferRecord, ReleaseRecord, ResultRecord, RolloutRecord, Verdict,
};
use super::records::Ledger;
use super::waves;
use super::weakened::{Rule, holds};
use otapress_core::version::Version;
use otapress_core::wire::Brake;
use otapress_core::words::{count, form};

/// For how long the same result is the same post when it belongs to no attempt that is under way.
const REPOST_SECONDS: i64 = 600;

/// How long a release must be reported for its attempts to be given back.
const HELD_SECONDS: i64 = 24 * 3600;

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The target was reported.
    Reported,
    /// It was not reported in time.
    Overdue,
    /// The target was said to be installed, and then another version was reported.
    Returned(Version),
    /// A result with a fault code came.
    Fault(Posted, Fault),
}

/// Whether the attempt is overdue; never while it may be the silence of all that has lasted so long.
pub fn is_overdue(offer: &OfferRecord, rollout: &RolloutRecord, now: i64) -> bool {
    let time = rollout.clock.steady(now);
    offer.deadline.zip(time).is_some_and(|(deadline, time)| time >= deadline)
}

/// What a version that a device reports says of its offer in the ledger's rollout: how the attempt ended,
/// whether the device keeps its place, whether it has proven the release. Without a version only the time is
/// judged.
pub fn reported(ledger: &mut Ledger<'_>, version: Option<Version>, now: i64) {
    waves::counted(ledger, |ledger| take_report(ledger, version, now));
}

fn take_report(ledger: &mut Ledger<'_>, version: Option<Version>, now: i64) {
    let Ledger { device, rollout, .. } = ledger;
    let Some(offer) = device.offer_mut(&rollout.id) else { return };
    let Some(version) = version else {
        if is_overdue(offer, rollout, now) {
            end(ledger, &Ending::Overdue, now);
        }
        return;
    };
    if version == offer.target {
        let is_known = offer.verdict == Some(Verdict::Succeeded) && offer.deadline.is_none();
        if offer.was_offered() && !is_known {
            end(ledger, &Ending::Reported, now);
        }
        prove(ledger, now);
        return;
    }
    offer.since = None;
    let is_back = offer.verdict == Some(Verdict::Installed) && offer.code == Some(code::INSTALLED);
    if is_back || now - offer.at >= LOST_SECONDS || !holds(Rule::PlaceOfALostAnswer) {
        free(offer, rollout);
    } else if now < offer.at {
        // The clock was set back. The minute begins anew, so that the place is not kept until the clock is
        // there again.
        offer.at = now;
    }
    if is_back {
        end(ledger, &Ending::Returned(version), now);
    } else if is_overdue(offer, rollout, now) {
        end(ledger, &Ending::Overdue, now);
    }
}

/// Writes down that a device runs the release of the ledger's rollout, and gives it its attempts back once
/// that has held.
fn prove(ledger: &mut Ledger<'_>, now: i64) {
    let Ledger { device, rollout, .. } = ledger;
    let Some(offer) = device.offer_mut(&rollout.id) else { return };
    free(offer, rollout);
    if offer.proven.is_none_or(|epoch| epoch < rollout.proven_since) || !holds(Rule::ProvenOnce) {
        offer.proven = Some(rollout.epoch);
        rollout.proven += 1;
    }
    let time = rollout.clock.time(now);
    let since = *offer.since.get_or_insert(time);
    if offer.verdict == Some(Verdict::Succeeded)
        && (time - since >= HELD_SECONDS || !holds(Rule::AttemptsBackAfterADay))
    {
        offer.attempts = 0;
    }
}

/// Writes down whether a device runs the release of its target, which it may never have been offered.
pub fn runs(ledger: &mut Ledger<'_>, release: Version, reported: Version, now: i64) {
    waves::counted(ledger, |ledger| {
        if reported != release {
            ledger.device.offer_mut(&ledger.rollout.id).into_iter().for_each(|offer| offer.since = None);
            return;
        }
        if ledger.device.offer(&ledger.rollout.id).is_none() {
            let proof = OfferRecord::proof(&ledger.rollout, release, now);
            ledger.device.offers.push(proof);
        }
        prove(ledger, now);
    });
}

/// Gives the place back that an offer takes.
pub fn free(offer: &mut OfferRecord, rollout: &mut impl DerefMut<Target = RolloutRecord>) {
    if offer.place && offer.epoch == rollout.epoch {
        rollout.places = rollout.places.saturating_sub(1);
    }
    (offer.place, offer.missing) = (false, None);
}

/// Writes down that the answer file of a device which takes a place in the ledger's rollout is there or not.
/// Returns whether the place was given back.
pub(super) fn looked_for(ledger: &mut Ledger<'_>, is_missing: bool, now: i64) -> bool {
    let Ledger { device, rollout, events, .. } = ledger;
    let imei = device.imei;
    let Some(offer) = device.offer_mut(&rollout.id).filter(|offer| offer.place) else { return false };
    if !is_missing {
        offer.missing = None;
        return false;
    }
    if !rollout.clock.is_seen_again(&mut offer.missing, now) {
        return false;
    }
    free(offer, rollout);
    let detail = "it left the fleet: its answer file was missing at two looks an hour apart".to_owned();
    let event = rollout.event(EventKind::PlaceFreed, now, detail);
    events.push(Event { imei: Some(imei), ..event });
    true
}

/// Writes down how the device's attempt in the ledger's rollout ended, and pulls the brakes if that is due.
/// Does nothing if it was made no offer there.
pub fn settle(ledger: &mut Ledger<'_>, ending: &Ending, now: i64) {
    waves::counted(ledger, |ledger| end(ledger, ending, now));
}

fn end(ledger: &mut Ledger<'_>, ending: &Ending, now: i64) {
    let Ledger { device, rollout, releases, events, .. } = ledger;
    let mut release = releases.of(&rollout.id);
    let imei = device.imei;
    let is_blamed_before = device
        .offers
        .iter()
        .any(|offer| offer.blamed == Some(release.epoch) && offer.target.to_string() == *release.version);
    let Some(offer) = device.offer_mut(&rollout.id) else { return };
    offer.deadline = None;
    if !matches!(ending, Ending::Overdue) {
        free(offer, rollout);
    }
    let verdict = match ending {
        Ending::Reported => Verdict::Succeeded,
        Ending::Overdue | Ending::Returned(_) | Ending::Fault(..) => Verdict::Failed,
    };
    let (kind, code, detail) = match ending {
        Ending::Reported => (EventKind::Upgraded, None, format!("{} → {}", offer.from, offer.target)),
        Ending::Overdue => (EventKind::Failed, None, format!("{} was not reported in time", offer.target)),
        Ending::Returned(version) => {
            (EventKind::Failed, None, format!("{} was installed, then {version} was reported", offer.target))
        }
        Ending::Fault(posted, _) => (EventKind::Failed, posted.code, posted.text.clone()),
    };
    events.push(Event { at: now, kind, imei: Some(imei), rollout: Some(rollout.id.clone()), code, detail });
    let is_fault = matches!(ending, Ending::Fault(_, Fault::Artifact));
    let blamed = is_fault && !offer.artifact_fault;
    offer.artifact_fault |= blamed;
    let before = offer.verdict.replace(verdict);
    if offer.epoch != rollout.epoch && holds(Rule::EpochOfTheAttempt) {
        return;
    }
    recount(rollout, before, verdict);
    rollout.artifact_faults += u32::from(blamed);
    if is_fault && !(is_blamed_before && holds(Rule::BlamedOnce)) {
        offer.blamed = Some(release.epoch);
        release.faults += 1;
        release.judged = now;
    }
    pull_brakes(ledger, now);
}

fn recount(rollout: &mut RolloutRecord, before: Option<Verdict>, verdict: Verdict) {
    let mut count = |verdict, change: i32| {
        let counter = match verdict {
            Verdict::Installed => &mut rollout.installed,
            Verdict::Succeeded => &mut rollout.succeeded,
            Verdict::Failed => &mut rollout.failed,
        };
        *counter = counter.saturating_add_signed(change);
    };
    if before != Some(verdict) {
        before.into_iter().for_each(|before| count(before, -1));
        count(verdict, 1);
    }
}

/// Halts the release if its faults are too many, and the rollout if its release is halted or its own counts
/// are more than its brake allows.
pub fn pull_brakes(ledger: &mut Ledger<'_>, now: i64) {
    let Ledger { rollout, releases, events, artifact_faults, .. } = ledger;
    let mut release = releases.of(&rollout.id);
    let own = rollout.brake.map_or(0, |brake| brake.artifact_faults);
    let limit = [own, *artifact_faults].into_iter().filter(|&limit| limit > 0).min();
    let has_enough = limit.is_some_and(|limit| release.faults >= limit) && holds(Rule::BrakeOfFaults);
    if release.halted.is_none() && has_enough {
        let report = form(release.faults, "device reports", "devices report");
        let reason = format!("{} {report} a fault of the artifact", release.faults);
        release.halted = Some(Halt { at: now, reason });
    }
    if rollout.halted.is_some() {
        return;
    }
    let of_release = release.halted.as_ref().filter(|_| holds(Rule::BrakeInEveryChannel));
    let of_release = of_release.map(|halt| halt.reason.clone());
    let Some(reason) = of_release.or_else(|| rollout.brake.and_then(|brake| exceeded(brake, rollout))) else {
        return;
    };
    rollout.halted = Some(Halt { at: now, reason: reason.clone() });
    events.push(rollout.event(EventKind::Halted, now, reason));
}

/// Whether more have failed than the brake allows.
fn exceeded(brake: Brake, rollout: &RolloutRecord) -> Option<String> {
    let failed = u64::from(rollout.failed);
    let finished = failed + u64::from(rollout.succeeded) + u64::from(rollout.installed);
    let too_many = failed * 10_000 > u64::from(brake.failures_bp) * finished;
    (finished >= u64::from(brake.after) && too_many && holds(Rule::BrakeOfFailures))
        .then(|| format!("{failed} of {} that finished failed", count(finished, "device")))
}

/// The rollout to which a result that comes now is put down: that of the latest offer, while its last
/// attempt can still be under way. Later results come from upgrades that nobody here offered.
pub fn attempt_at<'a>(
    device: &'a DeviceRecord,
    rollout: &RolloutRecord,
    now: i64,
) -> Option<&'a OfferRecord> {
    device.latest_offer().filter(|offer| {
        let proven = offer.verdict == Some(Verdict::Succeeded) && offer.deadline.is_none();
        rollout.clock.time(now) <= offer.until && !proven
    })
}

/// Writes down a result of the attempt that [`attempt_at`] names, in the ledger's rollout. One that was
/// posted before changes nothing.
pub fn hear_of_attempt(ledger: &mut Ledger<'_>, posted: &Posted, now: i64) {
    waves::counted(ledger, |ledger| take_result(ledger, posted, now));
}

fn take_result(ledger: &mut Ledger<'_>, posted: &Posted, now: i64) {
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
    if fault != Fault::None {
        return end(ledger, &Ending::Fault(posted.clone(), fault), now);
    }
    ledger.events.push(heard(ledger.device, Some(id), posted, now));
    if posted.code == Some(code::INSTALLED) {
        installed(ledger, now);
    }
}

/// Counts a device as finished that says that the target is installed. It keeps its place.
fn installed(ledger: &mut Ledger<'_>, now: i64) {
    let Ledger { device, rollout, .. } = ledger;
    let Some(offer) = device.offer_mut(&rollout.id) else { return };
    let before = offer.verdict.replace(Verdict::Installed);
    if offer.epoch == rollout.epoch {
        recount(rollout, before, Verdict::Installed);
        pull_brakes(ledger, now);
    }
}

/// Writes down a result that belongs to no attempt of ours. One that was posted shortly before changes
/// nothing.
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
    result.code == posted.code && *result.text == *posted.text
}

fn keep_result(device: &mut DeviceRecord, rollout: Option<&str>, posted: &Posted, now: i64) {
    let rollout = rollout.map(Arc::from);
    device.last_seen = now;
    device.result = Some(ResultRecord { at: now, code: posted.code, text: (*posted.text).into(), rollout });
}

fn fault(posted: &Posted) -> Fault {
    posted.code.and_then(code::lookup).map_or(Fault::None, |known| known.fault)
}

fn heard(device: &DeviceRecord, rollout: Option<Arc<str>>, posted: &Posted, now: i64) -> Event {
    let kind = match (posted.code, fault(posted)) {
        (Some(code::INSTALLED), _) => EventKind::Installed,
        (_, Fault::None) => EventKind::Notified,
        (_, Fault::Device | Fault::Artifact) => EventKind::Failed,
    };
    Event { at: now, kind, imei: Some(device.imei), rollout, code: posted.code, detail: posted.text.clone() }
}

/// Gives a device new attempts in its offer of that rollout, and takes its place back. Returns whether there
/// was either.
pub fn retry(
    device: &mut DeviceRecord,
    mut rollout: &mut RolloutRecord,
    now: i64,
    events: &mut Vec<Event>,
) -> bool {
    let imei = device.imei;
    let Some(offer) = device.offer_mut(&rollout.id) else { return false };
    if offer.attempts == 0 && !offer.place {
        return false;
    }
    events.push(Event {
        at: now,
        kind: EventKind::Retried,
        imei: Some(imei),
        rollout: Some(offer.rollout.clone()),
        code: None,
        detail: format!("after {}", count(offer.attempts, "attempt")),
    });
    offer.attempts = 0;
    free(offer, &mut rollout);
    true
}

/// Releases a rollout's brake and forgets its places; what is proven is kept unless it was halted. Returns
/// whether it was halted or devices took places.
pub fn resume(rollout: &mut RolloutRecord, now: i64, events: &mut Vec<Event>) -> bool {
    let detail = match (&rollout.halted, rollout.places) {
        (Some(halt), _) => format!("was halted: {}", halt.reason),
        (None, 0) => return false,
        (None, 1) => "1 device was not heard of since it was sent it".to_owned(),
        (None, places) => format!("{places} devices were not heard of since they were sent it"),
    };
    forget(rollout);
    events.push(rollout.event(EventKind::Resumed, now, detail));
    true
}

/// Lets the faults of a release count no more. Returns whether there were any.
pub fn resume_release(release: &mut ReleaseRecord) -> bool {
    let had_any = release.faults > 0 || release.halted.is_some();
    if had_any {
        (release.epoch, release.faults, release.halted) = (release.epoch + 1, 0, None);
    }
    had_any
}

/// Begins a rollout anew that returns after others of its channel: attempts, places, counts and brake.
pub fn begin_anew(rollout: &mut RolloutRecord, now: i64, events: &mut Vec<Event>) {
    forget(rollout);
    rollout.attempts_since = rollout.epoch;
    let detail = "the release returns after others of its channel".to_owned();
    events.push(rollout.event(EventKind::BeganAnew, now, detail));
}

/// Begins a new epoch.
fn forget(rollout: &mut RolloutRecord) {
    let was_halted = rollout.halted.is_some();
    let epoch = rollout.epoch + 1;
    let (proven, proven_since) = if was_halted { (0, epoch) } else { (rollout.proven, rollout.proven_since) };
    let mut waves = std::mem::take(&mut rollout.waves);
    waves.forget(was_halted);
    *rollout = RolloutRecord {
        brake: rollout.brake,
        epoch,
        proven,
        proven_since,
        attempts_since: rollout.attempts_since,
        clock: rollout.clock,
        judged: rollout.judged,
        waves,
        ..RolloutRecord::new(std::mem::take(&mut rollout.id))
    };
}

#[cfg(test)]
mod tests;
