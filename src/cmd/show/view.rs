//! Everything about one device.

use crate::report::status::replaced::OfClientId;
use otapress_publish::fleet::{Device, Fleet};
use otapress_publish::resolve::Assignment;
use otapress_responder::record::{DeviceRecord, Refusal, RolloutRecord};

/// What is known of a device.
pub(super) struct View<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) device: &'a Device,
    pub(super) assignment: Assignment,
    /// What its traffic costs, if the fleet says what a megabyte does.
    pub(super) traffic: Vec<String>,
    /// Which keys an entry of fleet.yaml overrides, and where both are declared.
    pub(super) overridden: Option<String>,
    pub(super) jad_url: String,
    pub(super) jar: Option<JarView>,
    pub(super) notify_url: String,
    /// What to `set` on the device, in order.
    pub(super) provision: Vec<(&'static str, String)>,
    /// The command that the firmware gives the modem.
    pub(super) command: String,
    /// What the modem may not take.
    pub(super) warnings: Vec<String>,
    /// What its wave waits for, if it is closed.
    pub(super) wait: Option<String>,
    /// What the responder remembers; none if there is no state or it never heard of the device.
    pub(super) state: Option<StateView>,
    /// What the responder remembers of its clientID besides.
    pub(super) of_client_id: OfClientId,
}

/// The JAR of a device's target.
pub(super) struct JarView {
    pub(super) url: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    /// Who signed it.
    pub(super) signer: Option<String>,
}

/// What the responder remembers of a device.
pub(super) struct StateView {
    pub(super) record: DeviceRecord,
    pub(super) rollout: RolloutRecord,
    /// Why it would not be offered its target now, if it would not; unknown as long as it has reported no
    /// version.
    pub(super) now: Option<Result<(), Refusal>>,
}
