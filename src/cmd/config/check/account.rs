//! What a user of this machine may do with a file, without becoming that user.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::values::real;

pub(super) const READ: u32 = 0o4;
pub(super) const WRITE: u32 = 0o2;
pub(super) const ENTER: u32 = 0o1;

#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: String,
    uid: u32,
    groups: Vec<u32>,
}

/// What keeps a user from a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Missing,
    /// A directory on the way, or the path itself.
    Closed(PathBuf),
    /// This process cannot tell.
    Hidden(PathBuf),
}

impl Account {
    /// The user of that name. `id` knows those of a directory service, too.
    pub(super) fn find(name: &str) -> Option<Account> {
        let numbers = |option: &str| -> Option<Vec<u32>> {
            let output = Command::new("id").args([option, "--", name]).output().ok()?;
            let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
            text.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        Some(Account { name: name.into(), uid: *numbers("-u")?.first()?, groups: numbers("-G")? })
    }

    pub(super) fn may(&self, path: &Path, found: &Metadata, bits: u32) -> bool {
        let shift = match () {
            () if self.uid == 0 => return true,
            () if found.uid() == self.uid => 6,
            () if self.groups.contains(&found.gid()) => 3,
            () => 0,
        };
        (found.mode() >> shift) & bits == bits || has_access_list(path)
    }

    /// What keeps the user from doing `bits` with a path.
    pub(super) fn obstacle(&self, path: &Path, bits: u32) -> Option<Obstacle> {
        let path = std::path::absolute(path).ok()?;
        let path = real(&path).unwrap_or(path);
        let ancestors: Vec<_> = path.ancestors().skip(1).collect();
        let way = ancestors.into_iter().rev().map(|dir| (dir, ENTER)).chain([(&*path, bits)]);
        for (path, bits) in way {
            match fs::metadata(path) {
                Ok(found) if self.may(path, &found, bits) => {}
                Ok(_) => return Some(Obstacle::Closed(path.to_owned())),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Some(Obstacle::Hidden(path.to_owned()));
                }
                Err(_) => return Some(Obstacle::Missing),
            }
        }
        None
    }
}

/// Whether more than the mode decides. Such a file is taken to be as its owner wants it.
fn has_access_list(path: &Path) -> bool {
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn owner_group_and_others_count_in_this_order() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let account = |uid, groups: &[u32]| Account { name: "x".into(), uid, groups: groups.to_vec() };
        let found = fs::metadata(&file).unwrap();
        let (owner, stranger) = (found.uid().max(1), found.uid() + 4711);
        fs::set_permissions(&file, Permissions::from_mode(0o046)).unwrap();
        let may = |account: Account, bits| account.may(&file, &fs::metadata(&file).unwrap(), bits);
        assert!(may(account(0, &[]), WRITE));
        if found.uid() == owner {
            assert!(!may(account(owner, &[found.gid()]), READ), "the owner is not the group");
        }
        assert!(may(account(stranger, &[found.gid()]), READ));
        assert!(!may(account(stranger, &[found.gid()]), WRITE), "the group is not the others");
        assert!(may(account(stranger, &[]), WRITE));
        assert!(!may(account(stranger, &[]), ENTER));
    }

    #[test]
    fn the_first_closed_directory_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("a/b");
        fs::create_dir_all(&sub).unwrap();
        let stranger = Account { name: "x".into(), uid: u32::MAX - 1, groups: Vec::new() };
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(dir.path(), 0o755);
        assert_eq!(stranger.obstacle(&sub, ENTER), None);
        assert_eq!(stranger.obstacle(&sub, WRITE), Some(Obstacle::Closed(sub.clone())));
        assert_eq!(stranger.obstacle(&sub.join("c"), READ), Some(Obstacle::Missing));
        open(&dir.path().join("a"), 0o750);
        assert_eq!(stranger.obstacle(&sub, ENTER), Some(Obstacle::Closed(dir.path().join("a"))));
    }

    #[test]
    fn who_runs_this_is_found() {
        assert_eq!(Account::find("root").unwrap().uid, 0);
        assert!(Account::find("no-such-user-at-all").is_none());
    }
}
