//! How one release of a suite differs from another: what a reviewer wants to know before devices get it.

use std::collections::{BTreeMap, BTreeSet};

use super::Jar;

/// An attribute of one of two manifests, or of both with other values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeChange {
    /// Its name.
    pub name: String,
    /// The value in the older one.
    pub old: Option<String>,
    /// The value in the newer one.
    pub new: Option<String>,
}

/// The differences of two releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteDiff {
    /// MIDlet-Version of the older and of the newer one.
    pub versions: (String, String),
    /// Their sizes in bytes.
    pub sizes: (u64, u64),
    /// How many classes they have.
    pub classes: (usize, usize),
    /// Attributes but the version and the permissions.
    pub attributes: Vec<AttributeChange>,
    /// Permissions that only the newer one asks for.
    pub permissions_gained: Vec<String>,
    /// Permissions that only the older one asks for.
    pub permissions_lost: Vec<String>,
    /// Classes that only the newer one has.
    pub classes_added: Vec<String>,
    /// Classes that only the older one has.
    pub classes_removed: Vec<String>,
    /// Classes with other bytes.
    pub classes_changed: Vec<String>,
    /// Classes outside the JAR with the members that only the newer one uses; no members for a class that is
    /// new itself and whose members nothing names.
    pub apis_used: BTreeMap<String, BTreeSet<String>>,
}

const PERMISSIONS: [&str; 2] = ["MIDlet-Permissions", "MIDlet-Permissions-Opt"];

/// Every permission that a suite asks for.
pub(crate) fn permissions(jar: &Jar) -> impl Iterator<Item = &str> {
    let lists = PERMISSIONS.into_iter().filter_map(|name| jar.attribute(name));
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|permission| !permission.is_empty())
}

impl SuiteDiff {
    /// Compares two releases.
    pub fn of(old: &Jar, new: &Jar) -> Self {
        let (before, after) = (old.summary(), new.summary());
        let only = |one: &Jar, other: &Jar| -> Vec<String> {
            let others: BTreeSet<_> = permissions(other).collect();
            let only: BTreeSet<_> =
                permissions(one).filter(|permission| !others.contains(permission)).collect();
            only.into_iter().map(str::to_owned).collect()
        };
        let classes_without = |one: &otapress_classfile::Summary, other: &otapress_classfile::Summary| {
            one.classes.keys().filter(|name| !other.classes.contains_key(*name)).cloned().collect()
        };
        let is_changed = |(name, class): &(&String, &otapress_classfile::ClassSummary)| {
            after.classes.get(*name).is_some_and(|now| now.digest != class.digest)
        };
        let apis_used = after.uses.iter().filter_map(|(class, members)| {
            let known = before.uses.get(class);
            let new: BTreeSet<_> = members
                .iter()
                .filter(|member| known.is_none_or(|known| !known.contains(*member)))
                .cloned()
                .collect();
            (known.is_none() || !new.is_empty()).then(|| (class.clone(), new))
        });
        SuiteDiff {
            versions: (old.version_text().into(), new.version_text().into()),
            sizes: (old.size(), new.size()),
            classes: (before.classes.len(), after.classes.len()),
            attributes: attributes(old, new),
            permissions_gained: only(new, old),
            permissions_lost: only(old, new),
            classes_added: classes_without(after, before),
            classes_removed: classes_without(before, after),
            classes_changed: before.classes.iter().filter(is_changed).map(|(name, _)| name.clone()).collect(),
            apis_used: apis_used.collect(),
        }
    }
}

fn attributes(old: &Jar, new: &Jar) -> Vec<AttributeChange> {
    let names: BTreeSet<_> = old.attributes().chain(new.attributes()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| *name != "MIDlet-Version" && !PERMISSIONS.contains(name))
        .map(|name| AttributeChange {
            name: name.into(),
            old: old.attribute(name).map(str::to_owned),
            new: new.attribute(name).map(str::to_owned),
        })
        .filter(|change| change.old != change.new)
        .collect()
}
