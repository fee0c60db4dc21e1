//! What the records must say before a release goes to more devices, or is taken back.

use anyhow::bail;

use super::super::status::Look;
use super::super::{now, required_store};
use super::{Args, no_channel};
use crate::context::{Global, WrongUsage, print};
use crate::report::status::gate::Gate;
use crate::report::status::summary::Summary;
use crate::report::status::{DeviceStatus, Status, text};
use otapress_core::version::Version;
use otapress_publish::fleet::{Channel, Fleet};

fn status(global: &Global, fleet: &Fleet) -> anyhow::Result<Status> {
    Ok(Look::default().at(fleet, &mut Some(required_store(global)?), now())?)
}

/// Whether the devices of other channels that are to run a release pass a gate; says how they stand.
pub(super) fn is_given(
    global: &Global,
    fleet: &Fleet,
    (channel, release): (&str, Version),
    gate: &Gate,
) -> anyhow::Result<bool> {
    let status = status(global, fleet)?;
    let is_elsewhere = |device: &DeviceStatus| {
        let declared = fleet.channel(&fleet.devices()[device.index]);
        device.assignment.target == Some(release) && declared.is_none_or(|other| other.name != channel)
    };
    let judgements = gate.judge(fleet, &status, &Summary::new(fleet, &status, is_elsewhere));
    if judgements.is_empty() {
        print(format!("no device of another channel is to run {release}: nothing proves it\n"))?;
        return Ok(false);
    }
    if !global.quiet {
        print(text::gate(&judgements))?;
    }
    Ok(judgements.iter().all(|judgement| judgement.misses.is_empty()))
}

/// Why the release of a channel is taken back, which needs a halt of it or `--force`.
pub(super) fn to_take_back(global: &Global, fleet: &Fleet, args: &Args) -> anyhow::Result<String> {
    let channel = channel(fleet, &args.channel)?;
    let release = channel.release.value;
    if let Some(named) = args.release.as_ref().filter(|named| named.version != release) {
        bail!(WrongUsage(format!(
            "channel `{}` names {release}, not {}: there is nothing to take back",
            channel.name, named.text
        )));
    }
    let halted = if args.force { None } else { halted(&status(global, fleet)?, channel) };
    match (&args.reason, halted) {
        (_, None) if !args.force => bail!(
            "{release} is not halted in channel `{}`: `--force` takes it back all the same",
            channel.name
        ),
        (Some(reason), _) => Ok(reason.clone()),
        (None, Some(reason)) => Ok(reason),
        (None, None) => Ok(format!("taken back from {}", channel.name)),
    }
}

/// The release that a channel was taken back from, if it is not named and nothing is left to do: so that the
/// same command may be repeated. What the channel names now is taken back only if it is halted, or named.
pub(super) fn is_back(global: &Global, fleet: &Fleet, args: &Args) -> anyhow::Result<Option<Version>> {
    let channel = channel(fleet, &args.channel)?;
    let release = channel.release.value;
    let withdrawn = fleet.withdrawn().last_key_value().map(|(version, _)| *version);
    let asks_for_more = args.release.is_some() || args.to.as_ref().is_some_and(|to| to.version != release);
    let Some(from) = withdrawn.filter(|from| *from > release && !asks_for_more) else {
        return Ok(None);
    };
    let halted = if args.force { None } else { halted(&status(global, fleet)?, channel) };
    Ok(halted.is_none().then_some(from))
}

/// Why a channel's release is halted: its rollout is, or the release in any channel.
fn halted(status: &Status, channel: &Channel) -> Option<String> {
    let id = channel.rollout();
    let rollout = status.rollouts.iter().find(|rollout| *rollout.record.id == *id)?;
    rollout.record.halted.as_ref().map(|halt| halt.reason.clone())
}

pub(super) fn channel<'a>(fleet: &'a Fleet, name: &str) -> anyhow::Result<&'a Channel> {
    fleet.channels().iter().find(|channel| channel.name == name).ok_or_else(|| no_channel(fleet, name))
}
