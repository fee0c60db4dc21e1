//! What a device costs: writes of its flash file, upgrades, restarts, bytes and posts, each with a bound that
//! follows from what happened to it.

use super::World;

/// The longest JAD of these fleets.
const JAD_BYTES: u64 = 1000;

/// The most attempts that a channel of a history gives.
const ATTEMPTS: u64 = 3;

impl World {
    /// How often the operator did one of these.
    fn edits(&self, of: &[&'static str]) -> u64 {
        of.iter().filter_map(|edit| self.lived.tally.get(&("edit", *edit))).sum()
    }

    /// Settings are written few times, unless something went wrong for the device.
    pub(super) fn flash_is_spared(&self, n: usize) -> Result<(), String> {
        let failures: u64 = self.hosts.iter().map(|host| host.store.failures).sum();
        let tracker = &self.trackers[n];
        let repetitions = tracker.mishaps + tracker.installs + failures / self.case.devices as u64;
        // Up to five settings at up to three checks each time that others are published for it, and once more
        // for each mishap, and for each start after an upgrade.
        within("settings", n, tracker.settings_heard, 10 + 15 * (1 + tracker.turns) + 5 * repetitions)
    }

    /// An upgrade costs one JAR; there are as many as there are attempts, and the device restarts no oftener.
    pub(super) fn downloads_are_few(&self, n: usize, bytes: u64) -> Result<(), String> {
        let tracker = &self.trackers[n];
        within("bytes of an upgrade", n, bytes, self.press.longest_jar() + JAD_BYTES)?;
        let targets =
            ["release", "rollback", "stable", "pin", "hold", "group", "withdrawn", "device", "waves"];
        let retries = self.lived.tally.get(&("operator", "retry")).copied().unwrap_or_default();
        let renewals = 1 + self.edits(&targets) + retries + self.oracle.renewals;
        // Hosts that disagree let a device go to and fro between two targets.
        within("upgrades", n, tracker.installs, 2 * ATTEMPTS * renewals + tracker.mishaps)
    }

    /// A device restarts after an upgrade, and when something happens to it.
    pub(super) fn wear_is_bounded(&self, n: usize) -> Result<(), String> {
        let tracker = &self.trackers[n];
        within("restarts", n, tracker.device.reboots(), tracker.installs + tracker.mishaps)
    }

    /// Without an answer a device comes back less and less often: five times each after 300 seconds, 600 …
    pub(super) fn storm_is_short(&self, n: usize) -> Result<(), String> {
        let tracker = &self.trackers[n];
        let seconds = tracker.silent_since.map_or(0, |since| self.now - since);
        within("posts without an answer", n, tracker.posts.into(), 12 + (seconds / 30).isqrt() as u64)
    }
}

fn within(what: &str, n: usize, had: u64, most: u64) -> Result<(), String> {
    if had <= most { Ok(()) } else { Err(format!("dev{n} had {had} {what}, and {most} are the most")) }
}
