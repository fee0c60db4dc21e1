//! Whole rollouts over the pure core: no release reaches more devices than its proof allows, and a good one
//! reaches all.
//!
//! Devices behave as the firmware does: they ask when they start and then every versionInterval, an upgrade
//! answer starts a download, and the first check comes right after the start. Every seed replays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::exchange::{Exchanged, exchange};
use super::fixture::{NOW, target};
use super::offer::{Managed, Offer, Rules};
use super::outcome;
use super::question::Question;
use super::record::{DeviceRecord, Event, RolloutRecord};
use super::records::{Keys, Records};
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{Limit, Places, Target};

const INTERVAL: i64 = 10_800;

/// A database in memory.
#[derive(Default)]
pub(super) struct Memory {
    devices: BTreeMap<Imei, DeviceRecord>,
    pub(super) rollouts: BTreeMap<String, RolloutRecord>,
    releases: Vec<super::record::ReleaseRecord>,
    channels: BTreeMap<String, super::record::ChannelRecord>,
    deadlines: BTreeSet<(String, i64, Imei)>,
    pub(super) events: Vec<Event>,
}

impl Memory {
    /// Answers a question in one transaction.
    pub(super) fn ask(&mut self, question: &Question, now: i64) -> Exchanged {
        let mut keys = Keys::default();
        question.add_keys(&mut keys);
        let mut records = Records::default();
        let mut rollouts: BTreeSet<String> = keys.rollouts.iter().map(|&id| id.to_owned()).collect();
        let mut imeis: BTreeSet<Imei> = keys.devices.iter().map(|(imei, _)| *imei).collect();
        for &id in &keys.rollouts {
            let clock = self.rollouts.get(id).map(|rollout| rollout.clock).unwrap_or_default();
            let Some(time) = clock.steady(now) else { continue };
            let from = (id.to_owned(), i64::MIN, "00000000000000".parse().unwrap());
            let overdue = self.deadlines.range(from..).take_while(|(of, at, _)| of == id && *at <= time);
            for (_, _, imei) in overdue.take(super::records::OVERDUE_LIMIT as usize) {
                records.load_overdue(id, *imei);
                imeis.insert(*imei);
            }
        }
        for device in imeis.iter().filter_map(|imei| self.devices.get(imei)) {
            rollouts.extend(device.offers.iter().map(|offer| offer.rollout.clone()));
            records.load_device(device.clone());
        }
        rollouts.iter().filter_map(|id| self.rollouts.get(id)).for_each(|r| records.load_rollout(r.clone()));
        self.releases.iter().for_each(|release| records.load_release(release.clone()));
        self.channels.values().for_each(|channel| records.load_channel(channel.clone()));
        let exchanged = exchange(&mut records, question, now);
        let changes = records.changes();
        for device in &changes.devices {
            let known = self.devices.entry(device.imei).or_insert_with(|| (*device).clone());
            *known = DeviceRecord { offers: std::mem::take(&mut known.offers), ..(*device).clone() };
        }
        for (imei, offer) in &changes.offers {
            let device = self.devices.get_mut(imei).unwrap();
            let key =
                |offer: &super::record::OfferRecord| Some((offer.rollout.clone(), offer.deadline?, *imei));
            match device.offer_mut(&offer.rollout) {
                Some(known) => {
                    if let Some(key) = key(known) {
                        self.deadlines.remove(&key);
                    }
                    *known = (*offer).clone();
                }
                None => device.offers.push((*offer).clone()),
            }
            self.deadlines.extend(key(offer));
        }
        self.rollouts.extend(changes.rollouts.iter().map(|r| (r.id.clone(), (*r).clone())));
        self.channels.extend(changes.channels.iter().map(|c| (c.name.clone(), (*c).clone())));
        for release in &changes.releases {
            self.releases.retain(|known| known.version != release.version);
            self.releases.push((*release).clone());
        }
        self.events.extend(changes.events.into_iter().cloned());
        exchanged
    }

    fn rollout(&self, id: &str) -> RolloutRecord {
        self.rollouts.get(id).cloned().unwrap_or_else(|| RolloutRecord::new(id))
    }
}

/// A small generator (xorshift64*), so that a seed is the same everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as i64 % n
    }

    fn happens(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }
}

/// What becomes of an upgrade.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Healthy,
    /// It posts this, and runs what it ran.
    Fault(&'static str),
    /// It says that it is installed, and runs what it ran.
    Returns,
    /// It is never heard of again; whether it says that it is installed.
    Silent(bool),
}

/// A fleet that is told to run a release.
struct Fleet {
    memory: Memory,
    random: Random,
    runs: Vec<Version>,
    offered: BTreeSet<usize>,
    /// When each device asks next, and those that were offered and ended.
    agenda: BinaryHeap<Reverse<(i64, usize)>>,
    /// Added to the time that the responder knows.
    skew: i64,
}

fn imei(n: usize) -> Imei {
    format!("35{n:013}").parse().unwrap()
}

fn to(target: Target) -> impl Fn(usize) -> Offer {
    move |_| offer(target.clone(), Rules::default())
}

fn offer(target: Target, rules: Rules) -> Offer {
    Offer::Managed(Managed { target: Some(target), interval: INTERVAL as u32, rules, ..Managed::default() })
}

impl Fleet {
    fn new(devices: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let agenda = (0..devices).map(|n| Reverse((NOW + random.below(INTERVAL), n))).collect();
        Fleet {
            memory: Memory::default(),
            random,
            runs: vec!["0.10.65".parse().unwrap(); devices],
            offered: BTreeSet::new(),
            agenda,
            skew: 0,
        }
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
        mut fate: impl FnMut(&mut Random, usize) -> Fate,
        mut stop: impl FnMut(&Fleet) -> bool,
    ) -> i64 {
        while let Some(Reverse((now, n))) = self.agenda.pop() {
            if now >= until {
                self.agenda.push(Reverse((now, n)));
                return until;
            }
            let target = offer(n).target().unwrap().version;
            if !self.check(n, offer(n), now) {
                self.agenda.push(Reverse((now + INTERVAL, n)));
            } else {
                self.offered.insert(n);
                let end = now + 180 + self.random.below(720);
                match fate(&mut self.random, n) {
                    Fate::Healthy => {
                        self.post(n, "900 Success", end - 60);
                        self.runs[n] = target;
                        self.agenda.push(Reverse((end, n)));
                    }
                    Fate::Fault(text) => {
                        self.post(n, text, end - 60);
                        self.agenda.push(Reverse((end, n)));
                    }
                    Fate::Returns => {
                        self.post(n, "900 Success", end - 60);
                        self.agenda.push(Reverse((end, n)));
                    }
                    Fate::Silent(posts) => {
                        if posts {
                            self.post(n, "900 Success", end - 60);
                        }
                    }
                }
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

const DAY: i64 = 86_400;

fn limited(least: u32, share_bp: u16) -> Rules {
    Rules { unproven: Limit::Places(Places { least, share_bp }), ..Rules::default() }
}

#[test]
fn a_release_that_never_starts_costs_three_devices() {
    for devices in [8, 1_000] {
        for posts in [false, true] {
            let mut fleet = Fleet::new(devices, 1);
            fleet.live(NOW + 10 * DAY, to(target("0.10.66")), |_, _| Fate::Silent(posts), |_| false);
            assert_eq!(fleet.offered.len(), 3, "{devices} devices, {posts}");
            assert_eq!(fleet.rollout().places, 3);
        }
    }
    let mut fleet = Fleet::new(100, 1);
    let least = |_| offer(target("0.10.66"), limited(20, 1000));
    fleet.live(NOW + 3 * DAY, least, |_, _| Fate::Silent(false), |_| false);
    assert_eq!(fleet.offered.len(), 20);
}

#[test]
fn waves_and_clocks_that_jump_cost_no_more() {
    let waved = |n: usize| {
        let from = (!n.is_multiple_of(4)).then_some(NOW + DAY * (n % 4) as i64);
        offer(Target { from, ..target("0.10.66") }, Rules::default())
    };
    for jumps in [[0, 0, 0], [3 * DAY, 0, 3 * DAY], [-3 * DAY, 3 * DAY, 0]] {
        let mut fleet = Fleet::new(40, 2);
        for (day, jump) in jumps.into_iter().enumerate() {
            fleet.skew = jump;
            fleet.live(NOW + (3 * day as i64 + 3) * DAY, waved, |_, _| Fate::Silent(true), |_| false);
        }
        assert_eq!(fleet.offered.len(), 3, "{jumps:?}");
    }
}

#[test]
fn two_hosts_with_different_copies_of_out_cost_no_more() {
    for (of, stale) in [(2, 1), (5, 1), (5, 4)] {
        let mut fleet = Fleet::new(100, 3);
        for hour in 0..10 * 24 {
            let is_stale = hour % of < stale;
            // Each has the release that it knows for its channel's.
            let version = if is_stale { "0.10.65" } else { "0.10.66" };
            fleet.skew = if hour % 48 == 47 { 3 * DAY } else { 0 };
            fleet.live(NOW + hour * 3600, to(target(version)), |_, _| Fate::Silent(true), |_| false);
        }
        assert_eq!(fleet.offered.len(), 3, "{stale} of {of} hours");
    }
}

#[test]
fn a_few_silent_devices_do_not_stop_a_rollout() {
    let ends = (0..40).filter(|&seed| {
        let mut fleet = Fleet::new(1_000, seed);
        let silent: BTreeSet<_> = (0..1_000).filter(|_| fleet.random.happens(1)).collect();
        let fate = |_: &mut Random, n| if silent.contains(&n) { Fate::Silent(true) } else { Fate::Healthy };
        let all = |fleet: &Fleet| fleet.offered.len() == fleet.runs.len();
        fleet.live(NOW + 2 * DAY, to(target("0.10.66")), fate, all);
        fleet.offered.len() == 1_000
    });
    let ends = ends.count();
    assert!(ends >= 39, "{ends} of 40 reach the end");
}

#[test]
fn many_silent_devices_stop_it_within_its_limit() {
    for seed in 0..10 {
        let mut fleet = Fleet::new(1_000, seed);
        let fate =
            |random: &mut Random, _| if random.happens(20) { Fate::Silent(true) } else { Fate::Healthy };
        fleet.live(NOW + 2 * DAY, to(target("0.10.66")), fate, |fleet| {
            let rollout = fleet.rollout();
            assert!(rollout.places <= 3.max(rollout.proven / 10), "{rollout:?}");
            false
        });
        assert!(fleet.offered.len() < 600, "{}", fleet.offered.len());
    }
}

#[test]
fn installed_and_then_the_old_version_halts_at_ten() {
    let mut fleet = Fleet::new(200, 4);
    fleet.live(NOW + 3 * DAY, to(target("0.10.66")), |_, _| Fate::Returns, |_| false);
    let rollout = fleet.rollout();
    assert_eq!((rollout.failed, rollout.places), (10, 0), "{rollout:?}");
    assert!(rollout.halted.is_some());
}

#[test]
fn a_healthy_fleet_is_through_within_a_day() {
    for (devices, hours) in [(8, 4), (1_000, 10), (20_000, 16)] {
        let mut fleet = Fleet::new(devices, 5);
        let all = |fleet: &Fleet| fleet.rollout().proven as usize == fleet.runs.len();
        let end = fleet.live(NOW + DAY, to(target("0.10.66")), |_, _| Fate::Healthy, all);
        assert!(end <= NOW + hours * 3600, "{devices} devices take {} h", (end - NOW) / 3600);
    }
}

#[test]
fn transient_failures_do_not_halt_a_healthy_fleet() {
    for seed in 0..10 {
        let mut fleet = Fleet::new(2_000, seed);
        let fate = |random: &mut Random, _| match random.happens(1) {
            true => Fate::Fault("903 Loss of service"),
            false => Fate::Healthy,
        };
        fleet.live(NOW + 2 * DAY, to(target("0.10.66")), fate, |_| false);
        let rollout = fleet.rollout();
        assert_eq!((rollout.halted, rollout.proven), (None, 2_000), "seed {seed}");
    }
}

#[test]
fn many_failures_halt_it_before_sixty_are_told() {
    let mut late = 0;
    for seed in 0..50 {
        let mut fleet = Fleet::new(2_000, seed);
        let fate = |random: &mut Random, _| match random.happens(30) {
            true => Fate::Fault("903 Loss of service"),
            false => Fate::Healthy,
        };
        fleet.live(NOW + 2 * DAY, to(target("0.10.66")), fate, |fleet| fleet.rollout().halted.is_some());
        assert!(fleet.rollout().halted.is_some(), "seed {seed}: {:?}", fleet.rollout());
        late += usize::from(fleet.offered.len() >= 60);
    }
    assert!(late <= 5, "{late} of 50");
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
    fleet.memory.releases.iter_mut().for_each(|release| assert!(outcome::resume_release(release)));
    for rollout in fleet.memory.rollouts.values_mut() {
        outcome::resume(rollout, NOW + 200, &mut Vec::new());
    }
    assert!(fleet.check(3, others[0].clone(), NOW + 201));
}

#[test]
fn a_release_that_was_halted_long_ago_is_offered_when_it_returns() {
    let mut fleet = Fleet::new(20, 7);
    fleet.live(NOW + DAY, to(target("0.10.66")), |_, _| Fate::Fault("905 Attribute mismatch"), |_| false);
    assert!(fleet.rollout().halted.is_some());
    fleet.live(NOW + 30 * DAY, to(target("0.10.65")), |_, _| Fate::Healthy, |_| false);
    fleet.offered.clear();
    fleet.live(NOW + 31 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, |_| false);
    assert_eq!(fleet.offered.len(), 20);
    // But not after a while that a stale copy may last.
    let mut fleet = Fleet::new(20, 8);
    fleet.live(NOW + DAY, to(target("0.10.66")), |_, _| Fate::Fault("905 Attribute mismatch"), |_| false);
    fleet.live(NOW + DAY + 6 * 3600, to(target("0.10.65")), |_, _| Fate::Healthy, |_| false);
    fleet.offered.clear();
    fleet.live(NOW + 2 * DAY, to(target("0.10.66")), |_, _| Fate::Healthy, |_| false);
    assert_eq!(fleet.offered.len(), 0);
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
    let unlimited = |_| offer(target("0.10.66"), Rules { unproven: Limit::Unlimited, ..Rules::default() });
    // Twelve are told, then nobody reaches the server for ten hours; all then report success.
    for n in 0..12 {
        assert!(fleet.check(n, unlimited(n), NOW + 60 * n as i64));
    }
    let later = NOW + 10 * 3600;
    assert!(fleet.check(12, unlimited(12), later));
    for n in 0..12 {
        fleet.post(n, "900 Success", later + 60);
        fleet.runs[n] = "0.10.66".parse().unwrap();
        fleet.check(n, unlimited(n), later + 120);
    }
    let rollout = fleet.rollout();
    assert_eq!((rollout.succeeded, rollout.failed, rollout.halted), (12, 0, None));
    assert!(fleet.check(13, unlimited(13), later + 180));
}

#[test]
fn those_who_stay_away_while_others_are_heard_have_failed() {
    let mut fleet = Fleet::new(40, 11);
    let unlimited = |_| offer(target("0.10.66"), Rules { unproven: Limit::Unlimited, ..Rules::default() });
    for n in 0..12 {
        assert!(fleet.check(n, unlimited(n), NOW));
    }
    fleet.runs[30] = "0.10.66".parse().unwrap();
    for check in 1..4 {
        fleet.check(30, unlimited(30), NOW + check * INTERVAL);
    }
    let rollout = fleet.rollout();
    assert_eq!((rollout.failed, rollout.places), (12, 12), "failed, and they keep their places");
    assert!(rollout.halted.is_some());
}
