//! Reads the files that make a fleet: fleet.yaml and its inventories.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inventory::Inventories;
use super::raw::{self, Text};
use super::raw_device::RawDevice;
use super::reader::Reader;
use super::secrets::Secrets;
use super::validate::{self, Validated};
use super::withdrawn::Withdrawal;
use super::{Fleet, Midlet, Spanned, devices, inventory_files, keys, overrides};
use crate::diag::{Code, Diagnostic, Sources, Span};
use crate::files::{FileErrorKind, Reach};
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
    pub(crate) releases: Vec<Spanned<Version>>,
    pub(crate) withdrawn: BTreeMap<Version, Withdrawal>,
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

    /// Whether something is wrong that stops a build.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// The largest fleet file, in bytes: enough for a million devices.
const MAX_FLEET: u64 = 512 << 20;

/// Reads `file` and everything that it names but the JARs, as far as `reach` goes.
pub fn load_within(reach: &Reach, file: &Path) -> Loaded {
    loaded(|sources, reader| read(file, reach, sources, reader))
}

/// Reads `file` and everything that it names in its directory but the JARs.
pub fn load(file: &Path) -> Loaded {
    load_within(&Reach::new(file, &[]), file)
}

/// Reads the text of a fleet file, and that of an inventory in place of those that it names.
pub fn parse(text: String, inventory: Option<String>) -> Loaded {
    loaded(|sources, reader| {
        let table = |inventories: &mut Inventories<'_>, reader: &mut Reader, sources: &mut Sources, _| {
            match inventory {
                Some(text) => inventories.read_text(reader, sources, Path::new("inventory.csv"), text),
                None => Vec::new(),
            }
        };
        read_text((Path::new("fleet.yaml"), &Reach::default()), text, Secrets(None), sources, reader, table)
    })
}

fn loaded(read: impl FnOnce(&mut Sources, &mut Reader) -> Option<Validated>) -> Loaded {
    let mut sources = Sources::default();
    let mut reader = Reader::default();
    let Validated { fleet, midlet, jars, releases, withdrawn } =
        read(&mut sources, &mut reader).unwrap_or_default();
    let mut loaded = Loaded { fleet, midlet, jars, releases, withdrawn, sources, diagnostics: Vec::new() };
    loaded.report(reader.found);
    loaded
}

/// In the order in which one reads the files; one mistake at one place is said once.
fn sort(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort_by(|a, b| (&a.place, a.code, &a.message).cmp(&(&b.place, b.code, &b.message)));
    diagnostics.dedup();
}

fn read(file: &Path, reach: &Reach, sources: &mut Sources, reader: &mut Reader) -> Option<Validated> {
    let text = match reach.text(file, MAX_FLEET) {
        Ok(text) => text,
        Err(error) => {
            let hint = match &error.kind {
                FileErrorKind::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                    Some("`otapress init` makes one; name another one with `--fleet`")
                }
                FileErrorKind::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    Some("let this user read it, and the directories above it: `ls -l` shows who may")
                }
                FileErrorKind::Io(_) => Some("name another one with `--fleet`"),
                kind => kind.hint(),
            };
            let diagnostic = Diagnostic::new(Code::Unreadable, file, format!("the file {}", error.kind));
            reader.report(hint.into_iter().fold(diagnostic, Diagnostic::hint));
            return None;
        }
    };
    let from_disk = |inventories: &mut Inventories<'_>,
                     reader: &mut Reader,
                     sources: &mut Sources,
                     patterns: Vec<Text>| {
        let dir = file.parent().unwrap_or(Path::new(""));
        inventory_files::read(inventories, reader, sources, (dir, reach), &patterns)
    };
    let dir = file.parent().unwrap_or(Path::new(""));
    read_text((file, reach), text, Secrets(Some((dir, reach))), sources, reader, from_disk)
}

/// Reads the text of the fleet file; `read_inventories` reads those that patterns name.
fn read_text(
    (file, reach): (&Path, &Reach),
    text: String,
    secrets: Secrets<'_>,
    sources: &mut Sources,
    reader: &mut Reader,
    read: impl FnOnce(&mut Inventories<'_>, &mut Reader, &mut Sources, Vec<Text>) -> Vec<RawDevice>,
) -> Option<Validated> {
    let source = sources.add(file, text);
    let text = Arc::clone(&sources.get(source).text);
    let top = match raw::read(source, &text) {
        Ok(top) => top,
        Err(diagnostic) => {
            reader.report(diagnostic);
            return None;
        }
    };
    let start = Span { source, start: 0, end: 0 };
    let mut fields = reader.fields(top, keys::TOP, "the fleet", start)?;
    let entries = fields.take_with_key("devices").map(|(at, node)| devices::read(reader, node, at));
    let patterns = fields.take("inventory").map(|node| reader.texts(node, "file names"));
    let ignored = fields.take("ignore").map(|node| reader.texts(node, "columns")).unwrap_or_default();
    let mut inventories = Inventories::new(reader, &ignored);
    let found = read(&mut inventories, reader, sources, patterns.unwrap_or_default());
    inventories.report_unused(reader);
    let devices = overrides::apply(entries.unwrap_or_default(), found);
    Some(validate::fleet(reader, sources, (file, reach), secrets, fields, devices))
}
