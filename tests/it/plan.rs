//! `plan`: what it says of every kind of change, and that it is what the build then does.
//!
//! `tests/plan/<case>/` has two fleets, `before` and `after`; `plan.txt`, `plan.json` and `plan.md` in it are
//! what `otapress plan` prints where `before` is published and `after` is to be. Without `before` nothing is
//! published. `UPDATE_GOLDEN=1` rewrites them (and fails).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;

use otapress_responder::record::{DeviceRecord, Halt, OfferRecord, RolloutRecord};
use otapress_responder::records::Changes;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store as _};
use serde_json::Value;

use crate::support::project::{
    Files, Project, SMALL, against_golden, copy_dir, directories, files, repository,
};

/// When the plans are read.
const TODAY: &str = "2026-11-28T12:00:00Z";

/// A fleet that is to be published where another one is.
struct Case {
    name: String,
    after: Project,
    published: Files,
}

impl Case {
    fn new(dir: &Path) -> Self {
        let after = Project::copy_of(&dir.join("after"));
        if dir.join("before").exists() {
            let before = Project::copy_of(&dir.join("before"));
            before.build();
            copy_dir(&before.path("out"), &after.path("out"));
            copy_dir(&before.path("out"), &after.path("old"));
        }
        let name = dir.file_name().unwrap().to_str().unwrap().to_owned();
        let published = after.out_or_nothing();
        Case { name, after, published }
    }

    /// What the command prints, which must not change anything.
    fn plan(&self, options: &str) -> String {
        let before = files(&self.after.path("."));
        let ran = self.after.run(&format!("plan -q --at {TODAY} {options}"));
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}: {options}", self.name);
        assert!(files(&self.after.path(".")) == before, "{}: {options} has changed a file", self.name);
        ran.stdout
    }
}

#[test]
fn plans_are_golden_and_builds_do_what_was_planned() {
    let dirs = directories(&repository().join("tests/plan"));
    assert!(dirs.len() >= 54, "{}", dirs.len());
    // Builds wait for the disk.
    let wrong: String = thread::scope(|scope| {
        let workers: Vec<_> = dirs
            .chunks(dirs.len().div_ceil(4))
            .map(|dirs| scope.spawn(|| dirs.iter().map(|dir| wrong(dir)).collect::<String>()))
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong}");
}

/// What differs between the golden plans of a case and what is printed.
fn wrong(dir: &Path) -> String {
    let case = Case::new(dir);
    let plans = [("plan.txt", case.plan("")), ("plan.md", case.plan("--markdown"))];
    let ran = case.after.run(&format!("plan -q --at {TODAY} --exit-code --json -O plan.json"));
    ran.expect(
        if ["nothing", "release-spelled-otherwise"].contains(&&*case.name) { 0 } else { 3 },
        &case.after.read("plan.json"),
        "",
    );
    let plan: Value = serde_json::from_str(&ran.stdout).unwrap();
    case.holds_together(&plan);
    case.is_what_a_build_does(&plan, &plans[0].1);
    let golden = |(file, plan): &(&str, String)| {
        // What is secret in some of the fleets.
        for secret in ["swordfish", "sturgeon", "tilapia", "trout", "1234\""] {
            assert!(!plan.contains(secret), "{}: {file} shows {secret}", case.name);
        }
        against_golden(plan, &dir.join(file)).unwrap_or_default()
    };
    plans.iter().chain(&[("plan.json", ran.stdout)]).map(golden).collect()
}

impl Case {
    /// Every count is that of a list, and no device is twice in a list, or in two transitions.
    fn holds_together(&self, plan: &Value) {
        let name = &self.name;
        let mut seen = BTreeSet::new();
        for list in ["transitions", "waves", "rules", "settings", "jadMoves"] {
            for change in plan[list].as_array().unwrap() {
                let Some(devices) = change["devices"].as_array() else {
                    assert_eq!(change["kind"], "stays", "{name}");
                    continue;
                };
                assert_eq!(Some(devices.len() as u64), change["count"].as_u64(), "{name}: {list}");
                let unique: BTreeSet<_> = devices.iter().map(|device| device.as_str().unwrap()).collect();
                assert_eq!(unique.len(), devices.len(), "{name}: {list}");
                if list == "transitions" {
                    assert!(unique.iter().all(|device| seen.insert(device.to_string())), "{name}");
                }
            }
        }
    }

    /// Builds by the plan and compares what it does.
    fn is_what_a_build_does(&self, plan: &Value, text: &str) {
        let (name, project) = (&self.name, &self.after);
        project.run("build -q --allow-mass-removal --plan plan.json").expect(0, "", "");
        let out = project.out();
        let imeis = |files: &Files| -> BTreeSet<String> {
            files.keys().filter(|path| path.starts_with("vc/")).cloned().collect()
        };
        let both = imeis(&self.published).union(&imeis(&out)).count();
        let transitions = plan["transitions"].as_array().unwrap();
        let sum: u64 = transitions.iter().map(|transition| transition["count"].as_u64().unwrap()).sum();
        assert_eq!(sum as usize, both, "{name}");

        let written: Vec<_> =
            out.iter().filter(|(path, bytes)| self.published.get(*path) != Some(bytes)).collect();
        let removed = self.published.keys().filter(|path| !out.contains_key(*path)).count();
        let total = |counts: &Value| counts.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
        let counted: (u64, u64) = (total(&plan["files"]["written"]), total(&plan["files"]["removed"]));
        assert_eq!(counted, (written.len() as u64, removed as u64), "{name}");
        let bytes: usize = written.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(plan["files"]["bytesWritten"], bytes, "{name}");

        // The tree is the planned one, and there is nothing more to do.
        let ran = project.run("plan -q --exit-code --json");
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{name}");
        let rest: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!([&rest["before"], &rest["after"]], [&plan["after"]; 2], "{name}");

        // Two published trees differ as the tree and the fleet did.
        if !self.published.is_empty() {
            project.run(&format!("plan -q --at {TODAY} --against old")).expect(0, text, "");
        }
    }
}

#[test]
fn all_devices_are_named_if_asked() {
    let case = Case::new(&repository().join("tests/plan/many-devices"));
    let (short, long) = (case.plan(""), case.after.run("plan -v").stdout);
    assert!(
        short.contains("0.10.65 → 0.10.66: 125 devices (truck-000, truck-001, truck-002, … and 122 more)\n")
    );
    let trucks: Vec<_> = (0..120).map(|i| format!("truck-{i:03}")).collect();
    let all = format!("0.10.65 → 0.10.66: 125 devices ({}, v1, v2, v3, v4, v5)\n", trucks.join(", "));
    assert!(long.contains(&all), "{long}");
}

#[test]
fn a_terminal_gets_colours() {
    let case = Case::new(&repository().join("tests/plan/rollback"));
    let ran = case.after.run(&format!("plan --at {TODAY} --color always"));
    let plain = case.plan("");
    assert!(
        ran.stdout.contains("\x1b[1;31m! DOWNGRADE 0.10.66 → 0.10.65\x1b[0m: 5 devices"),
        "{}",
        ran.stdout
    );
    let mut bare = ran.stdout;
    for code in ["\x1b[1;31m", "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[1m", "\x1b[0m"] {
        bare = bare.replace(code, "");
    }
    assert_eq!(bare, plain);
}

#[test]
fn devices_are_where_the_records_say() {
    let case = Case::new(&repository().join("tests/plan/release-raised"));
    let mut store = SqliteStore::open(&case.after.path("state"), std::time::Duration::from_secs(10)).unwrap();
    let reported = [
        ("352099001761549", Some("0.10.65")),
        ("352099001761556", Some("0.10.66")),
        ("352099001761564", Some("0.9.1")),
        ("352099001761572", None),
    ];
    store
        .write(Durability::Power, &mut |tx| {
            reported.iter().try_for_each(|(imei, version)| {
                let mut record = DeviceRecord::new(imei.parse().unwrap(), 1_796_112_000);
                record.reported = version.map(|version| version.parse().unwrap());
                tx.put(&Changes { devices: vec![&record], ..Changes::default() })
            })
        })
        .unwrap();
    drop(store);
    let told = "  ~ 0.10.65 → 0.10.66: 5 devices (v1, v2, v3, … and 2 more)\n";
    let plain = case.after.run("plan").stdout;
    let ran = case.after.run("plan -s state");
    let really = "      really: 1 on 0.10.65, 1 already on 0.10.66, 1 on another version, 2 never heard of\n";
    ran.expect(0, &plain.replace(told, &format!("{told}{really}")), "");
    assert_ne!(ran.stdout, plain);
    let json: Value = serde_json::from_str(&case.after.run("plan --json -s state").stdout).unwrap();
    let upgrade =
        json["transitions"].as_array().unwrap().iter().find(|transition| transition["kind"] == "upgrade");
    assert_eq!(
        upgrade.unwrap()["running"],
        serde_json::json!({ "before": 1, "after": 1, "other": 1, "unknown": 2 })
    );
    let obstacles = |json: &Value| {
        let all = json["obstacles"].as_array().cloned().unwrap_or_default();
        let one =
            |of: &Value| format!("{} {} {}", of["rollout"], of["obstacle"], of["devices"]).replace('"', "");
        all.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(obstacles(&json), [""; 0]);

    // One has used its attempts, others take the places there are, and then the brake is pulled.
    let rollout = RolloutRecord { places: 3, ..RolloutRecord::new("stable/0.10.66") };
    let offer = OfferRecord {
        attempts: 3,
        ..OfferRecord::proof(&rollout, "0.10.66".parse().unwrap(), 1_796_112_000)
    };
    let mut record = DeviceRecord::new("352099001761549".parse().unwrap(), 1_796_112_000);
    record.reported = Some("0.10.65".parse().unwrap());
    record.offers.push(offer);
    let halt = Halt { at: 1_796_112_000, reason: "3 devices report a fault of the artifact".into() };
    let put = |rollout: &RolloutRecord| {
        let state = case.after.path("state");
        let mut store = SqliteStore::open(&state, std::time::Duration::from_secs(10)).unwrap();
        let mut changes = Changes { rollouts: vec![rollout], ..Changes::default() };
        changes.device(&record);
        store.write(Durability::Power, &mut |tx| tx.put(&changes)).unwrap();
    };
    let mut text = String::new();
    for rollout in [rollout.clone(), RolloutRecord { halted: Some(halt), ..rollout }] {
        put(&rollout);
        let ran = case.after.run("plan -s state");
        let (_, rest) = ran.stdout.split_once("In the way\n").unwrap_or_else(|| panic!("{}", ran.stdout));
        text += rest.split("\n\n").next().unwrap();
        text += "\n\n";
    }
    for line in [
        "  ~ stable/0.10.66 is exhausted: 1 device (v1)\n",
        "      they have used their attempts; `otapress retry` gives them new ones\n",
        "  ~ stable/0.10.66 is proving: 4 devices (v1, ",
        "      they wait for 3 devices that were sent it and not heard of since\n",
        "  ! stable/0.10.66 is halted, since 3 devices report a fault of the artifact: 4 devices (v1, ",
        "      they are offered nothing before `otapress resume stable/0.10.66`",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    let json: Value = serde_json::from_str(&case.after.run("plan --json -s state").stdout).unwrap();
    let said = obstacles(&json);
    assert_eq!((said.len(), &*said[0]), (2, "stable/0.10.66 exhausted [v1]"), "{said:?}");
    case.after.run("plan -s nowhere").expect(
        1,
        "",
        "error: there is no state in `nowhere`: no device has \
        asked yet, or it is kept elsewhere (`--state`)\n",
    );
}

/// As an otapress 0.1 spelled a release otherwise than its manifest does.
#[test]
fn a_release_that_was_spelled_otherwise_changes_buckets_once() {
    let case = Case::new(&repository().join("tests/plan/nothing"));
    let vc = case.after.path("out/vc");
    let mut renamed = 0;
    for file in fs::read_dir(&vc).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let other = text.replace("/0.10.65\"", "/0.10.065\"");
        renamed += usize::from(text != other);
        fs::write(file, other).unwrap();
    }
    assert!(renamed > 0);
    let plan = case.after.run(&format!("plan -q --at {TODAY}")).stdout;
    let rules = "\
Rules
  ~ spelling of next: next/0.10.065 → next/0.10.65: 3 devices (c4, c5, c6)
      as in its manifest: their buckets change this once; attempts and failures are counted from zero
";
    assert!(plan.contains(rules), "{plan}");
}

#[test]
fn a_build_refuses_a_plan_that_something_has_moved_from() {
    let project = Project::new(SMALL);
    project.build();
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66");
    assert_eq!(project.run("plan -q -O plan.json").status, 0);
    let before = project.out();
    let out = fs::canonicalize(project.path("out")).unwrap();
    let refused = |why: &str| {
        let ran = project.run("build -q --plan plan.json");
        let advice = "nothing was published: look at a new plan (`otapress plan -O plan.json`), or build \
            without `--plan`";
        ran.expect(1, "", &format!("error: `plan.json` was made of something else: {why}; {advice}\n"));
    };

    // The fleet moves.
    project.edit("fleet.yaml", "stable: 0.10.66", "stable: { release: 0.10.66, attempts: 5 }");
    refused("the fleet, its JARs or the template now lead to other answers");
    project.edit("fleet.yaml", "stable: { release: 0.10.66, attempts: 5 }", "stable: 0.10.66");
    // A JAR comes.
    project.write("jars/OwnTracks-0.10.67.jar", crate::support::project::make_jar("0.10.67", "good"));
    refused("the fleet, its JARs or the template now lead to other jars and site");
    fs::remove_file(project.path("jars/OwnTracks-0.10.67.jar")).unwrap();
    assert!(project.out() == before);
    // Somebody else publishes.
    fs::remove_file(project.path("out/vc/352099001761499.json")).unwrap();
    refused(&format!("`{}` has other answers than then", out.display()));
    project.write("out/vc/352099001761499.json", &before["vc/352099001761499.json"]);
    assert!(project.out() == before);

    // What was carried out can be carried out again.
    project.run("build -q --plan plan.json").expect(0, "", "");
    assert!(project.out() != before);
    project.run("build -q --plan plan.json").expect(0, "", "");
}

#[test]
fn what_is_no_plan_is_refused() {
    let project = Project::new(SMALL);
    for (text, why) in [
        ("{}", "it is not a plan"),
        ("[1]", "it is not a plan"),
        (r#"{"otapressPlan":2}"#, "it was made by another version of otapress"),
        (r#"{"otapressPlan":1}"#, "`before.fingerprint.jars` is not a digest"),
        ("plan", "expected value at line 1 column 1"),
    ] {
        project.write("plan.json", text);
        let error = format!("error: `plan.json` is not a plan that `otapress plan -O` has saved: {why}\n");
        project.run("build -q --plan plan.json").expect(1, "", &error);
    }
    let missing = "error: cannot read `missing.json`: No such file or directory (os error 2)\n";
    project.run("build -q --plan missing.json").expect(1, "", missing);
    assert_eq!(project.out_or_nothing(), Files::new());
    let denied = "error: cannot write `fleet.yaml/plan.json`: File exists (os error 17)\n";
    project.run("plan -q -O fleet.yaml/plan.json").expect(1, "", denied);
}

#[test]
fn only_published_directories_are_compared() {
    let project = Project::new(SMALL);
    project.run("plan --against nowhere").expect(1, "", "error: nothing is published in `nowhere`\n");
    project.build();
    copy_dir(&project.path("out"), &project.path("old"));
    fs::remove_dir_all(project.path("out")).unwrap();
    project.run("plan --against old").expect(1, "", "error: nothing is published in `out`\n");
    // Without a fleet devices go by their IMEIs.
    copy_dir(&project.path("old"), &project.path("out"));
    fs::remove_file(project.path("fleet.yaml")).unwrap();
    fs::remove_file(project.path("out/vc/352099001761499.json")).unwrap();
    let ran = project.run("plan --against old --exit-code");
    ran.expect(
        3,
        "\
1 of 2 devices changes: 1 removed

Devices
  - 0.10.65 → removed: 1 device (352099001761499)
      the responder does not know them, and they keep what they run

Files
    removed: 1 answer; 202 bytes
",
        "",
    );
}

#[test]
fn a_fleet_with_mistakes_has_no_plan() {
    let project = Project::new(&SMALL.replace("stable: 0.10.65", "stable: 0.10.64"));
    let ran = project.run("plan --exit-code");
    assert_eq!((ran.status, &*ran.stdout), (1, ""));
    assert_eq!(ran.stderr, project.run("plan").stderr);
    assert!(ran.stderr.starts_with("fleet.yaml:8:11: error[unknown-release]: "), "{}", ran.stderr);
}

/// An answer that somebody has broken is replaced, and the plan says so.
#[test]
fn an_unreadable_answer_is_told() {
    let project = Project::new(SMALL);
    project.build();
    fs::write(project.path("broken"), "{").unwrap();
    fs::rename(project.path("broken"), project.path("out/vc/352099001761499.json")).unwrap();
    project.run("plan").expect(
        0,
        "\
1 now
1 of 2 devices changes: 1 told a version for the first time

Devices
  ~ unreadable → 0.10.65: 1 device (dev2)

Expected
    1 device to download up to 746 bytes: those that do not run their target already

Files
    written: 1 answer; 202 bytes
",
        "",
    );
}
