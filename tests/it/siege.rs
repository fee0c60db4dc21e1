//! A server besieged: hostile requests by the million, and 500 devices that upgrade while it lasts.
//!
//! Short here; `make siege` does it in full against the release program, and prints the figures that
//! docs/threats.md has.

mod visit;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use otapress_devices::device::http::Network;
use otapress_devices::device::{Device, Exchange, Faults};
use otapress_simulation::Prng;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::support::process::{Fleet, PATIENCE, Serve, heavy};
use crate::support::project::Ran;
use visit::{Target, Visit};

/// What is done, by default and in full.
struct Scale {
    requests: u64,
    time: Duration,
    devices: usize,
    /// Connections that are held without a request.
    idle: usize,
}

const SHORT: Scale = Scale { requests: 8_000, time: Duration::from_secs(10), devices: 40, idle: 600 };
const FULL: Scale = Scale { requests: 1_000_000, time: Duration::from_secs(600), devices: 500, idle: 12_000 };

fn scale() -> &'static Scale {
    if std::env::var_os("OTAPRESS_SIEGE").is_some_and(|how| how == "full") { &FULL } else { &SHORT }
}

/// The part of the path that nobody guesses.
const CHECK: &str = "/otap/k3yOf7aFleet/version";
const NOTIFY: &str = "/otap/k3yOf7aFleet/notify";

const ATTACKERS: usize = 4;

/// The most memory that the server may ever need.
const MEMORY: u64 = 100 << 20;

/// The most that its records may grow to.
const DISK: u64 = 64 << 20;

/// A command on the fleet, of the program that is under siege.
fn command(fleet: &Fleet, arguments: &[&str]) -> Command {
    let program = std::env::var_os("OTAPRESS_SIEGE_PROGRAM");
    let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_otapress").into()));
    command.args(arguments).arg("--fleet").arg(fleet.path("fleet.yaml")).env_remove("OTAPRESS_STATE");
    command
}

/// A fleet with its server.
struct Siege {
    fleet: Fleet,
    serve: Serve,
    /// Attackers know these, and the key.
    known: Vec<String>,
    devices: Vec<Device>,
}

fn imei(n: usize) -> String {
    format!("35209900176{n:04}")
}

impl Siege {
    fn new(devices: usize) -> Siege {
        let mut yaml = format!(
            "site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com{NOTIFY}?id=@
  versionURI: http://ota.example.com{CHECK}
midlet: {{ name: OwnTracks, vendor: Choral }}
channels: {{ next: 0.10.66, besieged: {{ release: 0.10.65, attempts: 3 }} }}
default: {{ channel: next }}
devices:
"
        );
        let known: Vec<_> = (0..20).map(|n| imei(9_000 + n)).collect();
        for (n, imei) in known.iter().enumerate() {
            yaml += &format!("  known{n}: {{ imei: \"{imei}\", channel: besieged }}\n");
        }
        (0..devices).for_each(|n| yaml += &format!("  dev{n}: {{ imei: \"{}\" }}\n", imei(n)));
        let fleet = Fleet::new(&yaml);
        let serve = Serve::start(command(&fleet, &["serve", "--listen", "127.0.0.1:0"]))
            .unwrap_or_else(|ended| panic!("{ended:?}"));
        let device = |n: usize| {
            let site = "http://ota.example.com";
            let mut device = Device::new(imei(n).parse().unwrap(), "0.10.65");
            for (key, val) in [
                ("clientID", format!("dev{n}")),
                ("otapURI", format!("{site}/files/@/OwnTracks.jad")),
                ("notifyURI", format!("{site}{NOTIFY}?id=@")),
                ("versionURI", format!("{site}{CHECK}")),
            ] {
                device = device.with(key, &val).unwrap();
            }
            device.network = Network { connect_to: Some(serve.address), ..Network::default() };
            device
        };
        let devices = (0..devices).map(device).collect();
        Siege { fleet, serve, known, devices }
    }

    fn target(&self) -> Target<'_> {
        Target { check: CHECK, notify: NOTIFY, known: &self.known }
    }

    fn disk(&self) -> u64 {
        let files = fs::read_dir(self.fleet.path("state")).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    }

    /// The server is as it should be, and what was needed is printed.
    #[track_caller]
    fn hold(&self, what: &str, begin: Instant) {
        let (memory, disk, log) = (self.serve.peak_memory(), self.disk(), self.serve.log());
        eprintln!(
            "{what} in {:.0} s; memory {:.1} MB at most, records {:.1} MB, {} lines of log",
            begin.elapsed().as_secs_f64(),
            memory as f64 / 1e6,
            disk as f64 / 1e6,
            log.lines().count()
        );
        assert!(memory < MEMORY, "{memory} bytes of memory");
        assert!(disk < DISK, "{disk} bytes of records");
        // So many of a kind in a minute, and the number of those that were left out.
        let minutes = 1 + begin.elapsed().as_secs() as usize / 60;
        assert!(log.lines().count() < 600 * minutes, "{} lines", log.lines().count());
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// Pays visits as long as it is told to, knowing how many requests were sent; returns how many that were.
fn attack(siege: &Siege, seed: u64, wrong: &Mutex<Vec<String>>, go_on: impl Fn(u64) -> bool) -> u64 {
    let mut chance = Prng::new(seed);
    let mut sent = 0;
    // Of many faults, a few are enough.
    while go_on(sent) && wrong.lock().unwrap().len() < 10 {
        let visit = Visit::new(&mut chance, siege.target());
        sent += visit.len() as u64;
        if let Err(why) = visit.pay(siege.serve.address, PATIENCE) {
            wrong.lock().unwrap().push(why);
        }
    }
    sent
}

fn assert_none(wrong: &Mutex<Vec<String>>) {
    let wrong = wrong.lock().unwrap();
    assert!(wrong.is_empty(), "{} times; first: {}", wrong.len(), wrong[0]);
}

#[test]
fn among_hostile_requests_every_readable_post_gets_its_json() {
    let _alone = heavy();
    let (scale, siege, begin) = (scale(), Siege::new(4), Instant::now());
    let (wrong, sent) = (Mutex::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..ATTACKERS as u64 {
            let (siege, wrong, sent) = (&siege, &wrong, &sent);
            let share = scale.requests / ATTACKERS as u64;
            scope.spawn(move || sent.fetch_add(attack(siege, seed, wrong, |sent| sent < share), Relaxed));
        }
    });
    assert_none(&wrong);
    siege.hold(&format!("{} hostile requests", sent.load(Relaxed)), begin);
    // Devices get what they would have got.
    for mut device in siege.devices.clone() {
        device.turn(&Faults::default());
        assert_eq!(device.version, "0.10.66");
    }
}

/// Holds connections that ask nothing, or half of something, or take nothing of what they asked for.
fn hold_connections(address: SocketAddr, most: usize, go_on: &dyn Fn() -> bool) -> usize {
    let jar = b"GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200);
    let begun: [&[u8]; 5] = [
        b"",
        b"POST /otap/ver",
        b"POST /otap/version HTTP/1.1\r\nUser-Agent: GW/1\r\nContent-Length: 4000\r\n\r\n0.10",
        b"GET /files/dev1/OwnTracks.jad HTTP/1.1\r\nHost: h\r\n\r\n",
        &jar,
    ];
    let (mut open, mut opened) = (std::collections::VecDeque::new(), 0);
    while go_on() {
        for _ in 0..most / 50 {
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            stream.set_nonblocking(true).unwrap();
            // It may have been closed already, to make room.
            let _ = stream.write(begun[opened % begun.len()]);
            open.push_back(stream);
            opened += 1;
        }
        open.drain(..open.len().saturating_sub(most));
        // One more byte from each of a few, as slow as can be.
        for stream in open.iter_mut().step_by(97) {
            let _ = stream.write(b"x");
            let _ = stream.read(&mut [0; 16]);
        }
        thread::sleep(Duration::from_millis(200));
    }
    opened
}

/// A device's life under siege: it asks until it runs the release, and takes note of its exchanges.
fn upgrade(device: &mut Device, wrong: &Mutex<Vec<String>>, slowest: &AtomicU64) -> u64 {
    let begin = Instant::now();
    let turn = device.turn(&Faults::default());
    let exchanges: Vec<&Exchange> = turn.exchanges().collect();
    for exchange in &exchanges {
        if exchange.status() != Some(200) {
            wrong.lock().unwrap().push(format!("{}: {exchange:?}", device.client_id()));
        }
    }
    let milliseconds = begin.elapsed().as_millis() as u64 / exchanges.len().max(1) as u64;
    slowest.fetch_max(milliseconds, Relaxed);
    exchanges.len() as u64
}

#[test]
fn devices_upgrade_while_everything_is_tried() {
    let _alone = heavy();
    let scale = scale();
    let allowed = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: allowed.maximum, ..allowed }).unwrap();
    let siege = Siege::new(scale.devices);
    let (wrong, over) = (Mutex::default(), AtomicBool::new(false));
    let (asked, slowest, hostile) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    let held = thread::scope(|scope| {
        let (siege, wrong, over) = (&siege, &wrong, &over);
        let (asked, slowest, hostile) = (&asked, &slowest, &hostile);
        let lasts = move || !over.load(Relaxed);
        for seed in 0..ATTACKERS as u64 {
            let attack =
                move || hostile.fetch_add(attack(siege, 0xbad << 16 | seed, wrong, |_| lasts()), Relaxed);
            scope.spawn(attack);
        }
        let holder = scope.spawn(move || hold_connections(siege.serve.address, scale.idle, &lasts));
        // The devices begin one after the other, over two thirds of the time.
        let lives: Vec<_> = siege.devices.chunks(siege.devices.len().div_ceil(8)).enumerate().collect();
        let lives = lives.into_iter().map(|(nth, devices)| {
            scope.spawn(move || {
                for (n, device) in devices.iter().enumerate() {
                    let (mut device, due) =
                        (device.clone(), scale.time * (n * 2) as u32 / (devices.len() * 3) as u32);
                    thread::sleep(
                        (due + Duration::from_millis(nth as u64 * 37)).saturating_sub(begin.elapsed()),
                    );
                    while device.version != "0.10.66" && begin.elapsed() < scale.time * 2 {
                        asked.fetch_add(upgrade(&mut device, wrong, slowest), Relaxed);
                        // Others may have to prove the release first.
                        thread::sleep(Duration::from_millis(100));
                    }
                    if device.version != "0.10.66" {
                        wrong.lock().unwrap().push(format!("{} runs {}", device.client_id(), device.version));
                    }
                }
            })
        });
        let lives: Vec<_> = lives.collect();
        lives.into_iter().for_each(|life| life.join().unwrap());
        thread::sleep(scale.time.saturating_sub(begin.elapsed()));
        over.store(true, Relaxed);
        holder.join().unwrap()
    });
    assert_none(&wrong);
    let what = format!(
        "{} devices upgraded with {} requests, the slowest answered within {} ms, among {} hostile requests and \
         {held} connections that were held",
        scale.devices,
        asked.load(Relaxed),
        slowest.load(Relaxed),
        hostile.load(Relaxed)
    );
    siege.hold(&what, begin);
    let ran = Ran::new(command(&siege.fleet, &["status", "--json"]).output().unwrap());
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    let rollouts = status["rollouts"].as_array().unwrap();
    let rollout = rollouts.iter().find(|rollout| rollout["id"] == "next/0.10.66").unwrap();
    assert_eq!(rollout["states"]["current"], scale.devices, "{rollout}");
}
