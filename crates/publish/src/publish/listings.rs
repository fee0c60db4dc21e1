//! What is in the small directories of out/, without reading them again.
//!
//! Nobody can add, remove or rename a file without changing the stamp of its directory, so that the names in
//! a directory whose stamp is known are those that were there. What they are the names of is looked at each
//! time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use otapress_core::stamp::Stamp;

/// The names in a directory, ascending, each with a `/` behind it, which no name has in it.
pub(super) type Listing = Arc<str>;

/// No longer listing is remembered: it takes memory, and the system reads large directories fast.
const LONGEST: usize = 255;

/// What is in directories.
#[derive(Debug, Default)]
pub(super) struct Listings {
    /// What was remembered, by stamp.
    known: Vec<Known>,
    /// What was found where nothing was known.
    found: Vec<(Stamp, Listing)>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    listing: Listing,
    /// Whether it was asked for in this run.
    is_used: AtomicBool,
}

impl Listings {
    /// What is in the directory with this stamp, if that is known.
    pub(super) fn get(&self, stamp: Stamp) -> Option<&Listing> {
        let at = self.known.binary_search_by(|known| known.stamp.cmp(&stamp)).ok()?;
        let known = &self.known[at];
        known.is_used.store(true, Ordering::Relaxed);
        Some(&known.listing)
    }

    /// Whether a listing is worth to be remembered.
    pub(super) fn takes(listing: &str) -> bool {
        listing.len() <= LONGEST
    }

    pub(super) fn learn(&mut self, found: Vec<(Stamp, Listing)>) {
        self.found = found;
    }

    pub(super) fn are_as_they_were(&self, settled: i64) -> bool {
        !self.found.iter().any(|(stamp, _)| stamp.is_settled(settled))
            && self.known.iter().all(|known| known.is_used.load(Ordering::Relaxed))
    }

    /// Writes those that were used: by listing, of which there are few.
    pub(super) fn write(&self, settled: i64, bytes: &mut Vec<u8>) {
        let used = self.known.iter().filter(|known| known.is_used.load(Ordering::Relaxed));
        let used = used.map(|known| (&known.listing, known.stamp));
        let found = self.found.iter().map(|(stamp, listing)| (listing, *stamp));
        let mut all: Vec<_> = used.chain(found).filter(|(_, stamp)| stamp.is_settled(settled)).collect();
        all.sort_unstable();
        for same in all.chunk_by(|(one, _), (other, _)| one == other) {
            let listing = same[0].0;
            bytes.extend((same.len() as u64).to_be_bytes());
            bytes.push(u8::try_from(listing.len()).expect("no longer one is remembered"));
            bytes.extend(listing.as_bytes());
            same.iter().for_each(|(_, stamp)| bytes.extend(stamp.to_bytes()));
        }
    }

    pub(super) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut known = Vec::with_capacity(bytes.len() / Stamp::LEN);
        while let Some((count, rest)) = bytes.split_first_chunk() {
            let (len, rest) = rest.split_first()?;
            let (listing, rest) = rest.split_at_checked(usize::from(*len))?;
            let listing = Listing::from(str::from_utf8(listing).ok()?);
            bytes = rest;
            for _ in 0..u64::from_be_bytes(*count) {
                let (stamp, rest) = bytes.split_first_chunk()?;
                bytes = rest;
                let stamp = Stamp::from_bytes(stamp);
                known.push(Known { stamp, listing: listing.clone(), is_used: AtomicBool::new(false) });
            }
        }
        known.sort_unstable_by_key(|known| known.stamp);
        Some(Listings { known, found: Vec::new() })
    }
}
