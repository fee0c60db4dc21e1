//! A fleet whose devices have asked and answered at known times: every state that a device can be in, at one
//! moment.

use std::path::PathBuf;

use otapress::report::status::Status;
use otapress::report::status::records::{Changes, Extent, Records};
use otapress_publish::fleet;
use otapress_responder::message::Request;
use otapress_responder::record::{Event, EventKind};
use otapress_responder::retention;
use otapress_responder::service::{Responder, Step, answer};
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Durability, Store as _};

use super::process::{Fleet, PATIENCE};

/// 2026-11-23, a Monday, 10:00 UTC.
pub const NOW: i64 = 1_795_428_000;

const HEAD: &str = r#"site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  otapUser: ota
  otapPasswordFile: secrets/otap
midlet: { name: OwnTracks, vendor: Choral }
channels:
  stable: 0.10.65
  next:
    release: 0.10.66
    otherwise: 0.10.65
    rollout:
      - { at: 2026-11-20T08:00:00Z, percent: 50% }
      - { at: 2026-11-24T08:00:00Z, percent: 100% }
    attempts: 2
    unproven: unlimited
  brittle: { release: 0.10.66, brake: { artifactFaults: 0, failures: 50%, after: 2 } }
  night: { release: 0.10.66, window: { days: [tue], from: "01:00", minutes: 240 } }
  steady: { release: 0.10.65, downgrade: deny }
  trial: { release: 0.10.66, rollout: 1bp }
  slow: { release: 0.10.66, rate: 1/h }
  proof: { release: 0.10.66, unproven: { least: 1, share: 1% } }
  old: 0.10.66
groups:
  cars: { channel: next, comment: "Cars \"&\" <vans>" }
default: { channel: stable }
devices:
"#;

const DEVICES: &str = r#"  held-1: { imei: "352099001761010", hold: true, comment: in the workshop }
  night-1: { imei: "352099001761020", channel: night }
  odd-1: { imei: "352099001761031", channel: brittle }
  odd-2: { imei: "352099001761032", channel: brittle }
  odd-3: { imei: "352099001761033", channel: brittle, comment: "</script><img src=x onerror=fail()>" }
  pin-1: { imei: "352099001761040", release: 0.10.65, tid: P1 }
  proof-1: { imei: "352099001761081", channel: proof }
  proof-2: { imei: "352099001761082", channel: proof }
  slow-1: { imei: "352099001761051", channel: slow }
  slow-2: { imei: "352099001761052", channel: slow }
  steady-1: { imei: "352099001761060", channel: steady }
  trial-1: { imei: "352099001761070", channel: trial }
"#;

const GONE: &str = r#"  gone-1: { imei: "352099001761090", channel: old }
"#;

/// The IMEI of `car-<n>`.
pub fn car(n: usize) -> String {
    format!("35209900176{n:04}")
}

/// A fleet, and those who ask.
pub struct Story {
    pub fleet: Fleet,
    responder: Responder,
    store: SqliteStore,
    /// Requests that are told in any order and made in that of their times, as a clock goes.
    told: Option<Vec<Told>>,
}

/// A request that was told.
struct Told {
    at: i64,
    target: String,
    agent: String,
    body: String,
}

impl Story {
    /// A fleet that is published and that nobody has asked for.
    pub fn new(yaml: &str) -> Self {
        let fleet = Fleet::new(yaml);
        fleet.write("secrets/otap", "swordfish\n");
        let built = fleet.run(&["build"]);
        assert!(built.status.success(), "{built:?}");
        let responder = Responder::new(fleet.path("out"));
        let store = SqliteStore::open(&fleet.path("state"), PATIENCE).unwrap();
        Story { fleet, responder, store, told: None }
    }

    /// Every state at [`NOW`].
    pub fn of_every_state() -> Self {
        let cars: String =
            (1..=16).map(|n| format!("  car-{n:02}: {{ imei: \"{}\", group: cars }}\n", car(n))).collect();
        let before = format!("{HEAD}{cars}{GONE}{DEVICES}");
        let mut story = Story::new(&before);
        story.gone();
        story.fleet.write("fleet.yaml", before.replace(GONE, "").replace("  old: 0.10.66\n", ""));
        story.publish();
        story.told = Some(Vec::new());
        story.cars();
        story.others();
        let mut told = story.told.take().unwrap();
        told.sort_by_key(|told| told.at);
        for Told { at, target, agent, body } in told {
            story.post(&target, &agent, &body, at);
        }
        story
    }

    /// One who left the fleet with a rollout of its own, and one who never was in it.
    fn gone(&mut self) {
        self.upgrade("352099001761090", "gone-1", NOW - 400_000);
        self.check("352099001769997", "0.10.60", NOW - 7000);
    }

    fn cars(&mut self) {
        let [old, new] = ["0.10.65", "0.10.66"];
        // Wave 1, open for three days: 1, 3, 4, 5, 7, 9, 12, 13, 15 and 16.
        self.upgrade(&car(1), "car-01", NOW - 40_000);
        self.check(&car(1), new, NOW - 3600);
        self.check(&car(3), old, NOW - 9000);
        self.notify("car-03", &car(3), "903 Loss of service", NOW - 8900);
        for at in [NOW - 30_000, NOW - 29_000] {
            self.check(&car(4), old, at);
            self.notify("car-04", &car(4), "901 Insufficient memory", at + 100);
        }
        self.check(&car(4), old, NOW - 2000);
        self.check(&car(5), old, NOW - 100);
        self.check(&car(7), old, NOW - 500);
        self.notify("car-07", &car(7), "900 Success", NOW - 100);
        self.check(&car(9), old, NOW - 50_000);
        self.check(&car(13), "hello", NOW - 50);
        self.check(&car(15), old, NOW - 300_000);
        self.check(&car(16), old, NOW - 60_000);
        self.notify("car-16", &car(16), "900 Success", NOW - 59_900);
        self.check(&car(16), old, NOW - 4000);
        // Wave 2, open tomorrow.
        self.check(&car(2), old, NOW - 600);
        self.check(&car(6), "0.10.64", NOW - 90_000);
        self.check(&car(6), new, NOW - 1000);
    }

    fn others(&mut self) {
        let [old, new] = ["0.10.65", "0.10.66"];
        for (n, code) in [(1, "904 JAR size mismatch"), (2, "905 Attribute mismatch")] {
            let imei = format!("35209900176103{n}");
            self.check(&imei, old, NOW - 6000);
            self.notify(&format!("odd-{n}"), &imei, code, NOW - 5000);
        }
        for (imei, version) in [
            ("352099001761010", old),
            ("352099001761020", old),
            ("352099001761033", old),
            ("352099001761040", old),
            ("352099001761051", old),
            ("352099001761052", old),
            ("352099001761060", new),
            ("352099001761070", old),
            ("352099001761081", old),
            ("352099001761082", old),
        ] {
            self.check(imei, version, NOW - 300);
        }
    }

    /// A device is told to upgrade, does so, and proves it.
    pub fn upgrade(&mut self, imei: &str, client: &str, at: i64) {
        self.check(imei, "0.10.65", at);
        self.notify(client, imei, "900 Success", at + 100);
        self.check(imei, "0.10.66", at + 160);
    }

    /// A device asks.
    pub fn check(&mut self, imei: &str, reported: &str, at: i64) {
        self.is_told(imei, reported, at);
    }

    /// A device asks; whether it is told to upgrade.
    fn is_told(&mut self, imei: &str, reported: &str, at: i64) -> bool {
        self.post("/otap/version", &format!("GW/{imei}"), reported, at).contains("\"upgrade\":1")
    }

    /// A modem posts a result.
    pub fn notify(&mut self, client: &str, imei: &str, text: &str, at: i64) {
        let agent = format!("TC65i/{imei} Profile/IMP-NG Configuration/CLDC-1.1");
        self.post(&format!("/otap/notify?id={client}"), &agent, text, at);
    }

    fn post(&mut self, target: &str, agent: &str, body: &str, at: i64) -> String {
        if let Some(told) = &mut self.told {
            told.push(Told { at, target: target.into(), agent: agent.into(), body: body.into() });
            return String::new();
        }
        let request = Request {
            method: "POST",
            target,
            host: None,
            agent: Some(agent.as_bytes()),
            body: body.as_bytes(),
            is_complete: true,
        };
        let Step::Ask(question) = self.responder.prepare(&request) else { panic!("{target}") };
        let reply = answer(&mut self.store, Durability::Process, &[question], at).swap_remove(0);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body.into_owned()
    }

    /// The fleet as it stands at a moment, without what is written down being changed.
    pub fn at(&mut self, now: i64) -> (fleet::Fleet, Status, Changes) {
        let fleet = fleet::load(&self.fleet.path("fleet.yaml")).fleet.unwrap();
        let mut changes = Changes::default();
        let records = Records::read(&mut self.store, &fleet, Extent::ALL, &mut changes, now).unwrap();
        let status = Status::new(&fleet, records, now);
        (fleet, status, changes)
    }

    /// The events of the device with that IMEI, the latest first.
    pub fn events_of(&mut self, imei: &str) -> Vec<Event> {
        let mut events = Vec::new();
        self.store
            .read(&mut |tx| {
                events =
                    tx.events_of(imei.parse().unwrap(), 100)?.into_iter().map(|(_, event)| event).collect();
                Ok(())
            })
            .unwrap();
        events
    }

    /// The events of a kind, the first one first.
    pub fn events_of_kind(&mut self, kind: EventKind) -> Vec<Event> {
        let mut events = Vec::new();
        self.store
            .read(&mut |tx| {
                events = tx.events_of_kinds(&[kind], 0, 100)?.into_iter().map(|(_, event)| event).collect();
                Ok(())
            })
            .unwrap();
        events
    }

    /// Forgets events that are older.
    pub fn prune(&mut self, days: u32, now: i64) {
        retention::prune(&mut self.store, days, now).unwrap();
    }

    /// A path in the fleet's directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.fleet.path(path)
    }
}

/// A fleet of the size that most operators have, in the middle of a rollout that does not go well everywhere.
pub fn of_a_rollout() -> Story {
    let mut devices = String::new();
    for n in 0..420 {
        let group = ["couriers", "vans", "trailers"][n % 3];
        let comment = match n {
            7 => ", comment: in the workshop since Tuesday",
            21 => ", comment: \"</script><img src=x onerror=fail()>\"",
            _ if n % 29 == 0 => ", comment: spare",
            _ => "",
        };
        let hold = if n % 97 == 7 { ", hold: true" } else { "" };
        devices += &format!(
            "  {}-{:03}: {{ imei: \"{}\", group: {group}{hold}{comment} }}\n",
            group.trim_end_matches('s'),
            n / 3 + 1,
            unit(n)
        );
    }
    let yaml = |channels: &str| {
        let (head, _) = HEAD.split_once("channels:\n").unwrap();
        format!(
            "{head}channels:\n{channels}groups:\n  couriers: {{ channel: next }}\n  vans: {{ channel: vans \
             }}\n  \
             trailers: {{ channel: stable }}\ndefault: {{ channel: stable }}\ndevices:\n{devices}"
        )
    };
    let mut story = Story::new(&yaml("  next: 0.10.65\n  vans: 0.10.65\n  stable: 0.10.65\n"));
    // They come one by one, and most go from 0.10.64 to 0.10.65 three weeks ago.
    for n in (0..420).filter(|n| n % 41 != 40) {
        let (imei, at) = (unit(n), NOW - 40 * DAY + (n as i64 * 7919) % (18 * DAY));
        story.check(&imei, "0.10.64", at);
        let later = NOW - 21 * DAY + (n as i64 * 104_729) % (6 * DAY);
        if n % 31 != 30 {
            story.check(&imei, "0.10.65", later.max(at + 600));
        }
    }
    story.fleet.write(
        "fleet.yaml",
        yaml(
            "  next:\n    release: 0.10.66\n    otherwise: 0.10.65\n    rollout:\n      \
             - { at: 2026-11-18T08:00:00Z, percent: 15% }\n      - \
             { at: 2026-11-20T08:00:00Z, percent: 60% }\n      \
             - { at: 2026-11-25T08:00:00Z, percent: 100% }\n    rate: 500/h\n  \
             vans: { release: 0.10.66, window: { days: [mon, tue, wed, thu, fri], from: \"09:00\", minutes: 240 } }\n  \
             stable: 0.10.65\n",
        ),
    );
    story.publish();
    for n in (0..420).filter(|n| n % 41 != 40 && n % 31 != 30) {
        story.one_of_a_rollout(n);
    }
    for n in 0..5 {
        story.check(&format!("35209900999{n:04}"), "0.10.60", NOW - 4000 - n * 77_000);
    }
    story
}

const DAY: i64 = 86_400;

fn unit(n: usize) -> String {
    format!("35209900176{n:04}")
}

impl Story {
    /// Publishes the fleet as it is now.
    pub fn publish(&mut self) {
        let built = self.fleet.run(&["build"]);
        assert!(built.status.success(), "{built:?}");
        self.responder = Responder::new(self.fleet.path("out"));
    }

    /// What becomes of a device since the rollouts began; those that are told nothing stay as they are.
    fn one_of_a_rollout(&mut self, n: usize) {
        let (imei, i) = (unit(n), n as i64);
        let client = format!("{}-{:03}", ["courier", "van", "trailer"][n % 3], n / 3 + 1);
        let last = NOW - (i * 7919) % 10_000;
        match n % 3 {
            0 => {
                let at = NOW - 3 * DAY + 8000 + (i * 3571) % (DAY * 5 / 2);
                let told = self.is_told(&imei, "0.10.65", at);
                match (told, n / 3 % 37) {
                    (false, _) => self.check(&imei, "0.10.65", last),
                    (true, 3) => {
                        self.notify(&client, &imei, "903 Loss of service", at + 200);
                        self.check(&imei, "0.10.65", last);
                    }
                    (true, 5) => {
                        for again in 1..=3 {
                            self.notify(&client, &imei, "901 Insufficient memory", at + again * 4000 - 3000);
                            self.check(&imei, "0.10.65", at + again * 4000);
                        }
                        self.check(&imei, "0.10.65", last);
                    }
                    // Never heard of again.
                    (true, 7) => {}
                    (true, 9) => self.notify(&client, &imei, "900 Success", last),
                    (true, _) => {
                        self.notify(&client, &imei, "900 Success", at + 150);
                        self.check(&imei, "0.10.66", at + 240);
                        self.check(&imei, "0.10.66", last);
                    }
                }
            }
            // The window has been open for an hour.
            1 if n < 20 => {
                let at = NOW - 3000 + i * 10;
                if self.is_told(&imei, "0.10.65", at) {
                    self.notify(&client, &imei, "904 JAR size mismatch", at + 120);
                }
            }
            _ => self.check(&imei, "0.10.65", last),
        }
    }
}
