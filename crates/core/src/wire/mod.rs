//! The JSON that is published in `out/` and the JSON that a device is sent.
//!
//! Two files are formats that other programs read: `vc/<IMEI>.json` ([`AnswerFile`]) and `otapress.json`
//! ([`Site`]). Both are written and read only here. A device is sent an [`Answer`], which never holds
//! anything of the `offer`.
//!
//! Format 2 is written; formats 1 (otapress 0.1) and 2 are read. In format 1 an answer says when its wave
//! opens (`from`); in format 2 it names its wave, and `otapress.json` has what opens that wave, so that
//! moving a wave rewrites no answer. An otapress 0.1 beside a new `out/` does not know the key `wave`,
//! refuses the answer and offers nothing.

#![expect(clippy::disallowed_types, reason = "the formats of out/ and of answers")]

mod site;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::version::Version;

pub use site::{After, Formerly, Limit, Places, Release, Rollout, Site, Suite, Wave, percent};

/// The number of the format of `out/` that is written.
pub const FORMAT: u32 = 2;

/// The formats that are read; another number is refused instead of being misread.
pub const READABLE: std::ops::RangeInclusive<u32> = 1..=FORMAT;

/// The answer that never hurts: no upgrade, no settings.
///
/// Exactly these bytes, because firmware up to 0.8.37 upgrades on any byte `1` in the body.
pub const NO: &str = r#"{"upgrade":0}"#;

/// The header that tells a simulated device why it is answered so, and whether records can be kept:
/// `<decision>; store=ok|none`. It is there at published paths only, and where none can be known.
pub const DECISION: &str = "X-Otapress";

/// The decision of a responder that cannot read `otapress.json`, so that it knows no path.
pub const UNREADABLE_OUT: &str = "unreadable-out";

/// One device's answer file, `vc/<IMEI>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerFile {
    /// 1 if there is a target that the device may be offered, else 0.
    pub upgrade: u8,
    /// Every setting that the fleet wants on the device, in the order in which it is to be applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// What the responder needs to judge; never forwarded.
    pub offer: Offer,
}

/// One setting, as the device reads it. An empty `val` deletes the setting on the device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// The key, one of the device's own.
    pub key: String,
    /// The value.
    pub val: String,
}

impl Setting {
    /// The setting as it stands in an answer.
    pub fn to_json(&self) -> String {
        to_ascii(self)
    }
}

/// The rules under which the responder may offer the target, and what it needs to count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Offer {
    /// The device is held: no upgrade and no settings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// What is offered, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The device's versionInterval in seconds: how long it takes at least until it asks again.
    pub interval: u32,
    /// Names the set of settings that are sent until confirmed; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// The keys of `settings` that are sent at every check, confirmed or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub always: Vec<String>,
}

/// A release and the rules of its rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Target {
    /// The version that the device is to run.
    #[serde(with = "as_text")]
    pub version: Version,
    /// What attempts and failures are counted by: `<channel>/<release>`, or `pin/<release>`.
    pub rollout: String,
    /// What the rate is counted by; absent for a pinned device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The device's wave: its percentage in basis points, which names one of the [`Rollout::waves`] in
    /// `otapress.json`; 10,000 outside a rollout of waves. Absent in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u16>,
    /// When the device's wave opens, in seconds since 1970-01-01 UTC; absent if it is open. Format 1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// When in the week offers are made; absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many offers a device gets at most.
    pub attempts: u32,
    /// When the rollout stops by itself.
    pub brake: Brake,
    /// The device is not offered a version lower than the one it reports.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_downgrade: bool,
    /// How many offers are made in any hour over the whole channel; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
}

/// A weekly window in UTC: it opens on each of the days at `from` and stays open for `minutes`,
/// past midnight if need be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it opens, in the order of the week, without repetition.
    pub days: Vec<Day>,
    /// Minutes after midnight UTC, 0–1439.
    pub from: u16,
    /// How long it stays open, 1–1440.
    pub minutes: u16,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// The week, from Monday.
    pub const WEEK: [Day; 7] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

    /// As in fleet.yaml: `mon` … `sun`.
    pub fn as_str(self) -> &'static str {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][self as usize]
    }
}

/// When a rollout stops by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Brake {
    /// So many distinct devices with a result that is the artifact's fault (904–907, 909, 910); 0: never.
    pub artifact_faults: u32,
    /// More than so many basis points (1/100 of a percent) of the finished devices failed …
    pub failures_bp: u32,
    /// … once at least so many devices have finished.
    pub after: u32,
}

/// What a device is sent: `{"upgrade":…}` and `settings` where some are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the device is to start its OTAP procedure.
    pub upgrade: bool,
    /// The settings that it is to store, in order.
    pub settings: Vec<Setting>,
}

impl Answer {
    /// No upgrade and no settings.
    pub const NO: Answer = Answer { upgrade: false, settings: Vec::new() };

    /// The body: one line of pure ASCII without a line end.
    pub fn to_body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            upgrade: u8,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            settings: &'a [Setting],
        }
        to_ascii(&Body { upgrade: self.upgrade.into(), settings: &self.settings })
    }
}

impl AnswerFile {
    /// The file's text: one line of pure ASCII with its line end.
    pub fn to_text(&self) -> String {
        to_ascii(self) + "\n"
    }

    /// Reads what [`AnswerFile::to_text`] wrote.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

fn to_ascii(value: &impl Serialize) -> String {
    escape_non_ascii(serde_json::to_string(value).expect("strings and numbers always serialize"))
}

/// Devices read one byte as one Latin-1 character, so anything else is written as `\uXXXX`. In JSON
/// text only strings can hold such characters.
fn escape_non_ascii(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    let mut ascii = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii
}

/// A value that is a JSON string because it has a text form of its own.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
