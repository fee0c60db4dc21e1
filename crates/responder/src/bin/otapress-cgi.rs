//! `otapress-cgi`: answers one version check or OTAP result under any server that speaks CGI/1.1, or sends
//! one file.
//!
//! `OTAPRESS_OUT` names the published directory, `OTAPRESS_STATE` the one where records are kept.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use otapress_responder::cgi;
use signal_hook::consts::SIGTERM;

#[expect(clippy::disallowed_methods, reason = "the program hands clock and environment to the adapter")]
fn main() -> ExitCode {
    // lighttpd ends a program as soon as it has its answer, and there is more to do then: the log and the
    // housekeeping. All that is waited for here has its own limit in time.
    let _ = signal_hook::flag::register(SIGTERM, Arc::default());
    let env = |name: &str| env::var_os(name);
    let clock = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    };
    let mut outcome =
        cgi::guarded(&env, || cgi::run(&env, io::stdin().lock(), clock)).unwrap_or_else(Into::into);
    let written = outcome.send(&mut io::stdout().lock());
    // A log that cannot be written, on a full disk for one, is no reason to fail.
    let say = |log: &str| drop(writeln!(io::stderr(), "otapress-cgi: {log}"));
    outcome.log().into_iter().for_each(say);
    outcome.finish().iter().for_each(|log| say(log));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
