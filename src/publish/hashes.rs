//! What the files in out/ hold, without reading them again: a cache of digests beside out/.
//!
//! It only accelerates. A digest is remembered with what the system says of the file: device, inode, size and, to the
//! nanosecond, when content and metadata were last changed. Nobody can write to a file without changing the last of these, unless
//! within one tick of the file system's clock; so what was changed shortly before it was read is not remembered. A cache that is lost,
//! damaged or another version's is an empty one.
//!
//! Files that are links to one inode are read once even without it.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digest::Sha256;

/// The first bytes of the file.
const MAGIC: &[u8] = b"otapress hashes 1\n";

/// No file system's clock has a longer tick.
const TICK: Duration = Duration::from_secs(2);

/// What tells one state of a file from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// When the content and when the metadata were changed, in nanoseconds since 1970-01-01 UTC.
    modified: i64,
    changed: i64,
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified: nanos(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanos(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

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

    fn words(&self) -> [u64; 5] {
        [self.device, self.inode, self.size, self.modified as u64, self.changed as u64]
    }
}

/// The length of an entry: the words of its stamp, and its digest.
const ENTRY: usize = 5 * 8 + 32;

/// Digests of files.
#[derive(Debug, Default)]
pub struct Hashes {
    /// What was remembered.
    known: HashMap<Stamp, Sha256>,
    /// What was asked for in this run.
    used: HashMap<Stamp, Sha256>,
}

impl Hashes {
    /// Where the digests of the files in `out` are remembered: beside it, never in it.
    pub fn beside(out: &Path) -> PathBuf {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        out.with_file_name(format!(".{name}.otapress-hashes"))
    }

    /// Reads what was remembered.
    pub fn load(file: &Path) -> Self {
        let known = fs::read(file).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        Hashes { known, used: HashMap::new() }
    }

    /// The digest of a file that has this stamp.
    ///
    /// # Errors
    /// If it has to be read, and cannot be.
    pub fn digest(&mut self, path: &Path, stamp: Stamp) -> io::Result<Sha256> {
        if let Some(digest) = self.used.get(&stamp) {
            return Ok(*digest);
        }
        let digest = match self.known.get(&stamp) {
            Some(digest) => *digest,
            None => Sha256::of(&fs::read(path)?),
        };
        self.used.insert(stamp, digest);
        Ok(digest)
    }

    /// Remembers what was asked for; `begun` is a time before the first file was read.
    ///
    /// # Errors
    /// If the file cannot be written; what it held before is then as good as what it should hold.
    pub fn save(&self, file: &Path, begun: SystemTime) -> io::Result<()> {
        let settled = begun.checked_sub(TICK).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let settled = settled.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        let mut entries: Vec<_> = self.used.iter().filter(|(stamp, _)| stamp.changed < settled).collect();
        if entries.len() == self.known.len()
            && entries.iter().all(|(stamp, _)| self.known.contains_key(stamp))
        {
            return Ok(());
        }
        entries.sort();
        let mut bytes = Vec::with_capacity(MAGIC.len() + entries.len() * ENTRY + 32);
        bytes.extend(MAGIC);
        for (stamp, digest) in entries {
            stamp.words().iter().for_each(|word| bytes.extend(word.to_be_bytes()));
            bytes.extend(digest.as_bytes());
        }
        bytes.extend(Sha256::of(&bytes).as_bytes());
        // Builds hold the lock, so nobody else writes it.
        let new = file.with_extension("otapress-hashes-new");
        File::create(&new)?.write_all(&bytes)?;
        fs::rename(new, file)
    }
}

fn parse(bytes: &[u8]) -> Option<HashMap<Stamp, Sha256>> {
    let (bytes, sum) = bytes.split_last_chunk::<32>()?;
    if Sha256::of(bytes).as_bytes() != sum {
        return None;
    }
    let entries = bytes.strip_prefix(MAGIC)?.chunks_exact(ENTRY);
    let entry = |entry: &[u8]| {
        let (words, digest) = entry.split_last_chunk::<32>()?;
        let mut words =
            words.chunks_exact(8).filter_map(|word| Some(u64::from_be_bytes(word.try_into().ok()?)));
        let mut word = || words.next();
        let stamp = Stamp {
            device: word()?,
            inode: word()?,
            size: word()?,
            modified: word()? as i64,
            changed: word()? as i64,
        };
        Some((stamp, Sha256::from_bytes(*digest)))
    };
    entries.map(entry).collect()
}
