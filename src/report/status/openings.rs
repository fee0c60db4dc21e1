//! Says of a wave that is not open what it waits for.

use super::time::{moment, span};
use super::{DeviceStatus, Rollout, Status};
use crate::report::words::form;
use otapress_core::wire::{After, Wave};
use otapress_publish::fleet::Fleet;
use otapress_publish::resolve::Rule;
use otapress_responder::record::RolloutRecord;
use otapress_responder::waves::{self, Shown};

/// What a closed wave waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// A moment that is yet to come.
    at: Option<i64>,
    /// The success of others.
    proof: Option<Proof>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// That wave, counted from 1, is to open first.
    Order(usize),
    /// More devices must have a verdict.
    Verdicts(Shown, After),
    /// More of these must run the release.
    Success(Shown, After),
    /// It must stay so until then.
    Soak(i64),
}

impl Wait {
    /// What the `n`th wave of a rollout waits for, which was judged at `now`; `None` if it is open.
    pub(crate) fn of(record: &RolloutRecord, published: &[Wave], n: usize, now: i64) -> Option<Wait> {
        let wave = published.get(n)?;
        if waves::is_open(record, wave, now) {
            return None;
        }
        let after = wave.after.filter(|_| record.waves.get(wave.wave).opened.is_none());
        let proof = after.and_then(|after| {
            let shown = waves::shown_before(record, published, n);
            let since = record.waves.get(wave.wave).good_since;
            if let Some(closed) = published[..n].iter().position(|wave| !waves::is_open(record, wave, now)) {
                Some(Proof::Order(closed + 1))
            } else if shown.verdicts() < shown.needed(after) {
                Some(Proof::Verdicts(shown, after))
            } else if !shown.is_enough(after) {
                Some(Proof::Success(shown, after))
            } else {
                let until = |since: i64| record.clock.wall(since.saturating_add(after.soak.into()));
                since.map(until).filter(|until| now < *until).map(Proof::Soak)
            }
        });
        Some(Wait { at: wave.at.filter(|at| now < *at), proof })
    }

    /// Whether it waits for the success of others.
    pub(crate) fn is_for_proof(self) -> bool {
        self.proof.is_some()
    }

    /// When it opens, if that is known.
    pub(crate) fn opens_at(self) -> Option<i64> {
        match self.proof {
            None => self.at,
            Some(Proof::Soak(until)) => self.at.max(Some(until)),
            Some(_) => None,
        }
    }

    /// `opens when 12 of 50 have a verdict: 7 so far, all good`
    pub(crate) fn text(self, now: i64) -> String {
        let of_time = |at: i64| format!("opens in {}, at {}", span(at - now), moment(at));
        let proof = match (self.proof, self.at) {
            (None, Some(at)) => return of_time(at),
            (None, None) => return "opens at the next check".into(),
            (Some(Proof::Soak(_)), at) => {
                let opens = self.opens_at().or(at).unwrap_or(now);
                return format!("{}, unless devices fail until then", of_time(opens));
            }
            (Some(Proof::Order(wave)), _) => format!("opens after wave {wave}"),
            (Some(Proof::Verdicts(shown, after)), _) => {
                let verdicts = shown.verdicts();
                let so_far = match shown.bad {
                    0 if verdicts == 0 => "none so far".into(),
                    0 => format!("{verdicts} so far, all good"),
                    bad => format!("{verdicts} so far, {bad} failed"),
                };
                let needed = shown.needed(after);
                let have = form(needed, "has", "have");
                format!("opens when {needed} of {} {have} a verdict: {so_far}", shown.devices)
            }
            (Some(Proof::Success(shown, after)), _) => {
                let percent = f64::from(after.success_bp) / 100.0;
                let (good, verdicts) = (shown.good, shown.verdicts());
                format!(
                    "opens when {percent}% of those with a verdict run it: {good} of {verdicts} {}",
                    form(good, "does", "do")
                )
            }
        };
        match self.at {
            Some(at) => format!("{proof}; not before {}", moment(at)),
            None => proof,
        }
    }

    /// The devices without a verdict, if it waits for more of these: none of them is counted in a wave before
    /// the `n`th of the rollout at that place.
    pub(crate) fn missing<'a>(
        self,
        fleet: &'a Fleet,
        status: &Status,
        place: usize,
        n: usize,
    ) -> Vec<&'a str> {
        let Rollout { record, waves: published, .. } = &status.rollouts[place];
        if !matches!(self.proof, Some(Proof::Verdicts(..))) {
            return Vec::new();
        }
        let before = &published[..n];
        let is_counted = |device: &DeviceStatus| {
            let offer = device.record.as_ref().and_then(|device| device.offer(&record.id));
            let wave = offer.and_then(|offer| waves::has_verdict(offer, record));
            wave.zip(before.last()).is_some_and(|(wave, last)| wave <= last.wave)
        };
        let is_before = |device: &&DeviceStatus| match device.assignment.rule {
            Rule::Inside { wave, .. } => device.rollout == Some(place) && wave < n,
            _ => false,
        };
        let missing = status.devices.iter().filter(is_before).filter(|device| !is_counted(device));
        missing.map(|device| fleet.devices()[device.index].client_id.as_str()).collect()
    }
}
