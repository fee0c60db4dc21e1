//! Whole rollouts over the responder's core: no release reaches more devices than its proof allows, and a good
//! one reaches all. Sizes are those of the promises in an optimised build, and a tenth of them otherwise.
//!
//! Devices behave as the firmware does: they ask when they start and then every versionInterval, an upgrade
//! answer starts a download, and the first check comes right after the start, 3 to 15 minutes later. Every
//! seed replays.

#![allow(clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeSet;

use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{Limit, Places, Target};
use otapress_responder::fixture::{NOW, target};
use otapress_responder::offer::{Managed, Offer, Rules};
use otapress_responder::question::Question;
use otapress_responder::record::RolloutRecord;
use otapress_simulation::memory::Memory;
use otapress_simulation::{Agenda, Prng};

const INTERVAL: i64 = 10_800;

const DAY: i64 = 86_400;

/// As much as is affordable here.
fn sized(full: usize) -> usize {
    if cfg!(debug_assertions) { full.div_ceil(10) } else { full }
}

/// What becomes of an upgrade.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Healthy,
    /// It posts this, and runs what it ran.
    Fault(&'static str),
    /// It is never heard of again; whether it says that it is installed.
    Silent(bool),
}

/// A fleet that is told to run a release.
struct Fleet {
    memory: Memory,
    prng: Prng,
    runs: Vec<Version>,
    told: BTreeSet<usize>,
    /// When each device asks next.
    agenda: Agenda<i64, usize>,
    /// How far the clock is off that the responder has.
    skew: i64,
}

fn imei(n: usize) -> Imei {
    format!("35{n:013}").parse().unwrap()
}

fn offer(target: Target, rules: Rules) -> Offer {
    Offer::Managed(Managed { target: Some(target), interval: INTERVAL as u32, rules, ..Managed::default() })
}

fn to(target: Target) -> impl Fn(usize) -> Offer {
    move |_| offer(target.clone(), Rules::default())
}

impl Fleet {
    fn new(devices: usize, seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let mut agenda = Agenda::default();
        (0..devices).for_each(|n| agenda.add(NOW + prng.below(INTERVAL as u64) as i64, n));
        let runs = vec!["0.10.65".parse().unwrap(); devices];
        Fleet { memory: Memory::default(), prng, runs, told: BTreeSet::new(), agenda, skew: 0 }
    }

    fn happens(&mut self, percent: u64) -> bool {
        self.prng.below(100) < percent
    }

    fn check(&mut self, n: usize, offer: Offer, now: i64) -> bool {
        let question = Question::check(imei(n), self.runs[n], Ok(offer));
        self.memory.ask(&question, now + self.skew).answer.upgrade
    }

    fn post(&mut self, n: usize, text: &str, now: i64) {
        self.memory.ask(&Question::result(imei(n), None, text.as_bytes()), now + self.skew);
    }

    /// Lets the fleet live until then, or until `stop`. Returns when it ended.
    fn live(
        &mut self,
        until: i64,
        offer: impl Fn(usize) -> Offer,
        mut fate: impl FnMut(&mut Fleet, usize) -> Fate,
        mut stop: impl FnMut(&Fleet) -> bool,
    ) -> i64 {
        while let Some((now, n)) = self.agenda.next() {
            if now >= until {
                self.agenda.add(now, n);
                return until;
            }
            let offer = offer(n);
            let target = offer.target().unwrap().version;
            if !self.check(n, offer, now) {
                self.agenda.add(now + INTERVAL, n);
                continue;
            }
            self.told.insert(n);
            let end = now + 180 + self.prng.below(720) as i64;
            match fate(self, n) {
                Fate::Healthy => {
                    self.post(n, "900 Success", end - 60);
                    self.runs[n] = target;
                    self.agenda.add(end, n);
                }
                Fate::Fault(text) => {
                    self.post(n, text, end - 60);
                    self.agenda.add(end, n);
                }
                Fate::Silent(posts) if posts => self.post(n, "900 Success", end - 60),
                Fate::Silent(_) => {}
            }
            if stop(self) {
                return now;
            }
        }
        until
    }

    fn rollout(&self) -> RolloutRecord {
        self.memory.rollout("next/0.10.66")
    }
}

#[test]
fn of_a_release_that_never_starts_three_are_told() {
    for devices in [8, 1_000] {
        for posts in [false, true] {
            for has_waves in [false, true] {
                let waved = move |n: usize| {
                    let from = (has_waves && !n.is_multiple_of(4)).then_some(NOW + DAY * (n % 4) as i64);
                    offer(Target { from, ..target("0.10.66") }, Rules::default())
                };
                let mut fleet = Fleet::new(devices, 1);
                fleet.live(NOW + 10 * DAY, waved, |_, _| Fate::Silent(posts), |_| false);
                assert_eq!(fleet.told.len(), 3, "{devices} devices, posts {posts}, waves {has_waves}");
            }
        }
    }
    let mut fleet = Fleet::new(1_000, 1);
    let least = Limit::Places(Places { least: 20, share_bp: 1000 });
    let twenty = |_| offer(target("0.10.66"), Rules { unproven: least, ..Rules::default() });
    fleet.live(NOW + 3 * DAY, twenty, |_, _| Fate::Silent(false), |_| false);
    assert_eq!(fleet.told.len(), 20);
}

#[test]
fn nor_more_with_two_hosts_that_disagree_and_clocks_that_jump() {
    for devices in [8, 1_000] {
        for (of, stale) in [(2, 1), (5, 1), (5, 4)] {
            for jumps in [[0, 0], [3 * DAY, 0], [0, -3 * DAY], [3 * DAY, -3 * DAY]] {
                let mut fleet = Fleet::new(devices, 3);
                for hour in 0..10 * 24 {
                    let version = if hour % of < stale { "0.10.65" } else { "0.10.66" };
                    fleet.skew = if hour % 48 >= 46 { jumps[(hour % 2) as usize] } else { 0 };
                    fleet.live(NOW + hour * 3600, to(target(version)), |_, _| Fate::Silent(true), |_| false);
                }
                assert_eq!(fleet.told.len(), 3, "{devices} devices, {stale} of {of} hours, {jumps:?}");
            }
        }
    }
}

#[test]
fn one_percent_of_silent_devices_does_not_stop_a_rollout() {
    // A rollout stops for good if three of the first forty that are told are silent, or four of the first
    // fifty, and so on: with 1 % silent devices that befalls about 13 rollouts in 1,000.
    let seeds = if cfg!(debug_assertions) { 20 } else { 1_000 };
    let ends = (0..seeds).filter(|&seed| {
        let mut fleet = Fleet::new(1_000, seed);
        let silent: BTreeSet<usize> = (0..1_000).filter(|_| fleet.happens(1)).collect();
        let fate = |_: &mut Fleet, n| if silent.contains(&n) { Fate::Silent(true) } else { Fate::Healthy };
        fleet.live(NOW + 2 * DAY, to(target("0.10.66")), fate, |fleet| fleet.told.len() == 1_000);
        fleet.told.len() == 1_000
    });
    let ends = ends.count() as u64;
    println!("{ends} of {seeds} reach the end");
    assert!(ends + seeds.div_ceil(50) >= seeds, "{ends} of {seeds} reach the end");
}

#[test]
fn twenty_percent_stop_it_within_its_limit() {
    for seed in 0..sized(100) as u64 {
        let mut fleet = Fleet::new(1_000, seed);
        let fate = |fleet: &mut Fleet, _| if fleet.happens(20) { Fate::Silent(true) } else { Fate::Healthy };
        fleet.live(NOW + 4 * DAY, to(target("0.10.66")), fate, |fleet| {
            let rollout = fleet.rollout();
            assert!(rollout.places <= 3.max(rollout.proven / 10), "seed {seed}: {rollout:?}");
            false
        });
        assert!(fleet.told.len() < 1_000, "seed {seed}: all are told");
        let before = fleet.told.len();
        fleet.live(NOW + 8 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, |_| false);
        assert_eq!(fleet.told.len(), before, "seed {seed}: it has stopped");
    }
}

#[test]
fn a_healthy_fleet_is_through_within_a_day() {
    for (devices, hours) in [(8, 4), (1_000, 10), (sized(100_000), 24)] {
        let mut fleet = Fleet::new(devices, 5);
        let all = |fleet: &Fleet| fleet.told.len() == fleet.runs.len();
        let end = fleet.live(NOW + 2 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, all);
        let took = end + 900 - NOW;
        println!("{devices} devices are told within {:.1} h", (end - NOW) as f64 / 3600.0);
        assert!(took <= hours * 3600, "{devices} devices take {} h", took / 3600);
    }
}

#[test]
fn transient_failures_do_not_halt_a_healthy_fleet() {
    for seed in 0..sized(50) as u64 {
        let mut fleet = Fleet::new(sized(20_000), seed);
        let fate = |fleet: &mut Fleet, _| match fleet.happens(1) {
            true => Fate::Fault("903 Loss of service"),
            false => Fate::Healthy,
        };
        fleet.live(NOW + DAY, to(target("0.10.66")), fate, |fleet| fleet.told.len() == fleet.runs.len());
        let rollout = fleet.rollout();
        assert_eq!((rollout.halted, fleet.told.len()), (None, sized(20_000)), "seed {seed}");
    }
}

#[test]
fn thirty_percent_of_failures_halt_it_before_sixty_are_told() {
    let mut late = 0;
    for seed in 0..50 {
        let mut fleet = Fleet::new(sized(20_000), seed);
        let fate = |fleet: &mut Fleet, _| match fleet.happens(30) {
            true => Fate::Fault("903 Loss of service"),
            false => Fate::Healthy,
        };
        fleet.live(NOW + 4 * DAY, to(target("0.10.66")), fate, |fleet| fleet.rollout().halted.is_some());
        assert!(fleet.rollout().halted.is_some(), "seed {seed}: {:?}", fleet.rollout());
        late += usize::from(fleet.told.len() >= 60);
    }
    assert!(late <= 5, "{late} of 50");
}
