//! What a suite holds and uses, to compare two releases.

use std::collections::{BTreeMap, BTreeSet};

use crate::class;
use crate::finding::{dotted, shown};
use crate::suite::Suite;

/// One class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassSummary {
    /// SHA-256 of the class file.
    pub digest: [u8; 32],
    /// Its size in bytes.
    pub size: usize,
}

/// What a suite holds and uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The classes by their names, with dots.
    pub classes: BTreeMap<String, ClassSummary>,
    /// The classes that it uses and does not hold, each with the members used (name and descriptor).
    pub uses: BTreeMap<String, BTreeSet<String>>,
}

pub(crate) fn summary(suite: &Suite<'_>) -> Summary {
    let mut summary = Summary::default();
    for (name, entry) in &suite.classes {
        let class = ClassSummary { digest: entry.digest, size: entry.size };
        summary.classes.insert(dotted(name), class);
    }
    for class in suite.readable() {
        for reference in &class.references {
            let owner = match reference.owner.strip_prefix('[') {
                None => &*reference.owner,
                Some(_) => match class::element(&reference.owner) {
                    Some(owner) => owner,
                    None => continue,
                },
            };
            if suite.holds(owner) {
                continue;
            }
            let members = summary.uses.entry(dotted(owner)).or_default();
            if let Some((name, descriptor)) =
                reference.member.as_ref().filter(|_| !reference.owner.starts_with('['))
            {
                members.insert(format!("{}{}", shown(name), member_type(descriptor)));
            }
        }
    }
    summary
}

/// A method's descriptor follows its name as it is, a field's type after a colon.
pub(crate) fn member_type(descriptor: &str) -> String {
    match descriptor.starts_with('(') {
        true => shown(descriptor).into_owned(),
        false => format!(": {}", shown(descriptor)),
    }
}
