//! docs/fleet.md: its tables have the keys of the schema, with what is required and the defaults; and the
//! reader has these defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use otapress_publish::fleet::{Fleet, parse};
use serde_json::Value;

use crate::support::project::repository;

fn schema() -> Value {
    serde_json::from_slice(&fs::read(repository().join("fleet.schema.json")).unwrap()).unwrap()
}

fn page(name: &str) -> String {
    fs::read_to_string(repository().join("docs").join(name)).unwrap()
}

/// The tables of the page, and where their keys stand in the schema.
const TABLES: &[(&str, &str)] = &[
    ("# fleet.yaml", ""),
    ("## provisioning", "/properties/provisioning"),
    ("## midlet", "/properties/midlet"),
    ("## channels", "/properties/channels/additionalProperties/anyOf/1"),
    ("## Traffic and its price", "/properties/dataPlan"),
    ("| Key of a group | |", "/properties/groups/additionalProperties"),
    ("| Key of a device | |", "/properties/devices/additionalProperties"),
];

/// The keys of the first table below a line, each with the cell beside it.
fn table(page: &str, below: &str) -> BTreeMap<String, String> {
    let (_, rest) = page.split_once(&format!("{below}\n")).unwrap();
    let rows =
        rest.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    let mut found = BTreeMap::new();
    for row in rows {
        let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
        let (keys, beside) = (cells.next().unwrap(), cells.next().unwrap());
        for key in keys.split('`').skip(1).step_by(2) {
            assert!(found.insert(key.to_owned(), beside.to_owned()).is_none(), "{key} stands twice");
        }
    }
    found
}

/// `X` of `(default X: …)` in a key's description.
fn default(key: &Value) -> Option<&str> {
    let (_, rest) = key["description"].as_str().unwrap().split_once("(default ")?;
    Some(match rest.strip_prefix('`') {
        Some(quoted) => quoted.split('`').next().unwrap(),
        None => rest.split([')', ':', ',', ';']).next().unwrap(),
    })
}

#[test]
fn the_tables_have_the_keys_of_the_schema() {
    let (schema, page) = (schema(), page("fleet.md"));
    for (heading, at) in TABLES {
        let (told, known) = (table(&page, heading), schema.pointer(at).unwrap());
        let keys = known["properties"].as_object().unwrap();
        let names = |keys: &mut dyn Iterator<Item = &String>| keys.cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&mut told.keys()), names(&mut keys.keys()), "{heading}");
        let required: BTreeSet<_> =
            known["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for (key, beside) in &told {
            assert_eq!(beside == "required", required.contains(&**key), "{heading}: {key}");
            let written = beside.trim_matches('`');
            match default(&keys[key]) {
                Some(default) => assert_eq!(written, default, "{heading}: {key}"),
                None => assert!(
                    !beside.starts_with('`') || heading.contains("Key of"),
                    "{heading}: {key}: {beside}"
                ),
            }
        }
    }
}

/// Every mapping of a schema, with its keys.
fn mappings<'a>(schema: &'a Value, found: &mut Vec<&'a serde_json::Map<String, Value>>) {
    match schema {
        Value::Object(map) => {
            found.extend(map.get("properties").and_then(Value::as_object));
            map.values().for_each(|value| mappings(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| mappings(value, found)),
        _ => {}
    }
}

#[test]
fn every_key_is_in_the_book() {
    let schema = schema();
    let mut found = Vec::new();
    mappings(&schema, &mut found);
    // Settings are the firmware's.
    let own = found.iter().filter(|keys| !keys.contains_key("keepAlive"));
    let keys: BTreeSet<_> = own.flat_map(|keys| keys.keys()).collect();
    assert!(keys.len() > 70, "{}", keys.len());
    let text = page("fleet.md") + &page("rollouts.md") + &page("signing.md");
    let code: Vec<_> = text.split('`').skip(1).step_by(2).collect();
    let words: BTreeSet<_> =
        code.iter().flat_map(|code| code.split(|c: char| !c.is_ascii_alphanumeric())).collect();
    let missing: Vec<_> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Fleets with a key, and with nothing in its place.
const FLEET: &str = "site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  PROVISIONING
midlet: { name: OwnTracks, vendor: Choral, MIDLET }
channels:
  next: { release: 0.10.66, otherwise: 0.10.65, CHANNEL }
default: { channel: next }
devices:
  dev1: { imei: \"352099001761481\" }
dataPlan: { perMegabyte: 0.20, currency: EUR, DATAPLAN }
limits: { LIMITS }
";

/// What defaults decide.
fn facts(fleet: &Fleet) -> String {
    let (channel, midlet, device) = (&fleet.channels()[0], fleet.midlet(), fleet.find("dev1").unwrap());
    let waves: Vec<_> = channel.waves.iter().map(|wave| (wave.at, &wave.after, wave.percent)).collect();
    format!(
        "{:?}",
        (
            (
                channel.attempts,
                &channel.brake,
                &channel.unproven,
                channel.no_downgrade,
                channel.salt(),
                waves
            ),
            (&midlet.rules, &midlet.jars, &midlet.template, midlet.renamed),
            (fleet.limits(), fleet.usage(), fleet.version_interval(device)),
            (&fleet.group(device).provisioning.apn, channel.window.as_ref().map(|window| &window.value.days)),
        )
    )
}

fn facts_with(place: &str, text: &str) -> String {
    let fleet = FLEET.replace(place, text);
    let places = ["PROVISIONING", "MIDLET", "CHANNEL", "DATAPLAN", "LIMITS"];
    let fleet = places.iter().fold(fleet, |fleet, place| fleet.replace(place, ""));
    let loaded = parse(fleet, None);
    facts(&loaded.fleet.unwrap_or_else(|| panic!("{text}: {:?}", loaded.diagnostics)))
}

/// A place of the fleet, what stands around a key there, where the schema has the keys, and other values than the
/// defaults.
type Row<'a> = (&'a str, [&'a str; 2], &'a str, &'a [(&'a str, &'a str)]);

#[test]
fn the_reader_has_the_defaults_of_the_book() {
    let schema = schema();
    let channel = "/properties/channels/additionalProperties/anyOf/1";
    let wave = format!("{channel}/properties/rollout/anyOf/1/items/properties/after");
    let unproven = format!("{channel}/properties/unproven/anyOf/1");
    let rows: [Row<'_>; 9] = [
        ("PROVISIONING", ["", ""], "/properties/provisioning", &[("versionInterval", "900"), ("apn", "m2m")]),
        (
            "MIDLET",
            ["", ""],
            "/properties/midlet",
            &[
                ("jars", "lib"),
                ("template", "other.jad"),
                ("profiles", "[IMP-NG, IMP-1.0]"),
                ("configurations", "[CLDC-1.1]"),
                ("classVersion", "47"),
                ("maxSize", "300kB"),
                ("renamed", "true"),
            ],
        ),
        (
            "CHANNEL",
            ["", ""],
            channel,
            &[
                ("attempts", "4"),
                ("unproven", "unlimited"),
                ("brake", "{ after: 11 }"),
                ("downgrade", "deny"),
                ("salt", "mixed"),
            ],
        ),
        (
            "CHANNEL",
            ["brake: { ", " }"],
            &format!("{channel}/properties/brake"),
            &[("artifactFaults", "4"), ("failures", "21%"), ("after", "11")],
        ),
        ("CHANNEL", ["unproven: { ", " }"], &unproven, &[("least", "4"), ("share", "11%")]),
        (
            "CHANNEL",
            ["rollout: [{ percent: 5% }, { percent: 100%, after: { success: 95%, ", " } }]"],
            &wave,
            &[("reached", "51%"), ("soak", "1m")],
        ),
        (
            "CHANNEL",
            ["window: { from: \"01:00\", minutes: 240, ", " }"],
            &format!("{channel}/properties/window"),
            &[("days", "[mon]")],
        ),
        ("DATAPLAN", ["", ""], "/properties/dataPlan", &[("drivingHours", "3"), ("messageBytes", "351")]),
        (
            "LIMITS",
            ["", ""],
            "/properties/limits",
            &[
                ("url", "99"),
                ("user", "9"),
                ("password", "9"),
                ("apn", "9"),
                ("answer", "3kB"),
                ("jad", "3kB"),
            ],
        ),
    ];
    for (place, [before, after], at, keys) in rows {
        let known = schema.pointer(at).unwrap()["properties"].as_object().unwrap();
        let defaults = known.iter().filter_map(|(key, value)| Some((key.as_str(), default(value)?)));
        let names: Vec<_> = keys.iter().map(|(key, _)| *key).collect();
        let without = facts_with(place, &format!("{before}{after}"));
        for (key, default) in defaults {
            assert!(names.contains(&key), "{at}: {key}");
            let default = match default {
                "all" => "[mon, tue, wed, thu, fri, sat, sun]",
                "<channel>/<release>" => "next/0.10.66",
                default => default,
            };
            let of = |value: &str| facts_with(place, &format!("{before}{key}: {value}{after}"));
            assert_eq!(of(default), without, "{at}: {key}: {default}");
            let (_, other) = keys.iter().find(|(name, _)| *name == key).unwrap();
            assert_ne!(of(other), without, "{at}: {key}: {other}");
        }
    }
}
