//! A YAML text as a tree whose nodes know their bytes, and the smallest replacements that change an entry.

use std::collections::BTreeMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

/// New text in place of a range of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replacement {
    pub range: Range<usize>,
    pub text: String,
}

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// From its first byte to its end; anchors and tags stand before it. The end of a block collection is
    /// that of its last leaf.
    pub range: Range<usize>,
    pub value: Value,
    pub is_anchored: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Scalar {
        text: String,
        /// Whether it stands behind `|` or `>`, where its end is not that of its text.
        is_block: bool,
        is_quoted: bool,
    },
    Seq(Vec<Node>),
    Map {
        entries: Vec<(Node, Node)>,
        is_flow: bool,
    },
    Alias,
}

/// What a node says, wherever it stands: for comparing two texts. Aliases are compared by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Meaning {
    Null,
    Text(String),
    Seq(Vec<Meaning>),
    Map(BTreeMap<Meaning, Meaning>),
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The entry of a mapping; one that is merged by `<<` is not its own.
    pub fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        self.entries().iter().find(|(name, _)| name.text() == Some(key))
    }

    /// Whether it is a mapping without entries, or nothing.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Map { entries, .. } => entries.is_empty(),
            _ => false,
        }
    }

    /// Whether a new line can follow the line of its end.
    fn ends_with_its_line(&self) -> bool {
        match &self.value {
            Value::Scalar { is_block, .. } => !is_block,
            Value::Null | Value::Alias => true,
            Value::Seq(items) => items.last().is_none_or(Node::ends_with_its_line),
            Value::Map { is_flow: true, .. } => true,
            Value::Map { entries, .. } => entries.last().is_some_and(|(_, value)| value.ends_with_its_line()),
        }
    }

    pub fn meaning(&self, source: &str) -> Meaning {
        match &self.value {
            Value::Null => Meaning::Null,
            Value::Scalar { text, .. } => Meaning::Text(text.clone()),
            Value::Alias => Meaning::Text(source[self.range.clone()].to_owned()),
            Value::Seq(items) => Meaning::Seq(items.iter().map(|item| item.meaning(source)).collect()),
            Value::Map { entries, .. } => Meaning::Map(
                entries.iter().map(|(key, value)| (key.meaning(source), value.meaning(source))).collect(),
            ),
        }
    }
}

/// Reads the only document of a text. The fleet's reader has accepted it before.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut events = Events { text, parser: Parser::new_from_str(text) };
    match events.next()? {
        (Event::StreamEnd, range) => Ok(Node { range, value: Value::Null, is_anchored: false }),
        (event, range) => events.node(event, range),
    }
}

struct Events<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), String> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::DocumentStart(..) | Event::StreamStart | Event::DocumentEnd, _))) => {}
                Some(Ok((event, span))) => return Ok((event, span.byte_range().unwrap_or(0..0))),
                Some(Err(error)) => return Err(error.info().to_string()),
                None => return Ok((Event::StreamEnd, 0..0)),
            }
        }
    }

    fn end_of(&self, entry: &(Node, Node)) -> usize {
        end_of(self.text, entry)
    }

    fn node(&mut self, event: Event<'a>, mut range: Range<usize>) -> Result<Node, String> {
        let (value, anchor) = match event {
            Event::Alias(_) => (Value::Alias, 0),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let is_null =
                    is_plain && tag.is_none() && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = text.into_owned();
                (
                    if is_null {
                        Value::Null
                    } else {
                        Value::Scalar { text, is_block, is_quoted: !is_plain }
                    },
                    anchor,
                )
            }
            Event::SequenceStart(style, anchor, _) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, range) => items.push(self.node(event, range)?),
                    }
                };
                range.end = match (style, items.last()) {
                    (StructureStyle::Block, Some(last)) => last.range.end,
                    _ => end.end,
                };
                (Value::Seq(items), anchor)
            }
            Event::MappingStart(style, anchor, _) => {
                let mut entries: Vec<(Node, Node)> = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::MappingEnd, end) => break end,
                        (event, range) => {
                            let key = self.node(event, range)?;
                            let (event, range) = self.next()?;
                            entries.push((key, self.node(event, range)?));
                        }
                    }
                };
                let is_flow = style == StructureStyle::Flow;
                match (entries.first(), entries.last()) {
                    (Some((first, _)), Some(last)) if !is_flow => {
                        range = first.range.start..self.end_of(last);
                    }
                    _ => range.end = end.end,
                }
                (Value::Map { entries, is_flow }, anchor)
            }
            _ => return Err("the text ends where a value is due".into()),
        };
        Ok(Node { range, value, is_anchored: anchor != 0 })
    }
}

/// The end of an entry. An absent value ends behind the colon of its key.
fn end_of(text: &str, (key, value): &(Node, Node)) -> usize {
    if !matches!(value.value, Value::Null) || !value.range.is_empty() {
        return value.range.end;
    }
    after_colon(text, key).unwrap_or(key.range.end)
}

/// The byte behind the colon of a key.
fn after_colon(text: &str, key: &Node) -> Option<usize> {
    let after = text[key.range.end..].trim_start_matches(' ').strip_prefix(':')?;
    Some(text.len() - after.len())
}

/// The line end that a text uses at a place.
fn line_end(text: &str, at: usize) -> &'static str {
    let here = text[at..].find('\n').map(|n| at + n).or_else(|| text[..at].rfind('\n'));
    if here.is_some_and(|n| text[..n].ends_with('\r')) { "\r\n" } else { "\n" }
}

/// The start of the line of a byte.
fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |n| n + 1)
}

/// The first byte after the line of a byte, its line end included.
fn next_line(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |n| at + n + 1)
}

/// Whether only blanks stand between the start of the line and a byte.
fn begins_its_line(text: &str, at: usize) -> bool {
    text[line_start(text, at)..at].bytes().all(|b| b == b' ')
}

/// Adds an entry to a mapping. `key` and `value` are YAML.
pub(super) fn insert(text: &str, map: &Node, key: &str, value: &str) -> Result<Replacement, String> {
    let Value::Map { entries, is_flow } = &map.value else { return Err("is not a mapping".into()) };
    let at = |at: usize, text: String| Ok(Replacement { range: at..at, text });
    if *is_flow {
        return match entries.last() {
            Some(last) => at(end_of(text, last), format!(", {key}: {value}")),
            None => Ok(Replacement { range: map.range.clone(), text: format!("{{ {key}: {value} }}") }),
        };
    }
    let (first, _) = entries.first().ok_or("is empty")?;
    if !begins_its_line(text, first.range.start) {
        return Err("does not begin on a line of its own".into());
    }
    let indent = &text[line_start(text, first.range.start)..first.range.start];
    // Below the last entry, unless that is written over several lines whose end is not certain.
    match entries.last().filter(|(_, value)| value.ends_with_its_line()) {
        Some(last) => {
            let last = end_of(text, last);
            let (end, next) = (line_end(text, last), next_line(text, last));
            if text[..next].ends_with('\n') {
                at(next, format!("{indent}{key}: {value}{end}"))
            } else {
                at(next, format!("{end}{indent}{key}: {value}"))
            }
        }
        None => {
            let end = line_end(text, first.range.start);
            at(first.range.start, format!("{key}: {value}{end}{indent}"))
        }
    }
}

/// Gives an entry that has none yet its first one, in a line of its own where the entry itself has one.
pub(super) fn first(
    text: &str,
    above: &Node,
    old: &Node,
    key: &str,
    value: &str,
) -> Result<Replacement, String> {
    if old.is_anchored {
        return Err("is an anchor, which other entries refer to".into());
    }
    let colon = after_colon(text, above).filter(|_| begins_its_line(text, above.range.start));
    let behind = colon.map(|colon| {
        // An absent value has no place of its own.
        let end = if old.range.is_empty() { colon } else { old.range.end };
        (colon, end, text[end..next_line(text, end)].trim())
    });
    match behind {
        Some((colon, end, rest)) if rest.is_empty() || rest.starts_with('#') => {
            let start = line_start(text, above.range.start);
            let (indent, after) = (&text[start..above.range.start], next_line(text, end));
            let end = line_end(text, colon);
            let comment = if rest.is_empty() { String::new() } else { format!(" {rest}") };
            let last = if text[..after].ends_with('\n') { end } else { "" };
            let text = format!("{comment}{end}{indent}  {key}: {value}{last}");
            Ok(Replacement { range: colon..after, text })
        }
        _ => set(text, above, old, &format!("{{ {key}: {value} }}")),
    }
}

/// Replaces the value of an entry. `value` is YAML in one line.
pub(super) fn set(text: &str, key: &Node, old: &Node, value: &str) -> Result<Replacement, String> {
    if has_anchor(old) {
        return Err("is an anchor, which other entries refer to".into());
    }
    match &old.value {
        Value::Null if old.range.is_empty() => {
            let end = end_of(text, &(key.clone(), old.clone()));
            Ok(Replacement { range: end..end, text: format!(" {value}") })
        }
        _ if !old.ends_with_its_line() => Err("ends with a text of several lines".into()),
        Value::Seq(_) | Value::Map { .. } if !text[old.range.clone()].starts_with(['[', '{']) => {
            // The lines of a block go; what else stands on the line of the key stays.
            let colon = after_colon(text, key).ok_or("has no colon")?;
            let (line, after) = (next_line(text, colon), next_line(text, old.range.end));
            Ok(Replacement { range: colon..after, text: format!(" {value}{}", &text[colon..line]) })
        }
        Value::Scalar { is_quoted: true, .. } if !value.starts_with(['"', '{', '[']) => {
            Ok(Replacement { range: old.range.clone(), text: quoted(value) })
        }
        _ => Ok(Replacement { range: old.range.clone(), text: value.to_owned() }),
    }
}

/// Removes an entry of a mapping with the line that it stands on, if it has one of its own.
pub(super) fn remove(text: &str, map: &Node, key: &str) -> Result<Replacement, String> {
    let Value::Map { entries, is_flow } = &map.value else { return Err("is not a mapping".into()) };
    let place = entries.iter().position(|(name, _)| name.text() == Some(key)).ok_or("has no such key")?;
    let (name, value) = &entries[place];
    if has_anchor(value) {
        return Err("is an anchor, which other entries refer to".into());
    }
    let (start, end) = (name.range.start, end_of(text, &entries[place]));
    if *is_flow {
        let rest = &text[end..next_line(text, end)];
        let after = rest.trim_start_matches([' ', ',']);
        let own_line = begins_its_line(text, start) && (after.trim().is_empty() || after.starts_with('#'));
        let range = match (entries.get(place + 1), place.checked_sub(1).map(|before| &entries[before])) {
            _ if own_line => line_start(text, start)..next_line(text, end),
            (Some((next, _)), _) => start..next.range.start,
            (None, Some(before)) => end_of(text, before)..end,
            (None, None) => return Ok(Replacement { range: map.range.clone(), text: "{}".into() }),
        };
        return Ok(Replacement { range, text: String::new() });
    }
    if !value.ends_with_its_line() {
        return Err("ends with a text of several lines".into());
    }
    if !begins_its_line(text, start) {
        return Err("does not begin on a line of its own".into());
    }
    if entries.len() == 1 {
        // Nothing would be left, which is no mapping any more.
        let range = start..end;
        return Ok(Replacement { range, text: "{}".into() });
    }
    Ok(Replacement { range: line_start(text, start)..next_line(text, end), text: String::new() })
}

/// Whether a node has an anchor in it.
pub(super) fn has_anchor(node: &Node) -> bool {
    node.is_anchored
        || match &node.value {
            Value::Seq(items) => items.iter().any(has_anchor),
            Value::Map { entries, .. } => {
                entries.iter().any(|(key, value)| has_anchor(key) || has_anchor(value))
            }
            _ => false,
        }
}

/// A text as a YAML scalar, in quotes where it needs them.
pub(super) fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-' | ' ' | '@');
    let begins = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '/' | '+');
    let is_plain = text.starts_with(begins)
        && text.chars().all(plain)
        && !text.ends_with(' ')
        && !text.bytes().all(|b| b.is_ascii_digit())
        && !matches!(&*text.to_lowercase(), "null" | "true" | "false" | "yes" | "no" | "on" | "off");
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// A text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out += "\\n",
            '\t' => out += "\\t",
            c if c.is_control() => out += &format!("\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// Applies replacements that do not overlap.
pub(super) fn apply(text: &str, mut replacements: Vec<Replacement>) -> String {
    // The order of insertions at one place is that in which they were made.
    replacements.sort_by_key(|replacement| replacement.range.start);
    let mut out = String::with_capacity(text.len() + 64 * replacements.len());
    let mut at = 0;
    for Replacement { range, text: new } in replacements {
        out += text.get(at..range.start).unwrap_or_default();
        out += &new;
        at = at.max(range.end);
    }
    out + text.get(at..).unwrap_or_default()
}
