//! What an error of SQLite means.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use super::StoreError;

fn has_no_locks(extended_code: i32) -> bool {
    use rusqlite::ffi;
    [
        ffi::SQLITE_IOERR_LOCK,
        ffi::SQLITE_IOERR_RDLOCK,
        ffi::SQLITE_IOERR_CHECKRESERVEDLOCK,
        ffi::SQLITE_IOERR_SHMLOCK,
        ffi::SQLITE_IOERR_SHMMAP,
    ]
    .contains(&extended_code)
}

/// What an error of the engine means.
pub(super) fn failure(path: &Path, error: Error) -> StoreError {
    let path = path.to_path_buf();
    match error {
        Error::SqliteFailure(code, _)
            if matches!(code.code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) =>
        {
            StoreError::Busy { path }
        }
        Error::SqliteFailure(code, _) if has_no_locks(code.extended_code) => StoreError::Unfit {
            path,
            why: "its file system has no locks or no shared memory, as network file systems have none: keep \
                the records \
                  on a local file system like ext4, XFS or Btrfs"
                .into(),
        },
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => {
            StoreError::Value { path, what: format!("an unexpected value: {error}") }
        }
        error => StoreError::Engine { path, source: error.into() },
    }
}
