//! Histories of a fleet, one seed after the other, until the time is up: `make soak`.
//!
//! `SEED` is the first seed, `SECONDS_EACH` how long to go on, `YEARS` how many device-years at most: so
//! ended, the last line is the same on every machine. `CALM=1` leaves the faults out. A violation is printed
//! with its seed, shrunk, and ends with status 1. The last line is
//! `N device-years, V violations, history SHA256`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use otapress_core::digest::Sha256;
use otapress_simulation::world::{Case, Lived, Weather, play, shrink};

#[expect(clippy::disallowed_methods, reason = "the parameters of this program")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let (first, seconds) = (number("SEED", 1), number("SECONDS_EACH", 60));
    let is_calm = number("CALM", 0) > 0;
    #[allow(clippy::cast_precision_loss, reason = "a round number")]
    let most = number("YEARS", 1_000_000_000) as f64;
    let begin = Instant::now();
    let (mut years, mut violations, mut history) = (0.0, 0, Vec::new());
    let (mut tally, mut storm, mut lost) = (BTreeMap::<_, u64>::new(), 0, 0);
    let mut seed = first;
    while begin.elapsed() < Duration::from_secs(seconds) && years < most {
        let mut case = Case::of(seed);
        if is_calm {
            case.weather = Weather::CALM;
        }
        let lived = play(&case);
        #[allow(clippy::cast_precision_loss)]
        {
            years += lived.seconds as f64 / (365.25 * 86_400.0);
        }
        if let Some(why) = &lived.violation {
            violations += 1;
            report(seed, &case, why);
        }
        let Lived { digest, tally: of_seed, .. } = lived;
        history.extend(digest.iter().flat_map(|digest| digest.to_string().into_bytes()));
        of_seed.into_iter().for_each(|(what, n)| *tally.entry(what).or_default() += n);
        (storm, lost) = (storm.max(lived.storm), lost + lived.lost);
        seed += 1;
    }
    for ((kind, name), n) in &tally {
        println!("{n:>10} {kind} {name}");
    }
    println!("seeds {first} to {}, longest storm {storm} posts, {lost} devices silenced", seed - 1);
    println!(
        "{:.0} device-years a second, the oracle's checks included",
        years / begin.elapsed().as_secs_f64()
    );
    println!("{years:.0} device-years, {violations} violations, history {}", Sha256::of(&history));
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seed: u64, case: &Case, why: &str) {
    println!("seed {seed}: {why}");
    let small = shrink(case);
    let again = play(&small).violation.unwrap_or_default();
    println!("  {} devices, {} days, {:?}", small.devices, small.days, small.weather.faults());
    println!("  {again}");
}
