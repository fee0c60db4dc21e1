//! A fleet file from what the predecessor's `otc` prints: its devices (`otc dbjson`) and settings sets (`otc
//! showsets`).
//!
//! # The formats
//!
//! Confirmed by the predecessor's source (`otc` 0.12 with Python 2, and its database schema):
//!
//! - `otc dbjson` prints a JSON array of objects: `imei` (text, unique, at most 15 characters), `custid`
//!   (text), `tid` (text of at most 2 characters, or null), `block` (0 or 1), `reported` and `deliver` (a
//!   version or null; `deliver` may be `*`, the highest version there is), `sname` (the one settings set of
//!   the device, or the empty text), `lastcheck` (UTC or the empty text), `comment` and `flags` (texts; `v`:
//!   notify of every check). Older versions lack the later of these. It prints `null` when it cannot reach
//!   its server, and `"NOP"` when its key is refused.
//! - `otc showsets` prints one line for each set: its name, padded to 27 characters, a blank, and its
//!   settings, `key=value` separated by `;`, or `None`. With an IMEI it prints a JSON array of that device's
//!   settings instead.
//! - The predecessor sends a set up to the first piece that has not exactly one `=`, and nothing behind that.
//! - What `otc set --once` has set stands in neither output as such.
//!
//! Assumed: that lines of other tools may stand around the two, that numbers may come as texts and texts as
//! numbers, and that unknown keys may be passed over. So they are read leniently, and whatever is not carried
//! over is said.

mod convert;
mod dbjson;
mod showsets;
mod write;

pub use convert::{Jars, convert};
pub use dbjson::{Row, read as read_dbjson};
pub use showsets::{RawSet, read as read_showsets};
pub use write::{Origin, fleet_file, inventory};

use std::collections::BTreeMap;

use otapress_core::id::Imei;
use otapress_core::version::Version;

/// What is carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The groups by name, with what the predecessor calls the customer where that cannot be a name.
    pub groups: BTreeMap<String, Option<String>>,
    /// The settings sets by name.
    pub sets: BTreeMap<String, Set>,
    /// The release of the channel [`LATEST`], if a device is in it.
    pub latest: Option<Version>,
    /// The devices, by IMEI: the predecessor knows no clientIDs.
    pub devices: BTreeMap<Imei, Device>,
}

/// The channel of devices that are to run the highest version there is.
pub const LATEST: &str = "latest";

/// A settings set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The settings by key.
    pub values: BTreeMap<String, String>,
    /// The keys among them that can cut a device off or leak a secret, sorted.
    pub allow: Vec<String>,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its group.
    pub group: Option<String>,
    /// What it is to run.
    pub target: Target,
    /// Whether it is to be left alone.
    pub hold: bool,
    /// Its settings set.
    pub set: Option<String>,
    /// Its tracker ID.
    pub tid: Option<String>,
    /// For people.
    pub comment: Option<String>,
}

/// What a device is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// What it runs.
    #[default]
    Nothing,
    /// The channel [`LATEST`].
    Latest,
    /// This version.
    Release(Version),
}
