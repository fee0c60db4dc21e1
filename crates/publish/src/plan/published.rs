//! A published directory as a plan compares it.

use std::path::Path;

use super::view::{Builder, View};
use crate::publish::PublishError;
use crate::publish::hashes::Hashes;
use crate::publish::scan::{Existing, Hidden, scan};
use otapress_core::out::Part;

/// Reads the directory `out`, or of each content as much as is not known already.
///
/// # Errors
/// If it is not ours, holds what is not ours, or cannot be read.
pub fn view(out: &Path) -> Result<(View, Hidden), PublishError> {
    let mut hashes = Hashes::load(&Hashes::beside(out));
    let (existing, hidden) = scan(out, &mut hashes)?;
    Ok((view_of(out, &existing, &mut hashes)?, hidden))
}

/// Like [`published`], for a directory that was scanned.
///
/// # Errors
/// If it cannot be read.
pub fn view_of(out: &Path, existing: &Existing, hashes: &mut Hashes) -> Result<View, PublishError> {
    let published = match existing {
        Existing::Nothing | Existing::Unfinished(_) => return Ok(View::default()),
        Existing::Published(published) => published,
    };
    let mut builder = Builder::new(published.site.clone());
    for file in &published.files {
        let sha256 = file.digest(out, hashes)?;
        let id = match (builder.known(file.part, sha256), file.part) {
            (Some(id), _) => id,
            (None, Part::Jars | Part::Site) => builder.opaque(file.part, sha256, file.stamp.size()),
            (None, _) => builder.blob(file.part, &file.read(out)?),
        };
        builder.file(&file.path, id);
    }
    Ok(builder.finish())
}
