//! `status`: a fleet in which every state occurs, in every form. The outputs are in `tests/status/`;
//! `UPDATE_GOLDEN=1` rewrites them (and fails).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use otapress::report::status::filter::{Filter, StateFilter};
use otapress::report::status::gate::Gate;
use otapress::report::status::summary::Summary;
use otapress::report::status::{State, history, json, prometheus, text};
use serde_json::Value;

use crate::support::process::{Fleet, YAML};
use crate::support::project::{against_golden, repository};
use crate::support::story::{NOW, Story, car};

fn golden(name: &str) -> PathBuf {
    repository().join("tests/status").join(name)
}

#[test]
fn every_state_in_every_form() {
    let mut story = Story::of_every_state();
    let (fleet, status, _) = story.at(NOW);
    let there: BTreeSet<_> = status.devices.iter().map(|device| device.state).collect();
    assert_eq!(there.into_iter().collect::<Vec<_>>(), State::ALL);
    let summary = Summary::of_all(&fleet, &status);
    let all: Vec<_> = status.devices.iter().collect();
    let devices = all.iter().map(|device| json::DeviceView::new(&fleet, &status, device)).collect();
    let answer =
        json::Answer { devices: Some(devices), ..json::Answer::of_summary(&fleet, &status, &summary) };
    let mut value = serde_json::to_value(answer).unwrap();
    value["strangers"] = serde_json::to_value(&status.strangers).unwrap();
    let mut wrong = Vec::new();
    let mut compare = |name: &str, is: &str| wrong.extend(against_golden(is, &golden(name)));
    compare("summary.txt", &text::summary(&fleet, &status, &summary));
    compare("devices.txt", &text::list(&fleet, &status, &all));
    compare("unknown.txt", &text::strangers(&status.strangers, NOW));
    compare("status.json", &format!("{value:#}\n"));
    compare("metrics.prom", &prometheus::metrics(&status, &summary));
    for n in [1, 4, 16] {
        let device = status.devices.iter().find(|d| fleet.devices()[d.index].imei.to_string() == car(n));
        let events = story.events_of(&car(n));
        compare(&format!("car-{n:02}.txt"), &text::device(&fleet, &status, device.unwrap(), &events));
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

/// The counts of each rollout are those of its devices: nobody is lost, nobody counted twice.
#[test]
fn counts_add_up() {
    let mut story = Story::of_every_state();
    let (fleet, status, _) = story.at(NOW);
    let summary = Summary::of_all(&fleet, &status);
    assert_eq!(summary.states.values().sum::<usize>(), fleet.devices().len());
    assert_eq!(summary.versions.values().sum::<usize>(), fleet.devices().len());
    let aimed: usize = summary.rollouts.iter().map(|rollout| rollout.target).sum();
    let aimless = summary.in_state(State::NoTarget) + summary.in_state(State::Held);
    assert_eq!(aimed + aimless, fleet.devices().len());
    for rollout in &summary.rollouts {
        assert_eq!(rollout.states.values().sum::<usize>(), rollout.target);
        if !rollout.waves.is_empty() {
            assert_eq!(rollout.waves.iter().map(|wave| wave.devices).sum::<usize>(), rollout.target);
        }
    }
}

#[test]
fn a_device_that_answers_900_and_falls_silent_is_lost() {
    let mut story = Story::of_every_state();
    let lost = |story: &mut Story, now: i64| -> Vec<String> {
        let (fleet, status, _) = story.at(now);
        let summary = Summary::of_all(&fleet, &status);
        let lost: Vec<_> = status.devices.iter().filter(|device| device.lost).collect();
        assert!(lost.iter().all(|device| device.silent));
        assert_eq!(lost.len(), summary.lost);
        let listed = text::list(&fleet, &status, &status.devices.iter().collect::<Vec<_>>());
        let names = lost.iter().map(|device| fleet.devices()[device.index].client_id.to_string());
        let names: Vec<_> = names.collect();
        let first = listed.lines().skip(1).take(names.len()).map(|line| line.split(' ').next().unwrap());
        assert_eq!(first.collect::<Vec<_>>(), names);
        names
    };
    let is_lost = |names: Vec<String>| names.contains(&"car-02".to_owned());
    let later = NOW + 86_400;
    assert!(!is_lost(lost(&mut story, later)));
    story.notify("car-02", &car(2), "900 Success", NOW + 10);
    assert!(!is_lost(lost(&mut story, NOW + 20)));
    assert!(is_lost(lost(&mut story, later)));
    story.check(&car(2), "0.10.65", later);
    assert!(!is_lost(lost(&mut story, 2 * later - NOW)));
}

/// A parser that is not ours reads the metrics, and finds in them what was written.
#[test]
fn a_real_parser_reads_the_metrics() {
    let script = "
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(open(sys.argv[1]).read()):
    assert family.documentation and family.type == 'gauge', family
    for sample in family.samples:
        labels = ','.join(f'{k}={v}' for k, v in sample.labels.items())
        print(sample.name, labels, f'{sample.value:.0f}')
";
    let output =
        Command::new("/usr/bin/python3").args(["-c", script]).arg(golden("metrics.prom")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plain = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        format!("{name} {} {value}\n", labels.trim_end_matches('}').replace('"', ""))
    };
    let metrics = std::fs::read_to_string(golden("metrics.prom")).unwrap();
    let wanted: String = metrics.lines().filter(|line| !line.starts_with('#')).map(plain).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted);
}

#[test]
fn filters_select_devices() {
    let mut story = Story::of_every_state();
    let (fleet, status, _) = story.at(NOW);
    let names = |filter: &Filter| -> Vec<&str> {
        let kept = status.devices.iter().filter(|device| filter.keeps(&fleet, &status, device));
        kept.map(|device| fleet.devices()[device.index].client_id.as_str()).collect()
    };
    let states = |names: &[&str]| Filter {
        states: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..Filter::default()
    };
    let text = |text: &str| Filter { text: Some(text.into()), ..Filter::default() };
    assert_eq!(names(&Filter::default()).len(), fleet.devices().len());
    assert_eq!(names(&states(&["failed"])), ["car-03", "car-04", "car-09", "odd-1", "odd-2"]);
    assert_eq!(names(&states(&["exhausted"])), ["car-04"]);
    assert_eq!(names(&states(&["silent"])), ["car-09", "car-15"]);
    assert_eq!(names(&states(&["held", "no-target"])), ["held-1", "trial-1"]);
    assert_eq!(
        names(&states(&["pending"])),
        [
            "car-02", "car-05", "car-07", "car-15", "car-16", "night-1", "odd-3", "proof-1", "proof-2",
            "slow-1", "slow-2"
        ]
    );
    assert_eq!(names(&text("WORKSHOP")), ["held-1"]);
    assert_eq!(names(&text("352099001761052")), ["slow-2"]);
    assert_eq!(names(&text("insufficient")), ["car-04"]);
    assert_eq!(names(&text("p1")), ["pin-1"]);
    let channel = Filter { channel: Some("brittle".into()), ..states(&["halted"]) };
    assert_eq!(names(&channel), ["odd-3"]);
    let release = Filter { release: Some("0.10.65".parse().unwrap()), ..Filter::default() };
    assert_eq!(names(&release), ["pin-1", "steady-1"]);
    let group = Filter { group: Some("cars".into()), ..states(&["current"]) };
    assert_eq!(names(&group), ["car-01", "car-06"]);
    assert!("nonsense".parse::<StateFilter>().is_err());
    for name in StateFilter::names() {
        assert!(name.parse::<StateFilter>().is_ok(), "{name}");
    }
}

#[test]
fn a_gate_says_which_condition_is_missed() {
    let mut story = Story::of_every_state();
    let (fleet, status, _) = story.at(NOW);
    let judge = |gate: Gate, channel: &str| {
        let filter = Filter { channel: Some(channel.into()), ..Filter::default() };
        let summary = Summary::new(&fleet, &status, |device| filter.keeps(&fleet, &status, device));
        let said = text::gate(&gate.judge(&fleet, &status, &summary));
        let (of_rollout, of_waves) = said.split_once('\n').unwrap();
        assert!(of_waves.lines().all(|line| line.starts_with("  wave ")), "{said}");
        of_rollout.to_owned()
    };
    let gate = |min_success: Option<&str>, max_failures: Option<&str>, min_finished: &str| Gate {
        min_success: min_success.map(|text| text.parse().unwrap()),
        max_failures: max_failures.map(|text| text.parse().unwrap()),
        min_finished: min_finished.parse().unwrap(),
    };
    for (channel, gate, said) in [
        ("next", gate(Some("25"), None, "1"), "passes: 1 of 10 runs it, 3 failed"),
        (
            "next",
            gate(Some("90%"), Some("2"), "40%"),
            "misses the gate: too few succeed: 1 of 4 that finished (25%); 90% must; too many failed: 3; 2 \
             may",
        ),
        ("next", gate(None, Some("75%"), "1"), "passes: 1 of 10 runs it, 3 failed"),
        (
            "next",
            gate(None, Some("59.9%"), "6"),
            "misses the gate: too few have finished: 4 of 10; 6 must; \
             too many failed: 3 of 4 that finished (75%); 59.9% may",
        ),
        (
            "brittle",
            gate(None, Some("100%"), "1"),
            "misses the gate: it is halted: 2 of 2 devices that finished failed",
        ),
        ("night", gate(Some("1%"), None, "1"), "misses the gate: too few have finished: 0 of 1; 1 must"),
        // A gate never passes on nothing.
        ("night", gate(Some("1%"), None, "0"), "misses the gate: too few have finished: 0 of 1; 1 must"),
        ("steady", gate(Some("100%"), None, "10"), "misses the gate: too few have finished: 0 of 1; 1 must"),
    ] {
        let release = if channel == "steady" { "0.10.65" } else { "0.10.66" };
        assert_eq!(judge(gate, channel), format!("{channel}/{release}: {said}"));
    }
}

#[test]
fn adoption_ends_where_the_summary_is() {
    let mut story = Story::of_every_state();
    let (fleet, status, changes) = story.at(NOW);
    let summary = Summary::of_all(&fleet, &status);
    assert_eq!(history::beginning(&status), Some(NOW - 300_000));
    // Before the first one, after 15 and 6 were heard of, before and after 1 and 6 had upgraded, now.
    let adoption = history::adoption(&fleet, &status, changes.all(), NOW - 300_001, 300_001);
    for (ago, old, new, older) in [
        (300_001, 0, 0, 0),
        (300_000, 1, 0, 0),
        (90_000, 1, 0, 1),
        (40_001, 3, 0, 1),
        (39_841, 4, 0, 1),
        (39_840, 3, 1, 1),
    ] {
        let at = adoption.times.iter().position(|time| *time == NOW - ago).unwrap();
        let ran = |version: &str| adoption.versions[&version.parse().unwrap()][at];
        assert_eq!((ran("0.10.65"), ran("0.10.66"), ran("0.10.64")), (old, new, older), "{ago} s ago");
    }
    for (version, counts) in &adoption.versions {
        let now = summary.versions.get(&Some(*version)).copied().unwrap_or(0);
        assert_eq!(*counts.last().unwrap() as usize, now, "{version}");
    }
}

/// Seconds since 1970 as the command will see them, or a little less.
fn clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

const DEV1: &str = "352099001761481";
const DEV2: &str = "352099001761499";

/// Two devices, of which one has upgraded and one has failed, and one that nobody knows.
fn two() -> Story {
    let yaml = YAML.to_owned() + &format!("  dev2: {{ imei: \"{DEV2}\" }}\n");
    let mut story = Story::new(&yaml);
    let now = clock();
    story.upgrade(DEV1, "dev1", now - 3600);
    story.check(DEV2, "0.10.65", now - 3000);
    story.notify("dev2", DEV2, "903 Loss of service", now - 2900);
    story.check("352099001769997", "0.9", now - 2000);
    story
}

#[track_caller]
fn ran(story: &Story, arguments: &[&str], code: i32) -> String {
    let output = story.fleet.run(&[&["status"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if code == 0 || code == 4 {
        assert_eq!(text(output.stderr), "");
        text(output.stdout)
    } else {
        assert_eq!(text(output.stdout), "");
        text(output.stderr)
    }
}

fn parsed(story: &Story, arguments: &[&str]) -> Value {
    serde_json::from_str(&ran(story, arguments, 0)).unwrap()
}

#[test]
fn a_gate_ends_with_its_own_code() {
    let story = two();
    let gate = |arguments: &[&str], code| ran(&story, &[&["--gate"], arguments].concat(), code);
    assert_eq!(gate(&["--min-success", "50%"], 0), "next/0.10.66: passes: 1 of 2 runs it, 1 failed\n");
    let missed = "next/0.10.66: misses the gate: too many failed: 1; 0 may\n";
    assert_eq!(gate(&["--max-failures", "0"], 4), missed);
    assert_eq!(gate(&["--max-failures", "0", "--release", "0.10.66", "--channel", "next"], 4), missed);
    let json: Value = serde_json::from_str(&gate(&["--max-failures", "0", "--json"], 4)).unwrap();
    assert_eq!(
        json["gate"],
        serde_json::json!([{
            "rollout": "next/0.10.66",
            "passes": false,
            "misses": ["too many failed: 1; 0 may"],
            "stands": "1 of 2 runs it, 1 failed",
            "waves": [],
        }])
    );
    let nobody = "error: no device is aimed at such a rollout: there is nothing to judge\n";
    assert_eq!(gate(&["--max-failures", "0", "--release", "0.10.65"], 1), nobody);
    for wrong in [
        &["--gate"][..],
        &["--min-success", "50%"],
        &["--gate", "--min-success", "101%"],
        &["--is", "nonsense"],
        &["--json", "--prometheus"],
        &["dev1", "--group", "x"],
    ] {
        ran(&story, wrong, 2);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let story = two();
    let file = story.path("fleet.yaml").display().to_string();
    let said = ran(&story, &["nobody"], 1);
    assert_eq!(
        said,
        format!("error: no device `nobody` in `{file}`; none of that name was heard of, either\n")
    );
    let said = ran(&story, &["--group", "x"], 1);
    assert_eq!(said, format!("error: no group `x` in `{file}`: there is none\n"));
    let said = ran(&story, &["--channel", "x"], 1);
    assert_eq!(said, format!("error: no channel `x` in `{file}`: there is next\n"));
}

#[test]
fn devices_are_found_by_either_name_and_strangers_too() {
    let story = two();
    for name in ["dev2", DEV2] {
        let value = parsed(&story, &[name, "--json"]);
        assert_eq!(value["device"]["clientID"], "dev2");
        assert_eq!(value["device"]["state"], "failed");
        assert_eq!(value["device"]["result"]["meaning"], "loss of service");
        let kinds: Vec<_> =
            value["device"]["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
        assert_eq!(kinds, ["failed", "offered", "first-seen"]);
    }
    let value = parsed(&story, &[DEV2, "--json", "--events=1"]);
    assert_eq!(value["device"]["events"].as_array().unwrap().len(), 1);
    let value = parsed(&story, &["352099001769997", "--json"]);
    assert_eq!(value["unknown"][0]["said"], "0.9");
    assert_eq!(parsed(&story, &["--unknown", "--json"])["unknown"], value["unknown"]);
}

#[test]
fn events_come_latest_first_and_filtered() {
    let story = two();
    let events = |arguments: &[&str]| -> Vec<String> {
        let value = parsed(&story, &[&["--json"], arguments].concat());
        let name = |event: &Value| {
            format!("{} {}", event["clientID"].as_str().unwrap(), event["kind"].as_str().unwrap())
        };
        value["events"].as_array().unwrap().iter().map(name).collect()
    };
    let all = [
        "dev2 failed",
        "dev2 offered",
        "dev2 first-seen",
        "dev1 version-changed",
        "dev1 upgraded",
        "dev1 installed",
        "dev1 offered",
        "dev1 first-seen",
    ];
    let mut found = events(&["--events"]);
    // Written down in one transaction, in either order.
    found[3..5].sort_by(|a, b| b.cmp(a));
    assert_eq!(found, all);
    assert_eq!(events(&["--events=2"]), all[..2]);
    assert_eq!(events(&["--events=2", "--is", "current"]).len(), 2);
    assert!(events(&["--events=2", "--is", "current"]).iter().all(|event| event.starts_with("dev1")));
    assert_eq!(events(&["--events", "--is", "held"]), [""; 0]);
    let lines = ran(&story, &["--events=1"], 0);
    assert!(
        lines.ends_with(
            "Z  failed              dev2 (352099001761499)  next/0.10.66  903 Loss of \
        service (loss of service)\n"
        ),
        "{lines}"
    );
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let story = two();
    let file = story.path("metrics/otapress.prom");
    let write = || ran(&story, &["--prometheus", "--write", file.to_str().unwrap()], 0);
    assert_eq!(write(), "");
    let before = std::fs::metadata(&file).unwrap();
    assert_eq!(before.permissions().mode() & 0o044, 0o044, "a collector may read it");
    write();
    assert_ne!(std::fs::metadata(&file).unwrap().ino(), before.ino(), "renamed into its place");
    let names: Vec<_> =
        std::fs::read_dir(story.path("metrics")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["otapress.prom"]);
    assert!(std::fs::read_to_string(&file).unwrap().contains("\notapress_devices{state=\"failed\"} 1\n"));
}

#[test]
fn nobody_has_asked_yet() {
    let fleet = Fleet::new(YAML);
    let output = fleet.run(&["status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["summary"]["states"]["never-heard"], 1);
    assert_eq!(value["summary"]["lastContact"], Value::Null);
    assert!(!fleet.path("state").exists(), "a look makes nothing");
}
