//! Paths, modes, disks, and times of files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use super::account::{Account, ENTER, Obstacle, READ, WRITE};
use super::finding::{Code, Findings};
use super::needs::Needs;

/// Below this, in bytes, nothing can be relied on to be written.
const FULL: u64 = 1 << 20;
const LOW: u64 = 64 << 20;
/// The same in files.
const FEW_FILES: u64 = 1000;

/// A file this far in the future, in seconds, shows that the clock was set back.
const AHEAD: i64 = 120;

/// Whether the user can do all that it must.
pub(super) fn suit(user: &Account, needs: &Needs, out: &Path, state: Option<&Path>, found: &mut Findings) {
    if reaches(user, &out.join(otapress_core::out::SITE_FILE), READ, found) {
        published(user, out, found);
    }
    for path in &needs.reads {
        reaches(user, path, READ, found);
    }
    if let Some(program) = &needs.runs {
        reaches(user, program, READ | ENTER, found);
    }
    if let Some(state) = state.filter(|_| needs.writes_state) {
        writes(user, state, found);
    }
}

/// Whether the user can use a path; adds what keeps it from that.
fn reaches(user: &Account, path: &Path, bits: u32, found: &mut Findings) -> bool {
    let (name, shown) = (&user.name, path.display());
    match user.obstacle(path, bits) {
        None => return true,
        Some(Obstacle::Missing) => found.add(
            Code::PathMissing,
            format!("`{shown}` is not there"),
            "publish with `otapress build`, or name the right place (`--out`, `--cgi`, `--htpasswd`)".into(),
        ),
        Some(Obstacle::Closed(closed)) if closed.is_dir() => found.add(
            Code::PathClosed,
            format!("`{}` is closed to `{name}`, who must reach `{shown}`", closed.display()),
            format!(
                "`chmod o+x '{}'`, or move it all to where others may go, such as /srv",
                closed.display()
            ),
        ),
        Some(Obstacle::Closed(_)) => found.add(
            Code::PathClosed,
            format!("`{name}` may not {} `{shown}`", if bits & ENTER == 0 { "read" } else { "run" }),
            match bits & ENTER {
                0 => format!("`chgrp {name} '{shown}' && chmod g+r '{shown}'`"),
                _ => format!("`chmod a+rx '{shown}'`"),
            },
        ),
        Some(Obstacle::Hidden(hidden)) => hide(&hidden, found),
    }
    false
}

fn hide(path: &Path, found: &mut Findings) {
    let message = format!("this user may not look at `{}`", path.display());
    found.add(Code::PathClosed, message, "run the check as root".into());
}

/// Whether the user can read every published file.
fn published(user: &Account, out: &Path, found: &mut Findings) {
    let (mut closed, mut count) = (None, 0);
    let mut dirs = vec![out.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if !user.may(&path, &metadata, if metadata.is_dir() { ENTER } else { READ }) {
                count += 1;
                closed.get_or_insert(path);
            } else if metadata.is_dir() {
                dirs.push(path);
            }
        }
    }
    if let Some(path) = closed {
        let and = if count > 1 { format!(", and {} more below out/", count - 1) } else { String::new() };
        found.add(
            Code::PathClosed,
            format!("`{}` may not read `{}`{and}", user.name, path.display()),
            format!("`chmod -R a+rX '{}'`", out.display()),
        );
    }
}

fn writes(user: &Account, state: &Path, found: &mut Findings) {
    let (name, shown) = (&user.name, state.display());
    let all = READ | WRITE | ENTER;
    match user.obstacle(state, all) {
        None => {}
        // The responder makes it where it may.
        Some(Obstacle::Missing)
            if state.parent().is_some_and(|above| user.obstacle(above, all).is_none()) =>
        {
            return;
        }
        Some(Obstacle::Missing) => {
            return found.add(
                Code::StateClosed,
                format!("`{shown}` is not there, and `{name}` may not make it"),
                format!("`install -d -o {name} -g {name} -m 0750 '{shown}'`"),
            );
        }
        Some(Obstacle::Closed(closed)) if closed != state && closed.is_dir() => {
            return found.add(
                Code::StateClosed,
                format!("`{}` is closed to `{name}`, who must write in `{shown}`", closed.display()),
                format!("`chmod o+x '{}'`", closed.display()),
            );
        }
        Some(Obstacle::Closed(_)) => {
            return found.add(
                Code::StateClosed,
                format!("`{name}` may not write in `{shown}`: nothing is remembered, and nobody upgraded"),
                format!("`chown -R {name}: '{shown}' && chmod -R u+rwX '{shown}'`"),
            );
        }
        Some(Obstacle::Hidden(hidden)) => return hide(&hidden, found),
    }
    let files = fs::read_dir(state).into_iter().flatten().flatten().map(|entry| entry.path());
    let closed = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && !user.may(path, &file, READ | WRITE))
    };
    let mut files: Vec<_> = files.filter(closed).collect();
    files.sort();
    if let Some(file) = files.first() {
        found.add(
            Code::StateClosed,
            format!("`{name}` may not write `{}`", file.display()),
            format!("`chown -R {name}: '{shown}' && chmod -R u+rwX '{shown}'`"),
        );
    }
}

/// Whether there is room where something is written.
pub(super) fn disks(out: &Path, state: Option<&Path>, found: &mut Findings) {
    let mut seen = Vec::new();
    // Without records nobody is upgraded; so the state's disk is the one that is named.
    for path in state.into_iter().chain([out]) {
        let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let device = fs::metadata(existing).map(|metadata| metadata.dev()).ok();
        if let (false, Ok(disk)) = (seen.contains(&device), statvfs(existing)) {
            room(path, &disk, found);
        }
        seen.push(device);
    }
}

fn room(path: &Path, disk: &StatVfs, found: &mut Findings) {
    let shown = path.display();
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    // Some file systems count no files.
    let files = (disk.f_files > 0).then_some(disk.f_favail);
    let left = match files {
        Some(files) if files < FEW_FILES => format!("room for {files} more files"),
        _ => format!("{} kB free", free / 1000),
    };
    let mend = "make room, or move it to a larger disk; `otapress state prune` forgets old events";
    if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
        let mend = "mount it writable; a disk with faults is mounted so by the kernel: see `dmesg`";
        found.add(Code::DiskReadOnly, format!("the disk of `{shown}` is read-only"), mend.into());
    } else if free < FULL || files == Some(0) {
        found.add(Code::DiskFull, format!("the disk of `{shown}` is full: {left}"), mend.into());
    } else if free < LOW || files.is_some_and(|files| files < FEW_FILES) {
        found.add(Code::DiskLow, format!("the disk of `{shown}` is nearly full: {left}"), mend.into());
    }
}

/// Whether a file with a password is there, and private.
pub(super) fn is_private(file: &Path, found: &mut Findings) {
    let shown = file.display();
    match fs::metadata(file) {
        Err(_) => found.add(
            Code::EnvironmentMissing,
            format!("`{shown}` is not there, and the unit does not start without it"),
            format!("write OTAPRESS_STATE=postgres://… into it, and `chmod 0600 {shown}`"),
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o044 != 0 => found.add(
            Code::EnvironmentExposed,
            format!("others than its owner can read `{shown}`, which may hold a password"),
            format!("`chmod 0600 {shown}`"),
        ),
        Ok(_) => {}
    }
}

/// Whether files come from the future.
pub(super) fn clock(now: i64, files: impl Iterator<Item = PathBuf>, found: &mut Findings) {
    let latest = files.filter_map(|file| Some((fs::metadata(&file).ok()?.mtime(), file))).max();
    if let Some((written, file)) = latest.filter(|(written, _)| *written > now + AHEAD) {
        found.add(
            Code::ClockBehind,
            format!(
                "the clock is behind: `{}` was written {} s after what is now said to be the time",
                file.display(),
                written - now
            ),
            "let the machine keep its time (`timedatectl set-ntp true`): waves, windows and deadlines go by \
             it"
            .into(),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_password_is_for_root_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("otapress.env");
        let found = || {
            let mut found = Findings::default();
            is_private(&file, &mut found);
            found.codes()
        };
        assert_eq!(found(), [Code::EnvironmentMissing]);
        fs::write(&file, "OTAPRESS_STATE=postgres://u:p@h/d\n").unwrap();
        let exposed = [Code::EnvironmentExposed].as_slice();
        for (mode, codes) in [(0o600, &[][..]), (0o640, exposed), (0o604, exposed)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(found(), codes, "{mode:o}");
        }
    }
}
