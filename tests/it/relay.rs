//! `otapress relay` with a real broker: nothing is lost, nothing is retained, and who may not is told so.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otapress_core::id::Imei;
use otapress_responder::message::Request;
use otapress_responder::record::{DeviceRecord, Event, EventKind};
use otapress_responder::records::Changes;
use otapress_responder::service::{Responder, Step, answer};
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store as _, Tx};
use serde_json::{Value, json};

use crate::support::broker::{Answer, Packet, acknowledged, broker, connected, subscribed};
use crate::support::hosts::program;
use crate::support::mosquitto::{Message, Mosquitto, Relay};
use crate::support::postgres::Postgres;
use crate::support::process::{Fleet, PATIENCE, YAML, wait_until};
use crate::support::project::Ran;
use crate::support::tls::certify;

const IMEI: &str = "352099001761481";
const OTHER: &str = "352099001761499";
const THIRD: &str = "352099001761507";

/// A published fleet of three devices that are to run 0.10.66, the third one held.
pub struct World(pub Fleet);

impl World {
    pub fn new() -> World {
        let yaml = format!(
            "{YAML}  dev2: {{ imei: \"{OTHER}\", group: acme }}\n  dev3: {{ imei: \"{THIRD}\", hold: true, \
             group: acme }}\n\
             groups: {{ acme: {{}} }}\n"
        );
        let fleet = Fleet::new(&yaml);
        let built = fleet.run(&["build"]);
        assert!(built.status.success(), "{built:?}");
        World(fleet)
    }

    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.0.path("state"), PATIENCE).unwrap()
    }

    fn read<T>(
        &self,
        mut work: impl FnMut(&mut dyn Tx) -> Result<T, otapress_responder::store::StoreError>,
    ) -> T {
        let mut value = None;
        self.store().read(&mut |tx| work(tx).map(|read| value = Some(read))).unwrap();
        value.unwrap()
    }

    fn device(&self, imei: &str) -> Option<DeviceRecord> {
        self.read(|tx| tx.device(imei.parse().unwrap()))
    }

    fn events(&self) -> Vec<(i64, Event)> {
        self.read(|tx| tx.events(0, 100_000))
    }

    pub fn cursor(&self) -> i64 {
        self.read(|tx| tx.cursor("relay"))
    }

    /// A device asks, some seconds ago. Returns whether it is to upgrade.
    fn check(&self, ago: i64, imei: &str, reported: &str) -> bool {
        let agent = format!("GW/{imei}");
        let request = Request {
            method: "POST",
            target: "/otap/version",
            host: None,
            agent: Some(agent.as_bytes()),
            body: reported.as_bytes(),
            is_complete: true,
        };
        let Step::Ask(question) = Responder::new(self.0.path("out")).prepare(&request) else { panic!() };
        let reply = answer(&mut self.store(), Durability::Power, &[question], now() - ago).swap_remove(0);
        reply.body.contains("\"upgrade\":1")
    }

    /// Records events of two devices in turn.
    pub fn happen(&self, store: &mut SqliteStore, numbers: std::ops::Range<usize>) {
        for n in numbers {
            let imei: Imei = [IMEI, OTHER][n % 2].parse().unwrap();
            let (kind, code) = if n.is_multiple_of(3) {
                (EventKind::Failed, Some(904))
            } else {
                (EventKind::Notified, None)
            };
            let event = Event {
                at: 1_796_126_400,
                kind,
                imei: Some(imei),
                rollout: None,
                code,
                detail: format!("{n}"),
            };
            store
                .write(Durability::Process, &mut |tx| {
                    tx.put(&Changes { events: vec![&event], ..Changes::default() })
                })
                .unwrap();
        }
    }

    fn relay(&self, broker: &Mosquitto, arguments: &[&str]) -> Command {
        let mut command = self.0.command(&["relay", "--mqtt", &broker.url()]);
        command.args(arguments);
        command
    }

    #[track_caller]
    fn run(&self, broker: &Mosquitto, arguments: &[&str]) -> Ran {
        Ran::new(self.relay(broker, arguments).output().unwrap())
    }

    /// `relay --once`, which must work.
    #[track_caller]
    fn once(&self, broker: &Mosquitto) -> Ran {
        let ran = self.run(broker, &["--once"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran
    }
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// A start message of a device that started some seconds ago.
fn started(imei: &str, version: &str, ago: i64) -> String {
    let at = jiff::Timestamp::from_second(now() - ago).unwrap().to_string();
    format!("{imei} {version} {}", at.replace(['-', ':'], ""))
}

fn seq(message: &Message) -> i64 {
    serde_json::from_str::<Value>(&message.payload).unwrap()["seq"].as_i64().unwrap()
}

#[test]
fn no_event_is_lost_whoever_is_stopped_killed_and_restarted() {
    let world = World::new();
    let mut broker = Mosquitto::start();
    let listener = broker.listen("listener", "#");
    let mut store = world.store();
    world.happen(&mut store, 0..100);
    let mut first = Relay::start(world.relay(&broker, &[]), world.0.path("first.log"));
    listener.wait_for(100);
    // One more of them waits.
    let mut second = Relay::start(world.relay(&broker, &[]), world.0.path("second.log"));
    second.wait_for("another relay of these records is active: waiting for its end");

    let all = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut store = world.store();
            for n in (100..400).step_by(5) {
                world.happen(&mut store, n..n + 5);
                std::thread::sleep(Duration::from_millis(10));
            }
            all.store(true, Ordering::SeqCst);
        });
        listener.wait_for(120);
        broker.stop();
        wait_until(|| all.load(Ordering::SeqCst), || "not all has happened".into());
        broker.restart();
    });
    wait_until(|| world.cursor() == 400, || format!("{}: {}", world.cursor(), first.log()));
    broker.kill();
    world.happen(&mut store, 400..450);
    broker.restart();
    wait_until(|| world.cursor() == 450, || format!("{}: {}", world.cursor(), first.log()));
    first.kill();
    world.happen(&mut store, 450..500);
    wait_until(|| world.cursor() == 500, || format!("{}: {}", world.cursor(), second.log()));
    assert!(second.log().contains("connected to"), "{}", second.log());

    let heard = |messages: &[Message]| -> BTreeMap<i64, usize> {
        messages
            .iter()
            .rev()
            .enumerate()
            .map(|(back, message)| (seq(message), messages.len() - back))
            .collect()
    };
    wait_until(
        || heard(&listener.messages()).len() == 500,
        || format!("{:?}", heard(&listener.messages()).keys()),
    );
    let messages = listener.messages();
    let first_heard = heard(&messages);
    assert!(first_heard.keys().copied().eq(1..=500), "{:?}", first_heard.keys());
    assert!(first_heard.values().is_sorted(), "what is heard for the first time is heard in its order");
    for message in &messages {
        let n = seq(message) - 1;
        let (kind, code) = if n % 3 == 0 { ("failed", json!(904)) } else { ("notified", Value::Null) };
        let expected = json!({
            "seq": n + 1, "at": "2026-12-01T12:00:00Z", "unix": 1_796_126_400, "kind": kind,
            "imei": if n % 2 == 0 { IMEI } else { OTHER }, "clientID": null, "rollout": null, "code": code,
            "meaning": if n % 3 == 0 { json!("JAR size \
                mismatch") } else { Value::Null }, "detail": n.to_string(),
        });
        assert_eq!(serde_json::from_str::<Value>(&message.payload).unwrap(), expected);
        assert_eq!((message.topic.clone(), message.retained), (format!("events/otap/{kind}"), false));
    }
    drop(store);
    assert_eq!(second.terminate(), Some(0), "{}", second.log());
    assert!(second.log().trim_end().ends_with("shutting down"), "{}", second.log());
    assert_eq!(broker.retained(), []);
}

#[test]
fn of_two_on_one_postgresql_database_one_is_active() {
    let world = World::new();
    let broker = Mosquitto::start();
    let listener = broker.listen("listener", "events/#");
    let server = Postgres::shared();
    let url = server.database();
    let relay = |arguments: &[&str]| {
        let mut command = world.relay(&broker, arguments);
        command.env("OTAPRESS_STATE", &url);
        command
    };
    let made = Ran::new(relay(&["--once"]).output().unwrap());
    assert_eq!(made.status, 0, "{}", made.stderr);
    let happen = |n: usize| {
        let event = "INSERT INTO events (at, kind, detail) VALUES (1, 'notified', '')";
        server.psql(&url, &vec![event; n].join("; "));
    };
    let cursor = || server.psql(&url, "SELECT coalesce(max(seq), 0) FROM cursors").trim().to_owned();
    let mut first = Relay::start(relay(&[]), world.0.path("first.log"));
    first.wait_for("connected to");
    let mut second = Relay::start(relay(&[]), world.0.path("second.log"));
    second.wait_for("another relay of these records is active");
    happen(100);
    wait_until(|| cursor() == "100", || format!("{}: {}", cursor(), first.log()));
    assert!(!second.log().contains("connected to"), "{}", second.log());
    let busy = Ran::new(relay(&["--once"]).output().unwrap());
    busy.expect(1, "", "error: another relay of these records is active\n");

    // The server cuts the active one off: whoever has the lease then goes on.
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks JOIN pg_database ON pg_database.oid = \
        database \
               WHERE locktype = 'advisory' AND datname = current_database() AND mode = 'ExclusiveLock' AND \
               granted";
    assert_eq!(server.psql(&url, cut).trim(), "1");
    happen(100);
    wait_until(|| cursor() == "200", || format!("{}: {} {}", cursor(), first.log(), second.log()));
    first.kill();
    happen(100);
    wait_until(|| cursor() == "300", || format!("{}: {}", cursor(), second.log()));
    let heard = || listener.messages().iter().map(seq).collect::<std::collections::BTreeSet<_>>();
    wait_until(|| heard().len() == 300, || format!("{:?}", heard()));
    assert!(heard().into_iter().eq(1..=300));
    assert_eq!(second.terminate(), Some(0), "{}", second.log());
}

#[test]
fn a_start_message_is_proof_if_it_is_younger_than_the_offer() {
    let world = World::new();
    let broker = Mosquitto::start();
    assert!(world.check(900, IMEI, "0.10.65"));
    assert!(world.check(900, OTHER, "0.10.65"));
    let kept = [
        ("owntracks/gw/dev1/start", started(IMEI, "0.10.66", 600)),
        // Before it was told to upgrade: it has been put back since.
        ("owntracks/gw/dev2/start", started(OTHER, "0.10.66", 2000)),
        ("owntracks/gw/dev5/start", "nonsense\u{7}".into()),
        ("owntracks/gw/dev6/start", started("352099001769997", "0.10.1", 60)),
        ("owntracks/gw/dev7/start", started("SIMU/352099001769989", "0.10.66", 60)),
        // Nobody's: it is not even subscribed.
        ("owntracks/gw/dev2/a/start", started(OTHER, "0.10.66", 60)),
    ];
    for (topic, payload) in &kept {
        broker.publish(topic, payload, true);
    }
    let ran = world.once(&broker);
    let logged = |ran: &Ran, what: &str| ran.stderr.lines().any(|line| line.ends_with(what));
    for what in [
        "ignored a message on `owntracks/gw/dev5/start`: a start message has three fields, IMEI, version and \
         time: \
         `nonsense\\u{7}`",
        "start message of dev6 (352099001769997): unknown-device",
    ] {
        assert!(logged(&ran, what), "no `{what}` in {}", ran.stderr);
    }
    assert!(
        ran.stderr.contains("on `owntracks/gw/dev7/start`: its first field is not an IMEI"),
        "{}",
        ran.stderr
    );
    let proven = |imei| {
        let device = world.device(imei).unwrap();
        (device.reported.unwrap().to_string(), device.latest_offer().unwrap().verdict.is_some())
    };
    assert_eq!(proven(IMEI), ("0.10.66".into(), true));
    assert_eq!(proven(OTHER), ("0.10.65".into(), false));
    assert_eq!(world.device(IMEI).unwrap().client, Some("dev1".parse().unwrap()));
    let unknown: Vec<_> = world.read(|tx| tx.unknowns(10)).into_iter().map(|unknown| unknown.name).collect();
    assert_eq!(unknown, ["352099001769997"]);

    // What arrives while nobody is there is kept by the broker for the session, and what it retains tells
    // nothing new.
    broker.publish("owntracks/gw/dev2/start", started(OTHER, "0.10.66", 100), false);
    let before = world.events().len();
    let ran = world.once(&broker);
    assert_eq!(proven(OTHER), ("0.10.66".into(), true));
    let kinds: Vec<_> = world.events()[before..].iter().map(|(_, event)| event.kind).collect();
    assert_eq!(kinds, [EventKind::Upgraded, EventKind::VersionChanged], "{}", ran.stderr);
    assert!(!logged(&ran, "unknown-device"), "{}", ran.stderr);

    // Nothing that was retained has gone, and nothing was added.
    let mut kept: Vec<_> =
        kept.iter().map(|(topic, payload)| ((*topic).to_owned(), payload.clone())).collect();
    kept.sort();
    assert_eq!(broker.retained(), kept);
    assert_eq!(
        world.cursor(),
        i64::try_from(world.events().len()).unwrap(),
        "what was proven is published, too"
    );
}

#[test]
fn devices_are_told_to_upgrade_once_and_only_those_that_may() {
    let world = World::new();
    let broker = Mosquitto::start();
    let listener = broker.listen("devices", "owntracks/gw/+/cmd");
    world.check(1200, IMEI, "0.10.66");
    world.check(1200, OTHER, "0.10.65");
    world.check(1200, THIRD, "0.10.65");
    let all = ["--trigger", "--channel", "next", "--rate", "36000/h"];
    let announced = "dev1 is left out: current\ndev2: 0.10.65 → 0.10.66, attempt 2\ndev3 is left out: held\n\
                     1 device to be told, at most 36000 in an hour: it takes 0 minutes; each one uses an \
                     attempt up, \
                     downloads its release (1 kB in all) and reboots\n";
    world.run(&broker, &all).expect(
        2,
        "",
        &format!("{announced}error: there is no terminal to confirm it on: say --yes\n"),
    );
    let before = world.events().len();
    let told = "dev2 was told to upgrade: 0.10.65 → 0.10.66, attempt 2\n";
    let summary = "told 1 device, 0 left out, 0 unknown, 0 not reached\n";
    world.run(&broker, &[&all[..], &["--yes"]].concat()).expect(0, told, &format!("{announced}{summary}"));
    let upgrade =
        Message { topic: "owntracks/gw/dev2/cmd".into(), payload: "upgrade".into(), retained: false };
    assert_eq!(listener.wait_for(1), std::slice::from_ref(&upgrade));
    let (_, event) = &world.events()[before];
    assert_eq!((event.kind, &*event.detail), (EventKind::Offered, "0.10.65 → 0.10.66, attempt 2, triggered"));
    assert_eq!(world.device(OTHER).unwrap().latest_offer().unwrap().attempts, 2);

    // It may be at it.
    let again = world.run(&broker, &["--trigger", "dev2", OTHER, "--yes"]);
    assert_eq!((again.status, &*again.stdout), (1, ""), "{}", again.stderr);
    assert!(again.stderr.starts_with("dev2 is left out: an attempt began "), "{}", again.stderr);
    assert!(again.stderr.ends_with("error: no device is to be told\n"), "{}", again.stderr);
    assert_eq!(again.stderr.lines().count(), 2, "named twice, it is one device: {}", again.stderr);
    let nobody = world.run(&broker, &["--trigger", "dev9", "--yes"]);
    let file = world.0.path("fleet.yaml");
    nobody.expect(1, "", &format!("error: no device `dev9` in `{}`\n", file.display()));
    for (arguments, error) in [
        (&["--trigger", "--channel", "x"][..], "no channel `x` in"),
        (&["--trigger", "--group", "x"], "no group `x` in"),
        (&["--trigger", "--group", "acme", "--release", "0.10.1"], "no device is to be told"),
    ] {
        let ran = world.run(&broker, arguments);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(error), "{}", ran.stderr);
    }
    // Who comes later is told nothing.
    assert_eq!(broker.retained(), []);
    assert_eq!(listener.messages(), [upgrade]);
}

#[test]
fn a_start_message_that_cannot_be_recorded_is_not_acknowledged() {
    let world = World::new();
    let broker = Mosquitto::start();
    drop(world.once(&broker));
    broker.publish("owntracks/gw/dev1/start", started(IMEI, "0.10.65", 10), false);
    let writer = rusqlite::Connection::open(world.0.path("state/otapress.db")).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ran = world.run(&broker, &["--once"]);
    assert_eq!(ran.status, 1);
    let why = "error: 1 of the start messages could not be recorded: the broker keeps them\n";
    assert!(ran.stderr.ends_with(why), "{}", ran.stderr);
    writer.execute_batch("ROLLBACK").unwrap();
    assert_eq!(world.device(IMEI), None);
    drop(world.once(&broker));
    assert_eq!(world.device(IMEI).unwrap().reported, Some("0.10.65".parse().unwrap()));
}

#[test]
fn the_cursor_stays_before_the_first_event_that_is_not_acknowledged() {
    let world = World::new();
    world.happen(&mut world.store(), 0..4);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = heard.clone();
    // The first time it forgets the second one, and falls silent after the fourth.
    let address = broker(move |packet| match packet {
        Packet::Connect => connected(),
        Packet::Subscribe(id) => subscribed(id, 0x80),
        Packet::Publish(id, payload) => {
            let seq = serde_json::from_str::<Value>(&payload).unwrap()["seq"].as_i64().unwrap();
            let mut heard = sink.lock().unwrap();
            heard.push(seq);
            match (seq, heard.len()) {
                (2, 2) => Answer::Send(vec![]),
                (4, 4) => Answer::Last(acknowledged(id)),
                _ => Answer::Send(acknowledged(id)),
            }
        }
        Packet::Other => Answer::Send(vec![]),
    });
    let url = format!("mqtt://{address}");
    let once = || Ran::new(world.0.command(&["relay", "--mqtt", &url, "--once"]).output().unwrap());
    let ran = once();
    assert_eq!((ran.status, world.cursor()), (1, 1), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("error: {url}: ")), "{}", ran.stderr);
    let ran = once();
    assert_eq!((ran.status, world.cursor()), (0, 4), "{}", ran.stderr);
    assert_eq!(*heard.lock().unwrap(), [1, 2, 3, 4, 2, 3, 4]);
    let why = "the broker refuses the subscription to `owntracks/gw/+/start`: versions that devices report \
        at their start \
               are not seen; allow it to `otapress-relay`";
    assert!(ran.stderr.lines().any(|line| line.ends_with(why)), "{}", ran.stderr);
}

/// Only at a terminal somebody can answer.
#[test]
fn a_person_is_asked_first() {
    let world = World::new();
    let broker = Mosquitto::start();
    let listener = broker.listen("devices", "owntracks/gw/+/cmd");
    world.check(1200, OTHER, "0.10.65");
    let answered = |answer: &str| {
        let relay = world.relay(&broker, &["--trigger", "dev2"]);
        let words = [relay.get_program()].into_iter().chain(relay.get_args());
        let line: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
        let mut script = Command::new(program("script"));
        script.args(["-qec", &line.join(" "), "/dev/null"]);
        let mut child =
            script.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        use std::io::Write as _;
        child.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for no in ["\n", "n\n", "x\n"] {
        let (code, said) = answered(no);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("Tell them? [y/N]") && said.contains("no device was told"), "{said}");
    }
    assert_eq!(listener.messages(), []);
    let (code, said) = answered("y\n");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(listener.wait_for(1).len(), 1);
}

#[test]
fn what_a_halted_rollout_and_a_lost_broker_leave_out() {
    let world = World::new();
    let mut broker = Mosquitto::start();
    world.check(1200, IMEI, "0.10.65");
    let halted = |tx: &mut dyn Tx| {
        let mut rollout = tx.rollout("next/0.10.66")?;
        rollout.halted = Some(otapress_responder::record::Halt { at: 1, reason: "a test".into() });
        tx.put(&Changes { rollouts: vec![&rollout], ..Changes::default() })
    };
    world.store().write(Durability::Power, &mut |tx| halted(tx)).unwrap();
    let expected = "dev1 is left out: halted\nerror: no device is to be told\n";
    world.run(&broker, &["--trigger", "dev1", "--yes"]).expect(1, "", expected);
    world.0.run(&["resume", "0.10.66"]);
    // As long as there is no broker, no attempt is used up.
    broker.stop();
    let before = world.events().len();
    let mut relay =
        Relay::start(world.relay(&broker, &["--trigger", "dev1", "--yes"]), world.0.path("trigger.log"));
    relay.wait_for("trying again");
    assert_eq!(relay.terminate(), Some(1));
    assert!(
        relay.log().ends_with("told 0 devices, 0 left out, 0 unknown, 1 not reached\n"),
        "{}",
        relay.log()
    );
    assert_eq!(world.events().len(), before);
}

#[test]
fn tls_passwords_and_certificates() {
    let world = World::new();
    let mut broker = Mosquitto::start_with(|dir| {
        certify(dir);
        let passwords = Command::new(program("mosquitto_passwd"))
            .args(["-b", "-c"])
            .arg(dir.join("passwords"))
            .args(["ota", "gehe im"])
            .status();
        assert!(passwords.unwrap().success());
        let here = dir.display();
        format!(
            "cafile {here}/ca.pem\ncertfile {here}/broker.pem\nkeyfile {here}/broker.key\nallow_anonymous \
             false\n\
             password_file {here}/passwords\n"
        )
    });
    world.happen(&mut world.store(), 0..3);
    world.0.write("password", "gehe im\n");
    world.0.write("wrong", "falsch\n");
    let file = |name: &str| world.0.path(name).to_str().unwrap().to_owned();
    let (password, wrong) = (file("password"), file("wrong"));
    let url = |scheme: &str| format!("{scheme}://{}", broker.address);
    let ca = broker.path("ca.pem").to_str().unwrap().to_owned();
    let relay = |scheme: &str, arguments: &[&str], variable: Option<&str>| {
        let mut command = world.0.command(&["relay", "-v", "--once", "--mqtt", &url(scheme)]);
        command.args(arguments).env_remove("OTAPRESS_MQTT_PASSWORD");
        command.envs(variable.map(|password| ("OTAPRESS_MQTT_PASSWORD", password)));
        let ran = Ran::new(command.output().unwrap());
        assert!(!ran.stderr.contains("gehe") && !ran.stderr.contains("falsch"), "{}", ran.stderr);
        (ran.status, ran.stderr)
    };
    let fails = |arguments: &[&str], variable, why: &str| {
        let (code, said) = relay("mqtts", arguments, variable);
        assert!(code == 1 && said.contains(why), "{code}: {said}");
    };
    let user = ["--user", "ota", "--cafile", &ca];
    fails(&["--user", "ota", "--password-file", &password], None, "UnknownIssuer");
    fails(
        &["--user", "ota", "--cafile", &password],
        Some("x"),
        "TLS: there is no certificate of an authority in PEM",
    );
    fails(&["--cafile", &ca], None, "it is not authorized; check --user, its password");
    fails(
        &user,
        None,
        "error: the password of `ota` is missing: use --password-file, or set OTAPRESS_MQTT_PASSWORD",
    );
    fails(&user, Some("falsch"), "it is not authorized; check --user, its password");
    fails(
        &[&user[..], &["--password-file", &wrong]].concat(),
        Some("gehe im"),
        "it is not authorized; check --user, its password",
    );
    let (code, said) = relay("mqtt", &["--cafile", &ca], None);
    assert!(code == 1 && said.contains("is not TLS: --cafile and --cert take mqtts://"), "{said}");
    assert_eq!(world.cursor(), 0);
    let (code, said) = relay("mqtts", &[&user[..], &["--password-file", &password]].concat(), None);
    assert_eq!((code, world.cursor()), (0, 3), "{said}");
    world.happen(&mut world.store(), 3..4);
    let (code, said) = relay("mqtts", &user, Some("gehe im"));
    assert_eq!((code, world.cursor()), (0, 4), "{said}");

    // The broker asks for a certificate instead.
    broker.stop();
    let config = broker.path("mosquitto.conf");
    let text = std::fs::read_to_string(&config).unwrap();
    let (text, _) = text.split_once("allow_anonymous").unwrap();
    std::fs::write(config, format!("{text}allow_anonymous true\nrequire_certificate true\n")).unwrap();
    broker.restart();
    let own = |name: &str| broker.path(name).to_str().unwrap().to_owned();
    let (cert, key) = (own("client.pem"), own("client.key"));
    world.happen(&mut world.store(), 4..5);
    let with = |arguments: &[&str]| {
        let mut command =
            world.0.command(&["relay", "--once", "--mqtt", &format!("mqtts://{}", broker.address)]);
        Ran::new(command.args(["--cafile", &ca]).args(arguments).output().unwrap())
    };
    assert_eq!(with(&[]).status, 1);
    assert_eq!(world.cursor(), 4);
    let ran = with(&["--cert", &cert, "--key", &key]);
    assert_eq!((ran.status, world.cursor()), (0, 5), "{}", ran.stderr);
    let ran = with(&["--cert", &cert, "--key", &ca]);
    assert!(
        ran.status == 1 && ran.stderr.contains("TLS: there is no certificate and key in PEM"),
        "{}",
        ran.stderr
    );
}

/// Two relays of different records at one broker, both with the default id.
#[test]
fn two_with_the_same_id_are_told_what_is_wrong() {
    let (one, other) = (World::new(), World::new());
    let broker = Mosquitto::start();
    let relays = [&one, &other].map(|world| {
        let mut command = world.0.command(&["relay", "--mqtt", &broker.url()]);
        command.env_remove("OTAPRESS_MQTT_PASSWORD");
        Relay::start(command, world.0.path("log"))
    });
    let why = "another client of the broker has the id `otapress-relay`";
    let says = || relays.iter().any(|relay| relay.log().contains(why));
    wait_until(says, || format!("{}\n{}", relays[0].log(), relays[1].log()));
}

#[test]
fn an_access_list_that_drops_events_is_named() {
    let world = World::new();
    let broker = Mosquitto::start_with(|dir| {
        std::fs::write(dir.join("acl"), "topic read #\n").unwrap();
        format!("allow_anonymous true\nacl_file {}/acl\n", dir.display())
    });
    world.happen(&mut world.store(), 0..3);
    let ran = world.run(&broker, &["--once"]);
    // A broker may acknowledge what it drops, or end the connection: Mosquitto does either.
    let dropped =
        "its access list seems to drop them; allow `otapress-relay` to write and to read `events/otap/+`";
    let ended = "or the broker's access list does not let it publish on `events/otap/+`";
    assert!(ran.stderr.contains(if ran.status == 0 { dropped } else { ended }), "{}", ran.stderr);
    // Where nothing is dropped, nothing is said.
    let broker = Mosquitto::start();
    world.happen(&mut world.store(), 3..6);
    let ran = world.run(&broker, &["--once"]);
    assert!(!ran.stderr.contains("access list"), "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_said_without_a_secret() {
    let world = World::new();
    let relay =
        |arguments: &[&str]| Ran::new(world.0.command(&[&["relay"], arguments].concat()).output().unwrap());
    for (arguments, error) in [
        (
            &["--mqtt", "mqtt://ota:geheim@broker"][..],
            "error: --mqtt: credentials do not belong on the command line",
        ),
        (&["--mqtt", "http://broker"], "error: --mqtt: the broker is named as `mqtt://HOST[:PORT]`"),
        (&["--mqtt", "mqtt://b", "--prefix", "a/#"], "error: --prefix: it has a `+`, a `#`"),
        (&["--mqtt", "mqtt://b", "--publish", "gw"], "error: --publish: it does not end in `/`"),
        (&["--mqtt", "mqtt://b", "--client-id", ""], "error: --client-id: it is empty"),
        (&["--mqtt", "mqtt://b", "--trigger"], "error: --trigger: name devices, or choose them"),
        (&["--mqtt", "mqtt://b", "--once", "--trigger", "x"], "cannot be used with"),
        (&["--mqtt", "mqtt://b", "--yes"], "--trigger"),
        (
            &["--mqtt", "mqtt://b", "--trigger", "x", "--rate", "60"],
            "write a number per hour, such as `60/h`",
        ),
        (&[], "--mqtt <URL>"),
    ] {
        let ran = relay(arguments);
        assert_eq!((ran.status, &*ran.stdout), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains(error) && !ran.stderr.contains("geheim"),
            "{arguments:?}: {}",
            ran.stderr
        );
    }
}
