//! otapPassword, which stands in a file of its own, so that it gets neither into fleet.yaml nor into out/.

use std::path::{Path, PathBuf};

use crate::files::{self, FileError, Reach};

/// Why a file holds no password. None of the messages quotes the file.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(FileError),
    /// Its bytes are not UTF-8.
    #[error("the password in `{}` is not text", .0.display())]
    NotText(PathBuf),
    /// An editor put a mark in front, which would become part of the password.
    #[error("`{}` starts with a byte-order mark: save it as UTF-8 without one", .0.display())]
    ByteOrderMark(PathBuf),
    /// The file is empty or has several lines.
    #[error("`{}` must hold the password in one line", .0.display())]
    NotOneLine(PathBuf),
}

/// No password is longer, even with much white space behind it.
const LONGEST: u64 = 4096;

/// Reads the password in a file that the fleet file in `dir` names, without the line end.
pub(crate) fn within(dir: &Path, reach: &Reach, file: &Path) -> Result<String, PasswordError> {
    if file.is_absolute() {
        return read(file);
    }
    let path = dir.join(file);
    password(&path, reach.read(&path, LONGEST))
}

/// Reads the password in a file that the operator names.
///
/// # Errors
/// If the file cannot be read or does not hold exactly one line.
pub fn read(path: &Path) -> Result<String, PasswordError> {
    password(path, files::read(path, LONGEST))
}

fn password(path: &Path, read: Result<Vec<u8>, FileError>) -> Result<String, PasswordError> {
    let bytes = read.map_err(PasswordError::Unreadable)?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(PasswordError::ByteOrderMark(path.into()));
    }
    let Ok(text) = String::from_utf8(bytes) else { return Err(PasswordError::NotText(path.into())) };
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(['\r', '\n']) {
        return Err(PasswordError::NotOneLine(path.into()));
    }
    Ok(password.to_owned())
}
