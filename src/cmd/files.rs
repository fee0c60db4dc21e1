//! Files that an operator asks for.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

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
