//! Templates that may come from anybody: each rendering has a limit of time, memory and output, and so has
//! each `range`.
//!
//! Tera cannot be interrupted, so a thread of its own renders. One that is beyond a limit is given up: it
//! ends at its next output or `range`, or with the process.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tera::{Context, Error, Kwargs, State, Tera, TeraResult};

/// The largest template, in bytes.
pub const MAX_TEMPLATE: u64 = 256 << 10;

const MAX_OUTPUT: usize = 1 << 20;
const MAX_RANGE: usize = 1_000;
const MAX_TIME: Duration = Duration::from_secs(5);
/// How much the process may grow while it renders, in bytes.
const MAX_GROWTH: u64 = 256 << 20;

/// How often time and memory are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Why nothing was rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template is wrong.
    #[error(transparent)]
    Template(Arc<Error>),
    /// The thread that renders has ended.
    #[error("an internal error, see above")]
    Internal,
    /// It is beyond [`MAX_TIME`].
    #[error("it takes more than {} seconds", MAX_TIME.as_secs())]
    Time,
    /// It is beyond [`MAX_GROWTH`].
    #[error("it takes more than {} MB of memory", MAX_GROWTH >> 20)]
    Memory,
    /// It is beyond [`MAX_OUTPUT`].
    #[error("it gives more than {} MB", MAX_OUTPUT >> 20)]
    Output,
}

/// Parsed templates and the thread that renders them.
#[derive(Debug)]
pub struct Bounded {
    tera: Arc<Tera>,
    given_up: Arc<AtomicBool>,
    worker: Mutex<Option<Worker>>,
}

#[derive(Debug)]
struct Worker {
    work: SyncSender<(String, Context)>,
    done: Receiver<Result<String, RenderError>>,
}

impl Bounded {
    /// Parses templates, each with its name; one can include those before it.
    ///
    /// # Errors
    /// If one cannot be parsed.
    pub fn parse<'a>(templates: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let given_up = Arc::new(AtomicBool::new(false));
        let mut tera = Tera::default();
        // Nothing that is rendered is HTML.
        tera.autoescape_on(Vec::<&str>::new());
        let ended = given_up.clone();
        tera.register_function("range", move |arguments: Kwargs, _: &State<'_>| range(&arguments, &ended));
        for (name, text) in templates {
            tera.add_raw_template(name, text)?;
        }
        Ok(Bounded { tera: Arc::new(tera), given_up, worker: Mutex::new(None) })
    }

    /// The templates, to ask what is in them.
    pub fn tera(&self) -> &Tera {
        &self.tera
    }

    /// Renders a template.
    ///
    /// # Errors
    /// If it asks for what is not there, or is beyond a limit; then every other rendering is, too.
    pub fn render(&self, name: &str, context: Context) -> Result<String, RenderError> {
        self.render_within(name, context, MAX_TIME)
    }

    fn render_within(&self, name: &str, context: Context, time: Duration) -> Result<String, RenderError> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if self.given_up.load(Ordering::Relaxed) {
            return Err(RenderError::Time);
        }
        let running = worker.get_or_insert_with(|| self.start());
        let (begun, mut before) = (Instant::now(), None);
        // A thread that is gone does not answer either.
        let _ = running.work.send((name.to_owned(), context));
        loop {
            let error = match running.done.recv_timeout(LOOK) {
                Ok(rendered) => return rendered,
                Err(RecvTimeoutError::Disconnected) => RenderError::Internal,
                Err(RecvTimeoutError::Timeout)
                    if memory() > *before.get_or_insert_with(memory) + MAX_GROWTH =>
                {
                    RenderError::Memory
                }
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > time => RenderError::Time,
                Err(RecvTimeoutError::Timeout) => continue,
            };
            self.given_up.store(true, Ordering::Relaxed);
            *worker = None;
            return Err(error);
        }
    }

    fn start(&self) -> Worker {
        let (work, todo) = sync_channel::<(String, Context)>(1);
        let (results, done) = sync_channel(1);
        let (tera, given_up) = (self.tera.clone(), self.given_up.clone());
        thread::spawn(move || {
            for (name, context) in todo {
                let mut output = Output { bytes: Vec::new(), is_full: false, given_up: &given_up };
                let rendered = tera.render_to(&name, &context, &mut output);
                let rendered = match rendered {
                    Err(_) if output.is_full => Err(RenderError::Output),
                    Err(error) => Err(RenderError::Template(Arc::new(error))),
                    Ok(()) => Ok(String::from_utf8_lossy(&output.bytes).into_owned()),
                };
                if results.send(rendered).is_err() {
                    break;
                }
            }
        });
        Worker { work, done }
    }
}

/// As much output as is allowed, and only as long as somebody waits for it.
struct Output<'a> {
    bytes: Vec<u8>,
    is_full: bool,
    given_up: &'a AtomicBool,
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_full |= self.bytes.len() + bytes.len() > MAX_OUTPUT;
        if self.is_full || self.given_up.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tera's own function, with a limit that two loops within each other do not make large.
fn range(arguments: &Kwargs, given_up: &AtomicBool) -> TeraResult<Vec<i64>> {
    let start = arguments.get::<i64>("start")?.unwrap_or(0);
    let end = arguments.must_get::<i64>("end")?;
    let step = arguments.get::<i64>("step_by")?.unwrap_or(1);
    if step == 0 || step > 0 && start > end || given_up.load(Ordering::Relaxed) {
        return Err(Error::message("`range` does not lead from `start` to `end`"));
    }
    let steps = std::iter::successors(Some(start), |n| n.checked_add(step));
    let values: Vec<i64> =
        steps.take_while(|n| if step > 0 { *n < end } else { *n > end }).take(MAX_RANGE + 1).collect();
    if values.len() > MAX_RANGE {
        return Err(Error::message(format!("`range` has more than {MAX_RANGE} numbers")));
    }
    Ok(values)
}

/// The memory that the process has in use, in bytes; 0 where the system does not say.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    size.and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok()).unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Result<String, String> {
        let bounded = Bounded::parse([("x", template)]).map_err(|error| error.to_string())?;
        let result = bounded.render_within("x", Context::new(), Duration::from_millis(300));
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_within_the_limits_is_rendered() {
        assert_eq!(rendered("{% for i in range(end=3) %}{{ i }}{% endfor %}"), Ok("012".into()));
        assert_eq!(rendered("{{ range(start=5, end=1, step_by=-2) | join(sep=\",\") }}"), Ok("5,3".into()));
        assert!(rendered("{{ range(end=1000) | length }}").is_ok());
    }

    #[test]
    fn nothing_beyond_a_limit_is() {
        let loops = |depth: usize, inner: &str| {
            let nested =
                (0..depth).map(|n| format!("{{% for i{n} in range(end=1000) %}}")).collect::<String>();
            nested + inner + &"{% endfor %}".repeat(depth)
        };
        let doubled = "{% set x = \"0123456789abcdef\" %}".to_owned() + &"{% set x = x ~ x %}".repeat(60);
        let array = |inner: &str| {
            let items = ["1"; 1000].join(",");
            format!("{{% set a = [{items}] %}}")
                + &"{% for i in a %}".repeat(6)
                + inner
                + &"{% endfor %}".repeat(6)
        };
        let cases = [
            (loops(5, ""), "it takes more than 5 seconds"),
            (array(""), "it takes more than 5 seconds"),
            (loops(3, &"x".repeat(1000)), "it gives more than 1 MB"),
            (doubled, "it takes more than"),
            ("{{ range(end=1001) }}".into(), "`range` has more than 1000 numbers"),
            ("{{ range(end=9000000000000000000) }}".into(), "`range` has more than 1000 numbers"),
            ("{{ range(end=1, step_by=0) }}".into(), "`range` does not lead"),
        ];
        for (template, wanted) in cases {
            let begun = Instant::now();
            let said = rendered(&template).unwrap_err();
            assert!(said.contains(wanted), "{wanted}: {said}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{wanted}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn after_one_that_was_given_up_nothing_is_rendered() {
        let endless = "{% for a in range(end=1000) %}".repeat(6) + &"{% endfor %}".repeat(6);
        let bounded = Bounded::parse([("bad", &*endless), ("good", "x")]).unwrap();
        let short = Duration::from_millis(50);
        assert_eq!(bounded.render("good", Context::new()).unwrap(), "x");
        assert!(bounded.render_within("bad", Context::new(), short).is_err());
        assert!(bounded.render("good", Context::new()).is_err());
    }
}
