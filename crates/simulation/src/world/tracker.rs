//! A device in a world of faults, and what becomes of its upgrades.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::Packet;
use super::fleet::Press;
use super::host::{Answers, Host};
use super::jars::VERSIONS;
use super::unheard::Hearing;
use crate::Prng;
use crate::published::reply;
use otapress_core::out_path::OutPath;
use otapress_devices::device::http::{Error, Reply, Request, Url};
use otapress_devices::device::{CheckOutcome, Device, NoAnswer, Reading, Transport};
use otapress_publish::jar::{self, Fault as JarFault, Jar};
use otapress_responder::files::out_path;
use otapress_responder::service;

/// What a release does to the devices that try it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Good,
    /// It installs on so many percent and never starts.
    Deadly(u64),
    /// So many percent answer with this code.
    Faulty(u64, u16),
    /// So many percent say 900 and come back as what they were.
    Fickle(u64),
}

/// What the releases of a history are like; the first four are good.
pub(super) fn natures(prng: &mut Prng, has_bad: bool) -> BTreeMap<&'static str, Nature> {
    let mut nature = |n: usize| match prng.below(6) {
        _ if n < 4 || !has_bad => Nature::Good,
        0 => Nature::Deadly([100, 100, 20][prng.below(3) as usize]),
        1 => Nature::Faulty(
            60 + prng.below(40),
            [904, 905, 906, 907, 908, 909, 910, 913][prng.below(8) as usize],
        ),
        2 => Nature::Fickle(100),
        _ => Nature::Good,
    };
    VERSIONS.iter().enumerate().map(|(n, version)| (*version, nature(n))).collect()
}

/// What a device does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Check,
    Install,
    Start,
}

/// How a device asks, as long as its version and its settings stay as they are.
#[derive(Debug)]
struct Asks {
    /// How often its settings had changed when this was looked up.
    changes: u64,
    /// The versionInterval, in seconds.
    interval: i64,
    packet: Rc<Packet>,
}

#[derive(Debug)]
pub(super) struct Tracker {
    pub device: Device,
    asks: Option<Asks>,
    /// The body that it was sent last, and what there is to read in it.
    read: (String, Result<Reading, NoAnswer>),
    /// Counts its restarts: what was planned before one does not happen.
    pub life: u32,
    pub is_dead: bool,
    /// Posts in a row that were not answered.
    pub posts: u32,
    /// Until when it is switched off.
    pub off_until: i64,
    /// What the network and the hosts did to it: each may cost a repetition.
    pub mishaps: u64,
    /// The time of the first post that was not answered since the last answer.
    pub silent_since: Option<i64>,
    /// What the records may know of its settings.
    pub hearing: Hearing,
    /// Upgrades that it began.
    pub installs: u64,
    /// Settings that it stored, but for those that are sent every time.
    pub settings_heard: u64,
    /// What was published for it by the host that answered it last.
    published: Option<Rc<Answers>>,
    /// How often that had other settings than what the host before it published: the operator changed them,
    /// or the copies of the hosts differ.
    pub turns: u64,
}

impl Tracker {
    pub(super) fn new(device: Device) -> Self {
        Tracker {
            device,
            asks: None,
            read: (String::new(), Reading::of(b"")),
            life: 0,
            is_dead: false,
            posts: 0,
            off_until: 0,
            mishaps: 0,
            silent_since: None,
            hearing: Hearing::default(),
            installs: 0,
            settings_heard: 0,
            published: None,
            turns: 0,
        }
    }

    /// A host that publishes this answers its check.
    pub(super) fn answered_from(&mut self, published: &Rc<Answers>) {
        let before = self.published.replace(published.clone());
        let is_other = |before: Rc<Answers>| {
            !Rc::ptr_eq(&before, published) && before.file.settings != published.file.settings
        };
        self.turns += u64::from(before.is_some_and(is_other));
    }

    /// The request of a check; `None` if its versionURI is no URL.
    pub(super) fn check(&mut self, n: usize) -> Option<Rc<Packet>> {
        Some(self.asks(n)?.packet.clone())
    }

    /// How many seconds it waits after an answer.
    pub(super) fn interval(&mut self, n: usize) -> i64 {
        let known = self.asks(n).map(|asks| asks.interval);
        known.unwrap_or_else(|| self.device.version_interval()).max(1)
    }

    fn asks(&mut self, n: usize) -> Option<&Asks> {
        let Device { settings, version, .. } = &self.device;
        let is_known = |asks: &Asks| asks.changes == settings.changes() && asks.packet.body == *version;
        if !self.asks.as_ref().is_some_and(is_known) {
            let target = Url::parse(settings.get("versionURI")?)?.target;
            let packet = Packet::new(n, self.device.imei, target, self.device.agent(), version.clone());
            let (changes, interval) = (settings.changes(), self.device.version_interval());
            self.asks = Some(Asks { changes, interval, packet: packet.into() });
        }
        self.asks.as_ref()
    }

    /// Does what a reply to a check says. Mostly its body is that of the one before.
    pub(super) fn hear(&mut self, reply: &service::Reply) -> CheckOutcome {
        if self.read.0 != reply.body {
            self.read = (reply.body.to_string(), Reading::of(reply.body.as_bytes()));
        }
        self.device.hear_what_was_read(reply.status, reply.reason(), &self.read.1)
    }
}

/// The modem's way to the hosts: files come at once, and what it posts is taken down.
pub(super) struct Wire<'a> {
    pub hosts: &'a [Host],
    pub prng: &'a mut Prng,
    pub press: &'a Press,
    pub last: Option<OutPath>,
    pub posted: Vec<Request>,
}

impl Transport for Wire<'_> {
    fn exchange(&mut self, request: &Request) -> Result<Reply, Error> {
        if request.method == "POST" {
            self.posted.push(request.clone());
            return Ok(reply(200, "OK", vec![], b""));
        }
        let url = Url::parse(&request.url).ok_or_else(|| Error::Url(request.url.clone()))?;
        let path = out_path("", &url.target);
        let host = &self.hosts[self.prng.below(self.hosts.len() as u64) as usize];
        self.last.clone_from(&path);
        Ok(host.copy.with(|files| files.reply(path.as_ref(), false, false)))
    }

    fn read_jar(&mut self, bytes: &[u8]) -> Result<Arc<Jar>, Vec<JarFault>> {
        match self.last.take() {
            Some(path) => self.press.read_jar(path, bytes),
            None => jar::read(bytes).map(Arc::new),
        }
    }
}
