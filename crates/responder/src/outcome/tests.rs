//! How attempts end, what counts, and when the brake is pulled.

use super::*;
use crate::record::Refusal;
use crate::records::Scratch;
use std::sync::Arc;

const NOW: i64 = 1_795_428_000;
const ROLLOUT: &str = "next/0.10.66";
const BRAKE: Brake = Brake { artifact_faults: 3, failures_bp: 2000, after: 10 };

fn rollout() -> RolloutRecord {
    RolloutRecord { brake: Some(BRAKE), ..RolloutRecord::new(ROLLOUT) }
}

/// A device that was made an offer at `NOW`.
fn offered() -> DeviceRecord {
    let mut device = DeviceRecord::new("123456789012345".parse().unwrap(), NOW);
    device.latest = Some(ROLLOUT.into());
    device.refusal = None::<Refusal>;
    device.offers.push(OfferRecord {
        rollout: ROLLOUT.into(),
        target: "0.10.66".parse().unwrap(),
        attempts: 1,
        at: NOW,
        from: "0.10.65".parse().unwrap(),
        deadline: Some(NOW + 25200),
        until: NOW + 25200,
        answered: false,
        code: None,
        verdict: None,
        artifact_fault: false,
        epoch: 0,
        place: true,
        proven: None,
        since: None,
        blamed: None,
        missing: None,
        wave: None,
        outside: None,
    });
    device
}

fn posted(text: &str) -> Posted {
    Posted::parse(text.as_bytes())
}

/// Does something with the records of a device and a rollout. The release's are kept from one time to the
/// next.
fn with<T>(
    device: &mut DeviceRecord,
    rollout: &mut RolloutRecord,
    events: &mut Vec<Event>,
    work: impl FnOnce(&mut Ledger<'_>) -> T,
) -> T {
    let faults = rollout.artifact_faults;
    let (mut kept, mut scratch) = (Arc::new(rollout.clone()), Scratch::default());
    let mut ledger = Ledger { events, ..scratch.ledger(device, &mut kept) };
    ledger.releases.of(&rollout.id).faults = faults;
    let value = work(&mut ledger);
    *rollout = Arc::unwrap_or_clone(kept);
    value
}

/// Posts a result; returns what happened: nothing, if it was posted before.
fn post(device: &mut DeviceRecord, rollout: &mut RolloutRecord, text: &str, now: i64) -> Vec<EventKind> {
    let mut events = Vec::new();
    if attempt_at(device, rollout, now).is_some() {
        with(device, rollout, &mut events, |ledger| hear_of_attempt(ledger, &posted(text), now));
    } else {
        hear_of_no_attempt(device, &posted(text), now, &mut events);
    }
    events.iter().map(|event| event.kind).collect()
}

fn report(device: &mut DeviceRecord, rollout: &mut RolloutRecord, version: &str, now: i64) -> Vec<EventKind> {
    let mut events = Vec::new();
    with(device, rollout, &mut events, |ledger| reported(ledger, version.parse().ok(), now));
    events.iter().map(|event| event.kind).collect()
}

fn counts(rollout: &RolloutRecord) -> (u32, u32, u32) {
    (rollout.succeeded, rollout.failed, rollout.artifact_faults)
}

#[test]
fn results_by_their_code() {
    for (text, kind, counted) in [
        ("900 Success", EventKind::Installed, (0, 0, 0)),
        ("901 x", EventKind::Failed, (0, 1, 0)),
        ("902 x", EventKind::Failed, (0, 1, 0)),
        ("903 x", EventKind::Failed, (0, 1, 0)),
        ("904 x", EventKind::Failed, (0, 1, 1)),
        ("905 x", EventKind::Failed, (0, 1, 1)),
        ("906 x", EventKind::Failed, (0, 1, 1)),
        ("907 x", EventKind::Failed, (0, 1, 1)),
        ("908 x", EventKind::Failed, (0, 1, 1)),
        ("909 x", EventKind::Failed, (0, 1, 1)),
        ("910 x", EventKind::Failed, (0, 1, 1)),
        ("911 x", EventKind::Failed, (0, 1, 0)),
        ("912 x", EventKind::Notified, (0, 0, 0)),
        ("913 x", EventKind::Failed, (0, 1, 1)),
        ("999 x", EventKind::Notified, (0, 0, 0)),
        ("no code", EventKind::Notified, (0, 0, 0)),
        ("", EventKind::Notified, (0, 0, 0)),
    ] {
        let (mut device, mut rollout) = (offered(), rollout());
        assert_eq!(post(&mut device, &mut rollout, text, NOW + 100), vec![kind], "{text}");
        assert_eq!(counts(&rollout), counted, "{text}");
        let result = device.result.as_ref().unwrap();
        assert_eq!((result.at, &*result.text, result.rollout.as_deref()), (NOW + 100, text, Some(ROLLOUT)));
        let failed = kind == EventKind::Failed;
        let offer = device.latest_offer().unwrap();
        let installed = (kind == EventKind::Installed).then_some(Verdict::Installed);
        assert_eq!(offer.verdict, installed.or(failed.then_some(Verdict::Failed)), "{text}");
        assert_eq!(offer.place, !failed, "{text}");
        assert_eq!(offer.deadline.is_none(), failed, "{text}");
        let (before, rollout_before) = (device.clone(), rollout.clone());
        assert_eq!(post(&mut device, &mut rollout, text, NOW + 5000), [], "{text}");
        assert_eq!((device, rollout), (before, rollout_before), "{text}");
    }
}

#[test]
fn installed_counts_as_finished_until_another_version_or_silence() {
    let (mut device, mut rollout) = (offered(), RolloutRecord { places: 1, ..rollout() });
    post(&mut device, &mut rollout, "900 Success", NOW + 100);
    assert_eq!((rollout.installed, rollout.places), (1, 1), "it may never be heard of again");
    let mut lucky = (device.clone(), rollout.clone());
    assert_eq!(report(&mut lucky.0, &mut lucky.1, "0.10.66", NOW + 200), [EventKind::Upgraded]);
    assert_eq!((counts(&lucky.1), lucky.1.installed), ((1, 0, 0), 0));
    assert_eq!((lucky.1.places, lucky.1.proven), (0, 1));
    assert_eq!(report(&mut lucky.0, &mut lucky.1, "0.10.66", NOW + 300), [], "once");
    assert_eq!(lucky.1.proven, 1, "once");
    let mut back = (device.clone(), rollout.clone());
    assert_eq!(report(&mut back.0, &mut back.1, "0.10.65", NOW + 200), [EventKind::Failed], "at once");
    assert_eq!((counts(&back.1), back.1.installed, back.1.places), ((0, 1, 0), 0, 0));
    assert_eq!(report(&mut back.0, &mut back.1, "0.10.65", NOW + 300), [], "once");
    assert_eq!(report(&mut back.0, &mut back.1, "0.10.66", NOW + 90000), [EventKind::Upgraded], "late");
    assert_eq!(counts(&back.1), (1, 0, 0));
    rollout.clock.patience = 30_000;
    let mut events = Vec::new();
    with(&mut device, &mut rollout, &mut events, |ledger| settle(ledger, &Ending::Overdue, NOW + 25200));
    assert_eq!(
        (counts(&rollout), rollout.installed, rollout.places),
        ((0, 1, 0), 0, 1),
        "silent: it keeps its place"
    );
}

#[test]
fn a_place_is_given_back_by_a_sign_of_life_alone() {
    let places = |version: &str, now| {
        let (mut device, mut rollout) = (offered(), RolloutRecord { places: 1, ..rollout() });
        report(&mut device, &mut rollout, version, now);
        assert_eq!(device.latest_offer().unwrap().place, rollout.places == 1);
        rollout.places
    };
    assert_eq!(places("0.10.66", NOW + 1), 0, "it runs the release");
    assert_eq!(places("0.10.65", NOW + 59), 1, "the answer was lost");
    assert_eq!(places("0.10.65", NOW + 60), 0, "it did not upgrade");
    assert_eq!(places("0.10.65", NOW - 86_400), 1, "the clock was set back");
    assert_eq!(places("", NOW + 900_000), 1, "time alone");
    let (mut device, mut rollout) = (offered(), RolloutRecord { places: 1, ..rollout() });
    report(&mut device, &mut rollout, "0.10.65", NOW - 86_400);
    report(&mut device, &mut rollout, "0.10.65", NOW - 86_340);
    assert_eq!(rollout.places, 0, "a minute later by the clock as it is now");
}

#[test]
fn a_success_that_held_for_a_day_gives_attempts_back() {
    let (mut device, mut rollout) = (offered(), rollout());
    report(&mut device, &mut rollout, "0.10.66", NOW + 200);
    report(&mut device, &mut rollout, "0.10.66", NOW + 86_599);
    assert_eq!(device.latest_offer().unwrap().attempts, 1);
    report(&mut device, &mut rollout, "0.10.66", NOW + 86_600);
    assert_eq!(device.latest_offer().unwrap().attempts, 0);
    let (mut device, mut rollout) = (offered(), self::rollout());
    report(&mut device, &mut rollout, "0.10.66", NOW + 200);
    report(&mut device, &mut rollout, "0.10.65", NOW + 300);
    report(&mut device, &mut rollout, "0.10.66", NOW + 86_600);
    assert_eq!(device.latest_offer().unwrap().attempts, 1, "it was interrupted");
}

#[test]
fn further_results_of_one_attempt_count_its_device_once() {
    let (mut device, mut rollout) = (offered(), rollout());
    post(&mut device, &mut rollout, "903 x", NOW + 10);
    post(&mut device, &mut rollout, "905 x", NOW + 20);
    post(&mut device, &mut rollout, "907 x", NOW + 30);
    assert_eq!(counts(&rollout), (0, 1, 1));
    report(&mut device, &mut rollout, "0.10.66", NOW + 100);
    assert_eq!(counts(&rollout), (1, 0, 1), "the fault was real all the same");
}

#[test]
fn the_same_text_of_another_attempt_is_another_result() {
    let (mut device, mut rollout) = (offered(), rollout());
    post(&mut device, &mut rollout, "903 x", NOW + 10);
    let offer = device.offer_mut(ROLLOUT).unwrap();
    (offer.attempts, offer.answered, offer.code) = (2, false, None);
    assert_eq!(post(&mut device, &mut rollout, "903 x", NOW + 20), vec![EventKind::Failed]);
    assert_eq!(counts(&rollout), (0, 1, 0));
}

#[test]
fn results_that_belong_to_no_attempt_are_kept_but_not_counted() {
    let mut device = DeviceRecord::new("123456789012345".parse().unwrap(), NOW);
    let mut rollout = rollout();
    let failed = vec![EventKind::Failed];
    assert_eq!(post(&mut device, &mut rollout, "905 x", NOW), failed, "upgraded by hand");
    assert_eq!(device.result.as_ref().unwrap().rollout, None);
    assert_eq!(post(&mut device, &mut rollout, "905 x", NOW + 599), []);
    assert_eq!(post(&mut device, &mut rollout, "905 x", NOW + 600), failed, "again, later");

    let mut late = offered();
    assert_eq!(post(&mut late, &mut rollout, "905 x", NOW + 25201), failed, "too late for the attempt");
    let mut proven = offered();
    report(&mut proven, &mut rollout, "0.10.66", NOW + 10);
    assert_eq!(post(&mut proven, &mut rollout, "905 x", NOW + 20), failed, "it runs the target");
    assert_eq!(counts(&rollout), (1, 0, 0));

    let mut delayed = offered();
    post(&mut delayed, &mut rollout, "900 Success", NOW + 5);
    report(&mut delayed, &mut rollout, "0.10.66", NOW + 10);
    let again = post(&mut delayed, &mut rollout, "900 Success", NOW + 20);
    assert_eq!(again, [], "a copy that was long under way");
}

#[test]
fn the_brake_counts_devices() {
    let mut rollout = rollout();
    let mut devices = vec![offered(); 3];
    for (i, device) in devices.iter_mut().enumerate() {
        assert_eq!(rollout.halted, None, "{i}");
        post(device, &mut rollout, "905 x", NOW + 10);
        post(device, &mut rollout, "904 x", NOW + 20);
    }
    let halt = rollout.halted.clone().unwrap();
    assert_eq!((halt.at, &*halt.reason), (NOW + 10, "3 devices report a fault of the artifact"));
    let mut never = RolloutRecord { brake: Some(Brake { artifact_faults: 0, ..BRAKE }), ..self::rollout() };
    for device in &mut vec![offered(); 5] {
        post(device, &mut never, "905 x", NOW + 10);
    }
    assert_eq!((never.artifact_faults, never.halted), (5, None));
}

#[test]
fn the_brake_is_pulled_by_more_than_its_share_of_enough_devices() {
    let halted = |succeeded, failed| {
        let mut rollout = RolloutRecord { succeeded, failed, ..rollout() };
        with(&mut offered(), &mut rollout, &mut Vec::new(), |ledger| pull_brakes(ledger, NOW));
        rollout.halted.is_some()
    };
    assert!(!halted(0, 9), "not enough devices");
    assert!(halted(0, 10));
    assert!(!halted(8, 2), "exactly 20 %");
    assert!(halted(7, 3));
    assert!(!halted(100, 20));
    assert!(halted(79, 21), "more");
    assert!(halted(u32::MAX, u32::MAX));
    let mut blank = RolloutRecord { brake: Some(Brake { after: 0, failures_bp: 0, ..BRAKE }), ..rollout() };
    with(&mut offered(), &mut blank, &mut Vec::new(), |ledger| pull_brakes(ledger, NOW));
    assert_eq!(blank.halted, None, "nothing has failed");
}

#[test]
fn a_success_can_complete_the_number_that_pulls_the_brake() {
    let (mut device, mut rollout) = (offered(), RolloutRecord { succeeded: 4, failed: 5, ..rollout() });
    assert_eq!(
        report(&mut device, &mut rollout, "0.10.66", NOW + 10),
        [EventKind::Upgraded, EventKind::Halted]
    );
}

#[test]
fn what_pulled_the_brake_does_not_pull_it_again() {
    let (mut device, mut open) = (offered(), offered());
    let mut rollout = RolloutRecord { artifact_faults: 2, failed: 2, offered: 9, ..rollout() };
    post(&mut device, &mut rollout, "905 x", NOW + 10);
    let mut events = Vec::new();
    assert!(resume(&mut rollout, NOW + 20, &mut events));
    assert!(!resume(&mut rollout, NOW + 20, &mut events), "it is not halted any more");
    assert_eq!(events.len(), 1);
    assert_eq!(rollout, RolloutRecord { epoch: 1, proven_since: 1, ..self::rollout() });
    // Attempts that were under way end in the epoch in which they began.
    post(&mut open, &mut rollout, "905 x", NOW + 30);
    assert_eq!(open.latest_offer().unwrap().verdict, Some(Verdict::Failed));
    post(&mut device, &mut rollout, "904 x", NOW + 30);
    report(&mut device, &mut rollout, "0.10.66", NOW + 40);
    assert_eq!(counts(&rollout), (0, 0, 0));
    assert_eq!(rollout.halted, None);
}

#[test]
fn a_rollout_in_which_the_device_has_no_offer_stays_as_it_is() {
    let (mut device, mut other) = (offered(), RolloutRecord::new("stable/0.10.65"));
    with(&mut device, &mut other, &mut Vec::new(), |ledger| settle(ledger, &Ending::Overdue, NOW));
    assert_eq!((device, other), (offered(), RolloutRecord::new("stable/0.10.65")));
}
