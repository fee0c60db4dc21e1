//! Strangers who know an IMEI, or all of them: without the published path, which is the key, they reach
//! nothing.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::process::{Fleet, Serve};
use crate::support::project::Ran;

/// The path of version checks and results, as an operator makes one up.
const KEY: &str = "/otap/k3yOf7aFleet";

const IMEIS: [&str; 4] = ["352099001761481", "352099001761499", "352099001761507", "352099001761515"];

const NO: &str = r#"{"upgrade":0}"#;

/// A fleet of four devices, with a rollout that three artifact faults or any failure would stop.
fn yaml() -> String {
    let mut yaml = format!(
        "site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com{KEY}/notify?id=@
  versionURI: http://ota.example.com{KEY}/version
midlet: {{ name: OwnTracks, vendor: Choral }}
channels: {{ next: {{ release: 0.10.66, attempts: 3, rate: 4/h, brake: {{ artifactFaults: 3, failures: 1%, \
after: 1 }} }} }}
default: {{ channel: next }}
devices:
"
    );
    for (n, imei) in IMEIS.iter().enumerate() {
        yaml += &format!("  dev{}: {{ imei: \"{imei}\" }}\n", n + 1);
    }
    yaml
}

fn modem(imei: &str) -> String {
    format!("TC65i/{imei} Profile/IMP-NG Configuration/CLDC-1.1")
}

/// What a device is answered that knows the path.
fn check(serve: &Serve, imei: &str, version: &str) -> String {
    serve.ask("POST", &format!("{KEY}/version"), &format!("GW/{imei}"), "", version).text().to_owned()
}

fn status(fleet: &Fleet, arguments: &[&str]) -> String {
    let ran = Ran::new(fleet.run(&[&["status"], arguments].concat()));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn without_the_key_nothing_is_pulled_used_up_passed_or_recorded() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&[]);
    for target in ["/otap/version", "/", "/otap/k3yOf7aFlee/version", "/vc"] {
        for (n, imei) in IMEIS.iter().enumerate() {
            let agent = format!("GW/{imei}");
            // Attempts and the rate would be used up, a success pretended, settings read.
            for version in ["0.10.65", "0.10.65", "0.10.66", "0.10.65", "9.9.9"] {
                assert_eq!(serve.ask("POST", target, &agent, "", version).text(), NO);
            }
            // Three of these would pull the brake.
            for text in ["904 JAR size mismatch", "907 Invalid JAR", "900 Success"] {
                let reply =
                    serve.ask("POST", &format!("/otap/notify?id=dev{}", n + 1), &modem(imei), "", text);
                assert_eq!((reply.status, reply.text()), (200, NO));
            }
        }
    }
    let counts: Value = serde_json::from_str(&status(&fleet, &["--json"])).unwrap();
    let rollout = &counts["rollouts"][0];
    assert_eq!(
        (&rollout["offered"], &rollout["finished"], &rollout["halted"]),
        (&0.into(), &0.into(), &Value::Null)
    );
    assert_eq!(rollout["states"]["current"], 0);
    assert_eq!(counts["summary"]["lastContact"], Value::Null);
    assert_ne!(fleet.run(&["status", "--gate", "success=100%"]).status.code(), Some(0));
    // The devices themselves get what they would have got.
    assert_eq!(check(&serve, IMEIS[0], "0.10.65"), r#"{"upgrade":1}"#);
}

#[test]
fn devices_at_a_forgotten_path_are_named_with_what_admits_them() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&[]);
    for imei in &IMEIS[..3] {
        let agent = format!("GW/{imei}");
        assert_eq!(serve.ask("POST", "/vc?x=1", &agent, "", "0.10.65").text(), NO);
    }
    let remedy = "put `formerly: { versionURI: [\"http://ota.example.com/vc?x=1\"] }` below `provisioning:`";
    serve.wait_for("2 devices of the fleet posted to `/vc?x=1`, which is not published, and got no upgrade");
    assert!(serve.log().contains(remedy), "{}", serve.log());
    let says = status(&fleet, &[]);
    assert!(says.contains("unpublished path  3 devices at `/vc?x=1`") && says.contains(remedy), "{says}");
    let counts: Value = serde_json::from_str(&status(&fleet, &["--json"])).unwrap();
    assert_eq!(counts["unpublishedPaths"][0]["devices"], 3);
    assert_eq!(counts["unknown"], 0);
    // Who asks at a published one since has found the way.
    std::thread::sleep(Duration::from_millis(1100));
    check(&serve, IMEIS[0], "0.10.65");
    assert!(status(&fleet, &[]).contains("unpublished path  2 devices at"));
}

#[test]
fn a_simulated_device_is_told_why_at_published_paths_only() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&[]);
    let ask = |target: &str, imei: &str, version: &str| {
        let reply = serve.ask("POST", target, &format!("SIMU/{imei}"), "", version);
        (reply.text().to_owned(), reply.header("x-otapress").map(str::to_owned))
    };
    let version = format!("{KEY}/version");
    let told = |text: &str| Some(text.to_owned());
    assert_eq!(ask(&version, IMEIS[0], "0.10.65"), (r#"{"upgrade":1}"#.into(), told("upgrade; store=ok")));
    assert_eq!(ask(&version, IMEIS[0], "0.10.66"), (NO.into(), told("current; store=ok")));
    assert_eq!(ask(&version, "999999999999999", "0.1"), (NO.into(), told("unknown-device; store=ok")));
    assert_eq!(ask("/otap/version", IMEIS[0], "0.10.65"), (NO.into(), None));
    assert!(status(&fleet, &[]).contains("none was ever heard of"));
    // Where nothing can be recorded, it says so.
    let elsewhere = Fleet::new(&yaml());
    fs::write(elsewhere.path("state"), "no directory").unwrap();
    let serve = elsewhere.serve(&[]);
    let reply = serve.ask("POST", &version, &format!("SIMU/{}", IMEIS[0]), "", "0.10.65");
    assert_eq!((reply.text(), reply.header("x-otapress")), (NO, Some("no-state; store=none")));
}

#[test]
fn a_part_of_the_path_that_a_proxy_takes_away_is_given_back() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&["--prefix", "/otap/"]);
    let path = format!("{}/version", KEY.strip_prefix("/otap").unwrap());
    let agent = format!("GW/{}", IMEIS[0]);
    assert_eq!(serve.ask("POST", &path, &agent, "", "0.10.65").text(), r#"{"upgrade":1}"#);
    assert_eq!(serve.ask("POST", &format!("{KEY}/version"), &agent, "", "0.10.65").text(), NO);
    let ran = Ran::new(fleet.run(&["serve", "--prefix", "otap"]));
    assert!(ran.status == 2 && ran.stderr.contains("it is no path"), "{}", ran.stderr);
}

#[test]
fn a_flood_of_requests_is_no_flood_of_log_lines() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&[]);
    let mut client = serve.connect();
    for n in 0..500 {
        for agent in [format!("GW/x{n}"), format!("GW/{:015}", 490_000_000_000_000_u64 + n)] {
            let reply = client.send("POST", &format!("{KEY}/version"), &agent, "", b"0.10.65").unwrap();
            assert_eq!(reply.text(), NO);
        }
    }
    // Nor is what is hardly HTTP.
    for _ in 0..50 {
        let reply = serve.ask("POST", &format!("{KEY}/version"), "GW/1", "Content-Length: x\r\n", "0.10.65");
        assert_eq!(reply.text(), NO);
    }
    // Another kind is logged all the same.
    serve.ask("POST", "/elsewhere", &format!("GW/{}", IMEIS[0]), "", "0.10.65");
    serve.wait_for("posted to `/elsewhere`");
    let log = serve.log();
    for kind in ["no-imei", "unknown-device", "is not HTTP"] {
        assert_eq!(log.lines().filter(|line| line.contains(kind)).count(), 20, "{kind}");
    }
}

/// Who knows the path and an IMEI can post in its name, and fill nothing.
#[test]
fn repeated_results_and_alternating_versions_grow_nothing() {
    let fleet = Fleet::new(&yaml());
    let serve = fleet.serve(&[]);
    let mut client = serve.connect();
    let size = || -> u64 {
        let files = fs::read_dir(fleet.path("state")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    let mut flood = |rounds: u32| {
        for n in 0..rounds {
            let version = format!("0.10.{}", n % 100);
            let agent = format!("GW/{}", IMEIS[0]);
            client.send("POST", &format!("{KEY}/version"), &agent, "", version.as_bytes()).unwrap();
            let text = format!("9{:02} {}", n % 100, "\u{1}".repeat(4000));
            let path = format!("{KEY}/notify?id=dev1");
            let reply = client.send("POST", &path, &modem(IMEIS[0]), "", text.as_bytes()).unwrap();
            assert_eq!(reply.status, 200);
        }
    };
    flood(200);
    let before = size();
    flood(1000);
    // The log of the database is as long as it may get between two checkpoints.
    assert!(size() < before.max(18 << 20), "{before} bytes became {}", size());
    let shown = Ran::new(fleet.run(&["show", "dev1"])).stdout;
    assert!(shown.contains("not kept: more than 12 of a kind in an hour"), "{shown}");
    let db = rusqlite::Connection::open(fleet.path("state/otapress.db")).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    // Twelve of each kind in an hour, of which the test may see two.
    assert!(count("SELECT max(n) FROM (SELECT count(*) AS n FROM events GROUP BY kind)") <= 24);
    assert!(count("SELECT max(length(detail)) FROM events") <= 120);
}
