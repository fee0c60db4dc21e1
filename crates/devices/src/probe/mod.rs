//! Walks a live site as the devices do, and says what would keep them from upgrading.
//!
//! Every request is one that a device makes (its User-Agents, no redirects, no compression, basic auth when
//! asked), or one that a cache on the way makes of it. None leaves a trace: JADs and JARs are only fetched,
//! version checks and results come from a `SIMU/` identity, and the posts to paths of last year from `GW/0`,
//! which is not an IMEI. The expected replies are the files of out/, and the expected decisions what its
//! answers say.

mod code;
mod decision;
mod former;
mod jad;
mod jar;
mod posts;
mod private;
mod report;
mod transport;

pub use code::Code;
pub use report::{Evidence, Finding, Report};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::device::http::{Error, Reply, Request};
use crate::device::{Device, Program};
use otapress_core::out_path::OutPath;
use otapress_core::wire::{AnswerFile, Site};

pub use former::FormerUris;

/// The walk ends after this many missing replies: each costs the time limit of one exchange.
const MISSING_REPLIES: usize = 5;

/// A device of the fleet and what is published for it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The device as it is provisioned. What it runs is its target, if it has one.
    pub device: Device,
    /// Its JAD, if it has a target.
    pub jad: Option<PublishedJad>,
    /// Its answer file.
    pub answer: AnswerFile,
    /// Where it may ask besides.
    pub formerly: FormerUris,
}

/// A file of out/.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedJad {
    /// Its path below out/.
    pub path: OutPath,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Walks the site with each of the devices; `now` is the time in seconds since 1970-01-01 UTC, and
/// `progress` is told how many are done.
pub fn probe(site: &Site, subjects: &[Subject], now: i64, progress: &mut dyn FnMut(usize)) -> Report {
    let mut walk = Walk {
        site,
        now,
        begin: Instant::now(),
        report: Report::default(),
        jars: BTreeSet::new(),
        upgraded: BTreeSet::new(),
        former: BTreeSet::new(),
        fallbacks: BTreeMap::new(),
        missing: 0,
    };
    let one_with_jad = subjects.iter().find(|subject| subject.jad.is_some());
    for (done, subject) in subjects.iter().enumerate() {
        progress(done);
        walk.device(subject);
        walk.report.devices += 1;
        if walk.report.gave_up.is_some() {
            break;
        }
    }
    if let (None, Some(subject)) = (&walk.report.gave_up, one_with_jad.or(subjects.first())) {
        // Requests that hardly depend on the device are made once.
        walk.through_a_cache(subject);
        walk.other_posts(subject);
        walk.private(subject);
    }
    walk.report
}

/// A walk under way.
struct Walk<'a> {
    site: &'a Site,
    /// When the walk began, in seconds since 1970-01-01 UTC.
    now: i64,
    begin: Instant,
    report: Report,
    /// The JARs that were fetched, by URL and user.
    jars: BTreeSet<(String, Option<String>)>,
    /// The rollouts and waves of which a device asked for its upgrade.
    upgraded: BTreeSet<(String, Option<u16>)>,
    /// The former URIs that were asked.
    former: BTreeSet<String>,
    /// Whether a URL is answered by the server itself, without its responder.
    fallbacks: BTreeMap<String, bool>,
    missing: usize,
}

/// The requested thing, as messages name it.
type What = &'static str;

const JAD: What = "the JAD";
const JAR: What = "the JAR";
const CHECK: What = "the answer to a version check";
const UPGRADE: What = "the answer to a version check below the target";
const RESULT: What = "the answer to a result";

/// A request and its reply.
struct Sent {
    what: What,
    device: String,
    request: Request,
    reply: Result<Reply, Error>,
}

impl Walk<'_> {
    fn device(&mut self, subject: &Subject) {
        let mut device = subject.device.clone();
        device.quirks.program = Program::Simu;
        if let Some(published) = &subject.jad
            && let Some(url) = device.expanded("otapURI")
            && let Some(jad) = self.jad(JAD, &device, &url, published)
        {
            self.jar(&device, &jad);
        }
        if self.report.gave_up.is_some() {
            return;
        }
        self.version_check(&mut device, subject);
        self.upgrade(&device, subject);
        if let Some(url) = device.expanded("notifyURI").filter(|url| !url.is_empty()) {
            self.result(RESULT, &device, &url);
        }
        self.former_uris(&device, subject);
    }

    /// The time, in seconds since 1970-01-01 UTC.
    fn now(&self) -> i64 {
        self.now.saturating_add_unsigned(self.begin.elapsed().as_secs())
    }

    fn send(&mut self, what: What, device: &Device, request: Request) -> Sent {
        let reply = device.network.exchange(&request);
        self.sent(what, device, request, reply)
    }

    /// Records an exchange, and the faults of its transport.
    fn sent(&mut self, what: What, device: &Device, request: Request, reply: Result<Reply, Error>) -> Sent {
        self.report.requests += 1;
        let sent = Sent { what, device: device.client_id(), request, reply };
        match &sent.reply {
            Err(error) => self.no_reply(&sent, error),
            Ok(reply) => self.transport(&sent, reply),
        }
        sent
    }

    fn no_reply(&mut self, sent: &Sent, error: &Error) {
        let code = match error {
            Error::Url(_) | Error::Connect(_) => Code::Unreachable,
            Error::Tls(_) => Code::Certificate,
            Error::Timeout => Code::TimedOut,
            Error::Broken(_) | Error::TooLong => Code::BrokenReply,
            Error::NotHttp(_) => Code::NotHttp,
        };
        self.find(code, sent, format!("{} did not come: {error}", sent.what));
        if former::WHATS.contains(&sent.what) {
            // It may be another host, which says nothing about the others.
            return;
        }
        self.missing += 1;
        if code == Code::Unreachable {
            self.report.gave_up = Some("the server cannot be reached".into());
        } else if self.missing >= MISSING_REPLIES {
            self.report.gave_up = Some(format!("{} replies did not come", self.missing));
        }
    }

    fn find(&mut self, code: Code, sent: &Sent, message: String) {
        let evidence = Evidence::of(&sent.request, &sent.reply);
        self.report.add(code, sent.what, &sent.device, message, evidence);
    }
}
