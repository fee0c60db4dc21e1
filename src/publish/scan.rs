//! What is in out/ now.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use walkdir::WalkDir;

use super::PublishError;
use crate::out_path::OutPath;
use crate::wire::{SITE_FILE, Site};

/// What the names of files that are being written start with; a killed build leaves them behind.
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
    /// What a killed build has left behind.
    pub leftovers: Vec<PathBuf>,
}

/// A file in out/.
#[derive(Debug)]
pub struct PublishedFile {
    /// Where.
    pub path: OutPath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: SystemTime,
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
    for entry in WalkDir::new(out).min_depth(1) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(out).to_owned();
            PublishError::io("read", &path)(error.into())
        })?;
        let file_type = entry.file_type();
        if file_type.is_dir() {
            continue;
        }
        if file_type.is_symlink() {
            return Err(PublishError::Symlink(entry.into_path()));
        }
        if entry.file_name().to_string_lossy().starts_with(TEMP_PREFIX) {
            published.leftovers.push(entry.into_path());
            continue;
        }
        let below = entry.path().strip_prefix(out).unwrap_or(entry.path());
        let path = below.to_str().and_then(|text| text.parse().ok()).filter(is_ours);
        let (Some(path), true) = (path, file_type.is_file()) else {
            return Err(PublishError::Foreign { file: entry.into_path(), out: out.into() });
        };
        let metadata =
            entry.metadata().map_err(|error| PublishError::io("read", entry.path())(error.into()))?;
        let modified = metadata.modified().map_err(PublishError::io("read", entry.path()))?;
        published.files.push(PublishedFile { path, size: metadata.len(), modified });
    }
    published.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Existing::Published(published))
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
