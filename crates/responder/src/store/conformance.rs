//! What every store must do, as tests that run on each implementation.

#![allow(clippy::disallowed_methods, reason = "tests, of other crates too")]

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::{Durability, Standing, Store, StoreError, Tx};
use crate::fixture::{self, NOW, OneByOne as _, Out, aimed, check, imei, is_upgrade, notify, target};
use crate::record::{
    ChannelRecord, Clock, DeviceRecord, Event, EventKind, Halt, OfferRecord, Portion, Refusal, ReleaseRecord,
    ResultRecord, RolloutRecord, Sent, SettingsRecord, Verdict,
};
use crate::records::{Changes, Few, Keys};
use crate::waves::Waves;
use otapress_core::id::Imei;
use otapress_core::wire::{Brake, Target};

mod devices;
mod forgetting;
mod places;
mod rollouts;
mod whole;

pub use devices::{
    devices_come_in_pages, devices_come_with_all_their_offers,
    devices_come_with_the_offers_that_were_asked_for,
};
pub use forgetting::{
    a_reader_that_is_gone_is_forgotten, numbers_are_never_given_twice,
    old_events_are_forgotten_in_their_time, unknown_devices_are_bounded, unknown_devices_are_forgotten,
    what_a_reader_has_not_read_is_kept,
};
pub use places::{
    members_of_waves_come_in_pages, places_come_in_pages, who_left_a_wave_is_counted_there_no_more,
    who_left_gives_one_place_back_among_many,
};
pub use rollouts::{
    a_fault_in_one_channel_stops_its_release_everywhere,
    a_release_that_was_halted_a_month_ago_is_offered_at_once,
};
pub use whole::{
    events_are_never_seen_before_lower_ones, everything_is_copied_to_and_fro,
    what_was_loaded_is_saved_beside_what_was_not, what_was_put_is_read_in_the_same_transaction,
};

/// An implementation under test.
pub trait Subject: Sync {
    /// A new, empty store, which lives as long as the value.
    fn new() -> Self;
    /// Opens it once more, as another process would.
    fn open(&self) -> Box<dyn Store>;
}

/// Makes a test of each function of this module for a [`Subject`].
#[macro_export]
macro_rules! conformance {
    ($subject:ty: $($test:ident,)*) => {
        $(#[test] fn $test() { $crate::store::conformance::$test::<$subject>(); })*
    };
    ($subject:ty) => {
        $crate::conformance! { $subject:
            records_are_read_back, what_a_wave_counts_is_loaded, a_read_changes_nothing,
            a_failed_write_changes_nothing, rates_are_of_an_hour, overdue_offers_are_found,
            events_are_numbered, events_are_found_backwards_and_by_kind, cursors_only_advance,
            one_has_a_lease, unknown_devices_are_bounded, standings_are_counted, devices_come_in_pages,
            devices_come_with_all_their_offers, devices_come_with_the_offers_that_were_asked_for,
            attempts_hold_among_many, rates_hold_among_many,
            the_brake_holds_among_many, a_result_is_recorded_once_among_many,
            settings_are_confirmed_once_among_many, events_are_never_seen_before_lower_ones,
            what_was_put_is_read_in_the_same_transaction, what_was_loaded_is_saved_beside_what_was_not,
            everything_is_copied_to_and_fro,
            members_of_waves_come_in_pages, places_come_in_pages, who_left_a_wave_is_counted_there_no_more,
            who_left_gives_one_place_back_among_many,
            old_events_are_forgotten_in_their_time, what_a_reader_has_not_read_is_kept,
            numbers_are_never_given_twice, unknown_devices_are_forgotten,
            a_fault_in_one_channel_stops_its_release_everywhere,
            a_release_that_was_halted_a_month_ago_is_offered_at_once,
        }
    };
}
fn id(n: usize) -> Imei {
    imei(n).parse().unwrap()
}

/// Runs `work` in a transaction that writes, and returns what it returns.
fn write<T>(store: &mut dyn Store, mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>) -> T {
    let mut value = None;
    store.write(Durability::Process, &mut |tx| work(tx).map(|v| value = Some(v))).unwrap();
    value.unwrap()
}

/// The same in one that reads.
fn read<T>(store: &mut dyn Store, mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>) -> T {
    let mut value = None;
    store.read(&mut |tx| work(tx).map(|v| value = Some(v))).unwrap();
    value.unwrap()
}

fn offer(rollout: &str, at: i64) -> OfferRecord {
    OfferRecord {
        rollout: rollout.into(),
        target: "0.10.66".parse().unwrap(),
        attempts: 2,
        at,
        from: "0.10".parse().unwrap(),
        deadline: Some(at + 100),
        until: at + 200,
        answered: true,
        code: Some(900),
        verdict: Some(Verdict::Failed),
        artifact_fault: true,
        epoch: 4,
        place: true,
        proven: Some(3),
        since: Some(at + 300),
        blamed: Some(2),
        missing: Some(at + 400),
        wave: Some(500),
        outside: Some(at + 500),
    }
}

/// A device in whose record nothing is left out.
fn full_device(n: usize) -> DeviceRecord {
    DeviceRecord {
        client: Some("dev1".parse().unwrap()),
        last_seen: NOW + 1,
        reported: Some("0.10.65".parse().unwrap()),
        refusal: Some(Refusal::AttemptsUsed),
        settings: SettingsRecord {
            sent: Some(Sent {
                portion: Portion { generation: "g2".into(), is_complete: false },
                at: NOW + 2,
                target: Some("0.10.66".parse().unwrap()),
                checks: 2,
                checked: NOW + 5,
            }),
            confirmed: Some(Portion { generation: "g1".into(), is_complete: true }),
        },
        latest: Some("next/0.10.66".into()),
        offers: vec![
            offer("next/0.10.66", NOW + 3),
            OfferRecord {
                deadline: None,
                code: None,
                verdict: None,
                answered: false,
                artifact_fault: false,
                place: false,
                proven: None,
                since: None,
                blamed: None,
                missing: None,
                wave: None,
                outside: None,
                ..offer("old/0.9.1", NOW - 3)
            },
        ],
        result: Some(ResultRecord {
            at: NOW + 4,
            code: Some(904),
            text: "904 \u{e4}'\"\\u{a}".into(),
            rollout: Some("next/0.10.66".into()),
        }),
        budget: "7 494000 notified=12,offered=1".parse().unwrap(),
        ..DeviceRecord::new(id(n), NOW)
    }
}

/// A wave in whose record nothing is left out, and one of which little is known.
const WAVES: &str = r#"{"500":{"good":1,"bad":2,"devices":3,"fewer_since":4,"good_since":5,"opened":6},
    "10000":{"good":0,"bad":0,"devices":7}}"#;

pub fn records_are_read_back<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let devices = [full_device(1), DeviceRecord::new(id(2), NOW)];
    let rollouts = [
        RolloutRecord {
            brake: Some(Brake { artifact_faults: 1, failures_bp: 2, after: 3 }),
            epoch: 4,
            offered: 5,
            succeeded: 6,
            failed: 7,
            artifact_faults: 8,
            halted: Some(Halt { at: NOW, reason: "why".into() }),
            installed: 9,
            places: 10,
            proven: 11,
            proven_since: 12,
            attempts_since: 13,
            clock: Clock { heard: Some(NOW), lag: -14, patience: 15 },
            judged: Some(NOW + 16),
            waves: Waves::from_text(WAVES).unwrap(),
            ..RolloutRecord::new("a/1.0")
        },
        RolloutRecord::new("b/1.0"),
    ];
    let releases = [ReleaseRecord {
        epoch: 1,
        faults: 2,
        halted: Some(Halt { at: NOW, reason: "why".into() }),
        judged: NOW,
        ..ReleaseRecord::new("1.0.0")
    }];
    let channels =
        [ChannelRecord { name: "a".into(), clock: Clock { heard: Some(NOW), lag: 3, patience: 4 } }];
    let event = Event {
        at: NOW,
        kind: EventKind::Failed,
        imei: Some(id(1)),
        rollout: Some("a/1.0".into()),
        code: Some(904),
        detail: "more".into(),
    };
    // Written twice: what was there before is replaced.
    for _ in 0..2 {
        write(&mut *store, |tx| {
            let (releases, channels) = (releases.iter().collect(), channels.iter().collect());
            tx.put(&Changes { releases, channels, ..Changes::default() })?;
            devices.iter().try_for_each(|device| tx.put_device(device))?;
            rollouts.iter().try_for_each(|rollout| tx.put_rollout(rollout))
        });
    }
    write(&mut *store, |tx| tx.put_event(&event));
    read(&mut *subject.open(), |tx| {
        assert_eq!(tx.device(id(3))?, None);
        assert_eq!(tx.device_in(id(1), Some("old/0.9.1"))?.as_ref(), Some(&devices[0]));
        let latest = [devices[0].offers[0].clone()];
        assert_eq!(tx.device_in(id(1), None)?.unwrap().offers, latest);
        assert_eq!(tx.device_in(id(1), Some("next/0.10.66"))?.unwrap().offers, latest);
        assert_eq!(tx.device(id(1))?.as_ref(), Some(&devices[0]));
        assert_eq!(tx.device_in(id(2), Some("x"))?.as_ref(), Some(&devices[1]));
        assert_eq!(tx.devices_of_client(&"dev1".parse().unwrap())?, [id(1)]);
        assert_eq!(tx.devices_of_client(&"dev2".parse().unwrap())?, []);
        assert_eq!(tx.rollout("a/1.0")?, rollouts[0]);
        assert_eq!(tx.rollout("c/1.0")?, RolloutRecord::new("c/1.0"));
        assert_eq!(tx.rollouts()?, rollouts);
        assert_eq!((tx.releases()?, tx.channels()?), (releases.to_vec(), channels.to_vec()));
        assert_eq!(tx.places(0, 9)?, [], "of another epoch");
        let events = tx.events(0, 10)?;
        assert_eq!(events.iter().map(|(_, event)| event).collect::<Vec<_>>(), [&event]);
        Ok(())
    });
}

pub fn what_a_wave_counts_is_loaded<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let (offer, rollout) =
        (offer("old/0.9.1", NOW), RolloutRecord { proven: 7, ..RolloutRecord::new("old/0.9.1") });
    let mut device = full_device(1);
    device.offers = vec![OfferRecord { place: false, blamed: None, ..offer }];
    let loaded = |store: &mut dyn Store| {
        read(store, |tx| {
            let records = tx.load(
                &Keys { devices: Few::from_iter([(id(1), Some("next/0.10.66"))]), ..Keys::default() },
                NOW,
            )?;
            Ok((
                records.device(id(1)).map(|device| device.offers.clone()),
                records.rollout("old/0.9.1").cloned(),
            ))
        })
    };
    write(&mut *store, |tx| tx.put_device(&device).and_then(|()| tx.put_rollout(&rollout)));
    assert_eq!(loaded(&mut *store), (Some(device.offers.clone()), Some(rollout)));
    device.offers[0].wave = None;
    write(&mut *store, |tx| tx.put_device(&device));
    assert_eq!(loaded(&mut *store), (Some(Vec::new()), None));
}

pub fn a_read_changes_nothing<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let mut seen = 0;
    // An engine may refuse to write at all here.
    let _ = store.read(&mut |tx| {
        seen += 1;
        tx.put_device(&full_device(1))
    });
    assert!(seen > 0);
    assert_eq!(read(&mut *store, |tx| tx.device(id(1))), None);
}

pub fn a_failed_write_changes_nothing<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let failed = store.write(Durability::Power, &mut |tx| {
        tx.put_device(&full_device(1))?;
        Err(StoreError::Abandoned)
    });
    assert!(matches!(failed, Err(StoreError::Abandoned)), "{failed:?}");
    assert_eq!(read(&mut *store, |tx| tx.device(id(1))), None);
    write(&mut *store, |tx| tx.put_device(&full_device(2)));
    assert!(read(&mut *store, |tx| tx.device(id(2))).is_some(), "and the store is as good as before");
}

pub fn rates_are_of_an_hour<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let start = NOW - NOW.rem_euclid(60) + 59;
    write(&mut *store, |tx| tx.count_offer("next", start));
    write(&mut *store, |tx| tx.count_offer("next", start + 1));
    write(&mut *store, |tx| tx.count_offer("other", start));
    let mut count = |channel, now| read(&mut *store, |tx| tx.offers_in_hour(channel, now));
    assert_eq!(count("next", start + 1), 2);
    assert_eq!(count("other", start + 1), 1);
    assert_eq!(count("none", start + 1), 0);
    assert_eq!(count("next", start + 3599), 2, "an hour has not passed");
    assert!(count("next", start + 3600) <= 2, "rather too many than too few");
    assert_eq!(count("next", start + 3600 + 61), 0);
    write(&mut *store, |tx| tx.count_offer("next", start + 3600 + 61));
    assert_eq!(read(&mut *store, |tx| tx.offers_in_hour("next", start + 3600 + 61)), 1);
}

pub fn overdue_offers_are_found<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| {
        (1..=3).try_for_each(|n| {
            let mut device = full_device(n);
            device.offers[0].deadline = Some(NOW + n as i64);
            tx.put_device(&device)
        })
    });
    let mut overdue =
        |rollout, now, limit| read(&mut *store, |tx| tx.overdue(rollout, now, limit)) as Vec<Imei>;
    assert_eq!(overdue("next/0.10.66", NOW, 10), []);
    assert_eq!(overdue("next/0.10.66", NOW + 2, 10), [id(1), id(2)]);
    assert_eq!(overdue("next/0.10.66", NOW + 9, 1), [id(1)]);
    assert_eq!(overdue("old/0.9.1", NOW + 9, 10), [], "none is awaited");
}

pub fn events_are_numbered<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    for n in 0..5 {
        let event = Event {
            at: NOW,
            kind: EventKind::ALL[n],
            imei: (n > 0).then(|| id(n % 2)),
            rollout: None,
            code: None,
            detail: String::new(),
        };
        write(&mut *store, |tx| tx.put_event(&event));
    }
    let all = read(&mut *store, |tx| tx.events(0, 10));
    assert!(all.is_sorted_by(|a, b| a.0 < b.0) && all[0].0 > 0, "{all:?}");
    assert_eq!(all.iter().map(|(_, event)| event.kind).collect::<Vec<_>>(), &EventKind::ALL[..5]);
    assert_eq!(read(&mut *store, |tx| tx.events(all[1].0, 2)), all[2..4]);
    assert_eq!(read(&mut *store, |tx| tx.events(all[4].0, 2)), []);
    let of_one = read(&mut *store, |tx| tx.events_of(id(1), 10));
    assert_eq!(of_one, [all[3].clone(), all[1].clone()]);
    assert_eq!(read(&mut *store, |tx| tx.events_of(id(1), 1)), [all[3].clone()]);
}

pub fn events_are_found_backwards_and_by_kind<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    for n in 0..6 {
        let kind = if n % 2 == 0 { EventKind::FirstSeen } else { EventKind::VersionChanged };
        let detail = format!("{n}");
        let event = Event { at: NOW, kind, imei: None, rollout: None, code: None, detail };
        write(&mut *store, |tx| tx.put_event(&event));
    }
    let all = read(&mut *store, |tx| tx.events(0, 10));
    let backwards: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(read(&mut *store, |tx| tx.events_before(i64::MAX, 10)), backwards);
    assert_eq!(read(&mut *store, |tx| tx.events_before(i64::MAX, 2)), backwards[..2]);
    assert_eq!(read(&mut *store, |tx| tx.events_before(backwards[1].0, 3)), backwards[2..5]);
    assert_eq!(read(&mut *store, |tx| tx.events_before(all[0].0, 3)), []);
    let changed = [all[1].clone(), all[3].clone(), all[5].clone()];
    let mut of_kind =
        |after, limit| read(&mut *store, |tx| tx.events_of_kinds(&[EventKind::VersionChanged], after, limit));
    assert_eq!(of_kind(0, 10), changed);
    assert_eq!(of_kind(0, 2), changed[..2]);
    assert_eq!(of_kind(changed[0].0, 1), changed[1..2]);
    assert_eq!(of_kind(changed[2].0, 1), []);
}

pub fn cursors_only_advance<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let cursors = || read(&mut *subject.open(), |tx| Ok((tx.cursor("relay")?, tx.cursor("other")?)));
    assert_eq!(cursors(), (0, 0));
    for (seq, expected) in [(3, 3), (i64::MAX - 1, i64::MAX - 1), (5, i64::MAX - 1)] {
        write(&mut *store, |tx| tx.put_cursor("relay", seq));
        assert_eq!(cursors(), (expected, 0), "after {seq}");
    }
    let failed = store.write(Durability::Power, &mut |tx| {
        tx.put_cursor("other", 1)?;
        assert_eq!(tx.cursor("other")?, 1, "a transaction sees what it has put");
        Err(StoreError::Abandoned)
    });
    assert!(failed.is_err());
    assert_eq!(cursors(), (i64::MAX - 1, 0));
}

pub fn one_has_a_lease<S: Subject>() {
    let subject = S::new();
    let (mut store, mut other) = (subject.open(), subject.open());
    let mut lease = store.lease("relay").unwrap().expect("nobody has it");
    assert!(lease.holds());
    assert!(other.lease("relay").unwrap().is_none());
    assert!(other.lease("another").unwrap().is_some(), "names do not matter to each other");
    // It is the process that has it, and neither needs the store any more nor is in its way.
    write(&mut *store, |tx| tx.put_cursor("relay", 1));
    drop(store);
    assert!(lease.holds());
    assert!(other.lease("relay").unwrap().is_none());
    write(&mut *other, |tx| tx.put_cursor("relay", 2));
    drop(lease);
    let mut taken = None;
    // A server may need a moment to see that a connection has ended.
    for _ in 0..100 {
        taken = other.lease("relay").unwrap();
        if taken.is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(taken.expect("it was given back").holds());

    let winners = many(&subject, |_, store| store.lease("many").unwrap());
    assert_eq!(winners.iter().flatten().count(), 1);
}

pub fn standings_are_counted<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let stands = [
        (None, None),
        (Some(Verdict::Installed), Some(900)),
        (Some(Verdict::Succeeded), Some(900)),
        (Some(Verdict::Failed), Some(904)),
        (Some(Verdict::Failed), None),
    ];
    write(&mut *store, |tx| {
        stands.iter().enumerate().try_for_each(|(n, &(verdict, code))| {
            let mut device = full_device(n);
            device.offers[0].verdict = verdict;
            device.offers[0].code = code;
            device.offers.truncate(1);
            tx.put_device(&device)
        })
    });
    let standing = Standing { open: 2, installed: 1, succeeded: 1, failed: 2 };
    assert_eq!(read(&mut *store, |tx| tx.standings()), [("next/0.10.66".to_owned(), standing)]);
}

/// Runs `work` in eight threads with a handle each; returns what they return.
fn many<S: Subject, T: Send>(subject: &S, work: impl Fn(usize, &mut dyn Store) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let handles: Vec<_> = (0..8)
            .map(|n| {
                let work = &work;
                scope.spawn(move || work(n, &mut *subject.open()))
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

pub fn attempts_hold_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    out.publish(1, &aimed(target("0.10.66")));
    let responder = out.responder();
    // Eight times the same question at once, ten times a minute apart.
    for minute in 0..10 {
        let upgrades =
            many(&subject, |_, store| is_upgrade(&check(&responder, store, 1, "0.10.65", NOW + minute * 60)));
        assert_eq!(upgrades, [minute < 3; 8], "minute {minute}");
    }
    read(&mut *subject.open(), |tx| {
        assert_eq!(tx.device(id(1))?.unwrap().latest_offer().unwrap().attempts, 3);
        assert_eq!(tx.rollout("next/0.10.66")?.offered, 1);
        let kinds: Vec<_> = tx.events(0, 100)?.into_iter().map(|(_, event)| event.kind).collect();
        let offered = EventKind::Offered;
        assert_eq!(kinds, [EventKind::FirstSeen, offered, offered, offered]);
        Ok(())
    });
}

pub fn rates_hold_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::unlimited());
    for n in 0..40 {
        out.publish(n, &aimed(Target { rate: Some(13), ..target("0.10.66") }));
    }
    let responder = out.responder();
    let upgrades = many(&subject, |thread, store| {
        (0..5)
            .filter(|i| is_upgrade(&check(&responder, store, thread * 5 + i, "0.10.65", NOW + *i as i64)))
            .count()
    });
    assert_eq!(upgrades.iter().sum::<usize>(), 13);
    assert_eq!(read(&mut *subject.open(), |tx| tx.rollout("next/0.10.66")).offered, 13);
}

pub fn the_brake_holds_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::unlimited());
    for n in 0..9 {
        out.publish(n, &aimed(target("0.10.66")));
    }
    let responder = out.responder();
    many(&subject, |n, store| assert!(is_upgrade(&check(&responder, store, n, "0.10.65", NOW))));
    many(&subject, |n, store| {
        for _ in 0..3 {
            assert_eq!(notify(&responder, store, n, "905 Attribute mismatch", NOW + 60).status, 200);
        }
    });
    read(&mut *subject.open(), |tx| {
        let rollout = tx.rollout("next/0.10.66")?;
        assert_eq!((rollout.artifact_faults, rollout.failed, rollout.offered), (8, 8, 8));
        assert!(rollout.halted.is_some());
        let events = tx.events(0, 100)?;
        assert_eq!(events.iter().filter(|(_, event)| event.kind == EventKind::Halted).count(), 1);
        Ok(())
    });
    assert!(!is_upgrade(&check(&responder, &mut *subject.open(), 8, "0.10.65", NOW + 61)));
}

pub fn a_result_is_recorded_once_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    out.publish(1, &aimed(target("0.10.66")));
    let responder = out.responder();
    check(&responder, &mut *subject.open(), 1, "0.10.65", NOW);
    many(&subject, |_, store| {
        assert_eq!(notify(&responder, store, 1, "900 Success", NOW + 60).status, 200);
    });
    let events = read(&mut *subject.open(), |tx| tx.events(0, 100));
    let kinds: Vec<_> = events.iter().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::FirstSeen, EventKind::Offered, EventKind::Installed]);
    let numbers: BTreeSet<_> = events.iter().map(|(seq, _)| seq).collect();
    assert_eq!(numbers.len(), 3);
}

pub fn settings_are_confirmed_once_among_many<S: Subject>() {
    let (subject, out) = (S::new(), Out::new());
    out.publish(1, &fixture::settings("g", &[("qos", "2")]));
    let responder = out.responder();
    let sent = r#"{"upgrade":0,"settings":[{"key":"qos","val":"2"}]}"#;
    for (now, body) in [(NOW, sent), (NOW + 10_800, otapress_core::wire::NO)] {
        many(&subject, |_, store| assert_eq!(check(&responder, store, 1, "0.10.65", now).body, body));
    }
    let events = read(&mut *subject.open(), |tx| tx.events_of(id(1), 10));
    let kinds: Vec<_> = events.iter().rev().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::FirstSeen, EventKind::SettingsSent, EventKind::SettingsConfirmed]);
}
