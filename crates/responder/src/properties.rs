//! What holds after any sequence of checks, results, operator's actions and publications.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::fixture::{NOW, Out, check, imei, is_upgrade, notify, target};
use super::offer::is_open;
use super::operate;
use super::record::{DeviceRecord, Event, EventKind, OfferRecord, RolloutRecord, Verdict};
use super::waves::WaveRecord;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use otapress_core::version::Version;
use otapress_core::wire::{self, AnswerFile, Brake, Day, Setting, Target, Window};

const DEVICES: usize = 4;
const VERSIONS: [&str; 5] = ["0.8.37", "0.8.73", "0.10.65", "0.10.66", "0.10.67"];
const BODIES: [&str; 2] = ["", "0.10.66\0x"];
const WAVES: [u16; 2] = [500, 10_000];
const RESULTS: [&str; 6] = ["900 Success", "903 x", "905 x", "912 x", "999 x", "?"];
const STEPS: [i64; 10] = [0, 1, 29, 59, 60, 61, 600, 3_300, 10_800, 30_000];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Act {
    Check {
        device: usize,
        body: &'static str,
    },
    /// The same check again in the same second, as if two processes had it.
    Twice {
        device: usize,
        body: &'static str,
    },
    Notify {
        device: usize,
        text: &'static str,
    },
    Publish {
        device: usize,
        file: Box<AnswerFile>,
    },
    Withdraw {
        device: usize,
    },
    Retry {
        device: usize,
    },
    Resume,
}

fn a_target() -> impl Strategy<Value = Target> {
    let window = prop::option::of((0..7_usize, 0..1440_u16, 600..1441_u16));
    let brake = (0..3_u32, prop::sample::select(vec![0, 3000, 10_000]), 0..4_u32);
    let wave = prop::option::of(prop::sample::select(WAVES.to_vec()));
    let rest = (0..3_u32, any::<bool>(), prop::option::of(1..4_u32), -20_000..60_000_i64, wave);
    (prop::sample::select(vec!["0.10.66", "0.10.67"]), window, brake, rest).prop_map(
        |(
            version,
            window,
            (artifact_faults, failures_bp, after),
            (attempts, no_downgrade, rate, from, wave),
        )| {
            Target {
                window: window.map(|(day, from, minutes)| Window {
                    days: Day::WEEK.iter().copied().filter(|&d| d as usize != day).collect(),
                    from,
                    minutes,
                }),
                brake: Brake { artifact_faults, failures_bp, after },
                attempts,
                no_downgrade,
                rate,
                wave,
                from: (from > 0 && wave.is_none()).then_some(NOW + from),
                ..target(version)
            }
        },
    )
}

fn a_file() -> impl Strategy<Value = AnswerFile> {
    let settings = prop::sample::select(vec!["", "g", "h"]);
    (prop::option::weighted(0.9, a_target()), settings, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(target, generation, always, held)| {
            let setting = |key: &str, val: &str| Setting { key: key.into(), val: val.into() };
            let mut settings = Vec::new();
            if !generation.is_empty() {
                settings.extend([
                    setting("qos", "2"),
                    setting("maxInterval", "10"),
                    setting("tid", generation),
                ]);
            }
            if always {
                settings.extend([setting("minSpeed", "3"), setting("useGPIO1", "0")]);
            }
            let target = target.filter(|_| !held);
            let offer = wire::Offer {
                held,
                interval: 10_800,
                generation: (!generation.is_empty()).then(|| generation.into()),
                always: vec!["minSpeed".into(), "useGPIO1".into()],
                target,
            };
            AnswerFile { upgrade: offer.target.is_some().into(), settings, offer }
        },
    )
}

fn an_act() -> impl Strategy<Value = Act> {
    let device = 0..DEVICES;
    let body = prop::sample::select([&VERSIONS[..], &BODIES].concat());
    prop_oneof![
        10 => (device.clone(), body.clone()).prop_map(|(device, body)| Act::Check { device, body }),
        2 => (device.clone(), body).prop_map(|(device, body)| Act::Twice { device, body }),
        4 => (device.clone(), prop::sample::select(RESULTS.to_vec()))
            .prop_map(|(device, text)| Act::Notify { device, text }),
        2 => (device.clone(), a_file()).prop_map(|(device, file)| Act::Publish { device, file: file.into() }),
        1 => device.clone().prop_map(|device| Act::Withdraw { device }),
        1 => device.prop_map(|device| Act::Retry { device }),
        1 => Just(Act::Resume),
    ]
}

struct World {
    out: Out,
    store: SqliteStore,
    _state: tempfile::TempDir,
    files: BTreeMap<usize, AnswerFile>,
    now: i64,
    /// Attempts since the last retry, by device and rollout.
    attempts: BTreeMap<(usize, String), u32>,
    /// When the last attempt of a device began.
    last_attempt: BTreeMap<usize, (String, i64)>,
    /// When attempts were counted for the channel.
    rated: VecDeque<i64>,
    seq: i64,
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        World {
            out: Out::unlimited(),
            store: SqliteStore::open(state.path(), Duration::from_secs(5)).unwrap(),
            _state: state,
            files: BTreeMap::new(),
            now: NOW,
            attempts: BTreeMap::new(),
            last_attempt: BTreeMap::new(),
            rated: VecDeque::new(),
            seq: 0,
        }
    }

    fn new_events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        let seq = self.seq;
        self.store.read(&mut |tx| tx.events(seq, 1000).map(|read| events = read)).unwrap();
        self.seq = events.last().map_or(seq, |(seq, _)| *seq);
        events.into_iter().map(|(_, event)| event).collect()
    }

    fn rollouts(&mut self) -> Vec<RolloutRecord> {
        let mut rollouts = Vec::new();
        self.store.read(&mut |tx| tx.rollouts().map(|read| rollouts = read)).unwrap();
        rollouts
    }

    fn device(&mut self, n: usize) -> Option<DeviceRecord> {
        let mut device = None;
        self.store.read(&mut |tx| tx.device(imei(n).parse().unwrap()).map(|read| device = read)).unwrap();
        device
    }

    fn offers(&mut self) -> Vec<OfferRecord> {
        let mut offers = Vec::new();
        self.store
            .read(&mut |tx| {
                offers.clear();
                for n in 0..DEVICES {
                    let device = tx.device(imei(n).parse().unwrap())?;
                    offers.extend(device.into_iter().flat_map(|device| device.offers));
                }
                Ok(())
            })
            .unwrap();
        offers
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Check { device, body } => _ = self.check(*device, body),
            Act::Twice { device, body } => {
                let (first, second) = (self.check(*device, body), self.check(*device, body));
                assert_eq!(first, second, "asked twice at once");
            }
            Act::Notify { device, text } => {
                let reply = notify(&self.out.responder(), &mut self.store, *device, text, self.now);
                assert_eq!((reply.status, &*reply.body), (200, ""));
                let events = self.new_events();
                assert!(events.iter().all(|event| event.kind != EventKind::Offered));
            }
            Act::Publish { device, file } => {
                self.out.publish(*device, file);
                self.files.insert(*device, (**file).clone());
            }
            Act::Withdraw { device } => {
                if self.files.remove(device).is_some() {
                    let path = self.out.answer(*device);
                    std::fs::remove_file(path).unwrap();
                }
            }
            Act::Retry { device } => {
                let device = (imei(*device).parse().unwrap(), None);
                operate::retry(&mut self.store, &[device], self.now).unwrap();
                self.new_events();
            }
            Act::Resume => {
                for release in ["0.10.66", "0.10.67"] {
                    operate::resume(&mut self.store, release, self.now).unwrap();
                }
                self.new_events();
            }
        }
        self.counts_are_those_of_the_offers();
    }

    /// Checks, and everything that must hold of the answer.
    fn check(&mut self, n: usize, body: &str) -> bool {
        let mut halted: Vec<_> =
            self.rollouts().into_iter().filter(|r| r.halted.is_some()).map(|r| r.id).collect();
        let reply = check(&self.out.responder(), &mut self.store, n, body, self.now);
        let upgrade = is_upgrade(&reply);
        let file = self.files.get(&n).cloned();
        let reported = body.parse::<Version>().ok();
        let events = self.new_events();
        for event in events.iter().filter(|event| event.kind == EventKind::BeganAnew) {
            self.attempts.retain(|(_, rollout), _| Some(&**rollout) != event.rollout.as_deref());
            halted.retain(|rollout| Some(rollout) != event.rollout.as_ref());
        }
        let attempt = events.iter().find(|event| event.kind == EventKind::Offered);
        if !upgrade {
            assert_eq!(attempt, None);
            let sendable = file.as_ref().is_some_and(|file| !file.offer.held && !file.settings.is_empty());
            if !sendable || reported.is_none() {
                assert_eq!(reply.body, wire::NO);
            }
            if reported.is_none_or(|reported| reported < Version::READS_JSON) {
                assert!(!reply.body.contains('1'), "{}", reply.body);
            }
            return false;
        }
        let file = file.expect("nobody outside the fleet is upgraded");
        let target = file.offer.target.expect("there is something to upgrade to");
        let reported = reported.expect("the device said what it runs");
        assert!(!file.offer.held);
        assert_ne!(reported, target.version);
        assert!(!(target.no_downgrade && reported > target.version));
        assert!(target.from.is_none_or(|from| self.now >= from));
        assert!(target.window.as_ref().is_none_or(|window| is_open(window, self.now)));
        assert!(!halted.iter().any(|halted| **halted == *target.rollout));
        let rollout = target.rollout.clone();
        if attempt.is_none() {
            let (last, at) = &self.last_attempt[&n];
            assert!(*last == rollout && self.now - at < 60, "no attempt, and none a minute ago");
            return true;
        }
        let attempts = self.attempts.entry((n, rollout.clone())).or_default();
        *attempts += 1;
        assert!(*attempts <= target.attempts, "attempt {attempts} of {}", target.attempts);
        self.last_attempt.insert(n, (rollout, self.now));
        if let Some(rate) = target.rate {
            self.rated.push_back(self.now);
            let hour = self.now - 3600;
            let recent = self.rated.iter().filter(|&&at| at > hour).count();
            assert!(recent <= rate as usize, "{recent} offers in an hour");
        }
        true
    }

    /// The counters of a rollout are nothing but a sum over its offers.
    fn counts_are_those_of_the_offers(&mut self) {
        let offers = self.offers();
        for n in 0..DEVICES {
            // Given back because a success has held.
            let device = self.device(n);
            let given_back = |o: &&OfferRecord| o.attempts == 0;
            for offer in device.iter().flat_map(|device| &device.offers).filter(given_back) {
                self.attempts.insert((n, offer.rollout.to_string()), offer.attempts);
            }
        }
        for rollout in self.rollouts() {
            let count = |holds: &dyn Fn(&OfferRecord) -> bool| {
                let of_it = |o: &&OfferRecord| o.rollout == rollout.id && o.epoch == rollout.epoch;
                offers.iter().filter(of_it).filter(|o| holds(o)).count() as u32
            };
            assert_eq!(rollout.offered, count(&OfferRecord::was_offered));
            assert_eq!(rollout.installed, count(&|o| o.verdict == Some(Verdict::Installed)));
            assert_eq!(rollout.places, count(&|o| o.place));
            let counts = |o: &&OfferRecord| {
                o.rollout == rollout.id && o.proven.is_some_and(|epoch| epoch >= rollout.proven_since)
            };
            assert_eq!(rollout.proven as usize, offers.iter().filter(counts).count());
            assert_eq!(rollout.succeeded, count(&|o| o.verdict == Some(Verdict::Succeeded)));
            assert_eq!(rollout.failed, count(&|o| o.verdict == Some(Verdict::Failed)));
            assert_eq!(rollout.artifact_faults, count(&|o| o.artifact_fault));
            for wave in WAVES {
                let in_wave = |o: &&OfferRecord| o.rollout == rollout.id && o.wave == Some(wave);
                let in_wave = || offers.iter().filter(in_wave);
                let is_proven =
                    |o: &&OfferRecord| o.proven.is_some_and(|epoch| epoch >= rollout.proven_since);
                let good = in_wave().filter(|o| o.since.is_some()).filter(is_proven).count();
                let bad = in_wave().filter(|o| o.since.is_none() && o.epoch == rollout.epoch);
                let bad =
                    bad.filter(|o| matches!(o.verdict, Some(Verdict::Failed | Verdict::Succeeded))).count();
                let WaveRecord { good: counted_good, bad: counted_bad, .. } = rollout.waves.get(wave);
                assert_eq!((counted_good as usize, counted_bad as usize), (good, bad), "{wave}: {offers:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(
        files in prop::collection::vec(a_file(), DEVICES),
        acts in prop::collection::vec((an_act(), prop::sample::select(STEPS.to_vec())), 1..60),
    ) {
        let mut world = World::new();
        for (device, file) in files.into_iter().enumerate() {
            world.act(&Act::Publish { device, file: file.into() });
        }
        for (act, step) in acts {
            world.now += step;
            world.act(&act);
        }
    }

    /// Any bytes at all get an answer, and nothing of them gets into a log unescaped.
    #[test]
    fn any_request_is_answered(
        target in "(http://[a-z]{0,3})?(/otap/(version|notify\\?id=.{0,4}))?.{0,8}",
        agent in prop::option::of(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "(GW|XAK|SIMU|TC65i)/[0-9]{13,17}.{0,4}".prop_map(String::into_bytes),
        ]),
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "9[0-9]{2}.{0,9}".prop_map(String::into_bytes),
        ],
        is_complete: bool,
    ) {
        let mut world = World::new();
        let responder = world.out.responder();
        let request = super::message::Request {
            method: "POST", target: &target, host: None, agent: agent.as_deref(), body: &body, is_complete,
        };
        let reply = match responder.prepare(&request) {
            super::service::Step::NotOurs => panic!("a POST is ours"),
            super::service::Step::Done(reply) => reply,
            super::service::Step::Ask(question) => {
                let durability = crate::store::Durability::Process;
                super::service::answer(&mut world.store, durability, &[question], NOW).remove(0)
            }
        };
        prop_assert_eq!(reply.status, 200);
        prop_assert!(reply.body == wire::NO || reply.body.is_empty());
        prop_assert!(!reply.log.unwrap_or_default().chars().any(char::is_control));
    }
}
