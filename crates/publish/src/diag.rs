//! Mistakes in the operator's input, as data.
//!
//! A mistake of the operator is a [`Diagnostic`]; all of them are collected and shown in one run
//! ([`otapress::report::diagnostics`] prints them). A failure of the environment (a disk, a permission) is an
//! error type of the module that met it.

mod code;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use self::code::Code;
pub use otapress_core::finding::Severity;

/// `` did you mean `…`? `` if one of the names is close to `word`.
pub fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, names).map(|name| format!("did you mean `{name}`?"))
}

/// The name that is close to `word`, if one is.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names
        .map(|name| (strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(score, _)| score > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A text that diagnostics can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of bytes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The end, exclusive.
    pub end: u32,
}

impl Span {
    /// Only its first character.
    pub fn at_start(self) -> Self {
        Span { end: self.start, ..self }
    }
}

/// The place of a mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A range of a text.
    Span(Span),
    /// A whole file, named as the operator would.
    File(PathBuf),
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Place::Span(span)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Place::File(path.into())
    }
}

/// A mistake: its kind, its place and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Diagnostic {
    /// The kind of mistake.
    pub code: Code,
    /// The mistake in words: lower case, no full stop, names in backticks.
    pub message: String,
    /// The place.
    pub place: Place,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A mistake without a hint yet.
    pub fn new(code: Code, place: impl Into<Place>, message: impl Into<String>) -> Self {
        Diagnostic { code, message: visible(message.into()), place: place.into(), hint: None }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it stops a build.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// The text with `U+200B` and the like for characters that nobody sees, because they may be what is wrong.
fn visible(text: String) -> String {
    let is_hidden = |c: char| match c {
        ' ' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => c.is_whitespace() || c.is_control(),
    };
    if !text.chars().any(is_hidden) {
        return text;
    }
    text.chars().map(|c| if is_hidden(c) { format!("U+{:04X}", u32::from(c)) } else { c.into() }).collect()
}

/// A text with its name.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the operator would write it.
    pub path: PathBuf,
    /// The text.
    pub text: Arc<str>,
    /// The starts of its lines; computed on first use.
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    /// The line (from 1) of a byte, and the range of that line without its line end.
    pub fn line(&self, at: u32) -> (usize, Range<usize>) {
        let starts = self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|&(_, b)| b == b'\n');
            let after = ends.map(|(i, _)| u32::try_from(i + 1).unwrap_or(u32::MAX));
            std::iter::once(0).chain(after).collect()
        });
        let line = starts.partition_point(|&start| start <= at);
        let start = starts[line - 1] as usize;
        let end = starts.get(line).map_or(self.text.len(), |&next| next as usize - 1);
        (line, start..end)
    }
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Keeps a text.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> SourceId {
        self.0.push(Source { path: path.into(), text: text.into(), lines: OnceLock::new() });
        SourceId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 sources"))
    }

    /// The text of an id that [`Sources::add`] gave.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// Every text, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// Line and column of a span's start, both from 1, the column in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let source = self.get(span.source);
        let (line, range) = source.line(span.start);
        (line, source.text[range.start..span.start as usize].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let texts: BTreeSet<_> = Code::all().map(Code::as_str).collect();
        assert_eq!(texts.len(), Code::all().count());
        for text in texts {
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
        }
    }

    #[test]
    fn hidden_characters_are_shown() {
        for (text, shown) in
            [("dev 1", "dev 1"), ("dev\u{200b}1", "devU+200B1"), ("\u{a0}é\t", "U+00A0éU+0009")]
        {
            assert_eq!(visible(text.into()), shown);
        }
    }

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        let source = sources.add("f", "a\näb: c\n");
        assert_eq!(sources.line_column(Span { source, start: 7, end: 8 }), (2, 5));
    }
}
