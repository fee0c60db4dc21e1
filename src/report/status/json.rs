//! The status for programs. All times are seconds since 1970-01-01 UTC, all spans are seconds.
//!
//! Fields are only ever added; a change of another kind raises `format`.

use serde_json::{Map, Value, json};

use super::summary::{RolloutSummary, Summary};
use super::{DeviceStatus, State, Status, Stranger, gate, words};
use otapress_core::id::Imei;
use otapress_publish::fleet::Fleet;
use otapress_responder::code;
use otapress_responder::record::{Event, Verdict};

/// The number of the format.
pub const FORMAT: u32 = 1;

/// The summary.
pub fn summary(status: &Status, summary: &Summary) -> Map<String, Value> {
    let versions: Vec<_> = summary
        .versions
        .iter()
        .map(|(version, n)| json!({ "version": version.map(|version| version.to_string()), "devices": n }))
        .collect();
    let past: Vec<_> = status
        .past
        .iter()
        .map(|past| {
            json!({
                "id": past.record.id,
                "open": past.standing.open,
                "installed": past.standing.installed,
                "succeeded": past.standing.succeeded,
                "failed": past.standing.failed,
                "halted": past.record.halted.as_ref().map(|halt| &halt.reason),
            })
        })
        .collect();
    object(json!({
        "format": FORMAT,
        "now": status.now,
        "summary": {
            "devices": summary.devices,
            "silent": summary.silent,
            "lastContact": summary.last_contact,
            "states": states(|state| summary.in_state(state)),
            "versions": versions,
        },
        "rollouts": summary.rollouts.iter().map(|counts| rollout(status, counts)).collect::<Vec<_>>(),
        "past": past,
        "unknown": status.strangers.len(),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn states(count: impl Fn(State) -> usize) -> Map<String, Value> {
    State::ALL.iter().map(|state| (state.as_str().to_owned(), count(*state).into())).collect()
}

fn states_of_rollout(counts: &RolloutSummary) -> Map<String, Value> {
    let states = State::ALL.iter().filter(|state| state.has_target());
    states.map(|state| (state.as_str().to_owned(), counts.in_state(*state).into())).collect()
}

fn rollout(status: &Status, counts: &RolloutSummary) -> Value {
    let rollout = &status.rollouts[counts.place];
    let failures: Vec<_> = counts
        .failures
        .iter()
        .map(|(failure, n)| {
            json!({
                "failure": failure.name(),
                "meaning": failure.meaning(),
                "fault": failure.fault(),
                "devices": n,
            })
        })
        .collect();
    let waves: Vec<_> = counts
        .waves
        .iter()
        .map(|wave| {
            json!({
                "at": wave.at,
                "percent": f64::from(wave.percent.get()) / 100.0,
                "devices": wave.devices,
                "current": wave.current,
                "failed": wave.failed,
            })
        })
        .collect();
    json!({
        "id": rollout.record.id,
        "channel": rollout.rules.channel,
        "release": rollout.rules.version.to_string(),
        "target": counts.target,
        "reached": counts.reached,
        "offered": counts.offered,
        "finished": counts.finished(),
        "silent": counts.silent,
        "states": states_of_rollout(counts),
        "failures": failures,
        "halted": rollout.record.halted.as_ref().map(|halt| json!({ "at": halt.at, "reason": halt.reason })),
        "waves": waves,
        "attempts": rollout.rules.attempts,
        "rate": rollout.rules.rate,
        "offersInLastHour": rollout.recent,
    })
}

/// One device.
pub fn device(fleet: &Fleet, status: &Status, device: &DeviceStatus) -> Map<String, Value> {
    let declared = &fleet.devices()[device.index];
    let record = device.record.as_ref();
    let reason = words::reason(fleet, status, device);
    let rollout = device.rollout.map(|place| &status.rollouts[place]);
    let offers: Vec<_> = record
        .iter()
        .flat_map(|record| &record.offers)
        .map(|offer| {
            json!({
                "rollout": offer.rollout,
                "from": offer.from.to_string(),
                "target": offer.target.to_string(),
                "attempts": offer.attempts,
                "at": offer.at,
                "deadline": offer.deadline,
                "code": offer.code,
                "verdict": offer.verdict.map(|verdict| match verdict {
                    Verdict::Succeeded => "succeeded",
                    Verdict::Failed => "failed",
                }),
            })
        })
        .collect();
    object(json!({
        "clientID": declared.client_id.as_str(),
        "imei": declared.imei.to_string(),
        "group": fleet.group(declared).name,
        "channel": fleet.channel(declared).map(|channel| &channel.name),
        "comment": declared.comment,
        "target": device.assignment.target.map(|version| version.to_string()),
        "rollout": rollout.map(|rollout| &rollout.record.id),
        "from": device.assignment.from,
        "state": device.state.as_str(),
        "silent": device.silent,
        "failure": device.failure.map(|failure| failure.name()),
        "reason": reason.as_ref().map(|reason| &reason.why),
        "todo": reason.as_ref().and_then(|reason| reason.todo.as_ref()),
        "reported": record.and_then(|record| record.reported).map(|version| version.to_string()),
        "firstSeen": record.map(|record| record.first_seen),
        "lastSeen": record.map(|record| record.last_seen),
        "interval": device.interval,
        "offers": offers,
        "result": record.and_then(|record| record.result.as_ref()).map(|result| json!({
            "at": result.at,
            "code": result.code,
            "meaning": meaning(result.code),
            "text": result.text,
        })),
    }))
}

fn meaning(code: Option<u16>) -> Option<&'static str> {
    code.and_then(code::lookup).map(|known| known.meaning)
}

/// Events; `name` finds the clientIDs.
pub fn events<'a>(events: &[Event], name: impl Fn(Imei) -> Option<&'a str>) -> Value {
    events
        .iter()
        .map(|event| {
            json!({
                "at": event.at,
                "kind": event.kind.as_str(),
                "clientID": event.imei.and_then(&name),
                "imei": event.imei.map(|imei| imei.to_string()),
                "rollout": event.rollout,
                "code": event.code,
                "meaning": meaning(event.code),
                "detail": event.detail,
            })
        })
        .collect()
}

/// Those who are not in the fleet.
pub fn strangers(strangers: &[Stranger]) -> Value {
    strangers
        .iter()
        .map(|stranger| {
            json!({
                "name": stranger.name,
                "firstSeen": stranger.first_seen,
                "lastSeen": stranger.last_seen,
                "said": stranger.said,
                "departed": stranger.departed,
            })
        })
        .collect()
}

/// What the gate says.
pub fn gate(verdicts: &[gate::Verdict]) -> Value {
    verdicts
        .iter()
        .map(|verdict| {
            json!({
                "rollout": verdict.rollout,
                "passes": verdict.misses.is_empty(),
                "misses": verdict.misses,
                "stands": verdict.stands,
            })
        })
        .collect()
}
