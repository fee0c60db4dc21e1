//! The steps that make out/ what it is to be: the only writer of out/.
//!
//! A first tree is built beside and renamed into place, or inside where that cannot be ([`first`]). In a tree
//! that is there, everything new is first written under temporary names; then, each step durable before the
//! next one begins:
//!
//! 1. answers of devices that are gone are removed, and those without an offer replaced: from now on nobody
//!    is sent to what will vanish; JARs get their names
//! 2. JADs get their names
//! 3. paths that were a file and become a directory, or the other way round, change
//! 4. answers with an offer get their names
//! 5. `otapress.json` gets its name
//! 6. JADs are removed
//! 7. JARs are removed
//!
//! Invariants, after any prefix of it, and with any part of a step done:
//! - a file is there whole or not at all;
//! - every JAD names a JAR that is there, every answer's target has a JAD of that version or, where a
//!   device's target changes, already that of the new one;
//! - what the system has no room for is found out before anything is renamed;
//! - running the build again completes it.
//!
//! One thing is not covered: two JADs, each of which moves below the path of the other, are both missing for
//! a moment.

mod first;
mod moves;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::moves::Moves;
use self::writer::Writer;
use super::PublishError;
use super::diff::{Changes, Write};
use super::disk::Disk;
use super::parallel;
use super::scan::Existing;
use crate::tree::{ContentId, Tree};
use otapress_core::digest::Sha256;
use otapress_core::out::{TEMP_PREFIX, Tier};
use otapress_core::out_path::OutPath;

/// Is told of every file that was written, for a progress bar.
pub type Progress<'a> = &'a (dyn Fn() + Sync);

/// Publishes the tree.
///
/// # Errors
/// If the system refuses; what was published until then is consistent, and a full disk changes nothing.
pub fn publish(
    disk: &dyn Disk,
    out: &Path,
    tree: &Tree,
    existing: &Existing,
    changes: &Changes<'_>,
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    match existing {
        Existing::Published(published) => update(disk, out, tree, changes, &published.leftovers, progress),
        Existing::Unfinished(unfinished) => {
            first::withdraw(disk, out, unfinished)?;
            first::publish(disk, out, tree, changes, progress)
        }
        Existing::Nothing => first::publish(disk, out, tree, changes, progress),
    }
}

/// Publishes what differs.
fn update(
    disk: &dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    leftovers: &[PathBuf],
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    for leftover in leftovers {
        disk.remove_tree(leftover).map_err(PublishError::io("remove", leftover))?;
    }
    if changes.is_empty() {
        return Ok(());
    }
    let update = Update { disk, out, changes, moves: Moves::of(changes) };
    let writer = Writer { disk, tree, not_before: not_before(changes), progress };
    let staged = writer
        .put_all(&changes.write, |write| update.staged(&write.file.path))
        .and_then(|()| barrier(disk, out));
    if let Err(error) = staged {
        // They may be what fills the disk. The next build would remove them, too.
        for write in &changes.write {
            let _ = disk.remove_file(&update.staged(&write.file.path));
        }
        return Err(error);
    }
    update.step(&[Tier::NoOffer, Tier::Jar], Some(Tier::Answer))?;
    update.step(&[Tier::Jad], None)?;
    update.change_places()?;
    update.step(&[Tier::Answer], None)?;
    update.step(&[Tier::Site], None)?;
    update.step(&[], Some(Tier::Jad))?;
    update.step(&[], Some(Tier::Jar))?;
    update.clean_up()
}

/// An update whose files are all written under temporary names.
struct Update<'a> {
    disk: &'a dyn Disk,
    out: &'a Path,
    changes: &'a Changes<'a>,
    moves: Moves<'a>,
}

impl Update<'_> {
    /// Where a file is written before it gets its name: beside it, or in what will change places with a
    /// directory above.
    fn staged(&self, path: &OutPath) -> PathBuf {
        match self.moves.split(path) {
            Some((top, below)) if !below.is_empty() => temporary(&self.out.join(top)).join(below),
            _ => temporary(&path.below(self.out)),
        }
    }

    /// Lets files of some tiers get their names and removes others, in any order.
    fn step(&self, write: &[Tier], remove: Option<Tier>) -> Result<(), PublishError> {
        let writes: Vec<&Write<'_>> = self
            .changes
            .write
            .iter()
            .filter(|change| {
                write.contains(&change.file.tier) && self.moves.split(&change.file.path).is_none()
            })
            .collect();
        parallel::run(self.disk.is_concurrent(), &writes, |writes| {
            for write in writes {
                let path = write.file.path.below(self.out);
                let staged = self.staged(&write.file.path);
                self.disk.rename(&staged, &path).map_err(PublishError::io("write", &path))?;
            }
            Ok(())
        })?;
        let mut removed = false;
        for path in self.removed().filter(|change| Some(change.tier) == remove).map(|change| &change.path) {
            let path = path.below(self.out);
            self.disk.remove_file(&path).map_err(PublishError::io("remove", &path))?;
            removed = true;
        }
        if removed || !writes.is_empty() { barrier(self.disk, self.out) } else { Ok(()) }
    }

    /// Lets directories take the places of files and the other way round.
    fn change_places(&self) -> Result<(), PublishError> {
        let mut any = false;
        for path in self.moves.iter().map(|top| self.out.join(top)) {
            self.disk.exchange(&temporary(&path), &path).map_err(PublishError::io("write", &path))?;
            any = true;
        }
        if any { barrier(self.disk, self.out) } else { Ok(()) }
    }

    /// Removes what has changed places, and directories that hold nothing any more.
    fn clean_up(&self) -> Result<(), PublishError> {
        for old in self.moves.iter().map(|top| temporary(&self.out.join(top))) {
            self.disk.remove_tree(&old).map_err(PublishError::io("remove", &old))?;
        }
        let dirs: BTreeSet<PathBuf> = self
            .removed()
            .flat_map(|change| {
                change.path.as_str().match_indices('/').map(|(at, _)| &change.path.as_str()[..at])
            })
            .map(|dir| self.out.join(dir))
            .collect();
        // Deepest first; one that still holds something stays.
        for dir in dirs.into_iter().rev() {
            match self.disk.remove_dir(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
                    return Err(PublishError::io("remove", &dir)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The files that are removed one by one.
    fn removed(&self) -> impl Iterator<Item = &super::diff::Remove> {
        self.changes.remove.iter().filter(|change| self.moves.split(&change.path).is_none())
    }
}

/// A new content must not have the size and the second of the file that it replaces: caches and rsync would
/// take it for the old one.
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

fn barrier(disk: &dyn Disk, path: &Path) -> Result<(), PublishError> {
    disk.barrier(path).map_err(PublishError::io("sync", path))
}

/// The name beside `path` that a file has until it gets its own. Names are at most 255 bytes; this one must
/// be, too.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{TEMP_PREFIX}{}", Sha256::of(name.as_bytes()).short()))
}
