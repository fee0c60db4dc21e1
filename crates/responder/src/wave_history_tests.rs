//! Waves over published directories that are edited, and devices that leave without a word: none opens early.
//!
//! What really happened is known here to the device; it is compared with what opens. Who left may be counted
//! for [`GRACE`], and who failed may be missed for [`TURN`] after an edit of the waves.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;

use super::departed;
use super::fixture::{NOW, Out, aimed, check, is_upgrade, notify, settings, target};
use super::record::EventKind;
use super::waves::NOTICED_SECONDS;
use crate::store::Store as _;
use crate::store::sqlite::SqliteStore;
use otapress_core::wire::{After, Brake, Limit, Target, Wave};

const DEVICES: usize = 14;
const ROLLOUT: &str = "next/0.10.66";
const HOUR: i64 = 3600;
const INTERVAL: i64 = 3 * HOUR;
/// How often somebody looks.
const TURN: i64 = 1_200;
/// Two looks, one turn late each.
const GRACE: i64 = NOTICED_SECONDS + 2 * TURN;

const PROMPT: After = After { success_bp: 9_000, reached_bp: 5_000, soak: 0 };
const WATCHED: After = After { success_bp: 7_500, reached_bp: 6_000, soak: 6 * 3_600 };

const LAYOUTS: [&[(u16, Option<After>)]; 5] = [
    &[(4_000, None), (7_000, Some(PROMPT)), (10_000, Some(WATCHED))],
    &[(3_000, None), (10_000, Some(PROMPT))],
    &[(5_000, None), (7_500, Some(PROMPT)), (10_000, Some(PROMPT))],
    &[(2_000, None), (4_000, Some(WATCHED)), (7_000, Some(PROMPT)), (10_000, Some(PROMPT))],
    &[(4_500, None), (10_000, Some(WATCHED))],
];

#[derive(Clone, Copy, Debug)]
enum Act {
    /// The working devices ask for a while, and somebody looks.
    Wait(i64),
    Layout(usize),
    /// Taken out, held, or sent elsewhere; it may be switched off as well.
    Leave(usize, Way, bool),
    Return(usize),
    GoBack(usize),
}

/// Most devices lie in drawers or break, so that waves stand just before they open.
fn a_life() -> impl Strategy<Value = Life> {
    prop_oneof![
        2 => Just(Life::default()),
        3 => Just(Life { is_off: true, ..Life::default() }),
        1 => any::<bool>().prop_map(|says| Life { breaks: Some(says), ..Life::default() }),
    ]
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Out,
    Held,
    Elsewhere,
}

fn an_act() -> impl Strategy<Value = Act> {
    let way = prop_oneof![Just(Way::Out), Just(Way::Held), Just(Way::Elsewhere)];
    prop_oneof![
        6 => prop::sample::select(vec![1, 4, 12]).prop_map(Act::Wait),
        2 => (0..LAYOUTS.len()).prop_map(Act::Layout),
        6 => (0..DEVICES, way, any::<bool>()).prop_map(|(n, way, off)| Act::Leave(n, way, off)),
        1 => (0..DEVICES).prop_map(Act::Return),
        1 => (0..DEVICES).prop_map(Act::GoBack),
    ]
}

#[derive(Clone, Copy, Debug, Default)]
struct Life {
    runs_it: bool,
    /// It has reported the release, and no other since.
    is_good: bool,
    /// Since when it certainly counts as failed.
    failed: Option<i64>,
    /// Its upgrade fails, and it says so or falls silent.
    breaks: Option<bool>,
    is_off: bool,
    left: Option<i64>,
}

struct World {
    out: Out,
    store: SqliteStore,
    now: i64,
    layout: usize,
    edited: i64,
    lives: [Life; DEVICES],
    seq: i64,
    opened: BTreeMap<u16, i64>,
    _state: tempfile::TempDir,
}

fn bucket(n: usize) -> u16 {
    n as u16 * 700
}

impl World {
    fn new(lives: Vec<Life>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let world = World {
            out: Out::new(),
            store: SqliteStore::open(state.path(), Duration::from_secs(10)).unwrap(),
            now: NOW,
            layout: 0,
            edited: NOW,
            lives: lives.try_into().unwrap(),
            seq: 0,
            opened: BTreeMap::new(),
            _state: state,
        };
        world.publish();
        world
    }

    fn publish(&self) {
        let mut waves: Vec<Wave> = Vec::new();
        for &(wave, after) in LAYOUTS[self.layout] {
            let above = waves.last().map_or(0, |before| before.wave);
            let is_in = |n: &usize| self.lives[*n].left.is_none() && (above..wave).contains(&bucket(*n));
            let devices = (0..DEVICES).filter(is_in).count() as u32;
            let brake = Brake { artifact_faults: 0, failures_bp: 10_000, after: 1 };
            let target = Target { wave: Some(wave), attempts: 9, brake, ..target("0.10.66") };
            (0..DEVICES).filter(is_in).for_each(|n| self.out.publish(n, &aimed(target.clone())));
            waves.push(Wave { wave, devices, at: None, after });
        }
        self.out.expect_waves(ROLLOUT, waves, Limit::Unlimited);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Wait(hours) => self.wait(hours * HOUR),
            Act::Layout(layout) => {
                (self.layout, self.edited) = (layout, self.now);
                self.publish();
            }
            Act::Leave(n, way, is_off) => {
                self.lives[n].is_off |= is_off;
                if self.lives[n].left.is_none() {
                    self.lives[n].left = Some(self.now);
                    match way {
                        Way::Out => fs::remove_file(self.out.answer(n)).unwrap(),
                        Way::Held => self.out.publish(n, &settings("g1", &[])),
                        Way::Elsewhere => {
                            let rollout = "main/0.10.66".into();
                            self.out.publish(n, &aimed(Target { rollout, ..target("0.10.66") }));
                        }
                    }
                    self.publish();
                }
            }
            Act::Return(n) => {
                (self.lives[n].is_off, self.lives[n].left) = (false, None);
                self.publish();
            }
            Act::GoBack(n) => self.lives[n].runs_it = false,
        }
    }

    fn wait(&mut self, seconds: i64) {
        let until = self.now + seconds;
        while self.now < until {
            self.now += TURN;
            let slot = (self.now / TURN) as usize % (INTERVAL / TURN) as usize;
            for n in (0..DEVICES).filter(|n| n % (INTERVAL / TURN) as usize == slot) {
                self.check(n);
            }
            departed::look(&mut self.store, &self.out.responder(), self.now + 30).unwrap();
        }
    }

    fn check(&mut self, n: usize) {
        if self.lives[n].is_off {
            return;
        }
        let version = if self.lives[n].runs_it { "0.10.66" } else { "0.10.65" };
        // What it says decides about waves at once.
        self.lives[n].is_good = self.lives[n].runs_it;
        if self.lives[n].runs_it {
            self.lives[n].failed = None;
        }
        let told = is_upgrade(&check(&self.out.responder(), &mut self.store, n, version, self.now));
        self.look_at_what_opened();
        let life = &mut self.lives[n];
        match (told, life.breaks.take()) {
            (true, Some(true)) => {
                life.failed = Some(self.now + 60);
                notify(&self.out.responder(), &mut self.store, n, "904 x", self.now + 60);
            }
            (true, Some(false)) => {
                // It is overdue after two versionIntervals and an hour, when the next one asks.
                (life.failed, life.is_off) = (Some(self.now + 2 * INTERVAL + HOUR + INTERVAL), true);
            }
            (true, None) => life.runs_it = true,
            (false, breaks) => life.breaks = breaks,
        }
    }

    fn look_at_what_opened(&mut self) {
        let mut events = Vec::new();
        let seq = self.seq;
        let read = &mut |tx: &mut dyn crate::store::Tx| {
            events = tx.events_of_kinds(&[EventKind::WaveOpened], seq, 9)?;
            Ok(())
        };
        self.store.read(read).unwrap();
        for (seq, event) in events {
            self.seq = seq;
            let place: usize = event.detail.split(' ').nth(1).unwrap().parse().unwrap();
            let (wave, after) = LAYOUTS[self.layout][place - 1];
            let before = LAYOUTS[self.layout][place - 2].0;
            assert_eq!(self.opened.insert(wave, self.now), None, "{event:?} opened before");
            let (after, devices) = (after.unwrap(), || self.lives.iter().take_while_bucket(before));
            let members = devices().filter(|life| life.left.is_none()).count();
            let may_count = |life: &&Life| life.left.is_none_or(|left| self.now - left <= GRACE);
            let good = devices().filter(may_count).filter(|life| life.is_good).count();
            let is_known = |life: &&Life| {
                let since = life.failed.is_some_and(|failed| failed <= self.now);
                since && !life.is_good && life.left.is_none() && self.now - self.edited > 2 * TURN
            };
            let bad = devices().filter(is_known).count();
            let maybe_bad = devices().filter(may_count).filter(|life| !life.is_good && life.failed.is_some());
            let verdicts = good + maybe_bad.count();
            let needed = (members * usize::from(after.reached_bp)).div_ceil(10_000);
            let lives = &self.lives;
            assert!(verdicts >= needed, "{event:?}: {verdicts} of {needed} verdicts: {lives:#?}");
            let success = usize::from(after.success_bp);
            assert!(good * 10_000 >= (good + bad) * success, "{event:?}: {good} good, {bad} bad: {lives:#?}");
        }
    }
}

/// Lives in the order of their buckets.
trait ByBucket<'a>: Iterator<Item = &'a Life> + Sized {
    fn take_while_bucket(self, below: u16) -> impl Iterator<Item = &'a Life> {
        self.enumerate().take_while(move |(n, _)| bucket(*n) < below).map(|(_, life)| life)
    }
}

impl<'a, I: Iterator<Item = &'a Life>> ByBucket<'a> for I {}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn no_wave_opens_early_whoever_leaves_and_whatever_is_edited(
        lives in prop::collection::vec(a_life(), DEVICES),
        acts in prop::collection::vec(an_act(), 8..30),
    ) {
        let mut world = World::new(lives);
        acts.into_iter().for_each(|act| world.act(act));
    }
}
