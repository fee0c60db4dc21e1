//! `otapress.json` as it stands now: read when it changes, not for every request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use otapress_core::out::SITE_FILE;
use otapress_core::stamp::Stamp;
use otapress_responder::files::site_prefix;
use otapress_responder::service::Responder;

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
}

impl Published {
    /// Reads `out`, which need not exist yet.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        let out = out.into();
        let current = RwLock::new(Arc::new(Snapshot::read(&out, stamp(&out))));
        Published { out, current }
    }

    /// The directory as it is now. Costs one look at the file's metadata.
    pub fn current(&self) -> Arc<Snapshot> {
        let now = stamp(&self.out);
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
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
