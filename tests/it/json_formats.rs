//! The schemas of what is printed or published as JSON: `docs/schemas/`. They are made of what the program
//! really prints in the tests' many situations, so that a field which goes, or gets another type, is seen.
//! `UPDATE_GOLDEN=1` rewrites them (and fails).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::ports::free_address;
use crate::support::project::{Project, against_golden, directories, repository};
use crate::support::story::Story;

/// All that was seen at one place of a document.
#[derive(Default)]
struct Shape {
    types: BTreeSet<&'static str>,
    properties: BTreeMap<String, Shape>,
    items: Option<Box<Shape>>,
}

impl Shape {
    fn see(&mut self, value: &Value) {
        self.types.insert(match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        });
        match value {
            Value::Array(values) => {
                let items = self.items.get_or_insert_default();
                values.iter().for_each(|value| items.see(value));
            }
            Value::Object(map) => {
                for (key, value) in map {
                    self.properties.entry(key.clone()).or_default().see(value);
                }
            }
            _ => {}
        }
    }

    /// Whether the keys are data, such as versions, codes and states, and no names of fields.
    fn is_map(&self) -> bool {
        let is_field = |key: &str| {
            key.starts_with(|c: char| c.is_ascii_lowercase())
                && key.chars().all(|c| c.is_ascii_alphanumeric())
        };
        self.properties.keys().any(|key| !is_field(key))
    }

    fn schema(&self) -> Value {
        let mut types = self.types.clone();
        // The situations of the tests are not all that there are: a plain value may be missing.
        if !types.is_subset(&["array", "object"].into()) {
            types.insert("null");
        }
        if types.contains("number") {
            types.remove("integer");
        }
        let mut schema = Map::new();
        match types.iter().copied().collect::<Vec<_>>()[..] {
            // Always empty, or never there.
            [] | ["null"] => {}
            [one] => drop(schema.insert("type".into(), json!(one))),
            _ => drop(schema.insert("type".into(), json!(types))),
        }
        if let Some(items) = &self.items {
            schema.insert("items".into(), items.schema());
        }
        if self.is_map() {
            let mut all = Shape::default();
            self.properties.values().for_each(|shape| all.merge(shape));
            schema.insert("additionalProperties".into(), all.schema());
        } else if !self.properties.is_empty() {
            let properties = self.properties.iter().map(|(key, shape)| (key.clone(), shape.schema()));
            schema.insert("properties".into(), Value::Object(properties.collect()));
        }
        Value::Object(schema)
    }

    fn merge(&mut self, other: &Shape) {
        self.types.extend(&other.types);
        for (key, shape) in &other.properties {
            self.properties.entry(key.clone()).or_default().merge(shape);
        }
        if let Some(items) = &other.items {
            self.items.get_or_insert_default().merge(items);
        }
    }
}

/// Compares the schema of some documents with the committed one.
#[track_caller]
fn is_the_schema_of(name: &str, title: &str, documents: impl IntoIterator<Item = Value>) {
    let mut shape = Shape::default();
    documents.into_iter().for_each(|document| shape.see(&document));
    let mut schema = shape.schema();
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = title.into();
    let file = repository().join("docs/schemas").join(format!("{name}.json"));
    let wrong = against_golden(&format!("{schema:#}\n"), &file);
    assert_eq!(wrong, None, "UPDATE_GOLDEN=1 cargo test --test it json_formats");
    let page = fs::read_to_string(repository().join("docs/json.md")).unwrap();
    assert!(page.contains(&format!("](schemas/{name}.json)")), "{name} is not in docs/json.md");
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read(path: &Path) -> Value {
    parse(&fs::read_to_string(path).unwrap())
}

/// What `otapress` prints in a fleet's directory, whatever its exit code.
fn said(dir: &Path, args: &[&str]) -> Value {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_otapress"));
    let output = command.current_dir(dir).env_remove("OTAPRESS_STATE").args(args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    parse(&text)
}

#[test]
fn check() {
    let files = directories(&repository().join("tests/invalid")).into_iter();
    let files = files.map(|dir| dir.join("expected.json")).filter(|file| file.exists());
    is_the_schema_of("check", "otapress check --format json", files.map(|file| read(&file)));
}

#[test]
fn plan() {
    let files = directories(&repository().join("tests/plan")).into_iter().map(|dir| dir.join("plan.json"));
    let files = files.filter(|file| file.exists());
    is_the_schema_of("plan", "otapress plan --json", files.map(|file| read(&file)));
}

#[test]
fn status_and_show() {
    let story = Story::of_every_state();
    let dir = story.path("");
    let golden = read(&repository().join("tests/status/status.json"));
    let devices = golden["devices"].as_array().unwrap().iter();
    let names: Vec<String> = devices.map(|device| device["clientID"].as_str().unwrap().into()).collect();
    let mut documents = vec![
        golden,
        said(&dir, &["status", "--json"]),
        said(&dir, &["status", "--json", "--events"]),
        said(&dir, &["status", "--json", "--unknown"]),
        said(&dir, &["status", "--json", "--gate", "--min-success", "95%"]),
    ];
    documents.extend(names.iter().map(|name| said(&dir, &["status", name, "--json"])));
    let replaced = crate::replaced::story();
    let of_replaced =
        |command| ["dev1", "dev2"].map(|name| said(&replaced.path(""), &[command, name, "--json"]));
    documents.extend(of_replaced("status"));
    is_the_schema_of("status", "otapress status --json, and /status.json of serve --admin", documents);
    let shown = names.iter().map(|name| said(&dir, &["show", name, "--json"]));
    is_the_schema_of("show", "otapress show --json", shown.chain(of_replaced("show")));
}

#[test]
fn jars() {
    let project = Project::example();
    let jars = ["jars/OwnTracks-0.10.65.jar", "jars/OwnTracks-0.10.66.jar"];
    is_the_schema_of(
        "add",
        "otapress add --json",
        [said(&project.path(""), &["add", jars[0], jars[1], "--json"])],
    );
    // Each form of every pair of releases stands there.
    let texts = fs::read_dir(repository().join("tests/diff")).unwrap();
    let texts: Vec<_> = texts.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    let diffs = texts.iter().map(|text| {
        let lines = text.lines().skip_while(|line| *line != "{");
        let inside: Vec<_> = lines.take_while(|line| *line != "}").collect();
        parse(&format!("{}}}", inside.join("\n")))
    });
    is_the_schema_of("diff", "otapress diff --json", diffs);
}

#[test]
fn sites() {
    let project = Project::example();
    project.build();
    let dir = project.path("");
    let rehearsals = [
        said(&dir, &["-q", "simulate", "--json", "--seed", "1", "--start", "2026-12-01T08:00:00Z"]),
        said(
            &dir,
            &[
                "-q",
                "simulate",
                "--json",
                "--silent",
                "50%",
                "--fail",
                "50%:907",
                "--start",
                "2026-12-01T08:00:00Z",
            ],
        ),
    ];
    is_the_schema_of("simulate", "otapress simulate --json", rehearsals);
    let nowhere = format!("http://{}", free_address());
    is_the_schema_of("probe", "otapress probe --json", [said(&dir, &["-q", "probe", &nowhere, "--json"])]);
}

#[test]
fn published() {
    let dirs = directories(&repository().join("tests/golden"));
    let dirs: Vec<_> = dirs.iter().filter(|dir| dir.join("out").exists()).collect();
    let sites = dirs.iter().map(|dir| read(&dir.join("out/otapress.json")));
    is_the_schema_of("site", "out/otapress.json", sites);
    let answers = dirs.iter().flat_map(|dir| fs::read_dir(dir.join("out/vc")).unwrap());
    let answers = answers.map(|entry| read(&entry.unwrap().path()));
    is_the_schema_of("answer", "out/vc/IMEI.json", answers);
}
