//! The devices of fleet.yaml that have a line of the usual form, read without the YAML parser, which takes twenty times as
//! long for them.
//!
//! ```yaml
//! devices:
//!   dev1: { imei: "352099001761481", group: couriers, settings: [quiet] }
//! ```
//! Such lines, one below the other, can mean only one thing if they are entries of `devices`; and whether they are, the YAML
//! parser says: of each run of them it gets the first and the last. None of those between opens anything that it does not
//! close, so that they cannot change what follows them. If the parser does not find a device at both ends, or has
//! anything to say against the text, [`super::load`] forgets what was found here and gives it the whole text.

use std::ops::Range;

use super::raw::Text;
use super::written::RawDevice;
use crate::diag::{SourceId, Span};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The devices of the lines that the parser need not see.
    pub devices: Vec<RawDevice>,
    /// Where these lines are.
    pub ranges: Vec<Range<usize>>,
    /// Where the devices begin that stand in the lines in front of these and behind them.
    pub bounds: Vec<u32>,
}

/// Longer keys YAML does not take in one line.
const LONGEST: usize = 1000;

/// Finds the runs of such lines below `devices:`.
pub(super) fn find(source: SourceId, text: &str) -> Lines {
    let mut found = Lines::default();
    let mut run: Option<Run> = None;
    let (mut in_devices, mut start) = (false, 0);
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        let device = if in_devices && line.starts_with(' ') {
            Cursor { source, text: &text[..end], at: start }.device()
        } else {
            None
        };
        match (device, &mut run) {
            (Some((indent, device)), Some(run)) if run.indent == indent => {
                run.lines += 1;
                run.last = start;
                found.devices.push(device);
            }
            (device, _) => {
                found.end(run.take());
                run = device.map(|(indent, device)| {
                    found.devices.push(device);
                    Run { indent, lines: 1, first_end: end, last: start }
                });
                if !line.starts_with([' ', '#', '\r', '\n']) {
                    in_devices = line.trim_end() == "devices:";
                }
            }
        }
        start = end;
    }
    found.end(run);
    found
}

/// Lines of the usual form with the same indentation, one below the other.
struct Run {
    indent: usize,
    lines: usize,
    /// Where the first line ends.
    first_end: usize,
    /// Where the last line starts.
    last: usize,
}

impl Lines {
    /// Keeps the devices of a run but the first and the last.
    fn end(&mut self, run: Option<Run>) {
        let Some(Run { lines, first_end, last, .. }) = run else { return };
        let first = self.devices.len() - lines;
        if lines < 3 {
            self.devices.truncate(first);
            return;
        }
        let bounds = [self.devices.pop(), Some(self.devices.swap_remove(first))];
        self.bounds.extend(bounds.into_iter().rev().flatten().map(|device| device.client_id.span.start));
        self.ranges.push(first_end..last);
    }
}

/// Reads one line; every function returns none if it is not of the usual form.
struct Cursor<'a> {
    source: SourceId,
    /// The text up to the end of the line.
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The device of the line and how far it is indented.
    fn device(mut self) -> Option<(usize, RawDevice)> {
        if self.text.len() - self.at > LONGEST {
            return None;
        }
        let indent = self.spaces();
        let mut device = RawDevice::new(self.scalar()?);
        self.colon()?;
        self.byte(b'{')?;
        self.items(b'}', |line| {
            let key = line.word();
            line.colon()?;
            if key == "settings" {
                line.byte(b'[')?;
                let mut names = Vec::new();
                line.items(b']', |line| {
                    names.push(line.scalar()?);
                    Some(())
                })?;
                // An empty list would hide that the key stands here twice.
                let is_first = device.more().is_none_or(|more| more.settings.is_empty());
                device.set_settings(names);
                (is_first && device.more().is_some_and(|more| !more.settings.is_empty())).then_some(())
            } else {
                let place = device.text(key).filter(|place| place.is_none())?;
                *place = Some(line.scalar()?);
                Some(())
            }
        })?;
        self.text[self.at..].trim_end_matches([' ', '\r', '\n']).is_empty().then_some((indent, device))
    }

    /// Items with commas between them, up to `end`.
    fn items(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.spaces();
        if self.byte(end).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            self.spaces();
            if self.byte(end).is_some() {
                return Some(());
            }
            self.byte(b',')?;
            self.spaces();
        }
    }

    /// A scalar that stands for itself: no escapes, nothing that YAML reads as nothing, and none of its signs.
    fn scalar(&mut self) -> Option<Text> {
        let start = self.at;
        let text = match self.peek()? {
            quote @ (b'"' | b'\'') => {
                self.at += 1;
                let inner = self.take_while(|c| match c {
                    '"' | '\'' => c != char::from(quote),
                    '\\' => false,
                    ' '..='~' => true,
                    _ => c.is_alphanumeric(),
                });
                self.byte(quote)?;
                // Two single quotes stand for one.
                if self.peek() == Some(quote) {
                    return None;
                }
                inner
            }
            b if b.is_ascii_alphanumeric() => {
                let run = self.take_while(|c| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '@' | '/' | '+' | '-' | ' '));
                let plain = run.trim_end_matches(' ');
                self.at -= run.len() - plain.len();
                if matches!(plain, "null" | "Null" | "NULL") {
                    return None;
                }
                plain
            }
            _ => return None,
        };
        let at = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Some(Text {
            text: text.into(),
            span: Span { source: self.source, start: at(start), end: at(self.at) },
        })
    }

    /// A colon with a space behind it.
    fn colon(&mut self) -> Option<()> {
        self.byte(b':')?;
        (self.spaces() > 0).then_some(())
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphabetic())
    }

    fn spaces(&mut self) -> usize {
        self.take_while(|c| c == ' ').len()
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let taken = &rest[..rest.find(|c| !is(c)).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
