//! The result of a simulation.

use otapress_core::words::count;
use std::collections::BTreeMap;
use std::fmt::Write as _;

#[expect(clippy::disallowed_types, reason = "what `simulate --json` prints")]
use serde::{Serialize, Serializer};

use crate::player::Player;
use otapress_devices::device::{Exchange, NoAnswer, OtapOutcome, Purpose};
use otapress_publish::jad;

/// Columns of the longest bar of the load curve.
const BAR: usize = 50;

/// Hours of a load curve that are shown one by one; a longer one is shown by days.
const HOURS_SHOWN: usize = 72;

/// The counts. They depend only on the play and on the server's answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Devices that took part.
    pub devices: usize,
    /// Devices with a target.
    pub with_target: usize,
    /// Devices that were told to upgrade.
    pub offered: usize,
    /// Devices that came to run their target.
    pub upgraded: usize,
    /// Devices that failed and do not run their target.
    pub failed: usize,
    /// Devices that installed their target and were never heard of again, by their place in the play.
    #[serde(skip)]
    pub silent: Vec<usize>,
    /// OTAP procedures by the code that was posted; none: the modem refused, and nothing was posted.
    #[serde(serialize_with = "by_code")]
    pub attempts: BTreeMap<Option<u16>, usize>,
    /// The first unwanted failures in words.
    pub unexpected: Vec<String>,
    /// Failures that the play did not ask for.
    pub unexpected_failures: usize,
    /// Answers to version checks that were lost on purpose.
    #[serde(rename = "lostAnswers")]
    pub lost: usize,
    /// Version checks without a valid answer, by reason.
    pub no_answers: BTreeMap<String, usize>,
    /// How often a device's repeated posts were cut short; a real one posts every second for ever.
    pub given_up: usize,
    /// Reboots.
    pub reboots: usize,
    /// Requests, by purpose.
    pub requests: BTreeMap<&'static str, usize>,
    /// Replies with another status than 200, by purpose and status (`jad 404`). 401 to a request without
    /// credentials is correct and counted in `challenges`.
    #[serde(rename = "not200")]
    pub not_200: BTreeMap<String, usize>,
    /// Requests that were asked for credentials.
    pub challenges: usize,
    /// Bytes of the replies' bodies.
    pub bytes: u64,
    /// Of these, those of JADs and JARs.
    #[serde(skip)]
    pub downloaded: u64,
    /// The number of devices by how often they downloaded the whole JAR.
    pub jar_downloads: BTreeMap<u32, usize>,
    /// Requests in each simulated hour.
    #[serde(rename = "requestsPerHour")]
    pub curve: Vec<usize>,
    /// The number of requests at the end of the play that got no reply.
    #[serde(skip)]
    pub without_reply: usize,
    /// The simulated second in which the play was ended, if it was.
    pub interrupted: Option<u64>,
    #[serde(skip)]
    lives: Vec<Tally>,
}

fn by_code<S: Serializer>(attempts: &BTreeMap<Option<u16>, usize>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(attempts.iter().map(|(code, n)| (code_text(code), n)))
}

fn code_text(code: &Option<u16>) -> String {
    code.map_or("refused".into(), |code| code.to_string())
}

/// A request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Its purpose.
    pub purpose: Purpose,
    /// The status of the reply, if there is one.
    pub status: Option<u16>,
    /// The bytes of the reply's body.
    pub bytes: usize,
    /// Whether it had a name and a password.
    pub has_credentials: bool,
}

impl From<&Exchange> for Sent {
    fn from(exchange: &Exchange) -> Self {
        Sent {
            purpose: exchange.purpose,
            status: exchange.status(),
            bytes: exchange.body_size(),
            has_credentials: exchange.request.header_value("Authorization").is_some(),
        }
    }
}

/// The counts of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    ran_target: bool,
    runs_target: bool,
    offered: bool,
    failed: bool,
    jars: u32,
}

impl Report {
    /// Nothing yet, for a play of so many simulated seconds.
    pub(crate) fn new(seconds: u64, players: &[Player]) -> Report {
        let hours = usize::try_from(seconds.div_ceil(3600)).unwrap_or_default();
        let tally = |player: &Player| Tally { ran_target: player.runs_target(), ..Tally::default() };
        Report {
            devices: players.len(),
            with_target: players.iter().filter(|player| player.target.is_some()).count(),
            curve: vec![0; hours],
            lives: players.iter().map(tally).collect(),
            ..Report::default()
        }
    }

    pub(crate) fn sent(&mut self, at: u64, index: usize, sent: impl IntoIterator<Item = Sent>) {
        for Sent { purpose, status, bytes, has_credentials } in sent {
            let name: &'static str = purpose.into();
            *self.requests.entry(name).or_default() += 1;
            if let Some(hour) = usize::try_from(at / 3600).ok().and_then(|hour| self.curve.get_mut(hour)) {
                *hour += 1;
            }
            self.bytes += bytes as u64;
            if matches!(purpose, Purpose::Jad | Purpose::Jar) {
                self.downloaded += bytes as u64;
            }
            self.without_reply = if status.is_some() { 0 } else { self.without_reply + 1 };
            match status {
                Some(200) if purpose == Purpose::Jar => self.lives[index].jars += 1,
                Some(401) if !has_credentials => self.challenges += 1,
                Some(200) | None => {}
                Some(status) => *self.not_200.entry(format!("{name} {status}")).or_default() += 1,
            }
        }
    }

    pub(crate) fn fell_silent(&mut self, index: usize) {
        self.silent.push(index);
    }

    pub(crate) fn offered(&mut self, index: usize) {
        self.lives[index].offered = true;
    }

    pub(crate) fn no_answer(&mut self, why: &NoAnswer) {
        let why = match why {
            NoAnswer::Lost => {
                self.lost += 1;
                return;
            }
            NoAnswer::Http(error) => error.to_string(),
            NoAnswer::Status(status) => format!("status {status}"),
            NoAnswer::NoReason => "no reason in the status line".into(),
            NoAnswer::BadEscape => "a bad escape in the JSON".into(),
        };
        *self.no_answers.entry(why).or_default() += 1;
    }

    pub(crate) fn attempt(&mut self, index: usize, outcome: &OtapOutcome, pretended: Option<u16>) {
        let code = outcome.code();
        *self.attempts.entry(code).or_default() += 1;
        if code == Some(jad::SUCCESS) {
            return;
        }
        self.lives[index].failed = true;
        if code.is_none() || code != pretended {
            self.unexpected_failures += 1;
            let words = match outcome {
                OtapOutcome::Refused(refusal) => format!("the modem refused: {refusal:?}"),
                OtapOutcome::Finished { code, why, .. } => format!("{code}: {why}"),
            };
            if self.unexpected.len() < 5 && !self.unexpected.contains(&words) {
                self.unexpected.push(words);
            }
        }
    }

    pub(crate) fn end(&mut self, index: usize, player: &Player) {
        let runs = player.runs_target();
        self.lives[index].runs_target = runs;
        let tally = &self.lives[index];
        self.offered += usize::from(tally.offered);
        self.upgraded += usize::from(runs && !tally.ran_target);
        self.failed += usize::from(tally.failed && !runs);
        *self.jar_downloads.entry(tally.jars).or_default() += 1;
    }

    /// How many OTAP procedures there were.
    pub fn upgrades(&self) -> usize {
        self.attempts.values().sum()
    }

    /// Whether a device runs its target at the end.
    pub fn runs_target(&self, index: usize) -> bool {
        self.lives[index].runs_target
    }

    /// Whether the play came to its end, every version check was answered with 200, and the only failures
    /// were the wanted ones.
    pub fn is_clean(&self) -> bool {
        self.interrupted.is_none()
            && self.no_answers.is_empty()
            && self.not_200.is_empty()
            && self.unexpected_failures == 0
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        row("devices", format!("{} ({} with a target)", self.devices, self.with_target));
        row("offered", self.offered.to_string());
        row("upgraded", self.upgraded.to_string());
        row("failed", self.failed.to_string());
        if !self.silent.is_empty() {
            row("never heard of again", self.silent.len().to_string());
        }
        row("attempts", counts(&self.attempts, code_text));
        self.unexpected.iter().for_each(|words| row("unexpected", words.clone()));
        row("reboots", self.reboots.to_string());
        row("requests", counts(&self.requests, |purpose| (*purpose).to_owned()));
        row("bytes", self.bytes.to_string());
        row("not 200", counts(&self.not_200, Clone::clone));
        row("asked for credentials", self.challenges.to_string());
        row("lost answers", self.lost.to_string());
        row("no answer", counts(&self.no_answers, Clone::clone));
        if self.given_up > 0 {
            row(
                "posting every second",
                format!("{}; a real device does not stop", count(self.given_up, "time")),
            );
        }
        let downloads = |(times, devices): (&u32, &usize)| format!("{times}× on {devices}");
        row("JAR downloads", self.jar_downloads.iter().map(downloads).collect::<Vec<_>>().join(", "));
        let (unit, width) = if self.curve.len() > HOURS_SHOWN { ("day", 24) } else { ("hour", 1) };
        let _ = writeln!(text, "\nrequests per simulated {unit}");
        let curve: Vec<usize> = self.curve.chunks(width).map(|hours| hours.iter().sum()).collect();
        let most = curve.iter().copied().max().unwrap_or_default().max(1);
        for (n, requests) in curve.iter().enumerate() {
            let bar = "#".repeat((requests * BAR).div_ceil(most));
            let _ = writeln!(text, "{}", format!("{n:>5} {requests:>8} {bar}").trim_end());
        }
        if let Some(second) = self.interrupted {
            let _ = writeln!(text, "ended after {}", count(second, "simulated second"));
            if self.without_reply > 0 {
                let _ =
                    writeln!(text, "the last {} got no reply at all", count(self.without_reply, "request"));
            }
        }
        text
    }
}

/// `12: check 6, jad 3, jar 3`.
fn counts<K>(map: &BTreeMap<K, usize>, name: impl Fn(&K) -> String) -> String {
    let total: usize = map.values().sum();
    let parts: Vec<_> = map.iter().map(|(key, n)| format!("{} {n}", name(key))).collect();
    if parts.is_empty() { total.to_string() } else { format!("{total}: {}", parts.join(", ")) }
}
