//! Changes of the rules under which a device is offered its target.

use super::Devices;
use super::schedule::Opening;
use otapress_core::wire::{Brake, Limit, Offer, Target, Window};

/// A rule that some devices get another value of.
#[derive(Debug)]
pub struct RuleChange {
    /// The channel of the devices after the change; none for pinned ones, and for what holds without a
    /// target.
    pub channel: Option<String>,
    /// The rule with both values.
    pub rule: Rule,
    /// The affected devices.
    pub devices: Devices,
}

/// A rule, with its value before and after.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "camelCase")]
pub enum Rule {
    /// The channel, and with it all of its rules; none: pinned.
    Channel(Option<String>, Option<String>),
    /// How the rollout of a target that stays is called, which decides on the buckets.
    Spelling(String, String),
    /// What opens the device's wave, for a target that stays.
    Wave(Opening, Opening),
    /// How many devices may be unproven.
    Unproven(Limit, Limit),
    /// When in the week offers are made.
    Window(Option<Window>, Option<Window>),
    /// How many offers there are.
    Attempts(u32, u32),
    /// When the rollout stops by itself.
    Brake(Brake, Brake),
    /// Whether downgrades are denied.
    #[strum(serialize = "downgrade")]
    NoDowngrade(bool, bool),
    /// Offers per hour.
    Rate(Option<u32>, Option<u32>),
    /// Seconds between version checks.
    #[strum(serialize = "versionInterval")]
    Interval(u32, u32),
}

/// One of the offers that are compared, with what `otapress.json` says of its target.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub offer: &'a Offer,
    pub opening: Option<Opening>,
    pub unproven: Option<Limit>,
}

/// What differs between two offers. A change is returned with the channel that it is
/// said of. A device that gets another channel gets its rules, which are no changes of their own.
pub(super) fn changes(before: Side<'_>, after: Side<'_>) -> Vec<(Option<String>, Rule)> {
    let (opening, new_opening) = (before.opening, after.opening);
    let limits = (before.unproven, after.unproven);
    let (before, after) = (before.offer, after.offer);
    let mut changes = Vec::new();
    match (&before.target, &after.target) {
        (Some(old), Some(new)) if old.channel != new.channel => {
            let rule = Rule::Channel(old.channel.clone(), new.channel.clone());
            changes.push((new.channel.clone(), rule));
        }
        (Some(old), Some(new)) => {
            // A wave of another release is another wave.
            let is_same = old.version == new.version;
            let wave = match (opening, new_opening) {
                (Some(old), Some(new)) if is_same && old != new => Some(Rule::Wave(old, new)),
                _ => None,
            };
            let unproven = match limits {
                (Some(old), Some(new)) if is_same && old != new => Some(Rule::Unproven(old, new)),
                _ => None,
            };
            let is_renamed = is_same && old.rollout != new.rollout;
            let spelling = is_renamed.then(|| Rule::Spelling(old.rollout.clone(), new.rollout.clone()));
            let rules = spelling.into_iter().chain(wave).chain(unproven).chain(changes_in_channel(old, new));
            changes.extend(rules.map(|rule| (new.channel.clone(), rule)));
        }
        _ => {}
    }
    if before.interval != after.interval {
        changes.push((None, Rule::Interval(before.interval, after.interval)));
    }
    changes
}

/// The differences between two targets of one channel.
fn changes_in_channel(old: &Target, new: &Target) -> Vec<Rule> {
    let rules = [
        (old.window != new.window).then(|| Rule::Window(old.window.clone(), new.window.clone())),
        (old.attempts != new.attempts).then_some(Rule::Attempts(old.attempts, new.attempts)),
        (old.brake != new.brake).then_some(Rule::Brake(old.brake, new.brake)),
        (old.no_downgrade != new.no_downgrade)
            .then_some(Rule::NoDowngrade(old.no_downgrade, new.no_downgrade)),
        (old.rate != new.rate).then_some(Rule::Rate(old.rate, new.rate)),
    ];
    rules.into_iter().flatten().collect()
}
