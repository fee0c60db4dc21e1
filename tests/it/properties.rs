//! What holds for every fleet, tried on many that nobody wrote.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use otapress_core::version::Version;
use otapress_publish::fleet::{Loaded, load};
use otapress_publish::resolve::{Assignment, Rule, assign};
use proptest::prelude::*;

use crate::support::project::{Project, SMALL, repository};

/// A fleet of devices whose clientIDs have these numbers, in this order, in a channel with this rollout.
fn fleet(devices: &[u16], rollout: &str, otherwise: bool) -> String {
    let mut text = SMALL.split("channels:").next().unwrap().to_owned();
    let otherwise = if otherwise { ", otherwise: 0.10.65" } else { "" };
    let _ = write!(
        text,
        "channels:\n  next: {{ release: 0.10.66, rollout: {rollout}{otherwise} }}\ndefault: {{ channel: next \
         }}\ndevices:\n"
    );
    for n in devices {
        let _ = writeln!(text, "  dev{n}: {{ imei: \"3520990{n:07}\" }}");
    }
    text
}

fn read(project: &Project, text: &str) -> Loaded {
    project.write("fleet.yaml", text);
    load(&project.path("fleet.yaml"))
}

/// What each device of a fleet file is to run, by clientID.
fn assignments(project: &Project, text: &str) -> BTreeMap<String, Assignment> {
    let loaded = read(project, text);
    let fleet = loaded.fleet.unwrap_or_else(|| panic!("{:?}\n{text}", loaded.diagnostics));
    fleet.devices().iter().map(|device| (device.client_id.to_string(), assign(&fleet, device))).collect()
}

fn inside(assignment: &Assignment) -> bool {
    matches!(assignment.rule, Rule::Inside { .. })
}

prop_compose! {
    /// Different numbers of devices, in any order.
    fn devices()(set in prop::collection::btree_set(0u16..=u16::MAX, 1..40))(list in Just(set.into_iter().collect::<Vec<_>>()).prop_shuffle()) -> Vec<u16> {
        list
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn raising_a_percentage_only_adds_devices(devices in devices(), low in 0u16..=10_000, more in 0u16..=10_000, otherwise: bool) {
        let project = Project::empty();
        let high = low.saturating_add(more).min(10_000);
        let before = assignments(&project, &fleet(&devices, &format!("{low}bp"), otherwise));
        let after = assignments(&project, &fleet(&devices, &format!("{high}bp"), otherwise));
        let release: Version = "0.10.66".parse().unwrap();
        let old: Option<Version> = otherwise.then(|| "0.10.65".parse().unwrap());
        for (id, before) in &before {
            let after = &after[id];
            prop_assert!(!inside(before) || inside(after), "{id}");
            for assignment in [before, after] {
                prop_assert_eq!(assignment.target, if inside(assignment) { Some(release) } else { old });
            }
        }
    }

    #[test]
    fn a_wave_that_is_added_moves_no_device_of_the_earlier_ones(devices in devices(), first in 1u16..5_000, second in 5_000u16..=10_000) {
        let project = Project::empty();
        let one = format!("{{ at: 2026-12-01T08:00:00Z, percent: {first}bp }}");
        let before = assignments(&project, &fleet(&devices, &format!("[{one}]"), false));
        let two = format!("[{one}, {{ at: 2026-12-02T08:00:00Z, percent: {second}bp }}]");
        let after = assignments(&project, &fleet(&devices, &two, false));
        for (id, before) in before.iter().filter(|(_, before)| inside(before)) {
            prop_assert_eq!(before, &after[id]);
        }
    }

    #[test]
    fn removing_a_device_moves_no_other(devices in devices(), percent in 0u16..=100, which: prop::sample::Index) {
        let project = Project::empty();
        let rollout = format!("{percent}%");
        let mut all = assignments(&project, &fleet(&devices, &rollout, true));
        let mut fewer = devices.clone();
        let gone = fewer.remove(which.index(devices.len()));
        all.remove(&format!("dev{gone}"));
        prop_assert_eq!(all, assignments(&project, &fleet(&fewer, &rollout, true)));
    }

    #[test]
    fn the_order_of_devices_does_not_matter(devices in devices(), percent in 0u16..=100) {
        let project = Project::empty();
        let mut sorted = devices.clone();
        sorted.sort_unstable();
        let rollout = format!("{percent}%");
        let one = assignments(&project, &fleet(&devices, &rollout, true));
        prop_assert_eq!(one, assignments(&project, &fleet(&sorted, &rollout, true)));
    }
}

/// Whatever a file says, there is a fleet or an error, never both; and every error can be shown.
fn fleet_or_error(project: &Project, text: &str) -> Result<(), TestCaseError> {
    let loaded = read(project, text);
    prop_assert_eq!(loaded.fleet.is_none(), loaded.has_errors(), "{:?}\n{}", loaded.diagnostics, text);
    for diagnostic in &loaded.diagnostics {
        let shown = otapress::report::diagnostics::text(diagnostic, &loaded.sources, false);
        prop_assert!(shown.contains(diagnostic.code.as_str()));
        let _ = otapress::report::diagnostics::github(diagnostic, &loaded.sources);
    }
    let _ = otapress::report::diagnostics::json(&loaded.diagnostics, &loaded.sources);
    Ok(())
}

fn example() -> String {
    std::fs::read_to_string(repository().join("fleet.yaml")).unwrap()
}

/// The example with its inventory beside it.
fn example_project() -> Project {
    Project::example()
}

/// One change of a text at a place of it.
fn mutate(text: &mut String, at: prop::sample::Index, change: &Change) {
    let places: Vec<_> = text.char_indices().map(|(i, _)| i).collect();
    if places.is_empty() {
        return;
    }
    let at = at.index(places.len());
    let start = places[at];
    match change {
        Change::Insert(new) => text.insert_str(start, new),
        Change::Remove(n) => {
            let end = places.get(at + usize::from(*n)).copied().unwrap_or(text.len());
            text.replace_range(start..end, "");
        }
        Change::Double(n) => {
            let end = places.get(at + usize::from(*n)).copied().unwrap_or(text.len());
            let piece = text[start..end].to_owned();
            text.insert_str(start, &piece);
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Insert(String),
    Remove(u8),
    Double(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let token = prop::sample::select(vec![
        ":",
        " ",
        "\n",
        "\n  ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "- ",
        "? ",
        "| ",
        "> ",
        "!!binary ",
        "!x ",
        "'",
        "\"",
        "#",
        "---\n",
        "...\n",
        "%",
        "@",
        "\t",
        "\r",
        "\u{feff}",
        "\u{85}",
        "ä",
        "\u{1f980}",
        "~",
        "null",
        ".inf",
        ".nan",
        "0x1f",
        "0o7",
        "1_000",
        "true",
        "2026-12-01",
        "99999999999999999999",
        "-1",
        "\u{0}",
        "\u{7f}",
    ]);
    prop_oneof![
        3 => token.prop_map(|token| Change::Insert(token.into())),
        1 => ".{1,5}".prop_map(Change::Insert),
        3 => any::<u8>().prop_map(Change::Remove),
        1 => any::<u8>().prop_map(Change::Double),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_fleet_or_an_error(text in any::<String>()) {
        fleet_or_error(&Project::empty(), &text)?;
    }

    #[test]
    fn anything_made_of_yaml_is_a_fleet_or_an_error(text in "([a-z]{1,4}|site|devices|channels|[:,\\[\\]{}&*!|>'\"%@`#?~-]|  |: |- |\n){0,60}") {
        fleet_or_error(&Project::empty(), &text)?;
    }

    #[test]
    fn a_mutated_example_is_a_fleet_or_an_error(changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..6)) {
        let mut text = example();
        for (at, change) in &changes {
            mutate(&mut text, *at, change);
        }
        fleet_or_error(&example_project(), &text)?;
    }

    #[test]
    fn a_mutated_inventory_is_a_fleet_or_an_error(changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..6)) {
        let project = example_project();
        let mut text = project.read("devices/vans.csv");
        for (at, change) in &changes {
            mutate(&mut text, *at, change);
        }
        project.write("devices/vans.csv", text);
        fleet_or_error(&project, &example())?;
    }
}

#[test]
fn the_example_is_a_fleet() {
    let loaded = load(&repository().join(Path::new("fleet.yaml")));
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.fleet.unwrap().devices().len(), 9);
}
