//! The steps that make out/ what it is to be: the only writer of out/.
//!
//! Invariants, after any prefix of the steps:
//! - a file is there whole or not at all: it is written under a temporary name and renamed;
//! - every JAD names a JAR that is there, every answer's target has a JAD: tiers are written in the order JAR, JAD, answer,
//!   `otapress.json`, each durable before the next begins, and withdrawn in reverse;
//! - running the build again completes it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::PublishError;
use super::diff::{Changes, Remove, Write};
use super::disk::Disk;
use super::scan::TEMP_PREFIX;
use crate::digest::Sha256;
use crate::out_path::OutPath;
use crate::tree::{Content, ContentId, Tier, Tree};

/// Is told how many files are done, for a progress bar.
pub type Progress<'a> = &'a mut dyn FnMut(usize);

/// Publishes where there is nothing yet: builds the tree beside `out` and renames it into place.
///
/// # Errors
/// If the system refuses; then `out` is as it was.
pub fn fresh(
    disk: &mut dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    let beside = beside(out);
    if beside.exists() {
        disk.remove_tree(&beside).map_err(PublishError::io("remove", &beside))?;
    }
    disk.create_dirs(&beside).map_err(PublishError::io("create", &beside))?;
    let mut writer = Writer {
        disk,
        root: &beside,
        tree,
        progress,
        dirs: HashSet::new(),
        written: HashMap::new(),
        done: 0,
    };
    for write in &changes.write {
        let path = write.file.path.below(&beside);
        writer.put(write, &path, None)?;
    }
    disk.barrier(&beside).map_err(PublishError::io("sync", &beside))?;
    disk.rename(&beside, out).map_err(PublishError::io("create", out))?;
    let parent = parent(out);
    disk.barrier(parent).map_err(PublishError::io("sync", parent))
}

/// Publishes what differs.
///
/// # Errors
/// If the system refuses; what was published until then is consistent.
pub fn update(
    disk: &mut dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    leftovers: &[PathBuf],
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    for leftover in leftovers {
        disk.remove_file(leftover).map_err(PublishError::io("remove", leftover))?;
    }
    let in_the_way = in_the_way(changes);
    if !in_the_way.is_empty() {
        remove(disk, out, in_the_way.iter().copied())?;
    }
    let not_before = not_before(changes);
    let mut writer =
        Writer { disk, root: out, tree, progress, dirs: HashSet::new(), written: HashMap::new(), done: 0 };
    for tier in Tier::ALL {
        let mut any = false;
        for write in changes.write.iter().filter(|write| write.file.tier == tier) {
            writer.replace(write, not_before.get(&write.file.content).copied())?;
            any = true;
        }
        if any {
            writer.disk.barrier(out).map_err(PublishError::io("sync", out))?;
        }
    }
    remove(disk, out, changes.remove.iter().filter(|removal| !in_the_way.contains(removal)))
}

/// Files that become directories, and files in directories that become files: an `otapURI` may change from `…/a.jad` to
/// `…/a.jad/@.jad` or back. They have to go first, and their devices find no JAD until the new one is written.
fn in_the_way<'a>(changes: &'a Changes<'_>) -> BTreeSet<&'a Remove> {
    let above = |path: &'a OutPath| {
        let path = path.as_str();
        path.match_indices(".jad/").map(move |(at, end)| &path[..at + end.len() - 1])
    };
    let written: BTreeSet<_> = changes.write.iter().map(|write| write.file.path.as_str()).collect();
    let needed: BTreeSet<_> = changes.write.iter().flat_map(|write| above(&write.file.path)).collect();
    changes
        .remove
        .iter()
        .filter(|removal| {
            needed.contains(removal.path.as_str()) || above(&removal.path).any(|dir| written.contains(dir))
        })
        .collect()
}

/// A new content must not have the size and the second of the file that it replaces: caches and rsync would take it for
/// the old one.
fn not_before(changes: &Changes<'_>) -> HashMap<ContentId, SystemTime> {
    let mut times: HashMap<ContentId, SystemTime> = HashMap::new();
    for write in &changes.write {
        if let Some(old) = write.replaces {
            let seconds = old.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let next = UNIX_EPOCH + Duration::from_secs(seconds + 1);
            let time = times.entry(write.file.content).or_insert(next);
            *time = next.max(*time);
        }
    }
    times
}

fn remove<'a>(
    disk: &mut dyn Disk,
    out: &Path,
    removals: impl Iterator<Item = &'a Remove> + Clone,
) -> Result<(), PublishError> {
    let mut dirs = BTreeSet::new();
    for tier in Tier::ALL.into_iter().rev() {
        let mut any = false;
        for remove in removals.clone().filter(|remove| remove.tier == tier) {
            let path = remove.path.below(out);
            disk.remove_file(&path).map_err(PublishError::io("remove", &path))?;
            dirs.extend(path.ancestors().skip(1).take_while(|dir| *dir != out).map(Path::to_owned));
            any = true;
        }
        if any {
            disk.barrier(out).map_err(PublishError::io("sync", out))?;
        }
    }
    // Deepest first; one that still holds something stays.
    for dir in dirs.into_iter().rev() {
        match disk.remove_dir(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                return Err(PublishError::io("remove", &dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where a new tree is built: on the same file system, not below out/, and hidden from a server of the parent.
fn beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    parent(out).join(format!(".{name}.otapress-new"))
}

fn parent(out: &Path) -> &Path {
    out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

struct Writer<'a> {
    disk: &'a mut dyn Disk,
    root: &'a Path,
    tree: &'a Tree,
    progress: Progress<'a>,
    /// Directories that are known to be there.
    dirs: HashSet<PathBuf>,
    /// Where a content was first written in this run. Only files of this run are linked to, so that a changed file has a
    /// new inode and a new time.
    written: HashMap<ContentId, PathBuf>,
    done: usize,
}

impl Writer<'_> {
    /// Writes under a temporary name and renames.
    fn replace(&mut self, write: &Write<'_>, not_before: Option<SystemTime>) -> Result<(), PublishError> {
        let path = write.file.path.below(self.root);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The name is at most 255 bytes; the temporary one must be, too.
        let temp = path.with_file_name(format!("{TEMP_PREFIX}{}", Sha256::of(name.as_bytes()).short()));
        self.put(write, &temp, not_before)?;
        self.disk.rename(&temp, &path).map_err(PublishError::io("write", &path))?;
        self.written.entry(write.file.content).and_modify(|first| {
            if *first == temp {
                first.clone_from(&path);
            }
        });
        Ok(())
    }

    /// Creates the file at `path`, as a link to an equal one if this run has written one.
    fn put(
        &mut self,
        write: &Write<'_>,
        path: &Path,
        not_before: Option<SystemTime>,
    ) -> Result<(), PublishError> {
        self.done += 1;
        (self.progress)(self.done);
        if let Some(dir) = path.parent()
            && !self.dirs.contains(dir)
        {
            self.disk.create_dirs(dir).map_err(PublishError::io("create", dir))?;
            self.dirs.insert(dir.to_owned());
        }
        let id = write.file.content;
        if let Some(first) = self.written.get(&id) {
            // An inode has a bounded number of links, and some file systems have none: then it becomes a file of its own.
            if self.disk.link(first, path).is_ok() {
                return Ok(());
            }
        }
        let content = self.tree.content(id);
        let bytes;
        let bytes = match content {
            Content::Bytes(bytes) => &**bytes,
            Content::CopyOf { file, sha256, .. } => {
                bytes = std::fs::read(file).map_err(PublishError::io("read", file))?;
                if Sha256::of(&bytes) != *sha256 {
                    return Err(PublishError::Changed(file.clone()));
                }
                &bytes
            }
        };
        self.disk.create(path, bytes, not_before).map_err(PublishError::io("write", path))?;
        self.written.insert(id, path.to_owned());
        Ok(())
    }
}
