//! The records that a fleet leaves behind: what `status` and checks are measured with.
//!
//! usage: history FLEET STATE RELEASES DAYS
//!
//! Makes records for fleet.yaml FLEET in the empty directory STATE, as if each device had been offered so many
//! RELEASES one after the other, over DAYS days, the last of which is its target. An offer leaves a row and
//! four events: offered, installed, version-changed and upgraded. One device in 20 failed to install the last.

#![allow(clippy::disallowed_methods, reason = "makes records that end now")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use otapress_core::version::Version;
use otapress_publish::fleet::{self, Device, Fleet};
use otapress_publish::resolve::assign;
use otapress_responder::record::{
    DeviceRecord, Event, EventKind, OfferRecord, Portion, Refusal, ResultRecord, RolloutRecord, Verdict,
};
use otapress_responder::records::Changes;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store};

/// How many devices are written at a time.
const BATCH: usize = 1000;

/// From the first to the last device of a rollout, in seconds.
const SPREAD: i64 = 86_400 * 5;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [fleet, state, releases, days] = &args[..] else {
        return Err("usage: history FLEET STATE RELEASES DAYS".into());
    };
    let loaded = fleet::load(Path::new(fleet));
    let fleet = loaded.fleet.as_ref().ok_or("the fleet has mistakes: see `otapress check`")?;
    let (releases, days): (usize, i64) = (releases.parse()?, days.parse()?);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs().try_into()?;
    let history = History { fleet, releases, days, now };
    let mut store = SqliteStore::open(&PathBuf::from(state), Duration::from_secs(1))?;
    history.write(&mut store)
}

struct History<'a> {
    fleet: &'a Fleet,
    releases: usize,
    days: i64,
    now: i64,
}

/// What a device met in one rollout.
struct Step {
    rollout: Arc<str>,
    from: Version,
    target: Version,
    at: i64,
    has_failed: bool,
}

impl History<'_> {
    fn write(&self, store: &mut dyn Store) -> Result<(), Box<dyn Error>> {
        let devices: Vec<_> = self.fleet.devices().iter().enumerate().collect();
        let mut rollouts: BTreeMap<Arc<str>, RolloutRecord> = BTreeMap::new();
        for release in 0..self.releases {
            let mut happened = Vec::new();
            for (n, device) in &devices {
                let Some(step) = self.step(*n, device, release) else { continue };
                step.count(&mut rollouts);
                happened.extend(events(device, &step));
            }
            // In the order in which they are recorded.
            happened.sort_by_key(|event| event.at);
            for batch in happened.chunks(4 * BATCH) {
                put(store, &Changes { events: batch.iter().collect(), ..Changes::default() })?;
            }
        }
        for batch in devices.chunks(BATCH) {
            let records: Vec<_> = batch.iter().map(|(n, device)| self.record(*n, device)).collect();
            let mut changes = Changes::default();
            records.iter().for_each(|record| changes.device(record));
            put(store, &changes)?;
        }
        put(store, &Changes { rollouts: rollouts.values().collect(), ..Changes::default() })
    }

    /// The `n`th device in that rollout, counted from the first; none if nothing is aimed at it.
    fn step(&self, n: usize, device: &Device, release: usize) -> Option<Step> {
        let channel = self.fleet.channel(device)?;
        let last = assign(self.fleet, device).target?;
        let is_last = |release| release + 1 == self.releases;
        let target = |release| if is_last(release) { Some(last) } else { earlier(release) };
        let begins = self.now - self.days * 86_400 * (self.releases - release) as i64 / self.releases as i64;
        // Neighbours in the fleet are not neighbours in time.
        let place = (n * 7919 % self.fleet.devices().len()) as i64;
        Some(Step {
            rollout: format!("{}/{}", channel.name, self.fleet.spelling(target(release)?)).into(),
            from: if release == 0 { "0.8".parse().ok()? } else { target(release - 1)? },
            target: target(release)?,
            at: begins + SPREAD * place / self.fleet.devices().len() as i64,
            has_failed: is_last(release) && n.is_multiple_of(20),
        })
    }

    fn record(&self, n: usize, device: &Device) -> DeviceRecord {
        let steps: Vec<_> = (0..self.releases).filter_map(|release| self.step(n, device, release)).collect();
        let mut record = DeviceRecord::new(device.imei, self.now - self.days * 86_400);
        record.client = Some(device.client_id.clone());
        record.last_seen = self.now - (n * 31 % 10_000) as i64;
        let generation = self.fleet.settings(device).generation.clone();
        record.settings.confirmed =
            generation.map(|generation| Portion { generation: generation.into(), is_complete: true });
        record.offers = steps.iter().rev().map(Step::offer).collect();
        let Some(last) = steps.last() else { return record };
        record.reported = Some(if last.has_failed { last.from } else { last.target });
        record.refusal = (!last.has_failed).then_some(Refusal::Current);
        record.latest = Some(last.rollout.clone());
        let (code, text) = last.result();
        record.result =
            Some(ResultRecord { at: last.at + 180, code, text: text.into(), rollout: record.latest.clone() });
        let hour = last.at / 3600;
        let kept = format!("0 {hour} version-changed=1,offered=1,upgraded=1,installed=1");
        record.budget = kept.parse().unwrap_or_default();
        record
    }
}

/// The releases before today's.
fn earlier(release: usize) -> Option<Version> {
    format!("0.9.{}", release % 100).parse().ok()
}

impl Step {
    fn result(&self) -> (Option<u16>, &'static str) {
        if self.has_failed { (Some(902), "902 Out of memory") } else { (Some(900), "900 Success") }
    }

    fn offer(&self) -> OfferRecord {
        let rollout = RolloutRecord::new(&*self.rollout);
        let verdict = if self.has_failed { Verdict::Failed } else { Verdict::Succeeded };
        let has_succeeded = !self.has_failed;
        OfferRecord {
            attempts: 1,
            from: self.from,
            until: self.at + 25_200,
            answered: true,
            code: self.result().0,
            verdict: Some(verdict),
            proven: has_succeeded.then_some(0),
            since: has_succeeded.then_some(self.at + 240),
            ..OfferRecord::proof(&rollout, self.target, self.at)
        }
    }

    /// Counts the device in its rollout.
    fn count(&self, rollouts: &mut BTreeMap<Arc<str>, RolloutRecord>) {
        let new = || RolloutRecord::new(&*self.rollout);
        let rollout = rollouts.entry(self.rollout.clone()).or_insert_with(new);
        rollout.offered += 1;
        rollout.failed += u32::from(self.has_failed);
        rollout.succeeded += u32::from(!self.has_failed);
        rollout.proven += u32::from(!self.has_failed);
        rollout.clock.heard = rollout.clock.heard.max(Some(self.at + 240));
        rollout.judged = rollout.clock.heard;
    }
}

/// What happened to a device in a rollout.
fn events(device: &Device, step: &Step) -> Vec<Event> {
    let event = |after: i64, kind, code, detail: String| Event {
        at: step.at + after,
        kind,
        imei: Some(device.imei),
        rollout: (kind != EventKind::VersionChanged).then(|| step.rollout.clone()),
        code,
        detail,
    };
    let (code, text) = step.result();
    let (from, target) = (step.from, step.target);
    let offered = event(0, EventKind::Offered, None, format!("{from} → {target}, attempt 1"));
    if step.has_failed {
        let again = event(3600, EventKind::Notified, code, text.into());
        return vec![offered, event(180, EventKind::Failed, code, text.into()), again];
    }
    vec![
        offered,
        event(180, EventKind::Installed, code, text.into()),
        event(240, EventKind::VersionChanged, None, format!("{from} → {target}")),
        event(240, EventKind::Upgraded, None, format!("{from} → {target}")),
    ]
}

fn put(store: &mut dyn Store, changes: &Changes<'_>) -> Result<(), Box<dyn Error>> {
    store.write(Durability::Process, &mut |tx| tx.put(changes))?;
    Ok(store.maintain()?)
}
