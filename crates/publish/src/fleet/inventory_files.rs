//! The files that `inventory` names.

use std::path::Path;

use super::inventory::Inventories;
use super::raw::Text;
use super::raw_device::RawDevice;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic, Sources};
use crate::files::glob::{self, GlobError};
use crate::files::{FileErrorKind, Reach, is_lfs_pointer};

/// The largest inventory, in bytes, and the most that all of them have together: enough for some million
/// devices.
const MAX_BYTES: u64 = 512 << 20;

/// The most inventories.
const MAX_FILES: usize = 10_000;

/// Reads the files that patterns beside fleet.yaml name, each pattern's sorted.
pub(super) fn read(
    inventories: &mut Inventories<'_>,
    reader: &mut Reader,
    sources: &mut Sources,
    (dir, reach): (&Path, &Reach),
    patterns: &[Text],
) -> Vec<RawDevice> {
    let mut devices = Vec::new();
    let (mut files_left, mut bytes_left) = (MAX_FILES, MAX_BYTES);
    for pattern in patterns {
        let paths = match glob::files(reach, dir, &pattern.text) {
            Ok(paths) if !paths.is_empty() => paths,
            Ok(_) => {
                reader.report(no_file(dir, pattern));
                continue;
            }
            Err(error) => {
                reader.report(bad_pattern(pattern, &error));
                continue;
            }
        };
        for path in paths {
            let Some(left) = files_left.checked_sub(1) else {
                let message = format!("there are more than {MAX_FILES} inventories");
                reader.report(Diagnostic::new(Code::BadValue, pattern.span, message));
                return devices;
            };
            files_left = left;
            let unreadable = |what: &dyn std::fmt::Display, hint: Option<&'static str>| {
                let diagnostic = Diagnostic::new(Code::Unreadable, &*path, format!("the file {what}"));
                hint.into_iter().fold(diagnostic, Diagnostic::hint)
            };
            match reach.read(&path, bytes_left) {
                Ok(bytes) if is_lfs_pointer(&bytes) => {
                    let kind = FileErrorKind::LfsPointer;
                    reader.report(unreadable(&kind, kind.hint()));
                }
                Ok(bytes) => {
                    bytes_left -= bytes.len() as u64;
                    match String::from_utf8(bytes) {
                        Ok(text) => devices.extend(inventories.read_text(reader, sources, &path, text)),
                        Err(error) => {
                            let is_utf16 = matches!(error.as_bytes(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
                            let is = if is_utf16 { "is UTF-16" } else { "is not UTF-8 text" };
                            reader.report(unreadable(&is, Some("export it as UTF-8")));
                        }
                    }
                }
                Err(error) => reader.report(unreadable(&error.kind, error.kind.hint())),
            }
        }
    }
    devices
}

fn no_file(dir: &Path, pattern: &Text) -> Diagnostic {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    Diagnostic::new(Code::EmptyInventory, pattern.span, format!("`{}` matches no file", pattern.text))
        .hint(format!("paths are relative to `{}`", dir.display()))
}

fn bad_pattern(pattern: &Text, error: &GlobError) -> Diagnostic {
    let hint = match error {
        GlobError::Pattern(why) => Some(why.to_string()),
        GlobError::Directory { kind, .. } => kind.hint().map(str::to_owned),
        GlobError::TooMany => Some("begin it with the directory that holds them".to_owned()),
        GlobError::TooLong | GlobError::TooManyStars => None,
    };
    let message = format!("`{}` {error}", pattern.text);
    let diagnostic = Diagnostic::new(Code::BadValue, pattern.span, message);
    hint.into_iter().fold(diagnostic, Diagnostic::hint)
}
