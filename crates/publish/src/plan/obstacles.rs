//! What keeps devices from the release that a plan aims them at, as the records say.

use super::{Devices, Plan};
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::Limit;

/// Devices that are aimed at a release under one rule.
#[derive(Clone, Debug)]
pub struct Aim {
    /// `<channel>/<release>`.
    pub rollout: String,
    /// The release.
    pub version: Version,
    /// How many attempts each device has.
    pub attempts: u32,
    /// How many devices may be unproven at a time.
    pub unproven: Limit,
    /// Which devices.
    pub devices: Devices,
}

/// Why devices would not be offered what they are aimed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hindrance {
    /// The brake is pulled, for this reason.
    Halted(String),
    /// So many devices were sent it and were not heard of since, and no more may be.
    Proving(u32),
    /// They have used their attempts.
    Exhausted,
}

/// Devices that something keeps from a release.
#[derive(Clone, Debug)]
pub struct Obstacle {
    /// `<channel>/<release>`.
    pub rollout: String,
    /// What it is.
    pub hindrance: Hindrance,
    /// Which devices.
    pub devices: Devices,
}

impl Plan {
    /// The devices of an aim.
    pub fn aimed<'a>(&'a self, aim: &'a Aim) -> impl Iterator<Item = Imei> + 'a {
        aim.devices.lists.iter().flat_map(|&list| &self.lists[list as usize]).copied()
    }

    /// Notes an obstacle, if it is in anybody's way. The devices are in the order of their names.
    pub fn hinder(&mut self, rollout: &str, hindrance: Hindrance, imeis: Vec<Imei>) {
        if imeis.is_empty() {
            return;
        }
        let mut devices = Devices::default();
        devices.add(self.lists.len(), imeis.len());
        self.lists.push(imeis);
        self.obstacles.push(Obstacle { rollout: rollout.to_owned(), hindrance, devices });
    }
}
