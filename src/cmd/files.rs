//! Files that an operator asks for.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Writes a file under another name and renames it: who reads it sees the old content or the new one, whole.
/// The directory is made if need be.
#[expect(clippy::disallowed_methods, reason = "what an operator asks for, where it is asked for")]
pub(crate) fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write `{}`", path.display());
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).with_context(failed)?;
    let name = path.file_name().with_context(failed)?.to_string_lossy();
    let mut draft = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        // As for any new file: others may read it if the umask lets them. A collector of metrics is another
        // user.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(dir)
        .with_context(failed)?;
    draft.write_all(content).with_context(failed)?;
    draft.persist(path).with_context(failed)?;
    Ok(())
}

/// Writes new texts over old ones: all files, or none. Each keeps its mode, and a link stays one.
#[expect(clippy::disallowed_methods, reason = "the fleet's own files, where the operator edits them")]
pub(crate) fn replace_all(files: &[(&Path, &str, &str)]) -> anyhow::Result<()> {
    let mut drafts = Vec::new();
    for (path, old, new) in files {
        let failed = || format!("cannot write `{}`", path.display());
        let path = path.canonicalize().with_context(failed)?;
        if fs::read_to_string(&path).with_context(failed)? != *old {
            bail!("`{}` changed while it was edited, so nothing was written: try again", path.display());
        }
        let dir = path.parent().with_context(failed)?;
        let permissions = fs::metadata(&path).with_context(failed)?.permissions();
        let mut draft = tempfile::Builder::new()
            .permissions(permissions.clone())
            .tempfile_in(dir)
            .with_context(failed)?;
        draft.write_all(new.as_bytes()).with_context(failed)?;
        // The umask has no say in what was there before.
        draft.as_file().set_permissions(permissions).with_context(failed)?;
        draft.as_file().sync_all().with_context(failed)?;
        drafts.push((draft, path, old));
    }
    let mut written = Vec::new();
    for (draft, path, old) in drafts {
        if let Err(error) = draft.persist(&path) {
            for (path, old) in written {
                fs::write(path, old).context("a file of the edit could not be restored")?;
            }
            return Err(error.error).with_context(|| format!("cannot write `{}`", path.display()));
        }
        written.push((path, old));
    }
    Ok(())
}

/// Removes the files of a directory whose names `goes` names.
#[expect(clippy::disallowed_methods, reason = "what an operator asks for, where it is asked for")]
pub(crate) fn remove(dir: &Path, goes: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read `{}`", dir.display()))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&goes) {
            let path = entry.path();
            fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    Ok(())
}
