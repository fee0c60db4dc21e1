//! The devices as data for the script of the page.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{CLASSES, class};
use crate::report::status::records::Change;
use crate::report::status::time::moment;
use crate::report::status::{DeviceStatus, State, Status, text, words};
use otapress_core::id::Imei;
use otapress_publish::fleet::Fleet;

/// The tables that rows refer to, and the files that hold the rows.
pub(super) fn dictionary(fleet: &Fleet, status: &Status, files: &[String]) -> String {
    let states = State::ALL
        .iter()
        .map(|state| json!([state.as_str(), state.title(), class(*state), attention(*state)]));
    let groups = fleet.groups().iter().map(|group| {
        json!([group.name.as_deref().unwrap_or_default(), group.comment.as_deref().unwrap_or_default()])
    });
    let rollouts: Vec<_> = status.rollouts.iter().map(|rollout| &rollout.record.id).collect();
    script(&json!({
        "now": status.now,
        "devices": status.devices.len(),
        "states": states.collect::<Vec<_>>(),
        "classes": CLASSES,
        "groups": groups.collect::<Vec<_>>(),
        "rollouts": rollouts,
        "files": files,
    }))
}

/// A call of the page's script with some devices. Texts that many devices share, such as why they wait, stand
/// in it once. `histories` are given for fleets whose page has everything.
pub(super) fn chunk(
    fleet: &Fleet,
    status: &Status,
    devices: &[DeviceStatus],
    histories: Option<&Histories<'_>>,
) -> String {
    let mut texts = Texts::default();
    let rows: Vec<Value> =
        devices.iter().map(|device| row(fleet, status, device, histories, &mut texts)).collect();
    format!("otapress.add({});\n", script(&json!({ "texts": texts.all, "rows": rows })))
}

/// How urgently a person has to see to devices in that state; 0, which comes first, is for lost ones, and 4
/// for silent ones.
fn attention(state: State) -> usize {
    use State::*;
    match state {
        Exhausted => 1,
        Halted => 2,
        Failed => 3,
        NoVersion => 5,
        NeverHeard => 6,
        Proving => 7,
        Installed | Offered | Due => 8,
        WaitingForWave | OutsideWindow | RateLimited => 9,
        DowngradeDenied => 10,
        Current => 11,
        NoTarget | Held => 12,
    }
}

/// The version changes of each device, in chronological order.
pub(super) type Histories<'a> = HashMap<Imei, Vec<&'a Change>>;

pub(super) fn histories(changes: &[Change]) -> Histories<'_> {
    let mut histories = Histories::new();
    for change in changes {
        histories.entry(change.imei).or_default().push(change);
    }
    histories
}

/// What the opened row of a device shows.
fn facts(
    fleet: &Fleet,
    status: &Status,
    device: &DeviceStatus,
    histories: &Histories<'_>,
) -> Vec<(&'static str, String)> {
    let declared = &fleet.devices()[device.index];
    let mut facts = text::facts(fleet, status, device);
    let settings = &fleet.settings(declared).settings;
    if !settings.is_empty() && device.state != State::Held {
        // Values may be passwords.
        let keys: Vec<_> = settings.iter().map(|setting| setting.key.as_str()).collect();
        let known = device.record.as_ref().map(|record| &record.settings);
        let current = |of: Option<&str>| of.is_some() && of == fleet.settings(declared).generation.as_deref();
        let stand = match known {
            Some(known) if current(known.confirmed.as_ref().map(|c| &*c.generation)) => "confirmed",
            Some(known) if current(known.sent.as_ref().map(|sent| &*sent.portion.generation)) => {
                "sent, not confirmed"
            }
            _ if fleet.settings(declared).generation.is_none() => "sent at every check",
            _ => "not sent yet",
        };
        facts.push(("settings", format!("{}: {stand}", keys.join(", "))));
    }
    let imeis = [declared.imei].into_iter().chain(device.replaced_imeis());
    let mut changes: Vec<_> = imeis.filter_map(|imei| histories.get(&imei)).flatten().collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.at));
    for (n, change) in changes.into_iter().enumerate() {
        let name = if n == 0 { "history" } else { "" };
        facts.push((name, format!("{} {} → {}", moment(change.at), change.from, change.to)));
    }
    facts
}

fn row(
    fleet: &Fleet,
    status: &Status,
    device: &DeviceStatus,
    histories: Option<&Histories<'_>>,
    texts: &mut Texts,
) -> Value {
    let declared = &fleet.devices()[device.index];
    let record = device.record.as_ref();
    let group = fleet.groups().iter().position(|group| std::ptr::eq(group, fleet.group(declared)));
    let reason = words::reason(fleet, status, device);
    let reported = record.and_then(|record| record.reported).map(|version| version.to_string());
    let target = device.assignment.target.map(|version| version.to_string());
    let (why, todo) = reason.map_or((None, None), |reason| (Some(reason.why), reason.todo));
    let mut row = json!([
        declared.client_id.as_str(),
        declared.imei.to_string(),
        group.unwrap_or(0),
        device.rollout.map_or(-1, |place| place as i64),
        texts.place(reported.unwrap_or_default()),
        texts.place(target.unwrap_or_default()),
        State::ALL.iter().position(|state| *state == device.state),
        u8::from(device.silent) + u8::from(device.lost),
        record.map_or(0, |record| record.last_seen),
        texts.place(why.unwrap_or_default()),
        texts.place(todo.unwrap_or_default()),
        texts.place(declared.comment.as_deref().unwrap_or_default().to_owned()),
        texts.place(declared.tid.as_deref().unwrap_or_default().to_owned()),
        texts.place(device.of_client_id.searched().collect::<Vec<_>>().join("\n")),
    ]);
    if let (Some(histories), Some(row)) = (histories, row.as_array_mut()) {
        let facts = facts(fleet, status, device, histories).into_iter();
        row.push(
            facts.map(|(name, text)| json!([texts.place(name.to_owned()), texts.place(text)])).collect(),
        );
    }
    row
}

/// Interned texts.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: String) -> usize {
        *self.places.entry(text).or_insert_with_key(|text| {
            self.all.push(text.clone());
            self.all.len() - 1
        })
    }
}

/// JSON that may stand in a script of a page: nothing in it can end the script or begin a comment.
pub(super) fn script(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_script() {
        let text = "</script><!-- \u{2028}\u{2029} \" \\ &amp;";
        let escaped = script(&json!(text));
        assert!(!escaped.contains('<') && !escaped.contains('\u{2028}') && !escaped.contains('\u{2029}'));
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
    }
}
