//! What a walk over a live site has found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::code::Code;
use crate::device::http::{Error, Reply, Request};
use otapress_publish::diag::Severity;

/// How many devices a finding names.
const NAMED: usize = 5;

/// What was sent and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Method and URL.
    pub request: String,
    /// The headers of the request, in order; of credentials only that there are some.
    pub sent: Vec<(String, String)>,
    /// The status line, or why there is no reply.
    pub status: String,
    /// The headers of the reply, in order.
    pub headers: Vec<(String, String)>,
}

impl Evidence {
    /// What an exchange shows.
    pub fn of(request: &Request, reply: &Result<Reply, Error>) -> Evidence {
        let (status, headers) = match reply {
            Ok(reply) => (
                format!("{} {} {}", reply.version, reply.status, reply.reason).trim_end().to_owned(),
                reply.headers.clone(),
            ),
            Err(error) => (error.to_string(), Vec::new()),
        };
        Evidence {
            request: format!("{} {}", request.method, request.url),
            sent: request.headers.iter().map(|(name, value)| (name.clone(), shown(name, value))).collect(),
            status,
            headers,
        }
    }
}

/// One kind of trouble with one kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// What was found first: lower case, no full stop, names in backticks.
    pub message: String,
    /// The exchange that shows it.
    pub evidence: Evidence,
    /// How often it was found.
    pub count: usize,
    /// The first devices with it, by clientID.
    pub devices: Vec<String>,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    found: BTreeMap<(Code, &'static str), Finding>,
    /// How many devices were played.
    pub devices: usize,
    /// How many requests were sent.
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
    pub fn to_json(&self) -> Value {
        let findings: Vec<_> = self.findings().map(Finding::to_json).collect();
        json!({
            "devices": self.devices,
            "requests": self.requests,
            "gaveUp": self.gave_up,
            "findings": findings,
        })
    }
}

impl Finding {
    fn write(&self, text: &mut String) {
        let Finding { code, message, evidence, .. } = self;
        let _ = writeln!(text, "{}[{}]: {message}", code.severity().as_str(), code.as_str());
        let more = if self.devices.len() == NAMED && self.count > NAMED { " …" } else { "" };
        let _ = writeln!(text, "  found {} times: {}{more}", self.count, self.devices.join(", "));
        let _ = writeln!(text, "  sent: {}", evidence.request);
        for (name, value) in &evidence.sent {
            let _ = writeln!(text, "        {name}: {value}");
        }
        let _ = writeln!(text, "  got:  {}", printable(&evidence.status));
        for (name, value) in &evidence.headers {
            let _ = writeln!(text, "        {}: {}", printable(name), printable(value));
        }
        let _ = writeln!(text, "  mend: {}\n", code.mend());
    }

    fn to_json(&self) -> Value {
        json!({
            "code": self.code.as_str(),
            "severity": self.code.severity().as_str(),
            "message": self.message,
            "mend": self.code.mend(),
            "count": self.count,
            "devices": self.devices,
            "sent": { "request": self.evidence.request, "headers": self.evidence.sent },
            "got": { "status": self.evidence.status, "headers": self.evidence.headers },
        })
    }
}

/// The value of a header without secrets.
fn shown(name: &str, value: &str) -> String {
    if name.eq_ignore_ascii_case("Authorization") { "Basic …".into() } else { value.into() }
}

/// Control characters of a server do not reach the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
