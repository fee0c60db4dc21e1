//! The static files of `out/`: which path is which file, of which type, and how long it may be cached.
//!
//! What could be served wrongly, and what keeps it from being served:
//!
//! 1. a path that leads out of `out/` (`..`, encoded or not, backslashes, NUL): a path is looked up only
//!    if it is an [`OutPath`], which has none of these; nothing is ever decoded;
//! 2. a symbolic link out of `out/`: the file's real path must lie below the real path of `out/`;
//! 3. what is not a device's business (`vc/`, `otapress.json`, temporary files): only the three kinds of
//!    [`Kind`] are served;
//! 4. a JAR that changes while it is sent: files are read whole from one open file, and are replaced by
//!    renaming, never in place.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use hyper::body::Bytes;

use crate::out_path::OutPath;

/// Files below this size are read for each request; larger ones (JARs) are kept in memory.
const SMALL: u64 = 32 * 1024;

/// How many bytes of JARs are kept in memory at most.
const KEPT: u64 = 64 * 1024 * 1024;

/// A kind of file that devices and operators may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A descriptor.
    Jad,
    /// A JAR; `immutable` if its path names its content.
    Jar {
        /// Whether it may be cached for ever.
        immutable: bool,
    },
    /// A list of checksums.
    Checksums,
}

impl Kind {
    /// The kind that a path names; `None` for everything that is not served.
    pub fn of(path: &OutPath) -> Option<Kind> {
        let path = path.as_str();
        if path.starts_with("vc/") || path.split('/').any(|component| component.starts_with('.')) {
            return None;
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.') {
            Some((_, "jad")) => Some(Kind::Jad),
            Some((_, "jar")) => Some(Kind::Jar { immutable: is_immutable(path) }),
            _ if name == "SHA256SUMS" => Some(Kind::Checksums),
            _ => None,
        }
    }

    /// The value of Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Kind::Jad => "text/vnd.sun.j2me.app-descriptor",
            Kind::Jar { .. } => "application/java-archive",
            Kind::Checksums => "text/plain",
        }
    }

    /// The value of Cache-Control.
    pub fn cache_control(self) -> &'static str {
        match self {
            Kind::Jar { immutable: true } => "public, max-age=31536000, immutable, no-transform",
            _ => "no-cache, no-transform",
        }
    }

    /// Whether it is served to those with credentials only, where there are credentials.
    pub fn is_protected(self) -> bool {
        matches!(self, Kind::Jad | Kind::Jar { .. })
    }
}

/// `jars/<version>/<16 hexadecimal digits of its digest>/<name>`.
fn is_immutable(path: &str) -> bool {
    let mut parts = path.split('/');
    let hash = |part: &str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.next() == Some("jars")
        && parts.next().is_some()
        && parts.next().is_some_and(hash)
        && parts.count() == 1
}

/// What identifies a file's content as long as files are replaced by renaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The files below `out/`.
#[derive(Debug)]
pub struct Files {
    out: PathBuf,
    kept: Mutex<Kept>,
}

/// JARs in memory, the last used at the front.
#[derive(Debug, Default)]
struct Kept {
    jars: VecDeque<(Stamp, Bytes)>,
    bytes: u64,
}

impl Files {
    /// The files below `out`, which need not exist yet.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Files { out: out.into(), kept: Mutex::default() }
    }

    /// The content of a file; `None` if there is no such file below `out/`.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn read(&self, path: &OutPath) -> io::Result<Option<Bytes>> {
        match self.open(path) {
            Ok(Some((file, metadata))) => self.content(file, &metadata).map(Some),
            Ok(None) => Ok(None),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error),
            },
        }
    }

    fn open(&self, path: &OutPath) -> io::Result<Option<(File, Metadata)>> {
        let real = fs::canonicalize(path.below(&self.out))?;
        if !real.starts_with(fs::canonicalize(&self.out)?) {
            return Ok(None);
        }
        // Asked before it is opened: opening a pipe would wait for its writer.
        if !fs::symlink_metadata(&real)?.is_file() {
            return Ok(None);
        }
        let file = File::open(&real)?;
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, metadata)))
    }

    fn content(&self, mut file: File, metadata: &Metadata) -> io::Result<Bytes> {
        let size = metadata.len();
        let stamp = Stamp::of(metadata);
        let keep = (SMALL..KEPT / 2).contains(&size);
        if keep && let Some(bytes) = self.kept().find(stamp) {
            return Ok(bytes);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        if keep && bytes.len() as u64 == size {
            self.kept().put(stamp, bytes.clone());
        }
        Ok(bytes)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What a panicking thread left is a list of whole entries.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, stamp: Stamp) -> Option<Bytes> {
        let i = self.jars.iter().position(|(s, _)| *s == stamp)?;
        let entry = self.jars.remove(i)?;
        let bytes = entry.1.clone();
        self.jars.push_front(entry);
        Some(bytes)
    }

    fn put(&mut self, stamp: Stamp, bytes: Bytes) {
        if self.jars.iter().any(|(s, _)| *s == stamp) {
            return;
        }
        self.bytes += bytes.len() as u64;
        self.jars.push_front((stamp, bytes));
        while self.bytes > KEPT
            && let Some((_, dropped)) = self.jars.pop_back()
        {
            self.bytes -= dropped.len() as u64;
        }
    }
}

/// The path below `out/` that a request's path names, `prefix` being the path of the site's own URL.
///
/// Nothing is decoded: a path with a `%` names no file, since no URL of ours holds one.
pub fn out_path(prefix: &str, path: &str) -> Option<OutPath> {
    path.strip_prefix(prefix)?.strip_prefix('/')?.parse().ok()
}

/// The path of a site's URL: empty for `http://host`, `/a` for `http://host/a`.
pub(super) fn site_prefix(site: &str) -> &str {
    let rest = site.split_once("://").map_or(site, |(_, rest)| rest);
    rest.find('/').map_or("", |i| &rest[i..]).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn path(text: &str) -> OutPath {
        text.parse().unwrap()
    }

    fn write(root: &Path, name: &str, content: &[u8]) {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    #[test]
    fn only_what_devices_fetch_has_a_kind() {
        assert_eq!(Kind::of(&path("files/d/OwnTracks.jad")), Some(Kind::Jad));
        let jar = "jars/0.10.66/0123456789abcdef/OwnTracks.jar";
        assert_eq!(Kind::of(&path(jar)), Some(Kind::Jar { immutable: true }));
        for mutable in ["jars/OwnTracks.jar", "jars/1.0/OwnTracks.jar", "x/1.0/0123456789abcdef/O.jar"] {
            assert_eq!(Kind::of(&path(mutable)), Some(Kind::Jar { immutable: false }), "{mutable}");
        }
        assert_eq!(Kind::of(&path("jars/SHA256SUMS")), Some(Kind::Checksums));
        for hidden in [
            "otapress.json",
            "vc/123456789012345.json",
            "vc/x.jad",
            "files/.tmp/x.jad",
            ".x.jar",
            "x.JAD",
            "x.jad.tmp",
            "jad",
        ] {
            assert_eq!(Kind::of(&path(hidden)), None, "{hidden}");
        }
    }

    #[test]
    fn paths_are_taken_literally() {
        assert_eq!(out_path("", "/files/a@b/x.jad"), Some(path("files/a@b/x.jad")));
        assert_eq!(out_path("/base", "/base/x.jad"), Some(path("x.jad")));
        for bad in
            ["/", "//x.jad", "/a/../x.jad", "/%2e%2e/x.jad", "/a\\x.jad", "/x%00.jad", "/x.jad/", "x.jad"]
        {
            assert_eq!(out_path("", bad), None, "{bad}");
        }
        assert_eq!(out_path("/base", "/x.jad"), None);
        assert_eq!(out_path("/base", "/basex.jad"), None);
        assert_eq!(site_prefix("http://h"), "");
        assert_eq!(site_prefix("http://h/"), "");
        assert_eq!(site_prefix("http://h:8/a/b"), "/a/b");
    }

    #[test]
    fn links_out_of_the_directory_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        write(&out, "files/d/x.jad", b"inside");
        write(dir.path(), "secret.jad", b"outside");
        symlink("d/x.jad", out.join("files/inner.jad")).unwrap();
        symlink("../../secret.jad", out.join("files/outer.jad")).unwrap();
        symlink("..", out.join("up")).unwrap();
        // `out/` itself may be a link: releases are often switched that way.
        symlink("out", dir.path().join("current")).unwrap();
        for root in [out, dir.path().join("current")] {
            let files = Files::new(root);
            let read = |p| files.read(&path(p)).unwrap();
            assert_eq!(read("files/d/x.jad").as_deref(), Some(&b"inside"[..]));
            assert_eq!(read("files/inner.jad").as_deref(), Some(&b"inside"[..]));
            for absent in
                ["files/outer.jad", "up/secret.jad", "files/d", "files/d/x.jad/y.jad", "nothing.jad"]
            {
                assert_eq!(read(absent), None, "{absent}");
            }
        }
    }

    #[test]
    fn a_replaced_jar_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let old = vec![1; 100_000];
        write(dir.path(), "a.jar", &old);
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), old);
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), old);
        assert_eq!(files.kept().jars.len(), 1);
        let new = vec![2; 100_000];
        write(dir.path(), "tmp", &new);
        fs::rename(dir.path().join("tmp"), dir.path().join("a.jar")).unwrap();
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), new);
    }

    #[test]
    fn memory_for_jars_is_bounded() {
        let mut kept = Kept::default();
        let dir = tempfile::tempdir().unwrap();
        for i in 0..5 {
            write(dir.path(), &i.to_string(), b"");
            let stamp = Stamp::of(&fs::metadata(dir.path().join(i.to_string())).unwrap());
            kept.put(stamp, Bytes::from(vec![0; KEPT as usize / 3]));
            assert!(kept.find(stamp).is_some());
        }
        assert_eq!(kept.jars.len(), 3);
        assert_eq!(kept.bytes, 3 * (KEPT / 3));
    }
}
