//! The rules of every rollout, as `otapress.json` has them.

use std::collections::{BTreeMap, HashMap};

use crate::fleet::{BasisPoints, Channel, ChannelIndex, Device, Fleet};
use crate::resolve::{Assignment, Rule};
use otapress_core::version::Version;
use otapress_core::wire::{Limit, Rollout, Wave};

/// The id of a rollout: `<channel>/<release>`, or `pin/<release>` of pinned devices.
pub(super) fn id(channel: Option<&Channel>, release: Version) -> String {
    let channel = channel.map_or("pin", |channel| &channel.name);
    format!("{channel}/{release}")
}

/// The place of the channel whose rules hold for a device; none for a pinned one.
pub(super) fn channel_of(fleet: &Fleet, device: &Device, assignment: Assignment) -> Option<ChannelIndex> {
    match assignment.rule {
        Rule::Pinned => None,
        _ => fleet.channel_index(device),
    }
}

/// How many devices each wave of each rollout has.
#[derive(Default)]
pub(super) struct Census(HashMap<(Option<ChannelIndex>, Version, BasisPoints), u32>);

impl Census {
    pub(super) fn count(&mut self, fleet: &Fleet, device: &Device, assignment: Assignment) {
        if let (Some(target), Some(wave)) = (assignment.target, assignment.wave) {
            *self.0.entry((channel_of(fleet, device, assignment), target, wave)).or_default() += 1;
        }
    }

    /// The rollouts of all channels, and those that only pins and `otherwise` need. `spelling` is how the manifest of a release
    /// writes its version.
    pub(super) fn rollouts(
        mut self,
        fleet: &Fleet,
        spelling: impl Fn(Version) -> String,
    ) -> BTreeMap<String, Rollout> {
        let mut rollouts = BTreeMap::new();
        for (n, channel) in fleet.channels().iter().enumerate() {
            let release = channel.release.value;
            let wave = |wave: &crate::fleet::Wave| Wave {
                wave: wave.percent.get(),
                devices: self.0.remove(&(Some(ChannelIndex::nth(n)), release, wave.percent)).unwrap_or(0),
                at: wave.at,
                after: None,
            };
            let rollout = Rollout {
                release: spelling(release),
                waves: channel.waves.iter().map(wave).collect(),
                unproven: Limit::DEFAULT,
                brake: channel.brake,
            };
            rollouts.insert(id(Some(channel), release), rollout);
        }
        for ((channel, release, wave), devices) in self.0 {
            let channel = channel.map(|channel| fleet.channel_at(channel));
            let rollout = rollouts.entry(id(channel, release)).or_insert_with(|| Rollout {
                release: spelling(release),
                waves: Vec::new(),
                unproven: Limit::DEFAULT,
                brake: channel.map_or(Channel::BRAKE, |channel| channel.brake),
            });
            rollout.waves.push(Wave { wave: wave.get(), devices, at: None, after: None });
        }
        rollouts
    }
}
