//! The changes a build would make, in the terms of the people who have to agree to them.
//!
//! ```text
//! Tree ─► View ─┐
//! out/ ─► View ─┴► compare ─► Plan ─► text, JSON, Markdown
//! ```
//! Pure: [`View`](view::View)s are compared, whatever they were made of. Every device of either tree is in
//! exactly one [`Transition`].

mod compare;
mod costs;
mod files;
mod jads;
pub mod names;
mod obstacles;
pub mod published;
mod rules;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::{BTreeSet, HashMap};

#[expect(clippy::disallowed_types, reason = "reports print it")]
use serde::Serialize;

pub use compare::compare;
pub use costs::{Costs, Month};
pub use files::Files;
pub use jads::JadMove;
pub use obstacles::{Aim, Hindrance, Obstacle};
pub use rules::{Rule, RuleChange};
pub use schedule::{Departure, Opening, Proof, is_raised};
pub use settings::{Pushed, SettingChange};

use crate::fleet::Fleet;
use crate::jar::{Jar, SuiteDiff};
use names::Names;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{Release, Site};
use view::Fingerprint;

/// How one published tree differs from another.
#[derive(Debug)]
pub struct Plan {
    /// The tree as it is.
    pub before: Side,
    /// The tree as it is to be.
    pub after: Side,
    /// What the devices are told to run before and after. Every device is in one of them, those that stay,
    /// too.
    pub transitions: Vec<Transition>,
    /// When the devices of the rollouts that change are offered their release.
    pub waves: Vec<Wave>,
    /// What the devices wait for that this plan sends somewhere, sooner or later than before.
    pub departures: Vec<Departure>,
    /// What the devices are aimed at after it.
    pub aims: Vec<Aim>,
    /// What keeps them from it; see [`Plan::hinder`].
    pub obstacles: Vec<Obstacle>,
    /// What changes of the rules by which offers are made.
    pub rules: Vec<RuleChange>,
    /// Changes of pushed settings.
    pub settings: Vec<SettingChange>,
    /// New devices under a clientID that was published for another IMEI.
    pub replaced: Devices,
    /// JADs that devices are to find elsewhere.
    pub moves: Vec<JadMove>,
    /// JARs that come and go.
    pub jars: Vec<Change<Release>>,
    /// How the JARs that come differ from the releases before them; see [`Plan::look_into`].
    pub suites: Vec<SuiteDiff>,
    /// The files behind all this.
    pub files: Files,
    /// Who downloads how much.
    pub upgrades: Upgrades,
    /// What that and the settings cost; see [`Plan::reckon`].
    pub costs: Option<Costs>,
    /// How many devices get another answer, or get or lose theirs.
    pub changed: usize,
    lists: Vec<Vec<Imei>>,
}

/// One of the trees.
#[derive(Debug)]
pub struct Side {
    /// The content of `otapress.json`; none if nothing is published.
    pub site: Option<Site>,
    /// How many devices it has answers for.
    pub devices: usize,
    /// What tells it from other trees.
    pub fingerprint: Fingerprint,
}

/// What a tree tells a device to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It has no answer for the device.
    Absent,
    /// Its answer cannot be read.
    Unreadable,
    /// The device is held.
    Held,
    /// Nothing: the device keeps what it runs.
    Nothing,
    /// This version.
    Target(Version),
}

impl State {
    /// The version, if there is one.
    pub fn version(self) -> Option<Version> {
        match self {
            State::Target(version) => Some(version),
            _ => None,
        }
    }
}

/// Devices that are told the same before and the same after.
#[derive(Debug)]
pub struct Transition {
    /// Before.
    pub before: State,
    /// After.
    pub after: State,
    /// Which devices.
    pub devices: Devices,
    /// How many of them are not sent back, because their channel denies downgrades.
    pub denied: usize,
    /// What they really run, if that was asked.
    pub running: Option<Running>,
}

/// What kind of transition it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To a lower version.
    Downgrade,
    /// To a higher version.
    Upgrade,
    /// From nothing, or from an answer that cannot be read, to a version.
    #[serde(rename = "gains-target")]
    Gains,
    /// From a version to nothing.
    #[serde(rename = "loses-target")]
    Loses,
    /// To `hold`.
    Held,
    /// From `hold`.
    Released,
    /// New.
    Added,
    /// Gone.
    Removed,
    /// The same before and after.
    Stays,
}

impl Transition {
    /// What kind of transition it is.
    pub fn kind(&self) -> Kind {
        match (self.before, self.after) {
            (before, after) if before == after => Kind::Stays,
            (State::Absent, _) => Kind::Added,
            (_, State::Absent) => Kind::Removed,
            (_, State::Held) => Kind::Held,
            (State::Held, _) => Kind::Released,
            (State::Target(before), State::Target(after)) if before > after => Kind::Downgrade,
            (State::Target(_), State::Target(_)) => Kind::Upgrade,
            (_, State::Target(_)) => Kind::Gains,
            _ => Kind::Loses,
        }
    }
}

/// What the devices of a transition reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Running {
    /// The version that they were told to run before.
    pub before: usize,
    /// The version that they are told to run after.
    pub after: usize,
    /// Another one.
    pub other: usize,
    /// None: they were never heard of.
    pub unknown: usize,
}

/// A wave of a rollout in which something changes.
#[derive(Debug)]
pub struct Wave {
    /// `<channel>/<release>`.
    pub rollout: String,
    /// What opens it.
    pub opening: Opening,
    /// Who is in it.
    pub devices: Devices,
    /// How many of them were not in it before.
    pub new: usize,
    /// Whether the rollout had no such wave before.
    pub added: bool,
}

/// What devices will download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Upgrades {
    /// Devices that are sent from one version to another.
    pub devices: usize,
    /// The bytes of their JARs.
    pub bytes: u64,
    /// Devices that are sent to a version, and may run it already: nothing says what they ran before.
    #[serde(rename = "unsureDevices")]
    pub unsure: usize,
    /// The bytes of their JARs.
    pub unsure_bytes: u64,
    /// What the first ones cause on the way, with JADs and heads, in bytes.
    #[serde(skip)]
    pub traffic: u64,
    /// What the others cause.
    #[serde(skip)]
    pub unsure_traffic: u64,
    /// What both cause if every attempt fails.
    #[serde(skip)]
    pub worst_traffic: u64,
}

/// What happens to something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change<T> {
    /// It was not there.
    Added(T),
    /// It is not there any more.
    Withdrawn(T),
    /// It was the first, and is the second.
    Changed(T, T),
}

impl<T: PartialEq> Change<T> {
    /// What happens, if anything.
    fn of(before: Option<T>, after: Option<T>) -> Option<Self> {
        match (before, after) {
            (None, Some(after)) => Some(Change::Added(after)),
            (Some(before), None) => Some(Change::Withdrawn(before)),
            (Some(before), Some(after)) if before != after => Some(Change::Changed(before, after)),
            _ => None,
        }
    }
}

impl<T> Change<T> {
    /// What was there.
    pub fn before(&self) -> Option<&T> {
        match self {
            Change::Added(_) => None,
            Change::Withdrawn(before) | Change::Changed(before, _) => Some(before),
        }
    }

    /// What is to be there.
    pub fn after(&self) -> Option<&T> {
        match self {
            Change::Withdrawn(_) => None,
            Change::Added(after) | Change::Changed(_, after) => Some(after),
        }
    }
}

/// Some devices of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    lists: Vec<u32>,
    count: usize,
}

impl Devices {
    /// How many they are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn add(&mut self, list: usize, count: usize) {
        self.lists.push(u32::try_from(list).expect("fewer lists than devices"));
        self.count += count;
    }
}

impl Plan {
    /// Compares every JAR that comes with the release before it, to show what devices are to get; `find`
    /// reads the JAR of a version.
    pub fn look_into(&mut self, find: impl Fn(Version) -> Option<Jar>) {
        let sites = [&self.before.site, &self.after.site].into_iter().flatten();
        let known: BTreeSet<Version> = sites
            .flat_map(|site| &site.releases)
            .filter_map(|release| release.version.parse().ok())
            .collect();
        let new = self.jars.iter().filter_map(|change| match change {
            Change::Added(release) => release.version.parse().ok(),
            _ => None,
        });
        let pair = |version: Version| {
            let before = known.range(..version).next_back()?;
            Some(SuiteDiff::of(&find(*before)?, &find(version)?))
        };
        self.suites = new.filter_map(pair).collect();
    }

    /// Reckons what it costs, if the fleet says what traffic costs.
    pub fn reckon(&mut self, fleet: &Fleet) {
        self.costs = Costs::of(fleet, self);
    }

    /// Whether any file differs.
    pub fn is_empty(&self) -> bool {
        self.files.written() == 0 && self.files.removed() == 0
    }

    /// The transitions of one kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Transition> {
        self.transitions.iter().filter(move |transition| transition.kind() == kind)
    }

    /// How many devices are in the transitions of one kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.of_kind(kind).map(|transition| transition.devices.count).sum()
    }

    /// The IMEIs of devices, in the order of their names; at most so many.
    pub fn imeis(&self, devices: &Devices, most: usize, names: &Names<'_>) -> Vec<Imei> {
        // Each list is in order, so the first ones of all are among the first ones of each.
        let lists = devices.lists.iter().map(|&list| &self.lists[list as usize]);
        let mut imeis: Vec<_> = lists.flat_map(|list| list.iter().take(most)).copied().collect();
        if devices.lists.len() > 1 {
            names.sort(&mut imeis);
        }
        imeis.truncate(most);
        imeis
    }

    /// Notes what the devices really run: what they reported last, if anything.
    pub fn locate(&mut self, reported: &HashMap<Imei, Version>) {
        for transition in &mut self.transitions {
            let mut running = Running::default();
            let lists = transition.devices.lists.iter().map(|&list| &self.lists[list as usize]);
            for imei in lists.flatten() {
                let of = match reported.get(imei).copied() {
                    None => &mut running.unknown,
                    // Who stays is where it was, and not where it is going.
                    version if version == transition.before.version() => &mut running.before,
                    version if version == transition.after.version() => &mut running.after,
                    Some(_) => &mut running.other,
                };
                *of += 1;
            }
            transition.running = Some(running);
        }
    }
}
