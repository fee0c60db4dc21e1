//! A large fleet is built within the memory that the project promises.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::project::in_memory;

const DEVICES: usize = 100_000;

/// The address space that a build may take, in KiB; what is resident is less.
const LIMIT: usize = 400_000;

/// Half of the devices in fleet.yaml, half of them in an inventory, in waves and with settings.
fn fleet(dir: &Path) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(repository.join("fleet.yaml")).unwrap();
    let (head, _) = example.split_once("devices:\n").unwrap();
    let imei = |n: usize| 100_000_000_000_000 + n;
    let mut yaml = format!("{head}inventory: [more.csv]\ndevices:\n");
    for n in 0..DEVICES / 2 {
        writeln!(
            yaml,
            "  dev{n}: {{ imei: \"{}\", group: couriers, settings: [leash], tid: T{n} }}",
            imei(n)
        )
        .unwrap();
    }
    let mut csv = "clientID,imei,group\n".to_owned();
    for n in DEVICES / 2..DEVICES {
        writeln!(csv, "dev{n},{},vans", imei(n)).unwrap();
    }
    fs::write(dir.join("fleet.yaml"), yaml).unwrap();
    fs::write(dir.join("more.csv"), csv).unwrap();
    fs::create_dir(dir.join("jars")).unwrap();
    for jar in fs::read_dir(repository.join("jars")).unwrap() {
        let jar = jar.unwrap();
        fs::copy(jar.path(), dir.join("jars").join(jar.file_name())).unwrap();
    }
}

fn build(dir: &Path) -> Output {
    let script = format!("ulimit -v {LIMIT}; exec \"$0\" build");
    let binary = env!("CARGO_BIN_EXE_otapress");
    let output = Command::new("sh").args(["-c", &script, binary]).current_dir(dir).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // Most of these IMEIs have a wrong check digit, which is a warning of several lines each.
    let verdict = stderr.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{verdict}");
    output
}

#[test]
fn a_hundred_thousand_devices_are_built_within_400_mb() {
    // In memory if there is such a place: 200,000 files are a matter of the disk, not of the program.
    let dir = in_memory();
    fleet(dir.path());
    let first = build(dir.path());
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    let summary = "published 100000 devices: 3 JAR files, 100000 JADs, 100000 answers, 1 site file written";
    assert!(said.lines().last().unwrap().starts_with(summary), "{}", said.lines().last().unwrap());
    let answers = fs::read_dir(dir.path().join("out/vc")).unwrap().count();
    assert_eq!(answers, DEVICES);
    let second = build(dir.path());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.lines().last().unwrap().starts_with("nothing to do: 200004 files up to date"), "{said}");
}
