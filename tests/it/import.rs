//! `import`: what it prints for what the predecessor printed, and that it is read back to the same values.
//!
//! `tests/import/<topic>/` has `db.json`, perhaps `sets`, and the further arguments in `args`;
//! `expected.yaml`, `expected.csv` and `expected.txt` are what comes of it on the standard output, in the
//! inventory and on the standard error.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use otapress::import::{self, Device, Imported, LATEST, Origin, Set, Target};
use otapress_publish::fleet::{
    self,
    uri::{HttpUri, Site},
};
use otapress_publish::settings::{INTERNAL, corrupting_key, find, value_fault};
use proptest::prelude::*;

use crate::support::project::{Project, Ran, against_golden, directories, repository};

#[test]
fn dumps_become_exactly_this_fleet() {
    let mut wrong = String::new();
    let dirs = directories(&repository().join("tests/import"));
    assert!(dirs.len() >= 6, "{}", dirs.len());
    for dir in dirs {
        let project = Project::copy_of(&dir);
        let args = fs::read_to_string(dir.join("args")).unwrap();
        let ran = project.run(&format!("import db.json {args}"));
        wrong += &against_golden(&ran.stderr, &dir.join("expected.txt")).unwrap_or_default();
        let (yaml, csv) = (dir.join("expected.yaml"), dir.join("expected.csv"));
        if ran.status != 0 {
            assert_eq!((ran.status, &*ran.stdout), (1, ""), "{}", dir.display());
            assert!(!yaml.exists() && !csv.exists(), "{}", dir.display());
            continue;
        }
        wrong += &against_golden(&ran.stdout, &yaml).unwrap_or_default();
        if csv.exists() || project.path("devices.csv").exists() {
            wrong += &against_golden(&project.read("devices.csv"), &csv).unwrap_or_default();
        }
        // The JARs of 0.10.65 and 0.10.66 are there.
        project.write("fleet.yaml", &ran.stdout);
        let checked = project.run("check -q");
        assert_eq!((checked.status, &*checked.stdout), (0, ""), "{}: {}", dir.display(), checked.stderr);
        assert!(!checked.stderr.contains("error"), "{}: {}", dir.display(), checked.stderr);
        // As often as one likes.
        for path in ["devices.csv", "fleet.yaml"] {
            let _ = fs::remove_file(project.path(path));
        }
        assert_eq!(project.run(&format!("import db.json {args}")), ran, "{}", dir.display());
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_standard_input_is_a_file_too() {
    let project = Project::empty();
    let mut child = project
        .command()
        .args(["import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[\n  {\"imei\": 1,}\n]").unwrap();
    Ran::new(child.wait_with_output().unwrap()).expect(
        1,
        "",
        "\
<stdin>:2:14: error[bad-dump]: this is not the JSON of a list: key must be a string
  |
2 |   {\"imei\": 1,}
  |              ^
  |
  = hint: `otc dbjson` prints a list of `{\"imei\": …, \"custid\": …, …}`
",
    );
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let project =
        Project::empty().file("db.json", "[]").file("latin1", b"[\n\xe4]").file("devices.csv", "kept");
    let missing = project.run("import nothing.json");
    missing.expect(1, "", "error: cannot read `nothing.json`: No such file or directory (os error 2)\n");
    project.run("import latin1").expect(1, "", "error: latin1:2:1: this byte is not UTF-8 text\n");
    project.run("import db.json --inventory devices.csv").expect(
        1,
        "",
        "error: cannot create `devices.csv`: File exists (os error 17)\n",
    );
    assert_eq!(project.read("devices.csv"), "kept");
    project.run("import db.json --site https://ota.example.com").expect(
        1,
        "",
        "error: `https://ota.example.com` cannot be the site: it must start with `http://`: the modem knows \
         no other scheme\n",
    );
}

/// It stays in the fleet file, so that `check` and not a device finds out.
#[test]
fn a_release_without_a_jar_is_told() {
    let dump = r#"[{"imei": "352099001761481", "block": 0, "deliver": "0.10.64"}]"#;
    let project = Project::empty().jar("0.10.65").file("db.json", dump);
    let ran = project.run("import db.json --jars jars --site http://ota.acme.example");
    ran.expect(
        0,
        &ran.stdout,
        "\
db.json:1:53: warning[not-carried-over]: the release 0.10.64 of this device has no JAR
  |
1 | [{\"imei\": \"352099001761481\", \"block\": 0, \"deliver\": \"0.10.64\"}]
  |                                                     ^^^^^^^^^
  |
  = hint: it is in the fleet file; add the JAR, or name another release
imported 1 device, 0 groups, 0 settings sets; 1 remark above
note: devices are called by their IMEI, as the predecessor knows no clientIDs: rename those that have one
",
    );
    assert!(
        ran.stdout.ends_with("devices:\n  \"352099001761481\": { release: 0.10.64 }\n"),
        "{}",
        ran.stdout
    );
}

/// What can stand in a fleet: anything that the reader of fleet.yaml takes.
fn imported() -> impl Strategy<Value = Imported> {
    let text =
        || "\\PC{1,20}".prop_map(|text| text.trim().to_owned()).prop_filter("empty", |t| !t.is_empty());
    let name = || "[A-Za-z0-9._-]{1,12}";
    let setting = ("[a-zA-Z0-9 .:,{}'\"#-]{1,12}|null|qos|host|secret", "[ -~]{0,16}").prop_filter(
        "unfit",
        |(key, value)| {
            corrupting_key(key).is_none()
                && !INTERNAL.contains(&&**key)
                && !["values", "enforce", "allow"].contains(&&**key)
                && find(key).is_none_or(|known| value_fault(known, value).is_none())
        },
    );
    let sets =
        prop::collection::btree_map(name(), prop::collection::vec(setting, 0..4), 0..4).prop_map(|sets| {
            let set = |values: Vec<(String, String)>| {
                let values: BTreeMap<_, _> = values.into_iter().collect();
                let dangerous = |key: &&String| find(key).is_some_and(|known| known.dangerous);
                Set { allow: values.keys().filter(dangerous).cloned().collect(), values }
            };
            sets.into_iter().map(|(name, values)| (name, set(values))).collect::<BTreeMap<_, _>>()
        });
    let groups = prop::collection::btree_map(name(), prop::option::of(text()), 0..4);
    let tid = "[!-~][ -~]{0,4}".prop_map(|tid| tid.trim().to_owned());
    let device = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        0..4_u8,
        any::<bool>(),
        prop::option::of(tid),
        prop::option::of(text()),
    );
    let devices = prop::collection::btree_map("[0-9]{14,16}", device, 0..8);
    (groups, sets, devices).prop_map(|(groups, sets, devices)| {
        let mut latest = None;
        let nth = |names: Vec<&String>, index: &prop::sample::Index| {
            let index = index.index(names.len() + 1);
            names.get(index).map(|name| (*name).clone())
        };
        let devices = devices
            .into_iter()
            .map(|(imei, (group, set, target, hold, tid, comment))| {
                let target = match target {
                    0 => Target::Nothing,
                    1 => {
                        latest = Some("0.10.66".parse().unwrap());
                        Target::Latest
                    }
                    n => Target::Release(format!("0.10.{n}").parse().unwrap()),
                };
                let group = nth(groups.keys().collect(), &group);
                let set = nth(sets.keys().collect(), &set);
                (imei.parse().unwrap(), Device { group, target, hold, set, tid, comment })
            })
            .collect();
        Imported { groups, sets, latest, devices }
    })
}

/// Reads a fleet back by the reader of fleet.yaml.
fn read_back(wanted: &Imported, in_table: bool) -> Result<(), TestCaseError> {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin {
        site: Site::new(&HttpUri::parse("http://ota.example.com").unwrap()).unwrap(),
        apn: "internet".into(),
        midlet: ("OwnTracks".into(), "Choral".into()),
        inventory: in_table.then(|| "the [devices]*.csv".into()),
    };
    if in_table {
        fs::write(dir.path().join("the [devices]*.csv"), import::inventory(&wanted.devices).unwrap())
            .unwrap();
    }
    let text = import::fleet_file(wanted, &origin);
    let path = dir.path().join("fleet.yaml");
    fs::write(&path, &text).unwrap();
    let loaded = fleet::load(&path);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|found| found.is_error()).collect();
    prop_assert!(errors.is_empty(), "{text}\n{errors:#?}");
    let fleet = loaded.fleet.unwrap();
    prop_assert_eq!(fleet.devices().len(), wanted.devices.len());
    for (imei, device) in &wanted.devices {
        let is = fleet.find(&imei.to_string()).unwrap();
        let target = match (is.release, fleet.channel(is)) {
            (Some(release), None) => Target::Release(release.value),
            (None, Some(channel)) => {
                prop_assert_eq!((&*channel.name, Some(channel.release.value)), (LATEST, wanted.latest));
                Target::Latest
            }
            (None, None) => Target::Nothing,
            (Some(_), Some(_)) => return Err(TestCaseError::fail("both")),
        };
        let is_group = fleet.group(is);
        let group = device.group.as_ref().map(|name| (name.clone(), wanted.groups[name].clone()));
        prop_assert_eq!(is_group.name.clone().map(|name| (name, is_group.comment.clone())), group);
        let settings: BTreeMap<_, _> =
            fleet.settings(is).settings.iter().map(|s| (s.key.clone(), s.val.clone())).collect();
        let values = device.set.as_ref().map(|set| wanted.sets[set].values.clone());
        prop_assert_eq!(settings, values.unwrap_or_default(), "{}", text);
        prop_assert_eq!(is.hold, device.hold);
        prop_assert_eq!(target, device.target);
        prop_assert_eq!(is.tid.as_deref(), device.tid.as_deref(), "{}", text);
        prop_assert_eq!(is.comment.as_deref(), device.comment.as_deref(), "{}", text);
    }
    Ok(())
}

/// A text as it may stand in a database, to be written as JSON.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,12}", "(?s).{0,8}", "[a-z0-9.=; *-]{0,16}", "0\\.10\\.6[56]", "35209900176[0-9]{4}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_printed_is_read_back(fleet in imported()) {
        read_back(&fleet, false)?;
        read_back(&fleet, true)?;
    }

    /// Whatever stands in the predecessor's database, the reader of fleet.yaml takes what comes of it.
    #[test]
    fn any_dump_becomes_a_fleet(
        rows in prop::collection::vec(prop::collection::btree_map(
            prop_oneof![Just("imei"), Just("custid"), Just("tid"), Just("deliver"), Just("sname"), Just("comment"), Just("block")],
            any_text(),
            0..8,
        ), 0..6),
        names in prop::collection::vec(any_text(), 0..4),
        settings in prop::collection::vec(any_text(), 4),
    ) {
        use otapress_publish::diag::Sources;
        let mut rows = serde_json::to_value(rows).unwrap();
        for (n, row) in rows.as_array_mut().unwrap().iter_mut().enumerate() {
            row["imei"] = format!("35209900176{n:04}").into();
        }
        let mut sources = Sources::default();
        let file = sources.add("db.json", rows.to_string());
        let lines = names.iter().zip(&settings).map(|(name, settings)| format!("{name:<27} {settings}\n"));
        let sets = sources.add("sets", lines.collect::<String>());
        let (rows, mut found) = import::read_dbjson(&sources, file).unwrap();
        if let Ok((sets, wrong)) = import::read_showsets(&sources, sets) {
            found.extend(wrong);
            let fleet = import::convert(&rows, Some(&sets), None, &mut found);
            prop_assert_eq!(fleet.devices.len(), rows.len());
            read_back(&fleet, false)?;
            read_back(&fleet, true)?;
        }
    }
}
