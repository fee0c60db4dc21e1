//! The counts of a selection of devices: over all of them, and for each rollout.

use std::collections::BTreeMap;

use super::openings::Wait;
use super::{DeviceStatus, Failure, Rollout, State, Status};
use otapress_core::version::Version;
use otapress_publish::fleet::{BasisPoints, Channel, Fleet};
use otapress_publish::resolve::Rule;
use otapress_responder::record::OfferRecord;

/// Counts of devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// All of them.
    pub devices: usize,
    /// By state.
    pub states: BTreeMap<State, usize>,
    /// Those that have missed more than two checks.
    pub silent: usize,
    /// Those that answered 900 and have been silent since.
    pub lost: usize,
    /// By the version that they report; none: they never reported one.
    pub versions: BTreeMap<Option<Version>, usize>,
    /// When the last one was heard of.
    pub last_contact: Option<i64>,
    /// The counts of each rollout that is a device's target, in the order of [`Status::rollouts`].
    pub rollouts: Vec<RolloutSummary>,
}

/// Counts of the devices that are aimed at one rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutSummary {
    /// Its place in [`Status::rollouts`].
    pub place: usize,
    /// Devices whose target it is.
    pub target: usize,
    /// Those whose wave is open.
    pub reached: usize,
    /// Of those whose wave is open: those that run the release.
    pub reached_current: usize,
    /// Of those whose wave is open: those that failed.
    pub reached_failed: usize,
    /// By state.
    pub states: BTreeMap<State, usize>,
    /// Those that have missed more than two checks.
    pub silent: usize,
    /// Those that were ever made an offer of it.
    pub offered: usize,
    /// Those whose last completed attempt failed, by the kind of failure.
    pub failures: BTreeMap<Failure, usize>,
    /// Its waves, if it has any.
    pub waves: Vec<WaveSummary>,
}

/// Counts of the devices of one wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveSummary {
    /// When it opens at the earliest.
    pub at: Option<i64>,
    /// What it waits for; none: it is open.
    pub(crate) wait: Option<Wait>,
    /// When it opened, if the success of others opened it.
    pub opened: Option<i64>,
    /// The share of the channel that it reaches.
    pub percent: BasisPoints,
    /// Devices that come in with it.
    pub devices: usize,
    /// Of these: those that run the release.
    pub current: usize,
    /// Of these: those that failed.
    pub failed: usize,
}

impl RolloutSummary {
    /// The devices in that state.
    pub fn in_state(&self, state: State) -> usize {
        self.states.get(&state).copied().unwrap_or(0)
    }

    /// Those that run the release.
    pub fn current(&self) -> usize {
        self.in_state(State::Current)
    }

    /// Those that failed, with attempts left or without.
    pub fn failed(&self) -> usize {
        State::ALL.iter().filter(|state| state.is_failed()).map(|state| self.in_state(*state)).sum()
    }

    /// Those whose wave is open and that have finished: they run it, or they failed.
    pub fn finished(&self) -> usize {
        self.reached_current + self.reached_failed
    }
}

impl WaveSummary {
    /// Whether its devices are offered the release.
    pub fn is_open(&self) -> bool {
        self.wait.is_none()
    }
}

impl Summary {
    /// Counts the devices that `keeps` keeps.
    pub fn new(fleet: &Fleet, status: &Status, keeps: impl Fn(&DeviceStatus) -> bool) -> Self {
        let mut summary = Summary::default();
        let mut rollouts: BTreeMap<usize, RolloutSummary> = BTreeMap::new();
        for device in status.devices.iter().filter(|device| keeps(device)) {
            summary.devices += 1;
            *summary.states.entry(device.state).or_default() += 1;
            summary.silent += usize::from(device.silent);
            summary.lost += usize::from(device.lost);
            let reported = device.record.as_ref().and_then(|record| record.reported);
            *summary.versions.entry(reported).or_default() += 1;
            let last_seen = device.record.as_ref().map(|record| record.last_seen);
            summary.last_contact = summary.last_contact.max(last_seen);
            if let Some(place) = device.rollout {
                let rollout = &status.rollouts[place];
                let counts = rollouts
                    .entry(place)
                    .or_insert_with(|| RolloutSummary::empty(fleet, rollout, place, status.now));
                counts.add(device, rollout);
            }
        }
        summary.rollouts = rollouts.into_values().collect();
        summary
    }

    /// Counts all devices.
    pub fn of_all(fleet: &Fleet, status: &Status) -> Self {
        Summary::new(fleet, status, |_| true)
    }

    /// The devices in that state.
    pub fn in_state(&self, state: State) -> usize {
        self.states.get(&state).copied().unwrap_or(0)
    }
}

impl RolloutSummary {
    fn empty(fleet: &Fleet, rollout: &Rollout, place: usize, now: i64) -> Self {
        let wave = |(n, wave): (usize, &otapress_publish::fleet::Wave)| WaveSummary {
            at: wave.at,
            wait: Wait::of(&rollout.record, &rollout.waves, n, now),
            opened: rollout.record.waves.get(wave.percent.get()).opened,
            percent: wave.percent,
            devices: 0,
            current: 0,
            failed: 0,
        };
        let waves = staged(fleet, rollout).map_or(&[][..], |channel| &channel.waves);
        RolloutSummary {
            place,
            target: 0,
            reached: 0,
            reached_current: 0,
            reached_failed: 0,
            states: BTreeMap::new(),
            silent: 0,
            offered: 0,
            failures: BTreeMap::new(),
            waves: waves.iter().enumerate().map(wave).collect(),
        }
    }

    fn add(&mut self, device: &DeviceStatus, rollout: &Rollout) {
        self.target += 1;
        let is_open = match device.assignment.rule {
            Rule::Inside { wave, .. } => self.waves.get(wave).is_none_or(WaveSummary::is_open),
            _ => true,
        };
        if is_open {
            self.reached += 1;
            self.reached_current += usize::from(device.state == State::Current);
            self.reached_failed += usize::from(device.state.is_failed());
        }
        *self.states.entry(device.state).or_default() += 1;
        self.silent += usize::from(device.silent);
        let record = device.record.as_ref();
        self.offered +=
            usize::from(record.is_some_and(|record| {
                record.offer(&rollout.record.id).is_some_and(OfferRecord::was_offered)
            }));
        if let Some(failure) = device.failure {
            *self.failures.entry(failure).or_default() += 1;
        }
        if let Rule::Inside { wave, .. } = device.assignment.rule
            && let Some(wave) = self.waves.get_mut(wave)
        {
            wave.devices += 1;
            wave.current += usize::from(device.state == State::Current);
            wave.failed += usize::from(device.state.is_failed());
        }
    }
}

/// The channel whose release a rollout brings to its devices little by little.
fn staged<'a>(fleet: &'a Fleet, rollout: &Rollout) -> Option<&'a Channel> {
    let name = rollout.rules.channel.as_ref()?;
    let channel = fleet.channels().iter().find(|channel| channel.name == *name)?;
    let everyone_at_once = match &channel.waves[..] {
        [wave] => wave.at.is_none() && wave.after.is_none() && wave.percent == BasisPoints::ALL,
        _ => false,
    };
    (channel.release.value == rollout.rules.version && !everyone_at_once).then_some(channel)
}
