//! Judges the class files of a MIDlet suite by the rules of a CLDC virtual machine.
//!
//! A device installs a JAR whatever its classes hold and fails when it loads one of them: after it has
//! reported success, or without ever coming back. So what a CLDC VM refuses is found here. The rules come
//! from Sun's CLDC VM and preverifier, from a toolkit of the modules, and from real suites.
//!
//! [`judge`] works on bytes alone: no file, no clock. It never panics, and its time and memory grow with the
//! size of the classes only.

mod api;
mod bytes;
mod class;
mod code;
mod descriptor;
mod finding;
mod hierarchy;
mod layout;
mod midlet;
mod notes;
mod opcode;
mod references;
mod stack_map;
mod suite;
mod summary;

use std::collections::BTreeSet;

pub use crate::finding::{Code, Finding, Severity};
use crate::suite::Suite;
pub use crate::summary::{ClassSummary, Summary};

/// The highest class-file version that devices read unless the fleet says otherwise: Java 1.4.
pub const CLASS_VERSION: u16 = 48;

/// Superclasses that are followed, and classes that are searched for a member. Real suites have ten at most;
/// without a limit a hostile one could make the time grow with the square of its classes.
const MAX_SUPERS: usize = 128;

/// What the classes are judged by.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// The classes that `MIDlet-<n>` name, each with its attribute, with dots.
    pub midlets: Vec<(&'a str, &'a str)>,
    /// The manifest declares CLDC-1.0, which has no floating point.
    pub configuration_1_0: bool,
    /// The modules have a display: MIDP 2.0 and not IMP-NG.
    pub has_display: bool,
    /// The highest major version of a class file.
    pub class_version: u16,
    /// Packages, with all below them, and classes that the modules have besides; with dots.
    pub api: &'a [String],
    /// Codes of findings that are accepted.
    pub allowed: &'a BTreeSet<String>,
}

/// The classes of a suite, judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What is wrong; first what explains the rest, then in the order of the paths.
    pub findings: Vec<Finding>,
    /// What the suite holds and uses.
    pub summary: Summary,
}

/// Judges the classes of a suite: `entries` are the paths and contents of a JAR; others than classes are
/// skipped.
pub fn judge<'a>(entries: &[(&'a str, &'a [u8])], rules: &Rules<'a>) -> Judgement {
    let suite = Suite::read(entries, rules);
    let mut findings = midlet::findings(&suite, rules);
    let reached = references::reached(&suite, rules);
    let (first, later) = references::findings(&suite, &reached, rules);
    // A class that is caught and missing keeps the class that catches it from starting at all.
    findings.splice(0..0, first);
    let mut others = hierarchy::findings(&suite, rules);
    others.extend(later);
    let summary = summary::summary(&suite);
    others.extend(suite.findings);
    others.sort_by(|a, b| (&a.entry, a.code, &a.message).cmp(&(&b.entry, b.code, &b.message)));
    findings.extend(others);
    findings.retain(|finding| !rules.allowed.contains(finding.code.as_str()));
    Judgement { findings, summary }
}
