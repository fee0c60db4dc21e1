//! The first tree in out/.
//!
//! It is built beside and renamed into place as a whole. That cannot be where out/ is a mount point, lies in
//! a directory that may not be written, or holds something that stays there. Then it is built in the hidden
//! directory [`STAGING`] inside, of which the JARs, the JADs, the answers and `otapress.json` are renamed
//! into place, each durable before the next.
//!
//! Of a build that was killed in the middle, [`STAGING`] is left without `otapress.json`. What it has
//! published is withdrawn in reverse before the next one begins, and [`STAGING`] last, so that the directory
//! is ours until it is empty.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

use super::writer::Writer;
use super::{Progress, barrier};
use crate::publish::PublishError;
use crate::publish::diff::Changes;
use crate::publish::disk::Disk;
use crate::publish::place::parent;
use crate::publish::scan::Unfinished;
use crate::tree::Tree;
use otapress_core::out::{Part, STAGING};

/// Publishes where there is nothing yet.
pub(super) fn publish(
    disk: &dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    if can_be_replaced(out) {
        match whole(disk, out, tree, changes, progress) {
            Err(PublishError::Io { error, .. }) if forbids_renaming(&error) => {}
            result => return result,
        }
    }
    inside(disk, out, tree, changes, progress)
}

/// Whether nothing is at `out`, or an empty directory that is not a mount point.
fn can_be_replaced(out: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(out) else { return true };
    let found = statx(CWD, out, AtFlags::empty(), StatxFlags::BASIC_STATS);
    let is_mount = found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    entries.next().is_none() && !is_mount
}

/// Whether the system refuses to create or rename a directory beside out/, and not for want of room.
fn forbids_renaming(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    let refusals =
        [Errno::ACCESS, Errno::PERM, Errno::ROFS, Errno::BUSY, Errno::XDEV, Errno::NOTEMPTY, Errno::EXIST];
    errno.is_some_and(|errno| refusals.contains(&errno))
}

fn whole(
    disk: &dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    // On the same file system, and hidden from a server of the directory.
    let beside = parent(out).join(format!(".{name}.otapress-new"));
    if beside.exists() {
        disk.remove_tree(&beside).map_err(PublishError::io("remove", &beside))?;
    }
    staged(disk, &beside, tree, changes, progress, || {
        disk.rename(&beside, out).map_err(PublishError::io("create", out))
    })?;
    barrier(disk, parent(out))
}

fn inside(
    disk: &dyn Disk,
    out: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    progress: Progress<'_>,
) -> Result<(), PublishError> {
    let staging = out.join(STAGING);
    staged(disk, &staging, tree, changes, progress, || Ok(()))?;
    let top = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
    let tops: BTreeSet<_> =
        changes.write.iter().map(|write| (write.file.tier.part(), top(write.file.path.as_str()))).collect();
    for part in [Part::Jars, Part::Jads, Part::Answers, Part::Site] {
        for (_, top) in tops.iter().filter(|(of, _)| *of == part) {
            let path = out.join(top);
            disk.rename(&staging.join(top), &path).map_err(PublishError::io("create", &path))?;
        }
        barrier(disk, out)?;
    }
    disk.remove_tree(&staging).map_err(PublishError::io("remove", &staging))?;
    barrier(disk, out)
}

/// Removes what a killed build has left of [`inside`].
pub(super) fn withdraw(disk: &dyn Disk, out: &Path, unfinished: &Unfinished) -> Result<(), PublishError> {
    let remove = |path: &Path| disk.remove_tree(path).map_err(PublishError::io("remove", path));
    for part in [Part::Answers, Part::Jads, Part::Jars] {
        for (_, top) in unfinished.tops.iter().filter(|(of, _)| *of == part) {
            remove(&out.join(top))?;
        }
        barrier(disk, out)?;
    }
    let staging = out.join(STAGING);
    let is_left = |path: &&PathBuf| **path != staging && path.exists();
    unfinished.leftovers.iter().filter(is_left).try_for_each(|path| remove(path))?;
    barrier(disk, out)?;
    remove(&staging)
}

/// Creates every file in `place`, durable, and does `then`; if any of it fails, `place` is removed.
fn staged(
    disk: &dyn Disk,
    place: &Path,
    tree: &Tree,
    changes: &Changes<'_>,
    progress: Progress<'_>,
    then: impl FnOnce() -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let writer = Writer { disk, tree, not_before: HashMap::new(), progress };
    let built = disk
        .create_dirs(place)
        .map_err(PublishError::io("create", place))
        .and_then(|()| writer.put_all(&changes.write, |write| write.file.path.below(place)))
        .and_then(|()| barrier(disk, place))
        .and_then(|()| then());
    if built.is_err() {
        // It may be what fills the disk. The next build would remove it, too.
        let _ = disk.remove_tree(place);
    }
    built
}
