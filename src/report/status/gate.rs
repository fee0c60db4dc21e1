//! Gates: conditions under which a pipeline may promote a release further.
//!
//! Only devices whose wave is open count. One has *finished* if it runs its target or has failed. A rollout
//! passes if
//! - it is not halted,
//! - enough devices have finished: at least `min_finished`, or all that it reaches if these are fewer;
//! - of those that have finished, at least `min_success` run the release;
//! - at most `max_failures` have failed, as a number or as a share of those that have finished.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use otapress_publish::fleet::Fleet;

use super::Status;
use super::summary::{RolloutSummary, Summary};
use crate::report::words::{NAMED, few, form};

/// A share of devices, in basis points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percent(u32);

/// A number of devices, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// A number of devices.
    Devices(usize),
    /// A share of the devices.
    Share(Percent),
}

/// The conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The least share of finished devices that must run the release.
    pub min_success: Option<Percent>,
    /// The most devices that may fail.
    pub max_failures: Option<Amount>,
    /// The least number of finished devices, or a share of those that the rollout reaches.
    pub min_finished: Amount,
}

/// The judgement of one rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The rollout's id.
    pub rollout: Arc<str>,
    /// The missed conditions in words; empty: it passes.
    pub misses: Vec<String>,
    /// The counts in words.
    pub stands: String,
    /// Which of its waves are open, and what the others wait for.
    pub waves: Vec<String>,
}

impl Gate {
    /// Judges every rollout of a selection.
    pub fn judge(&self, fleet: &Fleet, status: &Status, summary: &Summary) -> Vec<Judgement> {
        summary.rollouts.iter().map(|rollout| self.judge_one(fleet, status, rollout)).collect()
    }

    fn judge_one(&self, fleet: &Fleet, status: &Status, counts: &RolloutSummary) -> Judgement {
        let record = &status.rollouts[counts.place].record;
        let (current, failed, finished) = (counts.reached_current, counts.reached_failed, counts.finished());
        let reached = counts.reached;
        let mut misses = Vec::new();
        if let Some(halt) = &record.halted {
            misses.push(format!("it is halted: {}", halt.reason));
        }
        let needed = match self.min_finished {
            Amount::Devices(n) => n,
            Amount::Share(share) => share.of_at_least(reached),
        };
        if reached == 0 {
            misses.push("it reaches no device yet".to_owned());
        } else if finished < needed.clamp(1, reached) {
            misses.push(format!(
                "too few have finished: {finished} of {reached}; {} must",
                needed.clamp(1, reached)
            ));
        }
        if let Some(min) = self.min_success.filter(|min| finished > 0 && !min.is_reached(current, finished)) {
            misses.push(format!(
                "too few succeed: {current} of {finished} that finished ({}); {min} must",
                share(current, finished)
            ));
        }
        match self.max_failures {
            Some(Amount::Devices(max)) if failed > max => {
                misses.push(format!("too many failed: {failed}; {max} may"));
            }
            Some(Amount::Share(max)) if finished > 0 && max.is_exceeded(failed, finished) => {
                misses.push(format!(
                    "too many failed: {failed} of {finished} that finished ({}); {max} may",
                    share(failed, finished)
                ));
            }
            _ => {}
        }
        let run = form(current, "runs", "run");
        let stands = format!("{current} of {reached} {run} it, {failed} failed");
        let waves = counts.waves.iter().enumerate().map(|(n, wave)| {
            let waits =
                wave.wait.map(|wait| (wait.text(status.now), wait.missing(fleet, status, counts.place, n)));
            let stands = match waits {
                None => "is open".to_owned(),
                Some((text, missing)) if missing.is_empty() => text,
                Some((text, missing)) => format!("{text}; missing: {}", few(&missing, NAMED)),
            };
            format!("wave {} (to {}) {stands}", n + 1, wave.percent)
        });
        Judgement { rollout: record.id.clone(), misses, stands, waves: waves.collect() }
    }
}

/// A share for people: rounded, but only all of them are 100 %, and only none is 0 %.
pub fn share(part: usize, whole: usize) -> String {
    let tenths = match (part, whole) {
        (0, _) | (_, 0) => 0,
        _ if part == whole => 1000,
        _ => ((part * 1000 + whole / 2) / whole).clamp(1, 999),
    };
    if tenths.is_multiple_of(10) {
        format!("{}%", tenths / 10)
    } else {
        format!("{}.{}%", tenths / 10, tenths % 10)
    }
}

impl Percent {
    fn of_at_least(self, whole: usize) -> usize {
        (whole * self.0 as usize).div_ceil(10_000)
    }

    fn is_reached(self, part: usize, whole: usize) -> bool {
        part * 10_000 >= whole * self.0 as usize
    }

    fn is_exceeded(self, part: usize, whole: usize) -> bool {
        part * 10_000 > whole * self.0 as usize
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:02}", self.0 / 100, self.0 % 100);
        write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Percent {
    type Err = &'static str;

    /// `95`, `95%` or `99.5%`.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str =
            "a percentage is a number from 0 to 100 with at most two decimals, such as `99.5%`";
        let number = text.strip_suffix('%').unwrap_or(text);
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most: usize| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(decimals, 2) {
            return Err(WRONG);
        }
        let whole: u32 = whole.parse().map_err(|_| WRONG)?;
        let decimals: u32 = format!("{decimals:0<2}").parse().map_err(|_| WRONG)?;
        let points = whole * 100 + decimals;
        if points <= 10_000 { Ok(Percent(points)) } else { Err(WRONG) }
    }
}

impl FromStr for Amount {
    type Err = &'static str;

    /// `10`, or a percentage with its sign.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.ends_with('%') {
            return text.parse().map(Amount::Share);
        }
        text.parse()
            .map(Amount::Devices)
            .map_err(|_| "a number of devices such as `10`, or a share such as `5%`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_and_printed() {
        let parse = |text: &str| text.parse::<Percent>().map(|percent| percent.to_string());
        for (text, printed) in [
            ("95", "95%"),
            ("95%", "95%"),
            ("99.5%", "99.5%"),
            ("0.05", "0.05%"),
            ("100", "100%"),
            ("0%", "0%"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(printed), "{text}");
        }
        for bad in ["", "%", "101", "100.01", "-1", "1.234", "1.", ".5", "1e1", "+5", "9999"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!("10".parse(), Ok(Amount::Devices(10)));
        assert_eq!("10%".parse(), Ok(Amount::Share(Percent(1000))));
        assert!("ten".parse::<Amount>().is_err());
    }

    #[test]
    fn shares_are_rounded_but_for_the_ends() {
        assert_eq!(
            [(1, 3), (2, 3), (2, 2), (999_999, 1_000_000), (1, 1_000_000), (0, 5), (0, 0)]
                .map(|(part, whole)| share(part, whole)),
            ["33.3%", "66.7%", "100%", "99.9%", "0.1%", "0%", "0%"]
        );
        assert_eq!(Percent(9_500).of_at_least(3), 3);
        assert_eq!(Percent(5_000).of_at_least(3), 2);
        assert!(Percent(9_500).is_reached(95, 100) && !Percent(9_500).is_reached(94, 100));
        assert!(Percent(500).is_exceeded(6, 100) && !Percent(500).is_exceeded(5, 100));
    }
}
