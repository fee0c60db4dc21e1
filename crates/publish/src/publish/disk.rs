//! The few things that publishing does to a disk, as a trait: so that a test can let any of them fail, or be
//! the last.

#![expect(clippy::disallowed_methods, reason = "out/ is written here and nowhere else")]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::parallel;

/// What [`super::apply`] needs.
pub trait Disk: Sync {
    /// Creates a directory and those above it.
    fn create_dirs(&self, path: &Path) -> io::Result<()>;
    /// Creates a file that does not exist yet.
    fn create(&self, path: &Path, bytes: &[u8], not_before: Option<SystemTime>) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames, replacing what is there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Atomically swaps two paths.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file, or a directory with all that is in it.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
    /// Returns when everything that was done on the file system of `path` will outlast a crash.
    fn barrier(&self, path: &Path) -> io::Result<()>;
    /// Whether two threads are faster than one.
    fn is_concurrent(&self) -> bool;
}

/// The disk itself. Modes are 0755 and 0644 as long as the process's umask is 022, which the command sets.
#[derive(Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
    }

    fn create(&self, path: &Path, bytes: &[u8], not_before: Option<SystemTime>) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(bytes)?;
        if let Some(not_before) = not_before
            && file.metadata()?.modified()? < not_before
        {
            file.set_modified(not_before)?;
        }
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            // Some network file systems cannot; then there is a moment at which `other` is missing.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let mut aside = OsString::from(one);
                aside.push("-aside");
                fs::rename(other, &aside)?;
                fs::rename(one, other)?;
                fs::rename(&aside, one)
            }
            result => Ok(result?),
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    fn barrier(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn is_concurrent(&self) -> bool {
        parallel::is_worthwhile()
    }
}
