//! Where out/ really is, and the lock that keeps two builds from writing there at once.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::PublishError;

/// The most links that are followed on the way, as Linux does.
const MAX_LINKS: usize = 40;

/// `out` with the links on the way to it followed, so that what is built beside it is on its file system. A
/// link to nothing is followed, too: it says where the directory is to be.
///
/// # Errors
/// If the directory that it is to lie in does not exist.
pub fn real_path(out: &Path) -> Result<PathBuf, PublishError> {
    let mut out = out.to_owned();
    for _ in 0..MAX_LINKS {
        match out.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map_err(PublishError::io("find", &out)),
        }
        let name = out.file_name().ok_or_else(|| PublishError::NoName(out.clone()))?;
        let parent = parent(&out);
        let parent = parent.canonicalize().map_err(PublishError::io("find", parent))?;
        let place = parent.join(name);
        match fs::read_link(&place) {
            Ok(target) => out = parent.join(target),
            Err(_) => return Ok(place),
        }
    }
    Err(PublishError::io("find", &out)(Errno::LOOP.into()))
}

/// The directory that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps other builds away as long as it lives: `flock` of out/ itself, which works at mount points and
/// leaves no file.
///
/// Where there is no out/ yet, it is created, and removed again if nothing was published in it.
#[derive(Debug)]
pub struct Lock {
    /// None where the file system has no such locks.
    _dir: Option<File>,
    created: Option<PathBuf>,
}

impl Lock {
    /// Waits for a build that is at work, and says so.
    ///
    /// # Errors
    /// If out/ cannot be created or opened.
    #[expect(clippy::disallowed_methods, reason = "out/ itself")]
    pub fn take(out: &Path, say: &mut dyn FnMut(&str)) -> Result<Self, PublishError> {
        let mut created = None;
        let mut has_waited = false;
        loop {
            match fs::create_dir(out) {
                Ok(()) => created = Some(out.to_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(PublishError::io("create", out)(error)),
            }
            let dir = match File::open(out) {
                // The build that has made it has failed just now, and removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                dir => dir.map_err(PublishError::io("open", out))?,
            };
            let locked = match dir.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    if !has_waited {
                        say("another build is at work: waiting for it");
                        has_waited = true;
                    }
                    dir.lock()
                }
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            };
            if let Err(error) = locked {
                // NFS and some FUSE file systems cannot lock a directory.
                say(&format!(
                    "`{}` cannot be locked ({error}): run one build at a time there",
                    out.display()
                ));
                return Ok(Lock { _dir: None, created });
            }
            // A first build replaces the directory that it has locked.
            if inode(&dir.metadata()) == inode(&fs::metadata(out)) {
                return Ok(Lock { _dir: Some(dir), created });
            }
        }
    }
}

fn inode(metadata: &io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    metadata.as_ref().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for Lock {
    #[expect(clippy::disallowed_methods, reason = "out/ itself, if it is empty")]
    fn drop(&mut self) {
        if let Some(out) = &self.created {
            // Fails if something was published.
            let _ = fs::remove_dir(out);
        }
    }
}
