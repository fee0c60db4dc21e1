//! Diagnostics for CI systems that read a file: GitLab's Code Quality report, and JUnit's XML, which nearly
//! all of them show.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::diagnostics::{At, at};
use super::json;
use otapress_core::digest::Sha256;
use otapress_publish::diag::{Diagnostic, Severity, Sources};

/// An issue, as <https://docs.gitlab.com/ci/testing/code_quality/> describes it.
#[derive(Serialize)]
struct Issue {
    check_name: String,
    description: String,
    severity: &'static str,
    fingerprint: String,
    location: Location,
}

#[derive(Serialize)]
struct Location {
    path: String,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: usize,
}

/// A Code Quality report. GitLab shows what a merge request adds: an issue is known again by its fingerprint,
/// which therefore does not depend on the line.
pub fn gitlab(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let mut seen = BTreeMap::new();
    let mut issues = Vec::new();
    for diagnostic in diagnostics {
        let at = at(diagnostic, sources);
        let (path, code) = (path(&at), diagnostic.code.to_string());
        let identity = format!("{path}\0{code}\0{}", diagnostic.message);
        // The same may be wrong at two places.
        let count = seen.entry(identity.clone()).or_insert(0_u32);
        *count += 1;
        issues.push(Issue {
            check_name: code,
            description: description(diagnostic),
            severity: match diagnostic.code.severity() {
                Severity::Error => "major",
                Severity::Warning => "minor",
            },
            fingerprint: Sha256::of(format!("{identity}\0{count}").as_bytes()).to_string(),
            location: Location { path, lines: Lines { begin: at.line() } },
        });
    }
    json::text(&issues)
}

/// JUnit's XML: a test for each diagnostic, which fails if `fails` says so, and one that passes if nothing is
/// wrong.
pub fn junit(diagnostics: &[Diagnostic], sources: &Sources, fails: impl Fn(Severity) -> bool) -> String {
    let failures = diagnostics.iter().filter(|found| fails(found.code.severity())).count();
    let tests = diagnostics.len().max(1);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{tests}\" \
         failures=\"{failures}\">\n  \
         <testsuite name=\"otapress check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">\n"
    );
    if diagnostics.is_empty() {
        xml += "    <testcase classname=\"otapress\" name=\"check\"/>\n";
    }
    for diagnostic in diagnostics {
        let at = at(diagnostic, sources);
        let (line, column) = at.line_column.unwrap_or((1, 1));
        let (path, code, severity) = (path(&at), diagnostic.code, diagnostic.code.severity());
        let text =
            escape(&format!("{path}:{line}:{column}: {severity}[{code}]: {}", description(diagnostic)));
        let outcome = if fails(severity) {
            let message = escape(&diagnostic.message);
            format!("<failure message=\"{message}\" type=\"{severity}\">{text}</failure>")
        } else {
            format!("<system-out>{text}</system-out>")
        };
        let _ = writeln!(
            xml,
            "    <testcase classname=\"{0}\" name=\"{code} at {line}:{column}\" file=\"{0}\" \
             line=\"{line}\">\n      \
             {outcome}\n    </testcase>",
            escape(&path),
        );
    }
    xml += "  </testsuite>\n</testsuites>\n";
    xml
}

fn description(diagnostic: &Diagnostic) -> String {
    match &diagnostic.hint {
        Some(hint) => format!("{}; hint: {hint}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// Below the directory that the command runs in, which CI systems take for the repository.
fn path(at: &At<'_>) -> String {
    let path = at.path.strip_prefix(".").unwrap_or(at.path);
    path.display().to_string()
}

/// XML has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
