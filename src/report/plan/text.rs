//! A plan on a terminal.

use std::fmt::Write as _;

use super::sections::{headline, price, schedule, sections};
use super::{Mark, Row, Style, Word, Words, names};
use crate::report::words::{count, one_line};
use otapress_publish::plan::Plan;

/// Devices named in a row.
const NAMED: usize = 3;

/// The whole plan.
pub(crate) fn text(plan: &Plan, style: Style<'_>) -> String {
    let paint = |code: &'static str| if style.colour { code } else { "" };
    let (bold, reset) = (paint("\x1b[1m"), paint("\x1b[0m"));
    let mut text = String::new();
    for line in schedule(plan, style.now).into_iter().chain([headline(plan)]).chain(price(plan)) {
        let _ = writeln!(text, "{bold}{line}{reset}");
    }
    for section in sections(plan) {
        let _ = writeln!(text, "\n{bold}{}{reset}", section.title);
        for row in &section.rows {
            let (mark, colour) = match row.mark {
                Mark::Danger => ('!', paint("\x1b[1;31m")),
                Mark::Added => ('+', paint("\x1b[32m")),
                Mark::Removed => ('-', paint("\x1b[31m")),
                Mark::Changed => ('~', paint("\x1b[33m")),
                Mark::Plain => (' ', ""),
            };
            let reset = if colour.is_empty() { "" } else { reset };
            let _ = writeln!(text, "  {colour}{mark} {}{reset}{}", plain(&row.what), rest(plan, row, style));
        }
    }
    text
}

/// The devices and the notes of a row.
fn rest(plan: &Plan, row: &Row<'_>, style: Style<'_>) -> String {
    let mut rest = String::new();
    if let Some(devices) = row.devices {
        let (names, more) = names(plan, devices, NAMED, style);
        let more = if more > 0 { format!(", … and {more} more") } else { String::new() };
        let _ = write!(rest, ": {} ({}{more})", count(devices.count(), "device"), names.join(", "));
    }
    for note in &row.notes {
        let _ = write!(rest, "\n      {}", plain(note));
    }
    rest
}

fn plain(words: &Words) -> String {
    let plain = |word: &Word| match word {
        Word::Said(text) => text.clone(),
        Word::Value(value) => one_line(value),
    };
    words.0.iter().map(plain).collect()
}
