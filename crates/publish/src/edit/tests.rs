//! Edits in every notation, and by chance in a thousand fleets.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const HEAD: &str = "\
site: http://ota.example.com # the site
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  apn: internet
midlet: { name: OwnTracks, vendor: Choral }
channels: { stable: 0.10.65, next: 0.10.66 }
default: { channel: stable }
groups: { vans: { channel: next }, cars: { comment: Cars } }
";

/// Edits the files of a directory: the new texts.
fn edited(files: &[(&str, &str)], edits: &[Edit]) -> Result<BTreeMap<String, String>, EditError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let file = dir.path().join("fleet.yaml");
    let loaded = fleet::load(&file);
    assert!(!loaded.has_errors(), "{:#?}\n{}", loaded.diagnostics, files[0].1);
    let edits: Vec<_> = edits
        .iter()
        .cloned()
        .map(|edit| match edit {
            Edit::Add { device, fields, inventory } => {
                Edit::Add { device, fields, inventory: inventory.map(|name| dir.path().join(name)) }
            }
            other => other,
        })
        .collect();
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    Ok(edit(&Reach::new(&file, &[]), &file, &loaded, &edits)?
        .into_iter()
        .map(|(path, text)| (name(path), text.new))
        .collect())
}

fn set(device: &str, key: &'static str, value: &str) -> Edit {
    Edit::Field { device: device.into(), key, value: Some(value.into()) }
}

fn clear(device: &str, key: &'static str) -> Edit {
    Edit::Field { device: device.into(), key, value: None }
}

fn in_yaml(devices: &str, edits: &[Edit]) -> String {
    let text = format!("{HEAD}{devices}");
    let mut new = edited(&[("fleet.yaml", &text)], edits).unwrap_or_else(|error| panic!("{error}"));
    new.remove("fleet.yaml").map_or_else(|| devices.to_owned(), |new| new[HEAD.len()..].to_owned())
}

#[test]
fn fields_come_and_go_in_every_notation() {
    let devices = "\
devices: # of the fleet
  a: { imei: \"352099001761481\" }   # flow
  # a comment of its own
  b:
    imei: '352099001761499' # block
    group: vans
  c: {
    imei: \"352099001761507\", # several lines
    hold: true # in the workshop
  }
  \"352099001761515\":
  \"352099001761523\": {}
";
    let hold = |device| [set(device, "hold", "true")];
    for (edits, old, new) in [
        (&hold("a")[..], "761481\" }", "761481\", hold: true }"),
        (&hold("b"), "    group: vans\n", "    group: vans\n    hold: true\n"),
        (&[set("b", "group", "cars")], "group: vans\n", "group: cars\n"),
        (&[clear("b", "group")], "    group: vans\n", ""),
        (&[clear("c", "hold")], "    hold: true # in the workshop\n", ""),
        (&[set("b", "imei", "352099001761531")], "'352099001761499'", "\"352099001761531\""),
        (&hold("352099001761515"), "761515\":\n", "761515\": { hold: true }\n"),
        (&hold("352099001761523"), "{}", "{ hold: true }"),
        (&[set("a", "comment", "a: \"b\" #1")], "761481\" }", "761481\", comment: \"a: \\\"b\\\" #1\" }"),
        (&[set("a", "hold", "true"), set("a", "tid", "A1")], "761481\" }", "761481\", hold: true, tid: A1 }"),
        (&[Edit::Remove { device: "a".into() }], "  a: { imei: \"352099001761481\" }   # flow\n", ""),
    ] {
        assert!(devices.contains(old), "{old}");
        assert_eq!(in_yaml(devices, edits), devices.replacen(old, new, 1), "{edits:?}");
        let windows = |text: &str| text.replace('\n', "\r\n");
        let text = windows(&format!("{HEAD}{devices}"));
        let is = edited(&[("fleet.yaml", &text)], edits).unwrap().remove("fleet.yaml").unwrap();
        assert_eq!(is, windows(&format!("{HEAD}{}", devices.replacen(old, new, 1))), "{edits:?}");
    }
    assert_eq!(in_yaml(devices, &[clear("a", "hold")]), devices);
    assert_eq!(in_yaml(devices, &[set("c", "hold", "true")]), devices);
}

#[test]
fn devices_are_added_wherever_there_is_room() {
    let add = || {
        let fields = vec![("imei", "352099001761531".to_owned()), ("group", "vans".to_owned())];
        Edit::Add { device: "new".into(), fields, inventory: None }
    };
    let entry = "new: { imei: \"352099001761531\", group: vans }";
    let one = "devices:\n  a: { imei: \"352099001761481\" } # last";
    for (devices, wanted) in [
        ("", format!("devices:\n  {entry}\n")),
        ("devices:\n", format!("devices:\n  {entry}\n")),
        ("devices: # none yet\n", format!("devices: # none yet\n  {entry}\n")),
        ("devices: {}\n", format!("devices:\n  {entry}\n")),
        ("devices: {}   # none yet", format!("devices: # none yet\n  {entry}")),
        ("\"devices\": {\n}\n", format!("\"devices\":\n  {entry}\n")),
        (one, format!("{one}\n  {entry}")),
        (&format!("{one}\nlimits: {{ url: 90 }}\n"), format!("{one}\n  {entry}\nlimits: {{ url: 90 }}\n")),
    ] {
        assert_eq!(in_yaml(devices, &[add()]), wanted);
    }
}

#[test]
fn a_line_of_an_inventory_is_edited_in_its_cells() {
    let text = format!("{HEAD}inventory: [i.csv]\n");
    let table = "# exported\r\nclientID,imei,group,hold,comment\r\na,352099001761481,vans,,\r\n\r\n\
                 \"b\",352099001761499,,true,\"x, y\"\r\n";
    let run = |edits: &[Edit]| {
        let mut new = edited(&[("fleet.yaml", &text), ("i.csv", table)], edits).unwrap();
        assert_eq!(new.len(), 1);
        new.remove("i.csv").unwrap()
    };
    for (edit, old, new) in [
        (set("a", "hold", "true"), "vans,,", "vans,true,"),
        (clear("b", "hold"), ",true,", ",,"),
        (set("b", "comment", "say \"z\""), "\"x, y\"", "\"say \"\"z\"\"\""),
        (set("a", "imei", "352099001761507"), "352099001761481", "352099001761507"),
        (Edit::Remove { device: "a".into() }, "a,352099001761481,vans,,\r\n", ""),
    ] {
        assert_eq!(run(&[edit]), table.replacen(old, new, 1));
    }
    let fields = vec![("imei", "352099001761515".to_owned()), ("comment", "1, 2".to_owned())];
    let add = Edit::Add { device: "c".into(), fields, inventory: Some("i.csv".into()) };
    assert_eq!(run(&[add]), format!("{table}c,352099001761515,,,\"1, 2\"\r\n"));
}

#[test]
fn a_field_without_a_column_overrides_the_line() {
    let text = format!("{HEAD}inventory: [i.csv]\n");
    let table = "clientID,imei\na,352099001761481\n";
    let run = |text: &str, edit: Edit| {
        let mut new = edited(&[("fleet.yaml", text), ("i.csv", table)], &[edit]).unwrap();
        assert_eq!(new.len(), 1);
        new.remove("fleet.yaml").unwrap()
    };
    let held = run(&text, set("a", "hold", "true"));
    assert_eq!(held, format!("{text}devices:\n  a: {{ hold: true }}\n"));
    assert_eq!(run(&held, clear("a", "hold")), held.replace("{ hold: true }", "{}"));
}

#[test]
fn several_devices_get_their_first_entries_at_once() {
    let table = "clientID,imei\na,352099001761481\nb,352099001761499\nc,352099001761507\n";
    for devices in ["", "devices:\n", "devices: {}\n"] {
        let text = format!("{HEAD}inventory: [i.csv]\n{devices}");
        let edits = ["a", "b", "c"].map(|device| set(device, "hold", "true"));
        let new = edited(&[("fleet.yaml", &text), ("i.csv", table)], &edits).unwrap();
        let entries = ["a", "b", "c"].map(|device| format!("  {device}: {{ hold: true }}\n")).concat();
        assert_eq!(
            new["fleet.yaml"],
            format!("{HEAD}inventory: [i.csv]\ndevices:\n{entries}"),
            "{devices:?}"
        );
    }
    let add = |device: &str, imei: &str| {
        let fields = vec![("imei", imei.into())];
        Edit::Add { device: device.into(), fields, inventory: None }
    };
    let added = in_yaml("", &[add("a", "352099001761481"), add("b", "352099001761499")]);
    assert!(added.contains("\n  a: {") && added.contains("\n  b: {"), "{added}");
}

#[test]
fn releases_are_withdrawn_with_a_reason() {
    let devices = "devices:\n  a: { imei: \"352099001761481\" }\n";
    let withdraw = |reason: &str| withdrawal("0.10.64", reason);
    for (before, after) in [
        ("", "withdrawn:\n  0.10.64: loses its clock\n"),
        ("withdrawn:\n  0.10.63: old # a\n", "withdrawn:\n  0.10.63: old # a\n  0.10.64: loses its clock\n"),
        ("withdrawn: { 0.10.64: x }\n", "withdrawn: { 0.10.64: loses its clock }\n"),
    ] {
        let is = in_yaml(&format!("{devices}{before}"), &[withdraw("loses its clock")]);
        assert_eq!(is, format!("{devices}{after}"));
    }
}

fn place(steps: &str) -> Vec<Step> {
    let step = |step: &str| step.parse().map_or_else(|_| Step::Key(step.into()), Step::Item);
    steps.split('/').map(step).collect()
}

fn put(steps: &str, value: &str) -> Edit {
    Edit::Set { place: place(steps), value: value.into() }
}

#[test]
fn values_outside_of_devices_are_set_where_they_stand() {
    let head = HEAD.split_once("channels:").unwrap().0;
    let waves = "\
channels: # two
  stable: 0.10.65 # for most
  next: # first
    release: \"0.10.66\" # quoted
    otherwise: 0.10.65
    rollout: # in two days
      - { percent: 5%, at: 2026-12-01T08:00:00Z } # few
      # many
      - percent: 100%
        at: '2026-12-02T08:00:00Z'
    attempts: 2
default: { channel: stable }
";
    for (edits, old, new) in [
        (&[put("channels/stable", "0.10.66")][..], "stable: 0.10.65 #", "stable: 0.10.66 #"),
        (&[put("channels/next/release", "0.10.67")], "\"0.10.66\"", "\"0.10.67\""),
        (
            &[put("channels/next/rollout/0/at", "2026-11-30T08:00:00Z")],
            "5%, at: 2026-12-01T08",
            "5%, at: 2026-11-30T08",
        ),
        (
            &[put("channels/next/rollout/1/at", "2027-01-02T08:00:00Z")],
            "'2026-12-02T08:00:00Z'",
            "\"2027-01-02T08:00:00Z\"",
        ),
        (&[put("channels/next/rate", "5/h")], "    attempts: 2\n", "    attempts: 2\n    rate: 5/h\n"),
        (&[put("channels/beta", "0.10.65")], "    attempts: 2\n", "    attempts: 2\n  beta: 0.10.65\n"),
        (
            &[put("channels/next/rollout", "100%")],
            "rollout: # in two days\n      - { percent: 5%, at: 2026-12-01T08:00:00Z } # few\n      # \
             many\n      - percent: 100%\n        at: '2026-12-02T08:00:00Z'\n",
            "rollout: 100% # in two days\n",
        ),
        (
            &[put("channels/next/otherwise", "0.10.66"), put("channels/next/release", "0.10.67")],
            "release: \"0.10.66\" # quoted\n    otherwise: 0.10.65\n",
            "release: \"0.10.67\" # quoted\n    otherwise: 0.10.66\n",
        ),
    ] {
        assert!(waves.contains(old), "{old}");
        let wanted = format!("{head}{}", waves.replacen(old, new, 1));
        for end in ["\n", "\r\n"] {
            let text = format!("{head}{waves}").replace('\n', end);
            let is =
                edited(&[("fleet.yaml", &text)], edits).unwrap_or_else(|error| panic!("{edits:?}: {error}"));
            assert_eq!(is["fleet.yaml"], wanted.replace('\n', end), "{edits:?}");
        }
    }
}

#[test]
fn the_first_channel_comes_with_the_default() {
    let head = HEAD.split_once("channels:").unwrap().0;
    let edits = [put("channels/stable", "0.10.65"), put("default/channel", "stable")];
    for channels in ["channels:\n", "channels: {}\n"] {
        let text = format!("{head}{channels}");
        let is = edited(&[("fleet.yaml", &text)], &edits).unwrap();
        let wanted = format!("{head}channels:\n  stable: 0.10.65\ndefault:\n  channel: stable\n");
        assert_eq!(is["fleet.yaml"], wanted);
    }
}

#[test]
fn values_that_others_share_are_refused() {
    let head = HEAD.split_once("channels:").unwrap().0;
    let text = format!(
        "{head}channels:\n  a: &a {{ release: 0.10.65 }}\n  b: *a\n  c: {{ <<: *a, attempts: 2 }}\n  d: {{ \
         release: &v 0.10.65 }}\n  e: {{ release: *v }}\n"
    );
    for (channel, line, why) in [
        ("a", 9, "is an anchor, which other entries refer to"),
        ("b", 10, "comes from an alias or `<<`"),
        ("c", 11, "may stand there through an alias or `<<`"),
        ("d", 12, "is an anchor, which other entries refer to"),
    ] {
        let steps = format!("channels/{channel}/release");
        let error = edited(&[("fleet.yaml", &text)], &[put(&steps, "0.10.66")]).unwrap_err().to_string();
        let wanted = format!("fleet.yaml:{line}: `channels.{channel}.release` {why}: edit it by hand");
        assert!(error.ends_with(&wanted), "{error}");
    }
    let is = edited(&[("fleet.yaml", &text)], &[put("channels/e/release", "0.10.66")]).unwrap();
    assert_eq!(is["fleet.yaml"], text.replace("release: *v", "release: 0.10.66"));
}

#[test]
fn what_other_entries_share_is_refused_with_its_line() {
    let devices = "\
devices:
  a: &a { imei: \"352099001761481\" }
  b: { <<: *a, imei: \"352099001761499\" }
  <<: { c: { imei: \"352099001761507\" } }
";
    let text = format!("{HEAD}{devices}");
    for (device, line, why) in
        [("a", 12, "is an anchor, which other entries refer to"), ("c", 11, "comes from an alias or `<<`")]
    {
        let error = edited(&[("fleet.yaml", &text)], &[set(device, "hold", "true")]).unwrap_err().to_string();
        assert!(error.ends_with(&format!("fleet.yaml:{line}: `{device}` {why}: edit it by hand")), "{error}");
    }
    let own = in_yaml(devices, &[set("b", "hold", "true")]);
    assert_eq!(own, devices.replace("761499\"", "761499\", hold: true"));
}

#[test]
fn an_edit_that_breaks_the_fleet_is_refused() {
    let text = format!(
        "{HEAD}devices:\n  a: {{ imei: \"352099001761481\" }}\n  b: {{ imei: \"352099001761499\" }}\n"
    );
    for edit in [set("a", "group", "bikes"), set("a", "imei", "352099001761499"), set("a", "release", "1")] {
        let error = edited(&[("fleet.yaml", &text)], &[edit]).unwrap_err();
        assert!(matches!(error, EditError::Breaks(_)), "{error}");
    }
}

/// A device in one of many notations; every line of it ends with its mark.
fn notation(n: usize, style: usize, fields: &[(&'static str, String)]) -> String {
    let mark = format!("# d{n}");
    let pairs: Vec<_> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    match style {
        0 => format!("  d{n}: {{ {} }} {mark}\n", pairs.join(", ")),
        1 => {
            let lines: String = pairs.iter().map(|pair| format!("    {pair} {mark}\n")).collect();
            format!("  d{n}: {mark}\n{lines}")
        }
        2 => {
            let lines: String = pairs.iter().map(|pair| format!("    {pair}, {mark}\n")).collect();
            format!("  \"d{n}\": {{ {mark}\n{lines}  }} {mark}\n")
        }
        _ => {
            let lines: String = pairs.iter().rev().map(|pair| format!("      {pair}   {mark}\n")).collect();
            format!("  'd{n}': {mark}\n{lines}")
        }
    }
}

fn a_device() -> impl Strategy<Value = (usize, Vec<(&'static str, String)>)> {
    let maybe = |values: &'static [&'static str]| proptest::option::of(proptest::sample::select(values));
    let group = maybe(&["vans", "cars", "\"cars\""]);
    let channel = maybe(&["stable", "'next'"]);
    let comment = maybe(&["plain", "\"a # b\"", "'it''s'", "ü \u{1f600}"]);
    (0usize..4, group, channel, maybe(&["true", "false"]), maybe(&["0.10.65", "\"0.10.66\""]), comment)
        .prop_map(|(style, group, channel, hold, release, comment)| {
            let fields = [
                ("group", group),
                ("channel", channel),
                ("hold", hold),
                ("release", release),
                ("comment", comment),
            ];
            let fields = fields.into_iter().filter_map(|(key, value)| Some((key, value?.to_owned())));
            (style, fields.collect())
        })
}

fn an_edit() -> impl Strategy<Value = (usize, usize)> {
    (0usize..12, 0usize..9)
}

/// Every edit changes lines of its device and no other byte, whatever the notation.
#[test]
fn no_other_byte_changes() {
    let devices = proptest::collection::vec(a_device(), 1..6);
    let edits = proptest::collection::vec(an_edit(), 1..4);
    let case = (devices, edits, any::<bool>(), 0usize..3);
    let config = Config { cases: 1000, failure_persistence: None, ..Config::default() };
    let made = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&case, |(devices, edits, windows, in_table)| {
            let count = devices.len();
            let imei = |n: usize| format!("3520990017{n:05}");
            let (mut yaml, mut table) = (
                String::from("devices:\n  # the first one\n"),
                String::from("clientID,imei,group,channel,release,hold,comment\n"),
            );
            for (n, (style, fields)) in devices.iter().enumerate() {
                if n > 0 && n <= in_table {
                    let cell = |key| {
                        fields
                            .iter()
                            .find(|(name, _)| *name == key)
                            .map_or("", |(_, value)| value.trim_matches(['"', '\'']))
                    };
                    table += &format!(
                        "d{n},{},{},{},{},{},\"c {n}\"\n",
                        imei(n),
                        cell("group"),
                        cell("channel"),
                        cell("release"),
                        cell("hold")
                    );
                } else {
                    let mut all = vec![("imei", format!("\"{}\"", imei(n)))];
                    all.extend(fields.iter().cloned());
                    yaml += &notation(n, *style, &all);
                    yaml += "  # between\n";
                }
            }
            let end = if windows { "\r\n" } else { "\n" };
            let text = format!("{HEAD}inventory: [i.csv]\n{yaml}limits: {{ url: 100 }} # the end\n")
                .replace('\n', end);
            let table = table.replace('\n', end);
            let edits: Vec<_> = edits
                .into_iter()
                .map(|(at, what)| {
                    let device = format!("d{}", at % count);
                    let set = |key, value: &str| set(&device, key, value);
                    match what {
                        0 => set("hold", "true"),
                        1 => clear(&device, "hold"),
                        2 => set("release", "0.10.66"),
                        3 => clear(&device, "release"),
                        4 => set("group", "cars"),
                        5 => set("comment", "new: {\"x\"} # [y]"),
                        6 => set("imei", &imei(90 + at)),
                        7 => clear(&device, "comment"),
                        _ => set("channel", "stable"),
                    }
                })
                .collect();
            let touched: BTreeSet<_> = edits.iter().map(|edit| edit.place().to_owned()).collect();
            let new = match edited(&[("fleet.yaml", &text), ("i.csv", &table)], &edits) {
                Ok(new) => new,
                // Two devices with one IMEI.
                Err(EditError::Breaks(_)) => return Ok(()),
                Err(error) => return Err(TestCaseError::fail(format!("{error}\n{text}\n{edits:?}"))),
            };
            made.set(made.get() + 1);
            for (name, old) in [("fleet.yaml", &text), ("i.csv", &table)] {
                let Some(new) = new.get(name) else { continue };
                let is_touched = |line: &str| {
                    touched.iter().any(|device| {
                        line.starts_with(&format!("{device},"))
                            || line.trim_end().ends_with(&format!("# {device}"))
                    })
                };
                // The other lines stay as they are, in their order; what is new stands between them.
                let mut left = new.split_inclusive('\n');
                let mut more = 0;
                for line in old.split_inclusive('\n').filter(|line| !is_touched(line)) {
                    more += left.by_ref().take_while(|new| *new != line).count();
                }
                more += left.count();
                let gone = old.split_inclusive('\n').filter(|line| is_touched(line)).count();
                prop_assert!(more <= gone + edits.len(), "{old}\n→\n{new}\n{edits:?}");
                prop_assert!(new.matches('\n').count() + gone >= old.matches('\n').count());
            }
            Ok(())
        })
        .unwrap();
    assert!(made.get() > 500, "{}", made.get());
}
