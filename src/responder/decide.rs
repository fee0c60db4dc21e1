//! The answer to a version check: a pure function of the offer, the records and the time.

use super::offer::Offer;
use super::record::{DeviceRecord, Event, Refusal, RolloutRecord};
use crate::version::Version;
use crate::wire::Answer;

/// What is answered, and what is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What the device is sent.
    pub answer: Answer,
    /// Why it is no upgrade.
    pub refusal: Option<Refusal>,
    /// The device's record from now on.
    pub device: DeviceRecord,
    /// The rollout's record from now on.
    pub rollout: RolloutRecord,
    /// The channel for which an offer is to be counted.
    pub counted: Option<String>,
    /// What happened.
    pub events: Vec<Event>,
}

/// Decides. `recent` is how many offers the channel made in the last hour.
pub fn decide(
    _offer: &Offer,
    _reported: Option<Version>,
    _device: &DeviceRecord,
    _rollout: &RolloutRecord,
    _recent: u32,
    _now: i64,
) -> Decision {
    todo!()
}
