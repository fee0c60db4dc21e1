//! Devices that are counted in a wave, and that the fleet has taken out of it since they asked last.
//!
//! A device is counted where its answer puts it when it asks. One that never asks again, like a tracker that
//! was replaced or lies in the workshop, would stay among the verdicts of its wave for ever. So the answer
//! files are looked at, in turns: a device whose answer names another wave counts there at once; one whose
//! answer names none, or is missing, counts no more after two looks that are an hour apart.

use super::offer::Offer;
use super::question::NoOffer;
use super::records::Keys;
use super::service::Responder;
use super::turns::turn;
use super::waves;
use crate::store::{Durability, Store, StoreError};
use otapress_core::wire::Site;

/// Looks whether the devices that are counted in waves still belong there.
///
/// # Errors
/// If the store fails; nothing was changed then.
pub(super) fn look(
    store: &mut dyn Store,
    responder: &Responder,
    site: &Site,
    now: i64,
) -> Result<(), StoreError> {
    let mut members = Vec::new();
    store.read(&mut |tx| {
        members.clear();
        for (id, _) in site.rollouts.iter().filter(|(_, rollout)| rollout.has_several_waves()) {
            let (offset, limit) = turn(tx.member_count(id)?, now);
            members.extend(tx.members(id, offset, limit)?.into_iter().map(|member| (&**id, member)));
        }
        Ok(())
    })?;
    let mut looks = Vec::new();
    for (id, member) in members {
        let named = match responder.offer(member.imei, None) {
            Ok(Offer::Managed(managed)) => {
                managed.wave().filter(|(rollout, _)| *rollout == id).map(|(_, wave)| wave.wave)
            }
            Ok(Offer::Held) | Err(NoOffer::Unknown) => None,
            Err(NoOffer::Broken(_)) => continue,
        };
        if named != Some(member.wave) || member.outside.is_some() {
            looks.push((id, member.imei, named));
        }
    }
    if looks.iter().any(|(.., named)| named.is_none()) && !responder.is_complete() {
        looks.retain(|(.., named)| named.is_some());
    }
    if looks.is_empty() {
        return Ok(());
    }
    let devices = looks.iter().map(|(id, imei, _)| (*imei, Some(*id))).collect();
    let keys = Keys { devices, ..Keys::default() };
    store.write(Durability::Process, &mut |tx| {
        let mut records = tx.load(&keys, now)?;
        for (id, imei, named) in &looks {
            waves::looked_for(&mut records.ledger(*imei, id, None, now), *named, now);
        }
        tx.save(&records)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::departed;
    use crate::fixture::{NOW, Out, aimed, check, is_upgrade, notify, settings, target};
    use crate::store::sqlite::SqliteStore;
    use crate::waves::WaveRecord;
    use otapress_core::wire::{After, AnswerFile, Brake, Limit, Target, Wave};
    use std::fs;
    use std::time::Duration;

    const HOUR: i64 = 3600;
    const ROLLOUT: &str = "next/0.10.66";
    const AFTER: After = After { success_bp: 9_500, reached_bp: 5_000, soak: 0 };

    struct World {
        out: Out,
        store: SqliteStore,
        _state: tempfile::TempDir,
    }

    fn in_wave(wave: u16) -> AnswerFile {
        let brake = Brake { artifact_faults: 0, failures_bp: 10_000, after: 1 };
        aimed(Target { wave: Some(wave), brake, ..target("0.10.66") })
    }

    impl World {
        /// Devices 0 to 3 are in the first wave, 4 to 7 in the second, which waits.
        fn new() -> World {
            let (out, state) = (Out::new(), tempfile::tempdir().unwrap());
            (0..4).for_each(|n| out.publish(n, &in_wave(500)));
            (4..8).for_each(|n| out.publish(n, &in_wave(10_000)));
            let store = SqliteStore::open(state.path(), Duration::from_secs(10)).unwrap();
            let world = World { out, store, _state: state };
            world.publish_waves(500, 4);
            world
        }

        fn publish_waves(&self, first: u16, devices: u32) {
            let wave = |wave, devices, after| Wave { wave, devices, at: None, after };
            let waves = vec![wave(first, devices, None), wave(10_000, 4, Some(AFTER))];
            self.out.expect_waves(ROLLOUT, waves, Limit::Unlimited);
        }

        fn check(&mut self, n: usize, version: &str, now: i64) -> bool {
            is_upgrade(&check(&self.out.responder(), &mut self.store, n, version, now))
        }

        /// A device of the second wave asks every hour, and looks are taken. Returns when it was told first.
        fn told(&mut self, from: i64, hours: i64) -> Option<i64> {
            (0..=hours).find(|hour| {
                let now = from + hour * HOUR;
                let told = self.check(7, "0.10.65", now);
                departed::look(&mut self.store, &self.out.responder(), now + 1).unwrap();
                told
            })
        }

        fn wave(&mut self, wave: u16) -> (u32, u32) {
            let mut record = WaveRecord::default();
            let read = &mut |tx: &mut dyn crate::store::Tx| {
                record = tx.rollout(ROLLOUT)?.waves.get(wave);
                Ok(())
            };
            self.store.read(read).unwrap();
            (record.good, record.bad)
        }
    }

    #[test]
    fn what_a_device_showed_counts_no_more_when_it_is_taken_out_and_never_asks_again() {
        let elsewhere = aimed(Target { rollout: "main/0.10.66".into(), ..target("0.10.66") });
        for left in [None, Some(settings("g1", &[])), Some(elsewhere)] {
            let mut world = World::new();
            assert!(world.check(0, "0.10.65", NOW));
            assert!(!world.check(0, "0.10.66", NOW + 600));
            assert_eq!(world.wave(500), (1, 0));
            match &left {
                None => fs::remove_file(world.out.answer(0)).unwrap(),
                Some(file) => world.out.publish(0, file),
            }
            world.publish_waves(500, 3);
            assert_eq!(world.told(NOW + HOUR, 24), None, "{left:?}: of the three others none has a verdict");
            assert_eq!(world.wave(500), (0, 0), "{left:?}");
            // It works, and comes back.
            world.out.publish(0, &in_wave(500));
            world.check(0, "0.10.66", NOW + 30 * HOUR);
            assert_eq!(world.wave(500), (1, 0), "{left:?}");
        }
    }

    #[test]
    fn one_look_is_not_enough_and_what_is_put_back_begins_anew() {
        let mut world = World::new();
        world.check(0, "0.10.66", NOW);
        for hour in 1..9 {
            if hour % 2 == 1 {
                fs::remove_file(world.out.answer(0)).unwrap();
            } else {
                world.out.publish(0, &in_wave(500));
            }
            assert_eq!(world.told(NOW + hour * 1800, 0), None);
            assert_eq!(world.wave(500), (1, 0));
        }
        // Nor is a copy that is half made: it has fewer answers than `otapress.json` has devices.
        (0..3).for_each(|n| fs::remove_file(world.out.answer(n)).unwrap());
        assert_eq!(world.told(NOW + 12 * HOUR, 12), None);
        assert_eq!(world.wave(500), (1, 0));
    }

    #[test]
    fn who_failed_and_is_silent_is_counted_in_the_wave_that_takes_the_place_of_its_own() {
        for (first, is_known_before_a_look) in [(600, true), (400, false)] {
            let mut world = World::new();
            for n in 0..3 {
                assert!(world.check(n, "0.10.65", NOW));
            }
            notify(&world.out.responder(), &mut world.store, 1, "904 x", NOW + 600);
            for n in [0, 2] {
                world.check(n, "0.10.66", NOW + 600);
            }
            assert_eq!((world.wave(500), world.told(NOW + HOUR, 1)), ((2, 1), None));
            (0..4).for_each(|n| world.out.publish(n, &in_wave(first)));
            world.publish_waves(first, 4);
            let edited = NOW + 3 * HOUR;
            if !is_known_before_a_look {
                departed::look(&mut world.store, &world.out.responder(), edited).unwrap();
            }
            for n in [0, 2] {
                world.check(n, "0.10.66", edited);
            }
            assert_eq!(world.told(edited + 60, 9), None, "one of three with a verdict has failed");
            assert_eq!((world.wave(500), world.wave(first)), ((0, 0), (2, 1)));
        }
    }
}
