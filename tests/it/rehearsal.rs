//! `simulate` without a server: what a build would publish, played with a clock of its own.

use serde_json::Value;

use crate::support::project::{Project, against_golden, repository};

/// The day before the first wave of the example.
const START: &str = "--start 2026-01-11T08:00:00Z";

/// The example with a data plan, and with 40 couriers more.
fn example() -> Project {
    let project = Project::example();
    let fleet = project.read("fleet.yaml");
    let more: String = (0..40)
        .map(|n| format!("  more{n}: {{ imei: \"3520990017620{n:02}\", group: couriers }}\n"))
        .collect();
    let fleet = fleet.replace("devices:\n", &format!("devices:\n{more}"));
    let plan = "dataPlan: { perMegabyte: 0.20, currency: EUR, drivingHours: 2, messageBytes: 350 }\n";
    project.write("fleet.yaml", fleet + "\n" + plan);
    project
}

#[test]
fn a_rollout_is_rehearsed_before_it_happens() {
    let project = example();
    let mut wrong = String::new();
    for (name, args, status) in [
        ("healthy", "--until 7d", 0),
        ("before", "--until 2026-01-12T07:00:00Z", 0),
        ("silent", "--until 14d --silent 20%", 0),
        ("halted", "--until 14d --fail 30%:907", 0),
        ("lossy", "--until 60h --lose 30% --seed 4", 0),
    ] {
        let ran = project.run(&format!("--quiet simulate {START} {args}"));
        assert_eq!((ran.status, &*ran.stderr), (status, ""), "{name}: {}", ran.stderr);
        let golden = repository().join(format!("tests/rehearsal/{name}.txt"));
        wrong += &against_golden(&ran.stdout, &golden).unwrap_or_default();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn json(project: &Project, args: &str) -> Value {
    let ran = project.run(&format!("--quiet simulate {START} --json {args}"));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn rollout<'a>(view: &'a Value, id: &str) -> &'a Value {
    view["rollouts"].as_array().unwrap().iter().find(|rollout| rollout["rollout"] == id).unwrap()
}

#[test]
fn json_has_every_name_and_a_seed_replays() {
    let project = example();
    let view = json(&project, "--silent 20% --until 21d --seed 9");
    let next = rollout(&view, "next/0.10.66");
    assert_eq!(next["waves"][0]["opened"], "2026-01-12T08:00:00Z");
    assert_eq!(next["unproven"].as_array().unwrap().len(), 3, "{next}");
    assert_eq!(view["price"]["currency"], "EUR");
    assert_eq!(view["end"], "2026-02-01T08:00:00Z");
    assert_eq!(json(&project, "--silent 20% --until 21d --seed 9"), view);
    assert_ne!(json(&project, "--silent 20% --until 21d --seed 10"), view);
}

/// A merge request: out/ has what the fleet runs, and fleet.yaml what it is to run.
#[test]
fn devices_begin_with_what_is_published() {
    let project = example();
    project.edit("fleet.yaml", "release: 0.10.66", "release: 0.10.65");
    project.build();
    project.edit("fleet.yaml", "release: 0.10.65\n    otherwise", "release: 0.10.66\n    otherwise");
    let view = json(&project, "--until 7d");
    // Those of the channel alone have something to do: the others run their target.
    assert_eq!(rollout(&view, "next/0.10.66")["told"], 44);
    // The rehearsal of what is published begins before it.
    project.build();
    assert_eq!(rollout(&json(&project, "--until 7d"), "next/0.10.66")["told"], 44);
}

#[test]
fn a_rehearsal_needs_a_fleet_without_mistakes_and_an_end() {
    let project = example();
    let ran = project.run("--quiet simulate --start 2026-01-11T08:00:00Z --until 2026-01-10T08:00:00Z");
    ran.expect(1, "", "error: the play ends before it begins: `--until` must be later than `--start`\n");
    for usage in ["--until never", "--record", "--speed 3", "--devices 3", "--url http://h:1 --until 3d"] {
        assert_eq!(project.run(&format!("simulate {usage}")).status, 2, "{usage}");
    }
    project.edit("fleet.yaml", "release: 0.10.66", "release: 0.10.67");
    let ran = project.run("--quiet simulate");
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("fleet.yaml:"), "{}", ran.stderr);
}
