//! Many devices at once: what the database holds afterwards is what they were told.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use otapress_core::id::Imei;
use otapress_core::wire::{AnswerFile, Brake, NO, Offer, Target};
use otapress_responder::record::EventKind::{self, *};
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::SqliteStore;
use std::fs;

use crate::support::process::{Client, Serve, heavy, otapress};
use crate::support::programs::otapress_cgi;
use crate::support::tree::{Tree, target};

/// How long devices ask.
const TIME: Duration = Duration::from_secs(20);

const YES: &str = r#"{"upgrade":1}"#;

/// A request of a device's life, what it must be answered, and the events that it must leave.
struct Step {
    request: Post,
    events: &'static [EventKind],
}

#[derive(Clone, Copy)]
enum Post {
    Check(&'static str, &'static str),
    Notify(&'static str),
}

use Post::{Check, Notify};

const OFFERED: &[EventKind] = &[FirstSeen, Offered];
const SUCCESS: Step = Step { request: Check("0.10.66", NO), events: &[Upgraded, VersionChanged] };

const fn step(request: Post, events: &'static [EventKind]) -> Step {
    Step { request, events }
}

/// One that loses an answer and repeats its result, one that needs a second attempt, one that never succeeds,
/// and one that finds a fault of the artifact at first.
static LIVES: [&[Step]; 4] = [
    &[
        step(Check("0.10.65", YES), OFFERED),
        step(Check("0.10.65", YES), &[]),
        step(Notify("900 Success"), &[Installed]),
        step(Notify("900 Success"), &[]),
        SUCCESS,
        step(Check("0.10.66", NO), &[]),
    ],
    &[
        step(Check("0.10.65", YES), OFFERED),
        step(Notify("903 Loss of service"), &[Failed]),
        step(Check("0.10.65", YES), &[Offered]),
        step(Notify("900 Success"), &[Installed]),
        SUCCESS,
    ],
    &[
        step(Check("0.10.65", YES), OFFERED),
        step(Notify("901 Insufficient memory"), &[Failed]),
        step(Check("0.10.65", YES), &[Offered]),
        step(Notify("901 Insufficient memory"), &[Failed]),
        step(Check("0.10.65", YES), &[Offered]),
        step(Notify("901 Insufficient memory"), &[Failed]),
        step(Check("0.10.65", NO), &[]),
    ],
    &[
        step(Check("0.10.65", YES), OFFERED),
        step(Notify("905 Attribute mismatch"), &[Failed]),
        step(Notify("905 Attribute mismatch"), &[]),
        step(Check("0.10.65", YES), &[Offered]),
        step(Notify("900 Success"), &[Installed]),
        SUCCESS,
    ],
];

/// How a device sends: path, User-Agent and body to status and body.
trait Transport: Send {
    /// A device begins.
    fn begin(&mut self);
    fn post(&mut self, path: &str, agent: &str, body: &str) -> (u16, String);
}

/// How far device `n` came in its life.
struct Lived {
    n: usize,
    steps: usize,
}

impl Lived {
    fn done(&self) -> &'static [Step] {
        &LIVES[self.n % 4][..self.steps]
    }

    fn events(&self) -> Vec<EventKind> {
        self.done().iter().flat_map(|step| step.events).copied().collect()
    }

    fn count(&self, kind: EventKind) -> u32 {
        self.events().iter().filter(|&&event| event == kind).count() as u32
    }

    fn last_result(&self) -> Option<&'static str> {
        self.done().iter().rev().find_map(|step| match step.request {
            Notify(text) => Some(text),
            Check(..) => None,
        })
    }
}

fn imei(n: usize) -> Imei {
    format!("35{n:013}").parse().unwrap()
}

fn stranger(client: usize) -> String {
    format!("99{client:013}")
}

/// Lets `clients` act at the same time, each as `devices` devices one after the other and as one stranger.
fn act<T: Transport>(clients: usize, devices: usize, start: impl Fn() -> T + Sync) -> Vec<Lived> {
    let end = Instant::now() + TIME;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|client| {
                let start = &start;
                scope.spawn(move || {
                    let mut transport = start();
                    transport.begin();
                    let said = transport.post("/otap/version", &format!("GW/{}", stranger(client)), "0.1.2");
                    assert_eq!(said, (200, NO.into()));
                    let mut lived = Vec::new();
                    for n in (0..devices).map(|device| client * devices + device) {
                        if Instant::now() >= end {
                            break;
                        }
                        transport.begin();
                        lived.push(Lived { n, steps: live(&mut transport, n, end) });
                    }
                    assert!(
                        lived.len() < devices || Instant::now() >= end,
                        "{devices} devices are not enough for {TIME:?}"
                    );
                    lived
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Lives until the end of the life or of the time.
fn live(transport: &mut impl Transport, n: usize, end: Instant) -> usize {
    let mut steps = 0;
    for Step { request, .. } in LIVES[n % 4] {
        if steps > 0 && Instant::now() >= end {
            break;
        }
        let imei = imei(n);
        let (said, expected) = match request {
            Check(version, answer) => {
                (transport.post("/otap/version", &format!("GW/{imei}"), version), *answer)
            }
            Notify(text) => {
                let agent = format!("TC65i/{imei} Profile/IMP-NG Configuration/CLDC-1.1");
                (transport.post(&format!("/otap/notify?id=dev{n}"), &agent, text), "")
            }
        };
        assert_eq!(said, (200, expected.to_owned()), "device {n}, step {steps}");
        steps += 1;
    }
    steps
}

/// Publishes devices that are all answered alike.
fn published(devices: usize) -> Tree {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    let brake = Brake { artifact_faults: 0, failures_bp: 10_000, after: 1 };
    let target = Target { brake, rate: Some(1_000_000), ..target(&release) };
    tree.change_site(|site| site.rollouts.values_mut().for_each(|rollout| rollout.brake = brake));
    let offer = Offer { target: Some(target), interval: 10800, ..Offer::default() };
    tree.vc("first", &AnswerFile { upgrade: 1, settings: Vec::new(), offer });
    let vc = tree.out().join("vc");
    for n in 0..devices {
        fs::hard_link(vc.join("first.json"), vc.join(format!("{}.json", imei(n)))).unwrap();
    }
    tree
}

/// Compares the database with what the devices were told.
fn compare(state: &Path, lived: &[Lived], strangers: usize) {
    let mut store = SqliteStore::open(state, Duration::from_secs(5)).unwrap();
    let read = store.read(&mut |tx| {
        for device in lived {
            let mut kinds: Vec<_> = tx.events_of(imei(device.n), 100)?.iter().map(|(_, e)| e.kind).collect();
            kinds.reverse();
            assert_eq!(kinds, device.events(), "device {}", device.n);
            let record = tx.device(imei(device.n))?.unwrap();
            assert_eq!(record.offers.len(), 1);
            assert_eq!(record.offers[0].attempts, device.count(Offered), "device {}", device.n);
            assert_eq!(record.result.map(|result| result.text).as_deref(), device.last_result());
        }
        let devices = tx.devices(None, u32::MAX)?.len();
        assert_eq!(devices, lived.len());
        let total = |kind| lived.iter().map(|device| device.count(kind)).sum::<u32>();
        let stand = |holds: &dyn Fn(&Lived) -> bool| lived.iter().filter(|lived| holds(lived)).count() as u32;
        let rollout = tx.rollout("next/0.10.66")?;
        assert_eq!(rollout.offered, lived.len() as u32);
        assert_eq!(rollout.succeeded, total(Upgraded));
        // A device that says that the release is installed has finished, as far as anybody knows.
        let ends = [Failed, Installed, Upgraded];
        let last = |d: &Lived| d.events().into_iter().rfind(|kind| ends.contains(kind));
        assert_eq!(rollout.failed, stand(&|d| last(d) == Some(Failed)));
        assert_eq!(rollout.artifact_faults, stand(&|d| d.n % 4 == 3 && d.steps > 1));
        assert_eq!(rollout.halted, None);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(tx.offers_in_hour("next", now as i64)?, total(Offered));
        let events = tx.events(0, u32::MAX)?.len();
        assert_eq!(events, lived.iter().map(|device| device.events().len()).sum::<usize>());
        assert_eq!(tx.unknowns(u32::MAX)?.len(), strangers);
        Ok(())
    });
    read.unwrap();
    // All four lives were lived to their ends.
    for (life, steps) in LIVES.iter().enumerate() {
        assert!(lived.iter().any(|device| device.n % 4 == life && device.steps == steps.len()));
    }
}

struct Cgi<'a>(&'a Tree);

impl Transport for Cgi<'_> {
    fn begin(&mut self) {}

    fn post(&mut self, path: &str, agent: &str, body: &str) -> (u16, String) {
        let mut child = Command::new(otapress_cgi())
            .env_clear()
            .env("OTAPRESS_OUT", self.0.out())
            .env("OTAPRESS_STATE", self.0.state())
            .env("REQUEST_METHOD", "POST")
            .env("REQUEST_URI", path)
            .env("HTTP_USER_AGENT", agent)
            .env("CONTENT_LENGTH", body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.is_empty() || log.ends_with(": unknown-device\n"), "{log}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.strip_prefix("Status: ").unwrap()[..3].parse().unwrap();
        (status, body.into())
    }
}

/// A connection for each device.
struct Http<'a>(&'a Serve, Option<Client>);

impl Transport for Http<'_> {
    fn begin(&mut self) {
        self.1 = Some(self.0.connect());
    }

    fn post(&mut self, path: &str, agent: &str, body: &str) -> (u16, String) {
        let reply = self.1.as_mut().unwrap().send("POST", path, agent, "", body.as_bytes()).unwrap();
        (reply.status, reply.text().to_owned())
    }
}

#[test]
fn sixty_four_cgi_processes_at_a_time_lose_nothing() {
    let _alone = heavy();
    const DEVICES: usize = 200;
    let tree = published(64 * DEVICES);
    let lived = act(64, DEVICES, || Cgi(&tree));
    compare(&tree.state(), &lived, 64);
}

#[test]
fn two_hundred_and_fifty_six_clients_of_serve_lose_nothing() {
    let _alone = heavy();
    const DEVICES: usize = 150;
    let tree = published(256 * DEVICES);
    let mut command = otapress(["serve", "--quiet", "--no-build", "--listen", "127.0.0.1:0"]);
    command.arg("--out").arg(tree.out()).arg("--state").arg(tree.state());
    let serve = Serve::start(command).unwrap();
    let lived = act(256, DEVICES, || Http(&serve, None));
    let ended = serve.terminate();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.log.contains("ERROR") && !ended.log.contains("WARN"), "{}", ended.log);
    compare(&tree.state(), &lived, 256);
}
