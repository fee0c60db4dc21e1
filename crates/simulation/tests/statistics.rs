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
use otapress_responder::operate;
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
    Posts(&'static str),
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

/// An offer without a limit of unproven devices.
fn unlimited() -> Offer {
    offer(target("0.10.66"), Rules { unproven: Limit::Unlimited, ..Rules::default() })
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
                Fate::Posts(text) => {
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

    /// Whether all are told, of whom these are silent.
    fn reaches(&mut self, devices: usize, silent: &BTreeSet<usize>) -> bool {
        let fate = |_: &mut Fleet, n| if silent.contains(&n) { Fate::Silent(true) } else { Fate::Healthy };
        self.live(NOW + 2 * DAY, to(target("0.10.66")), fate, |fleet| fleet.told.len() == devices);
        self.told.len() == devices
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

/// A rollout stops for good if three of the first forty that are told are silent, or four of the first fifty,
/// and so on.
#[test]
fn one_percent_of_silent_devices_does_not_stop_a_rollout() {
    let seeds = if cfg!(debug_assertions) { 20 } else { 1_000 };
    // Ten of the thousand, which ones is up to the seed.
    let ten = |fleet: &mut Fleet| {
        let mut silent = BTreeSet::new();
        while silent.len() < 10 {
            silent.insert(fleet.prng.below(1_000) as usize);
        }
        silent
    };
    // Each with a probability of 1 %, so that there may be twenty.
    let each = |fleet: &mut Fleet| (0..1_000).filter(|_| fleet.happens(1)).collect();
    let ends = |silent: &dyn Fn(&mut Fleet) -> BTreeSet<usize>| {
        let reaches = |seed: &u64| {
            let mut fleet = Fleet::new(1_000, *seed);
            let silent = silent(&mut fleet);
            fleet.reaches(1_000, &silent)
        };
        (0..seeds).filter(reaches).count() as u64
    };
    let (ten, each) = (ends(&ten), ends(&each));
    println!("of {seeds}, {ten} reach the end with 10 of 1,000, {each} with 1 % each");
    assert!(ten + seeds.div_ceil(100) >= seeds, "{ten} of {seeds} reach the end");
    assert!(each + seeds.div_ceil(50) >= seeds, "{each} of {seeds} reach the end");
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
            true => Fate::Posts("903 Loss of service"),
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
            true => Fate::Posts("903 Loss of service"),
            false => Fate::Healthy,
        };
        fleet.live(NOW + 4 * DAY, to(target("0.10.66")), fate, |fleet| fleet.rollout().halted.is_some());
        assert!(fleet.rollout().halted.is_some(), "seed {seed}: {:?}", fleet.rollout());
        late += usize::from(fleet.told.len() >= 60);
    }
    assert!(late <= 5, "{late} of 50");
}

#[test]
fn installed_and_then_the_old_version_halts_at_ten() {
    let mut fleet = Fleet::new(200, 4);
    fleet.live(NOW + 3 * DAY, to(target("0.10.66")), |_, _| Fate::Posts("900 Success"), |_| false);
    let rollout = fleet.rollout();
    assert_eq!((rollout.failed, rollout.places), (10, 0), "{rollout:?}");
    assert!(rollout.halted.is_some());
}

#[test]
fn a_fault_stops_a_release_in_every_channel_and_for_pins_and_resume_frees_it() {
    let of = |rollout: &str, channel: Option<&str>, limit| {
        let mut target =
            Target { rollout: rollout.into(), channel: channel.map(str::to_owned), ..target("0.10.66") };
        target.brake.artifact_faults = limit;
        // As `otapress.json` has it, the strictest of all.
        offer(target, Rules { artifact_faults: 1, ..Rules::default() })
    };
    let mut fleet = Fleet::new(4, 6);
    let canary = of("canary/0.10.66", Some("canary"), 1);
    assert!(fleet.check(0, canary, NOW));
    fleet.post(0, "908 Incompatible configuration or profile", NOW + 100);
    let others = [of("main/0.10.66", Some("main"), 3), of("pin/0.10.66", None, 3)];
    for (n, other) in others.iter().enumerate() {
        assert!(!fleet.check(n + 1, other.clone(), NOW + 101));
        assert!(fleet.memory.rollout(&other.target().unwrap().rollout).halted.is_some());
    }
    operate::resume(&mut fleet.memory, "0.10.66", NOW + 200).unwrap();
    assert!(fleet.check(3, others[0].clone(), NOW + 201));
}

#[test]
fn a_release_that_was_halted_long_ago_is_offered_when_it_returns() {
    let fault = |_: &mut Fleet, _| Fate::Posts("905 Attribute mismatch");
    let mut fleet = Fleet::new(20, 7);
    fleet.live(NOW + DAY, to(target("0.10.66")), fault, |_| false);
    assert!(fleet.rollout().halted.is_some());
    fleet.live(NOW + 30 * DAY, to(target("0.10.65")), |_, _| Fate::Healthy, |_| false);
    fleet.told.clear();
    fleet.live(NOW + 31 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, |_| false);
    assert_eq!(fleet.told.len(), 20);
    // But not after a while that a stale copy may last.
    let mut fleet = Fleet::new(20, 8);
    fleet.live(NOW + DAY, to(target("0.10.66")), fault, |_| false);
    fleet.live(NOW + DAY + 6 * 3600, to(target("0.10.65")), |_, _| Fate::Healthy, |_| false);
    fleet.told.clear();
    fleet.live(NOW + 2 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, |_| false);
    assert_eq!(fleet.told.len(), 0);
}

#[test]
fn going_to_and_fro_uses_no_attempts_up_and_is_not_throttled() {
    let mut fleet = Fleet::new(400, 9);
    for round in 0..8 {
        let version = if round % 2 == 0 { "0.10.66" } else { "0.10.65" };
        let start = NOW + 3 * round * DAY;
        fleet.live(start + 3 * DAY, to(target(version)), |_, _| Fate::Healthy, |_| false);
        let version: Version = version.parse().unwrap();
        assert!(fleet.runs.iter().all(|&runs| runs == version), "round {round}");
    }
    // Most of the fleet ran it: forty places at once.
    let at = NOW + 24 * DAY;
    let upgrades = (0..400).filter(|&n| fleet.check(n, to(target("0.10.66"))(n), at + 7)).count();
    assert_eq!(upgrades, 40);
}

#[test]
fn an_outage_is_nobodys_failure() {
    let mut fleet = Fleet::new(40, 10);
    // Twelve are told, then nobody reaches the server for ten hours; all then report success.
    for n in 0..12 {
        assert!(fleet.check(n, unlimited(), NOW + 60 * n as i64));
    }
    let later = NOW + 10 * 3600;
    assert!(fleet.check(12, unlimited(), later));
    for n in 0..12 {
        fleet.post(n, "900 Success", later + 60);
        fleet.runs[n] = "0.10.66".parse().unwrap();
        fleet.check(n, unlimited(), later + 120);
    }
    let rollout = fleet.rollout();
    assert_eq!((rollout.succeeded, rollout.failed, rollout.halted), (12, 0, None));
    assert!(fleet.check(13, unlimited(), later + 180));
}

#[test]
fn those_who_stay_away_while_others_are_heard_have_failed() {
    let mut fleet = Fleet::new(40, 11);
    for n in 0..12 {
        assert!(fleet.check(n, unlimited(), NOW));
    }
    fleet.runs[30] = "0.10.66".parse().unwrap();
    for check in 1..4 {
        fleet.check(30, unlimited(), NOW + check * INTERVAL);
    }
    let rollout = fleet.rollout();
    assert_eq!((rollout.failed, rollout.places), (12, 12), "failed, and they keep their places");
    assert!(rollout.halted.is_some());
}
