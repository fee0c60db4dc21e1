//! What a device's traffic costs, by the fleet's `dataPlan` and the model of [`crate::traffic`].

use crate::fleet::{Channel, DataPlan, Device, Fleet};
use crate::resolve::{Assignment, Rule};
use crate::traffic::{JAD, checks, download, megabytes};
use otapress_core::words::{count, form};

/// Seconds between the locations of a driving vehicle that the firmware has by itself.
pub(crate) const MAX_INTERVAL: u32 = 60;

/// The traffic of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Version checks in a month.
    pub checks: f64,
    /// Locations in a month.
    pub locations: f64,
    /// One download of its target.
    pub release: Option<f64>,
    /// Offers of that: so many downloads if all of them fail.
    pub attempts: u32,
}

impl Price {
    /// Of a device whose target has a JAR of `jar` bytes.
    pub fn of(fleet: &Fleet, device: &Device, assignment: Assignment, jar: Option<u64>) -> Self {
        let channel = fleet.channel(device).filter(|_| assignment.rule != Rule::Pinned);
        let pushed = fleet.settings(device).get("maxInterval").filter(|_| !device.hold);
        let max_interval = pushed.and_then(|value| value.parse().ok()).unwrap_or(MAX_INTERVAL);
        Price {
            checks: checks_of(fleet, device),
            locations: fleet.usage().locations(max_interval),
            release: jar.map(|jar| download(jar, JAD) as f64),
            attempts: channel.map_or(Channel::ATTEMPTS, |channel| channel.attempts),
        }
    }

    /// In words: a month, and the release.
    pub fn lines(&self, plan: &DataPlan) -> Vec<String> {
        let month = format!(
            "≈ {} a month: {} of version checks, {} of locations",
            amount(self.checks + self.locations, plan),
            megabytes(self.checks),
            megabytes(self.locations)
        );
        let release = self.release.map(|bytes| {
            let worst = bytes * f64::from(self.attempts);
            format!(
                "≈ {} for its target, {} if {} {}",
                amount(bytes, plan),
                amount(worst, plan),
                count(self.attempts, "attempt"),
                form(self.attempts, "fails", "fail")
            )
        });
        [Some(month), release].into_iter().flatten().collect()
    }
}

/// Version checks of a device in a month, in bytes.
pub(crate) fn checks_of(fleet: &Fleet, device: &Device) -> f64 {
    checks(fleet.group(device).provisioning.version_interval.value)
}

/// `36 MB, 7.20 EUR`.
pub fn amount(bytes: f64, plan: &DataPlan) -> String {
    format!("{}, {:.2} {}", megabytes(bytes), bytes / 1e6 * plan.per_megabyte, plan.currency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_said_in_bytes_and_money() {
        let plan = plan();
        assert_eq!(amount(36e6, &plan), "36 MB, 7.20 EUR");
        let price =
            Price { checks: 120_000.0, locations: 2_520_000.0, release: Some(302_000.0), attempts: 3 };
        assert_eq!(
            price.lines(&plan),
            [
                "≈ 2.6 MB, 0.53 EUR a month: 0.1 MB of version checks, 2.5 MB of locations",
                "≈ 0.3 MB, 0.06 EUR for its target, 0.9 MB, 0.18 EUR if 3 attempts fail",
            ]
        );
    }

    fn plan() -> DataPlan {
        DataPlan { per_megabyte: 0.20, currency: "EUR".into(), per_device: None }
    }
}
