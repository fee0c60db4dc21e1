//! What is done to the records without being asked by a device: new attempts, rollouts that go on, and
//! judgement on those that never ask again.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::decide::{Attempt, Skipped};
use super::exchange;
use super::offer::Offer;
use super::outcome;
use super::question::NoOffer;
use super::record::{Event, EventKind, OfferRecord};
use super::records::{Changes, Few, Keys, Records};
use super::service::Responder;
use crate::store::{Durability, Store, StoreError, Tx};
use otapress_core::id::Imei;
use otapress_core::out::SITE_FILE;
use otapress_core::version::Version;

/// How many devices are looked at in one transaction: enough to be quick, few enough that a device which
/// asks meanwhile does not wait.
const PAGE: u32 = 500;

/// How many such transactions are made at a time before others have their turn.
const PAGES: usize = 8;

/// Gives devices new attempts in that rollout of theirs, that of their present target; without one, in their
/// latest. They give back the places that they take in any. Returns those that had used attempts or took
/// places.
///
/// # Errors
/// If the store fails; some devices may have new attempts then.
pub fn retry(
    store: &mut dyn Store,
    devices: &[(Imei, Option<&str>)],
    now: i64,
) -> Result<Vec<Imei>, StoreError> {
    let mut retried = Vec::new();
    for page in devices.chunks(PAGE as usize) {
        let before = retried.len();
        store.write(Durability::Power, &mut |tx| {
            retried.truncate(before);
            for (imei, rollout) in page {
                if retry_one(tx, *imei, *rollout, now)? {
                    retried.push(*imei);
                }
            }
            Ok(())
        })?;
    }
    Ok(retried)
}

fn retry_one(tx: &mut dyn Tx, imei: Imei, rollout: Option<&str>, now: i64) -> Result<bool, StoreError> {
    let Some(mut device) = tx.device(imei)? else { return Ok(false) };
    let present = rollout.or(device.latest.as_deref());
    let is_meant = |offer: &&OfferRecord| offer.place || Some(&*offer.rollout) == present;
    let ids: Vec<_> = device.offers.iter().filter(is_meant).map(|offer| offer.rollout.clone()).collect();
    let (mut events, mut rollouts) = (Vec::new(), Vec::new());
    for id in ids {
        let mut rollout = tx.rollout(&id)?;
        if outcome::retry(&mut device, &mut rollout, now, &mut events) {
            rollouts.push(rollout);
        }
    }
    if rollouts.is_empty() {
        return Ok(false);
    }
    let (events, rollouts) = (events.iter().collect(), rollouts.iter().collect());
    let mut changes = Changes { events, rollouts, ..Changes::default() };
    changes.device(&device);
    tx.put(&changes)?;
    Ok(true)
}

/// Releases the brake of a release's rollouts: of those with that id (`<channel>/<release>`), or with any
/// channel. Their places and the release's faults are forgotten, too. Returns the ids of those that go on.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn resume(store: &mut dyn Store, release: &str, now: i64) -> Result<Vec<String>, StoreError> {
    let mut resumed = Vec::new();
    let parts = |id: &str| {
        let (channel, version) = id.rsplit_once('/').map_or((None, id), |(of, version)| (Some(of), version));
        (channel.map(str::to_owned), version.parse::<Version>())
    };
    let (channel, version) = parts(release);
    store.write(Durability::Power, &mut |tx| {
        resumed.clear();
        for mut known in tx.releases()? {
            if version.is_ok() && known.version.parse() == version && outcome::resume_release(&mut known) {
                tx.put(&Changes { releases: vec![&known], ..Changes::default() })?;
            }
        }
        for mut rollout in tx.rollouts()? {
            let (of, brings) = parts(&rollout.id);
            let is_meant = version.is_ok() && brings == version && (channel.is_none() || of == channel);
            let mut events = Vec::new();
            if is_meant && outcome::resume(&mut rollout, now, &mut events) {
                let events = events.iter().collect();
                tx.put(&Changes { rollouts: vec![&rollout], events, ..Changes::default() })?;
                resumed.push(rollout.id.to_string());
            }
        }
        Ok(())
    })?;
    Ok(resumed)
}

/// Whether an attempt would be made for a device that did not ask. Changes nothing.
///
/// # Errors
/// If the store fails.
pub fn could_trigger(
    store: &mut dyn Store,
    responder: &Responder,
    imei: Imei,
    now: i64,
) -> Result<Result<Attempt, Skipped>, StoreError> {
    let offer = responder.offer(imei, None);
    let mut could = Err(Skipped::NeverReported);
    store.read(&mut |tx| {
        could = exchange::trigger(&mut tx.load(&keys_of(imei, &offer), now)?, imei, &offer, now);
        Ok(())
    })?;
    Ok(could)
}

fn keys_of(imei: Imei, offer: &Result<Offer, NoOffer>) -> Keys<'_> {
    let target = offer.as_ref().ok().and_then(Offer::target);
    let rollout = target.map(|target| &*target.rollout);
    Keys {
        devices: Few::from_iter([(imei, rollout)]),
        rollouts: rollout.into_iter().collect(),
        channels: target.and_then(|target| target.channel.as_deref()).into_iter().collect(),
        ..Keys::default()
    }
}

/// Makes an attempt for a device that did not ask, if its rollout allows one now. Who told it to upgrade
/// without that would spend an attempt that nobody counts, and get a result that belongs to none.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn trigger(
    store: &mut dyn Store,
    responder: &Responder,
    imei: Imei,
    now: i64,
) -> Result<Result<Attempt, Skipped>, StoreError> {
    let offer = responder.offer(imei, None);
    let mut triggered = Err(Skipped::NeverReported);
    store.write(Durability::Power, &mut |tx| {
        let mut records = tx.load(&keys_of(imei, &offer), now)?;
        triggered = exchange::trigger(&mut records, imei, &offer, now);
        match &triggered {
            Ok(_) => tx.save(&records),
            Err(_) => Ok(()),
        }
    })?;
    Ok(triggered)
}

/// Judges the attempts that are overdue, so that a brake is pulled even if no other device asks. A server
/// does so now and then; under CGI the next check of a device of the rollout does. Returns how many were; of
/// very many the rest is left for the next time.
///
/// # Errors
/// If the store fails; some may be judged then.
pub fn judge_overdue(store: &mut dyn Store, now: i64) -> Result<usize, StoreError> {
    let mut judged = 0;
    for _ in 0..PAGES {
        let mut found = false;
        store.read(&mut |tx| {
            found = exchange::judge_overdue(&mut all_overdue(tx, now)?, now) > 0;
            Ok(())
        })?;
        if !found {
            break;
        }
        let mut page = 0;
        store.write(Durability::Power, &mut |tx| {
            let mut records = all_overdue(tx, now)?;
            page = exchange::judge_overdue(&mut records, now);
            tx.save(&records)
        })?;
        judged += page;
    }
    Ok(judged)
}

/// How old `otapress.json` is at least if new records beside it are no first start.
const EARLIER_SECONDS: i64 = 3600;

/// Writes down that the records were made anew beside an older `out/`: whoever lost them should know what
/// else was lost. Returns a line for the log.
///
/// # Errors
/// If the store fails.
pub fn note_no_memory(store: &mut dyn Store, out: &Path, now: i64) -> Result<Option<String>, StoreError> {
    if !store.take_new() {
        return Ok(None);
    }
    let modified = fs::metadata(out.join(SITE_FILE)).and_then(|file| file.modified()).ok();
    let modified = modified.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let published = modified.and_then(|since| i64::try_from(since.as_secs()).ok());
    if published.is_none_or(|at| now - at < EARLIER_SECONDS) {
        return Ok(None);
    }
    let detail =
        "the records were made beside an older out/: attempts, places and brakes begin anew".to_owned();
    let (kind, imei, rollout, code) = (EventKind::NoMemory, None, None, None);
    let event = Event { at: now, kind, imei, rollout, code, detail };
    store.write(Durability::Power, &mut |tx| {
        tx.put(&Changes { events: vec![&event], ..Changes::default() })
    })?;
    Ok(Some("no memory: attempts, places and brakes begin anew".into()))
}

/// The overdue devices of every rollout.
fn all_overdue(tx: &mut dyn Tx, now: i64) -> Result<Records, StoreError> {
    let rollouts = tx.rollouts()?;
    let ids = rollouts.iter().map(|rollout| &*rollout.id).collect();
    tx.load(&Keys { rollouts: ids, ..Keys::default() }, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, OneByOne as _};
    use crate::record::{Halt, RolloutRecord};
    use crate::store::sqlite::SqliteStore;
    use std::time::Duration;

    #[test]
    fn a_release_is_resumed_however_it_is_spelled() {
        let ids = ["main/1.0", "next/1.0", "pin/1.0.0", "next/1.0.1"];
        for (said, meant) in
            [("1.0.0", &ids[..3]), ("next/1.0.0", &ids[1..2]), ("1.00", &ids[..3]), ("x/1.0", &[])]
        {
            let state = tempfile::tempdir().unwrap();
            let mut store = SqliteStore::open(state.path(), Duration::from_secs(10)).unwrap();
            let halt = Some(Halt { at: NOW, reason: "2 failed".into() });
            let halted = |id: &str| RolloutRecord { halted: halt.clone(), ..RolloutRecord::new(id) };
            let write = &mut |tx: &mut dyn Tx| ids.iter().try_for_each(|id| tx.put_rollout(&halted(id)));
            store.write(Durability::Process, write).unwrap();
            assert_eq!(resume(&mut store, said, NOW + 60).unwrap(), meant, "{said}");
        }
    }
}
