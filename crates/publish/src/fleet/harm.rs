//! Values that are allowed and cost more than they look: the flash of a device, its data plan, the way back
//! to it.

use std::collections::BTreeSet;

use super::devices::Origins;
use super::reader::Reader;
use super::{Channel, Device, EffectiveSettings, Group};
use crate::diag::{Code, Diagnostic, Span};
use crate::traffic::{self, Usage, megabytes, per_month};
use otapress_core::words::count;

/// Checks more often than every 15 minutes cost more than they bring.
const SHORT_INTERVAL: u32 = 900;

/// With two days between checks, a mistake has two days to spread and takes two more to mend.
const LONG_INTERVAL: u32 = 172_800;

/// In mV: a lithium cell has less for the second half of its charge.
const HIGH_BATTERY: u32 = 3_801;

/// Writes of the flash file a year above which there is a warning.
const FLASH_WRITES: f64 = 3_000.0;

/// Bytes a month from which traffic is worth a warning, unless the data plan says otherwise.
pub(crate) const MUCH: f64 = 10e6;

/// What the checks need of the fleet.
pub(super) struct Parts<'a> {
    pub groups: &'a [Group],
    pub devices: &'a [Device],
    pub settings: &'a [EffectiveSettings],
    pub origins: &'a [Origins],
    pub usage: Usage,
    pub per_device: Option<u64>,
}

/// Checks everything that devices are told.
pub(super) fn check(reader: &mut Reader, parts: &Parts<'_>) {
    for group in parts.groups {
        interval(reader, group);
    }
    let mut seen = BTreeSet::new();
    for device in parts.devices.iter().filter(|device| !device.hold) {
        let index = device.settings.0 as usize;
        if parts.origins[index].is_empty() || !seen.insert((device.group, device.settings)) {
            continue;
        }
        let interval = parts.groups[usize::from(device.group.0)].provisioning.version_interval.value;
        flash(reader, &parts.settings[index], &parts.origins[index], interval);
        traffic_of(reader, parts, &parts.origins[index]);
        reach(reader, &parts.settings[index], &parts.origins[index]);
    }
}

/// Settings that keep a device away from its version checks, or take from it what it has to say.
fn reach(reader: &mut Reader, settings: &EffectiveSettings, origins: &Origins) {
    for (key, value) in origins {
        let number = value.text.parse::<u32>().unwrap_or(0);
        let (message, hint) = match key.as_str() {
            "sleep" if number > LONG_INTERVAL => {
                let days = f64::from(number) / 86_400.0;
                let message = format!("with `sleep` {number} a device may be away for up to {days:.1} days");
                (message, "it is in seconds, and 21600 is usual")
            }
            // More than a battery ever has is an error of its own.
            "lowBattery" if (HIGH_BATTERY..=4_200).contains(&number) => {
                let message = format!("with `lowBattery` {number} a battery is low for much of its charge");
                (message, "it is in millivolts, and 3599 is usual")
            }
            "offUntil" if number > 0 => {
                let message = format!("with `offUntil` {number} a device is off, and hears of nothing else");
                (message, "push it for a while only, and an empty value after that")
            }
            "killQueue" | "killPersistent" if number > 0 && settings.always.contains(key) => {
                let message = format!("`{key}` at every check takes away what a device has not sent yet");
                (message, "leave `enforce: always` out: it is a command, not a state")
            }
            _ => continue,
        };
        warn(reader, Code::OutOfReach, value.span, message, hint);
    }
}

fn warn(reader: &mut Reader, code: Code, span: Span, message: String, hint: &str) {
    let diagnostic = Diagnostic::new(code, span, message).hint(hint);
    if !reader.found.contains(&diagnostic) {
        reader.report(diagnostic);
    }
}

fn interval(reader: &mut Reader, group: &Group) {
    let interval = group.provisioning.version_interval;
    let seconds = interval.value;
    if seconds < SHORT_INTERVAL {
        let message = format!(
            "`versionInterval` {seconds} means {:.0} version checks a month per device, about {}",
            per_month(seconds),
            megabytes(traffic::checks(seconds))
        );
        warn(reader, Code::VersionInterval, interval.span, message, "a check every 3 hours (10800) is usual");
    } else if seconds > LONG_INTERVAL {
        let days = f64::from(seconds) / 86_400.0;
        let message =
            format!("with `versionInterval` {seconds} a device cannot be reached for up to {days:.1} days");
        let hint = if seconds.is_multiple_of(1000) && seconds / 1000 >= 60 {
            "it is in seconds: are these milliseconds?"
        } else {
            "a mistake takes that long to be noticed, and that long again to be fixed"
        };
        warn(reader, Code::VersionInterval, interval.span, message, hint);
    }
}

/// Every setting that is sent rewrites the file once.
fn flash(reader: &mut Reader, settings: &EffectiveSettings, origins: &Origins, interval: u32) {
    let Some(first) = settings.always.first().and_then(|key| origins.get(key)) else { return };
    let keys = settings.always.len();
    let writes = 365.0 * 86_400.0 / f64::from(interval) * keys as f64;
    if writes > FLASH_WRITES {
        let message = format!(
            "`enforce: always` of {} at a `versionInterval` of {interval} writes the flash \
             {writes:.0} times a year",
            count(keys, "setting")
        );
        let hint = "flash wears out: enforce fewer settings, or let devices ask less often";
        warn(reader, Code::FlashWear, first.span, message, hint);
    }
}

fn traffic_of(reader: &mut Reader, parts: &Parts<'_>, origins: &Origins) {
    let much = parts.per_device.map_or(MUCH, |bytes| bytes as f64);
    let usage = parts.usage;
    for (key, value) in origins {
        let seconds = value.text.parse().unwrap_or(0);
        let bytes = match key.as_str() {
            "maxInterval" => usage.locations(seconds),
            "minInterval" | "temperatureInterval" => usage.messages(seconds),
            "keepAlive" => traffic::pings(seconds),
            "topicLogLevel" if matches!(value.text.as_str(), "N" | "I" | "D") => {
                let message =
                    format!("`topicLogLevel` `{}` sends a message for each line of the log", value.text);
                let hint = "`E` is usual; use `fileLogLevel` for more, and push it for a while only";
                warn(reader, Code::Traffic, value.span, message, hint);
                continue;
            }
            _ => continue,
        };
        if bytes > much {
            let message = format!("`{key}` {seconds} costs about {} a month per device", megabytes(bytes));
            let hint = match key.as_str() {
                "maxInterval" => format!(
                    "assuming {} bytes a message and {} driving hours a day: see `dataPlan`",
                    usage.message_bytes, usage.driving_hours
                ),
                "keepAlive" => "60 seconds is usual".into(),
                _ => format!("assuming {} bytes a message: see `dataPlan`", usage.message_bytes),
            };
            warn(reader, Code::Traffic, value.span, message, &hint);
        }
    }
}

/// A brake that nothing can pull.
pub(super) fn brake(reader: &mut Reader, channel: &Channel) {
    if channel.brake.artifact_faults == 0 && channel.brake.failures_bp >= 10_000 {
        let message = format!("nothing stops the rollout of channel `{}` by itself", channel.name);
        let hint = "more than 100% never fail: leave `brake` out, or lower `failures`";
        warn(reader, Code::NoBrake, channel.release.span, message, hint);
    }
}
