//! Old events and unknown devices are forgotten, and nothing else.

use std::time::Duration;

use super::{Subject, full_device, id, read, write};
use crate::fixture::{NOW, OneByOne as _};
use crate::record::{Event, EventKind, UnknownRecord};
use crate::retention::{Forgotten, Reader, prune, readers};
use crate::store::copy::copy;
use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, Store as _, StoreError, UNKNOWN_LIMIT};

const DAY: i64 = 86_400;

fn event(at: i64) -> Event {
    let (kind, imei, detail) = (EventKind::Notified, Some(id(1)), format!("at {at}"));
    Event { at, kind, imei, rollout: None, code: None, detail }
}

pub fn old_events_are_forgotten_in_their_time<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    // One every day, and in between those of a clock that was wrong, both ways.
    write(&mut *store, |tx| {
        tx.put_device(&full_device(1))?;
        for day in 0..1_500 {
            tx.put_event(&event(NOW + day * DAY))?;
        }
        (0..600).try_for_each(|n| tx.put_event(&event(NOW + 90_000 * DAY + n)))?;
        tx.put_event(&event(0))?;
        (1_500..2_000).try_for_each(|day| tx.put_event(&event(NOW + day * DAY)))
    });
    let now = NOW + 2_000 * DAY - 1;
    let all = prune(&mut *store, 400, now).unwrap();
    assert_eq!(all, Forgotten { events: 1_601, unknowns: 0, is_held_up: false, is_done: true });
    let kept = read(&mut *store, |tx| tx.events(0, 9_999));
    let is_kept = |event: &Event| event.at >= now - 400 * DAY;
    assert_eq!(kept.len(), 600 + 400);
    assert!(kept.iter().all(|(_, event)| is_kept(event)));
    assert_eq!(read(&mut *store, |tx| tx.device(id(1))).as_ref(), Some(&full_device(1)));
    assert_eq!(prune(&mut *store, 400, now).unwrap().events, 0);
}

pub fn what_a_reader_has_not_read_is_kept<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| (0..1_200).try_for_each(|n| tx.put_event(&event(NOW + n))));
    let numbers: Vec<i64> = read(&mut *store, |tx| tx.events(0, 9_999)).iter().map(|(seq, _)| *seq).collect();
    write(&mut *store, |tx| {
        // Of looks, which read no events.
        tx.put_cursor("looks", 1)?;
        tx.put_cursor("relay", numbers[699])
    });
    let now = NOW + 500 * DAY;
    let all = prune(&mut *store, 400, now).unwrap();
    assert_eq!(all, Forgotten { events: 700, unknowns: 0, is_held_up: true, is_done: true });
    assert_eq!(read(&mut *store, |tx| tx.events(0, 1))[0].0, numbers[700]);
    write(&mut *store, |tx| tx.put_cursor("relay", numbers[1_199]));
    let all = prune(&mut *store, 400, now).unwrap();
    assert_eq!((all.events, all.is_held_up), (499, false), "all but the last");
}

pub fn a_reader_that_is_gone_is_forgotten<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| (0..20).try_for_each(|n| tx.put_event(&event(NOW + n * DAY))));
    let numbers: Vec<i64> = read(&mut *store, |tx| tx.events(0, 99)).iter().map(|(seq, _)| *seq).collect();
    write(&mut *store, |tx| {
        tx.put_cursor("looks", 1)?;
        tx.put_cursor("gone", numbers[4])?;
        tx.put_cursor("relay", numbers[19])
    });
    let reader = |name: &str, seq: i64, waits_since| Reader { name: name.into(), seq, waits_since };
    let gone = reader("gone", numbers[4], Some(NOW + 5 * DAY));
    let relay = reader("relay", numbers[19], None);
    assert_eq!(read(&mut *store, readers), [gone.clone(), relay.clone()]);
    assert!(gone.is_late(NOW + 13 * DAY) && !gone.is_late(NOW + 12 * DAY) && !relay.is_late(i64::MAX));
    let now = NOW + 500 * DAY;
    assert!(prune(&mut *store, 400, now).unwrap().is_held_up);
    // What fails changes nothing.
    let failed = store.write(Durability::Process, &mut |tx| {
        tx.forget_cursor("gone")?;
        assert_eq!(tx.cursor("gone")?, 0, "a transaction sees what it has forgotten");
        Err(StoreError::Abandoned)
    });
    assert!(failed.is_err());
    assert_eq!(read(&mut *store, |tx| tx.cursor("gone")), numbers[4]);
    write(&mut *store, |tx| tx.forget_cursor("gone"));
    write(&mut *store, |tx| tx.forget_cursor("who never read"));
    assert_eq!(read(&mut *store, readers), [relay]);
    let all = prune(&mut *store, 400, now).unwrap();
    assert_eq!((all.events, all.is_held_up), (14, false), "all but the last");
}

pub fn numbers_are_never_given_twice<S: Subject>() {
    let (subject, other, elsewhere) = (S::new(), S::new(), tempfile::tempdir().unwrap());
    let mut store = subject.open();
    write(&mut *store, |tx| (0..9).try_for_each(|n| tx.put_event(&event(NOW + n))));
    let last = read(&mut *store, |tx| tx.events_before(i64::MAX, 1))[0].0;
    assert_eq!(prune(&mut *store, 1, NOW + 9 * DAY).unwrap().events, 8);
    let mut between = SqliteStore::open(elsewhere.path(), Duration::from_secs(20)).unwrap();
    copy(&mut *store, &mut between, |_| {}).unwrap();
    let mut back = other.open();
    copy(&mut between, &mut *back, |_| {}).unwrap();
    for store in [&mut *store, &mut between, &mut *back] {
        write(store, |tx| tx.put_event(&event(NOW)));
        assert!(read(store, |tx| tx.events_before(i64::MAX, 1))[0].0 > last);
    }
}

pub fn unknown_devices_are_forgotten<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let unknown = |n: i64| UnknownRecord {
        name: format!("u{n}"),
        first_seen: NOW,
        last_seen: NOW + n * DAY,
        said: String::new(),
    };
    write(&mut *store, |tx| (0..5).try_for_each(|n| tx.put_unknown(&unknown(n))));
    let all = prune(&mut *store, 10, NOW + 12 * DAY).unwrap();
    assert_eq!((all.events, all.unknowns), (0, 2));
    let kept: Vec<_> = read(&mut *store, |tx| tx.unknowns(9)).into_iter().map(|of| of.name).collect();
    assert_eq!(kept, ["u4", "u3", "u2"]);
}

pub fn unknown_devices_are_bounded<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let unknown = |n: u32, last_seen| UnknownRecord {
        name: format!("{n:015}"),
        first_seen: NOW,
        last_seen,
        said: format!("said {n}"),
    };
    write(&mut *store, |tx| {
        (0..UNKNOWN_LIMIT).try_for_each(|n| tx.put_unknown(&unknown(n, NOW + i64::from(n))))
    });
    write(&mut *store, |tx| tx.put_unknown(&unknown(0, NOW + 99_999)));
    write(&mut *store, |tx| tx.put_unknown(&unknown(UNKNOWN_LIMIT, NOW + 99_998)));
    let mut find = |n: u32| read(&mut *store, |tx| tx.unknown(&format!("{n:015}")));
    assert_eq!(find(0), Some(unknown(0, NOW + 99_999)), "heard of again");
    assert_eq!(find(1), None, "not heard of for longest");
    assert_eq!(find(2), Some(unknown(2, NOW + 2)));
    let latest = read(&mut *store, |tx| tx.unknowns(2));
    assert_eq!(latest, [unknown(0, NOW + 99_999), unknown(UNKNOWN_LIMIT, NOW + 99_998)]);
    assert_eq!(read(&mut *store, |tx| tx.unknowns(u32::MAX)).len(), UNKNOWN_LIMIT as usize);
}
