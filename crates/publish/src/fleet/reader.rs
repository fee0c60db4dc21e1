//! From nodes to fields: what is the same for every mapping of fleet.yaml.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::keys::Key;
use super::raw::{Entry, Node, Text, Value};
use super::scalars;
pub(super) use crate::diag::did_you_mean;
use crate::diag::{Code, Diagnostic, Span, nearest};

/// Collects what is wrong while the tree is read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What was found so far.
    pub(super) found: Vec<Diagnostic>,
    /// Keys that are there under a misspelt name: the key in front of their mapping, and the name that is
    /// meant. They are not missing besides.
    misspelt: BTreeSet<(Span, &'static str)>,
}

/// The fields of one mapping, by name; every name is in the mapping's table.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    fields: BTreeMap<&'static str, (Span, Node<'a>)>,
}

impl<'a> Fields<'a> {
    /// Takes a field out.
    pub(super) fn take(&mut self, name: &str) -> Option<Node<'a>> {
        self.take_with_key(name).map(|(_, node)| node)
    }

    /// Takes a field out, with the place of its key.
    pub(super) fn take_with_key(&mut self, name: &str) -> Option<(Span, Node<'a>)> {
        self.fields.remove(name)
    }
}

impl Reader {
    /// Notes a mistake.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// The node as a mapping with the keys of `table`; `what` names it in messages (`a device`) and `at` is
    /// the key in front of it.
    pub(super) fn fields<'a>(
        &mut self,
        node: Node<'a>,
        table: &'static [Key],
        what: &str,
        at: Span,
    ) -> Option<Fields<'a>> {
        let names = || table.iter().map(|key| key.name);
        let entries = self.entries(node, what, at)?;
        let mut fields = BTreeMap::new();
        for (key, value) in entries {
            match table.iter().find(|known| *known.name == *key.text) {
                Some(known) => {
                    fields.insert(known.name, (key.span, value));
                }
                None => {
                    let meant = nearest(&key.text, names());
                    self.misspelt.extend(meant.map(|name| (at, name)));
                    let known = || format!("known keys are `{}`", names().collect::<Vec<_>>().join("`, `"));
                    let hint = meant.map_or_else(known, |name| format!("did you mean `{name}`?"));
                    let message = format!("unknown key `{}` in {what}", key.text);
                    self.report(Diagnostic::new(Code::UnknownKey, key.span, message).hint(hint));
                }
            }
        }
        for key in table.iter().filter(|key| key.required && !fields.contains_key(key.name)) {
            self.missing(key.name, what, at);
        }
        Some(Fields { fields })
    }

    /// Whether the mapping behind the key at `at` has a misspelt key that means `name`.
    pub(super) fn is_misspelt(&self, name: &'static str, at: Span) -> bool {
        self.misspelt.contains(&(at, name))
    }

    /// Whether a misspelt key means `name`, wherever it is.
    pub(super) fn misspells(&self, name: &str) -> bool {
        self.misspelt.iter().any(|(_, meant)| *meant == name)
    }

    /// Whether a section of the fleet file is there under a misspelt name. What refers into it is right.
    pub(super) fn is_section_misspelt(&self, name: &str) -> bool {
        self.misspelt.iter().any(|(at, meant)| at.end == 0 && *meant == name)
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&mut self, name: &'static str, what: &str, at: Span) {
        if self.is_misspelt(name, at) {
            return;
        }
        self.report(
            Diagnostic::new(Code::MissingKey, at, format!("{what} has no `{name}`"))
                .hint(format!("add `{name}: …`")),
        );
    }

    /// The node as a mapping with any keys, the first of duplicates.
    pub(super) fn entries<'a>(
        &mut self,
        node: Node<'a>,
        what: &str,
        at: Span,
    ) -> Option<Vec<(Text, Node<'a>)>> {
        let entries = self.mapping(node, what, at)?;
        let mut seen = BTreeSet::new();
        let mut kept = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Some(key) = self.text(key, "a key") else { continue };
            if !seen.insert(key.text.clone()) {
                self.duplicate_key(&key);
            } else {
                kept.push((key, value));
            }
        }
        Some(kept)
    }

    /// The node as a mapping with any keys, duplicates included.
    pub(super) fn mapping<'a>(&mut self, node: Node<'a>, what: &str, at: Span) -> Option<Vec<Entry<'a>>> {
        match node.value {
            Value::Map(entries) => Some(entries),
            Value::Null => Some(Vec::new()),
            other => {
                self.wrong_type(at, what, "a mapping", &other);
                None
            }
        }
    }

    /// Whether a mistake was found that stops a build.
    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(Diagnostic::is_error)
    }

    /// Notes that a key stands twice in its mapping.
    pub(super) fn duplicate_key(&mut self, key: &Text) {
        self.report(
            Diagnostic::new(Code::DuplicateKey, key.span, format!("duplicate key `{}`", key.text))
                .hint("remove one of the two"),
        );
    }

    /// The node as text.
    pub(super) fn text(&mut self, node: Node<'_>, what: &str) -> Option<Text> {
        match node.value {
            Value::Scalar(text) => Some(Text { text: text.into(), span: node.span }),
            other => {
                self.wrong_type(node.span, what, "a string", &other);
                None
            }
        }
    }

    /// The node as a text that is parsed; a failure is reported with the parser's words.
    pub(super) fn parsed<T>(&mut self, node: Node<'_>, what: &str, code: Code) -> Option<(T, Span)>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(node, what)?;
        self.parse(&text, what, code).map(|value| (value, text.span))
    }

    /// The same for a text.
    pub(super) fn parse<T>(&mut self, text: &Text, what: &str, code: Code) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match text.text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let hint = spreadsheet_damage(&text.text).map_or_else(|| error.to_string(), str::to_owned);
                self.report(
                    Diagnostic::new(code, text.span, format!("`{}` is not {what}", text.text)).hint(hint),
                );
                None
            }
        }
    }

    /// The node as a list of texts.
    pub(super) fn texts(&mut self, node: Node<'_>, what: &str) -> Vec<Text> {
        match node.value {
            Value::Seq(items) => items.into_iter().filter_map(|item| self.text(item, what)).collect(),
            Value::Null => Vec::new(),
            other => {
                self.report(
                    Diagnostic::new(
                        Code::WrongType,
                        node.span,
                        format!("expected a list of {what}, not {}", other.describe()),
                    )
                    .hint("write `[…]`"),
                );
                Vec::new()
            }
        }
    }

    /// The node as a whole number within bounds.
    pub(super) fn number(&mut self, node: Node<'_>, what: &str, min: u32, max: u32) -> Option<u32> {
        let text = self.text(node, what)?;
        let digits = text.text.bytes().all(|b| b.is_ascii_digit());
        match text.text.parse() {
            Ok(number) if digits && (min..=max).contains(&number) => Some(number),
            _ => {
                self.bad_value(&text, what, &format!("a whole number from {min} to {max}"));
                None
            }
        }
    }

    /// The node as a number of bytes.
    pub(super) fn size(&mut self, node: Node<'_>, name: &str) -> Option<u64> {
        let text = self.text(node, &format!("`{name}`"))?;
        let size = scalars::size(&text.text);
        if size.is_none() {
            self.bad_value(&text, &format!("`{name}`"), "a number of bytes, such as `2kB` or `1MB`");
        }
        size
    }

    /// The node as a number that is not negative and at most `max`; `wants` says so.
    pub(super) fn decimal(&mut self, node: Node<'_>, name: &str, max: u32, wants: &str) -> Option<f64> {
        let text = self.text(node, &format!("`{name}`"))?;
        let plain = text.text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let number = text.text.parse::<f64>().ok().filter(|number| plain && *number <= f64::from(max));
        if number.is_none() {
            self.bad_value(&text, &format!("`{name}`"), wants);
        }
        number
    }

    /// The node as one of some words; the index of the word.
    pub(super) fn one_of(&mut self, node: Node<'_>, what: &str, words: &[&str]) -> Option<usize> {
        let text = self.text(node, what)?;
        let index = words.iter().position(|word| *word == &*text.text);
        if index.is_none() {
            self.bad_value(&text, what, &format!("`{}`", words.join("` or `")));
        }
        index
    }

    /// Notes that a text is not what it should be.
    pub(super) fn bad_value(&mut self, text: &Text, what: &str, wants: &str) {
        self.report(
            Diagnostic::new(Code::BadValue, text.span, format!("`{}` is not a valid {what}", text.text))
                .hint(format!("write {wants}")),
        );
    }

    fn wrong_type(&mut self, span: Span, what: &str, wants: &str, is: &Value<'_>) {
        self.report(Diagnostic::new(
            Code::WrongType,
            span,
            format!("{what} must be {wants}, not {}", is.describe()),
        ));
    }
}

/// What a spreadsheet did to a number that is an identifier.
fn spreadsheet_damage(text: &str) -> Option<&'static str> {
    let (mantissa, exponent) = text.split_once(['E', 'e']).unwrap_or((text, ""));
    let is_number = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b','))
    };
    if is_number(mantissa) && exponent.strip_prefix('+').is_some_and(is_number) {
        Some(
            "a spreadsheet has rounded this number and its digits are lost: format the column as text and \
             enter it again",
        )
    } else if text.strip_suffix(".0").is_some_and(is_number) {
        Some("a program treated it as a number: format the column as text")
    } else if text.starts_with(['\'', '=']) {
        Some("it starts with a spreadsheet's mark for text: export the values, not the formulas")
    } else {
        None
    }
}
