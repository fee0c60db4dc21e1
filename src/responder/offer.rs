//! What `out/` says of one device, as the responder needs it.

use crate::wire::{Setting, Target};

/// A device's answer file with everything in it consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// No upgrade and no settings.
    Held,
    /// The device is the responder's to manage.
    Managed {
        /// What it is to run, if anything.
        target: Option<Target>,
        /// Its versionInterval in seconds.
        interval: u32,
        /// The settings that are sent until they are confirmed, if there are.
        settings: Option<Generation>,
        /// Those that are sent at every check.
        always: Vec<Setting>,
    },
}

/// Settings that are sent until they are confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Their name: other settings have another.
    pub name: String,
    /// In the order in which they are to be applied.
    pub settings: Vec<Setting>,
}
