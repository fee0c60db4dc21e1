//! The text of a fleet file as a tree of nodes that know where they stand.
//!
//! The tree knows nothing of fleets: every scalar is text as it was written (`0.10` stays `0.10`), every
//! mapping keeps its duplicates, and nothing but a syntax error stops the reading. So everything that is
//! wrong with the content can be reported in one run by [`super::validate`].

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node<'a> {
    /// Where it starts; a scalar is covered whole.
    pub span: Span,
    pub value: Value<'a>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Value<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// As written.
    Scalar(Cow<'a, str>),
    Seq(Vec<Node<'a>>),
    /// In the order of the file, duplicates included.
    Map(Vec<Entry<'a>>),
}

/// A key and its value.
pub(super) type Entry<'a> = (Node<'a>, Node<'a>);

impl Value<'_> {
    /// What it is, in the words of a message.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Scalar(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Bounds the recursion; no fleet needs more than a few levels.
const MAX_DEPTH: usize = 256;

/// Reads a file whose top is a mapping; an empty file is an empty mapping.
///
/// # Errors
/// If it is not YAML, not a mapping at its top, or beyond the limits that keep a hostile file from filling
/// the memory.
pub(super) fn read(source: SourceId, text: &str) -> Result<Node<'_>, Diagnostic> {
    let mut file = File {
        source,
        text,
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        // A line of each of a million devices may refer to a few anchors.
        copies: text.len().saturating_mul(8).saturating_add(16 << 20),
    };
    let top = file.document()?;
    match top.value {
        Value::Map(_) => Ok(top),
        Value::Null => Ok(Node { value: Value::Map(Vec::new()), ..top }),
        _ => Err(Diagnostic::new(Code::Yaml, top.span.at_start(), "the file is not a mapping").hint(
            "start it with `site: http://…`; the other keys are `provisioning`, `midlet`, `channels`, \
             `devices` …",
        )),
    }
}

struct File<'a> {
    source: SourceId,
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node<'a>>,
    /// How many more bytes the copies that aliases make may take.
    copies: usize,
}

impl<'a> File<'a> {
    /// The next event that matters here, and its place.
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        loop {
            match self.events.next_event() {
                Some(Ok((Event::DocumentStart(..) | Event::StreamStart, _))) => {}
                Some(Ok((event, span))) => {
                    let range = span.byte_range().unwrap_or(0..0);
                    return Ok((event, self.span(range.start, range.end)));
                }
                Some(Err(error)) => return Err(self.diagnose(&error)),
                None => return Ok((Event::StreamEnd, self.span(self.text.len(), self.text.len()))),
            }
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }

    /// The only document of the file.
    fn document(&mut self) -> Result<Node<'a>, Diagnostic> {
        let top = match self.next()? {
            (Event::StreamEnd, _) => return Ok(Node { span: self.span(0, 0), value: Value::Null }),
            (event, span) => self.node(event, span, 0)?,
        };
        loop {
            match self.events.next_event() {
                Some(Ok((Event::DocumentStart(..), span))) => {
                    let start = span.byte_range().unwrap_or(0..0).start;
                    return Err(Diagnostic::new(
                        Code::Yaml,
                        self.span(start, start),
                        "a second YAML document starts here",
                    )
                    .hint("remove the `---`: a fleet is one document"));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(self.diagnose(&error)),
                None => return Ok(top),
            }
        }
    }

    /// The node that starts with an event.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node<'a>, Diagnostic> {
        if depth >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        let (value, anchor) = match event {
            Event::Alias(id) => return self.copy(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = style == ScalarStyle::Plain
                    && tag.is_none()
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (if is_null { Value::Null } else { Value::Scalar(text) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
                (Value::Seq(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (Value::Map(self.entries(depth + 1)?), anchor),
            // The parser gives nothing else where a node is due.
            _ => return Ok(Node { span, value: Value::Null }),
        };
        let node = Node { span, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// The entries of a mapping, with what `<<` adds to them.
    fn entries(&mut self, depth: usize) -> Result<Vec<Entry<'a>>, Diagnostic> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let key = self.node(event, span, depth)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth)?;
            match value.value {
                Value::Map(more) if merges => merged.extend(more),
                Value::Seq(maps) if merges => {
                    for map in maps {
                        let Value::Map(more) = map.value else { return Err(not_to_merge(map.span)) };
                        merged.extend(more);
                    }
                }
                Value::Null if merges => {}
                _ if merges => return Err(not_to_merge(span)),
                _ => entries.push((key, value)),
            }
        }
        if !merged.is_empty() {
            // The mapping's own entries win, then those that were merged first.
            let mut seen: HashSet<Value<'_>> = entries.iter().map(|(key, _)| key.value.clone()).collect();
            merged.retain(|(key, _)| seen.insert(key.value.clone()));
            entries.extend(merged);
        }
        Ok(entries)
    }

    /// What an alias stands for.
    fn copy(&mut self, id: usize, span: Span) -> Result<Node<'a>, Diagnostic> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Diagnostic::new(
                Code::Yaml,
                span.at_start(),
                "the alias refers to a value that contains it",
            )
            .hint("write out the value instead"));
        };
        match self.copies.checked_sub(size(node)) {
            Some(left) => self.copies = left,
            None => {
                return Err(Diagnostic::new(Code::Yaml, span, "the aliases of the file repeat too much")
                    .hint("write long lists into an inventory"));
            }
        }
        Ok(node.clone())
    }

    /// The parser's words, made those of an operator where they are of its own world.
    fn diagnose(&self, error: &ScanError) -> Diagnostic {
        let at = error.marker().byte_offset().unwrap_or(0);
        let span = self.span(at, at);
        let message = error.info();
        let diagnostic = |message: &str| Diagnostic::new(Code::Yaml, span, message);
        if message.contains("tabs disallowed") {
            diagnostic("a tab indents this line").hint("YAML is indented with spaces")
        } else if message.contains("recursion limit") {
            too_deep(span)
        } else if message.contains("unknown anchor") {
            diagnostic("the alias refers to an anchor that is not defined")
                .hint("define it with `&name` before it is used, or quote a text that starts with `*`")
        } else {
            diagnostic(&message)
                .hint("look at the indentation, brackets and quotes here and in the lines before")
        }
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(Code::Yaml, span, "the file is nested too deeply")
        .hint("no fleet needs more than a few levels")
}

fn not_to_merge(span: Span) -> Diagnostic {
    Diagnostic::new(Code::Yaml, span, "`<<` takes a mapping or a list of mappings")
        .hint("let it refer to one: `<<: *name`")
}

/// About how many bytes a copy of a node takes, its text included.
fn size(node: &Node<'_>) -> usize {
    let of_value = match &node.value {
        Value::Null => 0,
        Value::Scalar(text) => text.len(),
        Value::Seq(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(key, value)| size(key) + size(value)).sum(),
    };
    size_of::<Node<'_>>() + of_value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Sources;

    /// The tree in a short form without places.
    fn tree(text: &str) -> String {
        fn show(value: &Value<'_>) -> String {
            match value {
                Value::Null => "~".into(),
                Value::Scalar(text) => format!("{text:?}"),
                Value::Seq(items) => {
                    let items: Vec<_> = items.iter().map(|item| show(&item.value)).collect();
                    format!("[{}]", items.join(" "))
                }
                Value::Map(entries) => {
                    let entry = |(key, value): &Entry<'_>| show(&key.value) + ":" + &show(&value.value);
                    format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
                }
            }
        }
        let mut sources = Sources::default();
        let source = sources.add("fleet.yaml", text);
        match read(source, text) {
            Ok(top) => show(&top.value),
            Err(diagnostic) => diagnostic.message,
        }
    }

    #[test]
    fn scalars_stay_text() {
        assert_eq!(
            tree("a: 0.10\nb: 0x1F\nc: 'null'\nd: null\ne: ~\nf:\ng: !!str null\nh: true"),
            r#"{"a":"0.10" "b":"0x1F" "c":"null" "d":~ "e":~ "f":~ "g":"null" "h":"true"}"#
        );
        assert_eq!(tree("a: b\n  c\nd: \"\\x31\"\n"), r#"{"a":"b c" "d":"1"}"#);
        assert_eq!(tree("\u{feff}a: 1\r\na: 2\r\n"), r#"{"a":"1" "a":"2"}"#);
    }

    #[test]
    fn aliases_and_merges_are_written_out() {
        assert_eq!(tree("a: &x [1]\nb: *x"), r#"{"a":["1"] "b":["1"]}"#);
        let text = "a: &a {k: 1, l: 1}\nb: &b {l: 2, m: 2}\nc: {<<: [*a, *b], m: 3}\nd: {'<<': 1}";
        assert!(tree(text).ends_with(r#""c":{"m":"3" "k":"1" "l":"1"} "d":{"<<":"1"}}"#), "{}", tree(text));
        assert_eq!(tree("a: {<<: 1}"), "`<<` takes a mapping or a list of mappings");
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let text = "ä: { \"ö\": é }";
        let mut sources = Sources::default();
        let source = sources.add("fleet.yaml", text);
        let Value::Map(entries) = read(source, text).unwrap().value else { panic!() };
        let Value::Map(inner) = &entries[0].1.value else { panic!() };
        let slice = |span: Span| &text[span.start as usize..span.end as usize];
        assert_eq!(
            (slice(entries[0].0.span), slice(inner[0].0.span), slice(inner[0].1.span)),
            ("ä", "\"ö\"", "é")
        );
    }
}
