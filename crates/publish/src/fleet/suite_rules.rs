//! The keys of `midlet` that say what JARs are judged by.

use super::raw::{Node, Text};
use super::reader::{Fields, Reader, did_you_mean};
use super::scalars;
use crate::jar::Rules;

/// Takes the keys off `midlet`; those that are left out have their defaults.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>) -> Rules {
    let mut rules = Rules::default();
    for (name, list) in [
        ("profiles", &mut rules.profiles),
        ("configurations", &mut rules.configurations),
        ("api", &mut rules.api),
    ] {
        if let Some(node) = fields.take(name) {
            *list = texts(reader, node, name).into_iter().map(|text| text.text.into()).collect();
        }
    }
    if let Some(node) = fields.take("classVersion")
        && let Some(number) = reader.number(node, "`classVersion`", 45, 99)
    {
        rules.class_version = number as u16;
    }
    if let Some(node) = fields.take("maxSize")
        && let Some(text) = reader.text(node, "`maxSize`")
    {
        match scalars::size(&text.text) {
            Some(size) => rules.max_size = size,
            None => reader.bad_value(&text, "`maxSize`", "a size such as `1MB` or `300kB`"),
        }
    }
    if let Some(node) = fields.take("allow") {
        for code in texts(reader, node, "allow") {
            let known = || Rules::allowable().map(|code| code.as_str());
            if known().any(|known| known == &*code.text) {
                rules.allow.insert((&*code.text).into());
            } else {
                let near = did_you_mean(&code.text, known());
                let wants = near.unwrap_or_else(|| "a code that `check` shows of a JAR in brackets".into());
                reader.bad_value(&code, "`allow`", &wants);
            }
        }
    }
    rules
}

pub(super) fn renamed(reader: &mut Reader, fields: &mut Fields<'_>) -> bool {
    truth(reader, fields, "renamed")
}

/// A key that is `true` or `false`, which is the default.
pub(super) fn truth(reader: &mut Reader, fields: &mut Fields<'_>, name: &str) -> bool {
    let index =
        fields.take(name).and_then(|node| reader.one_of(node, &format!("`{name}`"), &["true", "false"]));
    index == Some(0)
}

/// A list of texts, none of them empty.
pub(super) fn texts(reader: &mut Reader, node: Node<'_>, name: &str) -> Vec<Text> {
    let texts = reader.texts(node, &format!("`{name}`"));
    for text in texts.iter().filter(|text| text.text.is_empty()) {
        reader.bad_value(text, &format!("`{name}`"), "a name");
    }
    texts
}
