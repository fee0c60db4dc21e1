//! Stories of what comes without a request: start messages, and upgrades that the operator triggers.

use std::time::Duration;

use super::decide::{Attempt, Skipped};
use super::fixture::{NOW, Out, aimed, check, imei, is_upgrade, notify, settings, target};
use super::operate;
use super::record::{DeviceRecord, EventKind, Refusal, RolloutRecord, UnknownRecord, Verdict};
use super::service::{Reply, Start, answer};
use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, Store, StoreError, Tx};
use otapress_core::wire::{AnswerFile, Offer, Target};

struct World {
    out: Out,
    store: SqliteStore,
    _state: tempfile::TempDir,
}

impl World {
    /// With two devices that are to run 0.10.66.
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(state.path(), Duration::from_secs(5)).unwrap();
        let out = Out::new();
        (1..=2).for_each(|n| out.publish(n, &aimed(target("0.10.66"))));
        World { out, store, _state: state }
    }

    fn check(&mut self, n: usize, version: &str, now: i64) -> bool {
        is_upgrade(&check(&self.out.responder(), &mut self.store, n, version, now))
    }

    fn start_as(&mut self, client: &str, n: usize, version: &str, at: i64, now: i64) -> Reply {
        let (client, version) = (client.parse().unwrap(), version.parse().unwrap());
        let start = Start { client, imei: imei(n).parse().unwrap(), version, at };
        let question = self.out.responder().started(start);
        answer(&mut self.store, Durability::Process, &[question], now).swap_remove(0)
    }

    /// The message arrives at `now` and names `at`.
    #[track_caller]
    fn start(&mut self, n: usize, version: &str, at: i64, now: i64) {
        assert_eq!(self.start_as(&format!("dev{n}"), n, version, at, now), Reply::empty(200, None));
    }

    fn trigger(&mut self, n: usize, now: i64) -> Result<u32, Skipped> {
        let (responder, imei) = (self.out.responder(), imei(n).parse().unwrap());
        let could = operate::could_trigger(&mut self.store, &responder, imei, now).unwrap();
        let triggered = operate::trigger(&mut self.store, &responder, imei, now).unwrap();
        assert_eq!(could, triggered, "what is announced is done");
        triggered.map(|Attempt { number, .. }| number)
    }

    fn read<T>(&mut self, mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>) -> T {
        let mut value = None;
        self.store.read(&mut |tx| work(tx).map(|v| value = Some(v))).unwrap();
        value.unwrap()
    }

    fn device(&mut self, n: usize) -> Option<DeviceRecord> {
        self.read(|tx| tx.device(imei(n).parse().unwrap()))
    }

    fn rollout(&mut self) -> RolloutRecord {
        self.read(|tx| tx.rollout("next/0.10.66"))
    }

    fn unknowns(&mut self) -> Vec<UnknownRecord> {
        self.read(|tx| tx.unknowns(10))
    }

    /// Kind and time of what happened since number `since`.
    fn happened(&mut self, since: usize) -> Vec<(EventKind, i64)> {
        let events = self.read(|tx| tx.events(0, 1000));
        events.into_iter().skip(since).map(|(_, event)| (event.kind, event.at)).collect()
    }
}

#[test]
fn a_start_after_the_offer_is_proof() {
    let mut world = World::new();
    assert!(world.check(1, "0.10.65", NOW));
    world.start(1, "0.10.66", NOW + 120, NOW + 125);
    let (at, since) = (NOW + 120, 2);
    assert_eq!(world.happened(since), [(EventKind::Upgraded, at), (EventKind::VersionChanged, at)]);
    let device = world.device(1).unwrap();
    assert_eq!(device.latest_offer().unwrap().verdict, Some(Verdict::Succeeded));
    assert_eq!((device.last_seen, device.client), (at, Some("dev1".parse().unwrap())));
    assert_eq!(world.rollout().succeeded, 1);
    // The copy that the broker keeps comes again with every subscription.
    world.start(1, "0.10.66", NOW + 120, NOW + 9999);
    assert!(!world.check(1, "0.10.66", NOW + 130));
    assert_eq!(world.happened(since).len(), 2, "nothing more happened");
}

#[test]
fn a_start_before_the_offer_is_no_proof_and_takes_nothing_back() {
    let mut world = World::new();
    world.check(1, "0.10.66", NOW - 1000);
    assert!(world.check(1, "0.10.65", NOW), "somebody has put the old version back");
    let before = (world.happened(0), world.device(1));
    for at in [NOW - 2000, NOW - 500, NOW] {
        world.start(1, "0.10.66", at, NOW + 50);
    }
    assert_eq!((world.happened(0), world.device(1)), before);
    assert_eq!(world.rollout().succeeded, 0);

    // Nor does an old message undo what a check has told since.
    assert!(!world.check(1, "0.10.66", NOW + 300));
    let before = (world.happened(0), world.device(1));
    world.start(1, "0.10.65", NOW + 200, NOW + 400);
    assert_eq!((world.happened(0), world.device(1)), before);
}

#[test]
fn a_start_with_another_version_fails_what_was_due_by_then() {
    let mut world = World::new();
    assert!(world.check(1, "0.10.65", NOW));
    let deadline = world.device(1).unwrap().latest_offer().unwrap().deadline.unwrap();
    // Somebody is heard meanwhile.
    for after in [10_800, 21_600] {
        world.check(2, "0.10.66", NOW + after);
    }
    world.start(1, "0.10.65", deadline - 1, deadline + 100);
    assert_eq!(world.rollout().failed, 0, "it had time left when it started");
    world.start(1, "0.10.65", deadline, deadline + 100);
    assert_eq!(world.rollout().failed, 1);
    world.start(1, "0.10.66", deadline + 50, deadline + 100);
    assert_eq!((world.rollout().failed, world.rollout().succeeded), (0, 1), "late success is success");
}

#[test]
fn a_clock_that_is_ahead_proves_nothing() {
    let mut world = World::new();
    assert!(world.check(1, "0.10.65", NOW));
    let before = (world.happened(0), world.device(1));
    let reply = world.start_as("dev1", 1, "0.10.66", NOW + 361, NOW + 60);
    let log = "start message of dev1 (123456789010001): ignored: the device's clock is 301 seconds ahead";
    assert_eq!(reply, Reply::empty(200, Some(log.into())));
    assert_eq!((world.happened(0), world.device(1)), before);
    // A little ahead is now.
    world.start(1, "0.10.66", NOW + 360, NOW + 60);
    assert_eq!(world.device(1).unwrap().last_seen, NOW + 60);
    assert_eq!(world.rollout().succeeded, 1);
}

#[test]
fn a_new_device_and_a_stranger_start() {
    let mut world = World::new();
    world.start(1, "0.10.65", NOW - 50, NOW);
    assert_eq!(world.happened(0), [(EventKind::FirstSeen, NOW - 50)]);
    let device = world.device(1).unwrap();
    assert_eq!((device.first_seen, device.reported), (NOW - 50, Some("0.10.65".parse().unwrap())));

    for (at, version) in [(NOW - 50, "0.10.1"), (NOW - 60, "0.10.2"), (NOW - 50, "0.10.3")] {
        let reply = world.start_as("dev7", 7, version, at, NOW);
        assert_eq!(reply.status, 200);
    }
    let said = "0.10.1".to_owned();
    let stranger = UnknownRecord { name: imei(7), first_seen: NOW - 50, last_seen: NOW - 50, said };
    assert_eq!(world.unknowns(), [stranger]);
    assert_eq!((world.device(7), world.happened(0).len()), (None, 1));
}

#[test]
fn a_start_under_a_strange_name_is_recorded_and_not_believed() {
    let mut world = World::new();
    assert!(world.check(1, "0.10.65", NOW));
    notify(&world.out.responder(), &mut world.store, 1, "900 Success", NOW + 60);
    let since = world.happened(0).len();
    let reply = world.start_as("dev2", 1, "0.10.66", NOW + 90, NOW + 100);
    let log = "start message of dev2 (123456789010001): the version is not believed: the IMEI \
        123456789010001 was \
               `dev1`, now it is `dev2`";
    assert_eq!(reply, Reply::empty(200, Some(log.into())));
    assert_eq!(world.happened(since), [(EventKind::IdentityMismatch, NOW + 90)]);
    assert_eq!(world.device(1).unwrap().reported, Some("0.10.65".parse().unwrap()));
    assert_eq!(world.rollout().succeeded, 0);
    // The kept copy says nothing new; the device's next start does.
    assert_eq!(world.start_as("dev2", 1, "0.10.66", NOW + 90, NOW + 110), Reply::empty(200, None));
    assert_eq!(world.happened(since).len(), 1);
    assert_eq!(world.start_as("dev2", 1, "0.10.66", NOW + 120, NOW + 130), Reply::empty(200, None));
    assert_eq!(world.rollout().succeeded, 1);
}

#[test]
fn a_triggered_attempt_is_an_attempt() {
    let mut world = World::new();
    assert_eq!(world.trigger(1, NOW), Err(Skipped::NeverReported));
    world.start(1, "0.10.65", NOW - 20, NOW);
    assert_eq!(world.trigger(1, NOW), Ok(1));
    assert_eq!(world.trigger(1, NOW + 30), Err(Skipped::UnderWay(30)));
    assert!(world.check(1, "0.10.65", NOW + 40), "it may not have got the message: the same attempt");
    assert_eq!(world.rollout().offered, 1);
    notify(&world.out.responder(), &mut world.store, 1, "907 Invalid JAR", NOW + 90);
    assert_eq!(
        (world.rollout().failed, world.rollout().artifact_faults),
        (1, 1),
        "the result is the attempt's"
    );
    assert_eq!(world.trigger(1, NOW + 100), Ok(2), "a result says that it is not busy any more");
    assert_eq!(world.trigger(1, NOW + 699), Err(Skipped::UnderWay(599)));
    assert_eq!(world.trigger(1, NOW + 700), Ok(3));
    let refused = |refusal| Err(Skipped::Refused(refusal));
    assert_eq!(world.trigger(1, NOW + 1400), refused(Refusal::AttemptsUsed));
    world.start(1, "0.10.66", NOW + 1500, NOW + 1510);
    assert_eq!(world.trigger(1, NOW + 1600), refused(Refusal::Current));
    let details = world.read(|tx| tx.events_of(imei(1).parse().unwrap(), 100));
    let offered = details.iter().rev().filter(|(_, event)| event.kind == EventKind::Offered);
    assert_eq!(
        offered.map(|(_, event)| event.detail.as_str()).collect::<Vec<_>>(),
        [1, 2, 3].map(|n| format!("0.10.65 → 0.10.66, attempt {n}, triggered"))
    );
}

#[test]
fn a_trigger_is_refused_as_a_check_would_be() {
    let mut world = World::new();
    let held = AnswerFile { upgrade: 0, settings: vec![], offer: Offer { held: true, ..Offer::default() } };
    let later = Target { from: Some(NOW + 1), ..target("0.10.66") };
    let down = Target { no_downgrade: true, ..target("0.10.64") };
    let paced = Target { rate: Some(1), ..target("0.10.66") };
    world.check(1, "0.10.65", NOW - 700);
    let refused = |refusal| Err(Skipped::Refused(refusal));
    for (file, expected) in [
        (held, refused(Refusal::Held)),
        (settings("g", &[("qos", "2")]), refused(Refusal::NoTarget)),
        (aimed(later), refused(Refusal::WaitingForWave)),
        (aimed(down), refused(Refusal::DowngradeDenied)),
        (aimed(paced.clone()), Ok(2)),
    ] {
        world.out.publish(1, &file);
        assert_eq!(world.trigger(1, NOW), expected);
    }
    world.out.publish(2, &aimed(paced));
    assert!(!world.check(2, "0.10.65", NOW), "the trigger counts in the channel's rate");
    assert_eq!(world.trigger(2, NOW), refused(Refusal::RateLimited));
    world.out.publish_text(1, "{");
    assert_eq!(world.trigger(1, NOW + 700), refused(Refusal::NoAnswerFile));
    assert_eq!(world.trigger(9, NOW), refused(Refusal::UnknownDevice));
    assert_eq!(world.device(1).unwrap().settings, Default::default(), "settings are a check's");
}

#[test]
fn a_trigger_stops_at_the_brake() {
    let mut world = World::new();
    let strict = || {
        let mut target = target("0.10.66");
        target.brake.artifact_faults = 1;
        aimed(target)
    };
    (1..=2).for_each(|n| world.out.publish(n, &strict()));
    (1..=2).for_each(|n| world.start(n, "0.10.65", NOW - 20, NOW));
    assert_eq!(world.trigger(1, NOW), Ok(1));
    notify(&world.out.responder(), &mut world.store, 1, "904 JAR size mismatch", NOW + 60);
    assert_eq!(world.trigger(2, NOW + 61), Err(Skipped::Refused(Refusal::Halted)));
    assert_eq!(world.device(2).unwrap().offers, []);
}
