//! A model of the traffic that a device makes, for prices and warnings: its sizes are those of the devices'
//! own manual, with the heads of requests and answers. Months have 30 days, megabytes 1,000,000 bytes.

/// How the devices are used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Hours a day in which a vehicle drives and publishes a location every `maxInterval`.
    pub driving_hours: f64,
    /// A published message on the way, in bytes.
    pub message_bytes: u32,
}

impl Default for Usage {
    fn default() -> Self {
        Usage { driving_hours: 2.0, message_bytes: 350 }
    }
}

/// A version check with its answer and both heads, in bytes.
const CHECK: f64 = 500.0;

/// What an upgrade needs besides JAR and JAD, in bytes: three requests and their heads.
const UPGRADE: u64 = 1_500;

/// A ping of MQTT and its answer with the headers of TCP and IP, in bytes.
const PING: f64 = 164.0;

const DAYS: f64 = 30.0;
const MONTH: f64 = DAYS * 86_400.0;

/// Bytes a month of version checks.
pub fn checks(version_interval: u32) -> f64 {
    per_month(version_interval) * CHECK
}

/// Bytes of so many version checks.
pub fn of_checks(checks: usize) -> f64 {
    checks as f64 * CHECK
}

/// Bytes of so many upgrades whose JADs and JARs have `bytes` together.
pub fn of_upgrades(upgrades: usize, bytes: u64) -> f64 {
    (bytes + upgrades as u64 * UPGRADE) as f64
}

/// Bytes in so many seconds of what is `a_month`.
pub fn in_seconds(a_month: f64, seconds: u64) -> f64 {
    a_month * seconds as f64 / MONTH
}

/// How often something happens in a month that happens every so many seconds; 0: never.
pub fn per_month(interval: u32) -> f64 {
    if interval == 0 { 0.0 } else { MONTH / f64::from(interval) }
}

/// The size of a JAD where it is not rendered, in bytes.
pub const JAD: u64 = 500;

/// Bytes of one download of a release.
pub fn download(jar: u64, jad: u64) -> u64 {
    jar.saturating_add(jad).saturating_add(UPGRADE)
}

impl Usage {
    /// Bytes a month of the locations of a driving vehicle.
    pub fn locations(&self, max_interval: u32) -> f64 {
        self.messages(max_interval) * self.driving_hours / 24.0
    }

    /// Bytes a month of messages that are sent day and night.
    pub fn messages(&self, interval: u32) -> f64 {
        per_month(interval) * f64::from(self.message_bytes)
    }
}

/// Bytes a month of keeping a connection alive.
pub fn pings(keep_alive: u32) -> f64 {
    per_month(keep_alive) * PING
}

/// `15.1 MB` or `36 MB`, and `5.9 kB` of what is less than a tenth of one.
pub fn megabytes(bytes: f64) -> String {
    let (amount, unit) = if bytes < 1e5 { (bytes / 1e3, "kB") } else { (bytes / 1e6, "MB") };
    let amount = format!("{amount:.1}");
    format!("{} {unit}", amount.strip_suffix(".0").unwrap_or(&amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_devices() {
        let usage = Usage::default();
        assert_eq!(megabytes(usage.locations(5)), "15.1 MB");
        assert_eq!(megabytes(usage.locations(30)), "2.5 MB");
        assert_eq!(megabytes(usage.locations(0)), "0 kB");
        assert_eq!(megabytes(checks(10_800)), "0.1 MB");
        assert_eq!(megabytes(checks(60)), "21.6 MB");
        assert_eq!(megabytes(36e6), "36 MB");
        assert_eq!(download(300_000, 500), 302_000);
    }
}
