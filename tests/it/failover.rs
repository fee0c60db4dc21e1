//! PostgreSQL with a standby that is promoted: `serve` goes on with it, and nothing that was acknowledged is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::postgres::Postgres;
use crate::support::process::{Fleet, PATIENCE, Serve, YAML, heavy, wait_until};

const DEVICES: usize = 4_000;
const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;

fn imei(n: usize) -> String {
    format!("35{n:013}")
}

/// Everything that was acknowledged, by device.
#[derive(Default)]
struct Acknowledged {
    offers: Mutex<Vec<String>>,
    results: Mutex<Vec<String>>,
}

/// One device after the other asks until it is offered its target, and reports until it is heard.
fn live(serve: &Serve, next: &AtomicUsize, stop: &AtomicUsize, acknowledged: &Acknowledged) {
    let mut client = serve.connect();
    loop {
        let n = next.fetch_add(1, Ordering::SeqCst);
        if n >= stop.load(Ordering::SeqCst) {
            return;
        }
        assert!(n < DEVICES, "there are no devices left");
        let (imei, start) = (imei(n), Instant::now());
        let patient = |what: &str| {
            assert!(start.elapsed() < PATIENCE, "device {n}: {what}: {}", serve.log());
            std::thread::sleep(Duration::from_millis(50));
        };
        loop {
            let reply = client.send("POST", "/otap/version", &format!("GW/{imei}"), "", b"0.10.65").unwrap();
            assert_eq!(reply.status, 200, "a check is always answered");
            match reply.text() {
                YES => break,
                NO => patient("no offer"),
                other => panic!("{other}"),
            }
        }
        acknowledged.offers.lock().unwrap().push(imei.clone());
        let (path, agent) = (format!("/otap/notify?id=d{n}"), format!("TC65i/{imei} Profile/IMP-NG"));
        while client.send("POST", &path, &agent, "", b"900 Success").unwrap().status != 200 {
            patient("no result");
        }
        acknowledged.results.lock().unwrap().push(imei);
    }
}

#[test]
fn a_standby_that_is_promoted_has_all_that_was_acknowledged() {
    let _alone = heavy();
    let primary = Postgres::start("");
    let url = primary.database();
    let standby = primary.with_standby();
    let name = url.rsplit_once('/').unwrap().1;
    let both = format!("postgres://postgres@{},{}/{name}", primary.address(), standby.address());
    let devices: String = (0..DEVICES).map(|n| format!("  d{n}: {{ imei: \"{}\" }}\n", imei(n))).collect();
    let yaml = YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices);
    let fleet =
        Fleet::new(&yaml.replace("{ next: 0.10.66 }", "{ next: { release: 0.10.66, unproven: unlimited } }"));
    let serve = fleet.serve(&["--state", &both]);
    let (next, stop, acknowledged) =
        (AtomicUsize::new(0), AtomicUsize::new(DEVICES), Acknowledged::default());
    let heard = || acknowledged.results.lock().unwrap().len();
    let before = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| live(&serve, &next, &stop, &acknowledged));
        }
        wait_until(|| heard() > 100, || serve.log());
        primary.crash();
        let before = heard();
        // Meanwhile there is only a standby, which is read and not written.
        std::thread::sleep(Duration::from_secs(1));
        standby.promote();
        wait_until(|| heard() > before + 100, || serve.log());
        stop.store(0, Ordering::SeqCst);
        before
    });
    assert!(before > 100 && next.load(Ordering::SeqCst) < DEVICES);
    let kept = |kind: &str| {
        let found = standby.psql(name, &format!("SELECT imei FROM events WHERE kind = '{kind}'"));
        found.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    for (kind, told) in [("offered", &acknowledged.offers), ("installed", &acknowledged.results)] {
        let (kept, told) = (kept(kind), told.lock().unwrap());
        let lost: Vec<_> = told.iter().filter(|imei| !kept.contains(*imei)).collect();
        assert!(lost.is_empty(), "{kind}: {lost:?}");
    }
    // Nobody was told twice as a second attempt.
    let attempts = standby.psql(name, "SELECT count(*) FROM offers WHERE attempts > 2");
    assert_eq!(attempts, "0");
}
