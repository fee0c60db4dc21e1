//! A host: its copy of `out/`, its clock, and its handle on the records.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};

use super::Packet;
use super::store::FaultyStore;
use super::unheard::Settings;
use crate::published::Published;
use otapress_core::out::{self, Part, Tier};
use otapress_core::out_path::OutPath;
use otapress_core::wire::AnswerFile;
use otapress_responder::message::Request;
use otapress_responder::question::Question;
use otapress_responder::service::{self, Files, Reply, Responder, Step};
use otapress_responder::store::Durability;

/// Files that change while a responder reads them.
#[derive(Clone, Debug, Default)]
pub(super) struct Copy(Arc<RwLock<Published>>);

impl Copy {
    pub(super) fn with<T>(&self, look: impl FnOnce(&Published) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Files for Copy {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.with(|files| files.read(file))
    }

    fn size(&self, file: &Path) -> Option<u64> {
        self.with(|files| files.size(file))
    }

    fn is_missing(&self, file: &Path) -> bool {
        self.with(|files| files.is_missing(file))
    }

    fn answers(&self, dir: &Path, most: usize) -> usize {
        self.with(|files| files.answers(dir, most))
    }
}

/// One step of publishing.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(String, Arc<[u8]>),
    Remove(String),
}

impl Write {
    pub(super) fn path(&self) -> &str {
        match self {
            Write::Put(path, _) | Write::Remove(path) => path,
        }
    }
}

/// What makes one directory of another, in the order in which a build writes.
pub(super) fn writes(from: &Published, to: &Published) -> Vec<Write> {
    let tier = |path: &str, bytes: &[u8]| -> Tier {
        let part = path.parse::<OutPath>().ok().and_then(|path| Part::of(&path)).unwrap_or(Part::Jars);
        let offers_nothing = || bytes.starts_with(br#"{"upgrade":0"#);
        if part == Part::Answers && offers_nothing() { Tier::NoOffer } else { part.tier() }
    };
    let mut puts: Vec<_> = to
        .files()
        .filter(|(path, bytes)| from.get(path) != Some(bytes))
        .map(|(path, bytes)| (tier(path, bytes), Write::Put(path.to_owned(), bytes.clone())))
        .collect();
    puts.sort_by_key(|(tier, _)| *tier);
    let mut removals: Vec<_> = from
        .files()
        .filter(|(path, _)| to.get(path).is_none())
        .map(|(path, bytes)| (tier(path, bytes), Write::Remove(path.to_owned())))
        .collect();
    removals.sort_by_key(|(tier, _)| std::cmp::Reverse(*tier));
    puts.into_iter().chain(removals).map(|(_, write)| write).collect()
}

/// What is published for a device.
#[derive(Debug)]
pub(super) struct Answers {
    pub file: AnswerFile,
    /// Its settings as they are sent, and whether they are sent every time.
    settings: Vec<(String, bool)>,
    /// The last answer that was looked at. Mostly the next one is the same.
    last: RefCell<Pushed>,
}

/// The settings in an answer.
#[derive(Clone, Debug, Default)]
struct Pushed {
    body: String,
    count: usize,
    /// Those that are published: a bit for each.
    published: u64,
}

impl Answers {
    fn new(file: AnswerFile) -> Self {
        let is_always = |key| file.offer.always.contains(key);
        let settings =
            file.settings.iter().map(|setting| (setting.to_json(), is_always(&setting.key))).collect();
        Answers { file, settings, last: RefCell::default() }
    }

    fn pushed(&self, body: &str) -> RefMut<'_, Pushed> {
        let mut last = self.last.borrow_mut();
        if last.body != body {
            let bits = (0..64).zip(&self.settings).filter(|(_, (setting, _))| body.contains(setting));
            let published = bits.map(|(n, _)| 1 << n).sum();
            *last = Pushed { body: body.to_owned(), count: body.matches("{\"key\":").count(), published };
        }
        last
    }

    /// How many settings an answer has, and how many of those that are published.
    pub(super) fn settings_in(&self, body: &str) -> (usize, usize) {
        let pushed = self.pushed(body);
        (pushed.count, pushed.published.count_ones() as usize)
    }

    /// Those that are sent until they are confirmed and stand in an answer.
    pub(super) fn once_in(&self, body: &str) -> Settings {
        let published = self.pushed(body).published;
        let of_file = (0..64).zip(self.file.settings.iter().zip(&self.settings));
        let once = of_file.filter(|(n, (_, (_, is_always)))| !is_always && published & (1 << n) > 0);
        once.map(|(_, (setting, _))| (setting.key.clone(), setting.val.clone())).collect()
    }
}

/// Answer files as they were read, by their text.
type ByText = BTreeMap<Arc<[u8]>, Rc<Answers>>;

/// The answer files of all hosts, which mostly have the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(Rc<RefCell<ByText>>);

impl Readings {
    /// `None` if it cannot be read.
    pub(super) fn read(&self, text: &Arc<[u8]>) -> Option<Rc<Answers>> {
        let mut known = self.0.borrow_mut();
        if let Some(answers) = known.get(text) {
            return Some(answers.clone());
        }
        let answers = Rc::new(Answers::new(AnswerFile::parse(text).ok()?));
        known.insert(text.clone(), answers.clone());
        Some(answers)
    }
}

/// What a host knows of a device since something was written.
#[derive(Clone, Debug, Default)]
struct Asked {
    /// Its last request: the same one is the same question.
    question: Option<(Rc<Packet>, Question)>,
    /// What is published for it, if that was read; `None` in it if it cannot be.
    answers: Option<Option<Rc<Answers>>>,
}

#[derive(Debug)]
pub(super) struct Host {
    pub copy: Copy,
    pub responder: Responder,
    pub store: FaultyStore,
    /// By the number of the device.
    asked: Vec<Asked>,
    readings: Readings,
    /// How far its clock is off, in seconds.
    pub offset: i64,
    /// Seconds that its clock gains in a day.
    pub drift: i64,
}

impl Host {
    pub(super) fn new(store: FaultyStore, drift: i64, readings: Readings) -> Self {
        let copy = Copy::default();
        let responder = Responder::over(Arc::new(copy.clone()), PathBuf::new());
        Host { copy, responder, store, asked: Vec::new(), readings, offset: 0, drift }
    }

    /// The time that it shows.
    pub(super) fn clock(&self, now: i64, start: i64) -> i64 {
        now + self.offset + self.drift * (now - start) / 86_400
    }

    /// Answers a request; `None` if it is nobody's.
    pub(super) fn answer(&mut self, packet: &Rc<Packet>, clock: i64) -> Option<Reply> {
        if self.asked.len() <= packet.n {
            self.asked.resize_with(packet.n + 1, Asked::default);
        }
        let known = &mut self.asked[packet.n].question;
        if known.as_ref().is_none_or(|(of, _)| of != packet) {
            let request = Request::post(&packet.target, &packet.agent, packet.body.as_bytes());
            match self.responder.prepare(&request) {
                Step::Ask(question) => *known = Some((packet.clone(), question)),
                Step::Done(reply) => return Some(reply),
                Step::NotOurs => return None,
            }
        }
        let (_, question) = known.as_ref()?;
        let questions = std::slice::from_ref(question);
        service::answer(&mut self.store, Durability::Process, questions, clock).pop()
    }

    /// What is published for a device, if that was asked for since it was written.
    pub(super) fn known_answers(&self, n: usize) -> Option<&Rc<Answers>> {
        self.asked.get(n)?.answers.as_ref()?.as_ref()
    }

    /// What is published for a device; `None` if that cannot be read.
    pub(super) fn read_answers(&mut self, packet: &Packet) -> Option<Rc<Answers>> {
        let read = || {
            let path = out::answer_path(packet.imei);
            let text = self.copy.with(|files| files.get(path.as_str()).cloned())?;
            self.readings.read(&text)
        };
        // It was answered just now.
        self.asked[packet.n].answers.get_or_insert_with(read).clone()
    }

    /// Writes into its copy; the responder notices.
    pub(super) fn write(&mut self, writes: &[Write]) {
        self.copy.change(|files| writes.iter().for_each(|write| apply(files, write)));
        self.restart();
    }

    /// A new process.
    pub(super) fn restart(&mut self) {
        self.responder = Responder::over(Arc::new(self.copy.clone()), PathBuf::new());
        self.asked.clear();
    }
}

pub(super) fn apply(files: &mut Published, write: &Write) {
    match write {
        Write::Put(path, bytes) => files.put(path, bytes.clone()),
        Write::Remove(path) => files.remove(path),
    }
}
