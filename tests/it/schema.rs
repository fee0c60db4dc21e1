//! The JSON Schema: it is the committed one, and says of keys what `check` says.
//!
//! [`key_faults`] knows as much of JSON Schema as keys and types need; forms of texts are left to `check`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::project::{Project, directories, repository};

#[test]
fn the_committed_schema_is_what_the_command_prints() {
    let ran = Project::empty().run("schema");
    let committed = fs::read_to_string(repository().join("fleet.schema.json")).unwrap();
    ran.expect(0, &committed, "");
}

/// The keys of a YAML value that a schema does not allow, and the ones that it misses: as much of JSON Schema
/// as keys need.
fn key_faults(schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let of = |choice: &Value| {
            let mut found = Vec::new();
            key_faults(choice, value, path, &mut found);
            found
        };
        faults.extend(choices.iter().map(of).min_by_key(Vec::len).unwrap_or_default());
        return;
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.is_empty() && !types.contains(&is) && (is != "integer" || !types.contains(&"number")) {
        faults.push(format!("{path}: {is} is none of {types:?}"));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        faults.push(format!("{path}: {value} is none of {words:?}"));
    }
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        values
            .iter()
            .enumerate()
            .for_each(|(i, value)| key_faults(items, value, &format!("{path}[{i}]"), faults));
    }
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let path = format!("{path}.{key}");
        match (schema.pointer(&format!("/properties/{key}")), schema.get("additionalProperties")) {
            (Some(schema), _) => key_faults(schema, value, &path, faults),
            (None, Some(Value::Bool(false))) => faults.push(format!("{path}: unknown key")),
            (None, Some(schema)) => key_faults(schema, value, &path, faults),
            (None, None) => {}
        }
    }
    for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !map.contains_key(required.as_str().unwrap()) {
            faults.push(format!("{path}: no {required}"));
        }
    }
    for other in schema.pointer("/not/anyOf").and_then(Value::as_array).into_iter().flatten() {
        let mut found = Vec::new();
        key_faults(other, value, path, &mut found);
        if found.is_empty() {
            faults.push(format!("{path}: matches {other}"));
        }
    }
}

fn schema_faults(fleet: &Path) -> Vec<String> {
    let schema: Value =
        serde_json::from_slice(&fs::read(repository().join("fleet.schema.json")).unwrap()).unwrap();
    let value: Value = serde_yaml::from_str(&fs::read_to_string(fleet).unwrap()).unwrap();
    let mut faults = Vec::new();
    key_faults(&schema, &value, "fleet", &mut faults);
    faults
}

#[test]
fn good_fleets_fit_the_schema() {
    assert_eq!(schema_faults(&repository().join("fleet.yaml")), <[String; 0]>::default());
    for dir in directories(&repository().join("tests/golden")) {
        let fleet = dir.join("fleet.yaml");
        if fleet.exists() {
            assert_eq!(schema_faults(&fleet), <[String; 0]>::default(), "{}", dir.display());
        }
    }
}

#[test]
fn unknown_missing_and_mistyped_keys_do_not_fit_the_schema() {
    for dir in directories(&repository().join("tests/invalid")) {
        let name = dir.file_name().unwrap().to_str().unwrap();
        let prefixes = ["unknown-key", "missing-key", "wrong-type"];
        if prefixes.iter().any(|prefix| name.starts_with(prefix))
            && !["missing-key-auth", "wrong-type-deep"].contains(&name)
        {
            assert_ne!(schema_faults(&dir.join("fleet.yaml")), <[String; 0]>::default(), "{name}");
        }
    }
}
