//! Collects what is wrong with one class: the first place of each kind, and how many more there are.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Code, Finding, shown};

struct Note {
    message: String,
    hint: Option<&'static str>,
    more: usize,
}

/// What is wrong with one class.
pub(crate) struct Notes<'a> {
    entry: &'a str,
    allowed: &'a BTreeSet<String>,
    found: BTreeMap<Code, Note>,
}

impl<'a> Notes<'a> {
    pub fn new(entry: &'a str, allowed: &'a BTreeSet<String>) -> Self {
        Notes { entry, allowed, found: BTreeMap::new() }
    }

    /// Notes a place; the message follows the entry's path, as in "`a/B.class`: …".
    pub fn add(&mut self, code: Code, hint: Option<&'static str>, message: impl FnOnce() -> String) {
        if self.allowed.contains(code.as_str()) {
            return;
        }
        match self.found.get_mut(&code) {
            Some(note) => note.more += 1,
            None => {
                self.found.insert(code, Note { message: message(), hint, more: 0 });
            }
        }
    }

    /// A class of a foreign version breaks other rules, too: only the version is worth a line.
    pub fn only_version(&mut self) {
        if self.found.contains_key(&Code::Version) {
            self.found.retain(|&code, _| code == Code::Version);
        }
    }

    pub fn findings(self) -> impl Iterator<Item = Finding> {
        let entry = self.entry;
        self.found.into_iter().map(move |(code, note)| {
            let more = match note.more {
                0 => String::new(),
                1 => " (and one more such place in this class)".into(),
                more => format!(" (and {more} more such places in this class)"),
            };
            Finding {
                code,
                entry: entry.into(),
                message: format!("`{}`: {}{more}", shown(entry), note.message),
                hint: note.hint.map(str::to_owned),
            }
        })
    }
}
