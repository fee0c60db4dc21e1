//! When devices may go: what opens their waves, and how many wait for what.

use otapress_core::wire::{After, Limit, Rollout, Target};

/// What opens a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Opening {
    /// What the wave before it must have shown. First, so that waves with a date come before those without.
    pub after: Option<Proof>,
    /// When it opens at the earliest, in seconds since 1970-01-01 UTC.
    pub at: Option<i64>,
}

/// What a wave must have shown for the next one to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof {
    /// The number of that wave, counted from 1.
    pub wave: usize,
    /// What it must have shown, with the waves before it.
    pub rule: After,
}

impl Opening {
    /// That of a wave which is open.
    pub const OPEN: Opening = Opening { at: None, after: None };

    /// What opens the wave of a target; `None` if the directory has no such wave: it is closed.
    pub(super) fn of(target: &Target, rollout: Option<&Rollout>) -> Option<Self> {
        let Some(name) = target.wave else { return Some(Opening { at: target.from, after: None }) };
        let waves = &rollout?.waves;
        let place = waves.iter().position(|wave| wave.wave == name)?;
        // Nobody is before the first wave, so nobody has to prove anything.
        let after = waves[place].after.filter(|_| place > 0).map(|rule| Proof { wave: place, rule });
        Some(Opening { at: waves[place].at, after })
    }

    /// Whether it lets devices go that `before` keeps, as far as that can be told without a clock.
    pub fn is_sooner_than(self, before: Option<Self>) -> bool {
        before.is_none_or(|before| {
            self.at < before.at
                || (self.after != before.after && (before.after.is_some() || self.after.is_none()))
        })
    }
}

/// Whether a limit lets more devices be unproven than another one.
pub fn is_raised(old: Limit, new: Limit) -> bool {
    match (old, new) {
        (Limit::Unlimited, _) => false,
        (_, Limit::Unlimited) => true,
        (Limit::Places(old), Limit::Places(new)) => new.least > old.least || new.share_bp > old.share_bp,
    }
}

/// How many devices that a plan sends somewhere wait for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// What they wait for.
    pub opening: Opening,
    /// How many they are.
    pub devices: usize,
}
