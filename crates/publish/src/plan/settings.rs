//! Changes of pushed settings.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Devices};
use otapress_core::wire::AnswerFile;

/// A setting that some devices are sent differently.
#[derive(Debug)]
pub struct SettingChange {
    /// Its key.
    pub key: String,
    /// The old and the new value.
    pub change: Change<Pushed>,
    /// To whom.
    pub devices: Devices,
}

/// How a setting is pushed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pushed {
    /// The value; empty: the device deletes its own.
    pub value: String,
    /// At every check, and not only until confirmed.
    pub always: bool,
}

/// The differences between a device's old settings, if any, and its new ones; by key.
pub(super) fn changes(before: Option<&AnswerFile>, after: &AnswerFile) -> Vec<(String, Change<Pushed>)> {
    let (mut old, mut new) = (before.map(pushed).unwrap_or_default(), pushed(after));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).cloned().collect();
    let change = |key: String| Some((key.clone(), Change::of(old.remove(&key), new.remove(&key))?));
    keys.into_iter().filter_map(change).collect()
}

fn pushed(answer: &AnswerFile) -> BTreeMap<String, Pushed> {
    let always = &answer.offer.always;
    let pushed = |value: &String, key| Pushed { value: value.clone(), always: always.contains(key) };
    answer.settings.iter().map(|setting| (setting.key.clone(), pushed(&setting.val, &setting.key))).collect()
}
