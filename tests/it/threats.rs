//! docs/threats.md and tests/cases: every test that they name exists, and what devices are told is bounded as
//! the table says.

use std::collections::BTreeMap;
use std::fs;

use otapress_publish::settings::{INTERNAL, KEYS, Kind, find};

use crate::support::project::{directories, repository};

/// `module::…::test` of tests/it, or `crate::module::…::test` of a crate below crates/.
fn exists(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap();
    let path = module.replace("::", "/");
    let (first, below) = path.split_once('/').unwrap_or((&path, ""));
    let outer = below.strip_suffix("/tests").unwrap_or(below);
    let sources = format!("crates/{first}/src");
    [
        format!("tests/it/{path}.rs"),
        format!("{sources}/{below}.rs"),
        format!("{sources}/{outer}.rs"),
        format!("{sources}/{below}/mod.rs"),
        format!("{sources}/{outer}/mod.rs"),
        format!("crates/{first}/tests/{below}.rs"),
    ]
    .iter()
    .filter_map(|file| fs::read_to_string(repository().join(file)).ok())
    .any(|text| text.contains(&format!("fn {test}(")) || text.contains(&format!("fn {test}<")))
}

#[test]
fn every_defence_has_its_test() {
    let text = fs::read_to_string(repository().join("docs/threats.md")).unwrap();
    let names: Vec<_> = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")).collect();
    assert!(names.len() >= 40, "{}", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_case_has_its_test() {
    let cases = directories(&repository().join("tests/cases"));
    assert!(cases.len() >= 17, "{}", cases.len());
    for case in cases {
        let script = fs::read_to_string(case.join("run.sh")).unwrap();
        let held = script.lines().find_map(|line| line.strip_prefix("# Held by `")?.strip_suffix("`."));
        let names = held.unwrap_or_else(|| panic!("{}: no `# Held by`", case.display())).split("`, `");
        for name in names {
            let fixture = repository().join(name).join("expected.txt");
            let is_there = if name.starts_with("tests/") { fixture.exists() } else { exists(name) };
            assert!(is_there, "{}: {name}", case.display());
        }
    }
}

/// Each key of the table, with the cell that says what bounds it and the one that names tests.
fn bounds() -> BTreeMap<String, (String, String)> {
    let text = fs::read_to_string(repository().join("docs/threats.md")).unwrap();
    let (_, rest) = text.split_once("\n## What a device is told\n").unwrap();
    let mut found = BTreeMap::new();
    for row in rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
    {
        let [keys, by, tests] = row.trim_matches('|').split(" | ").collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        for key in keys.trim().split(", ") {
            let told = (by.trim().to_owned(), tests.trim().to_owned());
            assert!(found.insert(key.to_owned(), told).is_none(), "{key} stands twice");
        }
    }
    found
}

#[test]
fn each_key_that_reaches_a_device_is_bounded_as_is_said() {
    let bounds = bounds();
    for key in KEYS {
        let (by, tests) = bounds.get(key.name).unwrap_or_else(|| panic!("no row for {}", key.name));
        let says = match key.kind {
            Kind::Provisioned | Kind::ClientId | Kind::PasswordFile => "pushed only",
            Kind::Number(..) if key.name == "versionInterval" => "pushed only",
            Kind::Number(..) => "its range",
            Kind::Flag | Kind::OneOf(_) | Kind::LogLevel => "its words",
            Kind::Broker | Kind::Pin | Kind::Topic => "its form",
            Kind::Text => "ASCII",
        };
        assert!(by.contains(says), "{}: {by}", key.name);
        assert_eq!(by.contains("`allow`"), key.dangerous, "{}: {by}", key.name);
        assert!(tests.contains("pushed::any_pushed_value_is_refused_or_harmless"), "{}: {tests}", key.name);
    }
    for key in INTERNAL {
        assert_eq!(bounds[*key].0, "never pushed", "{key}");
    }
    let others = bounds.keys().filter(|key| find(key).is_none() && !INTERNAL.contains(&key.as_str()));
    assert_eq!(
        others.collect::<Vec<_>>(),
        ["a key that the firmware does not know", "the JAD", "the answer as a whole"]
    );
}
