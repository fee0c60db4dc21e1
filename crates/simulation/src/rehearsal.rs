//! A fleet against a responder in this process, with a clock of its own: a rollout before it happens.

mod outlook;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use outlook::{Played, RolloutOutlook, WaveOutlook};

use crate::memory::Memory;
use crate::play::{Checked, World};
use crate::published::{Published, reply};
use crate::report::Sent;
use otapress_core::out_path::OutPath;
use otapress_core::wire::Site;
use otapress_devices::device::http::{Error, Reply, Request, Url};
use otapress_devices::device::{CheckOutcome, Device, Faults, NoAnswer, Otap, Purpose, Transport};
use otapress_publish::jar::{self, Fault, Jar};
use otapress_responder::files::{out_path, site_prefix};
use otapress_responder::message;
use otapress_responder::offer::Offer;
use otapress_responder::question::Question;
use otapress_responder::service::{self, Responder, Step};

/// A host in this process: the files, the responder and its records.
#[derive(Debug)]
pub struct InProcess {
    files: Arc<Published>,
    site: Site,
    responder: Responder,
    memory: Memory,
    /// The time at the play's first second.
    start: i64,
    /// What each device asked last: the same request is the same question while nothing is published.
    questions: Vec<Option<Asked>>,
    /// What the questions are about, each once, so that they stay in the processor's cache.
    offers: Vec<Arc<Offer>>,
    jars: BTreeMap<OutPath, Arc<Jar>>,
}

/// A question, and what it was made of.
#[derive(Debug)]
struct Asked {
    /// How often the device had restarted and its settings had changed. While both are so it runs the
    /// same version with the same settings.
    state: (u64, u64),
    question: Question,
}

/// Why a directory cannot be played.
#[derive(Debug, thiserror::Error)]
#[error("the published site cannot be read: {0}")]
pub struct NoSite(String);

impl InProcess {
    /// A host that begins at that time, without memory of earlier ones.
    ///
    /// # Errors
    /// If there is no `otapress.json` that can be read.
    pub fn new(files: Published, start: i64) -> Result<Self, NoSite> {
        let files = Arc::new(files);
        let responder = Responder::over(files.clone(), PathBuf::new());
        let site = responder.site().map_err(|why| NoSite(why.to_owned()))?.clone();
        let (questions, offers, jars) = (Vec::new(), Vec::new(), BTreeMap::new());
        Ok(InProcess { files, site, responder, memory: Memory::default(), start, questions, offers, jars })
    }

    /// What is published.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// What the responder remembers.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The time at the play's first second.
    pub fn start(&self) -> i64 {
        self.start
    }

    fn now(&self, at: u64) -> i64 {
        self.start.saturating_add_unsigned(at)
    }

    /// What a device asks that reports its version; `None` if it does not ask.
    fn question(&mut self, index: usize, device: &Device) -> Option<Result<&Question, NoAnswer>> {
        let state = (device.reboots(), device.settings.changes());
        if self.questions.len() <= index {
            self.questions.resize_with(index + 1, || None);
        }
        if self.questions[index].as_ref().is_none_or(|asked| asked.state != state) {
            let uri = device.settings.get("versionURI")?;
            let mut question = match self.prepare(device, uri) {
                Ok(question) => question,
                Err(why) => return Some(Err(why)),
            };
            question.share_offer(&mut self.offers);
            self.questions[index] = Some(Asked { state, question });
        }
        self.questions[index].as_ref().map(|asked| Ok(&asked.question))
    }

    fn prepare(&self, device: &Device, uri: &str) -> Result<Question, NoAnswer> {
        let url = Url::parse(uri).ok_or_else(|| NoAnswer::Http(Error::Url(uri.into())))?;
        let agent = device.agent();
        match self.responder.prepare(&message::Request::post(&url.target, &agent, device.version.as_bytes()))
        {
            Step::Ask(question) => Ok(question),
            _ => Err(NoAnswer::Status(404)),
        }
    }
}

impl World for InProcess {
    fn check(&mut self, at: u64, index: usize, device: &mut Device, is_lost: bool) -> Checked {
        let now = self.now(at);
        let memory = self.memory.clone();
        let sent =
            |status, bytes| Sent { purpose: Purpose::VersionCheck, status, bytes, has_credentials: false };
        match self.question(index, device) {
            None => Checked { sent: None, outcome: CheckOutcome::Disabled },
            Some(Err(why)) => {
                Checked { sent: Some(sent(None, 0)), outcome: CheckOutcome::RepostsEverySecond(why) }
            }
            Some(Ok(question)) => {
                let reply = service::Reply::check(&memory.ask(question, now).answer, None);
                let outcome = if is_lost {
                    CheckOutcome::RepostsEverySecond(NoAnswer::Lost)
                } else {
                    device.hear(reply.status, reply.reason(), reply.body.as_bytes())
                };
                Checked { sent: Some(sent(Some(reply.status), reply.body.len())), outcome }
            }
        }
    }

    fn otap(&mut self, at: u64, _: usize, device: &mut Device, faults: &Faults) -> Otap {
        let now = self.now(at);
        device.otap_over(&mut Wire { host: self, now, jar: None }, faults)
    }
}

/// The modem's way to the host.
struct Wire<'a> {
    host: &'a mut InProcess,
    now: i64,
    /// The file that was sent last. Its path has its digest, so the same path is the same JAR.
    jar: Option<OutPath>,
}

impl Transport for Wire<'_> {
    fn exchange(&mut self, request: &Request) -> Result<Reply, Error> {
        let url = Url::parse(&request.url).ok_or_else(|| Error::Url(request.url.clone()))?;
        if request.method == "POST" {
            let agent = request.header_value("User-Agent").unwrap_or_default();
            let question =
                self.host.responder.prepare(&message::Request::post(&url.target, agent, &request.body));
            if let Step::Ask(question) = question {
                self.host.memory.ask(&question, self.now);
                return Ok(reply(200, "OK", vec![], b""));
            }
            return Ok(reply(404, "Not Found", vec![], b""));
        }
        let path = out_path(site_prefix(&self.host.site.site), &url.target);
        let has_credentials = request.header_value("Authorization").is_some();
        self.jar.clone_from(&path);
        Ok(self.host.files.reply(path.as_ref(), self.host.site.auth, has_credentials))
    }

    fn read_jar(&mut self, bytes: &[u8]) -> Result<Arc<Jar>, Vec<Fault>> {
        let Some(path) = self.jar.take() else { return jar::read(bytes).map(Arc::new) };
        if let Some(jar) = self.host.jars.get(&path) {
            return Ok(jar.clone());
        }
        let jar = Arc::new(jar::read(bytes)?);
        self.host.jars.insert(path, jar.clone());
        Ok(jar)
    }
}
