//! The lives of simulated devices against a server: what happens to a fleet over days, in seconds.

use otapress_core::wire::{Day, Release, Window};
use otapress_devices::device::{CheckOutcome, Device, Faults, Otap, Purpose, Turn};
use otapress_responder::operate;
use otapress_responder::record::{DeviceRecord, EventKind, Refusal, RolloutRecord};
use otapress_responder::store::Store;
use otapress_responder::store::sqlite::SqliteStore;
use std::time::Duration;

use crate::support::server::{NOON, Server};
use crate::support::tree::{Tree, offer, setting};

const IMEI: &str = "123456789012345";
const INTERVAL: i64 = 10800;

/// What the server has written down, read with a connection of its own.
struct State(SqliteStore);

impl State {
    fn of(tree: &Tree) -> State {
        State(SqliteStore::open(&tree.state(), Duration::from_secs(5)).unwrap())
    }

    fn device(&mut self, imei: &str) -> DeviceRecord {
        let mut found = None;
        self.0
            .read(&mut |tx| {
                found = tx.device(imei.parse().unwrap())?;
                Ok(())
            })
            .unwrap();
        found.unwrap()
    }

    fn rollout(&mut self, id: &str) -> RolloutRecord {
        let mut found = None;
        self.0
            .read(&mut |tx| {
                found = Some(tx.rollout(id)?);
                Ok(())
            })
            .unwrap();
        found.unwrap()
    }

    fn events(&mut self) -> Vec<EventKind> {
        let mut kinds = Vec::new();
        self.0
            .read(&mut |tx| {
                kinds = tx.events(0, 10_000)?.into_iter().map(|(_, event)| event.kind).collect();
                Ok(())
            })
            .unwrap();
        kinds
    }
}

/// A directory with two releases; the second is the one to run.
fn releases() -> (Tree, Release) {
    let mut tree = Tree::new();
    tree.release("0.10.65");
    let release = tree.release("0.10.66");
    (tree, release)
}

fn told_to_upgrade(turn: &Turn) -> bool {
    turn.check.as_ref().is_some_and(|check| check.outcome.is_upgrade())
}

fn statuses(turn: &Turn) -> Vec<(Purpose, Option<u16>)> {
    turn.exchanges().map(|exchange| (exchange.purpose, exchange.status())).collect()
}

fn fine(device: &mut Device) -> Turn {
    device.turn(&Faults::default())
}

#[test]
fn an_upgrade_from_check_to_proof() {
    let (tree, release) = releases();
    tree.offer("dev1", IMEI, &release);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");

    let turn = fine(&mut device);
    use Purpose::*;
    assert_eq!(
        statuses(&turn),
        [VersionCheck, Jad, Jar, Notify, VersionCheck].map(|purpose| (purpose, Some(200)))
    );
    assert_eq!(
        turn.exchanges().map(|e| e.body_size()).collect::<Vec<_>>()[2..],
        [release.size as usize, 0, 13]
    );
    assert_eq!(device.version, "0.10.66");
    assert!(!device.wants_upgrade());

    // From now on it is left alone, and nothing is downloaded again.
    for _ in 0..3 {
        server.advance(INTERVAL);
        let turn = fine(&mut device);
        assert_eq!(statuses(&turn), [(VersionCheck, Some(200))]);
        assert_eq!(turn.exchanges().next().unwrap().reply.as_ref().unwrap().body, b"{\"upgrade\":0}");
    }
    server.stop();

    let mut state = State::of(&tree);
    let record = state.device(IMEI);
    assert_eq!(record.refusal, Some(Refusal::Current));
    assert_eq!(record.client.unwrap().as_str(), "dev1");
    assert_eq!(record.result.unwrap().code, Some(900));
    let rollout = state.rollout("next/0.10.66");
    assert_eq!((rollout.offered, rollout.succeeded, rollout.failed), (1, 1, 0));
    use EventKind::*;
    let events = state.events();
    assert_eq!(events[..3], [FirstSeen, Offered, Installed]);
    assert_eq!(events.iter().filter(|&&kind| kind == Upgraded).count(), 1);
}

#[test]
fn failing_installs_use_the_attempts_up() {
    let (tree, release) = releases();
    tree.offer("dev1", IMEI, &release);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    // The device's own fault, so that the brake of the rollout has no say.
    let out_of_memory = Faults { pretend: Some(901), ..Faults::default() };
    let mut downloads = 0;
    for _ in 0..10 {
        let turn = device.turn(&out_of_memory);
        downloads += turn.exchanges().filter(|exchange| exchange.purpose == Purpose::Jar).count();
        server.advance(INTERVAL);
    }
    assert_eq!(downloads, 3);
    assert_eq!(device.version, "0.10.65");
    assert_eq!(device.reboots(), 3);
    let record = State::of(&tree).device(IMEI);
    assert_eq!(record.refusal, Some(Refusal::AttemptsUsed));
    assert_eq!(record.offers[0].attempts, 3);
}

#[test]
fn silent_failures_use_the_attempts_up_too() {
    let (tree, release) = releases();
    tree.offer("dev1", IMEI, &release);
    // The JAD is gone: the modem refuses, and nobody is told.
    std::fs::remove_dir_all(tree.out().join("files")).unwrap();
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    let mut refused = 0;
    for _ in 0..10 {
        device.check();
        while device.wants_upgrade() {
            refused += u32::from(device.otap(&Faults::default()).outcome.code().is_none());
            device.reboot();
            // An OTAP procedure and a start take longer than an answer that is lost.
            server.advance(120);
            device.check();
        }
        server.advance(INTERVAL);
    }
    assert_eq!(refused, 3);
    assert_eq!(State::of(&tree).device(IMEI).refusal, Some(Refusal::AttemptsUsed));
}

#[test]
fn settings_are_pushed_once_and_confirmed() {
    let (tree, release) = releases();
    let mut file = offer(&release);
    file.settings = vec![setting("keepAlive", "300"), setting("tid", "D1")];
    file.offer.generation = Some("g1".into());
    tree.vc(IMEI, &file);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.66");
    let before = device.settings.flash_writes();
    for _ in 0..5 {
        assert!(!told_to_upgrade(&fine(&mut device)));
        server.advance(INTERVAL);
    }
    assert_eq!(device.settings.get("keepAlive"), Some("300"));
    assert_eq!(device.settings.get("tid"), Some("D1"));
    // Every push of a setting costs a write to flash.
    assert_eq!(device.settings.flash_writes() - before, 2);
    let mut state = State::of(&tree);
    assert!(state.device(IMEI).settings.confirmed.is_some_and(|portion| portion.is_complete));

    // Another generation goes out once more; an empty value deletes.
    file.settings = vec![setting("keepAlive", "")];
    file.offer.generation = Some("g2".into());
    tree.vc(IMEI, &file);
    for _ in 0..3 {
        fine(&mut device);
        server.advance(INTERVAL);
    }
    assert_eq!(device.settings.get("keepAlive"), None);
    assert_eq!(device.settings.flash_writes() - before, 3);

    // What is to be enforced goes out every time.
    file.offer.always = vec!["keepAlive".into()];
    file.settings = vec![setting("keepAlive", "60")];
    file.offer.generation = None;
    tree.vc(IMEI, &file);
    for _ in 0..3 {
        fine(&mut device);
        server.advance(INTERVAL);
    }
    assert_eq!(device.settings.flash_writes() - before, 6);
}

#[test]
fn old_firmware_is_not_upgraded_by_a_setting() {
    let (tree, release) = releases();
    let mut file = offer(&release);
    file.settings = vec![setting("keepAlive", "100"), setting("tid", "D2")];
    file.offer.generation = Some("g".into());
    file.upgrade = 0;
    file.offer.target = None;
    tree.vc(IMEI, &file);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.8.37");
    for _ in 0..3 {
        assert!(!told_to_upgrade(&fine(&mut device)));
        server.advance(INTERVAL);
    }
    assert_eq!(device.settings.get("tid"), Some("D2"));
    assert_eq!(device.settings.get("keepAlive"), None);
}

#[test]
fn a_lost_answer_costs_no_attempt() {
    let (tree, release) = releases();
    let mut file = offer(&release);
    if let Some(target) = &mut file.offer.target {
        target.attempts = 1;
    }
    tree.jad("dev1", &release);
    tree.vc(IMEI, &file);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    let lost = Faults { lose_answer: true, ..Faults::default() };
    for _ in 0..10 {
        // It posts again every second, as long as it takes its check for unanswered.
        let outcome = device.turn(&lost).check.unwrap().outcome;
        assert!(matches!(outcome, CheckOutcome::RepostsEverySecond(_)));
        server.advance(1);
    }
    assert!(told_to_upgrade(&fine(&mut device)));
    assert_eq!(device.version, "0.10.66");
    assert_eq!(State::of(&tree).device(IMEI).offers[0].attempts, 1);
}

#[test]
fn a_held_device_gets_nothing_until_it_is_released() {
    let (tree, release) = releases();
    let mut file = offer(&release);
    file.settings = vec![setting("tid", "D1")];
    file.offer.generation = Some("g".into());
    let released = file.clone();
    file.upgrade = 0;
    file.offer.held = true;
    file.offer.target = None;
    file.settings = Vec::new();
    file.offer.generation = None;
    tree.jad("dev1", &release);
    tree.vc(IMEI, &file);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    let turn = fine(&mut device);
    assert_eq!(turn.exchanges().next().unwrap().reply.as_ref().unwrap().body, b"{\"upgrade\":0}");
    assert_eq!(State::of(&tree).device(IMEI).refusal, Some(Refusal::Held));
    server.advance(INTERVAL);
    tree.vc(IMEI, &released);
    assert!(told_to_upgrade(&fine(&mut device)));
    assert_eq!(device.version, "0.10.66");
    assert_eq!(device.settings.get("tid"), Some("D1"));
}

#[test]
fn artifact_faults_halt_a_rollout_until_it_is_resumed() {
    let (tree, release) = releases();
    let imeis: Vec<String> = (0..6).map(|i| format!("35209900000000{i}")).collect();
    for (i, imei) in imeis.iter().enumerate() {
        tree.offer(&format!("dev{i}"), imei, &release);
    }
    let server = Server::start(&tree);
    let mut devices: Vec<Device> = imeis
        .iter()
        .enumerate()
        .map(|(i, imei)| server.device(&format!("dev{i}"), imei, "0.10.65"))
        .collect();
    let codes: Vec<_> = devices
        .iter_mut()
        .map(|device| {
            // A mismatch of sizes is the artifact's fault.
            let turn = device.turn(&Faults { pretend: Some(904), ..Faults::default() });
            server.advance(60);
            turn.otap.as_ref().and_then(|otap: &Otap| otap.outcome.code())
        })
        .collect();
    assert_eq!(codes, [Some(904), Some(904), Some(904), None, None, None]);
    let mut state = State::of(&tree);
    assert!(state.rollout("next/0.10.66").halted.is_some());
    assert_eq!(state.device(&imeis[5]).refusal, Some(Refusal::Halted));

    // A rollout that is halted stays so until somebody resumes it.
    server.advance(INTERVAL);
    assert!(!told_to_upgrade(&fine(&mut devices[5])));
    let now = server.now();
    assert_eq!(operate::resume(&mut state.0, "0.10.66", now).unwrap(), ["next/0.10.66"]);
    for device in &mut devices {
        // Those that were told to upgrade before the halt go on from there.
        fine(device);
        server.advance(INTERVAL);
    }
    for device in &mut devices {
        fine(device);
        assert_eq!(device.version, "0.10.66");
    }
    let rollout = state.rollout("next/0.10.66");
    assert_eq!(rollout.halted, None);
    assert_eq!(rollout.failed, 0);
}

#[test]
fn a_wave_opens_at_its_time() {
    let (mut tree, release) = releases();
    tree.change_site(|site| {
        for rollout in site.rollouts.values_mut() {
            rollout.waves[0].at = Some(NOON + 2 * INTERVAL);
        }
    });
    tree.offer("dev1", IMEI, &release);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(told_to_upgrade(&fine(&mut device)));
        server.advance(INTERVAL);
    }
    assert_eq!(told, [false, false, true, false]);
    assert_eq!(device.version, "0.10.66");
}

#[test]
fn offers_are_made_inside_the_window_only() {
    let (tree, release) = releases();
    let mut file = offer(&release);
    if let Some(target) = &mut file.offer.target {
        // From Tuesday 23:00 to Wednesday 03:00; the clock starts on a Tuesday at noon.
        target.window = Some(Window { days: vec![Day::Tue], from: 23 * 60, minutes: 240 });
    }
    tree.jad("dev1", &release);
    tree.vc(IMEI, &file);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    // The modem's network is down until after midnight, so the first offer fails without a word.
    let mut told = Vec::new();
    for _ in 0..16 {
        let turn = device.turn(&Faults { pretend: Some(903), ..Faults::default() });
        let start = turn.start.as_ref().is_some_and(|check| check.outcome.is_upgrade());
        if told_to_upgrade(&turn) || start {
            told.push((server.now() - NOON) / 3600);
        }
        server.advance(3600);
    }
    assert!(!told.is_empty());
    assert!(told.iter().all(|hour| (11..15).contains(hour)), "{told:?}");
    assert_eq!(told[0], 11);
}

#[test]
fn a_simulator_is_answered_and_leaves_no_trace() {
    let (tree, release) = releases();
    tree.offer("dev1", IMEI, &release);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    device.quirks.program = otapress_devices::device::Program::Simu;
    assert!(device.check().outcome.is_upgrade());
    server.stop();
    let mut state = State::of(&tree);
    assert_eq!(state.events(), []);
    assert_eq!(state.rollout("next/0.10.66").offered, 0);
}

#[test]
fn a_result_that_is_posted_again_counts_once() {
    let (tree, release) = releases();
    tree.offer("dev1", IMEI, &release);
    let server = Server::start(&tree);
    let mut device = server.device("dev1", IMEI, "0.10.65");
    let turn = device.turn(&Faults { repeat_notify: 3, ..Faults::default() });
    let notifies = turn.exchanges().filter(|exchange| exchange.purpose == Purpose::Notify);
    assert!(notifies.map(|exchange| exchange.status()).eq([Some(200); 4]));
    let events = State::of(&tree).events();
    assert_eq!(events.iter().filter(|&&kind| kind == EventKind::Installed).count(), 1);
}
