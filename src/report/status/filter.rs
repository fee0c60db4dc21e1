//! Selects devices.

use std::str::FromStr;

use super::{DeviceStatus, State, Status, words};
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_publish::diag::did_you_mean;
use otapress_publish::fleet::Fleet;
use otapress_responder::record::Event;

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Devices of that group.
    pub group: Option<String>,
    /// Devices of that channel.
    pub channel: Option<String>,
    /// Devices that are to run that release.
    pub release: Option<Version>,
    /// Devices in any of these states; empty: in any.
    pub states: Vec<StateFilter>,
    /// Devices about which all of these words can be read, in any field and in any case.
    pub text: Option<String>,
}

/// A state, or several under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// That one.
    State(State),
    /// [`State::is_pending`].
    Pending,
    /// [`State::is_failed`].
    Failed,
    /// Silent, whatever its state.
    Silent,
    /// [`DeviceStatus::lost`], whatever its state.
    Lost,
}

impl StateFilter {
    /// Every accepted name.
    pub fn names() -> Vec<&'static str> {
        let of_states = State::ALL.iter().map(|state| state.as_str()).filter(|name| *name != "failed");
        ["failed", "pending", "silent", "lost"].into_iter().chain(of_states).collect()
    }

    fn holds(self, device: &DeviceStatus) -> bool {
        match self {
            StateFilter::State(state) => device.state == state,
            StateFilter::Pending => device.state.is_pending(),
            StateFilter::Failed => device.state.is_failed(),
            StateFilter::Silent => device.silent,
            StateFilter::Lost => device.lost,
        }
    }
}

impl FromStr for StateFilter {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let state = || State::ALL.iter().find(|state| state.as_str() == name);
        match name {
            "failed" => Ok(StateFilter::Failed),
            "pending" => Ok(StateFilter::Pending),
            "silent" => Ok(StateFilter::Silent),
            "lost" => Ok(StateFilter::Lost),
            _ => state().map(|state| StateFilter::State(*state)).ok_or_else(|| {
                match did_you_mean(name, StateFilter::names().into_iter()) {
                    Some(near) => near,
                    None => format!("the states are {}", StateFilter::names().join(", ")),
                }
            }),
        }
    }
}

impl Filter {
    /// Whether it has no condition.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether it asks for devices, not only for whole rollouts.
    pub fn is_of_devices(&self) -> bool {
        self.group.is_some() || !self.states.is_empty() || self.text.is_some()
    }

    /// Whether it keeps a device.
    pub fn keeps(&self, fleet: &Fleet, status: &Status, device: &DeviceStatus) -> bool {
        let declared = &fleet.devices()[device.index];
        let group = || fleet.group(declared).name.as_ref();
        let channel = || fleet.channel(declared).map(|channel| &channel.name);
        self.group.as_ref().is_none_or(|wanted| group() == Some(wanted))
            && self.channel.as_ref().is_none_or(|wanted| channel() == Some(wanted))
            && self.release.is_none_or(|wanted| device.assignment.target == Some(wanted))
            && (self.states.is_empty() || self.states.iter().any(|wanted| wanted.holds(device)))
            && self.text.as_ref().is_none_or(|wanted| says(fleet, status, device, wanted))
    }

    /// Whether it keeps an event without a device.
    pub fn keeps_rollout(&self, id: &str) -> bool {
        let (channel, release) = id.rsplit_once('/').unwrap_or((id, ""));
        !self.is_of_devices()
            && self.channel.as_ref().is_none_or(|wanted| wanted == channel)
            && self.release.is_none_or(|wanted| release.parse() == Ok(wanted))
    }
}

/// Whether each word of a text is in any known field of a device.
fn says(fleet: &Fleet, status: &Status, device: &DeviceStatus, wanted: &str) -> bool {
    let declared = &fleet.devices()[device.index];
    let group = fleet.group(declared);
    let reason = words::reason(fleet, status, device);
    let version = |version: Option<Version>| version.map(|version| version.to_string());
    let known = [
        Some(declared.client_id.to_string()),
        Some(declared.imei.to_string()),
        group.name.clone(),
        group.comment.clone(),
        declared.comment.as_ref().map(|text| text.to_string()),
        declared.tid.as_ref().map(|text| text.to_string()),
        version(device.assignment.target),
        version(device.record.as_ref().and_then(|record| record.reported)),
        Some(device.state.as_str().to_owned()),
        reason.as_ref().map(|reason| reason.why.clone()),
        reason.and_then(|reason| reason.todo),
    ];
    let known: Vec<_> = known
        .into_iter()
        .flatten()
        .chain(device.of_client_id.searched())
        .map(|text| text.to_lowercase())
        .collect();
    let wanted = wanted.to_lowercase();
    wanted.split_whitespace().all(|word| known.iter().any(|text| text.contains(word)))
}

/// Whether an event is kept: by its device, which `keeps` judges, else by its rollout.
pub fn keeps_event(filter: &Filter, event: &Event, keeps: impl Fn(Imei) -> bool) -> bool {
    match (event.imei, &event.rollout) {
        _ if filter.is_empty() => true,
        (Some(imei), _) => keeps(imei),
        (None, Some(rollout)) => filter.keeps_rollout(rollout),
        (None, None) => false,
    }
}
