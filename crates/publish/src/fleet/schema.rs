//! The JSON Schema of fleet.yaml, made of the tables that the reader uses ([`super::keys`]).

use serde_json::{Map, Value, json};

use super::keys::{CHANNEL, Key, PASSWORD, PERCENT, PROVISIONING_REQUIRED, SET, Shape, TOP, UNPROVEN, WAVE};
use crate::settings::{self, Kind};
use otapress_core::wire::Day;

/// The schema as indented text with a line end.
pub fn text() -> String {
    let mut schema = object(TOP);
    let extra = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet.yaml of otapress",
        "description": "A fleet of Greenwich GPS trackers and what its devices are to run.",
    });
    // The same table is that of groups, which need none of them.
    schema["properties"]["provisioning"]["required"] = PROVISIONING_REQUIRED.into();
    schema["properties"]["provisioning"]["type"] = "object".into();
    schema["properties"]["withdrawn"]["propertyNames"] = json!({ "pattern": VERSION });
    if let (Value::Object(schema), Value::Object(extra)) = (&mut schema, extra) {
        schema.extend(extra);
    }
    serde_json::to_string_pretty(&schema).expect("a JSON value always serializes") + "\n"
}

const VERSION: &str = r"^[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9})?$";

fn object(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| {
            let mut schema = shape(&key.shape);
            if let Value::Object(schema) = &mut schema {
                schema.insert("description".into(), key.doc.into());
            }
            (key.name.into(), schema)
        })
        .collect();
    let required: Vec<_> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    // A mapping that needs no key may be left empty: `"352099001761499":` is a whole device.
    let kind = if required.is_empty() { json!(["object", "null"]) } else { json!("object") };
    json!({ "type": kind, "additionalProperties": false, "properties": properties, "required": required })
}

/// What YAML makes of a word without quotes.
const SCALAR: [&str; 3] = ["string", "number", "boolean"];

fn shape(shape_: &Shape) -> Value {
    match shape_ {
        Shape::Text => json!({ "type": SCALAR }),
        Shape::Form(pattern) => json!({ "type": SCALAR, "pattern": pattern }),
        Shape::Pattern(pattern) => json!({ "type": "string", "pattern": pattern }),
        // What an editor reads as a number is still taken as the text that was written.
        Shape::Version => json!({ "type": ["string", "number"], "pattern": VERSION }),
        Shape::Imei => json!({
            "type": ["string", "integer"],
            "pattern": "^[0-9]{14,16}$",
            "minimum": 10_000_000_000_000_u64,
            "maximum": 9_999_999_999_999_999_u64,
        }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Number(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Decimal(max) => json!({ "type": "number", "minimum": 0, "maximum": max }),
        Shape::List(items) => json!({ "type": ["array", "null"], "items": shape(items) }),
        Shape::Some(items) => json!({ "type": "array", "minItems": 1, "items": shape(items) }),
        Shape::Day => json!({ "enum": Day::WEEK.map(Day::as_str) }),
        Shape::Object(keys) => object(keys),
        Shape::MapOf(values) => json!({ "type": ["object", "null"], "additionalProperties": shape(values) }),
        Shape::Channel => json!({ "anyOf": [version(), object(CHANNEL)] }),
        Shape::Rollout => json!({ "anyOf": [
            shape(&PERCENT),
            { "type": "array", "minItems": 1, "items": object(WAVE) },
        ] }),
        Shape::Unproven => json!({ "anyOf": [{ "const": "unlimited" }, object(UNPROVEN)] }),
        Shape::Set => json!({ "anyOf": [values(), object(SET)] }),
        Shape::Settings => values(),
    }
}

/// The shape of a channel's `release`, which may stand for the whole channel.
fn version() -> Value {
    CHANNEL.iter().find(|key| key.name == "release").map_or(Value::Bool(true), |key| shape(&key.shape))
}

/// Settings by key; unknown ones are a matter of `check`, which only warns.
fn values() -> Value {
    let properties: Map<String, Value> =
        settings::KEYS.iter().map(|key| (key.name.into(), setting(key.kind))).collect();
    json!({
        "type": ["object", "null"],
        "properties": properties,
        "not": {
            "type": "object",
            "anyOf": [{ "required": ["values"] }, { "required": ["allow"] }, { "required": ["enforce"] }]
        },
    })
}

fn setting(kind: Kind) -> Value {
    let with_empty = |words: Vec<&str>| {
        let numbers =
            words.iter().filter_map(|word| word.parse::<u32>().ok()).map(Value::from).collect::<Vec<_>>();
        let texts = words.iter().copied().chain([""]).map(Value::from);
        json!({ "enum": texts.chain(numbers).collect::<Vec<_>>() })
    };
    match kind {
        Kind::Text | Kind::Provisioned => json!({ "type": SCALAR, "pattern": "^[ -~]*$" }),
        Kind::PasswordFile => object(PASSWORD),
        Kind::Pin => {
            let (form, most) = ("^([0-9]{4,8})?$", 99_999_999);
            json!({ "type": ["string", "integer"], "pattern": form, "minimum": 0, "maximum": most })
        }
        Kind::ClientId => {
            json!({ "type": SCALAR, "pattern": "^([A-Za-z0-9_@-][A-Za-z0-9._@-]{0,63})?$" })
        }
        Kind::Topic => json!({ "type": SCALAR, "pattern": r#"^[ !"$-*,-~]*$"# }),
        Kind::Flag => with_empty(vec!["0", "1"]),
        Kind::Number(min, max) => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": "^[0-9]*$" },
        ] }),
        Kind::OneOf(words) => with_empty(words.to_vec()),
        Kind::LogLevel => json!({ "type": "string", "pattern": "^[PACEWNID]?$" }),
        Kind::Broker => {
            json!({ "type": "string", "pattern": r"^((tcp|ssl)://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?$" })
        }
    }
}
