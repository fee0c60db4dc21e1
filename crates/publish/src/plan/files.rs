//! The files that are written and removed, and the JARs that come and go.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::Change;
use super::view::{Blob, BlobId, Meaning, View};
use otapress_core::out::Part;
use otapress_core::version::Version;
use otapress_core::wire::{Release, Site, Suite};

/// The files that a build writes and removes.
#[derive(Debug, Default)]
pub struct Files {
    /// The number of written files, by part.
    pub written_by_part: [usize; Part::ALL.len()],
    /// The number of removed files, by part.
    pub removed_by_part: [usize; Part::ALL.len()],
    /// The number of unchanged files.
    pub unchanged: usize,
    /// The total size of written files.
    pub bytes_written: u64,
    /// The total size of removed files.
    pub bytes_removed: u64,
    /// JADs that change and still name the same version: what changed is the template, the site or the JAR's
    /// URL.
    pub jads_rewritten: usize,
}

impl Files {
    /// How many files are written.
    pub fn written(&self) -> usize {
        self.written_by_part.iter().sum()
    }

    /// How many files are removed.
    pub fn removed(&self) -> usize {
        self.removed_by_part.iter().sum()
    }
}

/// Compares what lies at each path.
pub(super) fn files(before: &View, after: &View) -> Files {
    let mut files = Files::default();
    let blobs = |old: Option<BlobId>, new: Option<BlobId>| {
        (old.map(|id| before.blob(id)), new.map(|id| after.blob(id)))
    };
    let (old, new) = (before.answers().iter(), after.answers().iter());
    join(
        old,
        new,
        |(imei, _)| imei,
        |_, old, new| {
            let (old, new) = blobs(old.map(|(_, id)| *id), new.map(|(_, id)| *id));
            files.note(old, new);
        },
    );
    let (old, new) = (before.files().iter(), after.files().iter());
    join(
        old,
        new,
        |(path, _)| path,
        |_, old, new| {
            let (old, new) = blobs(old.map(|(_, id)| *id), new.map(|(_, id)| *id));
            files.note(old, new);
        },
    );
    files
}

impl Files {
    fn note(&mut self, old: Option<&Blob>, new: Option<&Blob>) {
        match (old, new) {
            (Some(old), Some(new)) if old.sha256 == new.sha256 => self.unchanged += 1,
            (old, Some(new)) => {
                self.written_by_part[new.part as usize] += 1;
                self.bytes_written += new.size;
                if let (Some(Meaning::Jad(Some(old))), Meaning::Jad(Some(new))) =
                    (old.map(|old| &old.meaning), &new.meaning)
                {
                    self.jads_rewritten += usize::from(old == new);
                }
            }
            (Some(old), None) => {
                self.removed_by_part[old.part as usize] += 1;
                self.bytes_removed += old.size;
            }
            (None, None) => {}
        }
    }
}

/// Compares what the sites say of their JARs; by version.
pub(super) fn jars(before: Option<&Site>, after: Option<&Site>) -> Vec<Change<Release>> {
    let releases = |site: Option<&Site>| -> BTreeMap<(Option<Version>, String), Release> {
        let releases = site.map(|site| site.releases.clone()).unwrap_or_default().into_iter();
        releases
            .map(|release| {
                // What the manifest says comes with the bytes; format 1 does not have it. A signature may
                // come later.
                let suite = Suite { signed: release.suite.signed, ..Suite::default() };
                let release = Release { suite, ..release };
                ((release.version.parse().ok(), release.version.clone()), release)
            })
            .collect()
    };
    let (mut old, mut new) = (releases(before), releases(after));
    let versions: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    versions
        .into_iter()
        .filter_map(|version| Change::of(old.remove(&version), new.remove(&version)))
        .collect()
}

/// Walks two ascending sequences side by side: each key once, with what either has of it.
pub(super) fn join<'a, T: 'a, K: Ord + ?Sized + 'a>(
    old: impl Iterator<Item = &'a T>,
    new: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> &'a K,
    mut each: impl FnMut(&'a K, Option<&'a T>, Option<&'a T>),
) {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => key(old).cmp(key(new)),
        };
        let old = old.next_if(|_| order != Ordering::Greater);
        let new = new.next_if(|_| order != Ordering::Less);
        if let Some(any) = old.or(new) {
            each(key(any), old, new);
        }
    }
}
