//! What each device is to run, and the rule that decided.
//!
//! The first rule that matches wins: `hold`, the device's own `release`, its channel's rollout, the channel's
//! `otherwise`, nothing. A device's target depends on nothing but its own line, its group and its channel.

use crate::fleet::{BasisPoints, Channel, Device, Fleet};
use crate::rollout;
use otapress_core::version::Version;

/// The rule that decided what a device is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `hold: true`: neither upgrades nor settings.
    Held,
    /// The device's own `release`.
    Pinned,
    /// Inside its channel's rollout.
    Inside {
        /// Its bucket, if the rollout needs one.
        bucket: Option<u16>,
        /// The place of its wave in the rollout.
        wave: usize,
    },
    /// Outside the rollout: the channel's `otherwise`.
    Otherwise {
        /// Its bucket.
        bucket: u16,
    },
    /// Outside the rollout, and the channel says nothing else: it keeps what it runs.
    Outside {
        /// Its bucket.
        bucket: u16,
    },
    /// Neither it nor its group nor `default` names a channel: it keeps what it runs.
    NoChannel,
}

/// What a device is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The version, if any.
    pub target: Option<Version>,
    /// When its wave opens, in seconds since 1970-01-01 UTC; none: it is open.
    pub from: Option<i64>,
    /// The wave of its target; all devices where there are no waves.
    pub wave: Option<BasisPoints>,
    /// Why.
    pub rule: Rule,
}

/// Decides for one device.
pub fn assign(fleet: &Fleet, device: &Device) -> Assignment {
    if device.hold {
        return none(Rule::Held);
    }
    if let Some(release) = device.release {
        return Assignment {
            target: Some(release.value),
            from: None,
            wave: Some(BasisPoints::ALL),
            rule: Rule::Pinned,
        };
    }
    match fleet.channel(device) {
        Some(channel) => by_channel(channel, device),
        None => none(Rule::NoChannel),
    }
}

fn none(rule: Rule) -> Assignment {
    Assignment { target: None, from: None, wave: None, rule }
}

fn by_channel(channel: &Channel, device: &Device) -> Assignment {
    // The usual case costs no hash.
    if let [wave] = channel.waves[..]
        && wave.percent == BasisPoints::ALL
    {
        let rule = Rule::Inside { bucket: None, wave: 0 };
        return Assignment {
            target: Some(channel.release.value),
            from: wave.at,
            wave: Some(wave.percent),
            rule,
        };
    }
    let bucket = rollout::bucket(&channel.salt(), &device.client_id);
    match (rollout::wave_of(&channel.waves, bucket), channel.otherwise) {
        (Some(wave), _) => Assignment {
            target: Some(channel.release.value),
            from: channel.waves[wave].at,
            wave: Some(channel.waves[wave].percent),
            rule: Rule::Inside { bucket: Some(bucket), wave },
        },
        (None, Some(otherwise)) => {
            let wave = Some(BasisPoints::ALL);
            Assignment { target: Some(otherwise.value), from: None, wave, rule: Rule::Otherwise { bucket } }
        }
        (None, None) => none(Rule::Outside { bucket }),
    }
}
