//! The rules of every rollout, as `otapress.json` has them.

use std::collections::{BTreeMap, HashMap};

use crate::fleet::{BasisPoints, Channel, ChannelIndex, Device, Fleet};
use crate::resolve::{Assignment, Rule};
use otapress_core::version::Version;
use otapress_core::wire::{Limit, Rollout, Wave};

/// The id of a rollout: `<channel>/<release>`, or `pin/<release>` of pinned devices. The release is spelled
/// as in its manifest.
pub(super) fn id(fleet: &Fleet, channel: Option<&Channel>, release: Version) -> String {
    let channel = channel.map_or("pin", |channel| &channel.name);
    format!("{channel}/{}", fleet.spelling(release))
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

    /// The rollouts of all channels, and those that only pins and `otherwise` need.
    pub(super) fn rollouts(mut self, fleet: &Fleet) -> BTreeMap<String, Rollout> {
        let mut rollouts = BTreeMap::new();
        for (n, channel) in fleet.channels().iter().enumerate() {
            let release = channel.release.value;
            let wave = |wave: &crate::fleet::Wave| Wave {
                wave: wave.percent.get(),
                devices: self.0.remove(&(Some(ChannelIndex::nth(n)), release, wave.percent)).unwrap_or(0),
                at: wave.at,
                after: wave.after,
            };
            let rollout = Rollout {
                release: channel.spelling.clone(),
                waves: channel.waves.iter().map(wave).collect(),
                unproven: channel.unproven,
                brake: channel.brake,
            };
            rollouts.insert(channel.rollout(), rollout);
        }
        for ((channel, release, wave), devices) in self.0 {
            let channel = channel.map(|channel| fleet.channel_at(channel));
            let rollout = rollouts.entry(id(fleet, channel, release)).or_insert_with(|| Rollout {
                release: fleet.spelling(release).into_owned(),
                waves: Vec::new(),
                unproven: Limit::DEFAULT,
                brake: channel.map_or(Channel::BRAKE, |channel| channel.brake),
            });
            rollout.waves.push(Wave { wave: wave.get(), devices, at: None, after: None });
        }
        rollouts
    }
}
