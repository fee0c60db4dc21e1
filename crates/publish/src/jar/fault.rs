//! One thing that is wrong with a JAR.

use crate::diag::{Code, Diagnostic, Place, Severity};

/// Why a JAR is refused; it becomes a [`Diagnostic`] where the file's name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Fault {
    /// The kind.
    pub code: Code,
    /// What is wrong: lower case, no full stop, names in backticks.
    pub message: String,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Fault {
    /// The fault as a mistake in the file that the JAR was read from.
    pub fn at(self, place: impl Into<Place>) -> Diagnostic {
        Diagnostic { hint: self.hint, ..Diagnostic::new(self.code, place, self.message) }
    }

    /// Whether it stops a build.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }

    pub(super) fn of(code: Code, message: impl Into<String>) -> Self {
        Fault { code, message: message.into(), hint: None }
    }

    /// Something is wrong with the archive.
    pub(super) fn archive(message: impl Into<String>) -> Self {
        Fault::of(Code::JarInvalid, message)
    }

    /// Something is wrong with the manifest.
    pub(super) fn manifest(message: impl Into<String>) -> Self {
        Fault::of(Code::ManifestInvalid, message)
    }

    /// The same with a hint.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Bytes of a foreign file for a message: on one line, without control characters, and not too long.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const MAX: usize = 80;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX)]);
    let mut escaped = String::new();
    for c in text.chars().take(MAX) {
        match c {
            '`' => escaped.push('\''),
            c if c.is_control() => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    if text.chars().count() > MAX { escaped + "…" } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_bytes_are_shown_on_one_short_line() {
        assert_eq!(shown(b"a\r\n\x1b[31m`\xff"), "a\\r\\n\\u{1b}[31m'\u{fffd}");
        assert_eq!(shown(&[b'x'; 300]).chars().count(), 81);
    }
}
