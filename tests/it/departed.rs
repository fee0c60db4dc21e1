//! A device that left the fleet gives its place back, whichever program looks for it.

use std::fs;
use std::time::Duration;

use otapress_core::wire::Limit;
use otapress_responder::departed::look_in_passing;
use otapress_responder::message::Request;
use otapress_responder::record::EventKind;
use otapress_responder::service::{Responder, Step, answer};
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store as _};

use crate::support::process::{Client, wait_until};
use crate::support::server::Server;
use crate::support::tree::{Tree, offer};
use crate::{cases, cgi};

const HOUR: i64 = 3600;

fn imei(n: usize) -> String {
    format!("35209900176{n:04}")
}

/// Five devices of a rollout with three places.
fn tree() -> Tree {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    (0..5).for_each(|n| tree.vc(&imei(n), &offer(&release)));
    tree.change_site(|site| {
        let rollout = site.rollouts.get_mut("next/0.10.66").unwrap();
        rollout.unproven = Limit::DEFAULT;
        rollout.waves[0].devices = 4;
    });
    tree
}

fn leave(tree: &Tree, n: usize) {
    fs::remove_file(tree.out().join(format!("vc/{}.json", imei(n)))).unwrap();
}

fn store(tree: &Tree) -> SqliteStore {
    SqliteStore::open(&tree.state(), Duration::from_secs(10)).unwrap()
}

/// How many places were freed.
fn freed(tree: &Tree) -> usize {
    let mut freed = 0;
    store(tree)
        .read(&mut |tx| {
            freed = tx.events_of_kinds(&[EventKind::PlaceFreed], 0, 9)?.len();
            Ok(())
        })
        .unwrap();
    freed
}

/// Whether the look of that hour was taken.
fn is_missed(tree: &Tree) -> bool {
    let mut missed = false;
    store(tree)
        .read(&mut |tx| {
            missed = tx.places(0, 9)?.iter().any(|place| place.missing.is_some());
            Ok(())
        })
        .unwrap();
    missed
}

#[test]
fn serve_looks_beside_its_answers() {
    let tree = tree();
    let server = Server::start(&tree);
    let mut client = Client::connect(server.address).unwrap();
    let mut told = |n: usize| {
        let agent = format!("GW/{}", imei(n));
        client.send("POST", "/otap/version", &agent, "", b"0.10.65").unwrap().text().contains(":1")
    };
    assert_eq!((0..4).map(&mut told).collect::<Vec<_>>(), [true, true, true, false]);
    leave(&tree, 1);
    server.advance(60);
    wait_until(|| is_missed(&tree), || "nobody looks".into());
    server.advance(HOUR - 1);
    assert!(!told(3), "an hour has not passed");
    server.advance(60);
    wait_until(|| freed(&tree) == 1, || "nothing is freed".into());
    assert!(told(3));
    assert!(!told(4));
}

#[test]
fn otapress_cgi_looks_once_it_has_answered_a_device_that_waits() {
    let tree = tree();
    let (mut store, responder) = (store(&tree), Responder::new(tree.out()));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    for n in 0..3 {
        let agent = format!("GW/{}", imei(n));
        let (agent, body) = (Some(agent.as_bytes()), b"0.10.65".as_slice());
        let request =
            Request { method: "POST", target: "/otap/version", host: None, agent, body, is_complete: true };
        let Step::Ask(question) = responder.prepare(&request) else { panic!("{agent:?}") };
        answer(&mut store, Durability::Process, &[question], now - 2 * HOUR);
    }
    leave(&tree, 1);
    assert_eq!(look_in_passing(&mut store, &responder, now - 2 * HOUR + 60).unwrap(), []);
    let check = || {
        let request = cases::Request {
            method: "POST".into(),
            path: "/otap/version".into(),
            agent: Some(format!("GW/{}", imei(3))),
            body: b"0.10.65".to_vec(),
        };
        let program = crate::support::programs::otapress_cgi();
        let (response, said) = cgi::run(cgi::command(program, &tree.out(), &tree.state()), &request);
        (response.body, said)
    };
    let said = format!("otapress-cgi: next/0.10.66: {} left the fleet and gave its place back\n", imei(1));
    assert_eq!(check(), (r#"{"upgrade":0}"#.into(), said));
    assert_eq!(freed(&tree), 1);
    assert_eq!(check(), (r#"{"upgrade":1}"#.into(), String::new()));
}
