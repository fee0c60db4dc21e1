//! What the files in out/ hold, without reading them again: a cache of digests beside out/; and what is in
//! its small directories.
//!
//! It only accelerates. A digest is remembered with what the system says of the file: device, inode, size
//! and, to the nanosecond, when content and metadata were last changed. Nobody can write to a file without
//! changing the last of these, unless within one tick of the file system's clock; so what was changed shortly
//! before it was read is not remembered. A cache that is lost, damaged or another version's is an empty one.
//! What is in a directory is remembered in the same way ([`super::listings`]).
//!
//! Files that are links to one inode are read once even without it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::listings::{Listing, Listings};
use otapress_core::digest::Sha256;
use otapress_core::stamp::Stamp;

/// The first bytes of the file.
const MAGIC: &[u8] = b"otapress hashes 2\n";

/// No file system's clock has a longer tick.
const TICK: Duration = Duration::from_secs(2);

/// Digests of files, and what is in small directories.
#[derive(Debug, Default)]
pub struct Hashes {
    digests: HashMap<Stamp, Digest>,
    listings: Listings,
}

#[derive(Debug)]
struct Digest {
    sha256: Sha256,
    /// Whether it was remembered.
    is_known: bool,
    /// Whether it was asked for in this run.
    is_used: bool,
}

impl Hashes {
    /// Where the digests of the files in `out` are remembered: beside it, never in it.
    pub fn beside(out: &Path) -> PathBuf {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        out.with_file_name(format!(".{name}.otapress-hashes"))
    }

    /// Reads what was remembered.
    pub fn load(file: &Path) -> Self {
        fs::read(file).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default()
    }

    /// What is in small directories.
    pub(super) fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Notes what was found in directories of which that was not known.
    pub(super) fn learn(&mut self, found: Vec<(Stamp, Listing)>) {
        self.listings.learn(found);
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
        let digest = match self.digests.entry(stamp) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Digest { sha256: Sha256::of(&read()?), is_known: false, is_used: false })
            }
        };
        digest.is_used = true;
        Ok(digest.sha256)
    }

    /// Remembers what was asked for; `begun` is a time before the first file was read.
    ///
    /// # Errors
    /// If the file cannot be written; what it held before is then as good as what it should hold.
    #[expect(clippy::disallowed_methods, reason = "the cache of digests beside out/")]
    pub fn save(&self, file: &Path, begun: SystemTime) -> io::Result<()> {
        let settled = begun.checked_sub(TICK).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let settled = settled.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        let is_kept = |(stamp, digest): &(&Stamp, &Digest)| digest.is_used && stamp.is_settled(settled);
        let is_as_it_was =
            self.digests.iter().all(|(stamp, digest)| is_kept(&(stamp, digest)) == digest.is_known);
        if is_as_it_was && self.listings.are_as_they_were(settled) {
            return Ok(());
        }
        let mut digests: Vec<_> = self.digests.iter().filter(is_kept).collect();
        digests.sort_unstable_by_key(|(stamp, _)| **stamp);
        let mut bytes = MAGIC.to_vec();
        bytes.extend((digests.len() as u64).to_be_bytes());
        for (stamp, digest) in digests {
            bytes.extend(stamp.to_bytes());
            bytes.extend(digest.sha256.as_bytes());
        }
        self.listings.write(settled, &mut bytes);
        bytes.extend(Sha256::of(&bytes).as_bytes());
        // Builds hold the lock, so nobody else writes it.
        let new = file.with_extension("otapress-hashes-new");
        File::create(&new)?.write_all(&bytes)?;
        fs::rename(new, file)
    }
}

fn parse(bytes: &[u8]) -> Option<Hashes> {
    let (bytes, sum) = bytes.split_last_chunk::<32>()?;
    if Sha256::of(bytes).as_bytes() != sum {
        return None;
    }
    let (count, mut rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let mut digests = HashMap::new();
    for _ in 0..u64::from_be_bytes(*count) {
        let (stamp, after) = rest.split_first_chunk()?;
        let (sha256, after) = after.split_first_chunk()?;
        rest = after;
        digests.insert(
            Stamp::from_bytes(stamp),
            Digest { sha256: Sha256::from_bytes(*sha256), is_known: true, is_used: false },
        );
    }
    Some(Hashes { digests, listings: Listings::read(rest)? })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    /// Long after everything was written.
    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(3600)
    }

    fn file(dir: &Path, name: &str, content: &[u8]) -> Stamp {
        fs::write(dir.join(name), content).unwrap();
        Stamp::from(&rustix::fs::stat(dir.join(name)).unwrap())
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
        for last_byte in (7..Stamp::LEN).step_by(8) {
            let mut other = stamp.to_bytes();
            other[last_byte] ^= 1;
            let other = Stamp::from_bytes(&other);
            assert!(forgotten(&mut Hashes::load(&cache), other), "{other:?}");
        }
    }

    #[test]
    fn what_may_still_change_within_a_tick_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, stamp) = (dir.path().join("cache"), file(dir.path(), "a", b"abc"));
        let changed = fs::metadata(dir.path().join("a")).unwrap();
        let changed = UNIX_EPOCH + Duration::new(changed.ctime() as u64, changed.ctime_nsec() as u32);
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
