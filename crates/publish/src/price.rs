//! What a device's traffic costs, by the fleet's `dataPlan` and the model of [`crate::traffic`].

use crate::fleet::{Channel, DataPlan, Device, Fleet};
use crate::plan::{Change, Plan, Pushed, Rule as PlanRule, Upgrades};
use crate::resolve::{Assignment, Rule};
use crate::traffic::{JAD, Usage, checks, download, megabytes};
use otapress_core::words::{count, form};

/// Seconds between the locations of a driving vehicle that the firmware has by itself.
const MAX_INTERVAL: u32 = 60;

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

/// What a plan makes of the devices' traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    plan: DataPlan,
    /// What is downloaded.
    pub upgrades: Upgrades,
    /// What changes every month.
    pub months: Vec<Month>,
    /// Version checks of all devices in a month, in bytes, and how many devices that are.
    pub checks: (f64, usize),
}

/// A setting that changes the traffic of a month.
#[derive(Clone, Debug, PartialEq)]
pub struct Month {
    /// The setting.
    pub key: &'static str,
    /// Its values.
    pub values: (u32, u32),
    /// Bytes more (or less) for each device.
    pub bytes: f64,
    /// The devices that get it.
    pub devices: usize,
}

impl Costs {
    /// Of a plan for this fleet; `None` if it has no `dataPlan`.
    pub fn of(fleet: &Fleet, plan: &Plan) -> Option<Self> {
        let usage = fleet.usage();
        let locations =
            plan.settings.iter().filter(|change| change.key == "maxInterval").filter_map(|change| {
                Some(Month::of_locations(&usage, intervals(&change.change)?, change.devices.count()))
            });
        let checks = plan.rules.iter().filter_map(|change| match change.rule {
            PlanRule::Interval(before, after) => {
                Some(Month::of_checks((before, after), change.devices.count()))
            }
            _ => None,
        });
        let of_all = |device: &Device| checks_of(fleet, device);
        Some(Costs {
            plan: fleet.data_plan()?.clone(),
            upgrades: plan.upgrades,
            months: locations.chain(checks).collect(),
            checks: (fleet.devices().iter().map(of_all).sum(), fleet.devices().len()),
        })
    }

    /// What a reviewer needs to know; `None` if nothing is downloaded and no month changes.
    pub fn line(&self) -> Option<String> {
        let upgrades = &self.upgrades;
        let once =
            [("≈", upgrades.devices, upgrades.traffic), ("up to", upgrades.unsure, upgrades.unsure_traffic)];
        let once = once.iter().filter(|(_, devices, _)| *devices > 0);
        let once =
            once.map(|(about, _, bytes)| format!("{about} {} once", amount(*bytes as f64, &self.plan)));
        let months = self.months.iter().map(|month| {
            let (before, after) = month.values;
            format!(
                "{} a month per device by {} {before} → {after}",
                signed(month.bytes, megabytes),
                month.key
            )
        });
        let parts: Vec<_> = once.chain(months).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The same for the fleet and for one device, with the worst case and what there is anyway.
    pub fn lines(&self) -> Vec<String> {
        let Upgrades { devices, unsure, traffic, unsure_traffic, worst_traffic, .. } = self.upgrades;
        let mut lines = Vec::new();
        if devices + unsure > 0 {
            let each = (traffic + unsure_traffic) as f64 / (devices + unsure) as f64;
            lines.push(format!(
                "≈ {} of traffic for each device that downloads; {} in all if every attempt fails",
                amount(each, &self.plan),
                amount(worst_traffic as f64, &self.plan)
            ));
        }
        let money = |bytes: f64| amount(bytes, &self.plan);
        lines.extend(self.months.iter().map(|month| {
            let all = month.bytes * month.devices as f64;
            let devices = match month.devices {
                1 => "1 device".to_owned(),
                n => format!("{n} devices together"),
            };
            format!("{} a month by {} for {devices}", signed(all, money), month.key)
        }));
        let (bytes, devices) = self.checks;
        if devices > 0 {
            let each = bytes / devices as f64;
            lines.push(format!(
                "≈ {} a month of version checks in all, {} for each device",
                money(bytes),
                megabytes(each)
            ));
        }
        lines
    }

    /// The price of so many bytes.
    pub fn money(&self, bytes: f64) -> f64 {
        bytes / 1e6 * self.plan.per_megabyte
    }

    /// The currency of that.
    pub fn currency(&self) -> &str {
        &self.plan.currency
    }
}

impl Month {
    fn of_locations(usage: &Usage, values: (u32, u32), devices: usize) -> Self {
        let bytes = usage.locations(values.1) - usage.locations(values.0);
        Month { key: "maxInterval", values, bytes, devices }
    }

    fn of_checks(values: (u32, u32), devices: usize) -> Self {
        Month { key: "versionInterval", values, bytes: checks(values.1) - checks(values.0), devices }
    }
}

fn checks_of(fleet: &Fleet, device: &Device) -> f64 {
    checks(fleet.group(device).provisioning.version_interval.value)
}

/// The intervals before and after; `None` if devices keep what they have. The firmware has its own where
/// nothing was pushed.
fn intervals(change: &Change<Pushed>) -> Option<(u32, u32)> {
    let of = |pushed: &Pushed| pushed.value.parse().unwrap_or(MAX_INTERVAL);
    let before = change.before().map_or(MAX_INTERVAL, of);
    let after = of(change.after()?);
    (before != after).then_some((before, after))
}

/// `+12.6 MB`, `-12.6 MB`.
fn signed(bytes: f64, text: impl Fn(f64) -> String) -> String {
    format!("{}{}", if bytes < 0.0 { '-' } else { '+' }, text(bytes.abs()))
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

    #[test]
    fn a_reviewer_is_told_the_price_of_a_plan_in_one_line() {
        let usage = Usage::default();
        let mut costs = Costs {
            plan: plan(),
            upgrades: Upgrades {
                devices: 120,
                bytes: 120 * 298_000,
                traffic: 120 * download(298_000, JAD),
                worst_traffic: 3 * 120 * download(298_000, JAD),
                ..Upgrades::default()
            },
            months: vec![Month::of_locations(&usage, (30, 5), 120)],
            checks: (120.0 * checks(10_800), 120),
        };
        let line = "≈ 36 MB, 7.20 EUR once; +12.6 MB a month per device by maxInterval 30 → 5";
        assert_eq!(costs.line().as_deref(), Some(line));
        assert_eq!(
            costs.lines(),
            [
                "≈ 0.3 MB, 0.06 EUR of traffic for each device that downloads; 108 MB, 21.60 EUR in all if \
                 every \
                 attempt fails",
                "+1512 MB, 302.40 EUR a month by maxInterval for 120 devices together",
                "≈ 14.4 MB, 2.88 EUR a month of version checks in all, 0.1 MB for each device",
            ]
        );
        // What may be downloaded, and what becomes less.
        costs.upgrades = Upgrades { unsure: 2, unsure_traffic: 600_000, ..Upgrades::default() };
        costs.months = vec![Month::of_checks((900, 10_800), 120)];
        let line = "up to 0.6 MB, 0.12 EUR once; -1.3 MB a month per device by versionInterval 900 → 10800";
        assert_eq!(costs.line().as_deref(), Some(line));
        (costs.upgrades, costs.months) = (Upgrades::default(), Vec::new());
        assert_eq!(costs.line(), None);
    }

    #[test]
    fn devices_go_from_the_interval_of_the_firmware_and_keep_what_is_pushed_no_more() {
        let pushed = |value: &str| Pushed { value: value.into(), always: false };
        assert_eq!(intervals(&Change::Changed(pushed("30"), pushed("5"))), Some((30, 5)));
        assert_eq!(intervals(&Change::Added(pushed("30"))), Some((60, 30)));
        assert_eq!(intervals(&Change::Changed(pushed("5"), pushed(""))), Some((5, 60)));
        assert_eq!(intervals(&Change::Changed(pushed("30"), Pushed { always: true, ..pushed("30") })), None);
        assert_eq!(intervals(&Change::Withdrawn(pushed("30"))), None);
    }
}
