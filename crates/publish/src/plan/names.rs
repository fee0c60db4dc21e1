//! The names of devices: out/ has only IMEIs, the fleet has clientIDs.

use std::borrow::Cow;

use crate::fleet::{Device, Fleet};
use crate::render::jad_path;
use otapress_core::id::Imei;
use otapress_core::out_path::OutPath;

/// The devices of a fleet by IMEI.
#[derive(Debug, Default)]
pub struct Names<'a> {
    fleet: Option<&'a Fleet>,
    /// The place of each device in the fleet, by IMEI.
    by_imei: Vec<(Imei, u32)>,
}

impl<'a> Names<'a> {
    /// The names in a fleet.
    pub fn of(fleet: &'a Fleet) -> Self {
        let mut by_imei: Vec<_> =
            fleet.devices().iter().zip(0u32..).map(|(device, at)| (device.imei, at)).collect();
        by_imei.sort_unstable();
        Names { fleet: Some(fleet), by_imei }
    }

    fn place(&self, imei: Imei) -> Option<u32> {
        self.by_imei.binary_search_by_key(&imei, |(imei, _)| *imei).ok().map(|at| self.by_imei[at].1)
    }

    /// The device of that IMEI.
    pub fn device(&self, imei: Imei) -> Option<&'a Device> {
        self.place(imei).zip(self.fleet).map(|(at, fleet)| &fleet.devices()[at as usize])
    }

    /// A device's clientID, or its IMEI if it is not in the fleet.
    pub fn name(&self, imei: Imei) -> Cow<'a, str> {
        match self.device(imei) {
            Some(device) => Cow::Borrowed(device.client_id.as_str()),
            None => Cow::Owned(imei.to_string()),
        }
    }

    /// Sorts devices by clientID; those without a name follow, by IMEI.
    pub fn sort(&self, devices: &mut [Imei]) {
        devices.sort_by_cached_key(|&imei| (self.place(imei).unwrap_or(u32::MAX), imei));
    }

    /// The path of a device's JAD.
    pub fn jad(&self, device: &Device) -> Option<OutPath> {
        jad_path(self.fleet?, device).ok()
    }
}
