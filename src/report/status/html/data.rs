//! The devices as data for the script of the page.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{CLASSES, class};
use crate::report::status::{DeviceStatus, State, Status, words};
use otapress_publish::fleet::Fleet;

/// The tables that rows refer to, and the files that hold the rows.
pub(super) fn dictionary(fleet: &Fleet, status: &Status, files: &[String]) -> String {
    let states: Vec<_> =
        State::ALL.iter().map(|state| json!([state.as_str(), state.title(), class(*state)])).collect();
    let groups: Vec<_> = fleet.groups().iter().map(|group| group.name.as_deref().unwrap_or("")).collect();
    let rollouts: Vec<_> = status.rollouts.iter().map(|rollout| &rollout.record.id).collect();
    script(&json!({
        "now": status.now,
        "devices": status.devices.len(),
        "states": states,
        "classes": CLASSES,
        "groups": groups,
        "rollouts": rollouts,
        "files": files,
    }))
}

/// A call of the page's script with some devices. Texts that many devices share, such as why they wait, stand
/// in it once.
pub(super) fn chunk(fleet: &Fleet, status: &Status, devices: &[DeviceStatus]) -> String {
    let mut texts = Texts::default();
    let rows: Vec<Value> = devices.iter().map(|device| row(fleet, status, device, &mut texts)).collect();
    format!("otapress.add({});\n", script(&json!({ "texts": texts.all, "rows": rows })))
}

fn row(fleet: &Fleet, status: &Status, device: &DeviceStatus, texts: &mut Texts) -> Value {
    let declared = &fleet.devices()[device.index];
    let record = device.record.as_ref();
    let group = fleet.groups().iter().position(|group| std::ptr::eq(group, fleet.group(declared)));
    let reason = words::reason(fleet, status, device);
    let reported = record.and_then(|record| record.reported).map(|version| version.to_string());
    let target = device.assignment.target.map(|version| version.to_string());
    let (why, todo) = reason.map_or((None, None), |reason| (Some(reason.why), reason.todo));
    json!([
        declared.client_id.as_str(),
        declared.imei.to_string(),
        group.unwrap_or(0),
        device.rollout.map_or(-1, |place| place as i64),
        texts.place(reported.unwrap_or_default()),
        texts.place(target.unwrap_or_default()),
        State::ALL.iter().position(|state| *state == device.state),
        u8::from(device.silent),
        record.map_or(0, |record| record.last_seen),
        texts.place(why.unwrap_or_default()),
        texts.place(todo.unwrap_or_default()),
        texts.place(declared.comment.as_deref().unwrap_or_default().to_owned()),
    ])
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
