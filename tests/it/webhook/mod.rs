//! `relay --webhook` with a real receiver that is not ours: it checks signatures, fails, hangs, redirects and
//! goes away.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::relay::World;
use crate::support::mosquitto::{Mosquitto, Relay};
use crate::support::postgres::Postgres;
use crate::support::process::wait_until;
use crate::support::project::{Ran, repository};
use crate::support::tls::{Front, certify};

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// `receiver.py` on a port of its own; it ends with the value.
struct Receiver {
    dir: tempfile::TempDir,
    child: Child,
}

impl Receiver {
    fn start() -> Receiver {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("secrets"), format!("{SECRET}\n")).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg(repository().join("tests/it/webhook/receiver.py")).arg(dir.path()).arg(SECRET);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let port = dir.path().join("port");
        wait_until(|| port.exists(), || "the receiver does not start".into());
        Receiver { dir, child }
    }

    fn address(&self) -> SocketAddr {
        let port: u16 = fs::read_to_string(self.dir.path().join("port")).unwrap().parse().unwrap();
        ([127, 0, 0, 1], port).into()
    }

    /// What the next requests are answered.
    fn answers(&self, answers: &[&str]) {
        fs::write(self.dir.path().join("answers"), answers.join("\n")).unwrap();
    }

    fn got(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.dir.path().join("got")).unwrap_or_default();
        // The last line may be half written.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The numbers of the events that arrived, in the order in which each arrived first.
    fn arrived(&self) -> Vec<i64> {
        let mut seen = BTreeSet::new();
        let ok = self.got().into_iter().filter(|got| got["answer"] == "ok");
        ok.map(|got| got["event"]["data"]["seq"].as_i64().unwrap()).filter(|seq| seen.insert(*seq)).collect()
    }

    fn secrets(&self) -> std::path::PathBuf {
        self.dir.path().join("secrets")
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `relay --webhook` with signatures.
fn relay(world: &World, url: &str, secrets: &Path, more: &[&str]) -> Command {
    let secrets = secrets.to_str().unwrap();
    world.0.command(&[&["relay", "--webhook", url, "--webhook-secret-file", secrets], more].concat())
}

fn run(command: &mut Command) -> Ran {
    Ran::new(command.output().unwrap())
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/hook?token=geheim", receiver.address())
}

#[test]
fn every_event_arrives_signed_and_in_order_whatever_the_receiver_does() {
    let world = World::new();
    let receiver = Receiver::start();
    let mut store = world.store();
    world.happen(&mut store, 0..5);
    receiver.answers(&["ok", "fail", "drop", "redirect", "hang", "ok", "ok", "fail"]);
    let start = || {
        let command = relay(&world, &url(&receiver), &receiver.secrets(), &["--webhook-timeout", "1"]);
        Relay::start(command, world.0.path("relay.log"))
    };
    let mut first = start();
    let arrived = |count: usize, log: &Relay| {
        wait_until(
            || receiver.arrived().len() >= count,
            || format!("{:?}: {}", receiver.arrived(), log.log()),
        );
    };
    arrived(5, &first);
    let host = format!("http://{}: ", receiver.address());
    for why in [
        "it answers 500 Internal Server Error",
        "it cannot be reached: ",
        "it answers 307 Temporary Redirect, a redirect, which is not followed: name the receiver itself",
        "it does not answer within 1 s",
    ] {
        assert!(first.log().contains(&format!("{host}{why}")), "no `{why}` in {}", first.log());
    }
    assert!(!first.log().contains("geheim"), "{}", first.log());
    first.kill();
    world.happen(&mut store, 5..25);
    let mut second = start();
    arrived(25, &second);
    assert_eq!(receiver.arrived(), (1..=25).collect::<Vec<_>>());
    assert_eq!(second.terminate(), Some(0), "{}", second.log());

    let got = receiver.got();
    let mut ids = std::collections::BTreeMap::new();
    for got in &got {
        let event = &got["event"];
        assert_eq!((&got["path"], &got["signed"]), (&json!("/hook?token=geheim"), &json!(true)), "{got}");
        assert_eq!(got["type"], "application/cloudevents+json; charset=utf-8");
        assert_eq!((&event["specversion"], &event["id"]), (&json!("1.0"), &got["id"]));
        assert_eq!(event["source"], "http://ota.example.com");
        assert_eq!(event["type"], format!("otapress.{}", event["data"]["kind"].as_str().unwrap()));
        assert_eq!(*ids.entry(event["data"]["seq"].as_i64()).or_insert(event["id"].clone()), event["id"]);
    }
    assert!(got.len() > 29, "what failed was sent again: {}", got.len());
    assert_eq!(ids.values().map(Value::to_string).collect::<BTreeSet<_>>().len(), 25);
}

#[test]
fn one_run_says_what_is_wrong_and_each_sink_goes_on_where_it_was() {
    let world = World::new();
    let (one, other) = (Receiver::start(), Receiver::start());
    let mut store = world.store();
    world.happen(&mut store, 0..6);
    one.answers(&["ok", "gone"]);
    let once = |receiver: &Receiver, more: &[&str]| {
        run(&mut relay(&world, &url(receiver), &receiver.secrets(), &[&["--once"], more].concat()))
    };
    once(&one, &[]).expect(1, "", &format!("error: http://{}: it answers 410 Gone\n", one.address()));
    assert_eq!(one.arrived(), [1]);
    once(&other, &["--only", "failed"]).expect(0, "", "");
    assert_eq!(other.arrived(), [1, 4]);
    once(&one, &[]).expect(0, "", "");
    assert_eq!(one.arrived(), [1, 2, 3, 4, 5, 6]);
    once(&other, &[]).expect(0, "", "");
    assert_eq!(other.arrived(), [1, 4], "what was left out is behind the cursor");
    assert_eq!(world.cursor(), 0, "MQTT has its own");
}

#[test]
fn a_receiver_that_is_down_keeps_nothing_from_the_broker() {
    let world = World::new();
    let broker = Mosquitto::start();
    let listener = broker.listen("listener", "events/#");
    let mut store = world.store();
    world.happen(&mut store, 0..3);
    let receiver = Receiver::start();
    receiver.answers(&["fail"; 100]);
    let command = relay(&world, &url(&receiver), &receiver.secrets(), &["--mqtt", &broker.url()]);
    let mut relay = Relay::start(command, world.0.path("relay.log"));
    listener.wait_for(3);
    relay.wait_for("it answers 500");
    receiver.answers(&[]);
    wait_until(|| receiver.arrived() == [1, 2, 3], || format!("{:?}: {}", receiver.arrived(), relay.log()));
    assert_eq!(relay.terminate(), Some(0), "{}", relay.log());
}

#[test]
fn of_two_on_one_postgresql_database_one_posts() {
    let world = World::new();
    let server = Postgres::shared();
    let database = server.database();
    let receiver = Receiver::start();
    let command = |more: &[&str]| {
        let mut command = relay(&world, &url(&receiver), &receiver.secrets(), more);
        command.env("OTAPRESS_STATE", &database);
        command
    };
    run(&mut command(&["--once"])).expect(0, "", "");
    let mut first = Relay::start(command(&[]), world.0.path("first.log"));
    let event = "INSERT INTO events (at, kind, detail) VALUES (1, 'notified', '')";
    server.psql(&database, &[event; 10].join("; "));
    let arrived = |count: usize| {
        wait_until(|| receiver.arrived().len() == count, || format!("{:?}", receiver.arrived()));
    };
    arrived(10);
    run(&mut command(&["--once"])).expect(1, "", "error: another relay of these records is active\n");
    first.kill();
    server.psql(&database, event);
    run(&mut command(&["--once"])).expect(0, "", "");
    arrived(11);
    let cursor = "SELECT seq FROM cursors WHERE name LIKE 'webhook-%'";
    assert_eq!(server.psql(&database, cursor).trim(), "11");
}

#[test]
fn a_receiver_is_known_by_its_certificate() {
    let world = World::new();
    world.happen(&mut world.store(), 0..1);
    let receiver = Receiver::start();
    let front = Front::start(receiver.address());
    let url = format!("https://{}/hook", front.address);
    let other = tempfile::tempdir().unwrap();
    certify(other.path());
    let once = |authority: Option<&Path>| {
        let mut command = relay(&world, &url, &receiver.secrets(), &["--once"]);
        command.args(authority.iter().flat_map(|file| [Path::new("--webhook-cafile"), file]));
        // The system's authorities do not know it.
        command.env("SSL_CERT_FILE", other.path().join("ca.pem"));
        run(&mut command)
    };
    let refused = once(None);
    assert!(refused.status == 1 && refused.stderr.contains("invalid peer certificate"), "{refused:?}");
    assert_eq!(receiver.got().len(), 0);
    once(Some(&front.authority())).expect(0, "", "");
    assert_eq!(receiver.arrived(), [1]);
}

#[test]
fn what_cannot_be_posted_to_is_refused_at_once() {
    let world = World::new();
    let refused = |args: &[&str], says: &str| {
        let ran = run(&mut world.0.command(&[&["relay"], args].concat()));
        assert!(ran.status == 2 && ran.stderr.contains(says) && !ran.stderr.contains("geheim"), "{ran:?}");
    };
    refused(&[], "<--mqtt <URL>|--webhook <URL>>");
    refused(&["--webhook", "https://me:geheim@example.com/"], "credentials do not belong into the URL");
    refused(&["--webhook", "ftp://example.com/geheim"], "a receiver is named as");
    refused(&["--webhook", "http://a.example/", "--only", "halted,lost"], "the kinds are first-seen, ");
    refused(
        &["--webhook", "http://a.example/?1", "--webhook", "http://a.example/?2"],
        "a receiver is named twice",
    );
    refused(&["--webhook", "http://a.example/", "--trigger", "dev1"], "name the broker with --mqtt");
    world.0.write("secrets", "whsec_geheim\n");
    let ran = run(&mut relay(&world, "http://a.example/", &world.0.path("secrets"), &[]));
    assert!(ran.status == 1 && ran.stderr.contains("/secrets`: line 1 is not `whsec_`"), "{ran:?}");
    assert!(!ran.stderr.contains("geheim"), "{ran:?}");
}
