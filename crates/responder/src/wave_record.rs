//! What is remembered of the waves of a rollout.

use std::collections::BTreeMap;

#[expect(clippy::disallowed_types, reason = "a column of the database")]
use serde::{Deserialize, Serialize};

use otapress_core::wire::Wave;

/// What is remembered of a wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveRecord {
    /// Its devices that run the release.
    pub good: u32,
    /// Its devices that failed, or that ran the release and run another one now.
    pub bad: u32,
    /// How many devices it has.
    pub devices: u32,
    /// Since when fewer are published, in the rollout's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewer_since: Option<i64>,
    /// Since when the waves before it have shown enough, in the rollout's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good_since: Option<i64>,
    /// When it opened; absent in waves without `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened: Option<i64>,
}

/// The waves of a rollout, by their basis points; also those that are published no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waves(BTreeMap<u16, WaveRecord>);

impl Waves {
    /// A wave's record.
    pub fn get(&self, wave: u16) -> WaveRecord {
        self.0.get(&wave).copied().unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, wave: u16) -> &mut WaveRecord {
        self.0.entry(wave).or_default()
    }

    /// The devices with a verdict in the waves above one wave and up to another. Also in those that are
    /// published no more: a device that is silent is not moved into the wave that takes their place until its
    /// answer is looked at.
    pub(super) fn verdicts(&self, above: u16, up_to: u16) -> (u32, u32) {
        let within = self.0.iter().filter(|(name, _)| above < **name && **name <= up_to);
        within.fold((0, 0), |(good, bad), (_, wave)| {
            (wave.good.saturating_add(good), wave.bad.saturating_add(bad))
        })
    }

    /// As in a database; `None` if there is nothing to remember.
    pub fn to_text(&self) -> Option<String> {
        let text = || serde_json::to_string(self).expect("numbers always serialize");
        (!self.0.is_empty()).then(text)
    }

    /// Reads what [`Waves::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Waves> {
        serde_json::from_str(text).ok()
    }

    /// A wave that was taken out and comes back is watched from then on: nobody saw what happened meanwhile.
    pub(super) fn stop_watching_others(&mut self, published: &[Wave]) {
        let is_watched = |name: u16| published.iter().any(|wave| wave.wave == name && wave.after.is_some());
        let others = self.0.iter_mut().filter(|(name, _)| !is_watched(**name));
        others.for_each(|(_, wave)| wave.good_since = None);
    }

    /// Takes the verdicts back that a new epoch of the rollout forgets.
    pub(super) fn forget(&mut self, with_proven: bool) {
        for wave in self.0.values_mut() {
            wave.bad = 0;
            wave.good_since = None;
            if with_proven {
                wave.good = 0;
            }
        }
    }
}
