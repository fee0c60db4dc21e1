//! The limit of unproven devices, and waves that open by success, with real programs that are killed at random:
//! whichever of them answers, the limit is never exceeded by one device, no wave opens early or twice, and
//! everybody who comes back gets the release.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use otapress_core::id::Imei;
use otapress_core::out;
use otapress_core::wire::AnswerFile;
use otapress_responder::record::{EventKind, RolloutRecord};
use otapress_responder::store::sqlite::SqliteStore;
use otapress_responder::store::{Store, StoreError, Tx};
use otapress_server::location::Location;
use otapress_server::postgres::{PostgresStore, Server};

use crate::support::postgres::Postgres;
use crate::support::process::{Client, Fleet, PATIENCE, Serve, YAML, heavy};
use crate::support::programs::otapress_cgi;

const DEVICES: usize = 30;

/// So many never come back.
const SILENT: usize = 2;

const PLACES: usize = 3;

/// So many responders are killed at least.
const KILLS: usize = 3;

const YES: &str = r#"{"upgrade":1}"#;

fn imei(n: usize) -> String {
    format!("35209900176{n:04}")
}

/// Each wave waits until six of ten devices before it have proven the release.
const WAVES: &str = "{
    release: 0.10.66, unproven: unlimited,
    rollout: [{ percent: 30% }, { percent: 60%, after: { success: 100%, reached: 60% } },
      { percent: 100%, after: { success: 100%, reached: 60% } }] }";

fn fleet(next: &str) -> Fleet {
    let devices: String = (0..DEVICES).map(|n| format!("  d{n}: {{ imei: \"{}\" }}\n", imei(n))).collect();
    let yaml = YAML.replace("  dev1: { imei: \"352099001761481\" }\n", &devices);
    let fleet = Fleet::new(&yaml.replace("{ next: 0.10.66 }", &format!("{{ next: {next} }}")));
    assert!(fleet.run(&["build"]).status.success());
    fleet
}

/// A number that looks like chance, each time another one.
fn chance(below: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(7);
    let n = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((n ^ (n >> 27)) >> 33) % below
}

/// What the devices know.
#[derive(Default)]
struct Seen {
    /// They were told, and have not reported since.
    waiting: BTreeSet<usize>,
    /// Those that may have been heard to run the release.
    proven: BTreeSet<usize>,
    finished: usize,
}

impl Seen {
    /// What must hold whenever a device is told.
    fn hold(&self, n: usize, promise: &Promise) {
        match promise {
            Promise::Limit => {
                let waiting = &self.waiting;
                assert!(waiting.len() <= PLACES, "{waiting:?} were told, and only {PLACES} may be");
            }
            Promise::Waves(waves) => {
                for wave in waves.iter().filter(|wave| **wave < waves[n]) {
                    let before: BTreeSet<_> = (0..DEVICES).filter(|n| waves[*n] <= *wave).collect();
                    let proven = before.intersection(&self.proven).count();
                    assert!(proven * 10 >= before.len() * 6, "{n} was told; {proven} of {before:?} run it");
                }
            }
        }
    }
}

/// What the responders promise together.
enum Promise {
    /// So many are unproven at most.
    Limit,
    /// The wave of each device, none of which opens before those before it have shown enough.
    Waves(Vec<u16>),
}

/// The responders: three that serve, and if the records are in a directory programs that live for one
/// request.
struct Responders<'a> {
    fleet: &'a Fleet,
    state: String,
    with_cgi: bool,
    promise: Promise,
    addresses: Mutex<Vec<SocketAddr>>,
    lost: AtomicUsize,
    kills: AtomicUsize,
}

impl Responders<'_> {
    fn serve(&self) -> Serve {
        self.fleet.serve(&["--no-build", "--quiet", "--state", &self.state])
    }

    /// The answer to a check; none if the responder was killed before it came.
    fn check(&self, n: usize, version: &str) -> Option<String> {
        let answer = match self.with_cgi && chance(2) == 0 {
            true => self.run_cgi(n, version),
            false => {
                let address = self.addresses.lock().unwrap()[chance(3) as usize];
                let agent = format!("GW/{}", imei(n));
                let reply = Client::connect(address)
                    .and_then(|mut it| it.send("POST", "/otap/version", &agent, "", version.as_bytes()));
                reply.ok().map(|reply| {
                    assert_eq!(reply.status, 200);
                    reply.text().to_owned()
                })
            }
        };
        if answer.is_none() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    fn run_cgi(&self, n: usize, version: &str) -> Option<String> {
        let mut command = Command::new(otapress_cgi());
        command.env_clear().env("OTAPRESS_OUT", self.fleet.path("out")).env("OTAPRESS_STATE", &self.state);
        command.env("REQUEST_METHOD", "POST").env("REQUEST_URI", "/otap/version");
        command.env("CONTENT_LENGTH", version.len().to_string());
        command.env("HTTP_USER_AGENT", format!("GW/{}", imei(n)));
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // It may have ended before it reads.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), version.as_bytes());
        if chance(3) == 0 {
            thread::sleep(Duration::from_millis(chance(12)));
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (head, body) = said.split_once("\r\n\r\n")?;
        assert!(head.starts_with("Status: 200 "), "{head}");
        (!body.is_empty()).then(|| body.to_owned())
    }

    /// Kills one responder after the other, until all devices have finished.
    fn kill(&self, mut instances: Vec<Serve>, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(50 + chance(250)));
            let n = chance(3) as usize;
            instances[n].kill();
            instances[n] = self.serve();
            self.addresses.lock().unwrap()[n] = instances[n].address;
            self.kills.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What becomes of some of the devices.
    fn live(&self, mut devices: Vec<usize>, seen: &Mutex<Seen>, begin: Instant) {
        let mut left = devices.len();
        while left > 0 {
            assert!(begin.elapsed() < 4 * PATIENCE, "devices {devices:?} are offered nothing");
            devices.retain(|&n| {
                // The last one sees enough of them killed, however slowly a responder starts.
                if left == 1 && self.kills.load(Ordering::SeqCst) < KILLS {
                    return true;
                }
                if self.check(n, "0.10.65").is_none_or(|answer| answer != YES) {
                    return true;
                }
                let mut known = seen.lock().unwrap();
                known.waiting.insert(n);
                known.hold(n, &self.promise);
                drop(known);
                if n >= SILENT {
                    thread::sleep(Duration::from_millis(20 + chance(60)));
                    // From now on it may have been heard.
                    let mut known = seen.lock().unwrap();
                    known.waiting.remove(&n);
                    known.proven.insert(n);
                    drop(known);
                    while self.check(n, "0.10.66").is_none() {}
                }
                seen.lock().unwrap().finished += 1;
                left -= 1;
                false
            });
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn read<T>(state: &str, work: impl Fn(&mut dyn Tx) -> Result<T, StoreError>) -> T {
    let mut store: Box<dyn Store> = match Location::parse(state.into()).unwrap() {
        Location::Directory(state) => Box::new(SqliteStore::open_read_only(&state, PATIENCE).unwrap()),
        Location::Postgres(url) => {
            let server = Server { url: &url, passfile: None, patience: PATIENCE, until: None };
            Box::new(PostgresStore::open_read_only(&server).unwrap().unwrap())
        }
    };
    let mut found = None;
    store.read(&mut |tx| work(tx).map(|value| found = Some(value))).unwrap();
    found.unwrap()
}

fn rollout(state: &str) -> RolloutRecord {
    read(state, |tx| tx.rollout("next/0.10.66"))
}

/// Lets all devices upgrade while the responders are killed.
fn promise_is_kept(promise: Promise, fleet: &Fleet, state: String, with_cgi: bool) {
    let _heavy = heavy();
    let (addresses, lost, kills) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    let responders = Responders { fleet, state, with_cgi, promise, addresses, lost, kills };
    let instances: Vec<_> = (0..3).map(|_| responders.serve()).collect();
    *responders.addresses.lock().unwrap() = instances.iter().map(|instance| instance.address).collect();
    let (seen, is_over, begin) = (Mutex::new(Seen::default()), AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let killer = scope.spawn(|| responders.kill(instances, &is_over));
        let lives: Vec<_> = (0..6)
            .map(|worker| {
                let devices = (0..DEVICES).filter(|n| n % 6 == worker).collect();
                let (responders, seen) = (&responders, &seen);
                scope.spawn(move || responders.live(devices, seen, begin))
            })
            .collect();
        let ended: Vec<_> = lives.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::SeqCst);
        killer.join().unwrap();
        ended.into_iter().for_each(|ended| ended.unwrap());
    });
    let seen = seen.into_inner().unwrap();
    assert_eq!((seen.finished, seen.waiting.len()), (DEVICES, SILENT));
    let [lost, kills] = [&responders.lost, &responders.kills].map(|count| count.load(Ordering::SeqCst));
    assert!(kills >= KILLS && lost > 0, "{kills} were killed, and {lost} answers lost");
    let rollout = rollout(&responders.state);
    let counts = (rollout.places as usize, rollout.proven as usize, rollout.offered as usize);
    assert_eq!(counts, (SILENT, DEVICES - SILENT, DEVICES));
    eprintln!("{:?}: {kills} were killed, {lost} answers lost", begin.elapsed());
}

#[test]
fn three_responders_on_one_postgresql_keep_the_limit_while_they_are_killed() {
    let fleet = fleet("0.10.66");
    promise_is_kept(Promise::Limit, &fleet, Postgres::shared().database(), false);
}

#[test]
fn responders_and_cgi_programs_on_one_sqlite_keep_the_limit_while_they_are_killed() {
    let fleet = fleet("0.10.66");
    let state = fleet.path("state").to_str().unwrap().to_owned();
    promise_is_kept(Promise::Limit, &fleet, state, true);
}

fn waves_open_once(fleet: &Fleet, state: String, with_cgi: bool) {
    let wave = |n: usize| {
        let imei: Imei = imei(n).parse().unwrap();
        let answer = std::fs::read(out::answer_file(&fleet.path("out"), imei)).unwrap();
        AnswerFile::parse(&answer).unwrap().offer.target.unwrap().wave.unwrap()
    };
    let waves: Vec<_> = (0..DEVICES).map(wave).collect();
    let several: BTreeSet<_> = waves.iter().copied().collect();
    assert_eq!(several, BTreeSet::from([3_000, 6_000, 10_000]));
    promise_is_kept(Promise::Waves(waves), fleet, state.clone(), with_cgi);
    let opened = read(&state, |tx| tx.events_of_kinds(&[EventKind::WaveOpened], 0, 9));
    assert_eq!(opened.len(), 2, "each once: {opened:?}");
}

#[test]
fn three_responders_on_one_postgresql_open_each_wave_once_while_they_are_killed() {
    waves_open_once(&fleet(WAVES), Postgres::shared().database(), false);
}

#[test]
fn responders_and_cgi_programs_on_one_sqlite_open_each_wave_once_while_they_are_killed() {
    let fleet = fleet(WAVES);
    let state = fleet.path("state").to_str().unwrap().to_owned();
    waves_open_once(&fleet, state, true);
}

/// A fault in one channel stops the release in all of them, and for pinned devices, on every responder.
#[test]
fn a_fault_in_canary_is_refused_everywhere_a_second_later() {
    let of = |name: &str, from: usize, rest: &str| -> String {
        (0..4).map(|n| format!("  {name}{n}: {{ imei: \"{}\", {rest} }}\n", imei(from + n))).collect()
    };
    let devices = of("canary", 0, "channel: canary") + &of("main", 10, "channel: next");
    let devices = devices + &of("pin", 20, "release: 0.10.66");
    let yaml = YAML.replace("{ next: 0.10.66 }", "{ next: 0.10.66, canary: 0.10.66 }");
    let fleet = Fleet::new(&yaml.replace("  dev1: { imei: \"352099001761481\" }\n", &devices));
    assert!(fleet.run(&["build"]).status.success());
    let state = Postgres::shared().database();
    let instances: Vec<_> =
        (0..3).map(|_| fleet.serve(&["--no-build", "--quiet", "--state", &state])).collect();
    let is_told = |at: usize, n: usize| instances[at].check(&imei(n), "0.10.65").text() == YES;
    (0..3).for_each(|n| instances[n].has_its_records(&imei(n), "0.10.65"));
    assert!(is_told(1, 10) && is_told(2, 20), "it is offered to others, too");
    for n in 0..3 {
        let reply = instances[0].notify(&format!("canary{n}"), &imei(n), "907 Invalid JAR");
        assert_eq!(reply.status, 200);
    }
    thread::sleep(Duration::from_secs(1));
    for at in 0..3 {
        assert_eq!([11 + at, 21 + at, 3].map(|n| is_told(at, n)), [false; 3]);
        for name in [format!("main{}", at + 1), format!("pin{}", at + 1)] {
            let said = fleet.run(&["status", &name, "--state", &state]);
            let said = String::from_utf8(said.stdout).unwrap();
            assert!(said.contains("  state             halted"), "{said}");
        }
    }
}
