//! What changes of the rules by which a device is offered its target.

use super::Devices;
use crate::wire::{Brake, Offer, Window};

/// A rule that some devices get another value of.
#[derive(Debug)]
pub struct RuleChange {
    /// The channel of the devices after the change; none for pinned ones, and for what holds without a target.
    pub channel: Option<String>,
    /// Which rule, with both values.
    pub rule: Rule,
    /// For whom.
    pub devices: Devices,
}

/// A rule, with its value before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// The channel; none: pinned.
    Channel(Option<String>, Option<String>),
    /// When the device's wave opens, for a target that stays.
    Wave(Option<i64>, Option<i64>),
    /// When in the week offers are made.
    Window(Option<Window>, Option<Window>),
    /// How many offers there are.
    Attempts(u32, u32),
    /// When the rollout stops by itself.
    Brake(Brake, Brake),
    /// Whether downgrades are denied.
    NoDowngrade(bool, bool),
    /// Offers per hour.
    Rate(Option<u32>, Option<u32>),
    /// Seconds between version checks.
    Interval(u32, u32),
}

/// What differs between two offers, each with the channel it is said of.
pub(super) fn changes(before: &Offer, after: &Offer) -> Vec<(Option<String>, Rule)> {
    let mut changes = Vec::new();
    if let (Some(old), Some(new)) = (&before.target, &after.target) {
        let mut note = |differs: bool, rule: Rule| {
            if differs {
                changes.push((new.channel.clone(), rule));
            }
        };
        note(old.channel != new.channel, Rule::Channel(old.channel.clone(), new.channel.clone()));
        note(old.version == new.version && old.from != new.from, Rule::Wave(old.from, new.from));
        note(old.window != new.window, Rule::Window(old.window.clone(), new.window.clone()));
        note(old.attempts != new.attempts, Rule::Attempts(old.attempts, new.attempts));
        note(old.brake != new.brake, Rule::Brake(old.brake, new.brake));
        note(old.no_downgrade != new.no_downgrade, Rule::NoDowngrade(old.no_downgrade, new.no_downgrade));
        note(old.rate != new.rate, Rule::Rate(old.rate, new.rate));
    }
    if before.interval != after.interval {
        changes.push((None, Rule::Interval(before.interval, after.interval)));
    }
    changes
}
