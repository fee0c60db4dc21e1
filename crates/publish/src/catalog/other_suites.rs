//! JARs of another suite than the fleet's: a name that is wrong in all of them is one mistake.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Entry, Suite};
use crate::diag::{Code, Diagnostic};

#[derive(Default)]
pub(super) struct OtherSuites {
    /// By attribute and value: the first JAR, and how many more have it.
    found: BTreeMap<(&'static str, String), (PathBuf, usize)>,
}

impl OtherSuites {
    /// Whether a JAR is not of this suite.
    pub(super) fn note(&mut self, entry: &Entry, suite: Suite<'_>) -> bool {
        let pairs = [
            ("MIDlet-Name", entry.jar.name(), suite.name),
            ("MIDlet-Vendor", entry.jar.vendor(), suite.vendor),
        ];
        let mut is_other = false;
        for (attribute, has, _) in pairs.into_iter().filter(|(_, has, wanted)| has != wanted) {
            is_other = true;
            let key = (attribute, has.to_owned());
            self.found
                .entry(key)
                .and_modify(|(_, more)| *more += 1)
                .or_insert_with(|| (entry.shown.clone(), 0));
        }
        is_other
    }

    /// `all` says that the catalog has no JAR of the fleet's suite.
    pub(super) fn diagnostics(self, suite: Suite<'_>, all: bool) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        for ((attribute, has), (place, more)) in self.found {
            let (key, wanted) = match attribute {
                "MIDlet-Name" => ("name", suite.name),
                _ => ("vendor", suite.vendor),
            };
            let and = match more {
                0 => String::new(),
                1 => " (and that of another JAR)".into(),
                n => format!(" (and that of {n} more JARs)"),
            };
            let message = format!("the JAR's `{attribute}` is `{has}`{and}, but the fleet's is `{wanted}`");
            let mend = if all {
                format!("if the JARs are right, write `{key}: {has}` below `midlet`; ")
            } else {
                String::new()
            };
            let why = "both must never change: devices treat a different suite as a second application";
            diagnostics.push(
                Diagnostic::new(Code::WrongMidlet, place.as_path(), message).hint(format!("{mend}{why}")),
            );
        }
        diagnostics
    }
}
