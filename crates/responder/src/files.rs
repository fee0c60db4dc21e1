//! Opens the files of `out/` that are served ([`otapress_core::out::Served`] says which these are).
//!
//! What could be served wrongly, and what keeps it from being served:
//!
//! 1. a path that leads out of `out/` (`..`, encoded or not, backslashes, NUL): a path is looked up only
//!    if it is an [`OutPath`], which has none of these; nothing is ever decoded;
//! 2. a symbolic link out of `out/`: the kernel is told to follow none; where there is one, the file's real
//!    path must lie below the real path of `out/`;
//! 3. what is not a device's business (`vc/`, `otapress.json`, temporary files): only what
//!    [`otapress_core::out::Served`] names is served;
//! 4. a JAR that changes while it is sent: a file is sent from where it was opened once, and files are
//!    replaced by renaming, never in place.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use otapress_core::out_path::OutPath;

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
    // Opening a pipe would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |dir, path: &Path, resolve| rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve);
    match open(CWD, &path.below(out), ResolveFlags::NO_SYMLINKS) {
        // `out/` itself may be a link, or lie behind one.
        Err(Errno::LOOP) => {}
        opened => return Ok(opened?.into()),
    }
    let out = rustix::fs::open(out, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(open(out.as_fd(), Path::new(path.as_str()), within)?.into())
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

/// A site's URL without its path: `http://host` for `http://host/a`.
pub fn origin(site: &str) -> &str {
    site.trim_end_matches('/').strip_suffix(site_prefix(site)).unwrap_or(site)
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
