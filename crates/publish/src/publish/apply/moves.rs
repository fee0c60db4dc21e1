//! Files that become directories, and directories that become files: an `otapURI` may change from `…/a.jad`
//! to `…/a.jad/@.jad` and back.
//!
//! Neither can be renamed over the other. What is to stand there is built under a temporary name, and the two
//! names change places in one step, so that devices find the old JADs or the new ones.

use std::collections::BTreeSet;

use crate::publish::diff::Changes;
use otapress_core::out::JAD_SUFFIX;
use otapress_core::out_path::OutPath;

/// The paths that are a file before and a directory after, or the other way round. None lies below another
/// one.
pub(super) struct Moves<'a>(BTreeSet<&'a str>);

impl<'a> Moves<'a> {
    pub fn of(changes: &'a Changes<'_>) -> Self {
        let written: BTreeSet<_> = changes.write.iter().map(|write| write.file.path.as_str()).collect();
        let removed: BTreeSet<_> = changes.remove.iter().map(|remove| remove.path.as_str()).collect();
        let become_dirs = written.iter().flat_map(|path| above(path)).filter(|dir| removed.contains(dir));
        let become_files = removed.iter().flat_map(|path| above(path)).filter(|dir| written.contains(dir));
        Moves(become_dirs.chain(become_files).collect())
    }

    /// The path of a move that is `path` itself or leads to it, and what follows it.
    pub fn split<'p>(&self, path: &'p OutPath) -> Option<(&'p str, &'p str)> {
        // Most builds have none.
        if self.0.is_empty() {
            return None;
        }
        let path = path.as_str();
        let top = above(path).chain([path]).find(|top| self.0.contains(top))?;
        Some((top, path[top.len()..].trim_start_matches('/')))
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        self.0.iter().copied()
    }
}

/// The directories above a path that could be JADs.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(move |(at, _)| &path[..at]).filter(|dir| dir.ends_with(JAD_SUFFIX))
}
