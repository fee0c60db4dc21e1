//! Histories with everything that can go wrong: none breaks a rule, and each rule that is taken away is missed.

#![cfg(feature = "testing")]
#![allow(clippy::disallowed_methods, reason = "tests")]

use std::collections::BTreeMap;

use otapress_responder::record::{EventKind, Refusal};
use otapress_simulation::world::{Case, Fault, Flaw, Lived, Weather, play, shrink};
use strum::VariantArray as _;

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

/// Histories in which a rule was broken once, or the oracle was wrong about one, and what it was. The same
/// seed is another history whenever chance is asked otherwise, so that each weather is played for several.
const FOUND: [(&str, u64, &[Fault]); 12] = [
    (
        "settings that hold a 1 counted as there on firmware before 0.8.73, after a commit in doubt",
        20,
        &[Fault::StoreAfter, Fault::Edit, Fault::LostReply],
    ),
    (
        "an answer that arrives late, and is read by nobody, counts as arrived",
        7,
        &[Fault::LateRequest, Fault::Edit],
    ),
    (
        "an acknowledged fault gives its place back, though its reply was 500",
        35,
        &[Fault::StoreAfter, Fault::BadRelease, Fault::Edit, Fault::Drift],
    ),
    (
        "a device that is back after a 900 has no place, whatever two clocks say",
        35,
        &[Fault::BadRelease, Fault::Drift, Fault::Edit],
    ),
    (
        "new attempts are those of the present target, not of the latest offer",
        1030,
        &[Fault::Edit, Fault::LateCopy, Fault::StoreAfter, Fault::TornCopy],
    ),
    (
        "hosts that disagree send a device to and fro, three times each",
        34,
        &[Fault::LateCopy, Fault::TornCopy, Fault::Edit, Fault::Jump, Fault::LostReply],
    ),
    (
        "a host with an older copy sends older settings, so that each change of the host is one of the settings",
        479,
        &[Fault::LateCopy, Fault::TornCopy, Fault::Edit, Fault::Transient, Fault::Restore],
    ),
    (
        "an answer of a former epoch is no attempt of this one, young again as a clock may make it",
        3184,
        &[Fault::Jump, Fault::Drift, Fault::Edit, Fault::BadRelease],
    ),
    (
        "an attempt that a clock makes young again has given its place back",
        4309,
        &[Fault::Jump, Fault::Drift, Fault::Edit, Fault::BadRelease],
    ),
    (
        "who runs a release counts, though it is the first that asks for it after a restore",
        5880,
        &[Fault::Restore, Fault::Edit, Fault::LateCopy],
    ),
    (
        "a check that is not recorded does not end the minute of an attempt that a clock makes young again",
        12916,
        &[Fault::Jump, Fault::Drift, Fault::StoreDuring, Fault::Edit],
    ),
    (
        "nor does it end the day for which a release was reported",
        21835,
        &[Fault::StoreDuring, Fault::Stranger, Fault::Parked, Fault::Edit],
    ),
];

#[test]
fn what_was_found_is_not_found_again() {
    for (what, seed, faults) in FOUND {
        let seeds = if cfg!(debug_assertions) { seed..=seed } else { seed..=seed + 3 };
        for seed in seeds {
            let case = Case { weather: Weather::with(faults), ..Case::of(seed) };
            for case in [Case::of(seed), case] {
                assert_eq!(play(&case).violation, None, "{what}: {case:?}");
            }
        }
    }
}

#[test]
fn no_history_breaks_a_rule() {
    let seeds = if cfg!(debug_assertions) { 2 } else { 60 };
    let mut tally = BTreeMap::new();
    for seed in 1..=seeds {
        let case = Case::of(seed);
        let Lived { violation, tally: of_seed, .. } = play(&case);
        if let Some(why) = violation {
            let small = shrink(&case);
            panic!("seed {seed}: {why}\n{small:?}\n{:?}", small.weather.faults());
        }
        of_seed.into_iter().for_each(|(what, n)| *tally.entry(what).or_default() += n);
    }
    if !cfg!(debug_assertions) {
        everything_happens(&tally);
    }
}

/// Every fault, every refusal and every event, but for those that these histories cannot have.
fn everything_happens(tally: &BTreeMap<(&'static str, &'static str), u64>) {
    // The database is never made beside an older `out/`.
    let not_here = [EventKind::NoMemory.as_str()];
    let faults = Fault::VARIANTS.iter().filter(|fault| !Weather::SILENT.contains(fault));
    let names = faults.map(|fault| ("fault", <&str>::from(fault)));
    let refusals = Refusal::ALL.iter().map(|refusal| ("answer", refusal.as_str()));
    let events = EventKind::ALL.iter().map(|kind| ("event", kind.as_str()));
    let wanted = names.chain(refusals).chain(events).filter(|(_, name)| !not_here.contains(name));
    let missing: Vec<_> = wanted.filter(|what| !tally.contains_key(what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened");
}

/// Taken away one at a time, each rule is missed within a minute.
#[test]
#[cfg(not(debug_assertions))]
fn each_rule_is_missed() {
    use std::thread;

    use otapress_responder::weakened::{Rule, weaken};

    /// How many histories are played of which a rule may be missed in the last.
    const HISTORIES: u64 = 400;

    let missed = |rule: Rule| {
        weaken(Some(rule));
        let found = (1..=HISTORIES).find_map(|seed| play(&Case::of(seed)).violation.map(|why| (seed, why)));
        weaken(None);
        found
    };
    let mut silent = Vec::new();
    thread::scope(|scope| {
        let handles: Vec<_> =
            Rule::VARIANTS.iter().map(|&rule| (rule, scope.spawn(move || missed(rule)))).collect();
        for (rule, handle) in handles {
            match handle.join().unwrap() {
                Some((seed, why)) => println!("{rule:?}: seed {seed}: {why}"),
                None => silent.push(rule),
            }
        }
    });
    assert_eq!(silent, [], "nobody misses these");
    assert!(Rule::VARIANTS.len() >= 20);
}

/// Where devices cost more than they should, the bound on that cost says so.
#[test]
fn each_bound_notices() {
    let histories = if cfg!(debug_assertions) { 20 } else { 100 };
    for (flaw, bound) in Flaw::ALL {
        let flawed = |seed| Case { flaw: Some(flaw), ..Case::of(seed) };
        let found = (1..=histories).find_map(|seed| play(&flawed(seed)).violation.map(|why| (seed, why)));
        let Some((seed, why)) = found else { panic!("{flaw:?}: nobody notices") };
        assert!(why.contains(&format!(" {bound}, and ")), "{flaw:?}: seed {seed}: {why}");
    }
}
