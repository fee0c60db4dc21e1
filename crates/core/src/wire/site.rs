//! `otapress.json`: what is published, the paths that devices ask at, and the rules of each rollout.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Brake, Target, as_text, escape_non_ascii};
use crate::digest::Sha256;

/// `otapress.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Site {
    /// The number of the format, one of [`READABLE`](super::READABLE).
    pub otapress: u32,
    /// The URL under which the directory is served, without a slash at its end.
    pub site: String,
    /// The paths (with their query, if any) of every versionURI in use, sorted.
    pub version_paths: Vec<String>,
    /// The paths of every notifyURI in use, `@` unexpanded, sorted.
    pub notify_paths: Vec<String>,
    /// Paths that devices may still have been told.
    #[serde(default, skip_serializing_if = "Formerly::is_empty")]
    pub formerly: Formerly,
    /// Whether JADs and JARs are to be served under basic auth only.
    pub auth: bool,
    /// Every JAR that is published, in ascending order of version.
    pub releases: Vec<Release>,
    /// The release of each channel, as its manifest spells it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, String>,
    /// The rules of each rollout that an answer names, by the rollout's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollouts: BTreeMap<String, Rollout>,
}

/// Paths of earlier URIs, which are answered like today's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Formerly {
    /// As [`Site::version_paths`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_paths: Vec<String>,
    /// As [`Site::notify_paths`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify_paths: Vec<String>,
    /// The hosts of former versionURIs whose path is today's, in lower case: who asks there has not moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub version_hosts: Vec<String>,
    /// The same of notifyURIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notify_hosts: Vec<String>,
}

/// A published JAR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Release {
    /// Its MIDlet-Version, verbatim.
    pub version: String,
    /// Its path below `out/`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its bytes.
    #[serde(with = "as_text")]
    pub sha256: Sha256,
    /// What its manifest says; empty in format 1.
    #[serde(default, skip_serializing_if = "Suite::is_empty")]
    pub suite: Suite,
    /// Why nobody is to be sent it again; absent: it may be offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
}

/// What a later release is compared with: what must stay as it is for a device to accept an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Suite {
    /// MIDlet-Vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// MIDlet-1: name, icon and class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub midlet: Option<String>,
    /// MIDlet-Permissions, in the manifest's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// Whether its JADs carry a signature.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
}

/// The rules that hold for a whole rollout; those of a single device stand in its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The version that it brings, as its manifest spells it.
    pub release: String,
    /// Its waves, ascending; at least one.
    pub waves: Vec<Wave>,
    /// How many devices may have been sent the release without having proven it.
    pub unproven: Limit,
    /// When it stops by itself. It stands in the answers, too; here it is found for the other rollouts of a
    /// release, which stop together.
    pub brake: Brake,
}

/// Basis points as fleet.yaml has them: `5%`, or `1250bp` where that is no whole number of percent.
pub fn percent(points: u16) -> String {
    match (points / 100, points % 100) {
        (percent, 0) => format!("{percent}%"),
        _ => format!("{points}bp"),
    }
}

/// Devices that are offered the release from the same moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Its name in the answers: its percentage in basis points. It has the devices whose bucket is below it
    /// and not below that of the wave before it.
    pub wave: u16,
    /// How many devices it has, without those of the waves before it.
    pub devices: u32,
    /// When it opens at the earliest, in seconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// What the waves before it must have shown; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<After>,
}

/// What the devices of the waves before must have shown for a wave to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct After {
    /// The share of the devices with a verdict that run the release, in basis points.
    pub success_bp: u16,
    /// The share of all devices that have a verdict, in basis points.
    pub reached_bp: u16,
    /// For how many seconds both have been so.
    pub soak: u32,
}

/// The limit of devices that were sent a release and have not proven it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Limit {
    /// `"unlimited"`.
    Unlimited,
    /// `{"least":3,"shareBp":1000}`.
    #[serde(untagged)]
    Places(Places),
}

/// `max(least, ⌊share × proven⌋)` places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Places {
    /// The number of places while few devices have proven the release.
    pub least: u32,
    /// The share of the devices that have proven it, in basis points.
    pub share_bp: u16,
}

impl After {
    /// The default of `reached_bp`: half of the devices.
    pub const REACHED_BP: u16 = 5000;
}

impl Places {
    /// The places of rollouts that name none.
    pub const DEFAULT: Places = Places { least: 3, share_bp: 1000 };
}

impl Limit {
    /// The limit of rollouts that name none.
    pub const DEFAULT: Limit = Limit::Places(Places::DEFAULT);

    /// How many devices may be unproven at a time; `None`: any number.
    pub fn places(self, proven: u64) -> Option<u64> {
        let Limit::Places(places) = self else { return None };
        let share = proven.saturating_mul(places.share_bp.into()) / 10_000;
        Some(share.max(places.least.into()))
    }
}

impl Formerly {
    fn is_empty(&self) -> bool {
        *self == Formerly::default()
    }
}

impl Suite {
    fn is_empty(&self) -> bool {
        *self == Suite::default()
    }
}

impl Rollout {
    /// The wave that answers call by this name.
    pub fn wave(&self, name: u16) -> Option<&Wave> {
        self.waves.iter().find(|wave| wave.wave == name)
    }

    /// Whether there is a wave for which others, or their success, are waited for.
    pub fn has_several_waves(&self) -> bool {
        self.waves.len() > 1 || self.waves.iter().any(|wave| wave.after.is_some())
    }
}

impl Site {
    /// The file's text, indented for reviewers.
    pub fn to_text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("strings and numbers always serialize");
        escape_non_ascii(text) + "\n"
    }

    /// Reads what [`Site::to_text`] wrote.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

impl Target {
    /// Its wave. Format 1 has the time in the target itself, and no number of devices. `None` is a wave that
    /// `rollouts` do not have (answers are published before `otapress.json`): it is closed.
    pub fn wave_in(&self, rollouts: &BTreeMap<String, Rollout>) -> Option<Wave> {
        match self.wave {
            None => Some(Wave { wave: 10_000, devices: 0, at: self.from, after: None }),
            Some(name) => rollouts.get(&self.rollout)?.wave(name).copied(),
        }
    }
}
