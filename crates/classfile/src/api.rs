//! What the modules offer: the base that all of them have, with members, and the names of other APIs.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// A class of the base.
pub(crate) struct ApiClass {
    pub is_final: bool,
    pub is_interface: bool,
    /// What it extends and implements, without `java/lang/Object`.
    pub supers: Vec<String>,
    /// Name and descriptor of each public or protected member.
    members: HashSet<(&'static str, &'static str)>,
}

impl ApiClass {
    pub fn has(&self, name: &str, descriptor: &str) -> bool {
        self.members.contains(&(name, descriptor))
    }
}

/// Every API that is known.
pub(crate) struct Api {
    /// By internal name.
    base: HashMap<String, ApiClass>,
    /// Internal name to the names of the APIs that have it.
    others: HashMap<String, Vec<&'static str>>,
}

/// The classes that only modules with a display have.
pub(crate) const MIDP: &str = "MIDP 2.0";

impl Api {
    /// The lists of data/.
    pub fn get() -> &'static Api {
        static API: OnceLock<Api> = OnceLock::new();
        API.get_or_init(|| Api {
            base: base(include_str!("../data/base.txt")),
            others: others(include_str!("../data/others.txt")),
        })
    }

    /// A class of CLDC 1.1 and IMP-NG.
    pub fn base(&self, internal: &str) -> Option<&ApiClass> {
        self.base.get(internal)
    }

    /// The other APIs that have a class.
    pub fn others(&self, internal: &str) -> &[&'static str] {
        self.others.get(internal).map(Vec::as_slice).unwrap_or_default()
    }
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

fn base(text: &'static str) -> HashMap<String, ApiClass> {
    let mut classes = HashMap::new();
    let mut current: Option<(String, ApiClass)> = None;
    for line in lines(text) {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if line.starts_with(' ') {
            if let Some((_, class)) = &mut current {
                class.members.extend(words.map(|descriptor| (first, descriptor)));
            }
            continue;
        }
        let mut class =
            ApiClass { is_final: false, is_interface: false, supers: Vec::new(), members: HashSet::new() };
        for word in words {
            match word {
                "final" => class.is_final = true,
                "interface" => class.is_interface = true,
                "<" => {}
                name => class.supers.push(name.replace('.', "/")),
            }
        }
        classes.extend(current.replace((first.replace('.', "/"), class)));
    }
    classes.extend(current);
    classes
}

fn others(text: &'static str) -> HashMap<String, Vec<&'static str>> {
    let mut classes: HashMap<String, Vec<&'static str>> = HashMap::new();
    let mut list = "";
    for line in lines(text) {
        if let Some(name) = line.strip_prefix("= ") {
            list = name;
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let package = words.next().unwrap_or_default().replace('.', "/");
        for class in words {
            classes.entry(format!("{package}/{class}")).or_default().push(list);
        }
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_whole() {
        let api = Api::get();
        assert_eq!(api.base.len(), 107);
        assert_eq!(api.base.values().map(|class| class.members.len()).sum::<usize>(), 888);
        for (name, class) in &api.base {
            for above in &class.supers {
                assert!(api.base.contains_key(above), "{name} < {above}");
            }
            assert!(!api.others.contains_key(name), "{name} is told twice");
        }
        assert_eq!(api.others("javax/microedition/lcdui/Form"), ["MIDP 2.0"]);
        assert_eq!(api.others("java/lang/UnsupportedOperationException"), ["CLDC 1.1.1", "JSR 177"]);
    }

    #[test]
    fn members_are_found() {
        let api = Api::get();
        let has = |class, name, descriptor| api.base(class).is_some_and(|c| c.has(name, descriptor));
        assert!(has("java/lang/String", "length", "()I"));
        assert!(has("java/io/ByteArrayInputStream", "mark", "I"));
        assert!(!has("java/lang/Integer", "valueOf", "(I)Ljava/lang/Integer;"));
    }
}
