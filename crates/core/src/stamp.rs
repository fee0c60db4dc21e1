//! What tells one state of a file or directory from every other, as far as the system says.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// Device, inode, size and times. Nobody can change a file and leave all of them as they were, unless within
/// one tick of the file system's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When the content and when the metadata were changed, in nanoseconds since 1970-01-01 UTC.
    modified: i64,
    changed: i64,
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl From<&Stat> for Stamp {
    // The types of the fields are not the same on every platform.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: &Stat) -> Self {
        Stamp {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Stamp {
    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the content was last changed.
    pub fn modified(&self) -> SystemTime {
        match u64::try_from(self.modified) {
            Ok(after) => UNIX_EPOCH + Duration::from_nanos(after),
            Err(_) => UNIX_EPOCH - Duration::from_nanos(self.modified.unsigned_abs()),
        }
    }

    /// Whether content and metadata were last changed before this moment, in nanoseconds since 1970-01-01
    /// UTC. A change after it gives another stamp.
    pub fn is_settled(&self, moment: i64) -> bool {
        self.changed < moment
    }

    /// The length of [`Stamp::to_bytes`].
    pub const LEN: usize = 5 * 8;

    /// The form in which it is remembered.
    pub fn to_bytes(self) -> [u8; Stamp::LEN] {
        let words = [self.device, self.inode, self.size, self.modified as u64, self.changed as u64];
        let mut bytes = [0; Stamp::LEN];
        bytes
            .chunks_exact_mut(8)
            .zip(words)
            .for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
        bytes
    }

    /// The stamp that [`Stamp::to_bytes`] made these bytes of.
    pub fn from_bytes(bytes: &[u8; Stamp::LEN]) -> Self {
        let word = |i: usize| {
            let word = bytes[8 * i..].first_chunk().copied();
            u64::from_be_bytes(word.unwrap_or_default())
        };
        Stamp {
            device: word(0),
            inode: word(1),
            size: word(2),
            modified: word(3) as i64,
            changed: word(4) as i64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_say_the_same_and_bytes_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "abc").unwrap();
        let metadata = file.metadata().unwrap();
        let stamp = Stamp::from(&metadata);
        assert_eq!(stamp, Stamp::from(&rustix::fs::stat(&file).unwrap()));
        assert_eq!((stamp.size(), stamp.modified()), (3, metadata.modified().unwrap()));
        assert_eq!(Stamp::from_bytes(&stamp.to_bytes()), stamp);
        let words = [1, 2, 3, -4i64 as u64, 5];
        let stamp = Stamp { device: 1, inode: 2, size: 3, modified: -4, changed: 5 };
        assert_eq!(stamp.to_bytes().to_vec(), words.map(u64::to_be_bytes).concat());
        assert_eq!(stamp.modified(), UNIX_EPOCH - Duration::from_nanos(4));
    }
}
