//! Creates files: each content once, and every other file that holds it as a link.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Progress;
use crate::publish::PublishError;
use crate::publish::diff::Write;
use crate::publish::disk::Disk;
use crate::publish::parallel;
use crate::tree::{Content, ContentId, Tree};
use otapress_core::digest::Sha256;

/// What the files are made of, and the least time that a content is given.
pub(super) struct Writer<'a> {
    pub disk: &'a dyn Disk,
    pub tree: &'a Tree,
    pub not_before: HashMap<ContentId, SystemTime>,
    pub progress: Progress<'a>,
}

impl Writer<'_> {
    /// Creates a file for each of `writes` where `place` says.
    pub fn put_all(
        &self,
        writes: &[Write<'_>],
        place: impl Fn(&Write<'_>) -> PathBuf + Sync,
    ) -> Result<(), PublishError> {
        parallel::run(self.disk.is_concurrent(), writes, |writes| {
            let mut lane = Lane { writer: self, dir: PathBuf::new(), written: HashMap::new() };
            for write in writes {
                lane.put(write.file.content, place(write))?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

/// One thread's work.
struct Lane<'a> {
    writer: &'a Writer<'a>,
    /// The last directory that was made sure of.
    dir: PathBuf,
    /// Where this lane has written a content last. Only files of this run are linked to, so that a changed
    /// file has a new inode and a new time; and only those of this lane, because the system locks an inode
    /// for each link to it.
    written: HashMap<ContentId, PathBuf>,
}

impl Lane<'_> {
    fn put(&mut self, content: ContentId, path: PathBuf) -> Result<(), PublishError> {
        let Writer { disk, not_before, progress, .. } = self.writer;
        if let Some(dir) = path.parent()
            && *dir != self.dir
        {
            disk.create_dirs(dir).map_err(PublishError::io("create", dir))?;
            self.dir = dir.to_owned();
        }
        progress();
        // An inode has a bounded number of links, and some file systems have none: then it becomes a file of
        // its own.
        if self.written.get(&content).is_some_and(|first| disk.link(first, &path).is_ok()) {
            return Ok(());
        }
        let create = |bytes: &[u8]| {
            disk.create(&path, bytes, not_before.get(&content).copied())
                .map_err(PublishError::io("write", &path))
        };
        match self.writer.tree.content(content) {
            Content::Bytes(bytes) => create(bytes)?,
            Content::CopyOf { file, sha256, .. } => create(&copy(file, *sha256)?)?,
        }
        self.written.insert(content, path);
        Ok(())
    }
}

fn copy(file: &Path, sha256: Sha256) -> Result<Vec<u8>, PublishError> {
    let bytes = std::fs::read(file).map_err(PublishError::io("read", file))?;
    if Sha256::of(&bytes) == sha256 { Ok(bytes) } else { Err(PublishError::Changed(file.into())) }
}
