//! What must hold, seen from outside: from what was published, what was asked, and what was answered.
//!
//! The oracle knows the rules a second time and in its own words. Where it cannot know as much as the records
//! do, because a transaction may have failed, it allows more than they do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::fleet::INTERVAL;
use super::host::{Answers, Host};
use crate::memory::Memory;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{self, Release, Site, Target};
use otapress_responder::code;
use otapress_responder::offer;
use otapress_responder::record::{Event, EventKind, RolloutRecord, Verdict};

/// An answer within this many seconds of the one before is the same attempt.
const LOST_SECONDS: i64 = 60;

/// What a device was seen to do in a rollout.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    /// Told, and not heard of since: when, by the host's clock.
    waiting: Option<i64>,
    /// Said that it is installed: another version from then on is a failure at once.
    installed: bool,
    /// Reported the release.
    proven: bool,
    /// Reported it, or failed.
    judged: bool,
    /// Attempts, and when the last one began by the host's clock.
    attempts: Option<(u32, i64)>,
    /// Since when it reports the release, in true time.
    since: Option<i64>,
}

/// What the devices of a rollout were seen to do.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// What it brings.
    release: Option<Version>,
    /// By the number of the device.
    devices: Vec<Deeds>,
    /// The number of the last event that let it begin again.
    reset: i64,
    /// When a check was judged for it last while it was its channel's, in true time.
    judged_at: Option<i64>,
    /// The highest limit of unproven devices that it had.
    limit: u64,
}

impl Seen {
    fn of(rollout: &str) -> Seen {
        Seen { release: RolloutRecord::release(rollout).parse().ok(), ..Seen::default() }
    }

    fn device(&mut self, n: usize) -> &mut Deeds {
        if self.devices.len() <= n {
            self.devices.resize(n + 1, Deeds::default());
        }
        &mut self.devices[n]
    }

    /// Those that were told and not heard of since, and when.
    fn waiting(&self) -> BTreeMap<usize, i64> {
        let waiting = self.devices.iter().enumerate();
        waiting.filter_map(|(n, deeds)| Some((n, deeds.waiting?))).collect()
    }

    fn count(&self, is_meant: impl Fn(&Deeds) -> bool) -> usize {
        self.devices.iter().filter(|deeds| is_meant(deeds)).count()
    }
}

/// The oracle's memory. It goes back with the records when these are restored.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    rollouts: BTreeMap<Arc<str>, Seen>,
    /// Devices with a fault of the artifact, by release.
    faults: BTreeMap<String, BTreeSet<usize>>,
    /// The event that begins the last attempt of a device.
    attempt_seq: BTreeMap<usize, i64>,
    /// Offers of a channel, in true time.
    offers: BTreeMap<String, VecDeque<i64>>,
    /// How often counts began anew.
    pub renewals: u64,
    /// The last event that was looked at.
    pub seq: i64,
    /// Rollouts with a wave that has opened since the last answer.
    opened: BTreeSet<Arc<str>>,
    /// Rollouts, and their releases, that begin again with it.
    released: BTreeSet<Arc<str>>,
}

/// A check that was answered.
pub(super) struct Checked<'a> {
    pub n: usize,
    pub imei: Imei,
    /// What is published for it on the host that it asked.
    pub answers: Option<&'a Answers>,
    pub reported: Option<Version>,
    pub body: &'a str,
    /// The refusal's name, or `version check`.
    pub kind: &'a str,
    pub now: i64,
    pub clock: i64,
    /// No clock was wrong by more than minutes for hours.
    pub is_time_right: bool,
    /// The brakes that were pulled before.
    pub halted: &'a BTreeSet<Arc<str>>,
}

impl Checked<'_> {
    /// Whether it was answered with the records. If their commit was in doubt, they may know of it even so.
    fn is_recorded(&self) -> bool {
        self.kind != "no-state"
    }
}

impl Oracle {
    /// Looks at what was recorded since the last time.
    pub(super) fn read_events(
        &mut self,
        memory: &Memory,
        now: i64,
        is_time_right: bool,
    ) -> Result<(), String> {
        self.released.clear();
        memory.events_after(self.seq, |events| {
            for (seq, event) in events {
                self.seq = *seq;
                self.read_event(*seq, event, now, is_time_right)?;
            }
            Ok(())
        })
    }

    fn read_event(&mut self, seq: i64, event: &Event, now: i64, is_time_right: bool) -> Result<(), String> {
        let Some(id) = &event.rollout else { return Ok(()) };
        let device = event.imei.and_then(device_of);
        let seen = self.rollouts.entry(id.clone()).or_insert_with(|| Seen::of(id));
        match event.kind {
            EventKind::Resumed | EventKind::BeganAnew => {
                if event.kind == EventKind::BeganAnew {
                    let since = seen.judged_at.map_or(i64::MAX, |at| now - at);
                    if is_time_right && since < 2 * INTERVAL + 3600 - 1500 {
                        return Err(format!("{id} began anew {since} s after it was judged"));
                    }
                    seen.devices.iter_mut().for_each(|deeds| deeds.attempts = None);
                }
                self.renewals += 1;
                seen.devices.iter_mut().for_each(|deeds| deeds.waiting = None);
                seen.reset = seq;
                let release = RolloutRecord::release(id);
                self.faults.remove(&*release);
                self.released.extend([id.clone(), release.into()]);
            }
            EventKind::Retried => {
                if let Some(device) = device {
                    let deeds = seen.device(device);
                    (deeds.attempts, deeds.waiting) = (None, None);
                }
            }
            EventKind::PlaceFreed => {
                if let Some(device) = device {
                    seen.device(device).waiting = None;
                }
            }
            EventKind::Installed => {
                if let Some(device) = device {
                    seen.device(device).installed = true;
                }
            }
            EventKind::WaveOpened => drop(self.opened.insert(id.clone())),
            EventKind::Offered => {
                device.map(|device| self.attempt_seq.insert(device, seq));
            }
            EventKind::Failed => {
                let Some(device) = device else { return Ok(()) };
                let deeds = seen.device(device);
                deeds.judged = true;
                // Only a result has one: a sign of life, acknowledged or not.
                if event.code.is_some() {
                    deeds.waiting = None;
                }
                let is_artifact = event
                    .code
                    .and_then(code::lookup)
                    .is_some_and(|known| known.fault == code::Fault::Artifact);
                let is_counted = self.attempt_seq.get(&device).is_some_and(|attempt| *attempt > seen.reset);
                if is_artifact && is_counted {
                    self.faults.entry(RolloutRecord::release(id).into_owned()).or_default().insert(device);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A result reached a responder that recorded it.
    pub(super) fn result(&mut self, n: usize, code: Option<u16>) {
        let is_fault = code.and_then(code::lookup).is_some_and(|known| known.fault != code::Fault::None);
        if is_fault {
            for seen in self.rollouts.values_mut() {
                seen.device(n).waiting = None;
            }
        }
    }

    /// A check reached a responder, which answered this.
    pub(super) fn check(&mut self, host: &Host, checked: &Checked<'_>) -> Result<(), String> {
        let Checked { n, answers, reported, body, clock, now, .. } = *checked;
        let is_upgrade = well_formed(body)?;
        let site = host.responder.site().ok();
        if !is_upgrade && reported.is_some_and(|version| version < Version::READS_JSON) && body.contains('1')
        {
            return Err(format!("dev{n} takes `{body}` for an upgrade"));
        }
        if checked.kind == "unpublished path" {
            return if is_upgrade { Err(format!("dev{n} is offered an upgrade elsewhere")) } else { Ok(()) };
        }
        // Who runs the release already may be the first to ask for it.
        if let Some(target) = answers.and_then(|answers| answers.file.offer.target.as_ref()) {
            self.seen(&target.rollout);
        }
        if let Some(reported) = reported {
            self.reported(reported, checked);
        }
        let (Some(answers), Some(site)) = (answers, site) else {
            return if is_upgrade { Err(format!("dev{n} is offered what is not published")) } else { Ok(()) };
        };
        for id in std::mem::take(&mut self.opened) {
            self.opened(&host.store.memory.rollout(&id), site, clock)?;
        }
        settings_are_published(body, answers)?;
        let Some(target) = &answers.file.offer.target else {
            return if is_upgrade {
                Err(format!("dev{n} is offered an upgrade without a target"))
            } else {
                Ok(())
            };
        };
        let seen = self.seen(&target.rollout);
        // What devices outside of a rollout get keeps no rollout from beginning anew: its channel's time may
        // stand still while only they ask.
        let of_channel = target.channel.as_ref().and_then(|channel| site.channels.get(channel));
        if checked.is_recorded() && of_channel.is_none_or(|release| release.parse() == Ok(target.version)) {
            seen.judged_at = Some(now);
        }
        if is_upgrade { self.offer(host, site, target, checked) } else { Ok(()) }
    }

    fn seen(&mut self, rollout: &str) -> &mut Seen {
        if !self.rollouts.contains_key(rollout) {
            self.rollouts.insert(rollout.into(), Seen::of(rollout));
        }
        self.rollouts.get_mut(rollout).expect("was inserted above")
    }

    /// A wave has opened by success: enough devices have reported the release or failed.
    fn opened(&self, record: &RolloutRecord, site: &Site, clock: i64) -> Result<(), String> {
        let (Some(rollout), Some(seen)) = (site.rollouts.get(&*record.id), self.rollouts.get(&record.id))
        else {
            return Ok(());
        };
        let mut devices = 0;
        for wave in &rollout.waves {
            if let (Some(after), true) = (wave.after, record.waves.get(wave.wave).opened == Some(clock)) {
                let needed = (devices * usize::from(after.reached_bp)).div_ceil(10_000);
                let judged = seen.count(|deeds| deeds.judged);
                if judged < needed {
                    return Err(format!(
                        "{} opened: {judged} of {devices} are judged, {needed} must be",
                        record.id
                    ));
                }
            }
            devices += wave.devices as usize;
        }
        Ok(())
    }

    /// What a report gives back, in every rollout, and what it takes if it is recorded.
    fn reported(&mut self, reported: Version, checked: &Checked<'_>) {
        let Checked { n, now, clock, .. } = *checked;
        for seen in self.rollouts.values_mut() {
            let is_release = seen.release == Some(reported);
            let deeds = seen.device(n);
            // What allows less, only the records know.
            if checked.is_recorded() {
                // After a step back of the clock the minute begins anew.
                if let Some((_, at)) = &mut deeds.attempts {
                    *at = clock.min(*at);
                }
                if !is_release {
                    deeds.since = None;
                }
            }
            if is_release {
                (deeds.waiting, deeds.proven, deeds.judged) = (None, true, true);
                if now - *deeds.since.get_or_insert(now) >= 20 * 3600 {
                    deeds.attempts = None;
                }
                continue;
            }
            let is_back = std::mem::take(&mut deeds.installed);
            deeds.waiting.take_if(|at| is_back || (clock - *at).abs() >= LOST_SECONDS);
        }
    }

    fn offer(
        &mut self,
        host: &Host,
        site: &Site,
        target: &Target,
        checked: &Checked<'_>,
    ) -> Result<(), String> {
        let Checked { n, imei, clock, now, .. } = *checked;
        let id = &target.rollout;
        let fail = |why: String| Err(format!("dev{n} is offered {id}: {why}"));
        let Some(reported) = checked.reported else { return fail("it reports no version".into()) };
        if reported == target.version {
            return fail("it runs that".into());
        }
        if target.no_downgrade && reported > target.version {
            return fail("it runs something higher".into());
        }
        let release = RolloutRecord::release(id);
        let published = site.releases.iter().find(|known| known.version.parse() == Ok(target.version));
        if published.is_none_or(|known| known.withdrawn.is_some()) {
            return fail("the release is withdrawn or not published".into());
        }
        if target.window.as_ref().is_some_and(|window| !offer::is_open(window, clock)) {
            return fail("the window is closed".into());
        }
        let record = host.store.memory.rollout(id);
        let wave = target.wave_in(&site.rollouts);
        let is_open = wave.is_some_and(|wave| {
            let has_opened = || record.waves.get(wave.wave).opened.is_some();
            wave.at.is_none_or(|at| at <= clock) && (wave.after.is_none() || has_opened())
        });
        if !is_open {
            return fail("its wave is closed".into());
        }
        let is_halted = |name: &str| checked.halted.contains(name) && !self.released.contains(name);
        if is_halted(id) || is_halted(&release) {
            return fail("it is halted".into());
        }
        let of_release = site.rollouts.iter().filter(|(known, _)| RolloutRecord::release(known) == release);
        let limits = of_release
            .map(|(_, rollout)| rollout.brake.artifact_faults)
            .chain([target.brake.artifact_faults]);
        let limit = limits.filter(|limit| *limit > 0).min().unwrap_or(u32::MAX);
        if let Some(faults) = self.faults.get(&*release)
            && faults.len() >= limit as usize
        {
            return fail(format!("{faults:?} report a fault of the artifact, and {limit} are enough"));
        }
        let finished = record.failed + record.succeeded + record.installed;
        let too_many =
            u64::from(record.failed) * 10_000 > u64::from(target.brake.failures_bp) * u64::from(finished);
        if finished >= target.brake.after && too_many {
            return fail(format!("{} of {finished} failed", record.failed));
        }
        let seen = self.seen(id);
        let deeds = seen.device(n);
        let (count, at) = deeds.attempts.unwrap_or((0, i64::MIN / 2));
        let is_new = !(0..LOST_SECONDS).contains(&(clock - at));
        if is_new {
            deeds.attempts = Some((count + 1, clock));
            if count + 1 > target.attempts {
                return fail(format!("attempt {} of {}", count + 1, target.attempts));
            }
        }
        deeds.waiting.get_or_insert(clock);
        deeds.installed = false;
        let places = site.rollouts.get(id).map_or(offer_default(), |rollout| rollout.unproven);
        // Those who took a place under a higher limit keep it.
        seen.limit =
            seen.limit.max(places.places(seen.count(|deeds| deeds.proven) as u64).unwrap_or(u64::MAX));
        let places = seen.limit;
        let waiting = seen.waiting();
        if waiting.len() as u64 > places {
            return fail(format!("{places} may be unproven, and these are: {waiting:?}"));
        }
        // Offers that were made without a rate are not counted.
        if let (Some(channel), true, Some(_)) = (&target.channel, is_new, target.rate) {
            let offers = self.offers.entry(channel.clone()).or_default();
            offers.push_back(now);
            // The clocks of two hosts may differ by minutes.
            offers.retain(|at| now - at < 3600 - 240);
            if checked.is_time_right && target.rate.is_some_and(|rate| offers.len() > rate as usize) {
                return fail(format!("{} offers in an hour, {:?} may be", offers.len(), target.rate));
            }
        }
        if !published.is_some_and(|known| has_jar(host, known)) {
            return fail("its JAR is not there".into());
        }
        audit(&host.store.memory, id).map_err(|why| format!("records of {id} ({imei}): {why}"))
    }
}

fn offer_default() -> otapress_core::wire::Limit {
    otapress_core::wire::Limit::DEFAULT
}

/// The number in the IMEI of a device.
fn device_of(imei: Imei) -> Option<usize> {
    imei.to_string()[2..].parse().ok()
}

/// Whether an answer is an upgrade; it must be one that every device can read.
fn well_formed(body: &str) -> Result<bool, String> {
    let rest = body.strip_prefix("{\"upgrade\":").and_then(|rest| rest.strip_suffix('}'));
    let is_upgrade = match rest.map(|rest| rest.split_at(1.min(rest.len()))) {
        Some(("0", "")) => false,
        Some(("1", "")) => true,
        Some((digit @ ("0" | "1"), rest)) if rest.starts_with(",\"settings\":[{") && rest.ends_with("}]") => {
            digit == "1"
        }
        _ => return Err(format!("the answer `{body}`")),
    };
    if body.is_ascii() && body.len() < 2000 { Ok(is_upgrade) } else { Err(format!("the answer `{body}`")) }
}

fn settings_are_published(body: &str, answers: &Answers) -> Result<(), String> {
    // Nothing but a yes or a no.
    if body.len() == wire::NO.len() {
        return Ok(());
    }
    let (sent, published) = answers.settings_in(body);
    if sent <= published { Ok(()) } else { Err(format!("settings that are not published: `{body}`")) }
}

fn has_jar(host: &Host, release: &Release) -> bool {
    host.copy.with(|files| files.get(&release.path).is_some_and(|jar| jar.len() as u64 == release.size))
}

/// What the records count must be what is recorded of the devices.
pub(super) fn audit(memory: &Memory, id: &str) -> Result<(), String> {
    let record = memory.rollout(id);
    let offers = memory.offers_of(id);
    let current = || offers.iter().filter(|offer| offer.epoch == record.epoch);
    let stands =
        |verdict| current().filter(|offer| offer.was_offered() && offer.verdict == Some(verdict)).count();
    let counts = [
        ("places", record.places, current().filter(|offer| offer.place).count()),
        ("failed", record.failed, stands(Verdict::Failed)),
        ("succeeded", record.succeeded, stands(Verdict::Succeeded)),
        ("installed", record.installed, stands(Verdict::Installed)),
        (
            "proven",
            record.proven,
            offers
                .iter()
                .filter(|offer| offer.proven.is_some_and(|epoch| epoch >= record.proven_since))
                .count(),
        ),
    ];
    let release = RolloutRecord::release(id);
    for known in memory.releases().into_iter().filter(|known| *known.version == *release) {
        let blamed = memory.devices_blamed(&known);
        if blamed != known.faults as usize {
            return Err(format!("{} faults are counted, and there are {blamed}", known.faults));
        }
    }
    for (name, counted, are) in counts {
        if counted as usize != are {
            return Err(format!("{counted} {name} are counted, and there are {are}"));
        }
    }
    Ok(())
}
