//! Whole stories, from request to reply, on SQLite.

use std::time::Duration;

use super::*;
use crate::fixture::{self, NOW, Out, aimed, check, imei, is_upgrade, notify, post, target};
use crate::operate;
use crate::record::{Event, EventKind};
use crate::store::sqlite::SqliteStore;
use crate::store::{Lease, Tx, Work};
use otapress_core::wire::{NO, Target};

struct World {
    out: Out,
    store: SqliteStore,
    state: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(state.path(), Duration::from_secs(5)).unwrap();
        World { out: Out::new(), store, state }
    }

    /// Without a limit of unproven devices.
    fn unlimited() -> Self {
        World { out: Out::unlimited(), ..World::new() }
    }

    fn post(&mut self, target: &str, agent: &str, body: &[u8], now: i64) -> Reply {
        post(&self.out.responder(), &mut self.store, target, agent, body, now)
    }

    fn check(&mut self, n: usize, version: &str, now: i64) -> Reply {
        check(&self.out.responder(), &mut self.store, n, version, now)
    }

    fn notify(&mut self, n: usize, text: &str, now: i64) -> Reply {
        notify(&self.out.responder(), &mut self.store, n, text, now)
    }

    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut read = |tx: &mut dyn Tx| {
            events = tx.events(0, 1000)?.into_iter().map(|(_, event)| event).collect();
            Ok(())
        };
        self.store.read(&mut read).unwrap();
        events
    }

    fn kinds(&mut self) -> Vec<EventKind> {
        self.events().iter().map(|event| event.kind).collect()
    }

    fn unknown(&mut self) -> Vec<(String, String)> {
        let mut unknown = Vec::new();
        let mut read = |tx: &mut dyn Tx| {
            unknown = tx.unknowns(100)?.into_iter().map(|u| (u.name, u.said)).collect();
            Ok(())
        };
        self.store.read(&mut read).unwrap();
        unknown
    }

    fn refusal(&mut self, n: usize) -> Option<Refusal> {
        let mut refusal = None;
        let mut read = |tx: &mut dyn Tx| {
            refusal = tx.device(imei(n).parse().unwrap())?.unwrap().refusal;
            Ok(())
        };
        self.store.read(&mut read).unwrap();
        refusal
    }
}

const LATER: i64 = NOW + 10_800;

/// A store whose commits are not answered: they are done, or they are not.
struct Doubtful<'a> {
    store: &'a mut SqliteStore,
    done: bool,
}

impl Store for Doubtful<'_> {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        self.store.read(work)
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        let undone = || StoreError::Abandoned;
        let done = self.done;
        let written =
            self.store.write(durability, &mut |tx| work(tx).and(if done { Ok(()) } else { Err(undone()) }));
        assert_eq!(written.is_ok(), done);
        Err(StoreError::InDoubt { path: "db".into(), source: "silence".into() })
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.store.lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.store.maintain()
    }
}

#[test]
fn an_answer_in_doubt_is_right_whether_it_is_recorded_or_not() {
    let settings = r#""settings":[{"key":"qos","val":"2"},{"key":"tid","val":"D1"}]"#;
    for done in [true, false] {
        let mut world = World::new();
        let mut file = aimed(target("0.10.66"));
        file.settings = fixture::settings("g", &[("qos", "2"), ("tid", "D1")]).settings;
        file.offer.generation = Some("g".into());
        world.out.publish(1, &file);
        world.out.publish(2, &file);
        let responder = world.out.responder();
        let mut doubtful = Doubtful { store: &mut world.store, done };
        let reply = check(&responder, &mut doubtful, 1, "0.10.65", NOW);
        let old = check(&responder, &mut doubtful, 2, "0.8.37", NOW);
        let notified = notify(&responder, &mut doubtful, 1, "903 Loss of service", NOW + 1);
        if done {
            // A second look finds it recorded.
            let yes = format!(r#"{{"upgrade":1,{settings}}}"#);
            assert_eq!((&*reply.body, &*old.body, reply.log), (&*yes, &*yes, None));
            assert_eq!(notified.status, 200);
        } else {
            // The settings may be taken to have arrived later on, so they are sent. An upgrade might be one
            // too many.
            assert_eq!((reply.status, &*reply.body), (200, &*format!(r#"{{"upgrade":0,{settings}}}"#)));
            let log = reply.log.unwrap();
            assert!(log.ends_with("no-state: cannot tell whether `db` keeps the changes: silence"), "{log}");
            // Old firmware upgrades on any 1.
            assert_eq!(old.body, r#"{"upgrade":0,"settings":[{"key":"qos","val":"2"}]}"#);
            assert_eq!(notified.status, 500);
            // The result is posted again.
            assert!(is_upgrade(&world.check(1, "0.10.65", NOW + 2)));
        }
        assert_eq!(world.notify(1, "903 Loss of service", NOW + 3).status, 200);
        let kinds: Vec<_> =
            world.kinds().into_iter().filter(|kind| *kind != EventKind::SettingsSent).collect();
        let first = if done { vec![EventKind::FirstSeen; 2] } else { vec![EventKind::FirstSeen] };
        assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::FirstSeen).count(), first.len());
        assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::Failed).count(), 1);
        let mut attempts = 0;
        let mut read = |tx: &mut dyn Tx| {
            let device = tx.device(imei(1).parse().unwrap())?.unwrap();
            attempts = device.latest_offer().unwrap().attempts;
            Ok(())
        };
        world.store.read(&mut read).unwrap();
        assert_eq!(attempts, 1);
    }
}

#[test]
fn a_device_lives_through_an_upgrade() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    assert_eq!(world.check(1, "0.10.65", NOW).body, r#"{"upgrade":1}"#);
    assert_eq!(world.notify(1, "900 Success", NOW + 120), Reply::empty(200, None));
    assert_eq!(world.check(1, "0.10.66", NOW + 180), Reply::check(&Answer::NO, None).of_kind("current"));
    use EventKind::{FirstSeen, Installed, Offered, Upgraded, VersionChanged};
    assert_eq!(world.kinds(), [FirstSeen, Offered, Installed, Upgraded, VersionChanged]);
    assert_eq!(world.check(1, "0.10.66", LATER).body, NO);
    assert_eq!(world.kinds().len(), 5, "nothing more happened");
}

#[test]
fn failing_installs_use_the_attempts_up_and_retry_gives_them_back() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    for attempt in 0..3 {
        let now = NOW + attempt * 40;
        assert!(is_upgrade(&world.check(1, "0.10.65", now)), "{attempt}");
        world.notify(1, "903 Loss of service", now + 20);
    }
    assert!(!is_upgrade(&world.check(1, "0.10.65", LATER)));
    assert_eq!(world.refusal(1), Some(Refusal::AttemptsUsed));
    let device = imei(1).parse().unwrap();
    assert_eq!(operate::retry(&mut world.store, &[(device, None)], LATER).unwrap(), [device]);
    assert_eq!(operate::retry(&mut world.store, &[(device, None)], LATER).unwrap(), []);
    assert!(is_upgrade(&world.check(1, "0.10.65", LATER)));
    // Of another rollout than that of its present target only a place is given back.
    let other = &[(device, Some("next/0.10.67"))];
    assert_eq!(operate::retry(&mut world.store, other, LATER).unwrap(), [device]);
    assert!(is_upgrade(&world.check(1, "0.10.65", LATER)));
    world.notify(1, "903 Loss of service", LATER + 20);
    assert_eq!(operate::retry(&mut world.store, other, LATER + 30).unwrap(), []);
    assert_eq!(operate::retry(&mut world.store, &[(device, None)], LATER + 30).unwrap(), [device]);
}

#[test]
fn a_rollout_is_halted_by_artifact_faults_and_resumed() {
    let mut world = World::unlimited();
    (1..=5).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    for n in 1..=3 {
        assert!(is_upgrade(&world.check(n, "0.10.65", NOW)));
    }
    assert!(is_upgrade(&world.check(5, "0.10.65", NOW)));
    (1..=3).for_each(|n| _ = world.notify(n, "905 Attribute mismatch", NOW + 60));
    assert!(!is_upgrade(&world.check(4, "0.10.65", NOW + 60)));
    assert!(!is_upgrade(&world.check(5, "0.10.65", NOW + 59)), "not even a lost answer is given again");
    assert_eq!(world.refusal(4), Some(Refusal::Halted));
    assert_eq!(operate::resume(&mut world.store, "0.10.6", NOW + 70).unwrap(), [""; 0]);
    assert_eq!(operate::resume(&mut world.store, "0.10.66", NOW + 70).unwrap(), ["next/0.10.66"]);
    assert_eq!(operate::resume(&mut world.store, "next/0.10.66", NOW + 70).unwrap(), [""; 0]);
    assert!(is_upgrade(&world.check(4, "0.10.65", NOW + 80)));
    let kinds = world.kinds();
    let count = |kind| kinds.iter().filter(|&&k| k == kind).count();
    assert_eq!((count(EventKind::Halted), count(EventKind::Resumed)), (1, 1));
}

#[test]
fn devices_that_fall_silent_pull_the_brake() {
    let mut world = World::unlimited();
    (0..12).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    for n in 0..10 {
        assert!(is_upgrade(&world.check(n, "0.10.65", NOW)));
    }
    // Two hours and a half of silence are normal, seven are not.
    assert!(is_upgrade(&world.check(10, "0.10.65", NOW + 9000)));
    assert!(!is_upgrade(&world.check(11, "0.10.65", NOW + 25_200)));
    assert_eq!(world.refusal(11), Some(Refusal::Halted));
    let kinds = world.kinds();
    assert_eq!(kinds.iter().filter(|&&kind| kind == EventKind::Failed).count(), 10);
    assert!(!is_upgrade(&world.check(0, "0.10.66", NOW + 30_000)));
    let last = world.kinds().split_off(kinds.len());
    assert_eq!(last, [EventKind::Upgraded, EventKind::VersionChanged], "better late than never");
}

#[test]
fn overdue_devices_are_judged_even_if_nobody_asks() {
    let mut world = World::unlimited();
    (0..10).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    for n in 0..10 {
        assert!(is_upgrade(&world.check(n, "0.10.65", NOW)));
    }
    // Somebody is heard, so it is they who are silent.
    world.out.publish(11, &aimed(target("0.10.66")));
    world.check(11, "0.10.66", NOW + 12_000);
    assert_eq!(operate::judge_overdue(&mut world.store, NOW + 25_199).unwrap(), 0);
    assert_eq!(operate::judge_overdue(&mut world.store, NOW + 25_200).unwrap(), 10);
    assert_eq!(operate::judge_overdue(&mut world.store, NOW + 25_200).unwrap(), 0);
    assert_eq!(world.kinds().last(), Some(&EventKind::Halted));
}

#[test]
fn the_target_can_change_at_any_time() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    assert!(is_upgrade(&world.check(1, "0.10.65", NOW)));
    world.out.publish(1, &aimed(target("0.10.67")));
    assert!(is_upgrade(&world.check(1, "0.10.66", NOW + 300)), "it got the old target, now the new one");
    world.out.publish(1, &aimed(Target { rollout: "stable/0.10.65".into(), ..target("0.10.65") }));
    assert!(is_upgrade(&world.check(1, "0.10.67", NOW + 600)), "and back");
    assert!(!is_upgrade(&world.check(1, "0.10.65", NOW + 900)));
    let upgraded: Vec<_> =
        world.events().into_iter().filter(|e| e.kind == EventKind::Upgraded).map(|e| e.detail).collect();
    assert_eq!(upgraded, ["0.10.65 → 0.10.66", "0.10.66 → 0.10.67", "0.10.67 → 0.10.65"]);
}

#[test]
fn strangers_get_a_no_and_are_remembered() {
    let mut world = World::new();
    let reply = world.check(7, "0.10.65", NOW);
    let no = Reply::no(format!("version check of {}: unknown-device", imei(7)));
    assert_eq!(reply, no.of_kind("unknown-device"));
    let modem = format!("TC65i/{} Profile/IMP-NG", imei(8));
    assert_eq!(world.post("/otap/notify?id=who", &modem, b"905 x", NOW + 1).status, 200);
    assert_eq!(world.post("/otap/notify?id=who", "", b"906 y", NOW + 2).status, 200);
    let said = |n: String, text: &str| (n, text.to_owned());
    assert_eq!(
        world.unknown(),
        [said("who".into(), "906 y"), said(imei(8), "905 x"), said(imei(7), "0.10.65")]
    );
    assert_eq!(world.kinds(), []);
    let reply = world.post("/otap/version", "Mozilla/5.0\x1b[31m", b"0.10.65", NOW);
    let no = Reply::no("version check: no-imei: user agent `Mozilla/5.0\\u{1b}[31m`");
    assert_eq!(reply, no.of_kind("no-imei"));
    assert_eq!(world.unknown().len(), 3);
}

#[test]
fn what_cannot_be_read_is_a_no_with_a_reason() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    for (text, why) in [
        ("", "EOF while parsing"),
        ("{\"upgrade\":1}", "missing field `offer`"),
        ("{\"upgrade\":1,\"offer\":{\"interval\":1}}", "`upgrade` contradicts `offer`"),
        ("\u{1b}[31m", "expected value"),
    ] {
        world.out.publish_text(2, text);
        let reply = world.check(2, "0.10.65", NOW);
        let log = reply.log.unwrap();
        assert_eq!(reply.body, NO);
        assert!(
            log.starts_with(&format!("version check of {}: no-answer-file: cannot read `", imei(2))),
            "{log}"
        );
        assert!(log.contains(why) && !log.chars().any(char::is_control), "{log}");
    }
    let reply = world.check(1, "version 0.10.65", NOW);
    let no = Reply::no(format!("version check of {}: bad-version: `version 0.10.65`", imei(1)));
    assert_eq!(reply, no.of_kind("bad-version"));
    assert_eq!(world.refusal(1), Some(Refusal::BadVersion));
    assert_eq!(world.unknown(), []);
    world.out.publish_text(1, "");
    world.check(1, "0.10.65", NOW);
    assert_eq!(world.refusal(1), Some(Refusal::NoAnswerFile));
    fs::remove_file(world.out.answer(1)).unwrap();
    world.check(1, "0.10.65", NOW);
    assert_eq!(world.refusal(1), Some(Refusal::UnknownDevice), "taken out of the fleet");
}

#[test]
fn without_its_mark_the_directory_says_nothing_about_who_is_unknown() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    assert!(is_upgrade(&world.check(1, "0.10.65", NOW)));
    fs::write(world.out.path().join(out::SITE_FILE), "{\"otapress\":99}").unwrap();
    let reply = world.check(7, "0.10.65", NOW);
    assert!(reply.log.unwrap().contains("no-answer-file: cannot read"));
    assert_eq!(world.unknown(), []);
    assert_eq!(world.check(1, "0.10.65", NOW).body, NO, "nobody knows the published paths");
    assert_eq!(world.notify(1, "900 Success", NOW + 1).status, 200);
    assert_eq!(world.kinds(), [EventKind::FirstSeen, EventKind::Offered, EventKind::Installed]);
}

#[test]
fn a_simulated_device_is_answered_and_leaves_no_trace() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    let agent = format!("SIMU/{}", imei(1));
    for _ in 0..5 {
        assert!(is_upgrade(&world.post("/otap/version", &agent, b"0.10.65", NOW)));
    }
    assert_eq!(world.post("/otap/notify?id=dev1", &agent, b"905 x", NOW).status, 200);
    assert_eq!(world.post("/otap/version", &format!("SIMU/{}", imei(9)), b"0.10.65", NOW).body, NO);
    assert_eq!((world.kinds(), world.unknown()), (vec![], vec![]));
}

#[test]
fn identities_that_do_not_belong_together_are_noted() {
    let mut world = World::new();
    (1..=3).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    let modem = |n| format!("TC65i/{} Profile/IMP-NG", imei(n));
    let mismatches =
        |world: &mut World| world.kinds().iter().filter(|&&kind| kind == EventKind::IdentityMismatch).count();
    world.notify(1, "900", NOW);
    world.notify(2, "900", NOW);
    assert_eq!(mismatches(&mut world), 0);
    let reply = world.post("/otap/notify?id=dev2", &modem(1), b"901 x", NOW + 1);
    assert_eq!(reply.status, 200);
    assert!(reply.log.unwrap().ends_with(&format!("the IMEI {} was `dev1`, now it is `dev2`", imei(1))));
    assert_eq!(mismatches(&mut world), 1);
    world.post("/otap/notify?id=dev2", &modem(1), b"901 x", NOW + 2);
    assert_eq!(mismatches(&mut world), 1, "once");
    world.post("/otap/notify?id=dev2", &modem(3), b"901 x", NOW + 3);
    assert_eq!(mismatches(&mut world), 2, "the clientID is another's");
    let mut fresh = World::new();
    fresh.out.publish(1, &aimed(target("0.10.66")));
    fresh.post(&format!("/otap/notify?id={}", imei(2)), &modem(1), b"900", NOW);
    assert_eq!(mismatches(&mut fresh), 1, "the clientID is another IMEI");
    let mut literal = World::new();
    literal.out.publish(1, &aimed(target("0.10.66")));
    literal.post("/otap/notify?id=@", &modem(1), b"900", NOW);
    assert_eq!(literal.kinds(), [EventKind::FirstSeen, EventKind::Installed]);
}

#[test]
fn a_result_without_an_imei_finds_its_device_by_the_clientid() {
    let mut world = World::new();
    (1..=2).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    world.notify(1, "900", NOW);
    world.post("/otap/notify?id=dev1", "", b"903 x", NOW + 1);
    world.post(&format!("/otap/notify?id={}", imei(2)), "", b"904 x", NOW + 2);
    let imeis: Vec<_> = world
        .events()
        .into_iter()
        .filter(|event| event.code.is_some())
        .map(|event| (event.imei.unwrap().to_string(), event.code.unwrap()))
        .collect();
    assert_eq!(imeis, [(imei(1), 900), (imei(1), 903), (imei(2), 904)]);
    assert_eq!(world.unknown(), []);
}

#[test]
fn a_check_that_changes_nothing_writes_nothing() {
    let mut world = World::new();
    world.out.publish(1, &aimed(target("0.10.66")));
    world.check(1, "0.10.66", NOW);
    let log = world.state.path().join("otapress.db-wal");
    let size = |_: ()| fs::metadata(&log).unwrap().len();
    let before = size(());
    for second in 1..600 {
        world.check(1, "0.10.66", NOW + second);
    }
    assert_eq!(size(()), before);
    world.check(1, "0.10.66", NOW + 600);
    assert!(size(()) > before, "but it is not forgotten");
}

#[test]
fn other_methods_are_not_allowed_on_our_paths() {
    let out = Out::new();
    let responder = out.responder();
    for (method, target) in [("GET", "/otap/version"), ("DELETE", "/otap/notify?id=dev1")] {
        let request = Request { method, target, host: None, agent: None, body: b"", is_complete: true };
        let Step::Done(reply) = responder.prepare(&request) else { panic!("{method}") };
        assert_eq!((reply.status, reply.allow, reply.reason()), (405, Some("POST"), "Method Not Allowed"));
    }
    let request = Request {
        method: "GET",
        target: "/vc/x.json",
        host: None,
        agent: None,
        body: b"",
        is_complete: true,
    };
    assert!(matches!(responder.prepare(&request), Step::NotOurs));
}

#[test]
fn without_a_store_nothing_is_promised() {
    let out = Out::new();
    out.publish(1, &aimed(target("0.10.66")));
    let ask = |agent: String, target, body: &[u8]| {
        let request = Request::post(target, &agent, body);
        let Step::Ask(question) = out.responder().prepare(&request) else { panic!() };
        answer_without_store(&question, "why")
    };
    let reply = ask(format!("GW/{}", imei(1)), "/otap/version", b"0.10.65");
    let no = Reply::no(format!("version check of {}: no-state: why", imei(1)));
    assert_eq!(reply, no.of_kind("no-state"));
    let reply = ask(format!("TC65i/{}", imei(1)), "/otap/notify?id=dev1", b"900 Success");
    let log = format!("result of dev1 ({}), `900 Success`: no-state: why", imei(1));
    assert_eq!(reply, Reply::empty(500, Some(log)).of_kind("no-state"));
    assert_eq!(reply.reason(), "Internal Server Error");
    assert_eq!(ask(format!("SIMU/{}", imei(1)), "/otap/notify?id=dev1", b"900").status, 200);
}

#[test]
fn one_batch_is_like_one_after_the_other() {
    let mut world = World::new();
    (1..=4).for_each(|n| world.out.publish(n, &aimed(Target { rate: Some(2), ..target("0.10.66") })));
    let responder = world.out.responder();
    let ask = |n: usize, version: &str| {
        let agent = format!("GW/{}", fixture::imei(n));
        let request = Request::post("/otap/version", &agent, version.as_bytes());
        let Step::Ask(question) = responder.prepare(&request) else { panic!() };
        question
    };
    let batch =
        [ask(1, "0.10.65"), ask(2, "0.10.66"), ask(3, "0.10.65"), ask(4, "0.10.65"), ask(1, "0.10.65")];
    let replies = answer(&mut world.store, Durability::Power, &batch, NOW);
    let upgrades: Vec<_> = replies.iter().map(is_upgrade).collect();
    assert_eq!(upgrades, [true, false, true, false, true]);
    assert_eq!(world.refusal(4), Some(Refusal::RateLimited));
    assert_eq!(answer(&mut world.store, Durability::Power, &[], NOW), []);
}

#[test]
fn the_log_says_that_the_clock_moved() {
    let mut world = World::new();
    (1..4).for_each(|n| world.out.publish(n, &aimed(target("0.10.66"))));
    let mut log = |n, now| world.check(n, "0.10.66", now).log;
    assert_eq!(log(1, NOW), None);
    assert_eq!(log(2, NOW + 10_800), None);
    let ahead = "version check of 123456789010003: next/0.10.66: no device was heard for 72 h 00 min, or the \
        clock was set: deadlines move by as much";
    assert_eq!(log(3, NOW + 10_800 + 72 * 3600).as_deref(), Some(ahead));
    assert_eq!(log(1, NOW + 10_900 + 72 * 3600), None, "once");
    let back = "version check of 123456789010002: next/0.10.66: the clock was set back by 71 h 59 min";
    assert_eq!(log(2, NOW + 10_840).as_deref(), Some(back));
}
