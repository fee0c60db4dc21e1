//! The result of a walk over a live site.

use std::collections::BTreeMap;
use std::fmt::Write as _;

#[expect(clippy::disallowed_types, reason = "what `probe --json` prints")]
use serde::Serialize;

use super::code::Code;
use crate::device::http::{Error, Reply, Request};
use otapress_publish::diag::Severity;

/// A finding names this many devices at most.
const NAMED: usize = 5;

/// An exchange that shows a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The request.
    pub sent: Sent,
    /// The reply.
    pub got: Got,
}

/// A request as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Method and URL.
    pub request: String,
    /// In order; credentials are masked.
    pub headers: Vec<(String, String)>,
}

/// A reply, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Got {
    /// The status line, or the reason.
    pub status: String,
    /// In order.
    pub headers: Vec<(String, String)>,
}

impl Evidence {
    pub(super) fn of(request: &Request, reply: &Result<Reply, Error>) -> Evidence {
        let (status, headers) = match reply {
            Ok(reply) => (
                format!("{} {} {}", reply.version, reply.status, reply.reason).trim_end().to_owned(),
                reply.headers.clone(),
            ),
            Err(error) => (error.to_string(), Vec::new()),
        };
        let sent = request.headers.iter().map(|(name, value)| (name.clone(), masked(name, value)));
        Evidence {
            sent: Sent { request: format!("{} {}", request.method, request.url), headers: sent.collect() },
            got: Got { status, headers },
        }
    }
}

/// One kind of fault in one kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind of fault.
    pub code: Code,
    /// The first instance: lower case, no full stop, names in backticks.
    pub message: String,
    /// The exchange of the first instance.
    #[serde(flatten)]
    pub evidence: Evidence,
    /// The number of instances.
    pub count: usize,
    /// The first devices with it, by clientID.
    pub devices: Vec<String>,
}

/// The result of a walk over a site.
#[derive(Clone, Debug, Default)]
pub struct Report {
    found: BTreeMap<(Code, &'static str), Finding>,
    /// Devices that were played.
    pub devices: usize,
    /// Requests that were sent.
    pub requests: usize,
    /// Why the walk ended early, if it did.
    pub gave_up: Option<String>,
}

impl Report {
    /// Adds a finding about `what` of a device; the same about other devices is counted.
    pub(super) fn add(
        &mut self,
        code: Code,
        what: &'static str,
        device: &str,
        message: String,
        evidence: Evidence,
    ) {
        let first = || Finding { code, message, evidence, count: 0, devices: Vec::new() };
        let finding = self.found.entry((code, what)).or_insert_with(first);
        finding.count += 1;
        if finding.devices.len() < NAMED && !finding.devices.iter().any(|known| known == device) {
            finding.devices.push(device.to_owned());
        }
    }

    /// Drops the findings of these codes: what the operator knows and cannot mend.
    pub fn allow(&mut self, codes: &[Code]) {
        self.found.retain(|(code, _), _| !codes.contains(code));
    }

    /// The findings, by code.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.found.values()
    }

    /// Whether there is a finding of this code.
    pub(super) fn has(&self, code: Code) -> bool {
        self.findings().any(|finding| finding.code == code)
    }

    /// Whether there is a finding that is an error.
    pub fn has_errors(&self) -> bool {
        self.findings().any(|finding| finding.code.severity() == Severity::Error)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in self.findings() {
            finding.write(&mut text);
        }
        if let Some(why) = &self.gave_up {
            let _ = writeln!(text, "gave up: {why}");
        }
        let of = |severity| self.findings().filter(|f| f.code.severity() == severity).count();
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        let verdict = match (errors, warnings) {
            (0, 0) => "nothing is wrong".to_owned(),
            _ => format!("errors: {errors}, warnings: {warnings}"),
        };
        let _ = writeln!(text, "devices: {}, requests: {}, {verdict}", self.devices, self.requests);
        text
    }

    /// For programs.
    #[expect(clippy::disallowed_types, reason = "what `probe --json` prints")]
    pub fn view(&self) -> impl Serialize {
        View {
            devices: self.devices,
            requests: self.requests,
            gave_up: self.gave_up.as_deref(),
            findings: self.findings().map(FindingView::of).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    devices: usize,
    requests: usize,
    gave_up: Option<&'a str>,
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    severity: Severity,
    mend: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl<'a> FindingView<'a> {
    fn of(finding: &'a Finding) -> Self {
        FindingView { severity: finding.code.severity(), mend: finding.code.mend(), finding }
    }
}

impl Finding {
    fn write(&self, text: &mut String) {
        let Finding { code, message, evidence, .. } = self;
        let Evidence { sent, got } = evidence;
        let _ = writeln!(text, "{}[{code}]: {message}", code.severity());
        let more = if self.devices.len() == NAMED && self.count > NAMED { " …" } else { "" };
        let times = if self.count == 1 { "once".to_owned() } else { format!("{} times", self.count) };
        let _ = writeln!(text, "  found {times}: {}{more}", self.devices.join(", "));
        let _ = writeln!(text, "  sent: {}", sent.request);
        for (name, value) in &sent.headers {
            let _ = writeln!(text, "        {name}: {value}");
        }
        let _ = writeln!(text, "  got:  {}", printable(&got.status));
        for (name, value) in &got.headers {
            let _ = writeln!(text, "        {}: {}", printable(name), printable(value));
        }
        let _ = writeln!(text, "  mend: {}\n", code.mend());
    }
}

/// A header's value, without secrets.
fn masked(name: &str, value: &str) -> String {
    if name.eq_ignore_ascii_case("Authorization") { "Basic …".into() } else { value.into() }
}

/// Keeps a server's control characters out of the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
