//! Whether a server's user can reach what its configuration names: a home directory is often closed, and the
//! server then says no more than 403.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Finds the directory on the way to `path` that other users cannot enter, or a missing path.
pub(crate) fn by_others(path: &Path) -> Result<(), String> {
    let closed = |dir: &&Path| fs::metadata(dir).is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    if let Some(dir) = above.into_iter().rev().find(closed) {
        return Err(format!(
            "`{}` is closed to other users, and the server's user must reach `{}`",
            dir.display(),
            path.display()
        ));
    }
    if path.exists() { Ok(()) } else { Err(format!("`{}` is not there", path.display())) }
}

pub(crate) fn warnings(paths: &[PathBuf]) -> Vec<String> {
    let mut found: Vec<_> = paths.iter().filter_map(|path| by_others(path).err()).collect();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let open = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let file = dir.path().join("otapress-cgi");
        open(0o755);
        assert_eq!(by_others(&file), Err(format!("`{}` is not there", file.display())));
        fs::write(&file, "").unwrap();
        assert_eq!(by_others(&file), Ok(()));
        open(0o750);
        let says = format!(
            "`{}` is closed to other users, and the server's user must reach `{}`",
            dir.path().display(),
            file.display()
        );
        assert_eq!(warnings(&[file.clone(), file]), [says]);
    }
}
