//! As much of JSON Schema as fleet.schema.json uses.

use std::cmp::Ordering;

use regex_lite::Regex;
use serde_json::{Map, Number, Value};

/// The paths at which a value does not fit a schema, each with the reason.
pub fn faults(schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let Value::Object(keywords) = schema else { return Vec::new() };
    let own = keywords.iter().filter(|(keyword, told)| !holds(keyword, told, value));
    let mut found: Vec<_> = own.map(|(keyword, told)| format!("{path}: {value}: {keyword} {told}")).collect();
    if let Some(choices) = keywords.get("anyOf").and_then(Value::as_array) {
        let each = choices.iter().map(|choice| faults(choice, value, path));
        found.extend(each.min_by_key(Vec::len).unwrap_or_default());
    }
    match value {
        Value::Array(items) => {
            let schema = keywords.get("items").unwrap_or(&Value::Bool(true));
            let each = items.iter().enumerate();
            found.extend(each.flat_map(|(n, item)| faults(schema, item, &format!("{path}/{n}"))));
        }
        Value::Object(map) => found.extend(of_members(keywords, map, path)),
        _ => {}
    }
    found
}

/// Whether a value fits a schema.
pub fn fits(schema: &Value, value: &Value) -> bool {
    faults(schema, value, "").is_empty()
}

/// Whether a keyword that concerns no part of a value alone is satisfied.
fn holds(keyword: &str, told: &Value, value: &Value) -> bool {
    match (keyword, value) {
        ("type", _) => match told {
            Value::Array(many) => many.iter().any(|one| is_of_type(value, one)),
            one => is_of_type(value, one),
        },
        ("enum", _) => told.as_array().unwrap().contains(value),
        ("const", _) => told == value,
        ("not", _) => !fits(told, value),
        ("minimum", Value::Number(is)) => compare(is, told).is_ge(),
        ("maximum", Value::Number(is)) => compare(is, told).is_le(),
        ("minItems", Value::Array(items)) => items.len() as u64 >= told.as_u64().unwrap(),
        ("pattern", Value::String(text)) => Regex::new(told.as_str().unwrap()).unwrap().is_match(text),
        ("required", Value::Object(map)) => {
            told.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))
        }
        _ => true,
    }
}

fn compare(is: &Number, told: &Value) -> Ordering {
    match (is.as_i64(), told.as_i64()) {
        (Some(is), Some(told)) => is.cmp(&told),
        _ => is.as_f64().unwrap().total_cmp(&told.as_f64().unwrap()),
    }
}

fn is_of_type(value: &Value, name: &Value) -> bool {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    name == is || name == "number" && is == "integer"
}

fn of_members(keywords: &Map<String, Value>, map: &Map<String, Value>, path: &str) -> Vec<String> {
    let known = keywords.get("properties");
    let other = keywords.get("additionalProperties").unwrap_or(&Value::Bool(true));
    let mut found = Vec::new();
    for (key, value) in map {
        let path = format!("{path}/{key}");
        match known.and_then(|known| known.get(key)).unwrap_or(other) {
            Value::Bool(false) => found.push(format!("{path}: unknown key")),
            schema => found.extend(faults(schema, value, &path)),
        }
    }
    found
}
