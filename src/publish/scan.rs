//! What is in out/ now.

use std::fs;
use std::path::{Path, PathBuf};

use super::PublishError;
use super::hashes::Stamp;
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
    let mut published = Published { site, files: Vec::new(), leftovers: Vec::new() };
    walk(out, out, &mut published)?;
    published.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Existing::Published(published))
}

/// Looks at what is in a directory; whether there is a file in it or below.
fn walk(dir: &Path, out: &Path, published: &mut Published) -> Result<bool, PublishError> {
    let mut holds_files = false;
    for entry in fs::read_dir(dir).map_err(PublishError::io("read", dir))? {
        let entry = entry.map_err(PublishError::io("read", dir))?;
        let path = entry.path();
        let file_type = entry.file_type().map_err(PublishError::io("read", &path))?;
        if file_type.is_symlink() {
            return Err(PublishError::Symlink(path));
        }
        if entry.file_name().as_encoded_bytes().starts_with(TEMP_PREFIX.as_bytes()) {
            published.leftovers.push(path);
        } else if file_type.is_dir() {
            if walk(&path, out, published)? {
                holds_files = true;
            } else {
                published.leftovers.push(path);
            }
        } else {
            let below = path.strip_prefix(out).ok().and_then(|below| below.to_str());
            let ours = below.and_then(|text| text.parse().ok()).filter(is_ours);
            let (Some(ours), true) = (ours, file_type.is_file()) else {
                return Err(PublishError::Foreign { file: path, out: out.into() });
            };
            let metadata = entry.metadata().map_err(PublishError::io("read", &path))?;
            published.files.push(PublishedFile { path: ours, stamp: Stamp::of(&metadata) });
            holds_files = true;
        }
    }
    Ok(holds_files)
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
