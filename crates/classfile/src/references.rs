//! References: whether the classes and members that the code uses are anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::api::{self, Api};
use crate::class::{self, Reference};
use crate::finding::{Code, Finding, dotted, shown};
use crate::suite::{Suite, package};
use crate::summary::member_type;
use crate::{MAX_SUPERS, Rules};

/// The classes that the MIDlets can load: the closure over constant pools and over strings that name a class.
pub(crate) fn reached<'s>(suite: &'s Suite<'_>, rules: &Rules<'_>) -> BTreeSet<&'s str> {
    let mut open: Vec<String> = rules.midlets.iter().map(|(_, class)| class.replace('.', "/")).collect();
    let mut reached = BTreeSet::new();
    while let Some(name) = open.pop() {
        let Some((name, entry)) = suite.classes.get_key_value(&*name) else { continue };
        if !reached.insert(*name) {
            continue;
        }
        if let Some(class) = &entry.class {
            let others = class.mentions.iter().filter(|other| suite.classes.contains_key(&***other));
            open.extend(others.filter(|other| !reached.contains(&***other)).map(|other| other.to_string()));
        }
    }
    reached
}

/// Where a class is.
enum Place {
    /// In the JAR.
    Suite,
    /// In the base, whose members are known.
    Base,
    /// In an API of which nothing more is known, or nothing is to be said of it.
    Unjudged,
    /// Nowhere.
    Missing(Missing),
}

/// A class that is nowhere: the code if a MIDlet reaches it, the code if none does, the rest of the sentence
/// and a hint.
struct Missing {
    reached: Code,
    unreached: Code,
    what: String,
    hint: Option<String>,
}

impl Missing {
    fn always(code: Code, what: impl Into<String>, hint: &str) -> Place {
        Place::Missing(Missing { reached: code, unreached: code, what: what.into(), hint: Some(hint.into()) })
    }
}

/// The packages of the modules' makers, of which no list is complete.
const MAKERS: [&str; 3] = ["com/siemens/", "com/cinterion/", "com/gemalto/"];

fn place(suite: &Suite<'_>, rules: &Rules<'_>, internal: &str) -> Place {
    if suite.holds(internal) {
        return Place::Suite;
    }
    if Api::get().base(internal).is_some() {
        return Place::Base;
    }
    if is_declared(rules.api, internal) || MAKERS.iter().any(|maker| internal.starts_with(maker)) {
        return Place::Unjudged;
    }
    let others = Api::get().others(internal);
    if rules.has_display && others.contains(&api::MIDP) {
        return Place::Unjudged;
    }
    if suite.packages.contains(package(internal)) {
        return Place::Missing(Missing {
            reached: Code::ClassMissing,
            unreached: Code::ClassMissingUnreached,
            what: "which is not in the JAR, although its package is".into(),
            hint: Some("was it left out, or removed by a shrinker?".into()),
        });
    }
    if internal.starts_with("choral/io/") {
        return Missing::always(
            Code::ApiChoral,
            "which is not in the JAR: it does not start unless the modules have the library choral.io",
            "put the library into the JAR, or name `choral.io` in `midlet.api`",
        );
    }
    if internal.starts_with("java/") {
        return Place::Missing(Missing {
            reached: Code::ApiMissing,
            unreached: Code::ApiMissingUnreached,
            what: "which CLDC 1.1 does not have".into(),
            hint: java_hint(internal, others),
        });
    }
    if let Some(first) = others.first() {
        let hint = format!("if the modules have it, name `{}` in `midlet.api`", dotted(package(internal)));
        return Missing::always(Code::ApiOptional, format!("which only modules with {first} have"), &hint);
    }
    Missing::always(
        Code::ApiUnknown,
        "which is neither in the JAR nor in an API that is known",
        "put it into the JAR, or name it in `midlet.api` if the modules have it",
    )
}

fn java_hint(internal: &str, others: &[&str]) -> Option<String> {
    Some(match internal {
        "java/lang/StringBuilder" => {
            "javac joins strings with it from Java 5 on: compile with `-target 1.4` or use StringBuffer"
                .into()
        }
        "java/lang/Enum" => "CLDC has no enums: use int constants".into(),
        "java/util/Iterator" | "java/lang/Iterable" => {
            "CLDC has no collections: use Vector, Hashtable and Enumeration".into()
        }
        "java/util/Objects" => "newer compilers call it for null checks: compile with `-target 1.4`".into(),
        _ => {
            let list = others.first()?;
            format!("{list} has it; if the modules have that, name `{}` in `midlet.api`", dotted(internal))
        }
    })
}

/// Whether `midlet.api` names a class, its package or a package above.
fn is_declared(api: &[String], internal: &str) -> bool {
    api.iter().any(|declared| {
        let mut rest = internal.split('/');
        declared.split('.').all(|part| rest.next() == Some(part))
    })
}

/// A thing that is missing, and who uses it.
struct Users<'s> {
    first: &'s str,
    from: Option<String>,
    more: usize,
    is_caught: bool,
    is_reached: bool,
}

/// The findings about classes that are caught and missing, and the other ones.
pub(crate) fn findings(
    suite: &Suite<'_>,
    reached: &BTreeSet<&str>,
    rules: &Rules<'_>,
) -> (Vec<Finding>, Vec<Finding>) {
    let mut classes: BTreeMap<String, (Missing, Users<'_>)> = BTreeMap::new();
    let mut members: BTreeMap<(String, String), (Code, Code, Users<'_>)> = BTreeMap::new();
    let mut places = HashMap::new();
    let mut known = HashMap::new();
    for (path, entry) in &suite.classes {
        let Some(class) = &entry.class else { continue };
        let is_reached = reached.contains(path);
        let mut told = BTreeSet::new();
        for reference in &class.references {
            let Reference { owner, member, from, is_caught } = reference;
            let is_array = owner.starts_with('[');
            let internal = match is_array {
                true => class::element(owner),
                false => Some(&**owner),
            };
            let users = || Users {
                first: class.entry,
                from: from.clone(),
                more: 0,
                is_caught: *is_caught,
                is_reached,
            };
            if let Some(internal) = internal {
                let place = places.entry(internal).or_insert_with(|| place(suite, rules, internal));
                if let Place::Missing(missing) = place {
                    let counts = told.insert(internal);
                    match classes.get_mut(internal) {
                        Some((_, known)) => known.meet(users(), counts),
                        None => {
                            let missing = Missing {
                                what: missing.what.clone(),
                                hint: missing.hint.clone(),
                                ..*missing
                            };
                            classes.insert(internal.into(), (missing, users()));
                        }
                    }
                    continue;
                }
            }
            let Some((name, descriptor)) = member else { continue };
            // An array has the methods of Object.
            let owner = if is_array { "java/lang/Object" } else { owner };
            let codes = *known
                .entry((owner, &**name, &**descriptor))
                .or_insert_with(|| judge_member(suite, owner, name, descriptor));
            if let Some((reached, unreached)) = codes {
                let key = (dotted(owner), format!("{}{}", shown(name), member_type(descriptor)));
                match members.get_mut(&key) {
                    Some((.., known)) => known.meet(users(), true),
                    None => drop(members.insert(key, (reached, unreached, users()))),
                }
            }
        }
    }

    let (mut caught, mut others) = (Vec::new(), Vec::new());
    for (internal, (missing, users)) in classes {
        let code = if users.is_reached { missing.reached } else { missing.unreached };
        let message = match users.is_caught {
            true => format!(
                "{} catches `{}`, {}: the class that catches cannot start",
                users.shown(),
                dotted(&internal),
                missing.what
            ),
            false => format!("{} uses `{}`, {}", users.shown(), dotted(&internal), missing.what),
        };
        let finding = Finding { code, entry: users.first.into(), message, hint: missing.hint };
        if users.is_caught { caught.push(finding) } else { others.push(finding) }
    }
    for ((owner, member), (reached, unreached, users)) in members {
        let code = if users.is_reached { reached } else { unreached };
        let (what, hint) = match code {
            Code::ApiMember => ("which CLDC 1.1 and IMP-NG are not known to have", member_hint(&member)),
            _ => ("which the class does not have", Some("compile all classes of the JAR together")),
        };
        others.push(Finding {
            code,
            entry: users.first.into(),
            message: format!("{} uses `{member}` of `{owner}`, {what}", users.shown()),
            hint: hint.map(str::to_owned),
        });
    }
    (caught, others)
}

fn member_hint(member: &str) -> Option<&'static str> {
    if member.starts_with("valueOf(") || member.ends_with("Value()I") {
        return Some("compilers box numbers with it from Java 5 on: write `new Integer(…)`");
    }
    if member.starts_with("clone()") {
        return Some("copy arrays with System.arraycopy");
    }
    None
}

impl<'s> Users<'s> {
    fn meet(&mut self, other: Users<'s>, counts: bool) {
        self.more += usize::from(counts && other.first != self.first);
        // The user that weighs most is named.
        if (other.is_reached, other.is_caught) > (self.is_reached, self.is_caught) {
            *self = Users { more: self.more, ..other };
        }
    }

    fn shown(&self) -> String {
        let from = match &self.from {
            Some(from) => format!("method `{from}`"),
            None => "the class".into(),
        };
        let more = match self.more {
            0 => String::new(),
            1 => ", and one more class,".into(),
            more => format!(", and {more} more classes,"),
        };
        format!("`{}`: {from}{more}", shown(self.first))
    }
}

/// The codes for a member that is nowhere: if a MIDlet reaches its user, and if none does.
fn judge_member(suite: &Suite<'_>, owner: &str, name: &str, descriptor: &str) -> Option<(Code, Code)> {
    let is_own = suite.classes.contains_key(owner);
    let mut open = vec![owner.to_owned(), "java/lang/Object".to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(internal) = open.pop() {
        if seen.len() == MAX_SUPERS {
            return None;
        }
        if !seen.insert(internal.clone()) {
            continue;
        }
        if suite.holds(&internal) {
            // A class that cannot be read or is at a wrong path may have anything.
            let class = suite.class(&internal)?;
            if class.has(name, descriptor) {
                return None;
            }
            open.extend(class.superclass.iter().chain(&class.interfaces).map(|above| above.to_string()));
        } else {
            let class = Api::get().base(&internal)?;
            if class.has(name, descriptor) {
                return None;
            }
            open.extend(class.supers.iter().cloned());
        }
    }
    match is_own {
        true => Some((Code::MemberMissing, Code::MemberMissingUnreached)),
        false => Some((Code::ApiMember, Code::ApiMember)),
    }
}
