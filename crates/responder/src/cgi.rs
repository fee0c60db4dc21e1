//! The responder as a CGI/1.1 program (RFC 3875): one request per process, described by the environment.
//!
//! The body is always read to its end, even if it is too long to be kept: a server whose program leaves
//! some of it unread stalls (Apache) or drops the answer (nginx).
//!
//! Where the server hands over GETs, too, JADs and JARs are sent from here: so a site can lie below this
//! program's path on servers that set no headers and refuse POSTs to files. The server asks for passwords,
//! where there are some, and says whose it was; without a `REMOTE_USER` nothing is sent that needs one.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::departed;
use super::files;
use super::message::{Agent, BODY_LIMIT, Program, Request};
use super::operate;
use super::record::Refusal;
use super::service::{self, Reply, Responder, Step};
use crate::store::sqlite::SqliteStore;
use crate::store::{Durability, Store};
use otapress_core::out::Served;
use otapress_core::wire::DECISION;

/// How long a body may take. A device on GPRS needs seconds for its few bytes.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// How much of a body is read at most.
const DRAIN_LIMIT: u64 = 64 << 20;

/// How long others may keep the database locked. A device waits that long for its answer; a shorter wait
/// would turn a busy minute on a slow disk into lost results.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Reads a variable of the environment.
pub type Environment<'a> = dyn Fn(&str) -> Option<OsString> + 'a;

/// What a process has to say, and what is left to do afterwards.
pub struct Outcome {
    answer: Answer,
    store: Option<SqliteStore>,
    /// For whom others are waited for, and when: it is looked whether these are still in the fleet.
    proving: Option<(Responder, i64)>,
    /// What the log is told besides.
    said: Option<String>,
}

/// What is sent.
enum Answer {
    Reply(Reply),
    File { served: Served, file: File, size: u64, with_body: bool },
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Outcome { answer: Answer::Reply(reply), store: None, proving: None, said: None }
    }
}

impl Outcome {
    /// Writes the answer as a CGI program does.
    ///
    /// # Errors
    /// If the server does not take it, or a file ends early.
    pub fn send(&mut self, output: &mut impl Write) -> io::Result<()> {
        match &mut self.answer {
            Answer::Reply(reply) => {
                let head = [
                    ("Content-Type", reply.content_type),
                    ("Allow", reply.allow),
                    (DECISION, reply.decision.as_deref()),
                ];
                write_head(output, reply.status, reply.reason(), &head, reply.body.len() as u64)?;
                output.write_all(reply.body.as_bytes())?;
            }
            Answer::File { served, file, size, with_body } => {
                let head = [
                    ("Content-Type", Some(served.content_type())),
                    ("Cache-Control", Some(served.cache_control())),
                ];
                write_head(output, 200, "OK", &head, *size)?;
                if *with_body && io::copy(&mut file.take(*size), output)? != *size {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        output.flush()
    }

    /// A line for the log.
    pub fn log(&self) -> Option<&str> {
        match &self.answer {
            Answer::Reply(reply) => reply.log.as_deref(),
            Answer::File { .. } => None,
        }
    }

    /// Does the housekeeping; to be called once nobody waits for the answer any more, and last of all.
    /// Returns lines for the log.
    pub fn finish(self) -> Vec<String> {
        let mut log: Vec<_> = self.said.into_iter().collect();
        if let Some(mut store) = self.store {
            // Whoever comes next will try again.
            if let Some((responder, now)) = self.proving {
                let freed = departed::look_in_passing(&mut store, &responder, now).unwrap_or_default();
                let line =
                    |(rollout, imei)| format!("{rollout}: {imei} left the fleet and gave its place back");
                log.extend(freed.into_iter().map(line));
            }
            let _ = store.maintain();
            // The process ends here, and its files and locks with it: taking the connection apart before is a
            // tenth of all the work, and changes nothing on disk.
            std::mem::forget(store);
        }
        log
    }
}

/// Answers the request that the environment and `input` describe. `clock` gives the seconds since
/// 1970-01-01 UTC and is asked once the request has been read.
pub fn run(env: &Environment<'_>, mut input: impl Read + AsFd, clock: impl FnOnce() -> i64) -> Outcome {
    let text = |name| env(name).map(|value| value.to_string_lossy().into_owned());
    let method = text("REQUEST_METHOD").unwrap_or_default();
    let length = text("CONTENT_LENGTH").and_then(|length| length.trim().parse().ok());
    let (body, is_complete) = match method.as_str() {
        "POST" => drain(&mut input, length, BODY_PATIENCE),
        // Servers may leave the input open where there is no body.
        _ => drain(&mut input, Some(length.unwrap_or(0)), BODY_PATIENCE),
    };
    let target = text("REQUEST_URI").unwrap_or_else(|| {
        let path = text("SCRIPT_NAME").unwrap_or_default() + &text("PATH_INFO").unwrap_or_default();
        match text("QUERY_STRING") {
            Some(query) if !query.is_empty() => format!("{path}?{query}"),
            _ => path,
        }
    });
    let (agent, host) = (env("HTTP_USER_AGENT"), text("HTTP_HOST"));
    let request = Request {
        method: &method,
        target: &target,
        host: host.as_deref(),
        agent: agent.as_ref().map(|agent| agent.as_bytes()),
        body: &body,
        is_complete,
    };
    let Some(out) = env("OTAPRESS_OUT").filter(|out| !out.is_empty()) else {
        let agent = Agent::parse(request.agent);
        return fallback(env, "`OTAPRESS_OUT` is not set").without_site(&agent).into();
    };
    let responder = Responder::new(&out);
    let question = match responder.prepare(&request) {
        Step::Ask(question) => question,
        Step::Done(reply) => return reply.into(),
        Step::NotOurs => {
            let user = env("REMOTE_USER").filter(|user| !user.is_empty());
            return file(Path::new(&out), &responder, &request, user.is_some());
        }
    };
    let store = match env("OTAPRESS_STATE").filter(|state| !state.is_empty()) {
        None => Err("`OTAPRESS_STATE` is not set".to_owned()),
        Some(url) if url.as_bytes().windows(3).any(|part| part == b"://") => {
            Err("`OTAPRESS_STATE` is a URL; here it must be a directory (`otapress serve` takes both)"
                .to_owned())
        }
        Some(state) => SqliteStore::open(Path::new(&state), LOCK_PATIENCE).map_err(|error| error.to_string()),
    };
    match store {
        Ok(mut store) => {
            let questions = std::slice::from_ref(&question);
            let now = clock();
            // Whoever cannot write this down cannot write down the answer either, and says so there.
            let said = operate::note_no_memory(&mut store, Path::new(&out), now).unwrap_or_default();
            let reply = service::answer(&mut store, Durability::Process, questions, now).swap_remove(0);
            let proving = (!question.dry_run && reply.log_kind == Refusal::Proving.as_str())
                .then_some((responder, now));
            Outcome { answer: Answer::Reply(reply), store: Some(store), proving, said }
        }
        Err(why) => Outcome::from(service::answer_without_store(&question, &why)),
    }
}

/// A file of `out`, if that is what is asked for.
fn file(out: &Path, responder: &Responder, request: &Request<'_>, is_known: bool) -> Outcome {
    let with_body = match request.method {
        "GET" => true,
        "HEAD" => false,
        _ => return Reply::method_not_allowed().into(),
    };
    let path = request.target.split('?').next().unwrap_or_default();
    let named = responder.site().ok().and_then(|site| {
        let path = files::out_path(files::site_prefix(&site.site), path)?;
        Some((Served::of(&path)?, path, site.auth))
    });
    // A path that can be no file's: whoever came here by mistake is told what this program is for.
    let Some((served, path, auth)) = named else { return Reply::method_not_allowed().into() };
    if auth && served.is_protected() && !is_known {
        let why = format!("`{path}` is refused: the server did not ask for a password");
        return Reply::empty(403, Some(why)).into();
    }
    match files::open(out, &path) {
        Ok(Some((file, metadata))) => {
            let answer = Answer::File { served, file, size: metadata.len(), with_body };
            Outcome { answer, store: None, proving: None, said: None }
        }
        Ok(None) => Reply::empty(404, None).into(),
        Err(error) => Reply::empty(500, Some(format!("cannot read `{path}`: {error}"))).into(),
    }
}

/// Runs `work`; if it panics, the answer is the one that never hurts.
pub fn guarded<T>(env: &Environment<'_>, work: impl FnOnce() -> T + UnwindSafe) -> Result<T, Reply> {
    // What went wrong is on stderr by then.
    catch_unwind(work).map_err(|_| fallback(env, "an internal error, see above"))
}

/// What is sent when not even the request could be looked at: a device's modem is told that its result is
/// not recorded, anybody else that there is no upgrade.
fn fallback(env: &Environment<'_>, why: &str) -> Reply {
    let agent = env("HTTP_USER_AGENT");
    match Agent::parse(agent.as_ref().map(|agent| agent.as_bytes())).program {
        Program::Modem => Reply::empty(500, Some(why.to_owned())),
        _ => Reply::no(why),
    }
}

/// Reads a body of `length` bytes, or to the end of the input if that is not known, and keeps its
/// beginning. Returns whether that is all of it.
fn drain(input: &mut (impl Read + AsFd), length: Option<u64>, patience: Duration) -> (Vec<u8>, bool) {
    let deadline = Instant::now() + patience;
    let limit = length.unwrap_or(u64::MAX).min(DRAIN_LIMIT);
    let (mut body, mut read, mut ended) = (Vec::new(), 0, false);
    let mut buffer = [0; BODY_LIMIT];
    while read < limit && !ended && is_readable(input, deadline) {
        let most = buffer.len().min(usize::try_from(limit - read).unwrap_or(usize::MAX));
        match input.read(&mut buffer[..most]) {
            Ok(0) => ended = true,
            Ok(n) => {
                let kept = n.min(BODY_LIMIT - body.len());
                body.extend_from_slice(&buffer[..kept]);
                read += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let arrived = length.map_or(ended, |length| read == length);
    (body, arrived && read <= BODY_LIMIT as u64)
}

fn is_readable(input: &impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(input, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) => return false,
            // An error shows when it is read.
            _ => return true,
        }
    }
}

fn write_head(
    output: &mut impl Write,
    status: u16,
    reason: &str,
    headers: &[(&str, Option<&str>)],
    length: u64,
) -> io::Result<()> {
    let mut head = format!("Status: {status} {reason}\r\n");
    for (name, value) in headers {
        if let Some(value) = value {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head += &format!("Content-Length: {length}\r\n\r\n");
    output.write_all(head.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn pipe(write: &'static [u8], keep_open: bool) -> (io::PipeReader, Option<io::PipeWriter>) {
        let (reader, mut writer) = io::pipe().unwrap();
        if write.len() <= 4096 {
            writer.write_all(write).unwrap();
            return (reader, keep_open.then_some(writer));
        }
        std::thread::spawn(move || writer.write_all(write));
        (reader, None)
    }

    #[test]
    fn a_body_is_read_as_far_as_it_is_announced_or_to_its_end() {
        let patience = Duration::from_secs(5);
        let read = |(mut reader, open): (io::PipeReader, Option<io::PipeWriter>), length| {
            let drained = drain(&mut reader, length, patience);
            drop(open);
            drained
        };
        assert_eq!(read(pipe(b"0.1.2", true), Some(5)), (b"0.1.2".to_vec(), true));
        assert_eq!(read(pipe(b"0.1.2 and more", true), Some(5)), (b"0.1.2".to_vec(), true));
        assert_eq!(read(pipe(b"0.1.2", false), None), (b"0.1.2".to_vec(), true));
        assert_eq!(read(pipe(b"0.1.2", false), Some(6)), (b"0.1.2".to_vec(), false), "cut off");
        assert_eq!(read(pipe(b"", true), Some(0)), (Vec::new(), true));
        assert!(read(pipe(&[b'x'; 4096], false), None).1);
        let (body, is_complete) = read(pipe(&[b'x'; 1 << 20], false), None);
        assert_eq!((body.len(), is_complete), (BODY_LIMIT, false));
    }

    #[test]
    fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
        let (mut reader, writer) = pipe(b"0.1.6", true);
        let start = Instant::now();
        let drained = drain(&mut reader, Some(6), Duration::from_millis(50));
        assert_eq!(drained, (b"0.1.6".to_vec(), false));
        assert!(start.elapsed() >= Duration::from_millis(50));
        drop(writer);
    }

    #[test]
    fn a_panic_is_answered() {
        let agent = |agent: &'static str| move |name: &str| (name == "HTTP_USER_AGENT").then(|| agent.into());
        let panics = || -> () { panic!("on purpose") };
        let reply = guarded(&agent("GW/123456789012345"), panics).unwrap_err();
        assert_eq!((reply.status, &*reply.body), (200, r#"{"upgrade":0}"#));
        let reply = guarded(&agent("TC65i/123456789012345 Profile/IMP-NG"), panics).unwrap_err();
        assert_eq!((reply.status, &*reply.body), (500, ""));
        assert_eq!(guarded(&agent(""), || 7), Ok(7));
    }

    #[test]
    fn without_its_environment_it_says_no() {
        let vars: BTreeMap<&str, &str> = BTreeMap::from([("REQUEST_METHOD", "POST")]);
        let (reader, _) = pipe(b"0.1.2", false);
        let mut outcome = run(&|name| vars.get(name).map(Into::into), reader, || 0);
        let mut output = Vec::new();
        outcome.send(&mut output).unwrap();
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "Status: 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"upgrade\":0}"
        );
        assert_eq!(outcome.log(), Some("`OTAPRESS_OUT` is not set"));
    }
}
