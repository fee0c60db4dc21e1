//! Reads the files that make a fleet: fleet.yaml and its inventories.

use std::path::Path;

use super::devices::Collector;
use super::raw::{self, Node, Text, Top, Value};
use super::reader::Reader;
use super::{Fleet, inventory, validate};
use crate::catalog::Catalog;
use crate::diag::{Code, Diagnostic, Sources, Span};

/// What came of reading a fleet.
#[derive(Debug)]
pub struct Loaded {
    /// The fleet; none if there was an error.
    pub fleet: Option<Fleet>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// What is wrong, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Notes that a fleet refers to releases that a catalog does not have.
    pub fn check_releases(&mut self, catalog: &Catalog) {
        if let Some(fleet) = &self.fleet {
            let known: Vec<_> = catalog.versions().map(|version| version.to_string()).collect();
            let exists = |version| catalog.get(version).is_some();
            self.diagnostics.extend(validate::check_releases(fleet, exists, &known, &fleet.midlet().jars));
            sort(&mut self.diagnostics);
        }
    }
}

/// Reads `file` and everything that it names but the JARs.
pub fn load(file: &Path) -> Loaded {
    let mut sources = Sources::default();
    let mut reader = Reader::default();
    let fleet = read(file, &mut sources, &mut reader);
    let mut diagnostics = reader.found;
    sort(&mut diagnostics);
    Loaded { fleet, sources, diagnostics }
}

/// In the order in which one reads the files; one mistake at one place is said once.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.place, a.code, &a.message).cmp(&(&b.place, b.code, &b.message)));
    diagnostics.dedup();
}

fn read(file: &Path, sources: &mut Sources, reader: &mut Reader) -> Option<Fleet> {
    let text = match std::fs::read(file).map(String::from_utf8) {
        Ok(Ok(text)) if text.len() < u32::MAX as usize => text,
        Ok(Ok(_)) => {
            reader.report(Diagnostic::new(Code::Unreadable, file, "the file is larger than 4 GiB"));
            return None;
        }
        Ok(Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            reader.report(
                Diagnostic::new(Code::Unreadable, file, format!("the file is not UTF-8 text (at byte {at})"))
                    .hint("save it as UTF-8"),
            );
            return None;
        }
        Err(error) => {
            reader.report(
                Diagnostic::new(Code::Unreadable, file, format!("the file cannot be read: {error}"))
                    .hint("name another one with `--fleet`"),
            );
            return None;
        }
    };
    let source = sources.add(file, text);
    let mut collector = Collector { reader, devices: Vec::new() };
    let top = raw::read(sources, source, &mut collector);
    let mut devices = collector.devices;
    let top = match top {
        Ok(top) => top,
        Err(diagnostic) => {
            // After a syntax error the rest is guesswork; what came before it still stands.
            reader.report(diagnostic);
            return None;
        }
    };
    for pattern in inventory_patterns(&top) {
        match inventory::files(file.parent().unwrap_or(Path::new("")), &pattern) {
            Ok(paths) => {
                for path in paths {
                    devices.extend(inventory::read(reader, sources, &path));
                }
            }
            Err(diagnostic) => reader.report(diagnostic),
        }
    }
    let start = Span { source, start: 0, end: 0 };
    validate::fleet(reader, sources, file, top, start, devices)
}

/// The patterns under `inventory`; what is not one is reported when the top is validated.
fn inventory_patterns(top: &Top) -> Vec<Text> {
    let is_inventory = |key: &Node| matches!(&key.value, Value::Scalar(text) if &**text == "inventory");
    top.entries
        .iter()
        .filter(|(key, _)| is_inventory(key))
        .flat_map(|(_, value)| match &value.value {
            Value::Seq(items) => items.as_slice(),
            _ => &[],
        })
        .filter_map(|item| match &item.value {
            Value::Scalar(text) => Some(Text { text: text.clone(), span: item.span }),
            _ => None,
        })
        .collect()
}

