//! How out/ differs from the tree that it is to hold.

use std::path::Path;
use std::time::SystemTime;

use super::PublishError;
use super::hashes::Hashes;
use super::scan::{Existing, Published, PublishedFile};
use crate::tree::{Content, ContentId, File, Tree};
use otapress_core::digest::Sha256;
use otapress_core::out::Tier;
use otapress_core::out_path::OutPath;

/// What has to be done.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Files to write, by path.
    pub write: Vec<Write<'a>>,
    /// Files to remove, by path.
    pub remove: Vec<Remove>,
    /// How many files stay as they are.
    pub unchanged: usize,
}

/// A file to write.
#[derive(Debug)]
pub struct Write<'a> {
    /// Which.
    pub file: &'a File,
    /// When the file in its place was written, if that has the same size. Servers and rsync tell files apart
    /// by size and time.
    pub replaces: Option<SystemTime>,
    /// Whether no file is in its place.
    pub is_new: bool,
}

/// A file to remove.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remove {
    /// Where.
    pub path: OutPath,
    /// When.
    pub tier: Tier,
}

impl Changes<'_> {
    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.write.is_empty() && self.remove.is_empty()
    }
}

/// What has to be done to make out/ hold the tree.
///
/// # Errors
/// If a file has to be read, and cannot be.
pub fn diff<'a>(
    tree: &'a Tree,
    out: &Path,
    existing: &Existing,
    hashes: &mut Hashes,
) -> Result<Changes<'a>, PublishError> {
    match existing {
        Existing::Nothing | Existing::Unfinished(_) => Ok(all(tree)),
        Existing::Published(published) => compare(tree, out, published, hashes),
    }
}

fn all(tree: &Tree) -> Changes<'_> {
    let write = tree.files().iter().map(|file| Write { file, replaces: None, is_new: true }).collect();
    Changes { write, ..Changes::default() }
}

/// Compares every file by its size and its digest.
fn compare<'a>(
    tree: &'a Tree,
    out: &Path,
    published: &Published,
    hashes: &mut Hashes,
) -> Result<Changes<'a>, PublishError> {
    let mut changes = Changes::default();
    let mut wanted = Digests { tree, digests: vec![None; tree.contents()] };
    let mut there = published.files.iter().peekable();
    for file in tree.files() {
        while let Some(old) = there.next_if(|old| old.path < file.path) {
            changes.remove.push(removal(old));
        }
        match there.next_if(|old| old.path == file.path) {
            None => changes.write.push(Write { file, replaces: None, is_new: true }),
            Some(old) => {
                let has_size = old.stamp.size() == tree.content(file.content).size();
                if has_size && old.digest(out, hashes)? == wanted.digest(file.content) {
                    changes.unchanged += 1;
                } else {
                    let replaces = has_size.then(|| old.stamp.modified());
                    changes.write.push(Write { file, replaces, is_new: false });
                }
            }
        }
    }
    changes.remove.extend(there.map(removal));
    Ok(changes)
}

/// The digests of what out/ is to hold, each found once.
struct Digests<'a> {
    tree: &'a Tree,
    digests: Vec<Option<Sha256>>,
}

impl Digests<'_> {
    fn digest(&mut self, id: ContentId) -> Sha256 {
        *self.digests[id.index()].get_or_insert_with(|| match self.tree.content(id) {
            Content::Bytes(bytes) => Sha256::of(bytes),
            Content::CopyOf { sha256, .. } => *sha256,
        })
    }
}

fn removal(old: &PublishedFile) -> Remove {
    Remove { path: old.path.clone(), tier: old.part.tier() }
}
