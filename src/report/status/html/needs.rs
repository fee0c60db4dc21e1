//! What a person has to see to, with the command that helps.

use serde_json::{Value, json};

use super::moment;
use crate::report::status::summary::Summary;
use crate::report::status::{DeviceStatus, Notice, State, Status};
use crate::report::words::{count, few};
use otapress_publish::fleet::Fleet;

/// This many devices are named.
const NAMED: usize = 3;

/// What happened to the records as a whole: nothing to do, but to know.
pub(super) fn notices(status: &Status) -> Vec<Value> {
    let notice =
        |notice: &Notice| json!({ "at": moment(notice.at), "about": notice.about(), "text": notice.detail });
    status.notices.iter().map(notice).collect()
}

/// The most urgent first.
pub(super) fn needs(fleet: &Fleet, status: &Status, summary: &Summary) -> Vec<Value> {
    let mut needs = Vec::new();
    let of = |keeps: &dyn Fn(&DeviceStatus) -> bool| -> Vec<&str> {
        let kept = status.devices.iter().filter(|device| keeps(device));
        kept.map(|device| fleet.devices()[device.index].client_id.as_str()).collect()
    };
    let lost = of(&|device| device.lost);
    if !lost.is_empty() {
        needs.push(json!({
            "tone": "bad", "title": format!("{} lost", count(lost.len(), "device")), "filter": "lost",
            "text": format!(
                "{}: answered 900 (installed) and were not heard of again; the release may not start on such \
                 a device",
                few(&lost, NAMED)
            ),
            "command": "otapress status --is lost",
        }));
    }
    for counts in &summary.rollouts {
        let record = &status.rollouts[counts.place].record;
        let Some(halt) = &record.halted else { continue };
        needs.push(json!({
            "tone": "stopped", "title": format!("{} is halted", record.id), "filter": "halted",
            "rollout": record.id,
            "at": moment(halt.at), "text": format!("{}. Find the cause first", halt.reason),
            "command": format!("otapress resume {}", record.id),
        }));
    }
    let exhausted = of(&|device| device.state == State::Exhausted);
    if !exhausted.is_empty() {
        let retry = format!("otapress retry {}", exhausted.join(" "));
        needs.push(json!({
            "tone": "bad", "title": format!("{} failed for good", count(exhausted.len(), "device")),
            "filter": "exhausted",
            "text": format!("{}: no attempts are left; see why, then give new ones", few(&exhausted, NAMED)),
            "command": if exhausted.len() <= NAMED { retry } else { "otapress status --is exhausted".into() },
        }));
    }
    let silent = of(&|device| device.silent && !device.lost);
    if !silent.is_empty() {
        needs.push(json!({
            "tone": "stopped", "title": format!("{} silent", count(silent.len(), "device")),
            "filter": "silent",
            "text": format!("{}: missed more than two checks; see to power, SIM and coverage",
                few(&silent, NAMED)),
            "command": "otapress status --is silent",
        }));
    }
    for stray in &status.strays {
        needs.push(json!({
            "tone": "stopped", "title": format!("{} at an unpublished path", count(stray.devices, "device")),
            "text": format!("they post to {}; {}", stray.path, stray.remedy),
        }));
    }
    for reader in &status.late_readers {
        needs.push(json!({ "tone": "stopped", "title": "events wait for a reader", "text": reader.text() }));
    }
    needs
}
