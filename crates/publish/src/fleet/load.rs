//! Reads the files that make a fleet: fleet.yaml and its inventories.

use std::path::{Path, PathBuf};

use super::devices::Collector;
use super::excerpt::Excerpt;
use super::lines::{self, Lines};
use super::raw::{self, Node, Text, Top, Value};
use super::reader::Reader;
use super::validate::{self, Validated};
use super::written::RawDevice;
use super::{Fleet, Midlet, Spanned, inventory};
use crate::catalog::Catalog;
use crate::diag::{Code, Diagnostic, SourceId, Sources, Span};
use otapress_core::version::Version;

/// What came of reading a fleet.
#[derive(Debug)]
pub struct Loaded {
    /// The fleet; none if there was an error.
    pub fleet: Option<Fleet>,
    /// The MIDlet, if that much could be read.
    pub midlet: Option<Midlet>,
    /// The directory of the JARs, relative to that of the file; none if that is no mapping.
    pub jars: Option<PathBuf>,
    /// The releases that the fleet refers to, as far as they could be read.
    releases: Vec<Spanned<Version>>,
    /// The texts that the diagnostics point into.
    pub sources: Sources,
    /// What is wrong, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// Notes more that is wrong.
    pub fn report(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(found);
        sort(&mut self.diagnostics);
    }

    /// Notes that the fleet refers to releases that a catalog does not have.
    pub fn check_releases(&mut self, catalog: &Catalog) {
        let Some(jars) = &self.jars else { return };
        let name = self.midlet.as_ref().map_or("FILE", |midlet| &midlet.name);
        let versions: Vec<_> = catalog.versions().map(|version| version.to_string()).collect();
        let there = match &versions[..] {
            [] => "there is none".into(),
            [one] => format!("there is {one}"),
            [init @ .., last] => format!("there are {} and {last}", init.join(", ")),
        };
        let missing: Vec<_> = self
            .releases
            .iter()
            .filter(|release| catalog.get(release.value).is_none())
            .map(|release| {
                let version = release.value;
                let message = format!("release `{version}` is not in {}/; {there}", jars.display());
                Diagnostic::new(Code::UnknownRelease, release.span, message)
                    .hint(format!("add its JAR with `otapress add {name}-{version}.jar`"))
            })
            .collect();
        self.report(missing);
    }

    /// Whether something is wrong that stops a build.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Reads `file` and everything that it names but the JARs.
pub fn load(file: &Path) -> Loaded {
    loaded(|sources, reader| read(file, sources, reader))
}

/// Reads the text of a fleet file, and that of an inventory in place of those that it names.
pub fn parse(text: String, inventory: Option<String>) -> Loaded {
    loaded(|sources, reader| {
        let table = |reader: &mut Reader, sources: &mut Sources, _: &Top| match inventory {
            Some(text) => inventory::read_text(reader, sources, Path::new("inventory.csv"), &text),
            None => Vec::new(),
        };
        read_text(Path::new("fleet.yaml"), text, sources, reader, table)
    })
}

fn loaded(read: impl FnOnce(&mut Sources, &mut Reader) -> Option<Validated>) -> Loaded {
    let mut sources = Sources::default();
    let mut reader = Reader::default();
    let Validated { fleet, midlet, jars, releases } = read(&mut sources, &mut reader).unwrap_or_default();
    let mut loaded = Loaded { fleet, midlet, jars, releases, sources, diagnostics: Vec::new() };
    loaded.report(reader.found);
    loaded
}

/// In the order in which one reads the files; one mistake at one place is said once.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.place, a.code, &a.message).cmp(&(&b.place, b.code, &b.message)));
    diagnostics.dedup();
}

fn read(file: &Path, sources: &mut Sources, reader: &mut Reader) -> Option<Validated> {
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
    let from_disk = |reader: &mut Reader, sources: &mut Sources, top: &Top| {
        let mut devices = Vec::new();
        for pattern in inventory_patterns(top) {
            match inventory::files(file.parent().unwrap_or(Path::new("")), &pattern) {
                Ok(paths) => {
                    for path in paths {
                        devices.extend(inventory::read(reader, sources, &path));
                    }
                }
                Err(diagnostic) => reader.report(diagnostic),
            }
        }
        devices
    };
    read_text(file, text, sources, reader, from_disk)
}

/// Reads the text of the fleet file; `inventories` gives the devices of its inventories.
fn read_text(
    file: &Path,
    text: String,
    sources: &mut Sources,
    reader: &mut Reader,
    inventories: impl FnOnce(&mut Reader, &mut Sources, &Top) -> Vec<RawDevice>,
) -> Option<Validated> {
    let source = sources.add(file, text);
    let (top, mut devices) = read_tree(sources, source, reader);
    let top = match top {
        Ok(top) => top,
        Err(diagnostic) => {
            // After a syntax error the rest is guesswork; what came before it still stands.
            reader.report(diagnostic);
            return None;
        }
    };
    devices.extend(inventories(reader, sources, &top));
    let start = Span { source, start: 0, end: 0 };
    Some(validate::fleet(reader, sources, file, top, start, devices))
}

/// The tree of the file without its devices, and these.
fn read_tree(
    sources: &Sources,
    source: SourceId,
    reader: &mut Reader,
) -> (Result<Top, Diagnostic>, Vec<RawDevice>) {
    let text = &sources.get(source).text;
    let Lines { devices, ranges, bounds } = lines::find(source, text);
    let (known, mut others) = (devices.len(), Reader::default());
    if known > 0 {
        let (top, devices) = read_excerpt(source, &Excerpt::without(text, &ranges), &mut others, devices);
        let mut bounds = bounds.into_iter().peekable();
        for device in &devices[known..] {
            bounds.next_if_eq(&device.client_id.span.start);
        }
        if top.is_ok() && bounds.peek().is_none() {
            reader.found.append(&mut others.found);
            return (top, devices);
        }
    }
    read_excerpt(source, &Excerpt::whole(text), reader, Vec::new())
}

/// What the parser makes of a text; `devices` are those that are known already.
fn read_excerpt(
    source: SourceId,
    text: &Excerpt<'_>,
    reader: &mut Reader,
    devices: Vec<RawDevice>,
) -> (Result<Top, Diagnostic>, Vec<RawDevice>) {
    let mut collector = Collector { reader, devices };
    let top = raw::read(source, text, &mut collector);
    (top, collector.devices)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the file comes to: the tree or the mistake that ends it, the devices, and what is wrong.
    fn outcome(
        (top, mut devices): (Result<Top, Diagnostic>, Vec<RawDevice>),
        mut reader: Reader,
    ) -> impl PartialEq + std::fmt::Debug {
        devices.sort_by_key(|device| device.client_id.span);
        sort(&mut reader.found);
        // After a syntax error nothing is made of the devices.
        let top = top.map(|top| (top.entries, devices));
        (top, reader.found)
    }

    /// Checks that the text is read as if there were no fast way; returns how many devices took it.
    fn same_either_way(text: &str) -> Result<usize, TestCaseError> {
        let mut sources = Sources::default();
        let source = sources.add("fleet.yaml", text);
        let mut reader = Reader::default();
        let read = read_tree(&sources, source, &mut reader);
        let fast = outcome(read, reader);
        let mut reader = Reader::default();
        let read = read_excerpt(source, &Excerpt::whole(text), &mut reader, Vec::new());
        prop_assert_eq!(fast, outcome(read, reader));
        Ok(lines::find(source, text).devices.len())
    }

    const USUAL: &[&str] = &[
        r#"  dev1: { imei: "352099001761481", group: couriers }"#,
        r#"  "352099001761499": {}"#,
        r#"  352099001761507: {tid: 'D "1"', release: 0.10.65,hold: true , comment: in  the workshop  }  "#,
        r#"  dev@4.x:   { settings: [ quiet, "night"], channel: next, comment: "Bäcker" }"#,
        r#"  0.10: { comment: "null", tid: 1e5, release: 0x1F, group: true, hold: .5 }"#,
    ];

    #[test]
    fn lines_of_the_usual_form_are_not_parsed() {
        let usual = &USUAL[..4];
        let text = format!("site: x\ndevices:\n{0}\n{0}\ngroups: {{}}\ninventory: []\n", usual.join("\r\n"));
        assert_eq!(same_either_way(&text).unwrap(), 6, "all but the first and the last");
        let text = format!("devices:\n  # one\n{0}\n\n  dev2:\n    imei: x\n{0}\n", usual.join("\n"));
        assert_eq!(same_either_way(&text).unwrap(), 4, "two in each of two runs");
        assert_eq!(same_either_way(&text.replace("devices:", "groups:")).unwrap(), 0);
    }

    fn line() -> impl Strategy<Value = String> {
        const ODD: &[&str] = &[
            "devices:",
            "devices: # all",
            "devices: {",
            "devices: &all",
            "groups:",
            "x: |",
            "x: \"",
            "\"",
            "}",
            "---",
            "...",
            "",
            "  # comment",
            "  dev9:",
            "    imei: \"1\"",
            "  dev9: \"open",
            "  \"",
            "  dev9: >",
            "    dev9: {}",
            " dev9: {}",
            "  - x",
            "  dev9: { imei: \"1\",",
            "    group: x }",
            "  dev9: { settings: [a,",
            "  ? dev9",
            "  : {}",
            "  dev9: &a {}",
            "  dev8: *a",
            "  <<: { imei: \"1\" }",
            "\tdev9: {}",
            "  dev9: { imei: \"\\x31\" }",
            "  devices:",
            "  { a: {},",
            "  null: {}",
            "  dev9: {a: b}",
            "  dev9: { tid: a, tid: b }",
            "  dev9: { settings: [], settings: [a] }",
            "  dev9: { settings: a }",
            "  dev9: { tid: null }",
        ];
        prop_oneof![8 => prop::sample::select(USUAL), 1 => prop::sample::select(ODD)].prop_map(str::to_owned)
    }

    proptest! {
        #[test]
        fn the_fast_way_changes_nothing(
            lines in prop::collection::vec(line(), 1..16),
            edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select("\
                :{}[],\"'#&*!|>%@`-~?.\\ \n\t\r\u{85}\u{a0}\u{2028}\u{feff}éa1".chars().collect::<Vec<_>>()), any::<bool>()), 0..3),
        ) {
            let mut text: Vec<char> = format!("devices:\n{}\n", lines.join("\n")).chars().collect();
            for (at, c, replaces) in edits {
                let at = at.index(text.len());
                text.splice(at..at + usize::from(replaces), [c]);
            }
            same_either_way(&text.into_iter().collect::<String>())?;
        }
    }
}
