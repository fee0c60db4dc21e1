//! `otapress simulate`: a fleet's devices in this process, or against a server.

mod rehearse;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::project::{Project, progress_bar};
use super::simulated_devices::{self, Selection, SimulatedFleet};
use crate::context::{Exit, Global, print};
use crate::report::json;
use otapress_publish::fleet::{BasisPoints, duration};
use otapress_publish::jad;
use otapress_simulation::{Play, Servers, play, starts_with};

/// The play checks at this interval whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);

/// Time limit for a reply.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A check within this many seconds of the server's clock means that the answer before it was lost.
const MINUTE: f64 = 60.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Play against the fleet's site, or a server at this address: `http://host:port`; requests are for the
    /// site in any case. Without it, what a build would publish is played in this process, with a clock of
    /// its own
    #[arg(long, value_name = "URL")]
    url: Option<Option<String>>,
    /// The authorities for a versionURI with https, as a PEM file [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "url")]
    cafile: Option<PathBuf>,
    /// Play only N devices, spread evenly over the fleet [default: all]
    #[arg(long, value_name = "N", requires = "url")]
    devices: Option<NonZeroUsize>,
    /// Play devices that the responder remembers: offers, attempts and failures of real devices are written
    /// into its state. Without this, simulated identities leave no trace
    #[arg(long, requires = "url")]
    record: bool,
    /// When the play begins [default: now]
    #[arg(long, value_name = "TIME", value_parser = super::plan::moment, conflicts_with = "url")]
    start: Option<i64>,
    /// When it ends: `2026-12-24T08:00:00Z`, or a span such as `36h` or `28d`
    #[arg(long, value_name = "TIME", default_value = "28d", conflicts_with_all = ["url", "hours"])]
    until: Until,
    /// The share of devices that install their target, say so, and are never heard of again
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    silent: Option<BasisPoints>,
    /// The seed of all random choices: the same seed gives the same play
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Simulated seconds per second [default: as fast as possible]. The server's clock does not follow:
    /// waves, windows and rates are those of now, and with more than versionInterval / 60 a device that asks
    /// again is taken for one whose answer was lost, and settings are sent again
    #[arg(long, value_name = "F", value_parser = speed, requires = "url")]
    speed: Option<f64>,
    /// The share of devices that fail at every installation, and their code
    #[arg(long, value_name = "PERCENT:CODE")]
    fail: Option<Failing>,
    /// The share of answers to version checks that are lost
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    lose: Option<BasisPoints>,
    /// Simulated hours [default: twice the longest versionInterval and one hour]
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u64).range(1..=8760), requires = "url")]
    hours: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The share of devices that fail, and their code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failing(BasisPoints, u16);

impl FromStr for Failing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, code) = text.split_once(':').ok_or("write a percentage and a code, such as `3%:904`")?;
        let share = percent(share)?;
        let known = |code: &u16| (901..=999).contains(code) && *code != jad::SUCCESS;
        let code = code.parse().ok().filter(known);
        Ok(Failing(share, code.ok_or("a failure has a code from 901 to 999")?))
    }
}

/// When a play ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Moment(i64),
    Span(u32),
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(span) = duration(text).filter(|&span| span > 0) {
            return Ok(Until::Span(span));
        }
        let moment = super::plan::moment(text).map(Until::Moment);
        moment.map_err(|why| format!("{why}, and a span `36h` or `28d`"))
    }
}

fn percent(text: &str) -> Result<BasisPoints, String> {
    text.parse().map_err(|_| format!("`{text}` is not a percentage such as `3%` or `50bp`"))
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| "it must be a positive number".into())
}

impl Args {
    /// What is played for so many seconds.
    fn play(&self, seconds: u64) -> Play {
        Play {
            seed: self.seed,
            seconds,
            record: self.record,
            fail: self.fail.map(|Failing(share, code)| (share.get(), code)),
            silent: self.silent.map_or(0, BasisPoints::get),
            lose: self.lose.map_or(0, BasisPoints::get),
        }
    }
}

pub(crate) fn run(global: &Global, args: &Args) -> anyhow::Result<Exit> {
    if args.url.is_none() {
        return rehearse::run(global, args);
    }
    let wanted = Selection {
        url: args.url.as_ref().and_then(Option::as_deref),
        devices: args.devices,
        timeout: TIMEOUT,
        cafile: args.cafile.as_deref(),
    };
    let Some(SimulatedFleet { site, devices }) =
        simulated_devices::select(global, &Project::load(global), &wanted)?
    else {
        return Ok(Exit::Failed);
    };
    let players: Vec<_> = devices
        .into_iter()
        .map(|simulated| {
            let before = starts_with(&site, simulated.version());
            simulated.player(before)
        })
        .collect();
    let intervals = players.iter().filter_map(|p| u64::try_from(p.device.version_interval()).ok());
    let longest = intervals.max().unwrap_or_default();
    let what = args.play(args.hours.map_or(2 * longest + 3600, |hours| hours * 3600));
    let stop = stop_on_interrupt()?;
    let bar = progress_bar(global, "simulating");
    bar.set_length(what.seconds);
    let begin = Instant::now();
    let report = play(&what, players, &mut Servers, &mut |at| {
        bar.set_position(at);
        wait(begin, at, args.speed, &stop)
    });
    bar.finish_and_clear();
    let text = if args.json { json::text(&report) } else { report.to_text() };
    print(text)?;
    let played = report.interrupted.unwrap_or(what.seconds);
    remark(global, begin.elapsed(), played, longest)?;
    Ok(if report.is_clean() { Exit::Done } else { Exit::Failed })
}

/// Waits until the simulated second has come; false if the play is to end.
fn wait(begin: Instant, at: u64, speed: Option<f64>, stop: &AtomicBool) -> bool {
    if let Some(speed) = speed {
        #[allow(clippy::cast_precision_loss)]
        let due = at as f64 / speed;
        loop {
            let left = due - begin.elapsed().as_secs_f64();
            if left <= 0.0 || stop.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(LOOK.min(Duration::from_secs_f64(left)));
        }
    }
    !stop.load(Ordering::Relaxed)
}

/// Says what the play was to the server's clock. Not part of the table, which is the same every time.
fn remark(global: &Global, took: Duration, played: u64, interval: u64) -> std::io::Result<()> {
    if global.quiet || played == 0 {
        return Ok(());
    }
    #[allow(clippy::cast_precision_loss)]
    let (played, interval) = (played as f64, interval as f64);
    let took = took.as_secs_f64();
    let mut err = std::io::stderr().lock();
    writeln!(err, "{:.1} simulated hours took {took:.1} s of the server's clock", played / 3600.0)?;
    if interval * took / played < MINUTE {
        let honest = (interval / MINUTE).floor().max(1.0);
        writeln!(
            err,
            "note: a versionInterval was less than a minute to the server, so to it a failure that no \
             result tells \
             of is a lost answer, and settings are never confirmed: `--speed {honest}` or less avoids it"
        )?;
    }
    Ok(())
}

/// Is set when the user presses Ctrl-C, so that what is known so far is printed. The second time ends the
/// process.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let flag = stop.clone();
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() && !flag.swap(true, Ordering::Relaxed) {
                let _ = tokio::signal::ctrl_c().await;
                std::process::exit(130);
            }
        });
    })?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_share_and_a_code() {
        assert_eq!("3%:904".parse(), Ok(Failing("3%".parse().unwrap(), 904)));
        for bad in ["3%", "3:904", "3%:900", "3%:xyz", "3%:1000", ""] {
            assert!(bad.parse::<Failing>().is_err(), "{bad}");
        }
        assert_eq!(speed("0.5"), Ok(0.5));
        for bad in ["0", "-1", "inf", "x"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_a_moment_or_a_span() {
        assert_eq!("2026-11-23T10:00:00Z".parse(), Ok(Until::Moment(1_795_428_000)));
        assert_eq!("28d".parse(), Ok(Until::Span(28 * 86_400)));
        for bad in ["0h", "28", "tomorrow", ""] {
            assert!(bad.parse::<Until>().is_err(), "{bad}");
        }
    }

    #[test]
    fn time_is_pressed_together_and_can_be_stopped() {
        let (begin, stop) = (Instant::now(), AtomicBool::new(false));
        assert!(wait(begin, 1_000_000, None, &stop));
        assert!(begin.elapsed() < Duration::from_secs(5));
        assert!(wait(begin, 7200, Some(36_000.0), &stop));
        assert!(begin.elapsed() >= Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        assert!(!wait(begin, 1_000_000, Some(1.0), &stop));
    }
}
