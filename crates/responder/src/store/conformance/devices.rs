//! Devices in pages, and the offers that come with them.

use super::{Subject, full_device, id, read, write};
use crate::fixture::{NOW, OneByOne as _};
use crate::record::{DeviceRecord, OfferRecord};

pub fn devices_come_in_pages<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    write(&mut *store, |tx| (0..5).try_for_each(|n| tx.put_device(&full_device(n))));
    let mut seen = Vec::new();
    loop {
        let page = read(&mut *store, |tx| tx.devices(seen.last().copied(), 2));
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        for device in page {
            assert_eq!(device.offers, full_device(0).offers[..1]);
            seen.push(device.imei);
        }
    }
    assert_eq!(seen, (0..5).map(id).collect::<Vec<_>>());
}

pub fn devices_come_with_all_their_offers<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    // Some were never made an offer; IMEIs of other lengths sort as text.
    let mut all: Vec<_> = (0..6)
        .map(|n| if n % 3 == 1 { DeviceRecord::new(id(n), NOW) } else { full_device(n) })
        .chain(
            ["12345678901234", "1234567890123456"]
                .map(|imei| DeviceRecord { imei: imei.parse().unwrap(), ..full_device(9) }),
        )
        .collect();
    all.sort_by_key(|device| device.imei.to_string());
    write(&mut *store, |tx| all.iter().try_for_each(|device| tx.put_device(device)));
    for limit in [1, 2, 3, 100] {
        let mut seen: Vec<DeviceRecord> = Vec::new();
        loop {
            let after = seen.last().map(|device| device.imei);
            let page = read(&mut *store, |tx| tx.devices_in_full(after, limit));
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit as usize);
            seen.extend(page);
        }
        assert_eq!(seen, all, "{limit} at a time");
    }
}

pub fn devices_come_with_the_offers_that_were_asked_for<S: Subject>() {
    let subject = S::new();
    let mut store = subject.open();
    let all: Vec<_> = (0..7)
        .map(|n| {
            let mut device = full_device(n);
            let latest = device.offers[0].clone();
            for (m, at) in [(1, 30), (2, 90), (3, 60)] {
                let rollout = format!("mid/0.8.{m}");
                let place = (n + m) % 3 == 0;
                device.offers.push(OfferRecord {
                    rollout: rollout.into(),
                    at: NOW - at,
                    place,
                    ..latest.clone()
                });
            }
            device.offers.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.rollout.cmp(&b.rollout)));
            if n == 4 { DeviceRecord::new(id(n), NOW) } else { device }
        })
        .collect();
    write(&mut *store, |tx| all.iter().try_for_each(|device| tx.put_device(device)));
    for named in [&[][..], &["mid/0.8.2"], &["mid/0.8.1", "old/0.9.1", "nobody/1.0.0"]] {
        let mut expected = all.clone();
        for device in &mut expected {
            let latest = device.latest.clone().unwrap_or_default();
            let is_wanted = |offer: &OfferRecord| {
                offer.place || offer.rollout == latest || named.contains(&&*offer.rollout)
            };
            device.offers.retain(is_wanted);
        }
        let mut seen = read(&mut *store, |tx| tx.devices_with_offers(None, 3, named));
        seen.extend(read(&mut *store, |tx| tx.devices_with_offers(Some(id(2)), 100, named)));
        assert_eq!(seen, expected, "{named:?}");
    }
}
