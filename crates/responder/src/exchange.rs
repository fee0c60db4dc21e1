//! What a question is answered and what it changes: a pure function of the [`Records`], the question and the
//! time.
//!
//! [`super::decide`] judges an offer and [`super::outcome`] judges an attempt; here is what leads to them.

use super::decide::{self, Attempt, Skipped, decide};
use super::offer::{Managed, Offer};
use super::outcome::{self, Ending};
use super::question::{Kind, NoOffer, Notice, Question, Start};
use super::record::{DeviceRecord, Event, EventKind, OfferRecord, Refusal, StrayPath, UnknownRecord};
use super::records::{Keys, Records};
use super::waves;
use super::weakened::{Rule, holds};
use otapress_core::id::{ClientId, Imei};
use otapress_core::version::Version;
use otapress_core::wire::{Answer, Target};
use otapress_core::words::count;

/// How far a device's clock may be ahead of ours. One that is further ahead says nothing about when it
/// started.
const AHEAD_SECONDS: i64 = 300;

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchanged {
    /// What a version check is sent.
    pub answer: Answer,
    /// Why a version check is not answered with an upgrade.
    pub refusal: Option<Refusal>,
    /// What the operator should know of it.
    pub log: Option<String>,
}

/// Answers a question and changes the records accordingly; a simulated device leaves them as they are.
///
/// The records hold what [`Question::add_keys`] names.
pub fn exchange(records: &mut Records, question: &Question, now: i64) -> Exchanged {
    if question.dry_run {
        let mut keys = Keys::default();
        question.add_keys(&mut keys);
        return recorded(&mut records.part(&keys), question, now);
    }
    let before = records.event_count();
    let mut exchanged = recorded(records, question, now);
    let moved = records.events_from(before).iter().filter(|event| event.kind == EventKind::TimeLeftOut);
    let moved =
        moved.map(|event| format!("{}: {}", event.rollout.as_deref().unwrap_or_default(), event.detail));
    let lines: Vec<_> = exchanged.log.take().into_iter().chain(moved).collect();
    exchanged.log = (!lines.is_empty()).then(|| lines.join("; "));
    records.bound_events(before, now);
    exchanged
}

fn recorded(records: &mut Records, question: &Question, now: i64) -> Exchanged {
    let exchanged = answered(records, question, now);
    if let Some((imei, at)) = question.former_path().filter(|(imei, _)| records.device(*imei).is_some()) {
        note(records, imei, at, now);
    }
    exchanged
}

fn answered(records: &mut Records, question: &Question, now: i64) -> Exchanged {
    match &question.kind {
        Kind::Check { imei, reported, offer } => check(records, *imei, reported, offer.as_deref(), now),
        Kind::Notify(notice) => notify(records, notice, now),
        Kind::Stray { imei, path, is_check } => {
            stray(records, *imei, StrayPath { path, is_check: *is_check, is_former: false }, now)
        }
        Kind::Start { start, published } => started(records, start, *published, now),
    }
}

impl Exchanged {
    fn nothing(log: Option<String>) -> Self {
        Exchanged { answer: Answer::NO, refusal: None, log }
    }
}

fn check(
    records: &mut Records,
    imei: Imei,
    reported: &Result<Version, String>,
    offer: Result<&Offer, &NoOffer>,
    now: i64,
) -> Exchanged {
    if records.device(imei).is_none() {
        if let Err(why) = offer {
            return unknown_device_checks(records, imei, reported, why, now);
        }
        records.push_event(happened(EventKind::FirstSeen, imei, now, String::new()));
    }
    let version = reported.as_ref().ok().copied();
    let managed = match offer {
        Ok(Offer::Managed(managed)) => Some(managed),
        _ => None,
    };
    hear(records, imei, managed, now);
    report(records, imei, version, now);
    let (answer, refusal) = match (offer, version) {
        (Ok(offer), Some(version)) => {
            let (rollout, channel) = rollout_of(offer.target());
            judge_silent(records, rollout, now);
            if let Some(target) = offer.target() {
                outcome::runs(&mut records.ledger(imei, rollout, None, now), target.version, version, now);
            }
            take_waves(records, imei, managed, now);
            let mut ledger = records.ledger(imei, rollout, channel, now);
            let decision = decide(offer, version, &mut ledger, now);
            if let Some(channel) = decision.counted {
                records.count_offer(&channel, now);
            }
            (decision.answer, decision.refusal)
        }
        (_, version) => {
            if matches!(offer, Err(NoOffer::Unknown)) {
                join_wave(records, imei, None, now);
            }
            let refusal = match offer {
                Err(NoOffer::Unknown) => Refusal::UnknownDevice,
                Err(NoOffer::Broken(_)) => Refusal::NoAnswerFile,
                Ok(_) => Refusal::BadVersion,
            };
            let (device, events) = records.device_mut(imei, now);
            decide::doubt(&mut device.settings);
            decide::seen(device, version, Some(refusal), now, events);
            (Answer::NO, Some(refusal))
        }
    };
    Exchanged { answer, refusal, log: complaint(refusal, reported, offer.err()) }
}

fn rollout_of(target: Option<&Target>) -> (&str, Option<&str>) {
    target.map_or(("", None), |target| (&*target.rollout, target.channel.as_deref()))
}

/// Lets the clocks of the rollouts go on that the device is in, and begins its target's rollout anew if that
/// returns after others of its channel.
fn hear(records: &mut Records, imei: Imei, managed: Option<&Managed>, now: i64) {
    let target = managed.and_then(|managed| managed.target.as_ref());
    let interval = managed.map(|managed| managed.interval);
    let of_target = target.map(|target| &*target.rollout);
    let latest = records.device(imei).and_then(|device| device.latest.as_deref());
    // Mostly they are the same.
    let other = latest.filter(|latest| Some(*latest) != of_target).map(str::to_owned);
    let mut rollouts = [other.as_deref(), of_target];
    rollouts.sort_unstable();
    for rollout in rollouts.into_iter().flatten() {
        let (mut rollout, events) = records.rollout_mut(rollout);
        let mut clock = rollout.clock;
        let left_out = clock.hear(interval, now);
        if clock != rollout.clock {
            rollout.clock = clock;
        }
        if let Some(span) = left_out {
            events.push(rollout.event(EventKind::TimeLeftOut, now, silence(span)));
        }
    }
    let (Some(managed), Some(target)) = (managed, target) else { return };
    let is_of_channel = managed.rules.is_of_channel;
    // The channel's time goes on only while checks are judged for its release, whichever that is. What
    // devices outside of a rollout get does not count: they ask while those inside are switched off for a
    // night.
    let time = target.channel.as_ref().map(|name| {
        let mut channel = records.channel(name);
        let mut clock = channel.clock;
        if is_of_channel {
            clock.hear(interval, now);
        }
        if clock != channel.clock {
            channel.clock = clock;
        }
        clock.time(clock.heard.unwrap_or(now))
    });
    let mut ledger = records.ledger(imei, &target.rollout, None, now);
    let release = ledger.releases.known(&target.rollout);
    let judged = release.map(|release| release.judged);
    let has_faults = release.is_some_and(|release| release.faults > 0);
    if has_faults && judged.is_some_and(|judged| (now - judged).abs() >= DeviceRecord::TOUCH_SECONDS) {
        ledger.releases.of(&target.rollout).judged = now;
    }
    let Some(time) = time else { return };
    let is_away =
        |judged| time - judged > if holds(Rule::AnewAfterPatience) { managed.patience() } else { 0 };
    if is_of_channel && ledger.rollout.judged.is_some_and(is_away) {
        outcome::begin_anew(&mut ledger.rollout, now, ledger.events);
        if judged.is_some_and(|judged| now - judged > managed.patience()) {
            outcome::resume_release(&mut ledger.releases.of(&target.rollout));
        }
    }
    if ledger.rollout.judged.is_none_or(|judged| (time - judged).abs() >= DeviceRecord::TOUCH_SECONDS) {
        ledger.rollout.judged = Some(time);
    }
}

/// Counts a device in its wave, and opens the waves of its rollout that are due.
fn take_waves(records: &mut Records, imei: Imei, managed: Option<&Managed>, now: i64) {
    join_wave(records, imei, managed, now);
    let Some((rollout, _)) = managed.and_then(Managed::wave) else { return };
    // More are overdue than were judged: their failures are not in the counts.
    if records.has_more_overdue(rollout) {
        return;
    }
    let (waves, patience) =
        managed.map(|managed| (&*managed.rules.waves, managed.patience())).unwrap_or_default();
    let patience = patience + waves::NOTICED_SECONDS;
    let mut ledger = records.ledger(imei, rollout, None, now);
    waves::judge(&mut ledger.rollout, waves, patience, now, ledger.events);
}

/// Counts a device in the wave that its answer names, and in no other.
fn join_wave(records: &mut Records, imei: Imei, managed: Option<&Managed>, now: i64) {
    let named = managed.and_then(Managed::wave);
    let Some(device) = records.device(imei) else { return };
    let moves = device.offers.iter().filter_map(|offer| {
        let wave = named.filter(|(rollout, _)| *rollout == &*offer.rollout).map(|(_, wave)| wave.wave);
        (offer.wave != wave || offer.outside.is_some()).then(|| (offer.rollout.clone(), wave))
    });
    for (rollout, wave) in moves.collect::<Vec<_>>() {
        waves::join(&mut records.ledger(imei, &rollout, None, now), wave);
    }
}

fn silence(span: i64) -> String {
    let minutes = span.abs() / 60;
    let text = format!("{} h {:02} min", minutes / 60, minutes % 60);
    if span < 0 {
        format!("the clock was set back by {text}")
    } else {
        format!("no device was heard for {text}, or the clock was set: deadlines move by as much")
    }
}

/// Writes down what the version that a device reports (or only the time) says of its latest offer, and of all
/// that take a place.
fn report(records: &mut Records, imei: Imei, version: Option<Version>, now: i64) {
    // A report adds no offer, and takes none away.
    for n in 0.. {
        let Some(device) = records.device(imei) else { return };
        let Some(OfferRecord { rollout, place, .. }) = device.offers.get(n) else { return };
        if *place || device.latest.as_ref() == Some(rollout) {
            let rollout = rollout.clone();
            outcome::reported(&mut records.ledger(imei, &rollout, None, now), version, now);
        }
    }
}

/// A POST to an unpublished path: a note that it happened, once in a while, whatever it says.
fn stray(records: &mut Records, imei: Imei, at: StrayPath<'_>, now: i64) -> Exchanged {
    // Noted once, and logged as seldom.
    let is_news = note(records, imei, at, now);
    Exchanged::nothing(is_news.then(|| format!("`{}` is not published", at.path)))
}

/// Notes a path that a device should not post to; false if that was done lately. Who knows an IMEI can make
/// up any number of unpublished paths, so that these are one thing.
fn note(records: &mut Records, imei: Imei, at: StrayPath<'_>, now: i64) -> bool {
    let (name, said) = (at.note_name(imei), at.to_said());
    let known = records.unknown(&name);
    let is_noted = |known: &UnknownRecord| {
        let is_same = if at.is_former { known.said == said } else { known.stray_path().is_some() };
        is_same && (now - known.last_seen).abs() < DeviceRecord::TOUCH_SECONDS
    };
    let is_noted = known.is_some_and(is_noted);
    if !is_noted {
        let first_seen = known.map_or(now, |known| known.first_seen);
        records.put_unknown(UnknownRecord { name, first_seen, last_seen: now, said });
    }
    !is_noted
}

/// A check of somebody who never was in the fleet.
fn unknown_device_checks(
    records: &mut Records,
    imei: Imei,
    reported: &Result<Version, String>,
    why: &NoOffer,
    now: i64,
) -> Exchanged {
    let said = reported.as_ref().map_or_else(String::clone, Version::to_string);
    // What is not published is not unknown.
    let refusal = match why {
        NoOffer::Broken(_) => Refusal::NoAnswerFile,
        NoOffer::Unknown => {
            unknown_device(records, &imei.to_string(), said, now);
            Refusal::UnknownDevice
        }
    };
    let log = complaint(Some(refusal), reported, Some(why));
    Exchanged { refusal: Some(refusal), ..Exchanged::nothing(log) }
}

/// Records an unknown device, if it says something new or was not heard of for a while.
fn unknown_device(records: &mut Records, name: &str, said: String, now: i64) {
    let known = records.unknown(name);
    let first_seen = known.map_or(now, |known| known.first_seen);
    let is_news = |known: &UnknownRecord| {
        known.said != said || (now - known.last_seen).abs() >= DeviceRecord::TOUCH_SECONDS
    };
    if known.is_none_or(is_news) {
        records.put_unknown(UnknownRecord { name: name.to_owned(), first_seen, last_seen: now, said });
    }
}

/// Judges the devices that did not come back from their upgrade, before one more is sent there. They
/// never ask again, so nobody else would. Returns how many were judged.
fn judge_silent(records: &mut Records, rollout: &str, now: i64) -> usize {
    let mut judged = 0;
    for imei in records.take_overdue(rollout) {
        let mut ledger = records.ledger(imei, rollout, None, now);
        // It may have asked since.
        if ledger.device.offer(rollout).is_some_and(|offer| outcome::is_overdue(offer, &ledger.rollout, now))
        {
            outcome::settle(&mut ledger, &Ending::Overdue, now);
            judged += 1;
        }
    }
    judged
}

/// Judges the attempts that are overdue in the rollouts that were loaded. Returns how many were.
pub(super) fn judge_overdue(records: &mut Records, now: i64) -> usize {
    records.overdue_rollouts().iter().map(|rollout| judge_silent(records, rollout, now)).sum()
}

/// What the operator should know of a check; the refusals of daily life are in the records.
fn complaint(
    refusal: Option<Refusal>,
    reported: &Result<Version, String>,
    why: Option<&NoOffer>,
) -> Option<String> {
    let refusal = refusal?;
    match (refusal, why, reported) {
        (_, Some(NoOffer::Broken(why)), _) => Some(format!("{refusal}: {why}")),
        (_, Some(NoOffer::Unknown), _) => Some(refusal.to_string()),
        (Refusal::BadVersion, _, Err(said)) => Some(format!("{refusal}: `{said}`")),
        _ => None,
    }
}

fn notify(records: &mut Records, notice: &Notice, now: i64) -> Exchanged {
    records.note_result();
    let known = sender(records, notice);
    let Some(imei) = known.filter(|&imei| records.device(imei).is_some() || notice.published) else {
        unknown_device(records, &notice.name(), notice.posted.text.clone(), now);
        return Exchanged::nothing(Some(Refusal::UnknownDevice.to_string()));
    };
    if records.device(imei).is_none() {
        records.push_event(happened(EventKind::FirstSeen, imei, now, String::new()));
    }
    let log = notice.client.as_ref().and_then(|client| name_device(records, imei, client, now));
    hear(records, imei, None, now);
    let attempt = records.device(imei).and_then(|device| {
        let latest = records.rollout(device.latest.as_deref()?)?;
        outcome::attempt_at(device, latest, now)
    });
    match attempt.map(|offer| offer.rollout.clone()) {
        Some(rollout) => {
            outcome::hear_of_attempt(&mut records.ledger(imei, &rollout, None, now), &notice.posted, now);
        }
        None => {
            let (device, events) = records.device_mut(imei, now);
            outcome::hear_of_no_attempt(device, &notice.posted, now, events);
        }
    }
    Exchanged::nothing(log)
}

/// Notes the clientID that a device uses. Returns what is wrong with it.
fn name_device(records: &mut Records, imei: Imei, client: &ClientId, now: i64) -> Option<String> {
    let known = records.device(imei).and_then(|device| device.client.as_ref());
    if known == Some(client) {
        return None;
    }
    let odd = mismatch(records, imei, known, client);
    let (device, events) = records.device_mut(imei, now);
    device.client = Some(client.clone());
    if let Some(odd) = &odd {
        events.push(happened(EventKind::IdentityMismatch, imei, now, odd.clone()));
    }
    odd
}

/// A start message: a version check at the message's own time, to which there is no answer.
///
/// What is older than the device's record tells nothing new, be it that the broker has kept it or that it was
/// under way for long: a start before the attempt began is no proof that the attempt succeeded, and none that
/// a version reported since then is gone.
fn started(records: &mut Records, start: &Start, published: bool, now: i64) -> Exchanged {
    if start.at > now.saturating_add(AHEAD_SECONDS) {
        let ahead = count(start.at - now, "second");
        return Exchanged::nothing(Some(format!("ignored: the device's clock is {ahead} ahead")));
    }
    let (imei, at) = (start.imei, start.at.min(now));
    match records.device(imei) {
        Some(device) => {
            let known =
                device.latest_offer().map_or(device.last_seen, |offer| offer.at.max(device.last_seen));
            if at <= known {
                return Exchanged::nothing(None);
            }
        }
        None if published => records.push_event(happened(EventKind::FirstSeen, imei, at, String::new())),
        None => {
            let name = imei.to_string();
            if records.unknown(&name).is_some_and(|known| at <= known.last_seen) {
                return Exchanged::nothing(None);
            }
            unknown_device(records, &name, start.version.to_string(), at);
            return Exchanged::nothing(Some(Refusal::UnknownDevice.to_string()));
        }
    }
    if let Some(odd) = name_device(records, imei, &start.client, at) {
        // Heard of, so that the copy that the broker keeps is not complained about again.
        records.device_mut(imei, at).0.last_seen = at;
        return Exchanged::nothing(Some(format!("the version is not believed: {odd}")));
    }
    report(records, imei, Some(start.version), at);
    let (device, events) = records.device_mut(imei, at);
    let refusal = device.refusal;
    decide::seen(device, Some(start.version), refusal, at, events);
    Exchanged::nothing(None)
}

/// Makes an attempt for a device that did not ask.
///
/// # Errors
/// Why there is none; the records are of no use then.
pub(super) fn trigger(
    records: &mut Records,
    imei: Imei,
    offer: &Result<Offer, NoOffer>,
    now: i64,
) -> Result<Attempt, Skipped> {
    let offer = match offer {
        Ok(offer) => offer,
        Err(NoOffer::Unknown) => return Err(Skipped::Refused(Refusal::UnknownDevice)),
        Err(NoOffer::Broken(_)) => return Err(Skipped::Refused(Refusal::NoAnswerFile)),
    };
    if records.device(imei).is_none() {
        return Err(Skipped::NeverReported);
    }
    let (rollout, channel) = rollout_of(offer.target());
    report(records, imei, None, now);
    judge_silent(records, rollout, now);
    let managed = match offer {
        Offer::Managed(managed) => Some(managed),
        Offer::Held => None,
    };
    take_waves(records, imei, managed, now);
    let (attempt, counted) = decide::trigger(offer, &mut records.ledger(imei, rollout, channel, now), now)?;
    if let Some(channel) = counted {
        records.count_offer(&channel, now);
    }
    Ok(attempt)
}

/// Whose result it is: the modem's word counts most, because a path is only what a setting says.
fn sender(records: &Records, notice: &Notice) -> Option<Imei> {
    if notice.imei.is_some() {
        return notice.imei;
    }
    let mut of_client = records.devices_of_client(notice.client.as_ref()?);
    match (of_client.next(), of_client.next()) {
        (Some(imei), None) => Some(imei),
        _ => notice.client_as_imei(),
    }
}

/// What is wrong with a device's new clientID.
fn mismatch(records: &Records, imei: Imei, known: Option<&ClientId>, client: &ClientId) -> Option<String> {
    if let Some(known) = known {
        return Some(format!("the IMEI {imei} was `{known}`, now it is `{client}`"));
    }
    if client.as_str().parse::<Imei>().is_ok_and(|stated| stated != imei) {
        return Some(format!("the clientID is the IMEI `{client}`, the modem is {imei}"));
    }
    let other = records.devices_of_client(client).find(|&other| other != imei)?;
    Some(format!("the clientID `{client}` was the IMEI {other}, now it is {imei}"))
}

fn happened(kind: EventKind, imei: Imei, at: i64, detail: String) -> Event {
    Event { at, kind, imei: Some(imei), rollout: None, code: None, detail }
}
