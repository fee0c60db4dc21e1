//! Places of devices that left the fleet.
//!
//! A device that was sent a release and is taken out of the fleet would keep its place for ever. It has left
//! when its answer file is missing at two looks that are an hour apart, so that a copy of `out/` which is
//! half made frees nothing. Every responder looks at its own copy of `out/`: where the copies differ, one
//! that has the file takes back what another one has missed.

use super::moved;
use super::outcome;
use super::records::Keys;
use super::service::Responder;
use super::turns::turn;
use crate::store::{Durability, Store, StoreError};
use otapress_core::id::Imei;

pub use super::turns::LOOKS;

/// The cursor that keeps the minute of the last look of [`look_in_passing`].
pub(super) const CURSOR: &str = "looks";

/// How far clocks of hosts may differ, in minutes.
const SKEW_MINUTES: i64 = 5;

/// Looks whether the devices that take a place are still in the fleet, and whether those that are counted in
/// a wave belong there: at all of them, or, of more than [`LOOKS`], in every minute at others. Returns the
/// rollouts and the devices that gave their place back.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn look(
    store: &mut dyn Store,
    responder: &Responder,
    now: i64,
) -> Result<Vec<(String, Imei)>, StoreError> {
    let Ok(site) = responder.site() else { return Ok(Vec::new()) };
    moved::look(store, responder, site, now)?;
    let mut places = Vec::new();
    store.read(&mut |tx| {
        let taken: u32 = tx.rollouts()?.iter().map(|rollout| rollout.places).sum();
        let (offset, limit) = turn(taken, now);
        places = tx.places(offset, limit)?;
        Ok(())
    })?;
    let (mut missing, mut there): (Vec<_>, Vec<_>) =
        places.into_iter().partition(|place| responder.misses(place.imei));
    if !missing.is_empty() && !responder.is_complete() {
        missing.clear();
    }
    there.retain(|place| place.missing.is_some());
    let looks: Vec<_> =
        missing.iter().map(|place| (place, true)).chain(there.iter().map(|place| (place, false))).collect();
    let mut freed = Vec::new();
    if looks.is_empty() {
        return Ok(freed);
    }
    let devices = looks.iter().map(|(place, _)| (place.imei, Some(&*place.rollout))).collect();
    let keys = Keys { devices, ..Keys::default() };
    store.write(Durability::Process, &mut |tx| {
        freed.clear();
        let mut records = tx.load(&keys, now)?;
        for (place, is_missing) in &looks {
            let mut ledger = records.ledger(place.imei, &place.rollout, None, now);
            if outcome::looked_for(&mut ledger, *is_missing, now) {
                freed.push((place.rollout.clone(), place.imei));
            }
        }
        tx.save(&records)
    })?;
    Ok(freed)
}

/// The same for processes that live for one request each: the first one in a minute looks.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub fn look_in_passing(
    store: &mut dyn Store,
    responder: &Responder,
    now: i64,
) -> Result<Vec<(String, Imei)>, StoreError> {
    let minute = now.div_euclid(60);
    // A clock that was wrong has left a minute that is yet to come.
    let is_due = |last: i64| !(minute..=minute + SKEW_MINUTES).contains(&last);
    let mut due = false;
    store.read(&mut |tx| {
        due = is_due(tx.cursor(CURSOR)?);
        Ok(())
    })?;
    if !due {
        return Ok(Vec::new());
    }
    store.write(Durability::Process, &mut |tx| {
        due = is_due(tx.cursor(CURSOR)?);
        tx.put_cursor(CURSOR, minute)
    })?;
    if due { look(store, responder, now) } else { Ok(Vec::new()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{NOW, Out, aimed, check, imei, is_upgrade, target};
    use crate::record::{EventKind, Refusal};
    use crate::store::Tx;
    use crate::store::sqlite::SqliteStore;
    use otapress_core::wire::{Limit, Target, Wave};
    use std::fs;
    use std::time::Duration;

    const HOUR: i64 = 3600;

    struct World {
        out: Out,
        store: SqliteStore,
        _state: tempfile::TempDir,
    }

    impl World {
        /// Devices 0 to 3; the first three take the places there are.
        fn new() -> World {
            let (out, state) = (Out::new(), tempfile::tempdir().unwrap());
            (0..4).for_each(|n| out.publish(n, &aimed(target("0.10.66"))));
            let store = SqliteStore::open(state.path(), Duration::from_secs(10)).unwrap();
            let mut world = World { out, store, _state: state };
            for n in 0..3 {
                assert!(is_upgrade(&check(&world.out.responder(), &mut world.store, n, "0.10.65", NOW)));
            }
            world
        }

        fn leaves(&self, n: usize) {
            fs::remove_file(self.out.answer(n)).unwrap();
        }

        /// How many places a look at that time frees. The fourth device keeps on asking.
        fn freed(&mut self, now: i64) -> usize {
            check(&self.out.responder(), &mut self.store, 3, "0.10.65", now - 1);
            look(&mut self.store, &self.out.responder(), now).unwrap().len()
        }
    }

    #[test]
    fn a_device_that_left_gives_its_place_back_after_two_looks_an_hour_apart() {
        let mut world = World::new();
        world.leaves(1);
        assert_eq!(world.freed(NOW + 60), 0);
        assert_eq!(world.freed(NOW + 60 + HOUR - 1), 0);
        assert_eq!(world.freed(NOW + 60 + HOUR), 1);
        assert_eq!(world.freed(NOW + 60 + 2 * HOUR), 0, "once");
        let mut events = Vec::new();
        world
            .store
            .read(&mut |tx| {
                events = tx.events_of_kinds(&[EventKind::PlaceFreed], 0, 9)?;
                assert_eq!(tx.rollout("next/0.10.66")?.places, 3, "the fourth has it now");
                Ok(())
            })
            .unwrap();
        let [(_, event)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((event.imei, event.rollout.as_deref()), (imei(1).parse().ok(), Some("next/0.10.66")));
    }

    #[test]
    fn who_left_is_no_longer_among_those_who_failed() {
        let mut world = World::new();
        let wave = |wave, devices| Wave { wave, devices, at: None, after: None };
        world.out.expect_waves("next/0.10.66", vec![wave(500, 3), wave(10_000, 0)], Limit::DEFAULT);
        for n in 0..4 {
            world.out.publish(n, &aimed(Target { wave: Some(500), ..target("0.10.66") }));
            check(&world.out.responder(), &mut world.store, n, "0.10.65", NOW + 30);
        }
        (1..4).for_each(|n| assert_eq!(world.freed(NOW + 3 * n * HOUR), 0));
        let failed = |world: &mut World| {
            let mut failed = 0;
            let read = &mut |tx: &mut dyn Tx| {
                failed = tx.rollout("next/0.10.66")?.waves.get(500).bad;
                Ok(())
            };
            world.store.read(read).unwrap();
            failed
        };
        assert_eq!(failed(&mut world), 3, "they were not heard of in time");
        world.leaves(1);
        assert_eq!((world.freed(NOW + 9 * HOUR + 60), failed(&mut world)), (0, 3));
        assert_eq!((world.freed(NOW + 10 * HOUR + 60), failed(&mut world)), (1, 2));
    }

    #[test]
    fn a_file_that_comes_back_begins_anew() {
        let mut world = World::new();
        world.leaves(1);
        assert_eq!(world.freed(NOW + 60), 0);
        world.out.publish(1, &aimed(target("0.10.66")));
        assert_eq!(world.freed(NOW + HOUR), 0);
        world.leaves(1);
        assert_eq!(world.freed(NOW + HOUR + 120), 0);
        assert_eq!(world.freed(NOW + 2 * HOUR + 120), 1);
    }

    #[test]
    fn a_copy_that_is_not_whole_frees_nothing() {
        let hours = |world: &mut World| (0..9).map(|n| world.freed(NOW + 60 + n * HOUR)).sum::<usize>();
        let vc = |world: &World| world.out.answer(0).parent().unwrap().to_owned();
        // Nothing of it, its mark alone, and a directory that cannot be read.
        let mut world = World::new();
        fs::rename(world.out.path().join("otapress.json"), world.out.path().join("elsewhere")).unwrap();
        (0..3).for_each(|n| world.leaves(n));
        assert_eq!(hours(&mut world), 0);
        let mut world = World::new();
        fs::remove_dir_all(vc(&world)).unwrap();
        assert_eq!(hours(&mut world), 0);
        let mut world = World::new();
        fs::remove_dir_all(vc(&world)).unwrap();
        fs::write(vc(&world), "a file").unwrap();
        assert_eq!(hours(&mut world), 0);
        // `otapress.json` knows of more devices than there are answers.
        let mut world = World::new();
        world.out.expect_devices("next/0.10.66", 4);
        (0..3).for_each(|n| world.leaves(n));
        assert_eq!(hours(&mut world), 0);
        world.out.expect_devices("next/0.10.66", 1);
        assert_eq!(hours(&mut world), 3);
    }

    #[test]
    fn a_copy_that_has_the_file_takes_back_what_another_one_misses() {
        let mut world = World::new();
        let other = Out::new();
        (0..4).filter(|n| *n != 1).for_each(|n| other.publish(n, &aimed(target("0.10.66"))));
        for n in 0..9 {
            assert_eq!(look(&mut world.store, &other.responder(), NOW + n * HOUR).unwrap(), []);
            assert_eq!(world.freed(NOW + n * HOUR + 1800), 0);
        }
    }

    #[test]
    fn a_step_of_the_clock_is_no_hour() {
        let mut world = World::new();
        world.leaves(1);
        assert_eq!(world.freed(NOW + 60), 0);
        // Three days ahead, and nobody has asked since.
        assert_eq!(look(&mut world.store, &world.out.responder(), NOW + 3 * 86_400).unwrap(), []);
        assert_eq!(world.freed(NOW + 3 * 86_400), 0);
        assert_eq!(world.freed(NOW + HOUR), 0, "and back");
    }

    #[test]
    fn in_passing_one_look_is_taken_in_a_minute() {
        let mut world = World::new();
        world.leaves(1);
        let responder = world.out.responder();
        let passing = |store: &mut SqliteStore, now| look_in_passing(store, &responder, now).unwrap().len();
        let minute = NOW.div_euclid(60) * 60;
        assert_eq!(passing(&mut world.store, minute + HOUR), 0);
        assert_eq!(passing(&mut world.store, minute + 2 * HOUR), 1);
        world.leaves(2);
        assert_eq!(passing(&mut world.store, minute + 2 * HOUR + 59), 0, "not looked at");
        assert_eq!(passing(&mut world.store, minute + 3 * HOUR), 0, "so this is the first time");
        assert_eq!(passing(&mut world.store, minute + 4 * HOUR), 1);
    }

    #[test]
    fn who_left_and_comes_back_takes_a_place_again() {
        let mut world = World::new();
        world.leaves(1);
        world.freed(NOW + 60);
        assert_eq!(world.freed(NOW + 60 + HOUR), 1);
        world.out.publish(1, &aimed(target("0.10.66")));
        world.freed(NOW + 60 + 2 * HOUR);
        let back = check(&world.out.responder(), &mut world.store, 1, "0.10.65", NOW + 3 * HOUR);
        assert_eq!(back.log_kind, Refusal::Proving.as_str(), "device 3 has its place");
    }
}
