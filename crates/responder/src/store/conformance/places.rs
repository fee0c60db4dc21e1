//! Places: which there are, and how a device that left the fleet gives its own back.

use super::{Subject, full_device, id, many, read, write};
use crate::departed::look;
use crate::fixture::{NOW, OneByOne as _, Out, aimed, check, is_upgrade, target};
use crate::record::{EventKind, RolloutRecord};
use crate::store::{Member, Place};
use otapress_core::wire::{Limit, Target, Wave};

pub fn places_come_in_pages<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| {
        let mut earlier = full_device(9);
        earlier.offers[0].epoch = 3;
        tx.put_device(&earlier)?;
        (0..3).try_for_each(|n| tx.put_device(&full_device(n)))?;
        tx.put_rollout(&RolloutRecord { epoch: 4, ..RolloutRecord::new("next/0.10.66") })
    });
    let missing = full_device(0).offers[0].missing;
    let place = |n| Place { rollout: "next/0.10.66".into(), imei: id(n), missing };
    assert_eq!(read(&mut *store, |tx| tx.places(0, 9)), [place(0), place(1), place(2)]);
    assert_eq!(read(&mut *store, |tx| tx.places(1, 1)), [place(1)]);
    assert_eq!(read(&mut *store, |tx| tx.places(3, 9)), []);
}

pub fn members_of_waves_come_in_pages<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| (0..3).try_for_each(|n| tx.put_device(&full_device(n))));
    let outside = full_device(0).offers[0].outside;
    let member = |n| Member { imei: id(n), wave: 500, outside };
    assert_eq!(read(&mut *store, |tx| tx.member_count("next/0.10.66")), 3);
    assert_eq!(read(&mut *store, |tx| tx.members("next/0.10.66", 0, 9)), [member(0), member(1), member(2)]);
    assert_eq!(read(&mut *store, |tx| tx.members("next/0.10.66", 1, 1)), [member(1)]);
    assert_eq!(read(&mut *store, |tx| tx.members("next/0.10.66", 3, 9)), []);
    assert_eq!(
        read(&mut *store, |tx| Ok((tx.member_count("old/0.9.1")?, tx.members("x/1", 0, 9)?))),
        (0, vec![])
    );
}

pub fn who_left_a_wave_is_counted_there_no_more<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    let mut store = subject.open();
    let wave = |wave, devices| Wave { wave, devices, at: None, after: None };
    out.expect_waves("next/0.10.66", vec![wave(500, 2), wave(10_000, 0)], Limit::DEFAULT);
    (0..3).for_each(|n| out.publish(n, &aimed(Target { wave: Some(500), ..target("0.10.66") })));
    let responder = out.responder();
    (0..3).for_each(|n| assert!(!is_upgrade(&check(&responder, &mut *store, n, "0.10.66", NOW))));
    std::fs::remove_file(out.answer(1)).unwrap();
    let mut good = |at| {
        many(&subject, |_, store| look(store, &responder, at).unwrap());
        read(&mut *store, |tx| tx.rollout("next/0.10.66")).waves.get(500).good
    };
    assert_eq!([good(NOW + 60), good(NOW + 3659), good(NOW + 3660), good(NOW + 9000)], [3, 3, 2, 2]);
}

pub fn who_left_gives_one_place_back_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    let mut store = subject.open();
    (0..9).for_each(|n| out.publish(n, &aimed(target("0.10.66"))));
    let responder = out.responder();
    (0..3).for_each(|n| assert!(is_upgrade(&check(&responder, &mut *store, n, "0.10.65", NOW))));
    std::fs::remove_file(out.answer(1)).unwrap();
    let freed = |at| -> usize {
        many(&subject, |_, store| look(store, &responder, at).unwrap().len()).into_iter().sum()
    };
    assert_eq!(freed(NOW + 60), 0);
    assert_eq!(freed(NOW + 3659), 0);
    assert_eq!(freed(NOW + 3660), 1, "all of them look");
    let (rollout, events) = read(&mut *store, |tx| {
        Ok((tx.rollout("next/0.10.66")?, tx.events_of_kinds(&[EventKind::PlaceFreed], 0, 9)?))
    });
    assert_eq!((rollout.places, events.len()), (2, 1));
    let told = many(&subject, |n, store| is_upgrade(&check(&responder, store, n + 1, "0.10.65", NOW + 3700)));
    // Device 1 is unknown now; device 2 comes back, and is told again.
    assert_eq!(told.iter().filter(|told| **told).count(), 2, "{told:?}");
    assert_eq!(read(&mut *store, |tx| tx.rollout("next/0.10.66")).places, 3);
}
