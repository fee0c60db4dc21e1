//! A plan for programs, and as it is saved and read back.

use serde_json::{Value, json};

use super::Style;
use crate::report::status::time::moment;
use otapress_core::digest::Sha256;
use otapress_core::out::Part;
use otapress_publish::plan::view::Fingerprint;
use otapress_publish::plan::{Devices, Kind, Plan, Pushed, Rule, Side, State};
use otapress_publish::settings::is_secret;

/// The number of the format; a saved plan with another number is refused.
const FORMAT: u32 = 1;

/// The whole plan, every device by name.
pub fn json(plan: &Plan, style: Style<'_>) -> Value {
    let names = |devices: &Devices| -> Vec<String> {
        let imeis = plan.imeis(devices, devices.count(), style.names);
        imeis.into_iter().map(|imei| style.names.name(imei).into_owned()).collect()
    };
    let transitions = plan.transitions.iter().map(|transition| {
        let mut value = json!({
            "kind": kind_name(transition.kind()),
            "before": state(transition.before),
            "after": state(transition.after),
            "count": transition.devices.count(),
            "downgradeDenied": transition.denied,
        });
        // Who stays is most of a fleet, and not what one asks a plan for.
        if transition.kind() != Kind::Stays {
            value["devices"] = names(&transition.devices).into();
        }
        if let Some(running) = transition.running {
            value["running"] = json!({
                "before": running.before,
                "after": running.after,
                "other": running.other,
                "unknown": running.unknown,
            });
        }
        value
    });
    let waves = plan.waves.iter().map(|wave| {
        json!({
            "rollout": wave.rollout,
            "from": wave.from.map(moment),
            "count": wave.devices.count(),
            "new": wave.new,
            "devices": names(&wave.devices),
        })
    });
    let rules = plan.rules.iter().map(|change| {
        let (before, after) = values(&change.rule);
        json!({
            "rule": rule_name(&change.rule),
            "channel": change.channel,
            "before": before,
            "after": after,
            "count": change.devices.count(),
            "devices": names(&change.devices),
        })
    });
    let settings = plan.settings.iter().map(|change| {
        let secret = is_secret(&change.key);
        let pushed = |pushed: &Pushed| {
            json!({
                "value": (!secret).then_some(&pushed.value),
                "enforce": if pushed.always { "always" } else { "until-confirmed" },
            })
        };
        json!({
            "key": change.key,
            "secret": secret,
            "before": change.change.before().map(pushed),
            "after": change.change.after().map(pushed),
            "count": change.devices.count(),
            "devices": names(&change.devices),
        })
    });
    let moves = plan.moves.iter().map(|moved| {
        json!({
            "before": moved.before,
            "after": moved.after,
            "count": moved.devices.count(),
            "devices": names(&moved.devices),
        })
    });
    let release = |release: &otapress_core::wire::Release| {
        json!({
            "version": release.version,
            "size": release.size,
            "sha256": release.sha256.to_string(),
        })
    };
    let jars = plan.jars.iter().map(
        |change| json!({ "before": change.before().map(release), "after": change.after().map(release) }),
    );
    let (files, upgrades) = (&plan.files, &plan.upgrades);
    json!({
        "otapressPlan": FORMAT,
        "differs": !plan.is_empty(),
        "before": side(&plan.before),
        "after": side(&plan.after),
        "changed": plan.changed,
        "transitions": transitions.collect::<Vec<_>>(),
        "waves": waves.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "settings": settings.collect::<Vec<_>>(),
        "jadMoves": moves.collect::<Vec<_>>(),
        "jadsRewritten": files.jads_rewritten,
        "jars": jars.collect::<Vec<_>>(),
        "files": {
            "written": parts(&files.written_by_part),
            "removed": parts(&files.removed_by_part),
            "unchanged": files.unchanged,
            "bytesWritten": files.bytes_written,
            "bytesRemoved": files.bytes_removed,
        },
        "upgrades": {
            "devices": upgrades.devices,
            "bytes": upgrades.bytes,
            "unsureDevices": upgrades.unsure,
            "unsureBytes": upgrades.unsure_bytes,
        },
    })
}

/// What a saved plan was made of: the tree as it was, and the tree as it was to be.
///
/// # Errors
/// If the text is not a saved plan.
pub fn fingerprints(text: &[u8]) -> Result<(Fingerprint, Fingerprint), String> {
    let plan: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    match &plan["otapressPlan"] {
        Value::Null => return Err("it is not a plan".into()),
        format if *format != FORMAT => return Err("it was made by another version of otapress".into()),
        _ => {}
    }
    let of = |side: &str| {
        Fingerprint::from_parts(|part| {
            let text = plan[side]["fingerprint"][part.name()].as_str();
            let digest = text.and_then(|text| text.parse::<Sha256>().ok());
            digest.ok_or_else(|| format!("`{side}.fingerprint.{}` is not a digest", part.name()))
        })
    };
    Ok((of("before")?, of("after")?))
}

fn parts(counts: &[usize; Part::ALL.len()]) -> Value {
    Part::ALL.into_iter().map(|part| (part.name(), counts[part as usize])).collect()
}

fn side(side: &Side) -> Value {
    let fingerprint = Part::ALL.into_iter().map(|part| (part.name(), side.fingerprint.of(part).to_string()));
    json!({
        "site": side.site.as_ref().map(|site| &site.site),
        "versionPaths": side.site.as_ref().map(|site| &site.version_paths),
        "notifyPaths": side.site.as_ref().map(|site| &site.notify_paths),
        "auth": side.site.as_ref().map(|site| site.auth),
        "devices": side.devices,
        "fingerprint": fingerprint.collect::<Value>(),
    })
}

fn state(state: State) -> Value {
    match state {
        State::Absent => json!({ "state": "absent" }),
        State::Unreadable => json!({ "state": "unreadable" }),
        State::Held => json!({ "state": "held" }),
        State::Nothing => json!({ "state": "nothing" }),
        State::Target(version) => json!({ "state": "target", "version": version.to_string() }),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Downgrade => "downgrade",
        Kind::Upgrade => "upgrade",
        Kind::Gains => "gains-target",
        Kind::Loses => "loses-target",
        Kind::Held => "held",
        Kind::Released => "released",
        Kind::Added => "added",
        Kind::Removed => "removed",
        Kind::Stays => "stays",
    }
}

/// What a rule is called, as far as it has a name in fleet.yaml as there.
pub(super) fn rule_name(rule: &Rule) -> &'static str {
    match rule {
        Rule::Channel(..) => "channel",
        Rule::Wave(..) => "wave",
        Rule::Window(..) => "window",
        Rule::Attempts(..) => "attempts",
        Rule::Brake(..) => "brake",
        Rule::NoDowngrade(..) => "downgrade",
        Rule::Rate(..) => "rate",
        Rule::Interval(..) => "versionInterval",
    }
}

/// The values of a rule, as out/ has them.
fn values(rule: &Rule) -> (Value, Value) {
    match rule {
        Rule::Channel(old, new) => (json!(old), json!(new)),
        Rule::Wave(old, new) => (json!(old.map(moment)), json!(new.map(moment))),
        Rule::Window(old, new) => (json!(old), json!(new)),
        Rule::Attempts(old, new) => (json!(old), json!(new)),
        Rule::Brake(old, new) => (json!(old), json!(new)),
        Rule::NoDowngrade(old, new) => {
            let word = |denied: bool| json!(if denied { "deny" } else { "allow" });
            (word(*old), word(*new))
        }
        Rule::Rate(old, new) => (json!(old), json!(new)),
        Rule::Interval(old, new) => (json!(old), json!(new)),
    }
}
