//! Owner, group and mode of the files in the state directory.
//!
//! Whoever may use the directory must be able to use the records in it. An administrator who once runs
//! `serve` as root would otherwise lock out the server's own user: its answers would be "no" from then on. So
//! files get the owner and group of their directory, and the group may write where it may write in the
//! directory. SQLite gives its log the owner (as root) and the mode of the database.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use super::super::StoreError;
use super::beside;

const GROUP_WRITES: u32 = 0o020;
const GROUP_READS_AND_WRITES: u32 = 0o060;
const OTHERS_WRITE: u32 = 0o002;

/// The mode of a file in that directory.
fn mode(directory: &Metadata) -> u32 {
    if directory.mode() & GROUP_WRITES == 0 { 0o640 } else { 0o660 }
}

/// Whether everybody who may write in the directory can use the file.
fn fits(file: &Metadata, directory: &Metadata) -> bool {
    if directory.mode() & OTHERS_WRITE != 0 {
        return true;
    }
    let by_group =
        file.gid() == directory.gid() && file.mode() & GROUP_READS_AND_WRITES == GROUP_READS_AND_WRITES;
    let group_writes = directory.mode() & GROUP_WRITES != 0;
    // Root can use everything.
    let by_owner = directory.uid() == 0 || file.uid() == directory.uid();
    if group_writes { by_group } else { by_owner }
}

/// Gives a file the owner, group and mode that its directory asks for, as far as this process may.
#[expect(clippy::disallowed_methods, reason = "the database in state/")]
pub(super) fn adopt(path: &Path) -> io::Result<()> {
    let directory = fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    let file = File::open(path)?;
    let now = file.metadata()?;
    if now.gid() != directory.gid() {
        // Only root may give a file to any group; others to those that they are in.
        let _ = fchown(&file, None, Some(directory.gid()));
    }
    if now.uid() != directory.uid() {
        let _ = fchown(&file, Some(directory.uid()), None);
    }
    let mode = mode(&directory);
    if file.metadata()?.mode() & 0o777 != mode {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(())
}

/// Makes sure that everybody who may use the directory can use the database at `path`, if there is one.
///
/// # Errors
/// If they cannot, and this process may not mend it.
pub(super) fn check(path: &Path) -> Result<(), StoreError> {
    // What is not there, or not to be seen, shows when it is opened.
    let Ok(directory) = fs::metadata(path.parent().unwrap_or(Path::new("."))) else { return Ok(()) };
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        refuse_link(&file)?;
        let Ok(metadata) = fs::symlink_metadata(&file) else { continue };
        if fits(&metadata, &directory) && metadata.mode() & OTHERS_WRITE == 0 {
            continue;
        }
        let _ = adopt(&file);
        if !fs::symlink_metadata(&file).is_ok_and(|metadata| fits(&metadata, &directory)) {
            return Err(unfit(path, &metadata, &directory));
        }
    }
    Ok(())
}

/// # Errors
/// If there is a symbolic link in place of the file.
pub(super) fn refuse_link(path: &Path) -> Result<(), StoreError> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        let why = "it is a symbolic link, and its log would lie beside the link: name the directory of the \
            database \
                   itself, or move the database here";
        return Err(StoreError::Unfit { path: path.to_owned(), why: why.into() });
    }
    Ok(())
}

fn unfit(path: &Path, file: &Metadata, directory: &Metadata) -> StoreError {
    let state = path.parent().unwrap_or(Path::new("."));
    let (path_, state_, mode) = (path.display(), state.display(), mode(directory));
    let why = format!(
        "it belongs to user {} and group {}, its directory to user {} and group {}: as root, run `chown \
         --reference='{state_}' '{path_}'*; chmod {mode:04o} '{path_}'*`",
        file.uid(),
        file.gid(),
        directory.uid(),
        directory.gid(),
    );
    StoreError::Unfit { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::OneByOne as _;
    use std::os::unix::fs::chown;
    use std::time::Duration;

    use super::super::{FILE, SqliteStore};

    fn open(state: &Path) -> Result<(), String> {
        SqliteStore::open(state, Duration::from_secs(1)).map(drop).map_err(|error| error.to_string())
    }

    fn seen(path: &Path) -> (u32, u32, u32) {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid(), metadata.mode() & 0o777)
    }

    #[test]
    fn the_group_may_write_where_it_may_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        for (directory, file) in [(0o750, 0o640), (0o700, 0o640), (0o770, 0o660), (0o2775, 0o660)] {
            let state = dir.path().join(format!("{directory:o}"));
            fs::create_dir(&state).unwrap();
            fs::set_permissions(&state, Permissions::from_mode(directory)).unwrap();
            open(&state).unwrap();
            assert_eq!(seen(&state.join(FILE)).2, file, "{directory:o}");
            // What an older version made is mended.
            fs::set_permissions(state.join(FILE), Permissions::from_mode(0o646)).unwrap();
            open(&state).unwrap();
            assert_eq!(seen(&state.join(FILE)).2, file, "{directory:o}");
        }
    }

    /// Only root can make files of others.
    #[test]
    fn files_made_by_root_belong_to_the_directory_s_owner() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        chown(&state, Some(4711), Some(4712)).unwrap();
        open(&state).unwrap();
        let mut store = SqliteStore::open(&state, Duration::from_secs(1)).unwrap();
        let write = |tx: &mut dyn crate::store::Tx| tx.count_offer("c", 1);
        crate::store::Store::write(&mut store, crate::store::Durability::Process, &mut { write }).unwrap();
        let lease = crate::store::Store::lease(&mut store, "relay").unwrap();
        for file in [FILE, "otapress.db-wal", "otapress.db-shm", "relay.lock"] {
            let (uid, gid, _) = seen(&state.join(file));
            assert_eq!((uid, gid), (4711, 4712), "{file}");
        }
        drop((store, lease));
        // What an older version left to root is given back.
        for file in [FILE, "otapress.db-wal"] {
            chown(state.join(file), Some(0), Some(0)).unwrap();
        }
        open(&state).unwrap();
        assert_eq!(seen(&state.join(FILE)), (4711, 4712, 0o640));
    }

    #[test]
    fn a_file_that_others_need_and_cannot_use_is_refused_with_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let (file, directory) = (fs::metadata(&file).unwrap(), fs::metadata(dir.path()).unwrap());
        let error = unfit(Path::new("/srv/state/otapress.db"), &file, &directory).to_string();
        let command = "as root, run `chown --reference='/srv/state' '/srv/state/otapress.db'*; chmod 0640 \
                       '/srv/state/otapress.db'*`";
        assert!(error.ends_with(command), "{error}");
    }

    #[test]
    fn a_symbolic_link_is_no_database() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        open(&there).unwrap();
        fs::create_dir(&here).unwrap();
        std::os::unix::fs::symlink(there.join(FILE), here.join(FILE)).unwrap();
        assert!(open(&here).unwrap_err().contains("it is a symbolic link"));
        let looked = SqliteStore::open_read_only(&here, Duration::from_secs(1)).map(drop);
        assert!(looked.unwrap_err().to_string().contains("it is a symbolic link"));
        // The directory may be one.
        std::os::unix::fs::symlink(&there, dir.path().join("linked")).unwrap();
        open(&dir.path().join("linked")).unwrap();
    }
}
