//! Years of a fleet with everything that can go wrong, from one seed.
//!
//! ```text
//!  operator ─ edits, builds ─► out/ ─ copies ─► hosts (clocks, responders) ─► records (failing transactions)
//!                                                 ▲ │
//!                                    network ─────┘ ▼ ───► oracle: what must hold, at every answer
//!                                 devices (firmware, fates)
//! ```
//!
//! One seed is one history, byte for byte. [`Case`] names it, [`play`] plays it, [`shrink`] takes the faults
//! away that a violation does not need.

mod bounds;
mod faults;
mod flaws;
mod fleet;
mod host;
mod jars;
mod life;
mod operator;
mod oracle;
mod store;
mod tracker;
mod unheard;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

pub use faults::{Fault, Weather};
pub use flaws::Flaw;

use crate::agenda::Agenda;
use crate::memory::{Backup, Memory};
use crate::prng::Prng;
use crate::published::Published;
use fleet::{INTERVAL, Plan, Press, imei};
use host::{Host, Readings};
use oracle::Oracle;
use otapress_core::digest::Sha256;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_devices::device::Device;
use otapress_publish::fleet::Fleet;
use otapress_publish::provision::to_set;
use otapress_responder::record::Event;
use otapress_responder::service::Reply;
use store::FaultyStore;
use tracker::{Nature, Step, Tracker, natures};
use unheard::Hearing;

/// A Monday, 10:00 UTC.
const START: i64 = 1_795_428_000;

const DAY: i64 = 86_400;

/// Days in which nothing goes wrong any more, for the end of a history.
const QUIET_DAYS: i64 = 8;

thread_local! {
    /// The JARs are the same in every history.
    static PRESS: Rc<Press> = Rc::new(Press::new());
}

/// A history to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Of all chance.
    pub seed: u64,
    /// How many devices there are.
    pub devices: usize,
    /// How many days things go wrong.
    pub days: i64,
    /// What goes wrong.
    pub weather: Weather,
    /// What the devices do wrong, where a bound is to notice it.
    pub flaw: Option<Flaw>,
}

impl Case {
    /// The history of a seed: its size and its faults are chance, too.
    pub fn of(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let devices = 12 + prng.below(60) as usize;
        let days = 10 + prng.below(30) as i64;
        Case { seed, devices, days, weather: Weather::of(&mut prng), flaw: None }
    }
}

/// What a history came to.
#[derive(Clone, Debug, Default)]
pub struct Lived {
    /// Seconds, all devices together.
    pub seconds: i64,
    /// What must not have happened; the history ended there.
    pub violation: Option<String>,
    /// The digest of all that was asked and answered.
    pub digest: Option<Sha256>,
    /// How often each thing happened: faults, refusals, events, edits; by kind and name.
    pub tally: BTreeMap<(&'static str, &'static str), u64>,
    /// The most posts of a device in a row without an answer.
    pub storm: u32,
    /// Devices that a release silenced.
    pub lost: usize,
}

/// What is to happen. The order is that within a second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Device {
        n: usize,
        life: u32,
        step: Step,
    },
    /// A request that was under way for long, or twice; nobody waits for its reply.
    Late(Rc<Packet>),
    Sync {
        host: usize,
    },
    Operator,
    /// What a server does beside its answers.
    Upkeep,
    Daily,
    Clock {
        host: usize,
        offset: i64,
    },
}

/// A request on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    n: usize,
    imei: Imei,
    target: String,
    agent: String,
    body: String,
    /// The version that the body names.
    reported: Option<Version>,
    /// All of it in one text, for the history: a check is sent again and again.
    text: String,
}

impl Packet {
    fn new(n: usize, imei: Imei, target: String, agent: String, body: String) -> Self {
        let text = format!("{n} {target} {agent} {body}");
        let reported = body.parse().ok();
        Packet { n, imei, target, agent, body, reported, text }
    }
}

/// A fleet, its hosts, and the time.
struct World {
    case: Case,
    now: i64,
    prng: Prng,
    agenda: Agenda<(i64, u64), Happening>,
    planned: u64,
    press: Rc<Press>,
    plan: Plan,
    fleet: Fleet,
    master: Published,
    hosts: Vec<Host>,
    readings: Readings,
    memory: Memory,
    trackers: Vec<Tracker>,
    natures: BTreeMap<&'static str, Nature>,
    oracle: Oracle,
    /// The records of a day ago, and what is known of them.
    backup: Option<(Backup, Oracle, Vec<Hearing>)>,
    /// Until when a clock is or was wrong.
    clock_wrong_until: i64,
    outage_until: i64,
    is_quiet: bool,
    history: Vec<u8>,
    lived: Lived,
}

/// Plays a history.
pub fn play(case: &Case) -> Lived {
    let mut world = World::new(case.clone());
    let ended = world.live();
    world.lived.violation = ended.err();
    world.fold_history(true);
    world.lived.lost = world.trackers.iter().filter(|tracker| tracker.is_dead).count();
    world.lived.seconds = (world.now - START) * case.devices as i64;
    let kinds = |events: &[(i64, Event)]| events.iter().map(|(_, event)| event.kind).collect::<Vec<_>>();
    for kind in world.memory.events_after(0, kinds) {
        world.count("event", kind.as_str());
    }
    world.lived
}

/// Takes away what a violation does not need: faults, devices, days.
pub fn shrink(case: &Case) -> Case {
    let fails = |case: &Case| play(case).violation.is_some();
    let mut small = case.clone();
    for fault in case.weather.faults() {
        let without = Case { weather: small.weather.without(fault), ..small.clone() };
        if fails(&without) {
            small = without;
        }
    }
    while small.devices > 8 {
        let fewer = Case { devices: small.devices * 2 / 3, ..small.clone() };
        if !fails(&fewer) {
            break;
        }
        small = fewer;
    }
    while small.days > 2 {
        let shorter = Case { days: small.days * 2 / 3, ..small.clone() };
        if !fails(&shorter) {
            break;
        }
        small = shorter;
    }
    small
}

impl World {
    fn new(case: Case) -> Self {
        let mut prng = Prng::new(case.seed ^ 0x5eed);
        let memory = Memory::default();
        let dice = Arc::new(Mutex::new(Prng::new(prng.draw())));
        let readings = Readings::default();
        let host = |n: usize, prng: &mut Prng| {
            let drift = if case.weather.has(Fault::Drift) { prng.below(7) as i64 - 3 } else { 0 };
            let store = FaultyStore {
                memory: memory.clone(),
                weather: case.weather.clone(),
                dice: dice.clone(),
                prefers_reading: n == 0,
                failures: 0,
            };
            Host::new(store, drift, readings.clone())
        };
        let hosts: Vec<Host> = (0..3).map(|n| host(n, &mut prng)).collect();
        let press = PRESS.with(Rc::clone);
        let plan = Plan::new(case.devices);
        let built = press.build(&plan).expect("the first fleet has no mistakes");
        let natures = natures(&mut prng, case.weather.has(Fault::BadRelease));
        let mut world = World {
            now: START,
            agenda: Agenda::default(),
            planned: 0,
            press,
            plan,
            fleet: built.fleet,
            master: built.files,
            hosts,
            readings,
            memory,
            trackers: Vec::new(),
            natures,
            oracle: Oracle::default(),
            backup: None,
            clock_wrong_until: 0,
            outage_until: 0,
            is_quiet: false,
            history: Vec::new(),
            lived: Lived::default(),
            prng,
            case,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for n in 0..self.case.devices {
            let version = jars::VERSIONS[self.prng.below(3) as usize];
            let device = self.provisioned(n, version);
            self.trackers.push(Tracker::new(device));
            let at = START + self.prng.below(INTERVAL as u64) as i64;
            self.plan_at(at, Happening::Device { n, life: 0, step: Step::Start });
        }
        for host in 0..self.hosts.len() {
            self.sync_whole(host);
        }
        self.plan_at(START + DAY / 2, Happening::Daily);
        self.plan_at(START + 1800, Happening::Upkeep);
        if self.case.weather.has(Fault::Edit) {
            self.plan_at(START + 4 * 3600, Happening::Operator);
        }
    }

    /// A device as the fleet says it is to be set up.
    fn provisioned(&self, n: usize, version: &str) -> Device {
        let mut device = Device::new(imei(n), version);
        if let Some(of_fleet) = self.fleet.devices().iter().find(|device| device.imei == imei(n)) {
            for (key, value) in to_set(&self.fleet, of_fleet, None) {
                device = device.with(key, &value).expect("the fleet was checked");
            }
        }
        device
    }

    fn live(&mut self) -> Result<(), String> {
        let end = START + self.case.days * DAY;
        self.run_until(end)?;
        self.settle()?;
        for day in 0..QUIET_DAYS {
            self.run_until(end + (day + 1) * DAY)?;
            self.tend();
        }
        self.all_is_well()
    }

    fn run_until(&mut self, end: i64) -> Result<(), String> {
        while let Some(((at, seq), happening)) = self.agenda.next() {
            if at >= end {
                self.agenda.add((at, seq), happening);
                break;
            }
            self.now = at;
            match happening {
                Happening::Device { n, life, step } => self.device(n, life, step)?,
                Happening::Late(packet) => drop(self.deliver(&packet)?),
                Happening::Sync { host } => self.sync(host),
                Happening::Operator => self.operate(),
                Happening::Upkeep => self.upkeep(),
                Happening::Daily => self.daily()?,
                Happening::Clock { host, offset } => self.set_clock(host, offset),
            }
        }
        self.now = end;
        Ok(())
    }

    fn plan_at(&mut self, at: i64, what: Happening) {
        self.planned += 1;
        self.agenda.add((at, self.planned), what);
    }

    /// Whether a fault of these happens now, so many times in a thousand.
    fn happens(&mut self, fault: Fault, per_mille: u64) -> bool {
        let happens = !self.is_quiet && self.case.weather.has(fault) && self.prng.below(1000) < per_mille;
        if happens {
            self.count("fault", fault.into());
        }
        happens
    }

    fn count(&mut self, kind: &'static str, name: &'static str) {
        *self.lived.tally.entry((kind, name)).or_default() += 1;
    }

    /// Writes down what happened, for the digest.
    fn note(&mut self, what: fmt::Arguments<'_>) {
        self.history.extend_from_slice(&self.now.to_le_bytes());
        // A vector takes everything.
        let _ = self.history.write_fmt(what);
        self.fold_history(false);
    }

    /// The same for what a host answered, which is most of it: its texts need no formatting.
    fn note_answer(&mut self, host: usize, packet: &Packet, reply: &Reply) {
        let history = &mut self.history;
        history.extend_from_slice(&self.now.to_le_bytes());
        let _ = write!(history, "{host} ");
        history.extend_from_slice(packet.text.as_bytes());
        let _ = write!(history, " {} ", reply.status);
        history.extend_from_slice(reply.body.as_bytes());
        self.fold_history(false);
    }

    fn fold_history(&mut self, all: bool) {
        if all || self.history.len() > 1 << 16 {
            let digest = Sha256::of(&self.history);
            self.history = digest.to_string().into_bytes();
            self.lived.digest = Some(digest);
        }
    }

    /// The brakes that are pulled, of rollouts and releases.
    fn halted(&self) -> BTreeSet<Arc<str>> {
        self.memory.halted()
    }
}
