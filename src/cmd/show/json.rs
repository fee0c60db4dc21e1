//! `otapress show --json`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::view::View;
use crate::report::status::json::ReplacedView;
use crate::report::status::replaced::OfClientId;
use otapress_core::out::answer_path;
use otapress_publish::resolve::Rule;
use otapress_responder::record::Refusal;

pub(super) fn json(view: &View<'_>) -> Value {
    let View { fleet, device, assignment, .. } = view;
    let rule = match assignment.rule {
        Rule::Held => json!({ "name": "held" }),
        Rule::Pinned => json!({ "name": "pinned" }),
        Rule::Inside { bucket, wave } => json!({ "name": "inside", "bucket": bucket, "wave": wave + 1 }),
        Rule::Otherwise { bucket } => json!({ "name": "otherwise", "bucket": bucket }),
        Rule::Outside { bucket } => json!({ "name": "outside", "bucket": bucket }),
        Rule::NoChannel => json!({ "name": "no-channel" }),
    };
    let settings = if device.hold { &[][..] } else { &fleet.settings(device).settings };
    let public = settings.iter().filter(|setting| setting.key != "otapPassword");
    let mut value = json!({
        "clientID": device.client_id.as_str(),
        "imei": device.imei.to_string(),
        "group": fleet.group(device).name,
        "channel": fleet.channel(device).map(|channel| &channel.name),
        "comment": device.comment,
        "target": assignment.target.map(|version| version.to_string()),
        "from": assignment.from,
        "waits": view.wait,
        "rule": rule,
        "jad": view.jad_url,
        "jar": view.jar.as_ref().map(|jar| json!({ "url": jar.url, "size": jar.size, "sha256": jar.sha256 })),
        "notify": view.notify_url,
        "answer": answer_path(device.imei).as_str(),
        "settings": public.map(|setting| (&*setting.key, &*setting.val)).collect::<BTreeMap<_, _>>(),
        "provision": view.provision.iter().map(|(key, value)| (*key, &**value)).collect::<BTreeMap<_, _>>(),
        "command": view.command,
        "warnings": view.warnings,
        "state": view.state.as_ref().map(|state| json!({
            "firstSeen": state.record.first_seen,
            "lastSeen": state.record.last_seen,
            "reported": state.record.reported.map(|version| version.to_string()),
            "offer": state.record.latest_offer().map(|offer| json!({
                "rollout": offer.rollout,
                "target": offer.target.to_string(),
                "attempts": offer.attempts,
                "at": offer.at,
                "code": offer.code,
            })),
            "result": state.record.result.as_ref().map(|result| json!({
                "at": result.at,
                "code": result.code,
                "text": result.text,
            })),
            "halted": state.rollout.halted.as_ref().map(|halt| &halt.reason),
            "refusal": state.now.and_then(Result::err).map(Refusal::as_str),
            "offered": state.now.map(|now| now.is_ok()),
        })),
    });
    if let Some(signer) = view.jar.as_ref().and_then(|jar| jar.signer.as_deref()) {
        value["jar"]["signer"] = json!(signer);
    }
    let OfClientId { replaced, named_result } = &view.of_client_id;
    if !replaced.is_empty() {
        value["replaces"] = json!(replaced.iter().map(ReplacedView::new).collect::<Vec<_>>());
    }
    if let Some(result) = named_result {
        value["namedResult"] = json!({ "at": result.last_seen, "text": result.said });
    }
    if let Some(overridden) = &view.overridden {
        value["overridden"] = json!(overridden);
    }
    if !view.traffic.is_empty() {
        value["traffic"] = json!(view.traffic);
    }
    value
}
