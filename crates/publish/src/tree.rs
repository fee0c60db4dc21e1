//! The files that out/ is to hold, as a value.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use otapress_core::digest::Sha256;
use otapress_core::out::Tier;
use otapress_core::out_path::OutPath;

/// What a file holds; many files can share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// The bytes of a file outside out/, checked by their digest when they are copied.
    CopyOf {
        /// The file.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Its digest.
        sha256: Sha256,
    },
}

impl Content {
    /// The size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::CopyOf { size, .. } => *size,
        }
    }
}

/// The place of a content in [`Tree::content`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(u32);

impl ContentId {
    /// Its number, from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: OutPath,
    /// When.
    pub tier: Tier,
    /// What.
    pub content: ContentId,
}

/// Every file of out/.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: Vec<File>,
    contents: Vec<Content>,
    ids: HashMap<Content, ContentId>,
}

impl Tree {
    /// Keeps a content; equal contents are one.
    pub fn intern(&mut self, content: Content) -> ContentId {
        if let Some(&id) = self.ids.get(&content) {
            return id;
        }
        let id = ContentId(u32::try_from(self.contents.len()).expect("fewer contents than files"));
        self.contents.push(content.clone());
        self.ids.insert(content, id);
        id
    }

    /// Adds a file.
    pub fn add(&mut self, path: OutPath, tier: Tier, content: ContentId) {
        self.files.push(File { path, tier, content });
    }

    /// Sorts the files by path; of several with the same path and content one remains.
    pub fn sort(&mut self) {
        self.files.sort_by(|a, b| a.path.cmp(&b.path));
        self.files.dedup_by(|a, b| a.path == b.path && a.content == b.content);
    }

    /// The files, by path after [`Tree::sort`].
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// A content.
    pub fn content(&self, id: ContentId) -> &Content {
        &self.contents[id.index()]
    }

    /// How many contents there are.
    pub fn contents(&self) -> usize {
        self.contents.len()
    }
}
