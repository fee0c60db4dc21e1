//! What is in out/ now.

use std::fs;
use std::path::{Path, PathBuf};

use super::PublishError;
use super::hashes::{Hashes, Stamp};
use super::lanes;
use crate::digest::Sha256;
use crate::out_path::OutPath;
use crate::wire::{SITE_FILE, Site};

/// What the names of files and directories that are being written start with; a killed build leaves them behind.
pub(super) const TEMP_PREFIX: &str = ".otapress-tmp-";

/// What is at the place of out/.
#[derive(Debug)]
pub enum Existing {
    /// Nothing, or an empty directory.
    Nothing,
    /// A directory that we have made.
    Published(Published),
}

/// A directory that we have made.
#[derive(Debug)]
pub struct Published {
    /// What `otapress.json` says.
    pub site: Site,
    /// Its files, by path.
    pub files: Vec<PublishedFile>,
    /// What a killed build has left behind: files and directories with temporary names, and directories without a file.
    pub leftovers: Vec<PathBuf>,
}

/// A file in out/.
#[derive(Debug)]
pub struct PublishedFile {
    /// Where.
    pub path: OutPath,
    /// Its size and times.
    pub stamp: Stamp,
}

impl PublishedFile {
    /// The digest of its bytes, which are read if need be.
    ///
    /// # Errors
    /// If it has to be read, and cannot be.
    pub fn digest(&self, out: &Path, hashes: &mut Hashes) -> Result<Sha256, PublishError> {
        hashes.digest(self.stamp, || self.read(out))
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, out: &Path) -> Result<Vec<u8>, PublishError> {
        let path = self.path.below(out);
        fs::read(&path).map_err(PublishError::io("read", &path))
    }
}

/// Looks at `out` without changing anything.
///
/// # Errors
/// If it is not ours, holds what is not ours, or cannot be read.
pub fn scan(out: &Path) -> Result<Existing, PublishError> {
    match fs::read_dir(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Existing::Nothing),
        Err(error) => return Err(PublishError::io("read", out)(error)),
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Ok(Existing::Nothing);
            }
        }
    }
    let site = read_site(out)?.ok_or_else(|| PublishError::NotOurs(out.into()))?;
    let Found { mut files, leftovers } = walk(out, "", lanes::pay())?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Existing::Published(Published { site, files, leftovers }))
}

/// What is in a directory and below.
#[derive(Default)]
struct Found {
    files: Vec<PublishedFile>,
    leftovers: Vec<PathBuf>,
}

/// Looks at what is in the directory `below` out/, with two threads if it has many others in it and these may be used.
fn walk(out: &Path, below: &str, concurrent: bool) -> Result<Found, PublishError> {
    let dir = out.join(below);
    let (mut found, mut dirs) = (Found::default(), Vec::new());
    for entry in fs::read_dir(&dir).map_err(PublishError::io("read", &dir))? {
        let entry = entry.map_err(PublishError::io("read", &dir))?;
        let file_type = entry.file_type().map_err(PublishError::io("read", &dir))?;
        let name = entry.file_name();
        if file_type.is_symlink() {
            return Err(PublishError::Symlink(entry.path()));
        }
        if name.as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes()) {
            found.leftovers.push(entry.path());
            continue;
        }
        let foreign = || PublishError::Foreign { file: entry.path(), out: out.into() };
        let name = name.to_str().ok_or_else(foreign)?;
        let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        if file_type.is_dir() {
            dirs.push(below);
            continue;
        }
        let path =
            below.parse().ok().filter(|path| file_type.is_file() && is_ours(path)).ok_or_else(foreign)?;
        let metadata = entry.metadata().map_err(PublishError::io("read", &dir))?;
        found.files.push(PublishedFile { path, stamp: Stamp::of(&metadata) });
    }
    let in_lanes = concurrent && lanes::are_worth(dirs.len());
    let lanes = lanes::work(in_lanes, &dirs, |dirs| {
        let mut found = Found::default();
        for below in dirs {
            let Found { files, leftovers } = walk(out, below, concurrent && !in_lanes)?;
            found.leftovers.extend(leftovers);
            if files.is_empty() {
                found.leftovers.push(out.join(below));
            }
            found.files.extend(files);
        }
        // Here each lane sorts its part; what is then left to do is to merge them.
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    })?;
    for Found { files, leftovers } in lanes {
        found.files.extend(files);
        found.leftovers.extend(leftovers);
    }
    Ok(found)
}

/// What `otapress.json` in a directory says; none if there is no such file.
///
/// # Errors
/// If it cannot be read or understood.
pub fn read_site(out: &Path) -> Result<Option<Site>, PublishError> {
    let file = out.join(SITE_FILE);
    let text = match fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PublishError::io("read", &file)(error)),
    };
    Site::parse(&text).map(Some).map_err(|error| PublishError::Format { file, reason: error.to_string() })
}

/// Whether we could have published a file at this path. Only such files are ever removed.
fn is_ours(path: &OutPath) -> bool {
    let path = path.as_str();
    path == SITE_FILE || path.starts_with("jars/") || path.starts_with("vc/") || path.ends_with(".jad")
}
