//! otapPassword, which stands in a file of its own, so that it gets neither into fleet.yaml nor into out/.

use std::path::{Path, PathBuf};

use crate::catalog::{FileError, read_file};

/// Why a file holds no password. None of the messages quotes the file.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(FileError),
    /// Its bytes are not UTF-8.
    #[error("the password in `{}` is not text", .0.display())]
    NotText(PathBuf),
    /// The file is empty or has several lines.
    #[error("`{}` must hold the password in one line", .0.display())]
    NotOneLine(PathBuf),
}

/// Reads the password in a file relative to the directory of fleet.yaml, without the line end.
///
/// # Errors
/// If the file cannot be read or does not hold exactly one line.
pub fn read(dir: &Path, file: &Path) -> Result<String, PasswordError> {
    let path = dir.join(file);
    let bytes = read_file(&path).map_err(PasswordError::Unreadable)?;
    let Ok(text) = String::from_utf8(bytes) else { return Err(PasswordError::NotText(path)) };
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(['\r', '\n']) {
        return Err(PasswordError::NotOneLine(path));
    }
    Ok(password.to_owned())
}
