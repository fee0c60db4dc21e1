//! What a question changes: reads the records that matter, asks [`super::decide`] and [`super::outcome`],
//! and collects what is to be written. Writes nothing itself.

use std::collections::BTreeMap;

use super::decide::{self, Attempt, Skipped, decide};
use super::offer::Offer;
use super::outcome::{self, Ending, Heard};
use super::record::{DeviceRecord, Event, EventKind, Refusal, RolloutRecord, UnknownRecord};
use super::service::{Kind, NoOffer, Notice, Question, Start};
use crate::store::{Durability, StoreError, Tx};
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_core::wire::Answer;

/// How many silent devices of a rollout are judged before an offer; the next offer judges more.
const OVERDUE_LIMIT: u32 = 1000;

/// How far a device's clock may be ahead of ours. One that is further ahead says nothing about when it started.
const AHEAD_SECONDS: i64 = 300;

/// The answer and what comes with it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What a version check is sent.
    pub answer: Answer,
    /// What the operator should know of it.
    pub log: Option<String>,
    /// What is to be written.
    pub changes: Changes,
}

/// Records to be written.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    devices: Vec<DeviceRecord>,
    rollouts: Vec<RolloutRecord>,
    unknown: Option<UnknownRecord>,
    counted: Option<(String, i64)>,
    events: Vec<Event>,
    is_result: bool,
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.devices.is_empty()
            && self.rollouts.is_empty()
            && self.unknown.is_none()
            && self.events.is_empty()
    }

    /// What they must survive: an attempt or a result that a loss of power takes back would be a promise
    /// broken; that a device was seen may be forgotten.
    pub fn durability(&self) -> Durability {
        let matters = |event: &Event| !matches!(event.kind, EventKind::FirstSeen | EventKind::VersionChanged);
        if (self.is_result && !self.is_empty()) || self.events.iter().any(matters) {
            Durability::Power
        } else {
            Durability::Process
        }
    }

    /// Writes them.
    ///
    /// # Errors
    /// What the store says.
    pub fn apply(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.devices.iter().try_for_each(|device| tx.put_device(device))?;
        self.rollouts.iter().try_for_each(|rollout| tx.put_rollout(rollout))?;
        self.unknown.iter().try_for_each(|unknown| tx.put_unknown(unknown))?;
        self.counted.iter().try_for_each(|(channel, at)| tx.count_offer(channel, *at))?;
        self.events.iter().try_for_each(|event| tx.put_event(event))
    }
}

/// Plans the answer to a question.
///
/// # Errors
/// What the store says.
pub(super) fn plan(tx: &mut dyn Tx, question: &Question, now: i64) -> Result<Plan, StoreError> {
    match &question.kind {
        Kind::Check { imei, reported, offer } => check(tx, *imei, reported, offer, now),
        Kind::Notify(notice) => notify(tx, notice, now),
        Kind::Start { start, published } => started(tx, start, *published, now),
    }
}

/// Rollouts that were read, and as they are to be.
#[derive(Default)]
struct Rollouts(BTreeMap<String, (RolloutRecord, RolloutRecord)>);

impl Rollouts {
    fn get(&mut self, tx: &mut dyn Tx, id: &str) -> Result<&mut RolloutRecord, StoreError> {
        if !self.0.contains_key(id) {
            let read = tx.rollout(id)?;
            self.0.insert(id.to_owned(), (read.clone(), read));
        }
        Ok(&mut self.0.get_mut(id).expect("was inserted above").1)
    }

    fn changed(self) -> Vec<RolloutRecord> {
        self.0.into_values().filter(|(read, now)| read != now).map(|(_, now)| now).collect()
    }
}

fn check(
    tx: &mut dyn Tx,
    imei: Imei,
    reported: &Result<Version, String>,
    offer: &Result<Offer, NoOffer>,
    now: i64,
) -> Result<Plan, StoreError> {
    let target = match offer {
        Ok(Offer::Managed(managed)) => managed.target.as_ref(),
        _ => None,
    };
    let read = tx.device(imei, target.map(|target| target.rollout.as_str()))?;
    if read.is_none() && offer.is_err() {
        return unknown_device_checks(tx, imei, reported, offer, now);
    }
    let mut changes = Changes::default();
    let mut rollouts = Rollouts::default();
    let mut device = match &read {
        Some(device) => device.clone(),
        None => {
            changes.events.push(happened(EventKind::FirstSeen, imei, now, String::new()));
            DeviceRecord::new(imei, now)
        }
    };
    let version = reported.as_ref().ok().copied();
    if let Some(ending) = outcome::told(&device, version, now)
        && let Some(latest) = device.latest.clone()
    {
        let rollout = rollouts.get(tx, &latest)?;
        outcome::settle(&mut device, rollout, &ending, now, &mut changes.events);
    }
    let mut answer = Answer::NO;
    let refusal = match (offer, version) {
        (Err(NoOffer::Unknown), _) => Some(Refusal::UnknownDevice),
        (Err(NoOffer::Broken(_)), _) => Some(Refusal::NoAnswerFile),
        (Ok(_), None) => Some(Refusal::BadVersion),
        (Ok(offer), Some(version)) => {
            let blank = RolloutRecord::new("");
            let mut decision = decide(offer, version, &device, &blank, 0, now);
            if decision.answer.upgrade
                && let Some(target) = target
            {
                judge_silent(tx, &target.rollout, imei, &mut rollouts, &mut changes, now)?;
                let recent = match (&target.channel, target.rate) {
                    (Some(channel), Some(_)) => tx.offers_in_hour(channel, now)?,
                    _ => 0,
                };
                let rollout = rollouts.get(tx, &target.rollout)?;
                decision = decide(offer, version, &device, rollout, recent, now);
                *rollout = decision.rollout;
            }
            device = decision.device;
            changes.events.append(&mut decision.events);
            changes.counted = decision.counted.map(|channel| (channel, now));
            answer = decision.answer;
            decision.refusal
        }
    };
    if offer.is_err() || version.is_none() {
        decide::seen(&mut device, version, refusal, now, &mut changes.events);
    }
    if read.as_ref() != Some(&device) {
        changes.devices.push(device);
    }
    changes.rollouts = rollouts.changed();
    Ok(Plan { answer, log: complaint(refusal, reported, offer), changes })
}

/// A check of somebody who never was in the fleet.
fn unknown_device_checks(
    tx: &mut dyn Tx,
    imei: Imei,
    reported: &Result<Version, String>,
    offer: &Result<Offer, NoOffer>,
    now: i64,
) -> Result<Plan, StoreError> {
    let said = reported.as_ref().map_or_else(String::clone, Version::to_string);
    let mut changes = Changes::default();
    // What is not published is not unknown.
    let refusal = match offer {
        Err(NoOffer::Broken(_)) => Refusal::NoAnswerFile,
        _ => {
            changes.unknown = unknown_device(tx, &imei.to_string(), said, now)?;
            Refusal::UnknownDevice
        }
    };
    Ok(Plan { answer: Answer::NO, log: complaint(Some(refusal), reported, offer), changes })
}

/// The record of an unknown device, if it is to be written.
fn unknown_device(
    tx: &mut dyn Tx,
    name: &str,
    said: String,
    now: i64,
) -> Result<Option<UnknownRecord>, StoreError> {
    let read = tx.unknown(name)?;
    let first_seen = read.as_ref().map_or(now, |read| read.first_seen);
    let stale = read
        .is_none_or(|read| read.said != said || (now - read.last_seen).abs() >= DeviceRecord::TOUCH_SECONDS);
    Ok(stale.then(|| UnknownRecord { name: name.to_owned(), first_seen, last_seen: now, said }))
}

/// Judges the devices that did not come back from their upgrade, before one more is sent there. They
/// never ask again, so nobody else would.
fn judge_silent(
    tx: &mut dyn Tx,
    id: &str,
    asking: Imei,
    rollouts: &mut Rollouts,
    changes: &mut Changes,
    now: i64,
) -> Result<(), StoreError> {
    for imei in tx.overdue(id, now, OVERDUE_LIMIT)? {
        // The one that asks was judged by what it reports.
        if imei == asking {
            continue;
        }
        if let Some(mut device) = tx.device(imei, Some(id))? {
            let rollout = rollouts.get(tx, id)?;
            outcome::settle(&mut device, rollout, &Ending::Overdue, now, &mut changes.events);
            changes.devices.push(device);
        }
    }
    Ok(())
}

/// What the operator should know of a check; the refusals of daily life are in the records.
fn complaint(
    refusal: Option<Refusal>,
    reported: &Result<Version, String>,
    offer: &Result<Offer, NoOffer>,
) -> Option<String> {
    let refusal = refusal?;
    match (refusal, offer, reported) {
        (_, Err(NoOffer::Broken(why)), _) => Some(format!("{refusal}: {why}")),
        (_, Err(NoOffer::Unknown), _) => Some(refusal.to_string()),
        (Refusal::BadVersion, _, Err(said)) => Some(format!("{refusal}: `{said}`")),
        _ => None,
    }
}

fn notify(tx: &mut dyn Tx, notice: &Notice, now: i64) -> Result<Plan, StoreError> {
    let mut changes = Changes { is_result: true, ..Changes::default() };
    let sender = sender(tx, notice)?;
    let read = sender.map(|imei| tx.device(imei, None)).transpose()?.flatten();
    let first = sender.filter(|_| read.is_none() && notice.published);
    changes.events.extend(first.map(|imei| happened(EventKind::FirstSeen, imei, now, String::new())));
    let Some(read) = read.or(first.map(|imei| DeviceRecord::new(imei, now))) else {
        let name = match (notice.imei, &notice.client) {
            (Some(imei), _) => imei.to_string(),
            (None, Some(client)) => client.to_string(),
            (None, None) => "-".to_owned(),
        };
        changes.unknown = unknown_device(tx, &name, notice.posted.text.clone(), now)?;
        let log = Some(Refusal::UnknownDevice.to_string());
        return Ok(Plan { answer: Answer::NO, log, changes });
    };
    let mut device = read.clone();
    let mut log = None;
    if let Some(client) = notice.client.as_ref().filter(|client| device.client.as_ref() != Some(client)) {
        log = mismatch(tx, &device, client)?;
        if let Some(log) = &log {
            changes.events.push(happened(EventKind::IdentityMismatch, device.imei, now, log.clone()));
        }
        device.client = Some(client.clone());
    }
    let mut rollouts = Rollouts::default();
    let attempt = outcome::attempt_at(&device, now).map(|offer| offer.rollout.clone());
    let rollout = attempt.map(|id| rollouts.get(tx, &id)).transpose()?;
    let heard = outcome::hear(&mut device, rollout, &notice.posted, now, &mut changes.events);
    if heard == Heard::New || device != read {
        changes.devices.push(device);
    }
    changes.rollouts = rollouts.changed();
    Ok(Plan { answer: Answer::NO, log, changes })
}

/// A start message: a version check at the message's own time, to which there is no answer.
///
/// What is older than the device's record tells nothing new, be it that the broker has kept it or that it was under way
/// for long: a start before the attempt began is no proof that the attempt succeeded, and none that a version
/// reported since then is gone.
fn started(tx: &mut dyn Tx, start: &Start, published: bool, now: i64) -> Result<Plan, StoreError> {
    let nothing = |log| Plan { answer: Answer::NO, log, changes: Changes::default() };
    if start.at > now.saturating_add(AHEAD_SECONDS) {
        let ahead = start.at - now;
        return Ok(nothing(Some(format!("ignored: the device's clock is {ahead} seconds ahead"))));
    }
    let at = start.at.min(now);
    let mut changes = Changes::default();
    let mut device = match tx.device(start.imei, None)? {
        Some(device) => {
            let known =
                device.latest_offer().map_or(device.last_seen, |offer| offer.at.max(device.last_seen));
            if at <= known {
                return Ok(nothing(None));
            }
            device
        }
        None if published => {
            changes.events.push(happened(EventKind::FirstSeen, start.imei, at, String::new()));
            DeviceRecord::new(start.imei, at)
        }
        None => {
            let name = start.imei.to_string();
            if tx.unknown(&name)?.is_some_and(|known| at <= known.last_seen) {
                return Ok(nothing(None));
            }
            changes.unknown = unknown_device(tx, &name, start.version.to_string(), at)?;
            return Ok(Plan { changes, ..nothing(Some(Refusal::UnknownDevice.to_string())) });
        }
    };
    let client = &start.client;
    let odd = if device.client.as_ref() == Some(client) { None } else { mismatch(tx, &device, client)? };
    device.client = Some(client.clone());
    // Heard of, so that the copy that the broker keeps is not complained about again.
    if let Some(odd) = odd {
        device.last_seen = at;
        changes.events.push(happened(EventKind::IdentityMismatch, device.imei, at, odd.clone()));
        changes.devices.push(device);
        return Ok(Plan { changes, ..nothing(Some(format!("the version is not believed: {odd}"))) });
    }
    let mut rollouts = Rollouts::default();
    if let Some(ending) = outcome::told(&device, Some(start.version), at)
        && let Some(latest) = device.latest.clone()
    {
        let rollout = rollouts.get(tx, &latest)?;
        outcome::settle(&mut device, rollout, &ending, at, &mut changes.events);
    }
    let refusal = device.refusal;
    decide::seen(&mut device, Some(start.version), refusal, at, &mut changes.events);
    changes.devices.push(device);
    changes.rollouts = rollouts.changed();
    Ok(Plan { changes, ..nothing(None) })
}

/// An attempt that nobody asked for, or why there is none.
pub(super) fn trigger(
    tx: &mut dyn Tx,
    imei: Imei,
    offer: &Result<Offer, NoOffer>,
    now: i64,
) -> Result<Result<(Attempt, Changes), Skipped>, StoreError> {
    let offer = match offer {
        Ok(offer) => offer,
        Err(NoOffer::Unknown) => return Ok(Err(Skipped::Refused(Refusal::UnknownDevice))),
        Err(NoOffer::Broken(_)) => return Ok(Err(Skipped::Refused(Refusal::NoAnswerFile))),
    };
    let target = match offer {
        Offer::Managed(managed) => managed.target.as_ref(),
        Offer::Held => None,
    };
    let (id, channel) =
        target.map_or(("", None), |target| (target.rollout.as_str(), target.channel.as_deref()));
    let Some(mut device) = tx.device(imei, Some(id))? else { return Ok(Err(Skipped::NeverReported)) };
    let (mut changes, mut rollouts) = (Changes::default(), Rollouts::default());
    if let Some(ending) = outcome::told(&device, None, now)
        && let Some(latest) = device.latest.clone()
    {
        let rollout = rollouts.get(tx, &latest)?;
        outcome::settle(&mut device, rollout, &ending, now, &mut changes.events);
    }
    judge_silent(tx, id, imei, &mut rollouts, &mut changes, now)?;
    let recent = channel.map_or(Ok(0), |channel| tx.offers_in_hour(channel, now))?;
    let rollout = rollouts.get(tx, id)?;
    let (attempt, mut decision) = match decide::trigger(offer, &device, rollout, recent, now) {
        Ok(triggered) => triggered,
        Err(skipped) => return Ok(Err(skipped)),
    };
    *rollout = decision.rollout;
    changes.devices.push(decision.device);
    changes.events.append(&mut decision.events);
    changes.counted = decision.counted.map(|channel| (channel, now));
    changes.rollouts = rollouts.changed();
    Ok(Ok((attempt, changes)))
}

/// Whose result it is: the modem's word counts most, because a path is only what a setting says.
fn sender(tx: &mut dyn Tx, notice: &Notice) -> Result<Option<Imei>, StoreError> {
    if notice.imei.is_some() {
        return Ok(notice.imei);
    }
    let Some(client) = &notice.client else { return Ok(None) };
    match tx.devices_of_client(client)?[..] {
        [imei] => Ok(Some(imei)),
        _ => Ok(client.as_str().parse().ok()),
    }
}

/// What is wrong with a device's new clientID.
fn mismatch(tx: &mut dyn Tx, device: &DeviceRecord, client: &ClientId) -> Result<Option<String>, StoreError> {
    let imei = device.imei;
    if let Some(known) = &device.client {
        return Ok(Some(format!("the IMEI {imei} was `{known}`, now it is `{client}`")));
    }
    if client.as_str().parse::<Imei>().is_ok_and(|stated| stated != imei) {
        return Ok(Some(format!("the clientID is the IMEI `{client}`, the modem is {imei}")));
    }
    let others = tx.devices_of_client(client)?;
    let other = others.iter().find(|&&other| other != imei);
    Ok(other.map(|other| format!("the clientID `{client}` was the IMEI {other}, now it is {imei}")))
}

fn happened(kind: EventKind, imei: Imei, at: i64, detail: String) -> Event {
    Event { at, kind, imei: Some(imei), rollout: None, code: None, detail }
}
