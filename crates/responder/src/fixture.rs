//! A published directory and devices that ask, for tests.

#![allow(clippy::disallowed_methods, reason = "tests, of other crates too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::message::Request;
use super::record::{DeviceRecord, Event, RolloutRecord, UnknownRecord};
use super::records::{Changes, Few, Keys};
use super::service::{self, Reply, Responder, Step};
use crate::store::{Durability, Store, StoreError, Tx};
use otapress_core::digest::Sha256;
use otapress_core::id::{ClientId, Imei};
use otapress_core::out;
use otapress_core::wire::{
    self, AnswerFile, Brake, Limit, Offer, Release, Rollout, Setting, Site, Suite, Target, Wave,
};

/// A Monday, 10:00 UTC.
pub const NOW: i64 = 1_795_428_000;

/// The rules of a rollout as they are by default.
pub fn target(version: &str) -> Target {
    Target {
        version: version.parse().unwrap(),
        rollout: format!("next/{version}"),
        channel: Some("next".into()),
        wave: None,
        from: None,
        window: None,
        attempts: 3,
        brake: Brake { artifact_faults: 3, failures_bp: 2000, after: 10 },
        no_downgrade: false,
        rate: None,
    }
}

/// An answer file with that target.
pub fn aimed(target: Target) -> AnswerFile {
    let offer = Offer { target: Some(target), interval: 10800, ..Offer::default() };
    AnswerFile { upgrade: 1, settings: vec![], offer }
}

/// An answer file without a target, with settings that are to be confirmed.
pub fn settings(generation: &str, settings: &[(&str, &str)]) -> AnswerFile {
    let settings = settings.iter().map(|(k, v)| Setting { key: (*k).into(), val: (*v).into() }).collect();
    let offer = Offer { interval: 10800, generation: Some(generation.into()), ..Offer::default() };
    AnswerFile { upgrade: 0, settings, offer }
}

/// The IMEI of device `n`.
pub fn imei(n: usize) -> String {
    format!("12345678901{n:04}")
}

const JAR: &[u8] = b"certainly no JAR";

fn release(version: &str) -> Release {
    Release {
        version: version.into(),
        path: format!("jars/{version}/OwnTracks.jar"),
        size: JAR.len() as u64,
        sha256: Sha256::of(JAR),
        suite: Suite::default(),
        withdrawn: None,
    }
}

/// A wave of one device that is open.
fn open_wave(wave: u16) -> Wave {
    Wave { wave, devices: 1, at: None, after: None }
}

/// A published directory; it is removed with the value.
pub struct Out(tempfile::TempDir);

impl Default for Out {
    fn default() -> Self {
        Out::new()
    }
}

impl Out {
    /// One without devices, whose rollouts have the usual limit of unproven devices.
    pub fn new() -> Self {
        Out::with(BTreeMap::new())
    }

    /// One whose rollouts of 0.10.66 and 0.10.67 have no limit of unproven devices.
    pub fn unlimited() -> Self {
        let rollout = |release: &str| Rollout {
            release: release.into(),
            waves: vec![open_wave(500), open_wave(10_000)],
            unproven: Limit::Unlimited,
            brake: target(release).brake,
        };
        Out::with(["0.10.66", "0.10.67"].map(|release| (format!("next/{release}"), rollout(release))).into())
    }

    fn with(rollouts: BTreeMap<String, Rollout>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(out::ANSWERS)).unwrap();
        let site = Site {
            otapress: wire::FORMAT,
            site: "http://ota.example.com".into(),
            version_paths: vec!["/otap/version".into()],
            notify_paths: vec!["/otap/notify?id=@".into()],
            releases: ["0.10.65", "0.10.66", "0.10.67"].map(release).into(),
            rollouts,
            ..Site::default()
        };
        for release in &site.releases {
            let jar = dir.path().join(&release.path);
            fs::create_dir_all(jar.parent().unwrap()).unwrap();
            fs::write(jar, JAR).unwrap();
        }
        fs::write(dir.path().join(out::SITE_FILE), site.to_text()).unwrap();
        Out(dir)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Lets `otapress.json` say how many devices a rollout has.
    pub fn expect_devices(&self, rollout: &str, devices: u32) {
        let waves = vec![Wave { wave: 10_000, devices, at: None, after: None }];
        self.expect_waves(rollout, waves, Limit::DEFAULT);
    }

    /// Lets it say which waves a rollout has.
    pub fn expect_waves(&self, rollout: &str, waves: Vec<Wave>, unproven: Limit) {
        let file = self.path().join(out::SITE_FILE);
        let mut site = Site::parse(&fs::read(&file).unwrap()).unwrap();
        let release = rollout.rsplit('/').next().unwrap().to_owned();
        let brake = target(&release).brake;
        site.rollouts.insert(rollout.to_owned(), Rollout { release, waves, unproven, brake });
        fs::write(file, site.to_text()).unwrap();
    }

    /// The answer file of device `n`.
    pub fn answer(&self, n: usize) -> PathBuf {
        out::answer_file(self.path(), imei(n).parse().unwrap())
    }

    /// Publishes the answer file of device `n`.
    pub fn publish(&self, n: usize, file: &AnswerFile) {
        self.publish_text(n, &file.to_text());
    }

    /// Publishes any text in its place.
    pub fn publish_text(&self, n: usize, text: &str) {
        fs::write(self.answer(n), text).unwrap();
    }

    /// What the responder sees of it now.
    pub fn responder(&self) -> Responder {
        Responder::new(self.path())
    }
}

/// Sends a POST.
pub fn post(
    responder: &Responder,
    store: &mut dyn Store,
    target: &str,
    agent: &str,
    body: &[u8],
    now: i64,
) -> Reply {
    match responder.prepare(&Request::post(target, agent, body)) {
        Step::NotOurs => panic!("a POST is the responder's"),
        Step::Done(reply) => reply,
        Step::Ask(question) => service::answer(store, Durability::Process, &[question], now).pop().unwrap(),
    }
}

/// Device `n` checks.
pub fn check(responder: &Responder, store: &mut dyn Store, n: usize, version: &str, now: i64) -> Reply {
    post(responder, store, "/otap/version", &format!("GW/{}", imei(n)), version.as_bytes(), now)
}

/// The modem of device `n`, with the clientID `dev<n>`, posts a result.
pub fn notify(responder: &Responder, store: &mut dyn Store, n: usize, text: &str, now: i64) -> Reply {
    let agent = format!("TC65i/{} Profile/IMP-NG Configuration/CLDC-1.1", imei(n));
    post(responder, store, &format!("/otap/notify?id=dev{n}"), &agent, text.as_bytes(), now)
}

/// Single records, for tests: what a batch loads and puts in bulk.
pub trait OneByOne: Tx {
    /// Writes a device and those of its offers that the record holds.
    fn put_device(&mut self, device: &DeviceRecord) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        changes.device(device);
        self.put(&changes)
    }

    /// Writes a rollout.
    fn put_rollout(&mut self, rollout: &RolloutRecord) -> Result<(), StoreError> {
        self.put(&Changes { rollouts: vec![rollout], ..Changes::default() })
    }

    /// Appends an event.
    fn put_event(&mut self, event: &Event) -> Result<(), StoreError> {
        self.put(&Changes { events: vec![event], ..Changes::default() })
    }

    /// Writes an unknown device.
    fn put_unknown(&mut self, unknown: &UnknownRecord) -> Result<(), StoreError> {
        self.put(&Changes { unknown: vec![unknown], ..Changes::default() })
    }

    /// Counts an offer for a channel.
    fn count_offer(&mut self, channel: &str, now: i64) -> Result<(), StoreError> {
        self.put(&Changes { rates: vec![(channel, now.div_euclid(60), 1)], ..Changes::default() })
    }

    /// A device as a batch sees it that asks for that rollout.
    fn device_in(&mut self, imei: Imei, rollout: Option<&str>) -> Result<Option<DeviceRecord>, StoreError> {
        let records =
            self.load(&Keys { devices: Few::from_iter([(imei, rollout)]), ..Keys::default() }, NOW)?;
        Ok(records.device(imei).cloned())
    }

    /// The devices whose results named that clientID.
    fn devices_of_client(&mut self, client: &ClientId) -> Result<Vec<Imei>, StoreError> {
        let records = self.load(&Keys { clients: Few::from_iter([client]), ..Keys::default() }, NOW)?;
        Ok(records.devices_of_client(client).collect())
    }

    /// Devices whose offer of that rollout is overdue at `now`, at most `limit`.
    fn overdue(&mut self, rollout: &str, now: i64, limit: usize) -> Result<Vec<Imei>, StoreError> {
        let mut records = self.load(&Keys { rollouts: Few::from_iter([rollout]), ..Keys::default() }, now)?;
        let mut overdue = records.take_overdue(rollout);
        assert!(overdue.iter().all(|imei| records.device(*imei).is_some()));
        overdue.truncate(limit);
        Ok(overdue)
    }

    /// An unknown device by its name.
    fn unknown(&mut self, name: &str) -> Result<Option<UnknownRecord>, StoreError> {
        let records = self.load(&Keys { names: vec![name.to_owned()], ..Keys::default() }, NOW)?;
        Ok(records.unknown(name).cloned())
    }
}

impl<T: Tx + ?Sized> OneByOne for T {}

/// Whether a check was answered with an upgrade.
pub fn is_upgrade(reply: &Reply) -> bool {
    assert_eq!((reply.status, reply.content_type), (200, Some("application/json")), "{reply:?}");
    assert!(reply.body.is_ascii());
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    body["upgrade"] == 1
}
