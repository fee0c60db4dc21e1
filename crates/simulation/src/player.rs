//! Who takes part in a play.

use otapress_core::version::Version;
use otapress_devices::device::Device;

/// A device that takes part.
#[derive(Clone, Debug)]
pub struct Player {
    /// The device as it is provisioned, running what it starts with.
    pub device: Device,
    /// What it is to run, if anything.
    pub target: Option<Version>,
    /// How many attempts it has.
    pub attempts: u32,
}

impl Player {
    /// Whether it runs its target; false without one.
    pub(crate) fn runs_target(&self) -> bool {
        self.target.is_some() && self.device.version.parse::<Version>().ok() == self.target
    }
}
