//! The text of a fleet file as a tree of nodes that know where they stand.
//!
//! The tree knows nothing of fleets: every scalar is text as it was written (`0.10` stays `0.10`), every
//! mapping keeps its duplicates, and nothing but a syntax error stops the reading. So whatever is wrong with the
//! content can be reported in one run by `super::validate`.

#![expect(clippy::disallowed_types, reason = "the format of fleet.yaml")]

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Spanned, budget, options, options::DuplicateKeyPolicy};

use super::excerpt::Excerpt;
use crate::diag::{Code, Diagnostic, SourceId, Span};

/// A piece of text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The text, without quotes and escapes.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it starts; a scalar is covered whole.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// The value of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar as written.
    Scalar(Box<str>),
    /// A sequence.
    Seq(Vec<Node>),
    /// A mapping in the order of the file, duplicates included.
    Map(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, in the words of a message.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Scalar(_) => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Takes the entries of the mapping `devices` one by one, so that the nodes of a million devices never exist at
/// the same time.
pub trait Devices {
    /// One device: its clientID and what is said of it.
    fn device(&mut self, client_id: Node, device: Node);
}

/// What stands at the top of a fleet file.
#[derive(Debug, Default)]
pub struct Top {
    /// Every entry of the top mapping but the mapping `devices`, which [`Devices`] was given; in its place there is an
    /// empty mapping.
    pub entries: Vec<(Node, Node)>,
}

/// Reads the text of `source`, or what is left of it.
///
/// # Errors
/// If it is not YAML, not a mapping at its top, or beyond the limits that keep a hostile file from filling the
/// memory.
pub fn read(source: SourceId, text: &Excerpt<'_>, devices: &mut dyn Devices) -> Result<Top, Diagnostic> {
    // The defaults end at about 28,000 devices; nesting and aliases stay as tight as they are.
    let options = options! {
        budget: budget! {
            max_reader_input_bytes: None,
            max_events: 200_000_000,
            max_nodes: 100_000_000,
            // What no alias repeats is no longer than the file.
            max_total_scalar_bytes: text.left().len().saturating_mul(2).saturating_add(16 << 20),
            max_documents: 1,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: options::NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    let file = File { source, text };
    let mut top = None;
    serde_yaml::with_deserializer_from_str_with_options(text.left(), options, |de| {
        top = Some(TopSeed { file, devices }.deserialize(de)?);
        Ok(())
    })
    .map_err(|error| file.diagnose(&error))?;
    top.ok_or_else(|| Diagnostic::new(Code::Yaml, file.span_at(0, 0), "the file is empty"))
}

#[derive(Clone, Copy)]
struct File<'a> {
    source: SourceId,
    text: &'a Excerpt<'a>,
}

impl File<'_> {
    fn span_at(self, start: u64, len: u64) -> Span {
        let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let place = self.text.place(index(start)..index(start.saturating_add(len)));
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(place.start), end: clamp(place.end) }
    }

    /// A raw node with its place; scalars that YAML reads as numbers and the like get their text back.
    fn node(self, spanned: Spanned<Raw>) -> Node {
        let span = spanned.defined.span();
        let span = self.span_at(span.byte_offset().unwrap_or(0), span.byte_len().unwrap_or(0));
        let value = match spanned.value {
            Raw::Null => Value::Null,
            Raw::Typed => Value::Scalar(self.text.text()[span.start as usize..span.end as usize].into()),
            Raw::Text(text) => Value::Scalar(text),
            Raw::Seq(items) => Value::Seq(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Value::Map(
                entries.into_iter().map(|(key, value)| (self.node(key), self.node(value))).collect(),
            ),
        };
        Node { span, value }
    }

    fn diagnose(self, error: &serde_yaml::Error) -> Diagnostic {
        let (start, message) = match error.location() {
            Some(at) => {
                // The parser knows line and column (in characters) but not always the byte.
                let text = self.text.left();
                let line_start: usize =
                    text.split_inclusive('\n').take(at.line().saturating_sub(1) as usize).map(str::len).sum();
                let column: usize = text[line_start..]
                    .chars()
                    .take(at.column().saturating_sub(1) as usize)
                    .map(char::len_utf8)
                    .sum();
                let place = format!(" at line {}, column {}", at.line(), at.column());
                (line_start + column, error.without_snippet().to_string().replace(&place, ""))
            }
            None => (0, error.without_snippet().to_string()),
        };
        explain(Code::Yaml, self.span_at(start as u64, 0), &message)
    }
}

/// The parser's words, made those of an operator where they are of its own world.
fn explain(code: Code, span: Span, message: &str) -> Diagnostic {
    let diagnostic = |message: &str| Diagnostic::new(code, span, message);
    if message.starts_with("budget breached: Documents") {
        diagnostic("a second YAML document starts here").hint("remove the `---`: a fleet is one document")
    } else if message.contains("expected mapping start") {
        diagnostic("the file is not a mapping")
            .hint("start it with `site: http://…`; the other keys are `provisioning`, `midlet`, `channels`, `devices` …")
    } else if message.contains("tabs disallowed") {
        diagnostic("a tab indents this line").hint("YAML is indented with spaces")
    } else if message.contains("recursive references") {
        diagnostic("the alias stands in what it refers to").hint("write out what is meant")
    } else if message.contains("recursion limit") {
        diagnostic("the file is nested too deeply").hint("no fleet needs more than a few levels")
    } else if message.contains("unknown anchor") {
        diagnostic("the alias refers to an anchor that is not defined")
            .hint("define it with `&name` before it is used, or quote a text that starts with `*`")
    } else {
        diagnostic(message).hint("look at the indentation, brackets and quotes here and in the lines before")
    }
}

/// A node before its place is known.
enum Raw {
    Null,
    /// A plain scalar that YAML takes for a number, a truth value and the like.
    Typed,
    Text(Box<str>),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.into()))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Reads the top mapping.
struct TopSeed<'a> {
    file: File<'a>,
    devices: &'a mut dyn Devices,
}

impl<'de> DeserializeSeed<'de> for TopSeed<'_> {
    type Value = Top;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Top, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TopSeed<'_> {
    type Value = Top;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping with `site`, `provisioning`, `midlet`, `channels`, `devices` …")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
        let mut top = Top::default();
        while let Some(key) = map.next_key()? {
            let key = self.file.node(key);
            let is_devices = matches!(&key.value, Value::Scalar(text) if &**text == "devices");
            let value = if is_devices {
                map.next_value_seed(DevicesSeed {
                    file: self.file,
                    devices: &mut *self.devices,
                    at: key.span,
                })?
            } else {
                self.file.node(map.next_value()?)
            };
            top.entries.push((key, value));
        }
        Ok(top)
    }
}

/// Hands out the entries of `devices`; anything but a mapping comes back as a node.
struct DevicesSeed<'a> {
    file: File<'a>,
    devices: &'a mut dyn Devices,
    at: Span,
}

impl<'de> DeserializeSeed<'de> for DevicesSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DevicesSeed<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from clientIDs to devices")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        while let Some((key, value)) = map.next_entry()? {
            self.devices.device(self.file.node(key), self.file.node(value));
        }
        Ok(Node { span: self.at, value: Value::Map(Vec::new()) })
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node { span: self.at, value: Value::Null })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node { span: self.at, value: Value::Scalar(text.into()) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        while seq.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Node { span: self.at, value: Value::Seq(Vec::new()) })
    }
}
