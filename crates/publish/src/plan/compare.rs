//! From two views to a plan.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::names::Names;
use super::rules::{self, Rule};
use super::schedule::{Departure, Opening, is_raised};
use super::settings;
use super::view::{BlobId, Meaning, View};
use super::{
    Aim, Devices, JadMove, Plan, RuleChange, SettingChange, Side, State, Transition, Upgrades, Wave,
};
use super::{files, jads};
use crate::traffic;
use otapress_core::id::Imei;
use otapress_core::version::Version;
use otapress_core::wire::{AnswerFile, Limit, Site, Target};

/// Devices whose answers are the same before, and the same after: what is true of one is true of all.
struct Class {
    before: Answer,
    after: Answer,
    /// Whether the answers are the same, the same opens their waves, and the limit is the same.
    same: bool,
}

/// The answer that a tree has for a device.
#[derive(Clone)]
struct Answer {
    state: State,
    file: Option<Arc<AnswerFile>>,
    /// What opens the wave of its target.
    opening: Option<Opening>,
    /// How many devices of its rollout may be unproven.
    unproven: Option<Limit>,
}

impl Answer {
    fn of(view: &View, id: Option<BlobId>) -> Self {
        let Some(id) = id else {
            return Answer { state: State::Absent, file: None, opening: None, unproven: None };
        };
        let Meaning::Answer(Some(file)) = &view.blob(id).meaning else {
            return Answer { state: State::Unreadable, file: None, opening: None, unproven: None };
        };
        let state = match &file.offer {
            offer if offer.held => State::Held,
            offer => offer.target.as_ref().map_or(State::Nothing, |target| State::Target(target.version)),
        };
        let target = file.offer.target.as_ref();
        let rollout = target.and_then(|target| view.site()?.rollouts.get(&target.rollout));
        Answer {
            state,
            file: Some(file.clone()),
            opening: target.and_then(|target| Opening::of(target, rollout)),
            unproven: rollout.map(|rollout| rollout.unproven),
        }
    }

    fn target(&self) -> Option<&Target> {
        self.file.as_ref()?.offer.target.as_ref()
    }
}

/// Compares two trees.
pub fn compare(before: &View, after: &View, names: &Names<'_>) -> Plan {
    let side = |view: &View| Side {
        site: view.site().cloned(),
        devices: view.answers().len(),
        fingerprint: view.fingerprint(),
    };
    let (classes, mut lists) = classes(before, after, names);
    let moves = moves(before, after, names, &classes, &mut lists);
    let replaced = replaced(before, names, &classes, &mut lists);
    let sizes: Vec<_> = lists.iter().map(Vec::len).collect();
    let changed = classes.iter().zip(&sizes).filter(|(class, _)| !class.same).map(|(_, n)| n).sum();
    Plan {
        before: side(before),
        after: side(after),
        transitions: transitions(&classes, &sizes),
        waves: waves(before.site(), &classes, &sizes),
        departures: departures(&classes, &sizes),
        aims: aims(&classes, &sizes),
        obstacles: Vec::new(),
        rules: rules(&classes, &sizes),
        settings: settings(&classes, &sizes),
        moves,
        replaced,
        jars: files::jars(before.site(), after.site()),
        suites: Vec::new(),
        files: files::files(before, after),
        upgrades: upgrades(&classes, &sizes, after.site()),
        costs: None,
        changed,
        lists,
    }
}

/// The classes with their devices, which are in the order of their names; so are the classes, by their first
/// device.
fn classes(before: &View, after: &View, names: &Names<'_>) -> (Vec<Class>, Vec<Vec<Imei>>) {
    let mut devices: HashMap<(Option<BlobId>, Option<BlobId>), Vec<Imei>> = HashMap::new();
    let (old, new) = (before.answers().iter(), after.answers().iter());
    files::join(
        old,
        new,
        |(imei, _)| imei,
        |&imei, old, new| {
            devices.entry((old.map(|(_, id)| *id), new.map(|(_, id)| *id))).or_default().push(imei);
        },
    );
    let mut classes: Vec<_> = devices.into_iter().collect();
    for (_, devices) in &mut classes {
        names.sort(devices);
    }
    let mut order: Vec<_> = classes.iter().map(|(_, devices)| devices[0]).collect();
    names.sort(&mut order);
    let place: HashMap<_, _> = order.into_iter().zip(0..).collect();
    classes.sort_by_key(|(_, devices)| place.get(&devices[0]).copied().unwrap_or(0usize));
    let digest = |view: &View, id: Option<BlobId>| id.map(|id| view.blob(id).sha256);
    classes
        .into_iter()
        .map(|((old, new), devices)| {
            let (old_answer, new_answer) = (Answer::of(before, old), Answer::of(after, new));
            let same = digest(before, old) == digest(after, new)
                && old_answer.opening == new_answer.opening
                && !limit_changes(&old_answer, &new_answer);
            (Class { before: old_answer, after: new_answer, same }, devices)
        })
        .unzip()
}

/// Collects devices by what changes for them.
fn grouped<K: Ord, I: IntoIterator<Item = K>>(
    classes: &[Class],
    sizes: &[usize],
    keys: impl Fn(&Class) -> I,
) -> BTreeMap<K, Devices> {
    let mut groups: BTreeMap<K, Devices> = BTreeMap::new();
    for (list, class) in classes.iter().enumerate() {
        for key in keys(class) {
            groups.entry(key).or_default().add(list, sizes[list]);
        }
    }
    groups
}

fn transitions(classes: &[Class], sizes: &[usize]) -> Vec<Transition> {
    let groups = grouped(classes, sizes, |class| [(class.before.state, class.after.state)]);
    let denied = |devices: &Devices| {
        let lists = devices.lists.iter().map(|&list| list as usize);
        lists.filter(|&list| is_denied(&classes[list])).map(|list| sizes[list]).sum()
    };
    let mut transitions: Vec<_> = groups
        .into_iter()
        .map(|((before, after), devices)| Transition {
            before,
            after,
            denied: denied(&devices),
            devices,
            running: None,
        })
        .collect();
    transitions.sort_by_key(|transition| (transition.kind(), transition.before, transition.after));
    transitions
}

/// Whether another number of devices of the same rollout may be unproven. Format 1 names none.
fn limit_changes(old: &Answer, new: &Answer) -> bool {
    old.state == new.state && old.unproven.is_some() && new.unproven.is_some() && old.unproven != new.unproven
}

/// Whether its devices run a higher version than their target and keep it.
fn is_denied(class: &Class) -> bool {
    let after = class.after.target();
    after.is_some_and(|target| target.no_downgrade && class.before.state.version() > Some(target.version))
}

fn waves(before: Option<&Site>, classes: &[Class], sizes: &[usize]) -> Vec<Wave> {
    let place = |answer: &Answer| {
        let target = answer.target()?;
        Some((target.rollout.clone(), answer.opening.unwrap_or(Opening::OPEN), target.wave))
    };
    let is_new = |class: &Class| place(&class.before) != place(&class.after);
    // Rollouts in which something changes that concerns dates.
    let changing: BTreeSet<_> =
        classes.iter().filter(|class| is_new(class)).filter_map(|class| place(&class.after)).collect();
    let dated: BTreeSet<_> = classes
        .iter()
        .filter_map(|class| place(&class.after))
        .filter(|(_, opening, _)| *opening != Opening::OPEN)
        .collect();
    let rollouts: BTreeSet<_> = changing.into_iter().map(|(rollout, ..)| rollout).collect();
    let rollouts: BTreeSet<_> =
        dated.into_iter().map(|(rollout, ..)| rollout).filter(|rollout| rollouts.contains(rollout)).collect();
    grouped(classes, sizes, |class| place(&class.after))
        .into_iter()
        .filter(|((rollout, ..), _)| rollouts.contains(rollout))
        .map(|((rollout, opening, wave), devices)| {
            let lists = devices.lists.iter().map(|&list| list as usize);
            let new = lists.filter(|&list| is_new(&classes[list])).map(|list| sizes[list]).sum();
            let known = before.and_then(|site| site.rollouts.get(&rollout));
            let added = known.is_some_and(|known| wave.is_some_and(|name| known.wave(name).is_none()));
            Wave { rollout, opening, devices, new, added }
        })
        .collect()
}

/// Whether its devices may be sent to a version to which they were not, or not yet.
fn may_go(class: &Class) -> bool {
    let is_told = class.before.state != class.after.state;
    let is_let = || class.after.opening.is_some_and(|opening| opening.is_sooner_than(class.before.opening));
    let has_room = || match (class.before.unproven, class.after.unproven) {
        (Some(old), Some(new)) => is_raised(old, new),
        _ => false,
    };
    !is_denied(class) && (is_told || is_let() || has_room())
}

/// What the devices wait for that may go, or whose wave is put off.
fn departures(classes: &[Class], sizes: &[usize]) -> Vec<Departure> {
    let mut departures: BTreeMap<Opening, usize> = BTreeMap::new();
    for (class, n) in classes.iter().zip(sizes) {
        let is_put_off =
            class.before.state == class.after.state && class.before.opening != class.after.opening;
        if let Some(opening) = class.after.opening.filter(|_| may_go(class) || is_put_off) {
            *departures.entry(opening).or_default() += n;
        }
    }
    departures.into_iter().map(|(opening, devices)| Departure { opening, devices }).collect()
}

fn aims(classes: &[Class], sizes: &[usize]) -> Vec<Aim> {
    let groups = grouped(classes, sizes, |class| {
        let unproven = class.after.unproven.unwrap_or(Limit::DEFAULT);
        class.after.target().map(|target| (target.rollout.clone(), target.version, target.attempts, unproven))
    });
    groups
        .into_iter()
        .map(|((rollout, version, attempts, unproven), devices)| Aim {
            rollout,
            version,
            attempts,
            unproven,
            devices,
        })
        .collect()
}

fn rules(classes: &[Class], sizes: &[usize]) -> Vec<RuleChange> {
    let changes = |class: &Class| match (&class.before.file, &class.after.file) {
        (Some(before), Some(after)) => {
            let side = |answer: &'_ Answer, offer| rules::Side {
                offer,
                opening: answer.opening,
                unproven: answer.unproven,
            };
            rules::changes(side(&class.before, &before.offer), side(&class.after, &after.offer))
        }
        _ => Vec::new(),
    };
    let groups: BTreeMap<(Option<String>, Rule), _> = grouped(classes, sizes, changes);
    groups.into_iter().map(|((channel, rule), devices)| RuleChange { channel, rule, devices }).collect()
}

fn settings(classes: &[Class], sizes: &[usize]) -> Vec<SettingChange> {
    let changes = |class: &Class| match &class.after.file {
        // A held device keeps its settings; the plan shows the hold elsewhere.
        Some(after) if class.after.state != State::Held => {
            settings::changes(class.before.file.as_deref(), after)
        }
        _ => Vec::new(),
    };
    let groups = grouped(classes, sizes, changes);
    groups.into_iter().map(|((key, change), devices)| SettingChange { key, change, devices }).collect()
}

/// The devices that are new under a clientID that was published for another IMEI.
fn replaced(before: &View, names: &Names<'_>, classes: &[Class], lists: &mut Vec<Vec<Imei>>) -> Devices {
    let new = classes.iter().zip(&*lists).filter(|(class, _)| class.before.state == State::Absent);
    let mut imeis = jads::replaced(before, names, new.flat_map(|(_, devices)| devices.iter().copied()));
    names.sort(&mut imeis);
    let mut devices = Devices::default();
    if !imeis.is_empty() {
        devices.add(lists.len(), imeis.len());
        lists.push(imeis);
    }
    devices
}

fn moves(
    before: &View,
    after: &View,
    names: &Names<'_>,
    classes: &[Class],
    lists: &mut Vec<Vec<Imei>>,
) -> Vec<JadMove> {
    let devices = classes.iter().zip(&*lists).flat_map(|(class, devices)| {
        devices.iter().map(|&imei| (imei, class.before.state, class.after.state))
    });
    let moved = jads::moved(before, after, names, devices);
    moved
        .into_iter()
        .map(|(before, after, mut imeis)| {
            names.sort(&mut imeis);
            let mut devices = Devices::default();
            devices.add(lists.len(), imeis.len());
            lists.push(imeis);
            JadMove { before, after, devices }
        })
        .collect()
}

fn upgrades(classes: &[Class], sizes: &[usize], site: Option<&Site>) -> Upgrades {
    let releases = site.map(|site| &*site.releases).unwrap_or_default();
    let jars: BTreeMap<Version, u64> =
        releases.iter().filter_map(|release| Some((release.version.parse().ok()?, release.size))).collect();
    let mut upgrades = Upgrades::default();
    for (class, &n) in classes.iter().zip(sizes) {
        let (before, after) = (class.before.state, class.after.state);
        let Some(version) = after.version().filter(|_| may_go(class)) else { continue };
        let jar = jars.get(&version).copied().unwrap_or(0);
        let of_all = |bytes: u64| bytes.saturating_mul(n as u64);
        let (bytes, traffic) = (of_all(jar), of_all(traffic::download(jar, traffic::JAD)));
        let attempts = class.after.target().map_or(1, |target| target.attempts);
        let worst = traffic.saturating_mul(attempts.into());
        upgrades.worst_traffic = upgrades.worst_traffic.saturating_add(worst);
        let (devices, sum, on_the_way) = match before.version().is_some_and(|before| before != version) {
            true => (&mut upgrades.devices, &mut upgrades.bytes, &mut upgrades.traffic),
            false => (&mut upgrades.unsure, &mut upgrades.unsure_bytes, &mut upgrades.unsure_traffic),
        };
        *devices += n;
        *sum = sum.saturating_add(bytes);
        *on_the_way = on_the_way.saturating_add(traffic);
    }
    upgrades
}
