//! Histories with everything that can go wrong: none breaks a rule, and each rule that is taken away is missed.

#![cfg(feature = "testing")]
#![allow(clippy::disallowed_methods, reason = "tests")]

use std::thread;

use otapress_responder::weakened::{Rule, weaken};
use otapress_simulation::world::{Case, Weather, play, shrink};

/// How many histories are played of which a rule may be missed in the last.
const HISTORIES: u64 = 400;

#[test]
fn a_seed_is_one_history() {
    let case = Case { days: 6, ..Case::of(7) };
    let (one, other) = (play(&case), play(&case));
    assert_eq!((one.digest, one.tally), (other.digest, other.tally));
    assert_ne!(one.digest, play(&Case { seed: 8, ..case }).digest);
}

#[test]
fn in_a_calm_everything_is_well() {
    for seed in 0..3 {
        let case = Case { weather: Weather::CALM, days: 6, devices: 20, ..Case::of(seed) };
        let lived = play(&case);
        assert_eq!(lived.violation, None, "seed {seed}");
        assert_eq!(lived.lost, 0);
    }
}

#[test]
fn no_history_breaks_a_rule() {
    let seeds = if cfg!(debug_assertions) { 2 } else { 40 };
    for seed in 1..=seeds {
        let case = Case::of(seed);
        if let Some(why) = play(&case).violation {
            let small = shrink(&case);
            panic!("seed {seed}: {why}\n{small:?}\n{:?}", small.weather.faults());
        }
    }
}

/// Taken away one at a time, each rule is missed within a minute.
#[test]
#[cfg(not(debug_assertions))]
fn each_rule_is_missed() {
    let missed = |rule: Rule| {
        weaken(Some(rule));
        let found = (1..=HISTORIES).find_map(|seed| play(&Case::of(seed)).violation.map(|why| (seed, why)));
        weaken(None);
        found
    };
    let mut silent = Vec::new();
    thread::scope(|scope| {
        let handles: Vec<_> =
            Rule::ALL.iter().map(|&rule| (rule, scope.spawn(move || missed(rule)))).collect();
        for (rule, handle) in handles {
            match handle.join().unwrap() {
                Some((seed, why)) => println!("{rule:?}: seed {seed}: {why}"),
                None => silent.push(rule),
            }
        }
    });
    assert!(silent.is_empty(), "nobody misses {silent:?}");
    assert!(Rule::ALL.len() >= 20);
}
