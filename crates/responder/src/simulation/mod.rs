//! Two hosts, one database, and devices with the firmware's behaviour, in simulated time and from one seed.
//!
//! `otapress-simulation` plays rollouts over the pure core; here is what lies around it: copies of `out/`
//! that differ, clocks that differ, transactions that fail before, while and after they commit, and
//! responders that start anew. What must never happen is looked for at every answer, from the devices' side:
//! [`World::promises`].
//!
//! A failure names its seed; `play(seed, …)` plays it again.

pub(super) mod store;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::fixture::{NOW, Out, aimed, imei, is_upgrade, post, target};
use super::service::Responder;
use store::{Chance, FaultyStore};

/// Seconds between two checks of a device.
const INTERVAL: i64 = 10_800;

/// The limit of the rollouts here: three, or a tenth of the devices that have proven the release.
const LEAST: usize = 3;

/// The attempts of a device.
const ATTEMPTS: u32 = 3;

/// What becomes of the upgrades of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It runs the release within minutes.
    Healthy,
    /// It posts this code and runs what it ran.
    Fails(&'static str),
    /// It is never heard of again.
    Silent,
}

/// What a device does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Check,
    Install,
}

struct Tracker {
    runs: &'static str,
    told: Option<&'static str>,
    fate: Fate,
}

/// What the devices know of a rollout.
#[derive(Default)]
struct Seen {
    /// The devices that were told to upgrade and have not reported since, with the time of the answer.
    waiting: BTreeMap<usize, i64>,
    /// The devices that got such an answer: one that was lost costs no device.
    reached: BTreeSet<usize>,
    proven: BTreeSet<usize>,
    attempts: BTreeMap<usize, u32>,
}

/// A responder with its own copy of `out/` and its own clock.
struct Host {
    out: Out,
    responder: Responder,
    store: FaultyStore,
    target: &'static str,
    skew: i64,
}

struct World {
    seed: u64,
    now: i64,
    chance: Chance,
    hosts: Vec<Host>,
    trackers: Vec<Tracker>,
    seen: BTreeMap<&'static str, Seen>,
    agenda: BinaryHeap<Reverse<(i64, usize, Step)>>,
    /// How many of a hundred answers do not reach their device.
    lost: u64,
    _state: tempfile::TempDir,
}

/// How a world differs from a quiet one, in percent.
#[derive(Clone, Copy, Default)]
struct Weather {
    store_fails: u64,
    answers_lost: u64,
    restarts: u64,
    skew: i64,
}

impl World {
    fn new(seed: u64, fates: &[Fate], weather: Weather) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut chance = Chance::new(seed);
        let host = |n: u64, skew| {
            let out = Out::new();
            for device in 0..fates.len() {
                out.publish(device, &aimed(target("0.10.66")));
            }
            let faults = (weather.store_fails, weather.restarts);
            let store = FaultyStore::open(state.path(), Chance::new(seed ^ (n + 1)), faults);
            Host { responder: out.responder(), out, store, target: "0.10.66", skew }
        };
        let hosts = vec![host(0, 0), host(1, weather.skew)];
        let agenda =
            (0..fates.len()).map(|n| Reverse((NOW + chance.below(INTERVAL as u64) as i64, n, Step::Check)));
        let agenda = agenda.collect();
        let tracker = |&fate| Tracker { runs: "0.10.65", told: None, fate };
        World {
            seed,
            now: NOW,
            chance,
            hosts,
            trackers: fates.iter().map(tracker).collect(),
            seen: BTreeMap::new(),
            agenda,
            lost: weather.answers_lost,
            _state: state,
        }
    }

    /// Publishes another target on one of the hosts.
    fn publish(&mut self, host: usize, version: &'static str) {
        let host = &mut self.hosts[host];
        for device in 0..self.trackers.len() {
            host.out.publish(device, &aimed(target(version)));
        }
        host.target = version;
        host.responder = host.out.responder();
    }

    fn run_until(&mut self, end: i64) {
        while let Some(&Reverse((at, n, step))) = self.agenda.peek() {
            if at > end {
                break;
            }
            self.agenda.pop();
            self.now = at;
            match step {
                Step::Check => self.check(n),
                Step::Install => self.install(n),
            }
        }
        self.now = end;
    }

    fn later(&mut self, n: usize, seconds: i64, step: Step) {
        self.agenda.push(Reverse((self.now + seconds, n, step)));
    }

    fn post(&mut self, host: usize, n: usize, path: &str, agent: &str, body: &str) -> super::service::Reply {
        let host = &mut self.hosts[host];
        let agent = format!("{agent}/{}", imei(n));
        post(&host.responder, &mut host.store, path, &agent, body.as_bytes(), self.now + host.skew)
    }

    fn check(&mut self, n: usize) {
        let at = self.chance.below(self.hosts.len() as u64) as usize;
        let runs = self.trackers[n].runs;
        self.reports(n, runs);
        let reply = self.post(at, n, "/otap/version", "GW", runs);
        let seed = self.seed;
        assert_eq!(reply.status, 200, "seed {seed}");
        if !is_upgrade(&reply) {
            return self.later(n, INTERVAL, Step::Check);
        }
        let target = self.hosts[at].target;
        assert_ne!(runs, target, "seed {seed}: device {n} runs what it is offered");
        let now = self.now;
        let seen = self.seen.entry(target).or_default();
        if seen.waiting.insert(n, now).is_none() {
            *seen.attempts.entry(n).or_default() += 1;
        }
        self.promises(target);
        if self.chance.happens(self.lost) {
            // A device without an answer asks every second.
            return self.later(n, 1, Step::Check);
        }
        self.trackers[n].told = Some(target);
        self.seen.entry(target).or_default().reached.insert(n);
        let soon = 60 + self.chance.below(120) as i64;
        self.later(n, soon, Step::Install);
    }

    fn install(&mut self, n: usize) {
        let Some(target) = self.trackers[n].told.take() else { return };
        let at = self.chance.below(self.hosts.len() as u64) as usize;
        let path = format!("/otap/notify?id=dev{n}");
        match self.trackers[n].fate {
            Fate::Silent => return,
            Fate::Fails(code) => {
                self.answered(target, n);
                self.post(at, n, &path, "TC65i", code);
            }
            Fate::Healthy => {
                self.post(at, n, &path, "TC65i", "900 Success");
                self.trackers[n].runs = target;
            }
        }
        self.later(n, 60, Step::Check);
    }

    /// What a report gives back, whether the records get to know it or not: they can only count more.
    fn reports(&mut self, n: usize, runs: &'static str) {
        for (target, seen) in &mut self.seen {
            if *target == runs {
                seen.proven.insert(n);
                seen.waiting.remove(&n);
            } else if seen.waiting.get(&n).is_some_and(|at| self.now - at >= 60) {
                seen.waiting.remove(&n);
            }
        }
    }

    fn answered(&mut self, target: &'static str, n: usize) {
        if let Some(seen) = self.seen.get_mut(target) {
            seen.waiting.remove(&n);
        }
    }

    /// No release reaches more devices than its proof allows, and no device is told more often than it may.
    fn promises(&self, target: &'static str) {
        let (seed, seen) = (self.seed, &self.seen[target]);
        let places = LEAST.max(seen.proven.len() / 10);
        let waiting = &seen.waiting;
        assert!(waiting.len() <= places, "seed {seed}: {waiting:?} wait for {target}, {places} may");
        let most = seen.attempts.values().max().copied().unwrap_or(0);
        assert!(most <= ATTEMPTS, "seed {seed}: a device was told {most} times");
    }

    fn running(&self, version: &str) -> usize {
        self.trackers.iter().filter(|tracker| tracker.runs == version).count()
    }
}

const STORM: Weather = Weather { store_fails: 20, answers_lost: 10, restarts: 5, skew: 20 };

#[test]
fn of_a_release_that_silences_devices_three_are_told_whatever_fails() {
    for seed in 0..6 {
        let mut world = World::new(seed, &[Fate::Silent; 40], STORM);
        world.run_until(NOW + 3 * 86_400);
        assert_eq!(world.seen["0.10.66"].reached.len(), LEAST, "seed {seed}");
    }
}

#[test]
fn a_good_release_reaches_everybody_although_a_third_of_the_transactions_fail() {
    // In the last three a device had three attempts whose commits were in doubt: it was told of none of them.
    for seed in (0..3).chain([111, 121, 124]) {
        let weather = Weather { store_fails: 33, ..STORM };
        let mut world = World::new(seed, &[Fate::Healthy; 40], weather);
        world.run_until(NOW + 4 * 86_400);
        assert_eq!(world.running("0.10.66"), 40, "seed {seed}");
    }
}

#[test]
fn a_faulty_artifact_stops_at_the_brake_on_both_hosts() {
    for seed in 0..4 {
        let weather = Weather { store_fails: 0, answers_lost: 0, ..STORM };
        let mut world = World::new(seed, &[Fate::Fails("907 Invalid JAR"); 40], weather);
        world.run_until(NOW + 2 * 86_400);
        let reached = world.seen["0.10.66"].reached.len();
        assert!((3..=2 * LEAST).contains(&reached), "seed {seed}: {reached}");
    }
}

#[test]
fn hosts_that_disagree_for_a_while_keep_the_limit_of_each_release() {
    for seed in 0..4 {
        let mut world = World::new(seed, &[Fate::Silent; 40], STORM);
        world.run_until(NOW + 86_400);
        world.publish(0, "0.10.67");
        world.run_until(NOW + 2 * 86_400);
        world.publish(1, "0.10.67");
        world.run_until(NOW + 4 * 86_400);
        let reached: Vec<_> = world.seen.values().map(|seen| seen.reached.len()).collect();
        assert_eq!(reached, [LEAST, LEAST], "seed {seed}");
    }
}

#[test]
fn a_seed_replays() {
    let lived = |seed| {
        let mut world = World::new(seed, &[Fate::Healthy; 12], STORM);
        world.run_until(NOW + 86_400);
        (world.running("0.10.66"), world.seen["0.10.66"].reached.clone(), world.agenda.into_sorted_vec())
    };
    assert!(lived(7) == lived(7));
}
