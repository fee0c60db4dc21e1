//! fleet.schema.json: it is the committed one, and refuses what the reader refuses.
//!
//! tests/every-key.yaml has every key. Each value of it is replaced by many others; of each the schema and the
//! reader must say the same.

use std::fs;
use std::path::Path;

use otapress_publish::diag::Diagnostic;
use otapress_publish::fleet::parse;
use regex_lite::Regex;
use serde_json::{Value, json};

use crate::support::json_schema::{faults, fits};
use crate::support::project::{Project, directories, repository};

fn schema() -> Value {
    serde_json::from_slice(&fs::read(repository().join("fleet.schema.json")).unwrap()).unwrap()
}

fn yaml(path: &Path) -> Value {
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn every_key() -> Value {
    yaml(&repository().join("tests/every-key.yaml"))
}

#[test]
fn the_committed_schema_is_what_the_command_prints() {
    let ran = Project::empty().run("schema");
    let committed = fs::read_to_string(repository().join("fleet.schema.json")).unwrap();
    ran.expect(0, &committed, "");
}

#[test]
fn good_fleets_fit_the_schema() {
    let goldens = directories(&repository().join("tests/golden"));
    let fleets = goldens.iter().map(|dir| dir.join("fleet.yaml")).filter(|fleet| fleet.exists());
    for fleet in fleets.chain([repository().join("fleet.yaml"), repository().join("tests/every-key.yaml")]) {
        assert_eq!(faults(&schema(), &yaml(&fleet), ""), <[String; 0]>::default(), "{}", fleet.display());
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
            assert!(!fits(&schema(), &yaml(&dir.join("fleet.yaml"))), "{name}");
        }
    }
}

/// A place in a fleet, and what the schema says of it.
type Place = (String, Value);

/// Every place of a fleet that a schema speaks of; fails where the fleet lacks a key.
fn places(schema: &Value, fleet: &Value, path: &str) -> Vec<Place> {
    let mut found = vec![(path.to_owned(), schema.clone())];
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let chosen = choices.iter().find(|choice| fits(choice, fleet)).unwrap_or_else(|| panic!("{path}"));
        found.extend(places(chosen, fleet, path).into_iter().skip(1));
    }
    if let (Some(schema), Value::Array(items)) = (schema.get("items"), fleet) {
        // Waves differ; of other lists the first item is enough.
        let count = if path.ends_with("/rollout") { items.len() } else { 1 };
        let items = items.iter().take(count).enumerate();
        found.extend(items.flat_map(|(n, item)| places(schema, item, &format!("{path}/{n}"))));
    }
    let is_partial = path.starts_with("/settings/short") || path.contains("/rollout/");
    for (key, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match fleet.get(key) {
            Some(value) => found.extend(places(schema, value, &format!("{path}/{key}"))),
            None => assert!(is_partial, "tests/every-key.yaml lacks {path}/{key}"),
        }
    }
    if let (Some(schema @ Value::Object(_)), Value::Object(map)) = (schema.get("additionalProperties"), fleet)
    {
        found.extend(map.iter().flat_map(|(key, value)| places(schema, value, &format!("{path}/{key}"))));
    }
    found
}

/// Values as they are written in YAML, of each kind some.
const VALUES: &[&str] = &[
    "~",
    "[]",
    "{}",
    "[a]",
    "[1]",
    "[[]]",
    "{ a: b }",
    "true",
    "maybe",
    "-1",
    "0",
    "1",
    "3",
    "25",
    "101",
    "1234",
    "123456789",
    "0.5",
    "1.5",
    "5%",
    "100%",
    "101%",
    "12.5%",
    "10000bp",
    "10001bp",
    "0B",
    "1B",
    "300kB",
    "1000000000B",
    "1 MB",
    "0/h",
    "500/h",
    "1000000000/h",
    "01:00",
    "24:00",
    "1:00",
    "0m",
    "24h",
    "1w",
    "0.10.65",
    "0.10",
    "1.2.3.4",
    "v1.0",
    "352099001761481",
    "12345678901234567",
    "EUR",
    "eur",
    "mon",
    "[mon]",
    "[mon, someday]",
    "tcp://h",
    "tcp://a_b",
    "EXT",
    "ext",
    "ACTIVE",
    "250",
    "D",
    "X",
    "a b",
    "a+b",
    "\"a,b\"",
    "a:b",
    "a/b",
    "a@b",
    ".a",
    "ä",
    "unlimited",
    "always",
    "allow",
    "json",
    "http://ota.example.com/x/@/OwnTracks.jad",
    "https://ota.example.com/x",
    "2026-12-01T08:00:00Z",
    "2026-12-01",
];

/// The ends of the ranges of a schema, and what lies beyond them.
fn ends(schema: &Value) -> Vec<String> {
    let of = |schema: &Value| {
        let end = |name: &str| schema.get(name).and_then(Value::as_i64);
        let (low, high) = (end("minimum"), end("maximum"));
        [low.map(|n| n - 1), low, high, high.map(|n| n + 1)].into_iter().flatten().collect::<Vec<_>>()
    };
    let choices = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    choices.chain([schema]).flat_map(of).map(|n| n.to_string()).collect()
}

/// The first error of a fleet that is given as JSON, in which `HERE` stands for a text in YAML.
fn error(fleet: &Value, text: &str) -> Option<String> {
    let loaded = parse(fleet.to_string().replace(&json!(HERE).to_string(), text), None);
    let error = loaded.diagnostics.into_iter().find(Diagnostic::is_error)?;
    Some(format!("{}: {}", error.code, error.message))
}

const HERE: &str = "here it stands";

/// What the reader refuses and no schema can: what it says depends on other places, or is more than a pattern.
const BEYOND_SCHEMA: &[(&str, &str)] = &[
    ("(URI|site)(/0)?$", "URIs have rules of their own, and belong together"),
    ("^/(channels|groups|settings|provisioning|devices/dev1|withdrawn)$", "what refers to it finds nothing"),
    ("/(channel|group)$|/settings(/0)?$|/allow(/0)?$", "a name of something"),
    ("/rollout/./percent$", "waves ascend"),
    ("/soak$", "a year, whatever the unit"),
    ("/pin$", "zeros in front count as digits"),
    ("^/channels/(stable|next|next/release|next/otherwise)$|/release$", "a whole number is no version"),
];

/// A small fleet with the part that holds a place, where `HERE` stands.
fn around(fleet: &Value, path: &str) -> Value {
    let part = path[1..].split('/').next().unwrap();
    let mut small = json!({
        "site": "http://ota.example.com",
        "provisioning": {
            "otapURI": "http://ota.example.com/files/@/OwnTracks.jad",
            "notifyURI": "http://ota.example.com/otap/notify?id=@",
            "versionURI": "http://ota.example.com/otap/version",
        },
        "midlet": { "name": "OwnTracks", "vendor": "Choral" },
        "channels": { "stable": "0.10.65", "next": "0.10.66" },
        "groups": { "vans": {} },
        "settings": { "short": {} },
        "default": { "channel": "stable" },
        "devices": { "dev1": { "imei": "352099001761481" } },
    });
    small[part] = fleet[part].clone();
    if let Some(key) = path.strip_prefix("/settings/long/values/") {
        let key = key.split('/').next().unwrap();
        let value = small["settings"]["long"]["values"][key].take();
        small["settings"] = json!({ "long": { "values": { key: value }, "allow": [key] } });
    }
    assert_eq!(error(&small, ""), None, "{path}");
    *small.pointer_mut(path).unwrap() = json!(HERE);
    small
}

#[test]
fn the_schema_and_the_reader_say_the_same_of_values() {
    let fleet = every_key();
    let places = &places(&schema(), &fleet, "")[1..];
    assert!(places.len() > 180, "{}", places.len());
    let beyond: Vec<_> = BEYOND_SCHEMA.iter().map(|(places, _)| Regex::new(places).unwrap()).collect();
    let judge = |(path, schema): &Place| {
        let (fleet, ends) = (around(&fleet, path), ends(schema));
        let is_beyond = beyond.iter().any(|places| places.is_match(path));
        let differs =
            |text: &str| match (fits(schema, &serde_yaml::from_str(text).unwrap()), error(&fleet, text)) {
                (true, Some(error)) if !is_beyond => {
                    Some(format!("{path}: {text}: the schema takes it; {error}"))
                }
                (false, None) => Some(format!("{path}: {text}: the reader takes it")),
                _ => None,
            };
        VALUES.iter().copied().chain(ends.iter().map(String::as_str)).filter_map(differs).collect::<Vec<_>>()
    };
    let differences: Vec<_> = std::thread::scope(|scope| {
        let halves = places.chunks(places.len().div_ceil(4));
        let each: Vec<_> =
            halves.map(|half| scope.spawn(|| half.iter().flat_map(judge).collect::<Vec<_>>())).collect();
        each.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_schema_and_the_reader_want_the_same_keys() {
    let (fleet, whole) = (every_key(), schema());
    let mut wanted = 0;
    for (path, schema) in places(&whole, &fleet, "") {
        let Some((mapping, key)) = path.rsplit_once('/') else { continue };
        let mut changed = fleet.clone();
        let Some(map) = changed.pointer_mut(mapping).unwrap().as_object_mut() else { continue };
        map.remove(key);
        let missing = |error: &String| error.starts_with("missing-key");
        // One of the user and the password is not enough.
        if !key.starts_with("otap") || !["User", "PasswordFile"].iter().any(|of| key.ends_with(of)) {
            let reader = error(&changed, "").filter(missing);
            assert_eq!(fits(&whole, &changed), reader.is_none(), "without {path}: {reader:?}");
            wanted += usize::from(reader.is_some());
        }
        if schema.get("additionalProperties") == Some(&json!(false)) {
            let mut changed = fleet.clone();
            changed.pointer_mut(&path).unwrap()["no such key"] = json!(1);
            assert!(
                !fits(&whole, &changed) && error(&changed, "").unwrap().starts_with("unknown-key"),
                "{path}"
            );
        }
    }
    assert!(wanted >= 15, "{wanted}");
}
