//! The files of `out/` that are served: which path is which file, of which type, and how long it may be cached.
//!
//! What could be served wrongly, and what keeps it from being served:
//!
//! 1. a path that leads out of `out/` (`..`, encoded or not, backslashes, NUL): a path is looked up only
//!    if it is an [`OutPath`], which has none of these; nothing is ever decoded;
//! 2. a symbolic link out of `out/`: the kernel is told to follow none; where there is one, the file's real path must
//!    lie below the real path of `out/`;
//! 3. what is not a device's business (`vc/`, `otapress.json`, temporary files): only the three kinds of
//!    [`Kind`] are served;
//! 4. a JAR that changes while it is sent: a file is sent from where it was opened once, and files are
//!    replaced by renaming, never in place.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use otapress_core::out_path::OutPath;

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

/// Opens a file below `out`; `None` if there is none.
///
/// # Errors
/// If there is one and it cannot be read.
pub fn open(out: &Path, path: &OutPath) -> io::Result<Option<(File, Metadata)>> {
    match try_open(out, path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        result => result,
    }
}

fn try_open(out: &Path, path: &OutPath) -> io::Result<Option<(File, Metadata)>> {
    let file = match open_unlinked(out, path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        // There is a symbolic link on the way, or the kernel is too old to say.
        Err(_) => return open_linked(out, path),
        Ok(file) => file,
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// Opens what lies below `out` without any symbolic link in between: nearly everything, in one step.
fn open_unlinked(out: &Path, path: &OutPath) -> rustix::io::Result<File> {
    let out = rustix::fs::open(out, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(rustix::fs::openat2(out, path.as_str(), flags, Mode::empty(), within)?.into())
}

/// The same by looking at the real paths, which takes a look at every directory on the way.
fn open_linked(out: &Path, path: &OutPath) -> io::Result<Option<(File, Metadata)>> {
    let real = fs::canonicalize(path.below(out))?;
    if !real.starts_with(fs::canonicalize(out)?) {
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

/// The path below `out/` that a request's path names, `prefix` being the path of the site's own URL.
///
/// Nothing is decoded: a path with a `%` names no file, since no URL of ours holds one.
pub fn out_path(prefix: &str, path: &str) -> Option<OutPath> {
    path.strip_prefix(prefix)?.strip_prefix('/')?.parse().ok()
}

/// The path of a site's URL: empty for `http://host`, `/a` for `http://host/a`.
pub fn site_prefix(site: &str) -> &str {
    let rest = site.split_once("://").map_or(site, |(_, rest)| rest);
    rest.find('/').map_or("", |i| &rest[i..]).trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

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
        rustix::fs::mkfifoat(rustix::fs::CWD, out.join("pipe.jad"), Mode::RUSR | Mode::WUSR).unwrap();
        // `out/` itself may be a link: releases are often switched that way.
        symlink("out", dir.path().join("current")).unwrap();
        for root in [out, dir.path().join("current")] {
            let read = |p| {
                let (mut file, _) = open(&root, &path(p)).unwrap()?;
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                Some(bytes)
            };
            assert_eq!(read("files/d/x.jad").as_deref(), Some(&b"inside"[..]));
            assert_eq!(read("files/inner.jad").as_deref(), Some(&b"inside"[..]));
            for absent in [
                "files/outer.jad",
                "up/secret.jad",
                "files/d",
                "files/d/x.jad/y.jad",
                "nothing.jad",
                "pipe.jad",
            ] {
                assert_eq!(read(absent), None, "{absent}");
            }
        }
    }
}
