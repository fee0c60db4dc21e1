//! From a request to its reply: reads `out/`, loads records for [`exchange`], commits what it changes.
//!
//! Two steps, so that a server can take the first on any thread and the second for many requests in one
//! transaction: [`Responder::prepare`] reads the request and the files, [`answer`] reads and writes records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::retry_on_intr;

use super::decide;
use super::exchange::{Exchanged, exchange};
use super::message::{self, Agent, Posted, Program, Request, Route, SAID_LIMIT};
use super::offer::{Managed, Offer, Rules, reads_json};
use super::question::{Kind, Notice};
pub use super::question::{NoOffer, Question, Start};
use super::record::Refusal;
use super::records::Keys;
use super::weakened::{Rule, holds};
use crate::store::{Durability, Store, StoreError, Tx};
use otapress_core::id::Imei;
use otapress_core::out;
use otapress_core::version::Version;
use otapress_core::wire::{self, Answer, AnswerFile, Release, Site, Target};

/// The files of a published directory.
pub trait Files: std::fmt::Debug + Send + Sync {
    /// The content of a file.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;

    /// The size of a plain file in bytes; `None` if there is none.
    fn size(&self, file: &Path) -> Option<u64>;

    /// Whether there is nothing of that name; what cannot be looked at may be there.
    fn is_missing(&self, file: &Path) -> bool;

    /// How many answer files a directory has; of more than `most`, that many.
    fn answers(&self, dir: &Path, most: usize) -> usize;
}

/// The files of the system.
#[derive(Debug)]
struct Disk;

/// Answer files are shorter than this, in bytes.
const USUAL_SIZE: usize = 1024;

impl Files for Disk {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        let mut file = File::open(file)?;
        let mut bytes = vec![0; USUAL_SIZE];
        let read = retry_on_intr(|| rustix::io::read(&file, &mut bytes))?;
        bytes.truncate(read);
        // Otherwise this was all of it: neither its size nor its end is asked for.
        if read == USUAL_SIZE {
            file.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn size(&self, file: &Path) -> Option<u64> {
        let metadata = fs::metadata(file).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn is_missing(&self, file: &Path) -> bool {
        fs::symlink_metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn answers(&self, dir: &Path, most: usize) -> usize {
        let Ok(files) = fs::read_dir(dir) else { return 0 };
        let is_answer = |name: &std::ffi::OsStr| name.as_encoded_bytes().ends_with(b".json");
        files.flatten().filter(|file| is_answer(&file.file_name())).take(most).count()
    }
}

/// The published directory, as the responder knows it.
///
/// It holds what `otapress.json` says; make a new one when that file has changed. The answer files are
/// read anew for every check.
#[derive(Clone, Debug)]
pub struct Responder {
    out: PathBuf,
    files: Arc<dyn Files>,
    site: Result<Site, String>,
    releases: BTreeMap<Version, Release>,
    /// The strictest brake among the rollouts of each release: so many artifact's faults stop all of them.
    strictest: BTreeMap<Version, u32>,
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200, 403, 404, 405 or 500.
    pub status: u16,
    /// The body; empty except for version checks.
    pub body: Cow<'static, str>,
    /// `application/json` for version checks.
    pub content_type: Option<&'static str>,
    /// The value of `Allow`, for 405.
    pub allow: Option<&'static str>,
    /// A line for the log, free of control characters.
    pub log: Option<String>,
    /// What kind of line that is: one of few, so that frequent ones can be left out.
    pub log_kind: &'static str,
    /// The value of [`wire::DECISION`], for a simulated device.
    pub decision: Option<Box<str>>,
}

/// What [`Responder::prepare`] makes of a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is not for the responder: a static file, perhaps.
    NotOurs,
    /// It is answered without any records.
    Done(Reply),
    /// It takes records: hand it to [`answer`].
    Ask(Question),
}

impl Reply {
    /// The reply to a version check.
    pub fn check(answer: &Answer, log: Option<String>) -> Self {
        let body = if *answer == Answer::NO { wire::NO.into() } else { answer.to_body().into() };
        Reply {
            body,
            content_type: Some("application/json"),
            log_kind: "version check",
            ..Reply::empty(200, log)
        }
    }

    /// The reply to a version check that never hurts.
    pub fn no(log: impl Into<String>) -> Self {
        Reply::check(&Answer::NO, Some(log.into()))
    }

    /// The same reply; a simulated device is told that `otapress.json` cannot be read.
    pub(super) fn without_site(self, agent: &Agent) -> Self {
        let is_simulated = agent.program == Program::Simulator;
        let decision = is_simulated.then(|| format!("{}; store=none", wire::UNREADABLE_OUT).into());
        Reply { decision, ..self }
    }

    /// A reply without a body.
    pub fn empty(status: u16, log: Option<String>) -> Self {
        let (content_type, allow, decision) = (None, None, None);
        Reply { status, body: "".into(), content_type, allow, log, log_kind: "result", decision }
    }

    /// The reply to any other method than POST on the responder's paths.
    pub fn method_not_allowed() -> Self {
        Reply { allow: Some("POST"), ..Reply::empty(405, None) }
    }

    fn of_kind(self, log_kind: &'static str) -> Self {
        Reply { log_kind, ..self }
    }

    /// The words that go with the status; devices need some.
    pub fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Internal Server Error",
        }
    }
}

impl Responder {
    /// Reads `otapress.json` in `out`. If that fails, results are known by their User-Agent alone, and checks
    /// get no upgrade.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Responder::over(Arc::new(Disk), out.into())
    }

    /// The same for files that lie elsewhere than on a disk.
    pub fn over(files: Arc<dyn Files>, out: PathBuf) -> Self {
        let file = out.join(out::SITE_FILE);
        let site = files
            .read(&file)
            .map_err(|error| cannot_read(&file, &error))
            .and_then(|text| Site::parse(&text).map_err(|error| cannot_read(&file, &error)))
            .and_then(|site| match site.otapress {
                known if wire::READABLE.contains(&known) => Ok(site),
                other => {
                    let newest = wire::FORMAT;
                    Err(cannot_read(
                        &file,
                        &format!("it has the format {other}; this otapress knows 1 to {newest}"),
                    ))
                }
            });
        let of_version = |release: &Release| Some((release.version.parse().ok()?, release.clone()));
        let releases = site.iter().flat_map(|site| &site.releases).filter_map(of_version).collect();
        let mut strictest = BTreeMap::new();
        for rollout in site.iter().flat_map(|site| site.rollouts.values()) {
            if let (Ok(version), 1..) = (rollout.release.parse(), rollout.brake.artifact_faults) {
                let limit = strictest.entry(version).or_insert(u32::MAX);
                *limit = rollout.brake.artifact_faults.min(*limit);
            }
        }
        Responder { out, files, site, releases, strictest }
    }

    /// What `otapress.json` says.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn site(&self) -> Result<&Site, &str> {
        self.site.as_ref().map_err(String::as_str)
    }

    /// Reads a request, and the answer file that it needs.
    pub fn prepare(&self, request: &Request<'_>) -> Step {
        let agent = Agent::parse(request.agent);
        let kind = match message::route(self.site.as_ref().ok(), request) {
            Route::Other => return Step::NotOurs,
            Route::Method => return Step::Done(Reply::method_not_allowed()),
            Route::Check => {
                // No path is known then, so that the key protects nobody: nothing is sent or recorded.
                if let Err(why) = &self.site {
                    let refusal = Refusal::NoAnswerFile;
                    let reply = Reply::no(format!("version check: {refusal}: {why}"));
                    return Step::Done(reply.of_kind(refusal.as_str()).without_site(&agent));
                }
                let reported = message::reported(request);
                let Some(imei) = agent.imei else {
                    let said = message::printable(request.agent.unwrap_or_default(), 64);
                    let refusal = Refusal::NoImei;
                    let reply = Reply::no(format!("version check: {refusal}: user agent `{said}`"));
                    return Step::Done(reply.of_kind(refusal.as_str()));
                };
                let offer = self.offer(imei, reported.as_ref().ok().copied());
                Kind::Check { imei, reported, offer: offer.map(Arc::new) }
            }
            Route::Stray => {
                let path = message::printable(message::origin_form(request.target).as_bytes(), SAID_LIMIT);
                let is_device = agent.program != Program::Simulator;
                let known = agent.imei.filter(|&imei| is_device && self.is_in_fleet(imei));
                let Some(imei) = known else {
                    let said = message::printable(request.agent.unwrap_or_default(), 64);
                    let reply = Reply::no(format!(
                        "POST of a stranger: `{path}` is not published: user agent `{said}`"
                    ));
                    return Step::Done(reply.of_kind(STRAY));
                };
                Kind::Stray { imei, path, is_check: agent.program == Program::Midlet }
            }
            Route::Notify(client) => {
                let stated = client.as_ref().and_then(|client| client.as_str().parse::<Imei>().ok());
                let published = agent.imei.or(stated).is_some_and(|imei| self.is_in_fleet(imei));
                let posted = Posted::parse(request.body);
                Kind::Notify(Notice { imei: agent.imei, client, published, posted })
            }
        };
        let former = self.site.as_ref().ok().and_then(|site| message::former_path(site, request));
        Step::Ask(Question { kind, dry_run: agent.program == Program::Simulator, former })
    }

    /// A start message as a question, whose reply is 200 if it was recorded or has nothing new, else 500.
    pub fn started(&self, start: Start) -> Question {
        let published = self.is_in_fleet(start.imei);
        Question { kind: Kind::Start { start, published }, dry_run: false, former: None }
    }

    fn answer_file(&self, imei: Imei) -> PathBuf {
        out::answer_file(&self.out, imei)
    }

    fn is_in_fleet(&self, imei: Imei) -> bool {
        self.files.size(&self.answer_file(imei)).is_some()
    }

    /// Whether there is no answer file for the device; one that cannot be looked at may be there.
    pub(super) fn misses(&self, imei: Imei) -> bool {
        self.files.is_missing(&self.answer_file(imei))
    }

    /// Whether there are as many answer files as `otapress.json` has devices, which is published after them
    /// and copied before them.
    pub(super) fn is_complete(&self) -> bool {
        let rollouts = self.site.iter().flat_map(|site| site.rollouts.values());
        let devices: u64 =
            rollouts.flat_map(|rollout| &rollout.waves).map(|wave| u64::from(wave.devices)).sum();
        // Format 1 has no numbers.
        let least = usize::try_from(devices.max(1)).unwrap_or(usize::MAX);
        self.files.answers(&self.out.join(out::ANSWERS), least) == least
    }

    /// What is published for a device.
    pub(super) fn offer(&self, imei: Imei, reported: Option<Version>) -> Result<Offer, NoOffer> {
        let file = self.answer_file(imei);
        let text = self.files.read(&file).map_err(|error| match (&self.site, error.kind()) {
            // Without its mark the directory is not published, and says nothing about who is in the fleet.
            (Ok(_), io::ErrorKind::NotFound) => NoOffer::Unknown,
            (Err(why), io::ErrorKind::NotFound) => NoOffer::Broken(why.clone()),
            _ => NoOffer::Broken(cannot_read(&file, &error)),
        })?;
        let broken = |error: &dyn std::fmt::Display| NoOffer::Broken(cannot_read(&file, error));
        let parsed = AnswerFile::parse(&text).map_err(|error| broken(&error))?;
        let none = BTreeMap::new();
        let rollouts = self.site.as_ref().map_or(&none, |site| &site.rollouts);
        let mut offer = Offer::new(parsed, rollouts).map_err(|error| broken(&error))?;
        if let Offer::Managed(Managed { target: Some(target), rules, .. }) = &mut offer {
            self.judge_target(target, rules, reported);
        }
        Ok(offer)
    }

    /// Whether the target may be sent to anybody: half a copy of `out/` offers nothing.
    fn judge_target(&self, target: &Target, rules: &mut Rules, reported: Option<Version>) {
        let own = Some(target.brake.artifact_faults).filter(|&limit| limit > 0);
        let of_release = self.strictest.get(&target.version).copied();
        rules.artifact_faults = own.into_iter().chain(of_release).min().unwrap_or(0);
        let release = self.releases.get(&target.version);
        rules.is_withdrawn = release.is_some_and(|release| release.withdrawn.is_some());
        // Nobody looks for the JAR of what is not offered.
        rules.is_published = reported.is_some_and(|reported| decide::suits(target, reported).is_err())
            || !holds(Rule::OnlyWhatIsThere)
            || release
                .is_some_and(|release| self.files.size(&self.out.join(&release.path)) == Some(release.size));
        let of_channel = target.channel.as_ref().zip(self.site.as_ref().ok());
        let of_channel = of_channel.and_then(|(channel, site)| site.channels.get(channel));
        rules.is_of_channel = of_channel.is_none_or(|release| release.parse() == Ok(target.version));
    }
}

fn cannot_read(file: &Path, why: &dyn std::fmt::Display) -> String {
    format!("cannot read `{}`: {why}", file.display())
}

/// The kind of log lines about POSTs to unpublished paths.
const STRAY: &str = "unpublished path";

fn reply(question: &Question, exchanged: &Exchanged) -> Reply {
    let log = exchanged.log.as_ref().map(|log| format!("{}: {log}", question.name()));
    let decision = match exchanged.refusal {
        Some(refusal) => refusal.as_str(),
        None if exchanged.answer.upgrade => "upgrade",
        None => "recorded",
    };
    let reply = match question.kind {
        Kind::Check { .. } => {
            let kind = exchanged.refusal.map_or("version check", Refusal::as_str);
            Reply::check(&exchanged.answer, log).of_kind(kind)
        }
        Kind::Stray { .. } => Reply::check(&Answer::NO, log).of_kind(STRAY),
        Kind::Notify(_) | Kind::Start { .. } => Reply::empty(200, log),
    };
    Reply { decision: question.dry_run.then(|| decision.into()), ..reply }
}

/// Answers questions in their order: those that change something in one transaction, the others in none.
/// Never fails: where the store does, a check gets no upgrade, and a result or a start message 500.
///
/// Changes are as durable as `durability`, and offers and results survive a loss of power in any case:
/// neither an attempt nor an acknowledged result is ever forgotten.
///
/// Returns one reply per question.
pub fn answer<S: Store + ?Sized>(
    store: &mut S,
    durability: Durability,
    questions: &[Question],
    now: i64,
) -> Vec<Reply> {
    let mut replies = vec![None; questions.len()];
    let mut failed = try_answer(store, durability, questions, now, &mut replies).err();
    if matches!(failed, Some(StoreError::InDoubt { .. })) {
        // Asked again at once, a question gets the same answer if it was recorded, and its answer if it was
        // not. Otherwise an attempt would be counted of which the device never hears.
        let mut again = vec![None; questions.len()];
        if try_answer(store, durability, questions, now, &mut again).is_ok() {
            (replies, failed) = (again, None);
        }
    }
    let mut unanswered = |question: &Question| match &failed {
        // One unreadable record must not take the others' answers.
        Some(StoreError::Value { .. }) if questions.len() > 1 => {
            answer(store, durability, std::slice::from_ref(question), now).swap_remove(0)
        }
        Some(error) => answer_without_store(question, &error.to_string()),
        None => answer_without_store(question, "the transaction left it out"),
    };
    let mut replies: Vec<_> = replies
        .into_iter()
        .zip(questions)
        .map(|(reply, question)| reply.unwrap_or_else(|| unanswered(question)))
        .collect();
    if questions.iter().any(|question| question.dry_run) {
        // Nothing is recorded; that something could be is what a probe wants to know.
        let can_write = store.write(Durability::Process, &mut |_| Ok(())).is_ok();
        let store = if can_write { "; store=ok" } else { "; store=none" };
        for decision in replies.iter_mut().filter_map(|reply| reply.decision.as_mut()) {
            if !decision.contains(';') {
                *decision = format!("{decision}{store}").into();
            }
        }
    }
    replies
}

fn keys_of<'a>(questions: impl IntoIterator<Item = &'a Question>) -> Keys<'a> {
    let mut keys = Keys::default();
    questions.into_iter().for_each(|question| question.add_keys(&mut keys));
    keys
}

fn try_answer<S: Store + ?Sized>(
    store: &mut S,
    mut durability: Durability,
    questions: &[Question],
    now: i64,
    replies: &mut [Option<Reply>],
) -> Result<(), StoreError> {
    // What changes nothing waits for nobody's lock. From the first that does on, all wait for it together: to
    // tell them apart would cost as much again as to answer them. That mostly is the very first, so the
    // others are loaded only after it.
    let mut look = |tx: &mut dyn Tx| {
        let (first, others) = questions.split_at(questions.len().min(1));
        let mut done = 0;
        for questions in [first, others] {
            let mut records = tx.load(&keys_of(questions), now)?;
            for question in questions {
                let exchanged = exchange(&mut records, question, now);
                if records.is_changed() {
                    durability = durability.max(records.durability());
                    return Ok(());
                }
                replies[done] = Some(self::reply(question, &exchanged));
                done += 1;
            }
        }
        Ok(())
    };
    if store.prefers_reading() {
        store.read(&mut look)?;
    }
    let open: Vec<_> = (0..questions.len()).filter(|&i| replies[i].is_none()).collect();
    if open.is_empty() {
        return Ok(());
    }
    let keys = keys_of(open.iter().map(|&i| &questions[i]));
    loop {
        let mut too_weak = false;
        let mut exchanged = Vec::with_capacity(open.len());
        let outcome = store.write(durability, &mut |tx| {
            let mut records = tx.load(&keys, now)?;
            exchanged.clear();
            exchanged.extend(open.iter().map(|&i| exchange(&mut records, &questions[i], now)));
            let needed = records.durability();
            too_weak = needed > durability && !tx.strengthen(needed);
            if too_weak {
                return Err(StoreError::Abandoned);
            }
            tx.save(&records)
        });
        match outcome {
            Err(_) if too_weak => durability = Durability::Power,
            Err(error @ StoreError::InDoubt { .. }) => {
                for (&i, exchanged) in open.iter().zip(&exchanged) {
                    replies[i] = Some(answer_in_doubt(&questions[i], &exchanged.answer, &error.to_string()));
                }
                return Err(error);
            }
            other => {
                if holds(Rule::CommittedBeforeAnswered) {
                    other?;
                }
                for (&i, exchanged) in open.iter().zip(&exchanged) {
                    replies[i] = Some(reply(&questions[i], exchanged));
                }
                return Ok(());
            }
        }
    }
}

/// The reply where nobody knows whether what was planned is recorded, so that it is right in both cases. An
/// upgrade might be one too many, and the attempt that is counted in vain is only one too few. Settings are
/// sent: if they are not recorded, they are sent once more; held back, they might be taken to have arrived.
fn answer_in_doubt(question: &Question, planned: &Answer, why: &str) -> Reply {
    let Kind::Check { reported, .. } = &question.kind else { return answer_without_store(question, why) };
    let may_have_ones = !planned.upgrade || reported.as_ref().is_ok_and(|&version| reads_json(version));
    let settings =
        planned.settings.iter().filter(|setting| may_have_ones || !setting.to_json().contains('1'));
    let answer = Answer { upgrade: false, settings: settings.cloned().collect() };
    Reply::check(&answer, Some(format!("{}: {}: {why}", question.name(), Refusal::NoState)))
}

/// The reply where there is no store: no upgrade to a check, 500 to a result and a start message.
pub fn answer_without_store(question: &Question, why: &str) -> Reply {
    let log = format!("{}: {}: {why}", question.name(), Refusal::NoState);
    let reply = match question.kind {
        Kind::Check { .. } | Kind::Stray { .. } => Reply::no(log),
        Kind::Notify(_) if question.dry_run || !holds(Rule::RecordedBeforeAcknowledged) => {
            Reply::empty(200, Some(log))
        }
        Kind::Notify(_) | Kind::Start { .. } => Reply::empty(500, Some(log)),
    };
    let decision = question.dry_run.then(|| format!("{}; store=none", Refusal::NoState).into());
    Reply { log_kind: Refusal::NoState.as_str(), decision, ..reply }
}

#[cfg(test)]
mod tests;
