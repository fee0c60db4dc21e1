//! What a plan costs, by the fleet's `dataPlan`.

use super::{Change, Plan, Pushed, Rule, Upgrades};
use crate::fleet::{DataPlan, Device, Fleet};
use crate::price::{MAX_INTERVAL, amount, checks_of};
use crate::traffic::{Usage, checks, megabytes};

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
            Rule::Interval(before, after) => Some(Month::of_checks((before, after), change.devices.count())),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{JAD, download};

    #[test]
    fn a_reviewer_is_told_the_price_of_a_plan_in_one_line() {
        let usage = Usage::default();
        let mut costs = Costs {
            plan: DataPlan { per_megabyte: 0.20, currency: "EUR".into(), per_device: None },
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
