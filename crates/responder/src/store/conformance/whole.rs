//! What holds of a transaction and of a store as a whole, however an engine goes about it.

use std::time::Duration;

use super::{Subject, full_device, id, many, offer, read, write};
use crate::fixture::{NOW, OneByOne as _};
use crate::record::{ChannelRecord, Event, EventKind, ReleaseRecord, RolloutRecord, UnknownRecord};
use crate::records::{Changes, Few, Keys};
use crate::store::copy::{CopyError, copy};
use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, Store, StoreError, Tx};

pub fn events_are_never_seen_before_lower_ones<S: Subject>() {
    let subject = S::new();
    drop(subject.open());
    let event = Event {
        at: NOW,
        kind: EventKind::Offered,
        imei: Some(id(1)),
        rollout: None,
        code: None,
        detail: String::new(),
    };
    // Seven append, one reads on from the last that it has seen.
    let seen = many(&subject, |n, store| {
        if n > 0 {
            (0..20).for_each(|_| write(store, |tx| tx.put_event(&event)));
            return Vec::new();
        }
        let mut seen: Vec<i64> = Vec::new();
        while seen.len() < 140 {
            let after = seen.last().copied().unwrap_or(0);
            seen.extend(read(store, |tx| tx.events(after, 10)).iter().map(|(seq, _)| seq));
        }
        seen
    });
    let all = read(&mut *subject.open(), |tx| tx.events(0, 1000));
    assert_eq!(seen[0], all.iter().map(|(seq, _)| *seq).collect::<Vec<_>>());
}

pub fn what_was_put_is_read_in_the_same_transaction<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| (0..3).try_for_each(|n| tx.put_device(&full_device(n))));
    let client = "dev1".parse().unwrap();
    write(&mut *store, |tx| {
        assert_eq!(tx.device_in(id(7), Some("next/0.10.66"))?, None);
        assert_eq!(tx.device_in(id(0), Some("old/0.9.1"))?, Some(full_device(0)));
        assert_eq!(tx.devices_of_client(&client)?, [id(0), id(1), id(2)]);
        assert_eq!(tx.overdue("next/0.10.66", NOW + 200, 10)?, [id(0), id(1), id(2)]);
        assert_eq!(tx.offers_in_hour("next", NOW)?, 0);
        // One goes away, one is no longer overdue, a new one is.
        let mut gone = full_device(0);
        gone.client = Some("other".parse().unwrap());
        gone.offers[0].deadline = None;
        let mut new = full_device(7);
        new.offers[0].deadline = Some(NOW);
        for device in [&gone, &new] {
            tx.put_device(device)?;
        }
        tx.count_offer("next", NOW)?;
        for _ in 0..2 {
            assert_eq!(tx.device_in(id(0), None)?.unwrap().client, gone.client);
            assert_eq!(tx.device_in(id(7), Some("old/0.9.1"))?.as_ref(), Some(&new));
            assert_eq!(tx.devices_of_client(&client)?, [id(1), id(2), id(7)]);
            assert_eq!(tx.overdue("next/0.10.66", NOW + 200, 10)?, [id(7), id(1), id(2)]);
            assert_eq!(tx.overdue("next/0.10.66", NOW + 200, 2)?, [id(7), id(1)]);
            assert_eq!(tx.offers_in_hour("next", NOW)?, 1);
            assert_eq!(tx.device(id(7))?.as_ref(), Some(&new));
        }
        Ok(())
    });
    assert_eq!(read(&mut *store, |tx| tx.overdue("next/0.10.66", NOW + 200, 10)), [id(7), id(1), id(2)]);
}

pub fn what_was_loaded_is_saved_beside_what_was_not<S: Subject>() {
    let (subject, latest, old) = (S::new(), "next/0.10.66", "old/0.9.1");
    let mut store = subject.open();
    let mut expected = full_device(1);
    write(&mut *store, |tx| {
        tx.put_rollout(&RolloutRecord::new(latest))?;
        tx.put_device(&expected)
    });
    // Without its old offer, with all of them, and one that is new.
    for (n, also) in [(1, None), (2, Some(old)), (3, Some("a/1.0"))] {
        let keys = Keys {
            devices: Few::from_iter([(id(1), also)]),
            channels: Few::from_iter(["next"]),
            ..Keys::default()
        };
        let work = |tx: &mut dyn Tx| {
            let mut records = tx.load(&keys, NOW)?;
            let (device, _) = records.device_mut(id(1), NOW);
            assert_eq!(device.offer(old).is_some(), also == Some(old));
            device.last_seen = NOW + n;
            match also.map(|rollout| (rollout, device.offer_mut(rollout))) {
                Some((_, Some(known))) => known.attempts = 9,
                Some((rollout, None)) => device.offers.push(offer(rollout, NOW - 9)),
                None => {}
            }
            let mut ledger = records.ledger(id(1), latest, None, NOW);
            ledger.rollout.offered += 1;
            ledger.releases.of(latest).faults += 1;
            records.channel("next").clock.lag = n;
            tx.save(&records)
        };
        let undone = work;
        let failed = store.write(Durability::Process, &mut |tx| {
            undone(tx)?;
            Err(StoreError::Abandoned)
        });
        assert!(matches!(failed, Err(StoreError::Abandoned)));
        assert_eq!(read(&mut *store, |tx| tx.device(id(1))), Some(expected.clone()));
        expected.last_seen = NOW + n;
        match n {
            1 => {}
            2 => expected.offers[1].attempts = 9,
            _ => expected.offers.push(offer("a/1.0", NOW - 9)),
        }
        write(&mut *store, work);
        read(&mut *store, |tx| {
            assert_eq!(tx.device(id(1))?.as_ref(), Some(&expected));
            assert_eq!(tx.rollout(latest)?.offered, u32::try_from(n).unwrap());
            assert_eq!(i64::from(tx.releases()?[0].faults), n);
            assert_eq!(tx.channels()?[0].clock.lag, n);
            Ok(())
        });
    }
}

pub fn everything_is_copied_to_and_fro<S: Subject>() {
    let (first, second, elsewhere) = (S::new(), S::new(), tempfile::tempdir().unwrap());
    let mut from = first.open();
    write(&mut *from, |tx| {
        (0..1_200).try_for_each(|n| tx.put_device(&full_device(n)))?;
        let (release, channel) = (ReleaseRecord::new("0.10.66"), ChannelRecord::new("next"));
        let (releases, channels) = (vec![&release], vec![&channel]);
        tx.put(&Changes { releases, channels, ..Changes::default() })?;
        tx.put_rollout(&RolloutRecord { failed: 3, ..RolloutRecord::new("next/0.10.66") })?;
        [0, 60, 61].into_iter().try_for_each(|after| tx.count_offer("next", NOW + after))?;
        let unknown = UnknownRecord { name: "x".into(), first_seen: 1, last_seen: 2, said: "\u{e4}".into() };
        tx.put_unknown(&unknown)?;
        tx.put_cursor("relay", 4)
    });
    let event = |n: usize| Event {
        at: NOW,
        kind: EventKind::ALL[n % 5],
        imei: (!n.is_multiple_of(3)).then(|| id(n)),
        rollout: (!n.is_multiple_of(2)).then(|| "r".into()),
        code: Some(904),
        detail: format!("event {n}"),
    };
    write(&mut *from, |tx| (0..4_500).try_for_each(|n| tx.put_event(&event(n))));
    let mut between = SqliteStore::open(elsewhere.path(), Duration::from_secs(20)).unwrap();
    let mut to = second.open();
    let there = copy(&mut *from, &mut between, |_| {}).unwrap();
    let back = copy(&mut between, &mut *to, |_| {}).unwrap();
    assert_eq!(there, back);
    let counts: Vec<_> = there.iter().map(|sum| (sum.kind, sum.count)).collect();
    let expected = [
        ("devices", 1_200),
        ("rollouts", 1),
        ("releases", 1),
        ("channels", 1),
        ("rates", 2),
        ("events", 4_500),
        ("unknown devices", 1),
        ("cursors", 1),
    ];
    assert_eq!(counts, expected);
    for target in [&mut *to, &mut between as &mut dyn Store] {
        let again = copy(&mut *from, target, |_| {});
        assert!(matches!(again, Err(CopyError::NotEmpty)), "{again:?}");
        write(target, |tx| tx.put_event(&event(1)));
        let (last, next) =
            (read(&mut *from, |tx| tx.events(0, 9_999)), read(target, |tx| tx.events(0, 9_999)));
        assert_eq!(next.len(), last.len() + 1);
        assert!(next.last().unwrap().0 > last.last().unwrap().0, "numbers go on");
    }
}
