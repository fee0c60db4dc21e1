//! Devices that move to other URIs: what they may still have been told is kept alive.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use otapress_devices::device::Device;
use otapress_responder::message::Request;
use otapress_responder::service::{Responder, Step, answer};
use otapress_responder::store::Durability;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_simulation::Prng;
use serde_json::{Value, json};

use crate::support::process::Fleet;
use crate::support::project::{Project, Ran, SMALL};

const FORMERLY: &str = "  formerly:
    otapURI: [http://old.example.com/old/@.jad, http://ota.example.com/files/@/OwnTracks.jad]
    notifyURI: [http://old.example.com/result?id=@]
    versionURI: [https://old.example.com/vc, http://ota.example.com/otap/version]
midlet:";

#[test]
fn former_paths_stay_published() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    project.edit("fleet.yaml", "midlet:", FORMERLY);
    project.edit("fleet.yaml", "/files/@/OwnTracks.jad\n  notify", "/new/@/OwnTracks.jad\n  notify");
    project.edit("fleet.yaml", "/otap/version\n  formerly", "/check\n  formerly");
    project.build();
    let after = project.out();
    let jad = &before["files/dev1/OwnTracks.jad"];
    for path in ["new/dev1/OwnTracks.jad", "old/dev1.jad", "files/dev1/OwnTracks.jad"] {
        assert_eq!(after.get(path), Some(jad), "{path}");
    }
    let site: Value = serde_json::from_slice(&after["otapress.json"]).unwrap();
    assert_eq!(site["versionPaths"], json!(["/check"]));
    assert_eq!(
        site["formerly"],
        json!({ "versionPaths": ["/otap/version", "/vc"], "notifyPaths": ["/result?id=@"] })
    );
    // Taken out of the fleet, they are gone.
    let fleet = project.read("fleet.yaml");
    let (start, end) = (fleet.find("  formerly:").unwrap(), fleet.find("midlet:").unwrap());
    project.write("fleet.yaml", format!("{}{}", &fleet[..start], &fleet[end..]));
    project.build();
    let paths: Vec<_> = project.out().into_keys().filter(|path| path.ends_with("dev1.jad")).collect();
    assert_eq!(paths, <[String; 0]>::default());
}

#[test]
fn a_pushed_password_is_read_from_its_file_and_shown_nowhere() {
    let auth = "  otapUser: ota\n  otapPasswordFile: secrets/new\n  formerly: \
        { otapPasswordFile: [secrets/old] }\nmidlet:";
    let set = "settings:\n  move: \
        { values: { otapPassword: { file: secrets/new } }, allow: [otapPassword] }\ndefault: \
        { settings: [move],";
    let project = Project::new(&SMALL.replace("midlet:", auth).replace("default: {", set))
        .file("secrets/new", "swordfish\n")
        .file("secrets/old", "goldfish\n");
    project.build();
    let answer = &project.out()["vc/352099001761481.json"];
    assert!(String::from_utf8_lossy(answer).contains(r#"{"key":"otapPassword","val":"swordfish"}"#));
    for command in ["show dev1", "show dev1 --json", "plan", "check"] {
        let ran = project.run(command);
        assert!(!ran.stdout.contains("swordfish") && !ran.stderr.contains("swordfish"), "{command}: {ran:?}");
    }
    // Another password is another answer.
    project.write("secrets/new", "sturgeon\n");
    assert_eq!(project.run("build --check").status, 3);
}

#[test]
fn many_jads_move_only_with_a_way_back() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    project.edit("fleet.yaml", "/files/@/OwnTracks.jad", "/new/@/OwnTracks.jad");
    let ran = project.run("build");
    assert_eq!((ran.status, project.out() == before), (1, true));
    assert!(ran.stderr.contains("2 of 2 JADs would move to other paths"), "{}", ran.stderr);
    assert!(ran.stderr.contains("put the old `otapURI` into `formerly`"), "{}", ran.stderr);
    // To hold a device, or to lose its target, is no move.
    project.edit("fleet.yaml", "/new/@/OwnTracks.jad", "/files/@/OwnTracks.jad");
    project.edit("fleet.yaml", "\"352099001761481\" }", "\"352099001761481\", hold: true }");
    project.build();
    project.edit(
        "fleet.yaml",
        "midlet:",
        "  formerly: { otapURI: [http://ota.example.com/files/@/OwnTracks.jad] }\nmidlet:",
    );
    project.edit(
        "fleet.yaml",
        "otapURI: http://ota.example.com/files",
        "otapURI: http://ota.example.com/new",
    );
    project.build();
}

#[test]
fn a_shared_jad_moves_only_with_a_way_back() {
    let project = Project::new(&SMALL.replace("files/@/", "files/"));
    project.build();
    project.edit("fleet.yaml", "files/OwnTracks.jad", "new/OwnTracks.jad");
    assert_eq!(project.run("build").status, 1);
    assert_eq!(project.run("build --allow-mass-removal").status, 0);
}

const MOVED: &str = r#"site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  formerly:
    otapURI: [http://old.example.com/old/@/OwnTracks.jad]
    notifyURI: [http://old.example.com/otap/notify?id=@]
    versionURI: [http://old.example.com/otap/version, https://old.example.com/vc]
midlet: { name: OwnTracks, vendor: Choral }
channels: { next: { release: 0.10.66, unproven: unlimited } }
settings:
  move:
    values:
      otapURI: http://ota.example.com/files/@/OwnTracks.jad
      notifyURI: http://ota.example.com/otap/notify?id=@
      versionURI: http://ota.example.com/otap/version
    allow: [otapURI, notifyURI, versionURI]
default: { channel: next, settings: [move] }
devices:
"#;

fn moved(devices: usize) -> Fleet {
    let imei = |n: usize| format!("  dev{n}: {{ imei: \"{}\" }}\n", imei(n));
    Fleet::new(&(MOVED.to_owned() + &(0..devices).map(imei).collect::<String>()))
}

fn imei(n: usize) -> String {
    format!("3520990017{n:05}")
}

#[test]
fn who_still_uses_a_former_uri_is_counted_by_path_and_by_host() {
    let fleet = moved(4);
    let serve = fleet.serve(&[]);
    let check = |n: usize, target: &str| {
        let reply = serve.ask("POST", target, &format!("GW/{}", imei(n)), "", "0.10.66");
        assert!(reply.text().contains(r#""key":"versionURI""#), "{}", reply.text());
    };
    check(0, "/vc");
    // Only the host has moved: a path tells nothing.
    check(1, "http://old.example.com/otap/version");
    check(2, "http://ota.example.com/otap/version");
    let modem = format!("TC65i/{} Profile/IMP-NG", imei(3));
    check(3, "/otap/version");
    let notify = "http://OLD.example.com:80/otap/notify?id=dev3";
    assert_eq!(serve.ask("POST", notify, &modem, "", "900 Success").status, 200);
    let ran = |arguments: &[&str]| Ran::new(fleet.run(arguments)).stdout;
    let status: Value = serde_json::from_str(&ran(&["status", "--json"])).unwrap();
    assert_eq!(
        status["formerly"],
        json!([
            { "uri": "notifyURI", "at": "old.example.com/otap/notify?id=@", "devices": 1 },
            { "uri": "versionURI", "at": "/vc", "devices": 1 },
            { "uri": "versionURI", "at": "old.example.com/otap/version", "devices": 1 },
            { "uri": "otapURI", "at": null, "devices": 4 },
        ])
    );
    assert_eq!((&status["unknown"], &status["unpublishedPaths"]), (&json!(0), &Value::Null));
    let text = ran(&["status"]);
    assert!(text.contains("formerly          1 device at the former versionURI `/vc`\n"), "{text}");
    assert!(text.contains("4 devices without a word that the pushed otapURI has arrived"), "{text}");
    let metrics = ran(&["status", "--prometheus"]);
    for line in [
        "otapress_devices_formerly{uri=\"versionURI\"} 2",
        "otapress_devices_formerly{uri=\"otapURI\"} 4",
        "otapress_devices_unpublished_path 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;

/// What the responder says to a request, at a time.
fn ask(
    responder: &Responder,
    store: &mut SqliteStore,
    uri: &str,
    agent: &str,
    body: &str,
    now: i64,
) -> Value {
    let (host, path) = uri.split_once("://").unwrap().1.split_once('/').unwrap();
    let request = Request {
        method: "POST",
        target: &format!("/{path}"),
        host: Some(host),
        agent: Some(agent.as_bytes()),
        body: body.as_bytes(),
        is_complete: true,
    };
    let Step::Ask(question) = responder.prepare(&request) else { panic!("{uri} is lost") };
    assert!(question.stray().is_none(), "{uri} is not published");
    let reply = answer(store, Durability::Process, &[question], now).remove(0);
    assert_eq!(reply.status, 200);
    if reply.body.is_empty() { Value::Null } else { serde_json::from_str(&reply.body).unwrap() }
}

/// Everything moves at once, while a third of the devices are switched off for up to three weeks.
#[test]
fn a_fleet_that_moves_all_its_uris_at_once_loses_nobody_and_storms_never() {
    const DEVICES: usize = 24;
    let fleet = moved(DEVICES);
    assert!(fleet.run(&["build"]).status.success());
    let out = fleet.path("out");
    let responder = Responder::new(&out);
    let mut store = SqliteStore::open(&fleet.path("state"), Duration::from_secs(10)).unwrap();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let begin = clock - 5 * WEEK;
    let (mut queue, mut chance) = (BTreeSet::new(), Prng::new(7));
    let mut devices: Vec<_> = (0..DEVICES)
        .map(|n| {
            let off = if n % 3 == 0 { chance.below(3 * WEEK as u64) } else { chance.below(3 * HOUR as u64) };
            queue.insert((begin + off as i64, n));
            let version = ["https://old.example.com/vc", "http://old.example.com/otap/version"][n % 2];
            let mut device = Device::new(imei(n).parse().unwrap(), "0.10.65");
            for (key, val) in [
                ("clientID", format!("dev{n}")),
                ("otapURI", "http://old.example.com/old/@/OwnTracks.jad".into()),
                ("notifyURI", "http://old.example.com/otap/notify?id=@".into()),
                ("versionURI", version.into()),
            ] {
                device = device.with(key, &val).unwrap();
            }
            device
        })
        .collect();
    let (mut asked, mut sent) = (vec![0; DEVICES], vec![0; DEVICES]);
    while let Some((now, n)) = queue.pop_first().filter(|(now, _)| *now < clock) {
        let device = &mut devices[n];
        let uri = device.settings.get("versionURI").unwrap().to_owned();
        let agent = format!("GW/{}", device.imei);
        let told = ask(&responder, &mut store, &uri, &agent, &device.version, now);
        asked[n] += 1;
        let settings = told["settings"].as_array().cloned().unwrap_or_default();
        sent[n] += usize::from(!settings.is_empty());
        // One in eight answers is lost behind a bridge: then nothing of it is stored.
        if chance.below(8) == 0 {
            queue.insert((now + 1, n));
            continue;
        }
        for setting in &settings {
            let text = |key: &str| setting[key].as_str().unwrap();
            device.settings.apply(text("key"), text("val")).unwrap();
        }
        let mut next = now + 3 * HOUR;
        if told["upgrade"] == 1 {
            let jad = device.expanded("otapURI").unwrap();
            let path = jad.split_once("://").unwrap().1.split_once('/').unwrap().1;
            let jad = fs::read_to_string(out.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(jad.contains("MIDlet-Version: 0.10.66\n"), "{jad}");
            let agent = format!("TC65i/{} Profile/IMP-NG", device.imei);
            let notify = device.expanded("notifyURI").unwrap();
            ask(&responder, &mut store, &notify, &agent, "900 Success", now + 120);
            device.version = "0.10.66".into();
            next = now + 180;
        }
        queue.insert((next, n));
    }
    for (n, device) in devices.iter().enumerate() {
        assert_eq!(device.version, "0.10.66", "dev{n} was lost");
        for (key, path) in [
            ("otapURI", "files/@/OwnTracks.jad"),
            ("notifyURI", "otap/notify?id=@"),
            ("versionURI", "otap/version"),
        ] {
            assert_eq!(device.settings.get(key).unwrap(), format!("http://ota.example.com/{path}"), "dev{n}");
        }
        // One in eight is asked again at once, and each start is one more.
        assert!(asked[n] < 5 * 7 * 8 * 10 / 8 + 10, "dev{n} asked {} times", asked[n]);
        assert!(sent[n] <= 6, "dev{n} was sent its settings {} times", sent[n]);
    }
    drop(store);
    let status: Value = serde_json::from_str(&Ran::new(fleet.run(&["status", "--json"])).stdout).unwrap();
    let left: Vec<_> =
        status["formerly"].as_array().unwrap().iter().filter(|former| former["uri"] != "notifyURI").collect();
    assert!(left.iter().all(|former| former["devices"] == 0), "{left:?}");
}
