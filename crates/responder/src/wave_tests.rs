//! Waves that open by success, whatever happens: each opens once, never early, and no device of a closed
//! one is told to upgrade.
//!
//! [`edited_fleets`] plays edits of a fleet, devices that come and go, and failures over the pure core.
//! [`three_hosts`] plays three responders on one store whose transactions fail before, while and after they
//! commit, and whose processes start anew. Both know the truth from the devices' side.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::fixture::{NOW, Out, aimed, imei, is_upgrade, post, target};
use super::memory::Memory;
use super::offer::{Managed, Offer, Rules};
use super::outcome;
use super::question::{NoOffer, Question};
use super::record::{EventKind, Refusal};
use super::simulation::store::{Chance, FaultyStore};
use crate::store::Store as _;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{After, Brake, Limit, Target, Wave};

const INTERVAL: i64 = 10_800;
const PATIENCE: i64 = 2 * INTERVAL + 3_600;
const HOUR: i64 = 3_600;
const ROLLOUT: &str = "next/0.10.66";
const NO_BRAKE: Brake = Brake { artifact_faults: 0, failures_bp: 10_000, after: 1 };

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn id(n: usize) -> Imei {
    imei(n).parse().unwrap()
}

mod edited_fleets {
    use super::*;

    const DEVICES: usize = 12;

    const PROMPT: After = After { success_bp: 9_000, reached_bp: 5_000, soak: 0 };
    const WATCHED: After = After { success_bp: 6_000, reached_bp: 7_500, soak: 24 * 3_600 };

    /// What a fleet file may say at a time.
    const LAYOUTS: [&[(u16, Option<After>)]; 5] = [
        &[(3_000, None), (6_000, Some(PROMPT)), (10_000, Some(WATCHED))],
        &[(3_000, None), (4_500, Some(WATCHED)), (6_000, Some(PROMPT)), (10_000, Some(WATCHED))],
        &[(3_000, None), (10_000, Some(WATCHED))],
        &[(1_500, None), (6_000, Some(WATCHED)), (10_000, Some(PROMPT))],
        &[(500, None), (6_000, Some(PROMPT)), (8_000, None), (10_000, Some(PROMPT))],
    ];

    #[derive(Clone, Copy, Debug)]
    enum Act {
        /// A device asks; what becomes of it if it is told to upgrade.
        Check(usize, Fate),
        /// All ask that are there, as they do in a versionInterval.
        All(Fate),
        /// What runs on a device goes back.
        Regress(usize),
        Edit(usize),
        Leave(usize),
        Join(usize),
        Resume,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        Good,
        Fault,
        Silent,
    }

    fn an_act() -> impl Strategy<Value = Act> {
        let fate = prop_oneof![6 => Just(Fate::Good), 1 => Just(Fate::Fault), 1 => Just(Fate::Silent)];
        prop_oneof![
            6 => (0..DEVICES, fate.clone()).prop_map(|(n, fate)| Act::Check(n, fate)),
            6 => fate.prop_map(Act::All),
            1 => (0..DEVICES).prop_map(Act::Regress),
            1 => (0..LAYOUTS.len()).prop_map(Act::Edit),
            1 => (0..DEVICES).prop_map(Act::Leave),
            1 => (0..DEVICES).prop_map(Act::Join),
            1 => Just(Act::Resume),
        ]
    }

    struct World {
        memory: Memory,
        now: i64,
        layout: usize,
        present: BTreeSet<usize>,
        /// When those left that the responder may still count.
        left: BTreeMap<usize, i64>,
        silent: BTreeSet<usize>,
        runs: Vec<Version>,
        /// What each said last that it runs.
        said: Vec<Version>,
        /// Those that ever ran the release or failed.
        had_verdict: BTreeSet<usize>,
        opened: BTreeSet<u16>,
        /// Since when the truth has allowed a wave to open.
        allowed_since: BTreeMap<u16, i64>,
    }

    fn bucket(n: usize) -> u16 {
        n as u16 * 800
    }

    impl World {
        fn new() -> Self {
            World {
                memory: Memory::default(),
                now: NOW,
                layout: 0,
                present: (0..DEVICES).collect(),
                left: BTreeMap::new(),
                silent: BTreeSet::new(),
                runs: vec![version("0.10.65"); DEVICES],
                said: vec![version("0.10.65"); DEVICES],
                had_verdict: BTreeSet::new(),
                opened: BTreeSet::new(),
                allowed_since: BTreeMap::new(),
            }
        }

        fn waves(&self) -> Vec<Wave> {
            let mut below = 0;
            let wave = |&(wave, after): &(u16, Option<After>)| {
                let is_in = |n: &&usize| (below..wave).contains(&bucket(**n));
                let devices = self.present.iter().filter(is_in).count() as u32;
                below = wave;
                Wave { wave, devices, at: None, after }
            };
            LAYOUTS[self.layout].iter().map(wave).collect()
        }

        fn wave_of(&self, n: usize) -> (u16, Option<After>) {
            *LAYOUTS[self.layout].iter().find(|(wave, _)| bucket(n) < *wave).unwrap()
        }

        /// Whether what has really happened allows a wave to open: those who left may be counted for a while.
        fn is_allowed(&self, before: u16, after: After) -> bool {
            let members: Vec<_> = self.present.iter().filter(|n| bucket(**n) < before).collect();
            let needed = (members.len() * usize::from(after.reached_bp)).div_ceil(10_000);
            let counted = || members.iter().copied().chain(self.left.keys().filter(|n| bucket(**n) < before));
            let verdicts = counted().filter(|n| self.had_verdict.contains(n)).count();
            let good = counted().filter(|n| self.said[**n] == version("0.10.66")).count();
            verdicts >= needed.max(usize::from(!members.is_empty()))
                && good * 10_000 >= needed * usize::from(after.success_bp)
        }

        fn act(&mut self, act: Act) {
            match act {
                Act::Check(n, fate) => self.check(n, fate),
                Act::All(fate) => {
                    for n in 0..DEVICES {
                        self.check(n, if n % 3 == 0 { Fate::Good } else { fate });
                        self.now += 60;
                    }
                }
                Act::Regress(n) => self.runs[n] = version("0.10.65"),
                Act::Edit(layout) => self.layout = layout,
                Act::Leave(n) => {
                    if self.present.remove(&n) {
                        self.left.insert(n, self.now);
                    }
                }
                Act::Join(n) => {
                    self.present.insert(n);
                    self.left.remove(&n);
                }
                Act::Resume => {
                    if let Some(rollout) = self.memory.rollouts.get_mut(ROLLOUT) {
                        outcome::resume(rollout, self.now, &mut Vec::new());
                    }
                }
            }
        }

        fn check(&mut self, n: usize, fate: Fate) {
            if self.silent.contains(&n) {
                return;
            }
            let (wave, after) = self.wave_of(n);
            let target = Target { wave: Some(wave), brake: NO_BRAKE, ..target("0.10.66") };
            let rules = Rules { unproven: Limit::Unlimited, waves: self.waves(), ..Rules::default() };
            let managed =
                Managed { target: Some(target), interval: INTERVAL as u32, rules, ..Managed::default() };
            let is_present = self.present.contains(&n);
            let offer = if is_present { Ok(Offer::Managed(managed)) } else { Err(NoOffer::Unknown) };
            if self.runs[n] == version("0.10.66") && is_present {
                self.had_verdict.insert(n);
            }
            self.said[n] = self.runs[n];
            let exchanged = self.memory.ask(&Question::check(id(n), self.runs[n], offer), self.now);
            if is_present {
                self.look();
            } else {
                self.left.remove(&n);
            }
            let is_open = after.is_none() || self.opened.contains(&wave);
            if exchanged.answer.upgrade {
                assert!(is_open, "device {n} is told although its wave {wave} is closed");
                match fate {
                    Fate::Good => self.runs[n] = version("0.10.66"),
                    Fate::Fault => {
                        self.memory.ask(&Question::result(id(n), None, b"903 x"), self.now + 50);
                        self.had_verdict.insert(n);
                    }
                    Fate::Silent => drop(self.silent.insert(n)),
                }
                // It may be taken for silent, too.
                self.had_verdict.insert(n);
            }
            let waits = exchanged.refusal == Some(Refusal::WaitingForWave);
            assert!(!(waits && is_open), "device {n} waits although its wave {wave} is open");
        }

        /// What a check has opened, and whether it may have. Between checks nobody watches.
        fn look(&mut self) {
            let mut allowed = BTreeMap::new();
            for pair in LAYOUTS[self.layout].windows(2) {
                let (before, (wave, after)) = (pair[0].0, pair[1]);
                if let Some(after) = after.filter(|after| self.is_allowed(before, *after)) {
                    let since = self.allowed_since.get(&wave).copied().unwrap_or(self.now);
                    allowed.insert(wave, (since, before, after));
                }
            }
            for event in self.memory.events.drain(..).filter(|event| event.kind == EventKind::WaveOpened) {
                let words: Vec<_> = event.detail.split([' ', '(', ')', ':', '%']).collect();
                let at = words.iter().position(|word| *word == "to").unwrap();
                let number: u16 = words[at + 1].trim_end_matches("bp").parse().unwrap();
                let wave = if words[at + 1].ends_with("bp") { number } else { number * 100 };
                assert!(self.opened.insert(wave), "{event:?} opened before");
                let Some((since, before, after)) = allowed.get(&wave) else { panic!("too early: {event:?}") };
                let is_empty = !self.present.iter().any(|n| bucket(*n) < *before);
                let watched = event.at - since;
                assert!(is_empty || watched >= i64::from(after.soak), "after {watched} s: {event:?}");
                let earlier = LAYOUTS[self.layout].iter().take_while(|(of, _)| *of < wave);
                let mut closed = earlier.filter(|(of, after)| after.is_some() && !self.opened.contains(of));
                assert_eq!(closed.next(), None, "out of order: {event:?}");
            }
            self.allowed_since = allowed.into_iter().map(|(wave, (since, ..))| (wave, since)).collect();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn open_what_is_proven_and_close_nothing(
            acts in prop::collection::vec(
            (an_act(), prop::sample::select(vec![0, 60, HOUR, INTERVAL, 9 * HOUR])),
            1..80,
        ),
        ) {
            let mut world = World::new();
            for (act, step) in acts {
                world.now += step;
                world.act(act);
            }
        }
    }

    #[test]
    fn a_fleet_that_is_left_alone_comes_to_its_end() {
        for layout in 0..LAYOUTS.len() {
            let mut world = World { layout, ..World::new() };
            for _ in 0..40 {
                world.now += INTERVAL;
                world.act(Act::All(Fate::Good));
            }
            assert!(world.runs.iter().all(|runs| *runs == version("0.10.66")), "{layout}");
        }
    }

    #[test]
    fn devices_that_leave_open_nothing_before_they_had_the_time_to_ask() {
        let mut world = World::new();
        // One of the four of the first wave runs it, and the others leave.
        world.act(Act::Check(0, Fate::Good));
        world.now += 600;
        world.act(Act::Check(0, Fate::Good));
        for n in 1..4 {
            world.act(Act::Leave(n));
        }
        let mut told = None;
        for hours in 0..24 {
            world.now += HOUR;
            world.act(Act::Check(0, Fate::Good));
            if world.opened.contains(&6_000) && told.is_none() {
                told = Some(hours);
            }
        }
        assert!(told.is_some_and(|hours| hours * HOUR >= PATIENCE), "{told:?}");
    }
}

mod three_hosts {
    use super::*;

    const DEVICES: usize = 16;
    const AFTER: After = After { success_bp: 10_000, reached_bp: 7_500, soak: 6 * 3_600 };

    fn wave_of(n: usize) -> usize {
        if n < 4 { 0 } else { usize::from(n >= 8) + 1 }
    }

    fn waves() -> Vec<Wave> {
        let wave = |wave, devices, after| Wave { wave, devices, at: None, after };
        vec![
            wave(2_500, 4, None),
            wave(5_000, 4, Some(After { soak: 0, ..AFTER })),
            wave(10_000, 8, Some(AFTER)),
        ]
    }

    struct World {
        seed: u64,
        chance: Chance,
        hosts: Vec<(Out, FaultyStore)>,
        runs: [&'static str; DEVICES],
        /// When each device said first that it runs the release, whether that was recorded or not.
        said: BTreeMap<usize, i64>,
        told: BTreeSet<usize>,
        _state: tempfile::TempDir,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let state = tempfile::tempdir().unwrap();
            let host = |n: u64| {
                let out = Out::new();
                out.expect_waves(ROLLOUT, waves(), Limit::Unlimited);
                for device in 0..DEVICES {
                    let wave = Some(waves()[wave_of(device)].wave);
                    out.publish(
                        device,
                        &aimed(Target { wave, attempts: 40, brake: NO_BRAKE, ..target("0.10.66") }),
                    );
                }
                (out, FaultyStore::open(state.path(), Chance::new(seed * 8 + n + 1), (25, 10)))
            };
            World {
                seed,
                chance: Chance::new(seed),
                hosts: (0..3).map(host).collect(),
                runs: ["0.10.65"; DEVICES],
                said: BTreeMap::new(),
                told: BTreeSet::new(),
                _state: state,
            }
        }

        fn opened(&mut self) -> Vec<i64> {
            let mut opened = Vec::new();
            // A read fails, too, now and then.
            while self.hosts[0]
                .1
                .read(&mut |tx| {
                    let events = tx.events_of_kinds(&[EventKind::WaveOpened], 0, 9)?;
                    opened = events.into_iter().map(|(_, event)| event.at).collect();
                    Ok(())
                })
                .is_err()
            {}
            opened
        }

        fn check(&mut self, n: usize, now: i64) {
            let host = self.chance.below(3) as usize;
            let runs = self.runs[n];
            if runs == "0.10.66" {
                self.said.entry(n).or_insert(now);
            }
            let (out, store) = &mut self.hosts[host];
            let agent = format!("GW/{}", imei(n));
            let reply = post(&out.responder(), store, "/otap/version", &agent, runs.as_bytes(), now);
            if !is_upgrade(&reply) {
                return;
            }
            let (seed, wave) = (self.seed, wave_of(n));
            let opened = self.opened();
            assert!(opened.len() >= wave, "seed {seed}: device {n} is told, and {opened:?} opened");
            let enough = |wave: usize| {
                let mut said: Vec<_> =
                    self.said.iter().filter(|(n, _)| wave_of(**n) < wave).map(|(_, at)| *at).collect();
                said.sort_unstable();
                // Three of four, and six of eight.
                said.get(wave * 3 - 1).copied()
            };
            for (wave, soak) in [(1, 0), (2, i64::from(AFTER.soak))] {
                if let Some(at) = opened.get(wave - 1) {
                    let since = enough(wave).unwrap_or(i64::MAX);
                    assert!(*at >= since.saturating_add(soak), "seed {seed}: wave {wave} opened early");
                }
            }
            self.told.insert(n);
            if !self.chance.happens(15) {
                self.runs[n] = "0.10.66";
            }
        }
    }

    #[test]
    fn on_a_store_that_fails_open_each_wave_once_and_reach_everybody() {
        for seed in 0..4 {
            let mut world = World::new(seed);
            let mut now = NOW;
            for _ in 0..40 {
                for step in 0..DEVICES {
                    now += INTERVAL / DEVICES as i64;
                    world.check((step * 5) % DEVICES, now);
                }
            }
            assert_eq!(world.runs, ["0.10.66"; DEVICES], "seed {seed}");
            assert_eq!(world.opened().len(), 2, "seed {seed}");
        }
    }
}
