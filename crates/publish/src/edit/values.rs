//! Edits of fleet.yaml outside of `devices`, and what such an edit is to change.

use super::yaml::{self, Meaning, Node, Replacement, Value};
use super::{Edit, EditError, FleetFile, Step, parse};
use std::path::Path;

impl FleetFile<'_> {
    /// Gives an entry a value; mappings on the way to it are made if need be.
    pub(super) fn place(&self, place: &[Step], value: &str) -> Result<Replacement, EditError> {
        let name = place.iter().filter_map(Step::key).collect::<Vec<_>>().join(".");
        let mut node = self.top;
        // The key of `node`, if it has one.
        let mut above: Option<&Node> = None;
        for (depth, step) in place.iter().enumerate() {
            let at = above.map_or(node.range.start, |key| key.range.start);
            let refuse = |why: &str| self.refuse(at, &name, why);
            match &node.value {
                Value::Alias => return Err(refuse("comes from an alias or `<<`")),
                _ if node.is_anchored => return Err(refuse("is an anchor, which other entries refer to")),
                _ => {}
            }
            let rest = &place[depth + 1..];
            let edited = match (step, &node.value) {
                (Step::Item(n), Value::Seq(items)) if !rest.is_empty() => match items.get(*n) {
                    Some(item) => {
                        node = item;
                        continue;
                    }
                    None => Err("has no such item".to_owned()),
                },
                (Step::Key(key), Value::Map { .. }) => match node.entry(key) {
                    Some((name, old)) if rest.is_empty() => yaml::set(self.text, name, old, value),
                    Some((name, below)) if depth == 0 && rest.len() == 1 && below.is_empty() => {
                        let key = rest[0].key().unwrap_or_default();
                        yaml::first(self.text, name, below, &yaml::scalar(key), value)
                    }
                    Some((name, below)) => {
                        (above, node) = (Some(name), below);
                        continue;
                    }
                    None if node.entry("<<").is_some() => {
                        Err("may stand there through an alias or `<<`".into())
                    }
                    None if depth == 0 => Ok(self.at_the_end(key, &nested(rest, value))),
                    None => yaml::insert(self.text, node, &yaml::scalar(key), &flow(rest, value)),
                },
                (Step::Key(_), Value::Null) => match above {
                    Some(key) => yaml::set(self.text, key, node, &flow(&place[depth..], value)),
                    None => Err("is not in a mapping".into()),
                },
                _ => Err("is not in a mapping or a list".into()),
            };
            return edited.map_err(|why| refuse(&why));
        }
        Err(self.refuse(0, &name, "is the whole file"))
    }

    /// A new entry of the file itself. `value` is what follows its colon.
    pub(super) fn at_the_end(&self, key: &str, value: &str) -> Replacement {
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let at = self.text.len();
        let before = if self.text.ends_with('\n') || self.text.is_empty() { "" } else { end };
        let text = format!("{before}{key}:{}{end}", value.replace('\n', end));
        Replacement { range: at..at, text }
    }
}

impl Step {
    fn key(&self) -> Option<&str> {
        match self {
            Step::Key(key) => Some(key),
            Step::Item(_) => None,
        }
    }
}

/// A value below some keys, in one line.
fn flow(keys: &[Step], value: &str) -> String {
    let keys = keys.iter().rev().filter_map(Step::key);
    keys.fold(value.to_owned(), |value, key| format!("{{ {}: {value} }}", yaml::scalar(key)))
}

/// The same below a key: the first of the keys has a line of its own.
fn nested(keys: &[Step], value: &str) -> String {
    match keys.split_first() {
        Some((Step::Key(first), rest)) => format!("\n  {}: {}", yaml::scalar(first), flow(rest, value)),
        _ => format!(" {value}"),
    }
}

/// The text of a scalar in a fleet file; none if nothing stands there, or something else.
pub fn value(text: &str, place: &[Step]) -> Option<String> {
    let top = yaml::parse(text).ok()?;
    let found = place.iter().try_fold(&top, |node, step| match (step, &node.value) {
        (Step::Item(n), Value::Seq(items)) => items.get(*n),
        (Step::Key(key), _) => node.entry(key).map(|(_, value)| value),
        _ => None,
    });
    found?.text().map(str::to_owned)
}

/// Everything in a fleet file but its devices.
pub(super) fn outside_devices(text: &str) -> Result<Meaning, EditError> {
    let top = parse(Path::new("fleet.yaml"), text)?;
    let others = top.entries().iter().filter(|(key, _)| key.text() != Some("devices"));
    let entries = others.map(|(key, value)| (key.meaning(text), value.meaning(text))).collect();
    Ok(Meaning::Map(entries))
}

/// The same as it is to be.
pub(super) fn expected(text: &str, edits: &[Edit]) -> Result<Meaning, EditError> {
    let mut meaning = outside_devices(text)?;
    for edit in edits {
        if let Edit::Set { place, value } = edit {
            let value = parse(Path::new("fleet.yaml"), value)?.meaning(value);
            assign(&mut meaning, place, value);
        }
    }
    Ok(meaning)
}

fn assign(meaning: &mut Meaning, place: &[Step], value: Meaning) {
    let Some((step, rest)) = place.split_first() else {
        *meaning = value;
        return;
    };
    if *meaning == Meaning::Null {
        *meaning = Meaning::Map(Default::default());
    }
    match (step, meaning) {
        (Step::Key(key), Meaning::Map(entries)) => {
            assign(entries.entry(Meaning::Text(key.clone())).or_insert(Meaning::Null), rest, value);
        }
        (Step::Item(n), Meaning::Seq(items)) => {
            if let Some(item) = items.get_mut(*n) {
                assign(item, rest, value);
            }
        }
        _ => {}
    }
}
