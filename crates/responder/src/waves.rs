//! Waves that open by success: which devices have a verdict, and when these are enough.
//!
//! A device with a verdict runs the release, or has failed; it is counted in the wave that its answer named
//! at its last check. A wave with `after` opens once the waves before it are open and, of their devices,
//! enough have a verdict and enough of these run the release, for as long as it is to be. What opened stays
//! open, whatever happens to the counts.
//!
//! The number of the devices stands in `otapress.json`, and who left a wave is noticed only when it asks
//! again, or when its answer file is looked at ([`crate::moved`]). So a number that falls counts only after a
//! while: until then those who left are still among the verdicts, and a wave would open too early.

use super::record::{Event, EventKind, OfferRecord, RolloutRecord, Verdict};
use super::records::Ledger;
use super::weakened::{Rule, holds};
use otapress_core::wire::{After, Wave, percent};
use otapress_core::words::{count, form};

pub use super::wave_record::{WaveRecord, Waves};

/// The longest time until a device that left its wave is counted there no more, while others of its rollout
/// ask: all have their turn within an hour, and twice.
pub(super) const NOTICED_SECONDS: i64 = 2 * 3600;

/// How far ahead of ours the clock of the host may be that opened a wave.
const SKEW_SECONDS: i64 = 300;

/// What the devices of the waves before a wave have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// How many devices there are.
    pub devices: u32,
    /// Those that run the release.
    pub good: u32,
    /// Those that failed.
    pub bad: u32,
}

impl Shown {
    /// Those with a verdict.
    pub fn verdicts(&self) -> u32 {
        self.good.saturating_add(self.bad)
    }

    /// How many must have a verdict: at least one, where there is anybody.
    pub fn needed(&self, after: After) -> u32 {
        let share = (u64::from(self.devices) * u64::from(after.reached_bp)).div_ceil(10_000);
        u32::try_from(share).unwrap_or(u32::MAX).max(u32::from(self.devices > 0))
    }

    /// Whether that is enough, apart from how long it has been so.
    pub fn is_enough(&self, after: After) -> bool {
        let runs = u64::from(self.good) * 10_000 >= u64::from(self.verdicts()) * u64::from(after.success_bp);
        self.verdicts() >= self.needed(after) && runs
    }

    fn add(&mut self, devices: u32, (good, bad): (u32, u32)) {
        self.good = self.good.saturating_add(good);
        self.bad = self.bad.saturating_add(bad);
        // Who left is among the verdicts until that is noticed.
        let devices = devices.max(good.saturating_add(bad));
        self.devices = self.devices.saturating_add(devices);
    }
}

/// What the waves before the `n`th of these have shown.
pub fn shown_before(rollout: &RolloutRecord, published: &[Wave], n: usize) -> Shown {
    let (mut shown, mut above) = (Shown::default(), 0);
    for wave in published.iter().take(n) {
        shown.add(rollout.waves.get(wave.wave).devices, rollout.waves.verdicts(above, wave.wave));
        above = wave.wave;
    }
    shown
}

/// Whether a wave is open. What was recorded in the future, by a clock that was wrong, counts for nothing.
pub fn is_open(rollout: &RolloutRecord, wave: &Wave, now: i64) -> bool {
    wave.at.is_none_or(|at| now >= at) && has_opened(rollout, wave, now)
}

/// Whether a wave needs no more success than there was.
pub(super) fn has_opened(rollout: &RolloutRecord, wave: &Wave, now: i64) -> bool {
    let opened = rollout.waves.get(wave.wave).opened;
    wave.after.is_none() || opened.is_some_and(|at| at <= now.saturating_add(SKEW_SECONDS))
}

/// Opens the waves that are due. `published` are those of `otapress.json`; a smaller number of devices counts
/// after `patience` seconds. The verdicts of those that are overdue are in the counts.
pub fn judge(
    rollout: &mut RolloutRecord,
    published: &[Wave],
    patience: i64,
    now: i64,
    events: &mut Vec<Event>,
) {
    let clock = rollout.clock;
    // While nobody is heard it stands still.
    let time = clock.steady(now).unwrap_or_else(|| clock.time(clock.heard.unwrap_or(now)));
    for wave in published {
        take_number(rollout.waves.get_mut(wave.wave), wave.devices, patience, time);
    }
    rollout.waves.stop_watching_others(published);
    let mut are_open = true;
    for (n, wave) in published.iter().enumerate() {
        if let Some(after) = wave.after
            && !has_opened(rollout, wave, now)
        {
            let shown = shown_before(rollout, published, n);
            let is_enough = are_open && (shown.is_enough(after) || !holds(Rule::WavesBySuccess));
            let record = rollout.waves.get_mut(wave.wave);
            // A clock that was set back must not make the time longer.
            let since = is_enough.then(|| record.good_since.map_or(time, |since| since.min(time)));
            record.good_since = since;
            // Where there is nobody, nobody need be watched.
            let soak = if shown.devices == 0 { 0 } else { i64::from(after.soak) };
            if since.is_some_and(|since| time - since >= soak) && wave.at.is_none_or(|at| now >= at) {
                (record.opened, record.good_since) = (Some(now), None);
                events.push(rollout.event(EventKind::WaveOpened, now, detail(n, wave, shown)));
            }
        }
        are_open &= is_open(rollout, wave, now);
    }
}

fn take_number(record: &mut WaveRecord, published: u32, patience: i64, time: i64) {
    let is_fewer = published < record.devices;
    let since = is_fewer.then(|| record.fewer_since.unwrap_or(time));
    if since.is_none_or(|since| time - since >= patience) {
        (record.devices, record.fewer_since) = (published, None);
    } else {
        record.fewer_since = since;
    }
}

fn detail(n: usize, wave: &Wave, shown: Shown) -> String {
    let Shown { devices, good, .. } = shown;
    let percent = percent(wave.wave);
    let verdicts = shown.verdicts();
    format!(
        "wave {} (to {percent}): of {} before it {verdicts} {} a verdict, {good} {} it",
        n + 1,
        count(devices, "device"),
        form(verdicts, "has", "have"),
        form(good, "runs", "run")
    )
}

/// The wave in which a device is counted, and whether it runs the release.
fn verdict(offer: &OfferRecord, rollout: &RolloutRecord) -> Option<(u16, bool)> {
    let wave = offer.wave?;
    let is_proven = offer.proven.is_some_and(|epoch| epoch >= rollout.proven_since);
    if offer.since.is_some() {
        return is_proven.then_some((wave, true));
    }
    let has_ended = matches!(offer.verdict, Some(Verdict::Failed | Verdict::Succeeded));
    (has_ended && offer.epoch == rollout.epoch).then_some((wave, false))
}

/// The wave in which a device is counted, if it has a verdict.
pub fn has_verdict(offer: &OfferRecord, rollout: &RolloutRecord) -> Option<u16> {
    verdict(offer, rollout).map(|(wave, _)| wave)
}

/// Changes the device's offer in the ledger's rollout, and the counts of its wave with it. Not to be nested.
pub(super) fn counted<'a, T>(ledger: &mut Ledger<'a>, change: impl FnOnce(&mut Ledger<'a>) -> T) -> T {
    let of = |ledger: &Ledger<'_>| {
        ledger.device.offer(&ledger.rollout.id).and_then(|offer| verdict(offer, &ledger.rollout))
    };
    let before = of(ledger);
    let value = change(ledger);
    let after = of(ledger);
    if before != after {
        for (counted, change) in [(before, -1), (after, 1)] {
            let Some((wave, is_good)) = counted else { continue };
            let record = ledger.rollout.waves.get_mut(wave);
            let count = if is_good { &mut record.good } else { &mut record.bad };
            *count = count.saturating_add_signed(change);
        }
    }
    value
}

/// Writes down which wave of the ledger's rollout the device's answer names, where it is counted in one.
pub(super) fn looked_for(ledger: &mut Ledger<'_>, named: Option<u16>, now: i64) {
    let clock = ledger.rollout.clock;
    let Some(offer) = ledger.device.offer_mut(&ledger.rollout.id).filter(|o| o.wave.is_some()) else {
        return;
    };
    if named.is_some() || clock.is_seen_again(&mut offer.outside, now) {
        join(ledger, named);
    }
}

/// Counts the device in that wave of the ledger's rollout, or in none.
pub(super) fn join(ledger: &mut Ledger<'_>, wave: Option<u16>) {
    counted(ledger, |ledger| {
        let offer = ledger.device.offer_mut(&ledger.rollout.id);
        offer.into_iter().for_each(|offer| (offer.wave, offer.outside) = (wave, None));
    });
}

#[cfg(test)]
mod tests;
