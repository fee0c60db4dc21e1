//! Explains in words why a device does not run its target, and the remedy.

use super::openings::Wait;
use super::time::{moment, span};
use super::{DeviceStatus, Failure, Rollout, State, Status};
use crate::report::refusal::explain;
use crate::report::words::{count, form};
use otapress_publish::fleet::{Device, Fleet};
use otapress_publish::resolve::Rule;
use otapress_responder::offer::{is_open, opens_at};
use otapress_responder::record::{OfferRecord, Refusal, RolloutRecord};

/// The reason of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// The cause of the state.
    pub(crate) why: String,
    /// The remedy, if anybody has to act.
    pub(crate) todo: Option<String>,
}

/// Why a device does not run its target; none if it does.
pub(crate) fn reason(fleet: &Fleet, status: &Status, device: &DeviceStatus) -> Option<Reason> {
    let declared = &fleet.devices()[device.index];
    let rollout = device.rollout.map(|at| &status.rollouts[at]);
    let blank = RolloutRecord::new("");
    let record = rollout.map_or(&blank, |rollout| &rollout.record);
    let refused = |refusal| explain(refusal, record);
    let name = &declared.client_id;
    let (why, todo) = match device.state {
        State::Current => return None,
        State::Held => {
            (refused(Refusal::Held), Some("take `hold` off it to let it follow its channel".into()))
        }
        State::NoTarget => no_target(fleet, declared, device),
        State::NeverHeard => {
            let todo = format!("see that it is provisioned (`otapress show {name} --provision`) and online");
            ("it has never asked".into(), Some(todo))
        }
        State::NoVersion => {
            let todo = "see what runs on it: its checks hold no version, or it has posted only a result";
            ("it has never reported a version that can be read".into(), Some(todo.into()))
        }
        State::DowngradeDenied => {
            let todo = "say `downgrade: allow` on the channel, or release a higher version";
            (refused(Refusal::DowngradeDenied), Some(todo.into()))
        }
        State::Due => due(status, device, rollout),
        State::WaitingForWave | State::OutsideWindow | State::RateLimited => {
            (wait(fleet, status, device, rollout), None)
        }
        State::Halted => {
            let halt = record.halted.as_ref().map_or("", |halt| &halt.reason);
            (format!("its rollout is halted: {halt}"), Some(resume(record)))
        }
        State::Proving => (refused(Refusal::Proving), Some(proving(record))),
        State::Offered | State::Installed => (under_way(device, rollout), None),
        State::Failed | State::Exhausted => failed(fleet, status, device, rollout),
    };
    let last_seen = device.record.as_ref().map(|record| record.last_seen);
    match last_seen.filter(|_| device.silent) {
        Some(last) => Some(Reason {
            why: if device.lost {
                format!(
                    "it answered 900 (installed) and has been silent for {} since",
                    span(status.now - last)
                )
            } else {
                format!("{why}; it has been silent for {}", span(status.now - last))
            },
            todo: match device.lost {
                true => Some("see the device itself: the release may not start on it".into()),
                false => {
                    todo.or_else(|| Some("see why it does not ask any more: power, SIM, coverage".into()))
                }
            },
        }),
        None => Some(Reason { why, todo }),
    }
}

fn no_target(fleet: &Fleet, declared: &Device, device: &DeviceStatus) -> (String, Option<String>) {
    let channel = fleet.channel(declared);
    let name = channel.map_or("", |channel| &channel.name);
    match device.assignment.rule {
        Rule::Outside { bucket } => {
            let reach = channel.and_then(|channel| channel.waves.last());
            let reach = reach.map(|wave| wave.percent.to_string()).unwrap_or_default();
            let why = format!(
                "its bucket {bucket} is outside the rollout of channel `{name}` ({reach}), which has no \
                 `otherwise`"
            );
            (why, Some(format!("raise the percentage of `{name}` to take it in")))
        }
        _ => (
            "neither it nor its group nor `default` names a channel".into(),
            Some("give it a channel".into()),
        ),
    }
}

fn due(status: &Status, device: &DeviceStatus, rollout: Option<&Rollout>) -> (String, Option<String>) {
    let retried = rollout.and_then(|rollout| offer_of(device, &rollout.record)).is_some();
    let again = if retried { " again" } else { "" };
    let expected = device.record.as_ref().map_or(0, |record| record.last_seen + i64::from(device.interval));
    let when = if expected > status.now {
        format!(", in {} at the latest", span(expected - status.now))
    } else {
        String::new()
    };
    (format!("it is offered the upgrade{again} at its next check{when}"), None)
}

/// The event that a device waits for.
fn wait(fleet: &Fleet, status: &Status, device: &DeviceStatus, rollout: Option<&Rollout>) -> String {
    let now = status.now;
    let Some(rollout) = rollout else { return String::new() };
    let wave = match device.assignment.rule {
        Rule::Inside { wave, .. } => wave,
        _ => 0,
    };
    if let Some(wait) = Wait::of(&rollout.record, &rollout.waves, wave, now) {
        let waves = fleet.channel(&fleet.devices()[device.index]).map_or(1, |channel| channel.waves.len());
        return format!("its wave ({} of {waves}) {}", wave + 1, wait.text(now));
    }
    if let Some(window) = rollout.rules.window.as_ref().filter(|window| !is_open(window, now)) {
        return match opens_at(window, now) {
            Some(at) => format!("the channel's window opens in {}, at {}", span(at - now), moment(at)),
            None => explain(Refusal::OutsideWindow, &rollout.record),
        };
    }
    match (rollout.recent, rollout.rules.rate) {
        (Some(recent), Some(rate)) if recent >= rate => {
            format!("the channel has made {recent} of its {} in the last hour", count(rate, "offer"))
        }
        _ => String::new(),
    }
}

fn resume(record: &RolloutRecord) -> String {
    format!("find the cause, then `otapress resume {}`, or go back to the release before", record.id)
}

/// The remedies for a rollout whose places are taken.
fn proving(record: &RolloutRecord) -> String {
    format!(
        "see to those devices; one that comes back lets the rollout go on, as does `otapress retry DEVICE` \
         for one that is \
         parked, and `otapress resume {}` for all of them",
        record.id
    )
}

fn offer_of<'a>(device: &'a DeviceStatus, record: &RolloutRecord) -> Option<&'a OfferRecord> {
    device.record.as_ref().and_then(|device| device.offer(&record.id))
}

fn under_way(device: &DeviceStatus, rollout: Option<&Rollout>) -> String {
    let Some(rollout) = rollout else { return String::new() };
    let Some(offer) = offer_of(device, &rollout.record) else { return String::new() };
    let until = offer.deadline.map_or_else(String::new, |deadline| format!(" until {}", moment(deadline)));
    let attempt = format!("attempt {} of {}", offer.attempts, rollout.rules.attempts);
    match device.state {
        State::Installed => format!("the release is installed ({attempt}); that it runs is awaited{until}"),
        _ => format!("it was told to upgrade at {} ({attempt}); success is awaited{until}", moment(offer.at)),
    }
}

fn failed(
    fleet: &Fleet,
    status: &Status,
    device: &DeviceStatus,
    rollout: Option<&Rollout>,
) -> (String, Option<String>) {
    let name = &fleet.devices()[device.index].client_id;
    let Some(rollout) = rollout else { return (String::new(), None) };
    let used = offer_of(device, &rollout.record).map_or(0, |offer| offer.attempts);
    let most = rollout.rules.attempts;
    let how = match device.failure {
        Some(Failure::Code(code)) => format!(" with {code}: {}", Failure::Code(code).meaning()),
        Some(failure) => format!(": {}", failure.meaning()),
        None => String::new(),
    };
    let artifact = device.failure.is_some_and(|failure| failure.fault() == "artifact");
    let remedy = if artifact {
        "the release is at fault: build it again under a higher version".to_owned()
    } else {
        format!("see to the device, then `otapress retry {name}`")
    };
    if device.state == State::Exhausted {
        let attempts = count(most, "attempt");
        let used = format!("{used} of {attempts} {} used", form(used, "is", "are"));
        return (format!("{used}; the last one failed{how}"), Some(remedy));
    }
    let next = if let Some(halt) = &rollout.record.halted {
        return (
            format!("attempt {used} of {most} failed{how}; the rollout is halted: {}", halt.reason),
            Some(if artifact { remedy } else { resume(&rollout.record) }),
        );
    } else {
        match &*wait(fleet, status, device, Some(rollout)) {
            "" => "it is tried again at its next check".to_owned(),
            wait => format!("it is tried again later: {wait}"),
        }
    };
    (format!("attempt {used} of {most} failed{how}; {next}"), artifact.then_some(remedy))
}
