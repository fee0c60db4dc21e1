//! Several instances of `otapress serve` on one database, behind the balancers of `examples/`: what one
//! instance promises holds for all of them, while they and the database come and go.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use otapress_core::id::Imei;
use otapress_responder::record::EventKind::{self, *};
use otapress_responder::store::{Store as _, StoreError, Tx};
use otapress_server::location::Location;
use otapress_server::postgres::{PostgresStore, Server};

use crate::support::balancers::{Balancer, haproxy, nginx};
use crate::support::hosts::Site;
use crate::support::postgres::Postgres;
use crate::support::process::{Client, Reply, Serve, heavy, wait_until};

const NO: &str = r#"{"upgrade":0}"#;

fn imei(n: usize) -> Imei {
    format!("35{n:013}").parse().unwrap()
}

/// A fleet of so many devices whose rollout nothing stops, and of so many whose rollout three bad results do.
fn site(devices: usize, braked: usize) -> Site {
    Site::new(|yaml| {
        let (head, _) = yaml.split_once("channels:").unwrap();
        let mut yaml = format!(
            "{head}channels:\n  next: {{ release: 0.10.66, unproven: unlimited, brake: {{ artifactFaults: 0, \
             failures: 100% }} }}\n\
             \x20 braked: {{ release: 0.10.66, unproven: unlimited, brake: {{ artifactFaults: 3 }} \
             }}\ndevices:\n"
        );
        for n in 0..devices + braked {
            let channel = if n < devices { "next" } else { "braked" };
            yaml += &format!("  d{n}: {{ imei: \"{}\", channel: {channel} }}\n", imei(n));
        }
        yaml
    })
}

fn serve(site: &Site, url: &str) -> Serve {
    let mut command = site.command();
    command.args(["serve", "--no-build", "--listen", "127.0.0.1:0", "--state", url]);
    Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"))
}

/// What is in the database.
fn read<T>(url: &str, mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>) -> T {
    let Ok(Location::Postgres(url)) = Location::parse(url.into()) else { panic!("{url}") };
    let server = Server { url: &url, passfile: None, patience: Duration::from_secs(30), until: None };
    let mut found = None;
    let mut store = PostgresStore::open_read_only(&server).unwrap().unwrap();
    store.read(&mut |tx| work(tx).map(|value| found = Some(value))).unwrap();
    found.unwrap()
}

/// Sends one request over a kept connection, or over a new one if there is none. An answer that does not come
/// is none.
fn post(kept: &mut Option<Client>, to: SocketAddr, path: &str, agent: &str, body: &str) -> Option<Reply> {
    let mut client = kept.take().or_else(|| Client::connect(to).ok())?;
    let reply = client.send("POST", path, agent, "", body.as_bytes()).ok()?;
    if reply.header("connection") != Some("close") {
        *kept = Some(client);
    }
    Some(reply)
}

/// What all devices have met.
#[derive(Default)]
struct Met {
    finished: AtomicUsize,
    slowest: Mutex<Duration>,
    refused: AtomicUsize,
}

/// A device behind the balancer.
struct Device<'a> {
    n: usize,
    balancer: SocketAddr,
    connection: &'a mut Option<Client>,
    met: &'a Met,
}

impl Device<'_> {
    /// Whether it is to upgrade. It is always answered, with 200.
    fn check(&mut self, reported: &str) -> bool {
        let start = Instant::now();
        let agent = format!("GW/{}", imei(self.n));
        let reply = loop {
            // A connection that was kept may have ended meanwhile; that is no answer.
            if let Some(reply) = post(self.connection, self.balancer, "/otap/version", &agent, reported) {
                break reply;
            }
        };
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut slowest = self.met.slowest.lock().unwrap();
        *slowest = start.elapsed().max(*slowest);
        match reply.text() {
            NO => false,
            r#"{"upgrade":1}"# => true,
            other => panic!("{other}"),
        }
    }

    /// Asks until it is told to upgrade: while there are no records it is told no.
    fn is_offered(&mut self) {
        let start = Instant::now();
        while !self.check("0.10.65") {
            assert!(start.elapsed() < Duration::from_secs(30), "device {} is offered nothing", self.n);
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Posts a result until it is acknowledged.
    fn notify(&mut self, text: &str) {
        let agent = format!("TC65i/{} Profile/IMP-NG", imei(self.n));
        let path = format!("/otap/notify?id=d{}", self.n);
        let start = Instant::now();
        while post(self.connection, self.balancer, &path, &agent, text)
            .is_none_or(|reply| reply.status != 200)
        {
            self.met.refused.fetch_add(1, Ordering::Relaxed);
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "the result of device {} is not taken",
                self.n
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A life: every other device upgrades, the others fail as often as they may.
    fn live(&mut self) -> Vec<EventKind> {
        self.is_offered();
        let mut events = vec![FirstSeen, Offered];
        if self.n.is_multiple_of(2) {
            self.notify("900 Success");
            self.notify("900 Success");
            // While there are no records nobody writes this down; it says so again later.
            assert!(!self.check("0.10.66"));
            events.extend([Installed, Upgraded, VersionChanged]);
        } else {
            for attempt in 1..=3 {
                self.notify("901 Insufficient memory");
                events.push(Failed);
                if attempt < 3 {
                    self.is_offered();
                    events.push(Offered);
                }
            }
            assert!(!self.check("0.10.65"), "device {} has no attempts left", self.n);
        }
        self.met.finished.fetch_add(1, Ordering::SeqCst);
        events
    }

    /// Its next check, much later.
    fn check_again(&mut self) {
        let reported = if self.n.is_multiple_of(2) { "0.10.66" } else { "0.10.65" };
        assert!(!self.check(reported), "device {} has no attempts left, or runs its target", self.n);
    }
}

/// Lets devices do something at the same time; returns what they return, in their order.
fn all<T: Send>(
    devices: usize,
    balancer: SocketAddr,
    met: &Met,
    act: impl Fn(&mut Device) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| {
                let mut connection = None;
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= devices {
                        return;
                    }
                    let told = act(&mut Device { n, balancer, connection: &mut connection, met });
                    done.lock().unwrap().push((n, told));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|&(n, _)| n);
    done.into_iter().map(|(_, told)| told).collect()
}

#[test]
fn three_instances_keep_every_promise_while_one_is_killed_and_the_database_crashes() {
    const DEVICES: usize = 2_000;
    const BRAKED: usize = 1_000;
    let _heavy = heavy();
    let begin = Instant::now();
    // What is acknowledged must survive a crash: this one writes to the disk.
    let database = Postgres::start("");
    let (site, url) = (site(DEVICES, BRAKED), database.database());
    let mut instances: Vec<_> = (0..3).map(|_| serve(&site, &url)).collect();
    let addresses: Vec<_> = instances.iter().map(|instance| instance.address).collect();
    let balancer = haproxy(&site, &addresses);
    let met = Met::default();

    let lives = thread::scope(|scope| {
        let lives = scope.spawn(|| all(DEVICES, balancer.address, &met, |device| device.live()));
        let finished = |share: usize| met.finished.load(Ordering::SeqCst) >= share || lives.is_finished();
        wait_until(|| finished(DEVICES / 4), || "nobody finishes".into());
        instances[1].kill();
        wait_until(|| finished(DEVICES / 2), || "nobody finishes any more".into());
        database.crash();
        thread::sleep(Duration::from_secs(1));
        database.restart("");
        lives.join().unwrap()
    });
    assert!(met.refused.load(Ordering::Relaxed) > 0, "nobody met the crash");
    all(DEVICES, balancer.address, &met, |device| device.check_again());

    read(&url, |tx| {
        for (n, events) in lives.iter().enumerate() {
            let told: Vec<_> =
                tx.events_of(imei(n), 100)?.into_iter().rev().map(|(_, event)| event.kind).collect();
            assert_eq!(&told, events, "device {n}");
            let record = tx.device(imei(n))?.unwrap();
            let expected = if n.is_multiple_of(2) { 1 } else { 3 };
            assert_eq!(record.latest_offer().unwrap().attempts, expected, "device {n}");
        }
        let rollout = tx.rollout("next/0.10.66")?;
        let counts = (rollout.offered, rollout.succeeded, rollout.failed);
        assert_eq!(counts, (DEVICES as u32, DEVICES as u32 / 2, DEVICES as u32 / 2));
        Ok(())
    });
    let slowest = *met.slowest.lock().unwrap();
    // Two seconds in the responder; the machine is busy with everything else at the same time.
    assert!(slowest < Duration::from_secs(4), "a check took {slowest:?}");

    instances[1] = serve(&site, &url);
    the_brake_stops_all(&instances, &url, DEVICES, BRAKED);
    eprintln!("{:?}; the slowest check took {slowest:?}", begin.elapsed());
}

/// Devices ask every instance all the time; three of them post a fault of the artifact to the first one.
fn the_brake_stops_all(instances: &[Serve], url: &str, first: usize, count: usize) {
    /// When an instance was asked, and whether it offered the upgrade.
    type Asked = (usize, Instant, bool);
    let (next, stop) = (AtomicUsize::new(first), AtomicBool::new(false));
    let asked: Mutex<Vec<Asked>> = Mutex::new(Vec::new());
    let offered = |asked: &[Asked]| asked.iter().filter(|(.., offered)| *offered).count();
    let pulled = thread::scope(|scope| {
        for (of, instance) in instances.iter().enumerate() {
            let (next, stop, asked) = (&next, &stop, &asked);
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    assert!(n < first + count, "there are no devices left");
                    let start = Instant::now();
                    let reply = instance.check(&imei(n).to_string(), "0.10.65");
                    assert_eq!(reply.status, 200);
                    asked.lock().unwrap().push((of, start, reply.text() != NO));
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        wait_until(|| offered(&asked.lock().unwrap()) >= 30, || "nothing is offered".into());
        for n in first..first + 3 {
            assert_eq!(
                instances[0].notify(&format!("d{n}"), &imei(n).to_string(), "905 Attribute mismatch").status,
                200
            );
        }
        let pulled = Instant::now();
        let each =
            |of| asked.lock().unwrap().iter().filter(|(by, at, _)| *by == of && *at > pulled).count() >= 10;
        wait_until(|| (0..instances.len()).all(each), || "an instance is not asked".into());
        stop.store(true, Ordering::SeqCst);
        pulled
    });
    // Within a second, it says; at once, it is.
    let asked = asked.into_inner().unwrap();
    let late: Vec<_> = asked.iter().filter(|(_, at, offered)| *at > pulled && *offered).collect();
    assert!(late.is_empty(), "{late:?}");
    let rollout = read(url, |tx| tx.rollout("braked/0.10.66"));
    assert_eq!(rollout.offered as usize, offered(&asked));
    assert!(rollout.halted.is_some());
}

/// A balancer with two responders, of which one and then the other goes away.
fn a_balancer_hands_on(start: fn(&Site, &[SocketAddr]) -> Balancer, unrecorded: &[u16]) {
    let (site, url) = (site(4, 0), Postgres::shared().database());
    let mut instances = [serve(&site, &url), serve(&site, &url)];
    let balancer = start(&site, &instances.each_ref().map(|instance| instance.address));
    let met = Met::default();
    let mut connection = None;
    let mut device =
        |n| Device { n, balancer: balancer.address, connection: &mut connection, met: &met }.check("0.10.65");
    let notify = |n: usize| {
        let (path, agent) = (format!("/otap/notify?id=d{n}"), format!("TC65i/{} Profile/IMP-NG", imei(n)));
        post(&mut None, balancer.address, &path, &agent, "900 Success").unwrap().status
    };
    let get = |path: &str| {
        let reply = Client::connect(balancer.address).unwrap().send("GET", path, "TC65i/1", "", b"").unwrap();
        (reply.status, reply.header("content-type").unwrap_or_default().to_owned(), reply.body.len())
    };
    let files = || {
        let (status, kind, size) = get("/files/d0/OwnTracks.jad");
        assert_eq!((status, &*kind), (200, "text/vnd.sun.j2me.app-descriptor"));
        assert!(size > 100);
    };
    instances.iter().for_each(|instance| instance.has_its_records(&imei(0).to_string(), "0.10.65"));
    wait_until(|| device(0), || "the balancer finds no responder".into());
    assert_eq!(notify(0), 200);
    files();

    instances[0].kill();
    // At once, and not only when the balancer has noticed.
    assert!(device(1));
    assert!(device(2));
    assert_eq!((notify(1), notify(2)), (200, 200));
    files();
    instances[1].kill();
    assert!(!device(3), "nobody is left to ask");
    let status = notify(3);
    assert!(unrecorded.contains(&status), "{status}");
    let installed =
        read(&url, |tx| tx.events(0, 100)).iter().filter(|(_, event)| event.kind == Installed).count();
    assert_eq!(installed, 3);
}

#[test]
fn haproxy_hands_on_what_a_responder_leaves() {
    a_balancer_hands_on(haproxy, &[502, 503, 504]);
}

#[test]
fn nginx_hands_on_what_a_responder_leaves() {
    a_balancer_hands_on(nginx, &[502, 503, 504]);
}
