//! The few things that publishing does to a disk, as a trait: so that a test can let any of them fail, or be the last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

/// What [`super::apply`] needs.
pub trait Disk {
    /// Creates a directory and those above it.
    fn create_dirs(&mut self, path: &Path) -> io::Result<()>;
    /// Creates a file that does not exist yet.
    fn create(&mut self, path: &Path, bytes: &[u8], not_before: Option<SystemTime>) -> io::Result<()>;
    /// Gives a file a second name.
    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames, replacing what is there.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&mut self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&mut self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_tree(&mut self, path: &Path) -> io::Result<()>;
    /// Returns when everything that was done on the file system of `path` will outlast a crash.
    fn barrier(&mut self, path: &Path) -> io::Result<()>;
}

/// The disk itself. Modes are 0755 and 0644 as long as the process's umask is 022, which the command sets.
#[derive(Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(path)
    }

    fn create(&mut self, path: &Path, bytes: &[u8], not_before: Option<SystemTime>) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        file.write_all(bytes)?;
        if let Some(not_before) = not_before
            && file.metadata()?.modified()? < not_before
        {
            file.set_modified(not_before)?;
        }
        Ok(())
    }

    fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn barrier(&mut self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }
}
