//! The one thread that uses the store.
//!
//! It takes all questions that are waiting, answers them in one transaction (one commit, one fsync if a
//! result is among them) and then sends the replies. So a reply is never sent before what it
//! acknowledges is kept, and many answers cost as much as one. Whatever happens to the store, every
//! question gets a reply, and where the store is far away soon enough for the device that waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Clock;
use super::upkeep::Upkeep;
use otapress_responder::service::{Question, Reply, answer, answer_without_store};
use otapress_responder::store::{BackgroundCheckpoint, Durability, Lease, Store, StoreError, Work};

/// Opens the store, and takes until then at most if it is far away; called again after trouble.
pub type OpenStore = Box<dyn FnMut(Instant) -> Result<Box<dyn Store>, StoreError> + Send>;

/// How long a question may wait for its answer, if the store can be hurried.
const ANSWER: Duration = Duration::from_millis(1_500);

/// Who has waited so long for the transactions of others that less is left is answered without the store:
/// with so little time a slow server would fail for all who have come since, too.
const ENOUGH: Duration = Duration::from_millis(500);

/// In how many steps more questions are waited for, each a part of the time that the last batch took: see
/// [`StoreWorker::gather`].
const STEPS: u32 = 4;

/// Which part.
const PART: u32 = 16;

/// How many questions one transaction takes at most, so that nobody waits long for the others.
const BATCH: usize = 1024;

/// How long it waits before it tries to open a store that could not be opened.
const REOPEN: Duration = Duration::from_secs(1);

/// How long that may take, if the store is far away.
const CONNECT: Duration = Duration::from_millis(500);

/// How often the store is maintained.
const MAINTAIN: Duration = Duration::from_secs(1);

/// How often at most, if it is cluttered: somebody who reads for long can keep it so.
const TIDY: Duration = Duration::from_millis(50);

/// A question, when it was asked, and where its reply goes.
type Waiting = (Question, Instant, oneshot::Sender<Reply>);

/// The sending end: asks the thread.
#[derive(Clone, Debug)]
pub struct Questions(Sender<Waiting>);

impl Questions {
    /// Asks, and waits for the reply; `None` if the thread is gone, which only happens after a shutdown.
    pub async fn ask(&self, question: Question) -> Option<Reply> {
        let (sender, receiver) = oneshot::channel();
        self.0.send((question, Instant::now(), sender)).ok()?;
        receiver.await.ok()
    }
}

/// Starts the thread. It ends once every [`Questions`] is dropped and all that was asked is answered.
///
/// # Errors
/// If there can be no thread.
pub fn start(open: OpenStore, clock: Clock, upkeep: Upkeep) -> io::Result<(Questions, JoinHandle<()>)> {
    let (sender, receiver) = channel();
    let work = move || StoreWorker::new(open, clock, upkeep).run(&receiver);
    let failed = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot start the thread that keeps the records: {error}"))
    };
    let thread = Builder::new().name("store".into()).spawn(work).map_err(failed)?;
    Ok((Questions(sender), thread))
}

struct StoreWorker {
    open: OpenStore,
    clock: Clock,
    upkeep: Upkeep,
    store: Option<Box<dyn Store>>,
    tried: Option<Instant>,
    trouble: String,
    maintained: Instant,
    /// How many questions the last batch had, and how long it took, if the store is far away.
    last: (usize, Duration),
    /// A checkpoint that runs beside the answers.
    checkpoint: Option<JoinHandle<()>>,
}

impl StoreWorker {
    fn new(open: OpenStore, clock: Clock, upkeep: Upkeep) -> Self {
        let mut worker = StoreWorker {
            open,
            clock,
            upkeep,
            store: None,
            tried: None,
            trouble: String::new(),
            maintained: Instant::now(),
            last: (0, Duration::ZERO),
            checkpoint: None,
        };
        worker.reopen();
        worker
    }

    fn run(mut self, questions: &Receiver<Waiting>) {
        loop {
            match questions.recv_timeout(MAINTAIN) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(questions.try_iter().take(BATCH - 1));
                    self.gather(&mut batch, questions);
                    self.answer(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.tidy();
        }
    }

    /// Waits a little for as many questions as there were in the last batch. A store that is far away takes
    /// about as long for one question as for many; and devices that were answered together, or come at the
    /// same rate, are there again together, but not at once.
    fn gather(&self, batch: &mut Vec<Waiting>, questions: &Receiver<Waiting>) {
        let (count, took) = self.last;
        for _ in 0..STEPS {
            if batch.len() >= count {
                return;
            }
            std::thread::sleep(took / PART);
            let room = BATCH - batch.len();
            batch.extend(questions.try_iter().take(room));
        }
    }

    /// Maintains the store when it is time. What of it takes long runs as a background checkpoint first,
    /// beside the answers.
    fn tidy(&mut self) {
        match &self.checkpoint {
            Some(checkpoint) if !checkpoint.is_finished() => {}
            Some(_) => {
                self.checkpoint = None;
                self.maintain();
            }
            None => {
                let since = self.maintained.elapsed();
                let needs_maintenance = || self.store.as_ref().is_some_and(|store| store.needs_maintenance());
                if since < MAINTAIN && (since < TIDY || !needs_maintenance()) {
                    return;
                }
                self.checkpoint =
                    self.store.as_mut().and_then(|store| store.background_checkpoint()).and_then(spawn);
                if self.checkpoint.is_none() {
                    self.maintain();
                }
            }
        }
    }

    fn answer(&mut self, mut batch: Vec<Waiting>) {
        if self.store.is_none() {
            self.reopen();
        }
        let started = Instant::now();
        let is_far = self.store.as_mut().is_some_and(|store| store.set_deadline(started + ANSWER));
        if is_far {
            let late: Vec<_> =
                batch.extract_if(.., |(_, asked, _)| asked.elapsed() + ENOUGH > ANSWER).collect();
            for (question, _, sender) in late {
                let _ = sender.send(answer_without_store(&question, "the store is slow"));
            }
            // They come in the order in which they were asked.
            let Some((_, first, _)) = batch.first() else { return };
            let until = *first + ANSWER;
            if let Some(store) = &mut self.store {
                store.set_deadline(until);
            }
        }
        let mut questions = Vec::with_capacity(batch.len());
        let mut senders = Vec::with_capacity(batch.len());
        for (question, _, sender) in batch {
            questions.push(question);
            senders.push(sender);
        }
        let replies = self.replies(&questions);
        self.last = if is_far { (questions.len(), started.elapsed()) } else { (0, Duration::ZERO) };
        for (sender, reply) in senders.into_iter().zip(replies) {
            // A client that does not wait any longer is no trouble.
            let _ = sender.send(reply);
        }
    }

    fn replies(&mut self, questions: &[Question]) -> Vec<Reply> {
        if let Some(store) = &mut self.store {
            let now = (self.clock)();
            let mut watched = Watched { store: &mut **store, trouble: None };
            let work = || answer(&mut watched, Durability::Process, questions, now);
            let replies = catch_unwind(AssertUnwindSafe(work));
            match (replies, watched.trouble) {
                (Ok(replies), trouble) if replies.len() == questions.len() => {
                    if let Some(trouble) = trouble {
                        self.give_up(&trouble);
                    }
                    return replies;
                }
                _ => self.give_up("the store panicked"),
            }
        }
        questions.iter().map(|question| answer_without_store(question, &self.trouble)).collect()
    }

    fn maintain(&mut self) {
        self.maintained = Instant::now();
        let Some(store) = &mut self.store else { return };
        store.set_deadline(Instant::now() + ANSWER);
        let now = (self.clock)();
        let work = || self.upkeep.run(&mut **store, now).and_then(|()| store.maintain());
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) => {}
            // The next question opens it anew; until then there is nothing to maintain, and nothing to
            // complain of.
            Ok(Err(error @ (StoreError::Engine { .. } | StoreError::InDoubt { .. }))) => {
                self.give_up(&error.to_string())
            }
            Ok(Err(error)) => tracing::warn!(%error, "the store cannot be maintained"),
            Err(_) => self.give_up("the store panicked"),
        }
    }

    /// Drops the store: after a panic its condition is unknown, and after an error of the engine a fresh
    /// start may find the disk with space again, or the database replaced.
    fn give_up(&mut self, why: &str) {
        tracing::error!("{why}");
        self.trouble = why.to_owned();
        let store = self.store.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(store)));
    }

    fn reopen(&mut self) {
        if self.tried.is_some_and(|tried| tried.elapsed() < REOPEN) {
            return;
        }
        match catch_unwind(AssertUnwindSafe(|| (self.open)(Instant::now() + CONNECT))) {
            Ok(Ok(store)) => self.store = Some(store),
            Ok(Err(error)) => self.give_up(&error.to_string()),
            Err(_) => self.give_up("opening the store panicked"),
        }
        // It may have taken long; those who came meanwhile do not wait for one more try.
        self.tried = Some(Instant::now());
    }
}

/// Starts a background checkpoint; `None` if there can be no thread.
fn spawn(checkpoint: BackgroundCheckpoint) -> Option<JoinHandle<()>> {
    let run = || {
        // What is really wrong with the store shows in its maintenance, which follows.
        match catch_unwind(AssertUnwindSafe(checkpoint)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the store's log is not copied"),
            Err(_) => tracing::debug!("the background checkpoint panicked"),
        }
    };
    Builder::new().name("checkpoint".into()).spawn(run).ok()
}

/// A store whose troubles are noticed; [`answer`] keeps them to itself.
struct Watched<'a> {
    store: &'a mut dyn Store,
    trouble: Option<String>,
}

impl Watched<'_> {
    fn notice(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        // The others are no fault of the store: a lock of somebody else, a record that cannot be read.
        if let Err(error @ (StoreError::Engine { .. } | StoreError::InDoubt { .. })) = &result {
            self.trouble = Some(error.to_string());
        }
        result
    }
}

impl Store for Watched<'_> {
    fn read(&mut self, work: &mut Work<'_>) -> Result<(), StoreError> {
        let result = self.store.read(work);
        self.notice(result)
    }

    fn prefers_reading(&self) -> bool {
        self.store.prefers_reading()
    }

    fn write(&mut self, durability: Durability, work: &mut Work<'_>) -> Result<(), StoreError> {
        let result = self.store.write(durability, work);
        self.notice(result)
    }

    fn lease(&mut self, name: &str) -> Result<Option<Box<dyn Lease>>, StoreError> {
        self.store.lease(name)
    }

    fn maintain(&mut self) -> Result<(), StoreError> {
        self.store.maintain()
    }
}
