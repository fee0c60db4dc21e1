//! `otapress serve` is ended under load: what was acknowledged is kept.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use otapress_responder::record::EventKind;
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::{FILE, SqliteStore};
use rusqlite::config::DbConfig;

use crate::support::process::{Client, PATIENCE, Serve, heavy, otapress, wait_until};
use crate::support::tree::{Tree, offer};

const CLIENTS: usize = 12;

const NO: &str = r#"{"upgrade":0}"#;
const YES: &str = r#"{"upgrade":1}"#;

/// What was acknowledged: texts of results, and devices that were told to upgrade.
#[derive(Default)]
pub struct Acknowledged {
    pub results: BTreeSet<String>,
    offers: BTreeSet<String>,
}

impl Acknowledged {
    pub fn extend(&mut self, other: Acknowledged) {
        self.results.extend(other.results);
        self.offers.extend(other.offers);
    }
}

fn imei(round: usize, client: usize, n: usize) -> String {
    format!("35{round:03}{client:02}{n:08}")
}

/// One device after the other is offered its target and posts a result of its own, until the server is gone.
/// Whatever is answered at all is answered well.
fn act(address: SocketAddr, round: usize, client: usize, vc: std::path::PathBuf) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let Ok(mut connection) = Client::connect(address) else { return acknowledged };
    for n in 0.. {
        let imei = imei(round, client, n);
        std::fs::hard_link(vc.join("first.json"), vc.join(format!("{imei}.json"))).unwrap();
        let agent = format!("GW/{imei}");
        let Ok(reply) = connection.send("POST", "/otap/version", &agent, "", b"0.10.65") else { break };
        assert_eq!((reply.status, reply.text()), (200, YES));
        acknowledged.offers.insert(imei.clone());
        let text = format!("900 round {round} client {client} device {n}");
        let agent = format!("TC65i/{imei} Profile/IMP-NG");
        let path = format!("/otap/notify?id=dev{n}");
        let Ok(reply) = connection.send("POST", &path, &agent, "", text.as_bytes()) else { break };
        assert_eq!((reply.status, reply.text()), (200, ""));
        acknowledged.results.insert(text);
    }
    acknowledged
}

/// What serves a published directory.
pub fn serving(tree: &Tree, state: &Path) -> Command {
    // The clientID of every device differs from round to round, which is worth a warning to the log;
    // `--quiet`.
    let mut command = otapress(["serve", "--quiet", "--no-build", "--listen", "127.0.0.1:0"]);
    command.arg("--out").arg(tree.out()).arg("--state").arg(state);
    command
}

fn start(tree: &Tree) -> Serve {
    let command = serving(tree, &tree.state());
    Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"))
}

pub fn clients(serve: &Serve, tree: &Tree, round: usize) -> Vec<JoinHandle<Acknowledged>> {
    let (address, vc) = (serve.address, tree.out().join("vc"));
    (0..CLIENTS)
        .map(|client| {
            let vc = vc.clone();
            thread::spawn(move || act(address, round, client, vc))
        })
        .collect()
}

pub fn published() -> Tree {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    tree.vc("first", &offer(&release));
    tree
}

/// Opens the database as the next process would, and looks for everything that was acknowledged.
pub fn assert_kept(tree: &Tree, acknowledged: &Acknowledged) {
    let db = rusqlite::Connection::open(tree.state().join(FILE)).unwrap();
    // The log stays as it is for the next server.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let said: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    drop(db);
    let mut store = SqliteStore::open(&tree.state(), PATIENCE).unwrap();
    let mut kept = Acknowledged::default();
    let read = store.read(&mut |tx| {
        for (_, event) in tx.events(0, u32::MAX)? {
            match event.kind {
                EventKind::Installed => drop(kept.results.insert(event.detail)),
                EventKind::Offered => drop(kept.offers.insert(event.imei.unwrap().to_string())),
                _ => {}
            }
        }
        assert_eq!(tx.rollout("next/0.10.66")?.offered as usize, kept.offers.len());
        Ok(())
    });
    read.unwrap();
    let lost: Vec<_> = acknowledged.results.difference(&kept.results).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let lost: Vec<_> = acknowledged.offers.difference(&kept.offers).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn killed_fifty_times_it_keeps_what_it_acknowledged() {
    let _alone = heavy();
    let tree = published();
    let mut acknowledged = Acknowledged::default();
    for round in 0..50 {
        let mut serve = start(&tree);
        let clients = clients(&serve, &tree, round);
        // Another moment in each round, from hardly awake to in full swing.
        thread::sleep(Duration::from_millis(20 + 37 * round as u64 % 230));
        serve.kill();
        for client in clients {
            acknowledged.extend(client.join().unwrap());
        }
        assert_kept(&tree, &acknowledged);
    }
    assert!(acknowledged.results.len() > 100, "{} results are no load", acknowledged.results.len());
}

/// The same as [`act`], of a server that may refuse.
fn act_under_pressure(address: SocketAddr, round: usize, client: usize, vc: &Path) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let mut connection = None;
    for n in 0..400 {
        let imei = imei(round, client, n);
        fs::hard_link(vc.join("first.json"), vc.join(format!("{imei}.json"))).unwrap();
        let mut send = |path: &str, agent: &str, body: &str| {
            let mut kept = connection.take().or_else(|| Client::connect(address).ok())?;
            let reply = kept.send("POST", path, agent, "", body.as_bytes()).ok()?;
            connection = Some(kept).filter(|_| reply.header("connection") != Some("close"));
            Some((reply.status, reply.text().to_owned()))
        };
        match send("/otap/version", &format!("GW/{imei}"), "0.10.65") {
            Some((200, text)) if text == YES => drop(acknowledged.offers.insert(imei.clone())),
            Some((200, text)) => assert_eq!(text, NO),
            Some((status, _)) => panic!("a check is answered with {status}"),
            None => {}
        }
        let text = format!("900 round {round} client {client} device {n}");
        let agent = format!("TC65i/{imei} Profile/IMP-NG");
        if let Some((200, _)) = send(&format!("/otap/notify?id=dev{n}"), &agent, &text) {
            acknowledged.results.insert(text);
        }
    }
    acknowledged
}

/// With less and less memory it answers or is gone; what it acknowledged is kept.
#[test]
fn without_memory_it_answers_or_ends_and_keeps_what_it_acknowledged() {
    let _alone = heavy();
    let tree = published();
    let mut acknowledged = Acknowledged::default();
    let mut ends = 0;
    for (round, more) in [64 << 20, 4 << 20, 256 << 10, 0].into_iter().enumerate() {
        let mut serve = start(&tree);
        // All its threads are there.
        assert_eq!(serve.check("999999999999999", "0.0.1").text(), NO);
        serve.limit_memory(more);
        let (address, vc) = (serve.address, tree.out().join("vc"));
        thread::scope(|scope| {
            // Whoever sends half a request takes memory for it.
            let half = format!("POST /otap/version HTTP/1.1\r\nX: {}", "x".repeat(6_000));
            let hold = || {
                let mut stream = TcpStream::connect(address).ok()?;
                stream.write_all(half.as_bytes()).ok().map(|()| stream)
            };
            let held: Vec<_> = (0..300).filter_map(|_| hold()).collect();
            let vc = &vc;
            let clients: Vec<_> = (0..4)
                .map(|n| scope.spawn(move || act_under_pressure(address, 100 + round, n, vc)))
                .collect();
            clients.into_iter().for_each(|client| acknowledged.extend(client.join().unwrap()));
            drop(held);
        });
        ends += usize::from(!serve.is_alive());
        serve.kill();
        assert_kept(&tree, &acknowledged);
    }
    let offers = acknowledged.offers.len();
    assert!(offers > 400 && ends > 0, "{offers} offers, and {ends} of four servers ended");
}

#[test]
fn asked_to_end_it_answers_what_is_under_way_and_keeps_it() {
    let _alone = heavy();
    let tree = published();
    let mut acknowledged = Acknowledged::default();
    for round in 0..5 {
        let serve = start(&tree);
        let clients = clients(&serve, &tree, round);
        thread::sleep(Duration::from_millis(200));
        let ended = serve.terminate();
        assert_eq!((ended.code, ended.log.lines().count()), (Some(0), 1), "{}", ended.log);
        for client in clients {
            acknowledged.extend(client.join().unwrap());
        }
        assert_kept(&tree, &acknowledged);
    }
    assert!(acknowledged.results.len() > 50, "{} results are no load", acknowledged.results.len());
}

#[test]
fn a_state_directory_that_is_removed_under_it_is_made_anew_before_anything_is_acknowledged() {
    let tree = published();
    let vc = tree.out().join("vc");
    let publish =
        |imei: &str| std::fs::hard_link(vc.join("first.json"), vc.join(format!("{imei}.json"))).unwrap();
    let serve = start(&tree);
    for (n, removed) in ["all", "database"].into_iter().enumerate() {
        let (before, after) = (imei(n, 0, 0), imei(n, 0, 1));
        [&before, &after].into_iter().for_each(|imei| publish(imei));
        assert_eq!(serve.notify("dev1", &before, "900 before").status, 200);
        match removed {
            "all" => std::fs::remove_dir_all(tree.state()).unwrap(),
            _ => std::fs::remove_file(tree.state().join(FILE)).unwrap(),
        }
        assert_eq!(serve.notify("dev2", &after, &format!("900 after {n}")).status, 200);
        let results = BTreeSet::from([format!("900 after {n}")]);
        assert_kept(&tree, &Acknowledged { results, ..Acknowledged::default() });
    }
    // Nobody needs to post for that.
    std::fs::remove_dir_all(tree.state()).unwrap();
    wait_until(|| tree.state().join(FILE).exists(), || "the database is not made anew".into());
    assert_eq!(serve.terminate().code, Some(0));
}
