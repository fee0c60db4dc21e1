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

    /// The digest of a file with this stamp; `read` gives its bytes if need be.
    ///
    /// # Errors
    /// If it has to be read, and cannot be.
    pub fn digest<E>(
        &mut self,
        stamp: Stamp,
        read: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Sha256, E> {
        if let Some(digest) = self.used.get(&stamp) {
            return Ok(*digest);
        }
        let digest = match self.known.get(&stamp) {
            Some(digest) => *digest,
            None => Sha256::of(&read()?),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Long after everything was written.
    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(3600)
    }

    fn file(dir: &Path, name: &str, content: &[u8]) -> Stamp {
        fs::write(dir.join(name), content).unwrap();
        Stamp::of(&fs::metadata(dir.join(name)).unwrap())
    }

    fn unread() -> io::Result<Vec<u8>> {
        panic!("it was to be remembered")
    }

    fn forgotten(hashes: &mut Hashes, stamp: Stamp) -> bool {
        hashes.digest(stamp, || Err(())).is_err()
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, stamp) = (dir.path().join("cache"), file(dir.path(), "a", b"abc"));
        let mut hashes = Hashes::load(&cache);
        let digest = hashes.digest(stamp, || fs::read(dir.path().join("a"))).unwrap();
        assert_eq!(digest, Sha256::of(b"abc"));
        // Another name of the same file, and another run.
        assert_eq!(hashes.digest(stamp, unread).unwrap(), digest);
        hashes.save(&cache, later()).unwrap();
        assert_eq!(Hashes::load(&cache).digest(stamp, unread).unwrap(), digest);
    }

    #[test]
    fn another_state_is_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, stamp) = (dir.path().join("cache"), file(dir.path(), "a", b"abc"));
        let mut hashes = Hashes::default();
        hashes.digest(stamp, || io::Result::Ok(b"abc".into())).unwrap();
        hashes.save(&cache, later()).unwrap();
        let others = [
            Stamp { device: stamp.device + 1, ..stamp },
            Stamp { inode: stamp.inode + 1, ..stamp },
            Stamp { size: stamp.size + 1, ..stamp },
            Stamp { modified: stamp.modified + 1, ..stamp },
            Stamp { changed: stamp.changed + 1, ..stamp },
        ];
        for other in others {
            assert!(forgotten(&mut Hashes::load(&cache), other), "{other:?}");
        }
    }

    #[test]
    fn what_may_still_change_within_a_tick_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, stamp) = (dir.path().join("cache"), file(dir.path(), "a", b"abc"));
        let changed = UNIX_EPOCH + Duration::from_nanos(stamp.changed as u64);
        for (begun, is_remembered) in [(TICK, false), (TICK + Duration::from_nanos(1), true)] {
            let mut hashes = Hashes::default();
            hashes.digest(stamp, || io::Result::Ok(b"abc".into())).unwrap();
            hashes.save(&cache, changed + begun).unwrap();
            assert_eq!(forgotten(&mut Hashes::load(&cache), stamp), !is_remembered);
        }
    }

    #[test]
    fn what_is_not_asked_for_any_more_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        let [a, b] = ["a", "b"].map(|name| file(dir.path(), name, name.as_bytes()));
        let mut hashes = Hashes::default();
        for stamp in [a, b] {
            hashes.digest(stamp, || io::Result::Ok(Vec::new())).unwrap();
        }
        hashes.save(&cache, later()).unwrap();
        let mut hashes = Hashes::load(&cache);
        hashes.digest(a, unread).unwrap();
        hashes.save(&cache, later()).unwrap();
        assert!(!forgotten(&mut Hashes::load(&cache), a));
        assert!(forgotten(&mut Hashes::load(&cache), b));
    }

    #[test]
    fn a_damaged_cache_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, stamp) = (dir.path().join("cache"), file(dir.path(), "a", b"abc"));
        let mut hashes = Hashes::load(&cache);
        hashes.digest(stamp, || io::Result::Ok(b"abc".into())).unwrap();
        hashes.save(&cache, later()).unwrap();
        let good = fs::read(&cache).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&cache, &bad).unwrap();
            assert!(forgotten(&mut Hashes::load(&cache), stamp), "byte {at} flipped");
            fs::write(&cache, &good[..at]).unwrap();
            assert!(forgotten(&mut Hashes::load(&cache), stamp), "{at} bytes of it");
        }
        fs::remove_file(&cache).unwrap();
        fs::create_dir(&cache).unwrap();
        assert!(forgotten(&mut Hashes::load(&cache), stamp), "a directory");
    }
}
