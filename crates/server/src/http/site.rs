//! `otapress.json` as it stands now: read when it changes, not for every request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use otapress_core::out::SITE_FILE;
use otapress_core::stamp::Stamp;
use otapress_responder::files::site_prefix;
use otapress_responder::service::Responder;

/// For how long the file is taken to be as it was looked at, in microseconds: requests that come so close to
/// each other may as well have come at once.
const MOMENT: u64 = 250;

/// The published directory at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// What answers the two POST endpoints.
    pub responder: Responder,
    /// The path of the site's URL, without a slash at its end.
    pub prefix: String,
    stamp: Option<Stamp>,
}

/// The published directory, whatever it becomes.
#[derive(Debug)]
pub struct Published {
    out: PathBuf,
    current: RwLock<Arc<Snapshot>>,
    start: Instant,
    /// When it was looked at last, in microseconds since `start`.
    looked: AtomicU64,
}

impl Published {
    /// Reads `out`, which need not exist yet.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let out = out.into();
        let current = RwLock::new(Arc::new(Snapshot::read(&out, stamp(&out))));
        Published { out, current, start: Instant::now(), looked: AtomicU64::new(0) }
    }

    /// The directory as it is now. Costs one look at the file's metadata in each moment.
    pub fn current(&self) -> Arc<Snapshot> {
        // Before the look: the file may change after it.
        let moment = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let is_fresh = moment - self.looked.load(Ordering::Relaxed).min(moment) < MOMENT;
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if is_fresh {
            return known;
        }
        self.looked.store(moment, Ordering::Relaxed);
        let now = stamp(&self.out);
        if known.stamp == now {
            return known;
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.stamp != now {
            *current = Arc::new(Snapshot::read(&self.out, now));
            match current.responder.site() {
                Ok(site) => tracing::info!(releases = site.releases.len(), "read `{SITE_FILE}` anew"),
                Err(why) => tracing::error!("{why}"),
            }
        }
        current.clone()
    }
}

impl Snapshot {
    /// The stamp is older than what is read, never newer, so that no change is missed.
    fn read(out: &Path, stamp: Option<Stamp>) -> Snapshot {
        let responder = Responder::new(out);
        let prefix = responder.site().map_or("", |site| site_prefix(&site.site)).to_owned();
        // What could not be read may have been a passing trouble (no file descriptor left): no stamp, so
        // that the next request tries again.
        let stamp = stamp.filter(|_| responder.site().is_ok());
        Snapshot { responder, prefix, stamp }
    }
}

fn stamp(out: &Path) -> Option<Stamp> {
    fs::metadata(out.join(SITE_FILE)).ok().map(|metadata| Stamp::from(&metadata))
}
