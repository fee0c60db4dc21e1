//! Warnings about rollouts that only the devices of a fleet tell: waves that nobody precedes, windows that
//! devices miss.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic};
use crate::fleet::{Channel, ChannelIndex, Fleet, Wave};
use crate::resolve::{self, Rule};
use otapress_core::wire::{Brake, Site, Window};
use otapress_core::words::{count, form};

const WEEK: u64 = 7 * 86_400;

/// What is to be warned of.
pub(super) fn check(fleet: &Fleet) -> Vec<Diagnostic> {
    let mut waves: BTreeMap<(ChannelIndex, usize), usize> = BTreeMap::new();
    let mut intervals: BTreeMap<(ChannelIndex, u32), usize> = BTreeMap::new();
    for device in fleet.devices() {
        let Some(channel) = fleet.channel_index(device) else { continue };
        match resolve::assign(fleet, device).rule {
            Rule::Inside { wave, .. } => *waves.entry((channel, wave)).or_default() += 1,
            Rule::Otherwise { .. } => {}
            _ => continue,
        }
        *intervals.entry((channel, fleet.version_interval(device))).or_default() += 1;
    }
    let mut found = Vec::new();
    for (n, channel) in fleet.channels().iter().enumerate() {
        let index = ChannelIndex::nth(n);
        let devices = |wave| waves.get(&(index, wave)).copied().unwrap_or(0);
        let intervals =
            intervals.range((index, 0)..=(index, u32::MAX)).map(|((_, i), devices)| (*i, *devices));
        found.extend(nobody_before(channel, devices));
        found.extend(stiff_brake(channel, (0..channel.waves.len()).map(devices).sum()));
        found.extend(missed_window(channel, intervals.collect()));
    }
    found
}

/// A wave that is to open by success opens at once if nobody is before it.
fn nobody_before(channel: &Channel, devices: impl Fn(usize) -> usize) -> Option<Diagnostic> {
    let is_empty = |n: &usize| (0..*n).all(|before| devices(before) == 0) && devices(*n) > 0;
    let n = (1..channel.waves.len()).find(|n| channel.waves[*n].after.is_some() && is_empty(n))?;
    let Wave { span, percent, .. } = channel.waves[n];
    let before = channel.waves[n - 1].percent;
    let message =
        format!("no device is in the {before} before this wave of {percent}, so it opens without any proof");
    Some(
        Diagnostic::new(Code::EmptyWave, span, message)
            .hint("begin with a larger percentage, or with a pinned device"),
    )
}

/// A brake stiffer than the usual one that wants more devices than are in the rollout. The usual one is not
/// meant for small channels, and one that is softer is no mistake of its author.
fn stiff_brake(channel: &Channel, devices: usize) -> Option<Diagnostic> {
    let Brake { artifact_faults, failures_bp, after } = channel.brake;
    let is_beyond = |n: u32| n as usize > devices;
    let wrong = if devices == 0 {
        return None;
    } else if failures_bp < 10_000 && after > Channel::BRAKE.after && is_beyond(after) {
        let devices = form(after, "device is", "devices are");
        format!("the brake looks at failures when {after} {devices} finished")
    } else if artifact_faults > Channel::BRAKE.artifact_faults && is_beyond(artifact_faults) {
        format!("the brake waits for {} with an artifact's fault", count(artifact_faults, "device"))
    } else {
        return None;
    };
    let (are, devices) = (form(devices, "is", "are"), count(devices, "device"));
    let message = format!("{wrong}, and in the rollout of channel `{}` there {are} {devices}", channel.name);
    let hint = "lower `after` and `artifactFaults` of `brake`, or leave them out";
    Some(Diagnostic::new(Code::NoBrake, channel.release.span, message).hint(hint))
}

/// Rollouts that are new in out/ and whose waves have all opened by `now`, so that nothing is staggered. One
/// that is published may be finished. So may one where nothing is published: who does not commit out/ checks
/// without it.
pub fn past_waves(fleet: &Fleet, published: Option<&Site>, now: i64) -> Vec<Diagnostic> {
    let is_past = |channel: &&Channel| {
        let is_new = published
            .is_some_and(|site| !site.rollouts.is_empty() && !site.rollouts.contains_key(&channel.rollout()));
        let has_times = channel.waves.iter().any(|wave| wave.at.is_some());
        let is_over = |wave: &Wave| wave.after.is_none() && wave.at.is_none_or(|at| at <= now);
        is_new && has_times && channel.waves.iter().all(is_over)
    };
    let warning = |channel: &Channel| {
        let message = format!(
            "all waves of channel `{}` lie in the past, so its devices are offered `{}` at once",
            channel.name, channel.spelling
        );
        Diagnostic::new(Code::PastWaves, channel.waves[0].span, message)
            .hint("give the waves of a new release new times; leave them out if everybody is meant")
    };
    fleet.channels().iter().filter(is_past).map(warning).collect()
}

/// Devices ask at a fixed phase: those whose phase falls outside a window never ask inside it.
fn missed_window(channel: &Channel, intervals: Vec<(u32, usize)>) -> Option<Diagnostic> {
    let window = channel.window.as_ref()?;
    let seconds = u32::from(window.value.minutes) * 60;
    // In ten thousandths of a device.
    let (mut all, mut missing, mut longest) = (0, 0, 0);
    for (interval, devices) in intervals {
        all += devices as u64 * 10_000;
        if seconds < interval {
            missing += devices as u64 * missed_share(&window.value, interval);
            longest = longest.max(interval);
        }
    }
    if missing == 0 {
        return None;
    }
    let percent = (missing * 100).div_ceil(all);
    let message = format!(
        "about {percent}% of the devices never ask inside this window of {}: their versionInterval is up \
         to {longest} s",
        count(window.value.minutes, "minute")
    );
    let minutes = longest.div_ceil(60);
    let hint = if minutes <= 1440 {
        format!("make it {minutes} minutes long, or shorten `versionInterval`")
    } else {
        "shorten `versionInterval`".to_owned()
    };
    Some(Diagnostic::new(Code::ShortWindow, window.span, message).hint(hint))
}

/// The share of the phases that never fall into a weekly window, in basis points. Checks come at a phase plus
/// multiples of the interval; in a week these are the phase plus multiples of the greatest common divisor of
/// both.
fn missed_share(window: &Window, interval: u32) -> u64 {
    let step = gcd(interval.into(), WEEK);
    let length = u64::from(window.minutes) * 60;
    let mut covered: Vec<_> = window
        .days
        .iter()
        .map(|day| (*day as u64 * 86_400 + u64::from(window.from) * 60) % step)
        .flat_map(|start| [(start, (start + length).min(step)), (0, (start + length).saturating_sub(step))])
        .map(|(start, end)| (start, end.min(step)))
        .collect();
    covered.sort_unstable();
    let (mut seconds, mut until) = (0, 0);
    for (start, end) in covered {
        seconds += end.saturating_sub(start.max(until));
        until = until.max(end);
    }
    (step - seconds) * 10_000 / step
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use otapress_core::wire::Day;

    #[test]
    fn phases_outside_a_window_are_counted() {
        let share = |days: &[Day], from, minutes, interval| {
            missed_share(&Window { days: days.to_vec(), from, minutes }, interval)
        };
        // Three hours divide the day, so one hour of each day takes a third of the phases.
        assert_eq!(share(&Day::WEEK, 60, 60, 10_800), 6666);
        assert_eq!(share(&[Day::Mon], 60, 60, 10_800), 6666);
        assert_eq!(share(&[Day::Mon], 60, 180, 10_800), 0);
        // Past midnight, and past the end of the step.
        assert_eq!(share(&[Day::Sun], 23 * 60 + 30, 60, 10_800), 6666);
        // A day and an hour: the phase moves through the whole day within a week's multiple.
        assert_eq!(share(&Day::WEEK, 0, 60, 90_000), 0);
        // A week: the days are different phases.
        assert_eq!(share(&[Day::Mon, Day::Tue], 0, 1440, 604_800), 7142);
    }
}
