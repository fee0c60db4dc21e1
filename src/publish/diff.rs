//! How out/ differs from the tree that it is to hold.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use super::PublishError;
use super::scan::{Published, PublishedFile};
use crate::digest::Sha256;
use crate::out_path::OutPath;
use crate::tree::{Content, File, Tier, Tree};
use crate::wire::SITE_FILE;

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
    /// When the file in its place was written, if that has the same size. Servers and rsync tell files apart by size and time.
    pub replaces: Option<SystemTime>,
    /// Whether a file is in its place.
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

/// What is to be done where there is nothing yet.
pub fn all(tree: &Tree) -> Changes<'_> {
    let write = tree.files().iter().map(|file| Write { file, replaces: None, is_new: true }).collect();
    Changes { write, ..Changes::default() }
}

/// Compares every file by its bytes.
///
/// # Errors
/// If a file cannot be read.
pub fn diff<'a>(tree: &'a Tree, out: &Path, published: &Published) -> Result<Changes<'a>, PublishError> {
    let mut changes = Changes::default();
    let mut there = published.files.iter().peekable();
    for file in tree.files() {
        while let Some(old) = there.next_if(|old| old.path < file.path) {
            changes.remove.push(removal(old));
        }
        match there.next_if(|old| old.path == file.path) {
            None => changes.write.push(Write { file, replaces: None, is_new: true }),
            Some(old) => {
                let content = tree.content(file.content);
                if is_same(content, old, out)? {
                    changes.unchanged += 1;
                } else {
                    let replaces = (old.size == content.size()).then_some(old.modified);
                    changes.write.push(Write { file, replaces, is_new: false });
                }
            }
        }
    }
    changes.remove.extend(there.map(removal));
    Ok(changes)
}

fn is_same(content: &Content, old: &PublishedFile, out: &Path) -> Result<bool, PublishError> {
    if content.size() != old.size {
        return Ok(false);
    }
    let path = old.path.below(out);
    let bytes = fs::read(&path).map_err(PublishError::io("read", &path))?;
    Ok(match content {
        Content::Bytes(wanted) => bytes == **wanted,
        Content::CopyOf { sha256, .. } => Sha256::of(&bytes) == *sha256,
    })
}

fn removal(old: &PublishedFile) -> Remove {
    let path = old.path.clone();
    let tier = match path.as_str() {
        SITE_FILE => Tier::Site,
        text if text.starts_with("jars/") => Tier::Jar,
        text if text.starts_with("vc/") => Tier::Answer,
        _ => Tier::Jad,
    };
    Remove { path, tier }
}
