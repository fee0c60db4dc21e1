//! What the operator does to the records: new attempts for devices, rollouts that go on.

use super::outcome;
use crate::id::Imei;
use crate::store::{Durability, Store, StoreError};

/// How many devices are looked at in one transaction: enough to be quick, few enough that a device which
/// asks meanwhile does not wait.
const PAGE: u32 = 500;

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
