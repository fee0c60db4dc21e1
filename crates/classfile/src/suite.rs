//! The classes of a JAR by their paths.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::Rules;
use crate::class::{self, ClassFile};
use crate::finding::{Code, Finding, dotted, shown};
use crate::notes::Notes;

/// A class of the JAR.
pub(crate) struct Entry<'a> {
    pub path: &'a str,
    pub size: usize,
    pub digest: [u8; 32],
    /// `None` if it cannot be read, which is reported already.
    pub class: Option<ClassFile<'a>>,
}

/// The classes of a JAR.
pub(crate) struct Suite<'a> {
    /// By the internal name that the path gives: the one that devices look for.
    pub classes: BTreeMap<&'a str, Entry<'a>>,
    /// Names that classes at other paths give themselves.
    pub elsewhere: BTreeMap<String, &'a str>,
    /// The packages of the classes, without the default one.
    pub packages: BTreeSet<&'a str>,
    /// What is wrong with single classes.
    pub findings: Vec<Finding>,
}

const PROTECTED: [&str; 6] = [
    "javax/microedition/io",
    "javax/microedition/midlet",
    "javax/microedition/rms",
    "javax/microedition/pki",
    "javax/microedition/lcdui",
    "javax/microedition/lcdui/game",
];

/// The package of an internal name; empty for the default one.
pub(crate) fn package(internal: &str) -> &str {
    internal.rsplit_once('/').map_or("", |(package, _)| package)
}

impl<'a> Suite<'a> {
    pub fn read(entries: &[(&'a str, &'a [u8])], rules: &Rules<'a>) -> Self {
        let mut suite = Suite {
            classes: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            packages: BTreeSet::new(),
            findings: Vec::new(),
        };
        for &(path, bytes) in entries {
            let Some(name) = path.strip_suffix(".class") else { continue };
            let mut notes = Notes::new(path, rules.allowed);
            if is_protected(name) {
                notes.add(
                    Code::ProtectedPackage,
                    Some("leave the classes of the platform out of the JAR: the device has its own"),
                    || format!("the package `{}` belongs to the device", dotted(package(name))),
                );
            }
            let class = class::read(path, bytes, rules, &mut notes);
            if let Some(class) = class.as_ref().filter(|class| class.name != name) {
                suite.elsewhere.insert(class.name.clone().into_owned(), path);
            }
            if !package(name).is_empty() {
                suite.packages.insert(package(name));
            }
            suite.findings.extend(notes.findings());
            let digest = Sha256::digest(bytes).into();
            suite.classes.insert(name, Entry { path, size: bytes.len(), digest, class });
        }
        suite.misplaced(rules);
        suite
    }

    /// A class that can be read, by its path.
    pub fn class(&self, internal: &str) -> Option<&ClassFile<'a>> {
        self.classes.get(internal)?.class.as_ref()
    }

    /// Whether the JAR has a class, at whatever path.
    pub fn holds(&self, internal: &str) -> bool {
        self.classes.contains_key(internal) || self.elsewhere.contains_key(internal)
    }

    /// Every class that can be read.
    pub fn readable(&self) -> impl Iterator<Item = &ClassFile<'a>> {
        self.classes.values().filter_map(|entry| entry.class.as_ref())
    }

    /// Devices look for a class at the path that its name gives.
    fn misplaced(&mut self, rules: &Rules<'_>) {
        if self.elsewhere.is_empty() {
            return;
        }
        let mut referred: BTreeSet<String> =
            rules.midlets.iter().map(|(_, class)| class.replace('.', "/")).collect();
        for class in self.readable() {
            let others = class.references.iter().map(|reference| &*reference.owner);
            referred.extend(
                others
                    .map(|owner| class::element(owner).unwrap_or(owner))
                    .filter(|&o| o != class.name)
                    .map(str::to_owned),
            );
        }
        let mut findings = Vec::new();
        for (name, entry) in &self.classes {
            let Some(class) = entry.class.as_ref().filter(|class| class.name != *name) else { continue };
            let is_used = referred.contains(*name) || referred.contains(&*class.name);
            findings.push(Finding {
                code: if is_used { Code::Path } else { Code::PathUnused },
                entry: entry.path.into(),
                message: format!(
                    "`{}`: the class is named `{}`, and devices look for it at `{}.class`",
                    shown(entry.path),
                    dotted(&class.name),
                    shown(&class.name)
                ),
                hint: Some(
                    "put the directory above the packages into the JAR, as in `jar -C classes .`".into(),
                ),
            });
        }
        self.findings.extend(findings);
    }
}

fn is_protected(internal: &str) -> bool {
    internal.starts_with("java/") || PROTECTED.contains(&package(internal))
}
