//! The releases that a fleet can choose from: every JAR below one directory, by version.
//!
//! The directory may hold anything, and nothing in it may hang a build or lead it elsewhere: see
//! [`crate::files`].

mod other_suites;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::clutter::{LOST_AND_FOUND, is_clutter};
use crate::diag::{Code, Diagnostic};
use crate::files::{self, FileError, FileErrorKind, Reach};
use crate::jar::{self, Jar, Rules};
use crate::signing::{self, Signature, Signing};
use otapress_core::digest::Sha256;
use otapress_core::version::Version;
use other_suites::OtherSuites;

/// The largest file that is read as a JAR, in bytes. No module in the field has flash for more.
pub const MAX_JAR: u64 = 16 << 20;

/// The most files and directories that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// The most JARs, and the most bytes that they have together.
const MAX_JARS: usize = 2_000;
const MAX_BYTES: u64 = 2 << 30;

const ADD: &str = "`otapress add FILE.jar` makes the directory and copies a release into it";

/// Valid JARs of one suite, one for each version.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<Version, Entry>,
    /// Versions of JARs that are there and were refused, by their manifest or else their file name.
    refused: BTreeSet<Version>,
    /// Whether the directory could be read and has JARs.
    is_read: bool,
}

/// A release. Its bytes are not kept: [`Entry::bytes`] reads them again.
#[derive(Clone, Debug)]
pub struct Entry {
    jar: Jar,
    path: PathBuf,
    shown: PathBuf,
    signature: Option<Signature>,
}

impl Catalog {
    /// The JAR of a version, compared numerically.
    pub fn get(&self, version: Version) -> Option<&Entry> {
        self.entries.get(&version)
    }

    /// Whether a release is missing here, and not only refused, or lost with the whole directory: that is
    /// told already.
    pub fn misses(&self, version: Version) -> bool {
        self.is_read && !self.entries.contains_key(&version) && !self.refused.contains(&version)
    }

    /// Every version in ascending order.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = Version> {
        self.entries.keys().copied()
    }

    /// Every release in ascending order of version.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.values()
    }

    /// Whether there is no release.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    /// What is in it.
    pub fn jar(&self) -> &Jar {
        &self.jar
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same as the operator would write it.
    pub fn shown_as(&self) -> &Path {
        &self.shown
    }

    /// The signature that lies beside it, if the fleet has certificates: it fits them.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The digest of its bytes.
    pub fn sha256(&self) -> Sha256 {
        self.jar.sha256()
    }

    /// Its bytes, which are the ones that were validated.
    ///
    /// # Errors
    /// If the file cannot be read any more, or has become another one.
    pub fn bytes(&self) -> Result<Vec<u8>, FileError> {
        let bytes = files::read(&self.path, MAX_JAR)?;
        if Sha256::of(&bytes) == self.sha256() {
            Ok(bytes)
        } else {
            Err(FileError { path: self.path.clone(), kind: FileErrorKind::Changed })
        }
    }
}

/// Reads every `*.jar` below `dir`, in the order of their names.
///
/// `shown_as` is how the operator would write `dir`; `midlet` is the MIDlet-Name and MIDlet-Vendor that every
/// JAR must have, with the rules that it is judged by; without it, a JAR is only read. The same bytes in two
/// places are one release; the first path wins.
pub fn load(
    reach: &Reach,
    dir: &Path,
    shown_as: &Path,
    midlet: Option<Suite<'_>>,
) -> (Catalog, Vec<Diagnostic>) {
    let mut catalog = Catalog::default();
    let (mut files, mut diagnostics) = walk(reach, dir, shown_as, MAX_ENTRIES);
    if files.len() > MAX_JARS {
        let message = format!("`{}` holds more than {MAX_JARS} JARs", shown_as.display());
        diagnostics.push(Diagnostic::new(Code::JarUnreadable, shown_as, message));
        files.clear();
    }
    let mut left = MAX_BYTES;
    if files.is_empty() && diagnostics.is_empty() {
        let message = format!("`{}` holds no file that ends in `.jar`", shown_as.display());
        diagnostics.push(Diagnostic::new(Code::EmptyCatalog, shown_as, message).hint(ADD));
    }
    catalog.is_read = !files.is_empty();
    let mut other_suites = OtherSuites::default();
    for (path, shown) in files {
        let named = version_in_name(&path);
        let bytes = match reach.read(&path, MAX_JAR) {
            Ok(bytes) => bytes,
            Err(error) => {
                diagnostics.push(unreadable(&shown, &error.kind));
                catalog.refused.extend(named);
                continue;
            }
        };
        let Some(rest) = left.checked_sub(bytes.len() as u64) else {
            let message = format!("the JARs in `{}` have more than {MAX_BYTES} bytes", shown_as.display());
            diagnostics.push(Diagnostic::new(Code::JarUnreadable, shown_as, message));
            break;
        };
        left = rest;
        let (jar, faults) = match midlet {
            Some(midlet) => jar::judge(&bytes, midlet.rules),
            None => match jar::read(&bytes) {
                Ok(jar) => (Some(jar), Vec::new()),
                Err(faults) => (None, faults),
            },
        };
        diagnostics.extend(faults.into_iter().map(|fault| fault.at(shown.as_path())));
        let Some(jar) = jar else {
            catalog.refused.extend(named);
            continue;
        };
        let (signature, wrong) =
            midlet.map(|midlet| signature(reach, (&path, &shown), &bytes, midlet)).unwrap_or_default();
        diagnostics.extend(wrong);
        let entry = Entry { jar, path, shown, signature };
        if midlet.is_some_and(|midlet| other_suites.note(&entry, midlet)) {
            catalog.refused.insert(entry.jar.version());
        } else {
            add(&mut catalog, entry, &mut diagnostics);
        }
    }
    if let Some(midlet) = midlet {
        diagnostics.extend(other_suites.diagnostics(midlet, catalog.is_empty()));
        diagnostics.extend(growth(&catalog, midlet.rules));
    }
    diagnostics.sort_by(|a, b| a.place.cmp(&b.place));
    (catalog, diagnostics)
}

/// The signature beside a JAR, if the fleet signs its suite.
fn signature(
    reach: &Reach,
    (path, shown): (&Path, &Path),
    jar: &[u8],
    midlet: Suite<'_>,
) -> (Option<Signature>, Vec<Diagnostic>) {
    let file = reach.read(&signing::path(path), Signature::MAX_FILE);
    let (signature, found) = signing::beside(file, shown, jar, midlet.signing, midlet.rules);
    (signature.filter(|_| midlet.signing.is_some()), found)
}

fn unreadable(shown: &Path, kind: &FileErrorKind) -> Diagnostic {
    let diagnostic = Diagnostic::new(Code::JarUnreadable, shown, format!("`{}` {kind}", shown.display()));
    kind.hint().into_iter().fold(diagnostic, Diagnostic::hint)
}

/// What every JAR of a fleet must be.
#[derive(Clone, Copy, Debug)]
pub struct Suite<'a> {
    /// MIDlet-Name.
    pub name: &'a str,
    /// MIDlet-Vendor.
    pub vendor: &'a str,
    /// What a JAR is judged by.
    pub rules: &'a Rules,
    /// How it is signed, if it is.
    pub signing: Option<&'a Signing>,
}

/// JARs that are more than half as large again as the release before them.
fn growth(catalog: &Catalog, rules: &Rules) -> Vec<Diagnostic> {
    let pairs = catalog.entries().zip(catalog.entries().skip(1));
    pairs
        .filter(|(old, new)| new.jar.size() * 2 > old.jar.size() * 3 && !rules.allows(Code::JarGrowth))
        .map(|(old, new)| {
            let message = format!(
                "the JAR has {} bytes, and release {} before it has {}",
                new.jar.size(),
                old.jar.version_text(),
                old.jar.size()
            );
            Diagnostic::new(Code::JarGrowth, new.shown.as_path(), message)
                .hint("old and new must fit the flash together: is there a file in it that no device needs?")
        })
        .collect()
}

/// A file's path, and how the operator would write it.
type Named = (PathBuf, PathBuf);

/// Whatever is named `*.jar`, file or not, and what is wrong with the rest. Stops after `limit` entries,
/// because a link can lead to the root of everything.
fn walk(reach: &Reach, dir: &Path, shown_as: &Path, limit: usize) -> (Vec<Named>, Vec<Diagnostic>) {
    let shown = |path: &Path| match path.strip_prefix(dir) {
        Ok(rest) if rest.as_os_str().is_empty() => shown_as.to_path_buf(),
        Ok(rest) => shown_as.join(rest),
        Err(_) => path.to_path_buf(),
    };
    let mut files = Vec::new();
    let mut diagnostics = Vec::new();
    if let Err(kind @ FileErrorKind::Outside) = reach.admit(dir) {
        return (files, vec![unreadable(shown_as, &kind)]);
    }
    let mut seen = 0;
    let mut entries = WalkDir::new(dir).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = entries.next() {
        seen += 1;
        if seen > limit {
            let message = format!("`{}` holds more than {limit} files and directories", shown_as.display());
            let hint = "keep a directory for JARs alone; does a symbolic link in it lead elsewhere?";
            diagnostics.push(Diagnostic::new(Code::JarUnreadable, shown_as, message).hint(hint));
            break;
        }
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(dir);
                // Editors leave links to nothing as locks; nobody but root may look into lost+found.
                let ignored = error.depth() > 0
                    && (is_dangling(path) && !is_nearly_jar(path) || path.file_name().is_some_and(is_stray));
                if !ignored {
                    diagnostics.push(unwalkable(&error, &shown(path)));
                }
                continue;
            }
        };
        let is_dir = entry.file_type().is_dir();
        if is_left_out(&entry) {
            if is_dir {
                entries.skip_current_dir();
            }
        } else if is_dir
            && entry.path_is_symlink()
            && let Err(kind @ FileErrorKind::Outside) = reach.admit(entry.path())
        {
            diagnostics.push(unreadable(&shown(entry.path()), &kind));
            entries.skip_current_dir();
        } else if entry.depth() == 0 {
            if !is_dir {
                let message = format!("`{}` is not a directory", shown_as.display());
                diagnostics.push(Diagnostic::new(Code::JarUnreadable, shown_as, message));
            }
        } else if is_jar(entry.path()) {
            // A directory of that name is told of when it is read, and not entered.
            if is_dir {
                entries.skip_current_dir();
            }
            files.push((entry.path().to_path_buf(), shown(entry.path())));
        } else if !is_dir && is_nearly_jar(entry.path()) {
            let shown = shown(entry.path());
            let message = format!("the name of `{}` does not end in `.jar`", shown.display());
            diagnostics.push(
                Diagnostic::new(Code::JarUnreadable, shown.as_path(), message)
                    .hint("rename it: names are case-sensitive"),
            );
        }
    }
    (files, diagnostics)
}

/// Whether something in the directory is none of the operator's JARs, whatever its name ends with: it is
/// hidden (`._x.jar` of macOS, an editor's copy, a repository's own files), or a system has put it there.
fn is_left_out(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && is_stray(entry.file_name())
}

fn is_stray(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with('.') || is_clutter(name) || name == LOST_AND_FOUND)
}

/// What kept the walk from going on at a path.
fn unwalkable(error: &walkdir::Error, shown: &Path) -> Diagnostic {
    let path = shown.display();
    let message = match (error.loop_ancestor(), error.io_error()) {
        (Some(_), _) => format!("`{path}` is a symbolic link to a directory that it lies in"),
        (None, Some(error)) => format!("`{path}` cannot be read: {error}"),
        (None, None) => format!("`{path}` cannot be read"),
    };
    let diagnostic = Diagnostic::new(Code::JarUnreadable, shown, message);
    match error.depth() {
        0 => diagnostic.hint(ADD),
        _ => diagnostic,
    }
}

fn is_jar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jar")
}

fn is_nearly_jar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jar"))
}

fn is_dangling(path: &Path) -> bool {
    path.is_symlink() && path.metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The version in the name of a file, as `otapress add` makes it: `OwnTracks-0.10.66.jar`.
fn version_in_name(path: &Path) -> Option<Version> {
    path.file_stem()?.to_str()?.rsplit_once('-')?.1.parse().ok()
}

fn add(catalog: &mut Catalog, entry: Entry, diagnostics: &mut Vec<Diagnostic>) {
    let place = entry.shown.as_path();
    match catalog.entries.get(&entry.jar.version()) {
        Some(other) if other.sha256() == entry.sha256() => {}
        Some(other) => {
            let message = format!(
                "version `{}` is already taken by `{}`, whose content differs",
                entry.jar.version_text(),
                other.shown.display()
            );
            diagnostics
                .push(Diagnostic::new(Code::VersionConflict, place, message).hint(
                    "a version always names the same JAR: remove one of them, or raise MIDlet-Version",
                ));
        }
        None => {
            catalog.entries.insert(entry.jar.version(), entry);
        }
    }
}

#[cfg(test)]
mod tests;
