//! Devices of the fleet that post to unpublished paths: the operator must not lose them quietly.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use otapress_core::id::Imei;
use otapress_core::words;
use otapress_responder::files::origin;
use otapress_responder::record::StrayPath;

/// Paths that are counted apart; a client that knows an IMEI can make up any number.
const PATHS: usize = 32;

/// Devices that are counted for each path.
const DEVICES: usize = 10_000;

/// Which devices posted to which unpublished path since the server started.
#[derive(Debug, Default)]
pub struct Strays(Mutex<BTreeMap<(String, bool), BTreeSet<Imei>>>);

impl Strays {
    /// Notes a POST, and warns when its path has one more device, twice as many, and so on.
    pub fn note(&self, imei: Imei, at: StrayPath<'_>, site: &str) {
        if let Some(count) = self.count(imei, at) {
            let (path, remedy) = (at.path, at.remedy(origin(site)));
            let devices = words::count(count, "device");
            tracing::warn!(
                "{devices} of the fleet posted to `{path}`, which is not published, and got no upgrade: if \
                 they are \
                 yours, put {remedy}; if a proxy takes a \
                 part of the path away, use `serve --prefix`"
            );
        }
    }

    /// The number of devices of that path, if it is worth a word.
    fn count(&self, imei: Imei, at: StrayPath<'_>) -> Option<usize> {
        // Nothing panics while it is locked.
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (at.path.to_owned(), at.is_check);
        if paths.len() >= PATHS && !paths.contains_key(&key) {
            return None;
        }
        let devices = paths.entry(key).or_default();
        let is_new = devices.len() < DEVICES && devices.insert(imei);
        (is_new && devices.len().is_power_of_two()).then_some(devices.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_worth_a_word_when_its_devices_have_doubled() {
        let strays = Strays::default();
        let imei = |n: u64| format!("{:015}", 490_000_000_000_000 + n).parse().unwrap();
        let check = |path| StrayPath { path, is_check: true, is_former: false };
        let said: Vec<_> = (0..20).filter_map(|n| strays.count(imei(n / 2), check("/old"))).collect();
        assert_eq!(said, [1, 2, 4, 8]);
        let result = StrayPath { path: "/old", is_check: false, is_former: false };
        assert_eq!(strays.count(imei(1), result), Some(1), "a result is another thing");
        // Made-up paths are forgotten, not remembered without end.
        let paths: Vec<_> = (0..1000).map(|n| format!("/{n}")).collect();
        let said = paths.iter().filter(|path| strays.count(imei(1), check(path)).is_some()).count();
        assert_eq!(said, PATHS - 2);
    }
}
