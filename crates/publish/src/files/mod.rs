//! Files that a fleet is made of. Whoever can open a merge request can name them, so that nothing but plain
//! files of bounded size below directories that the operator has named is read, and a message never quotes
//! anything else.

pub mod glob;

use std::collections::BTreeMap;
use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The directories below which a fleet may name files.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Without links in them.
    roots: Vec<PathBuf>,
    /// Texts that are read in place of files.
    texts: BTreeMap<PathBuf, String>,
}

impl Reach {
    /// The directory of the fleet file and those that `--allow-path` names.
    pub fn new(fleet: &Path, allowed: &[PathBuf]) -> Self {
        let dir = fleet.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let all = allowed.iter().map(PathBuf::as_path).chain([dir]);
        // Nothing is read below a directory that does not exist.
        Reach { roots: all.filter_map(|dir| dir.canonicalize().ok()).collect(), texts: BTreeMap::new() }
    }

    /// Reads other texts in place of some files, as if they were written already.
    #[must_use]
    pub fn with_texts(self, texts: BTreeMap<PathBuf, String>) -> Self {
        Reach { texts, ..self }
    }

    /// The real path of a file or directory that may be read.
    ///
    /// # Errors
    /// If it lies elsewhere after every link is followed, or does not exist.
    pub fn admit(&self, path: &Path) -> Result<PathBuf, FileErrorKind> {
        let real = path.canonicalize().map_err(FileErrorKind::Io)?;
        if self.roots.iter().any(|root| real.starts_with(root)) {
            Ok(real)
        } else {
            Err(FileErrorKind::Outside)
        }
    }

    /// Reads a plain file of at most `limit` bytes.
    ///
    /// # Errors
    /// If it is not such a file, lies elsewhere, or cannot be read.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
        let real = self.admit(path).map_err(|kind| FileError { path: path.into(), kind })?;
        if let Some(text) = self.texts.get(path) {
            return Ok(text.clone().into_bytes());
        }
        read(&real, limit).map_err(|error| FileError { path: path.into(), ..error })
    }

    /// The same for a file that holds text.
    ///
    /// # Errors
    /// Also if it is not text.
    pub fn text(&self, path: &Path, limit: u64) -> Result<String, FileError> {
        let failed = |kind| FileError { path: path.into(), kind };
        let bytes = self.read(path, limit)?;
        if is_lfs_pointer(&bytes) {
            return Err(failed(FileErrorKind::LfsPointer));
        }
        let not_text = |error: std::string::FromUtf8Error| error.utf8_error().valid_up_to();
        String::from_utf8(bytes).map_err(|error| failed(FileErrorKind::NotText(not_text(error))))
    }
}

/// Why a file's bytes cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("`{}` {kind}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, which the message has already.
    pub kind: FileErrorKind,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileErrorKind {
    /// The system refuses.
    #[error("cannot be read: {0}")]
    Io(io::Error),
    /// A directory, a pipe, a socket or a device.
    #[error("is {0}, not a file")]
    NotAFile(&'static str),
    /// It has more than this many bytes.
    #[error("has more than {0} bytes")]
    TooLarge(u64),
    /// Other bytes than the ones that were validated.
    #[error("changed while it was being used")]
    Changed,
    /// It lies neither below the directory of the fleet file nor where the operator has allowed.
    #[error("lies outside the directory of the fleet file")]
    Outside,
    /// It is not UTF-8 from this byte on.
    #[error("is not UTF-8 text (at byte {0})")]
    NotText(usize),
    /// Git LFS has not fetched it.
    #[error("is a Git LFS pointer, not the file itself")]
    LfsPointer,
}

impl FileErrorKind {
    /// How to mend it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            FileErrorKind::Outside => {
                Some("`--allow-path DIR` permits files below DIR to whoever can change the fleet")
            }
            FileErrorKind::NotText(_) => Some("save it as UTF-8"),
            FileErrorKind::LfsPointer => Some(FETCH_LFS),
            _ => None,
        }
    }
}

/// Reads a plain file of at most `limit` bytes, wherever it lies. Never waits for a pipe or a device.
///
/// # Errors
/// If it is not such a file, or cannot be read.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let failed = |kind| FileError { path: path.into(), kind };
    let io_failed = |error| failed(FileErrorKind::Io(error));

    // Opening is enough to disturb some devices and to wait at a pipe, so the file is looked at first; and
    // again when it is open, because it may have been replaced.
    plain(path.metadata().map_err(io_failed)?.file_type()).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| io_failed(e.into()))?);
    let metadata = file.metadata().map_err(io_failed)?;
    plain(metadata.file_type()).map_err(failed)?;
    if metadata.len() > limit {
        return Err(failed(FileErrorKind::TooLarge(limit)));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io_failed)?;
    match bytes.len() as u64 {
        len if len > limit => Err(failed(FileErrorKind::TooLarge(limit))),
        len if len == metadata.len() => Ok(bytes),
        // What the kernel makes up (/proc, /sys) calls itself a file, but does not know its size.
        _ if metadata.len() == 0 => Err(failed(FileErrorKind::NotAFile("an interface of the system"))),
        _ => Err(failed(FileErrorKind::Changed)),
    }
}

fn plain(file_type: FileType) -> Result<(), FileErrorKind> {
    let what = match file_type {
        t if t.is_file() => return Ok(()),
        t if t.is_dir() => "a directory",
        t if t.is_fifo() => "a named pipe",
        t if t.is_socket() => "a socket",
        _ => "a device",
    };
    Err(FileErrorKind::NotAFile(what))
}

/// Whether these are the bytes that Git LFS leaves in place of a file where its content was not fetched.
pub(crate) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// How to get the content of such a file.
pub(crate) const FETCH_LFS: &str =
    "`git lfs pull` fetches the file; in CI, let the checkout include LFS files";

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn kind(result: Result<Vec<u8>, FileError>) -> String {
        result.map_or_else(|error| error.kind.to_string(), |bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn nothing_outside_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("fleet/sub")).unwrap();
        fs::create_dir(path("fleet-of-others")).unwrap();
        fs::create_dir(path("mounted")).unwrap();
        for name in ["fleet/a", "fleet/sub/b", "fleet-of-others/c", "mounted/d"] {
            fs::write(path(name), name).unwrap();
        }
        symlink("sub", path("fleet/inner")).unwrap();
        symlink("../fleet-of-others", path("fleet/outer")).unwrap();
        symlink("/proc/self/environ", path("fleet/environ")).unwrap();
        symlink(dir.path().join("mounted/d"), path("fleet/d")).unwrap();
        let reach = Reach::new(&path("fleet/fleet.yaml"), &[]);
        let wider = Reach::new(&path("fleet/fleet.yaml"), &[path("mounted"), path("missing")]);
        let outside = "lies outside the directory of the fleet file";
        let cases = [
            ("fleet/a", "fleet/a", "fleet/a"),
            ("fleet/inner/b", "fleet/sub/b", "fleet/sub/b"),
            ("fleet/sub/../inner/../a", "fleet/a", "fleet/a"),
            ("fleet-of-others/c", outside, outside),
            ("fleet/outer/c", outside, outside),
            ("fleet/../fleet-of-others/c", outside, outside),
            ("fleet/environ", outside, outside),
            ("fleet/d", outside, "mounted/d"),
        ];
        for (name, narrow, wide) in cases {
            assert_eq!(kind(reach.read(&path(name), 100)), narrow, "{name}");
            assert_eq!(kind(wider.read(&path(name), 100)), wide, "{name}");
        }
        assert_eq!(kind(Reach::default().read(&path("fleet/a"), 100)), outside);
    }

    #[test]
    fn only_plain_files_of_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        fs::write(path("five"), "12345").unwrap();
        fs::File::create(path("sparse")).unwrap().set_len(1 << 40).unwrap();
        let cases = [
            ("fifo", "is a named pipe, not a file"),
            ("socket", "is a socket, not a file"),
            (".", "is a directory, not a file"),
            ("five", "12345"),
            ("sparse", "has more than 5 bytes"),
            ("/dev/zero", "is a device, not a file"),
            ("/proc/self/environ", "is an interface of the system, not a file"),
        ];
        for (name, wanted) in cases {
            let limit = if name.starts_with("/proc") { 1 << 20 } else { 5 };
            assert_eq!(kind(read(&path(name), limit)), wanted, "{name}");
        }
    }
}
