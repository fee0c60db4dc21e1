//! Publishing: what is in out/, how it differs from what it should hold, and the steps from one to the other.
//!
//! ```text
//! Tree ───────────┐
//! scan ─ hashes ──┴► diff ─► apply ─► disk
//! ```
//! Only [`apply`] writes in out/.

pub mod apply;
pub mod diff;
pub mod disk;
pub mod hashes;
mod listings;
mod parallel;
pub mod place;
pub mod scan;

use std::io;
use std::path::{Path, PathBuf};

/// Why out/ cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The directory holds something, but not `otapress.json`.
    #[error("`{}` is neither empty nor a directory that otapress has made: choose another with `--out`, or \
        empty it", .0.display())]
    NotOurs(PathBuf),
    /// It is ours, but something in it is not.
    #[error("`{}` is not a file that otapress would publish: move it out of `{}`, which otapress keeps \
        exactly as the fleet says", .file.display(), .out.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// The directory.
        out: PathBuf,
    },
    /// The same, and it is hidden: a host may have put it there.
    #[error("`{}` is not a file that otapress would publish: move it out of `{}`, or name it in `keep` of \
        the fleet file if the host needs it", .file.display(), .out.display())]
    Hidden {
        /// The file or directory.
        file: PathBuf,
        /// The directory.
        out: PathBuf,
    },
    /// Something in it is a symbolic link, which could lead anywhere.
    #[error("`{}` is a symbolic link: otapress neither follows nor replaces it; remove it", .0.display())]
    Symlink(PathBuf),
    /// It was made by another version of otapress.
    #[error("`{}` cannot be understood ({reason}): it was made by another version of otapress, or changed by \
        hand", .file.display())]
    Format {
        /// `otapress.json`.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It is no file that can be read.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// A path that cannot be that of a directory, such as `..`.
    #[error("`{}` is not a directory's name", .0.display())]
    NoName(PathBuf),
    /// A JAR changed while it was published.
    #[error("`{}` changed while it was read: run the build again", .0.display())]
    Changed(PathBuf),
    /// The system refused.
    #[error("cannot {doing} `{}`: {error}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl PublishError {
    /// Makes an [`io::Error`] say what was tried with which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
        let path = path.to_owned();
        move |error| PublishError::Io { doing, path, error }
    }
}

/// Whether so many devices of so many are dropped that it is more likely a mistake than a plan: more than 10
/// %, and more than one.
pub fn is_mass_removal(dropped: usize, before: usize) -> bool {
    dropped > 1 && dropped * 10 > before
}
