//! What is done to the records without being asked by a device: new attempts, rollouts that go on, and
//! judgement on those that never ask again.

use super::decide::{Attempt, Skipped};
use super::outcome::{self, Ending};
use super::plan;
use super::record::OfferRecord;
use super::service::Responder;
use crate::store::{Durability, Store, StoreError, Tx};
use otapress_core::id::Imei;

/// How many devices are looked at in one transaction: enough to be quick, few enough that a device which
/// asks meanwhile does not wait.
const PAGE: u32 = 500;

/// How many such transactions are made at a time before others have their turn.
const PAGES: usize = 8;

/// Gives devices new attempts in every rollout. Returns those that had used some.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn retry(store: &mut dyn Store, imeis: &[Imei], now: i64) -> Result<Vec<Imei>, StoreError> {
    let mut retried = Vec::new();
    store.write(Durability::Power, &mut |tx| {
        retried.clear();
        for &imei in imeis {
            let Some(mut device) = tx.device_in_full(imei)? else { continue };
            let mut events = Vec::new();
            if outcome::retry(&mut device, now, &mut events) {
                tx.put_device(&device)?;
                events.iter().try_for_each(|event| tx.put_event(event))?;
                retried.push(imei);
            }
        }
        Ok(())
    })?;
    Ok(retried)
}

/// Gives every device new attempts. Returns how many had used some.
///
/// # Errors
/// If the store fails; some devices may have new attempts then.
pub fn retry_all(store: &mut dyn Store, now: i64) -> Result<usize, StoreError> {
    let (mut last, mut retried) = (None, 0);
    loop {
        let mut page: Vec<Imei> = Vec::new();
        store.read(&mut |tx| {
            page = tx.devices(last, PAGE)?.iter().map(|device| device.imei).collect();
            Ok(())
        })?;
        let Some(&end) = page.last() else { return Ok(retried) };
        retried += retry(store, &page, now)?.len();
        last = Some(end);
    }
}

/// Releases the brake of a release's rollouts: of those with that id (`<channel>/<release>`), or with any
/// channel. Returns the ids of those that were halted.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn resume(store: &mut dyn Store, release: &str, now: i64) -> Result<Vec<String>, StoreError> {
    let mut resumed = Vec::new();
    store.write(Durability::Power, &mut |tx| {
        resumed.clear();
        for mut rollout in tx.rollouts()? {
            let of_release = rollout.id.rsplit_once('/').is_some_and(|(_, of)| of == release);
            let mut events = Vec::new();
            if (of_release || rollout.id == release) && outcome::resume(&mut rollout, now, &mut events) {
                tx.put_rollout(&rollout)?;
                events.iter().try_for_each(|event| tx.put_event(event))?;
                resumed.push(rollout.id);
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
    let offer = responder.offer(imei);
    let mut could = Err(Skipped::NeverReported);
    store.read(&mut |tx| {
        could = plan::trigger(tx, imei, &offer, now)?.map(|(attempt, _)| attempt);
        Ok(())
    })?;
    Ok(could)
}

/// Makes an attempt for a device that did not ask, if its rollout allows one now. Who told it to upgrade without that
/// would spend an attempt that nobody counts, and get a result that belongs to none.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn trigger(
    store: &mut dyn Store,
    responder: &Responder,
    imei: Imei,
    now: i64,
) -> Result<Result<Attempt, Skipped>, StoreError> {
    let offer = responder.offer(imei);
    let mut triggered = Err(Skipped::NeverReported);
    store.write(Durability::Power, &mut |tx| {
        triggered = match plan::trigger(tx, imei, &offer, now)? {
            Ok((attempt, changes)) => {
                changes.apply(tx)?;
                Ok(attempt)
            }
            Err(skipped) => Err(skipped),
        };
        Ok(())
    })?;
    Ok(triggered)
}

/// Judges every attempt that is overdue, so that a brake is pulled even if no other device asks. A server
/// does so now and then; under CGI the next offer of the rollout does. Returns how many were; of very many the rest is
/// left for the next time.
///
/// # Errors
/// If the store fails; some may be judged then.
pub fn judge_overdue(store: &mut dyn Store, now: i64) -> Result<usize, StoreError> {
    let mut judged = 0;
    for _ in 0..PAGES {
        let mut overdue: Vec<(String, Imei)> = Vec::new();
        let find = &mut |tx: &mut dyn Tx| {
            overdue.clear();
            for rollout in tx.rollouts()? {
                let of_it = tx.overdue(&rollout.id, now, PAGE)?;
                overdue.extend(of_it.into_iter().map(|imei| (rollout.id.clone(), imei)));
            }
            Ok(())
        };
        store.read(find)?;
        if overdue.is_empty() {
            return Ok(judged);
        }
        let mut page = 0;
        store.write(Durability::Power, &mut |tx| {
            page = 0;
            for (id, imei) in &overdue {
                let Some(mut device) = tx.device(*imei, Some(id))? else { continue };
                // It may have asked since.
                let due = |offer: &OfferRecord| offer.deadline.is_some_and(|at| now >= at);
                if !device.offer(id).is_some_and(due) {
                    continue;
                }
                let (mut rollout, mut events) = (tx.rollout(id)?, Vec::new());
                outcome::settle(&mut device, &mut rollout, &Ending::Overdue, now, &mut events);
                tx.put_device(&device)?;
                tx.put_rollout(&rollout)?;
                events.iter().try_for_each(|event| tx.put_event(event))?;
                page += 1;
            }
            Ok(())
        })?;
        if page == 0 {
            return Ok(judged);
        }
        judged += page;
    }
    Ok(judged)
}
