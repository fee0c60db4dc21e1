//! What happens to devices and rollouts, as it is recorded.

use std::sync::Arc;

use super::names::names;
use otapress_core::id::Imei;

names! {
    /// What can happen.
    EventKind {
        /// A device of the fleet was heard of for the first time.
        FirstSeen = "first-seen",
        /// It reports another version than before.
        VersionChanged = "version-changed",
        /// An attempt began.
        Offered = "offered",
        /// The target of an offer was reported.
        Upgraded = "upgraded",
        /// A result says that the suite is installed.
        Installed = "installed",
        /// An attempt failed.
        Failed = "failed",
        /// A result that says neither.
        Notified = "notified",
        /// A brake was pulled.
        Halted = "halted",
        /// A brake was released.
        Resumed = "resumed",
        /// A device was given new attempts.
        Retried = "retried",
        /// A rollout began anew: its release returned after others.
        BeganAnew = "began-anew",
        /// A wave opened, because those before it have proven the release.
        WaveOpened = "wave-opened",
        /// A device left the fleet, and gave its place back.
        PlaceFreed = "place-freed",
        /// No device of a rollout was heard for long, or the clock was set: what is awaited is awaited that
        /// much longer.
        TimeLeftOut = "time-left-out",
        /// A new database beside an older `out/`.
        NoMemory = "no-memory",
        /// A result's clientID and IMEI do not belong together.
        IdentityMismatch = "identity-mismatch",
        /// Settings were sent.
        SettingsSent = "settings-sent",
        /// They arrived.
        SettingsConfirmed = "settings-confirmed",
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: i64,
    /// What.
    pub kind: EventKind,
    /// To which device.
    pub imei: Option<Imei>,
    /// In which rollout.
    pub rollout: Option<Arc<str>>,
    /// The code of a result.
    pub code: Option<u16>,
    /// More, for people: versions, an attempt's number, a result's text.
    pub detail: String,
}
