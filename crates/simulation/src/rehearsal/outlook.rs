//! What a rehearsal shows of each rollout.

use std::collections::BTreeMap;

use super::InProcess;
use otapress_core::id::Imei;
use otapress_core::wire::{Target, Wave};
use otapress_responder::record::{Halt, RolloutRecord};

/// How a rollout stands at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutOutlook {
    /// Its id.
    pub id: String,
    /// Its devices.
    pub devices: usize,
    /// Those of them that run the release.
    pub run: usize,
    /// Its waves, in their order.
    pub waves: Vec<WaveOutlook>,
    /// Devices that were told to upgrade.
    pub told: u32,
    /// Devices that take a place: told, and not heard of since.
    pub unproven: Vec<Imei>,
    /// When it was halted, and why.
    pub halted: Option<Halt>,
}

/// How a wave stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaveOutlook {
    /// What it is.
    pub wave: Wave,
    /// Its devices that were played.
    pub devices: usize,
    /// Those of them that run the release.
    pub run: usize,
    /// When it opened; `None` if it did not.
    pub opened: Option<i64>,
}

/// A device that was played: its target, and whether it runs that in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What it was to run.
    pub target: Target,
    /// Whether it does.
    pub runs_it: bool,
}

impl InProcess {
    /// How the rollouts of the devices stand at that time.
    pub fn outlook(&self, played: &[Played], now: i64) -> Vec<RolloutOutlook> {
        let mut members: BTreeMap<&str, Vec<&Played>> = BTreeMap::new();
        for device in played {
            members.entry(&device.target.rollout).or_default().push(device);
        }
        members.iter().map(|(id, members)| self.rollout_outlook(id, members, now)).collect()
    }

    fn rollout_outlook(&self, id: &str, members: &[&Played], now: i64) -> RolloutOutlook {
        let record = self.memory.rollout(id);
        let places = self.memory.places().into_iter();
        let waves = self.site.rollouts.get(id).map(|rollout| rollout.waves.clone()).unwrap_or_default();
        let waves = waves.into_iter().map(|wave| {
            let of_wave = || members.iter().filter(|device| device.target.wave == Some(wave.wave));
            WaveOutlook {
                wave,
                devices: of_wave().count(),
                run: of_wave().filter(|device| device.runs_it).count(),
                opened: self.opened(&record, &wave, now),
            }
        });
        RolloutOutlook {
            devices: members.len(),
            run: members.iter().filter(|device| device.runs_it).count(),
            waves: waves.collect(),
            told: record.offered,
            unproven: places.filter(|place| place.rollout == id).map(|place| place.imei).collect(),
            halted: record.halted,
            id: id.to_owned(),
        }
    }

    fn opened(&self, rollout: &RolloutRecord, wave: &Wave, now: i64) -> Option<i64> {
        let by_time = wave.at.unwrap_or(self.start).max(self.start);
        match wave.after {
            Some(_) => rollout.waves.get(wave.wave).opened,
            None => (by_time <= now).then_some(by_time),
        }
    }
}
