//! A plan as a comment on a merge request.

use std::fmt::Write as _;

use super::sections::{headline, price, schedule, sections};
use super::{Mark, Row, Style, Word, Words, names};
use crate::report::words::{count, one_line};
use otapress_publish::plan::Plan;

/// Devices named in a row: hosts limit the length of a comment.
const NAMED: usize = 100;

/// Up to this many devices are named without a click.
const OPEN: usize = 3;

/// The whole plan.
pub(crate) fn markdown(plan: &Plan, style: Style<'_>) -> String {
    let mut text = "### otapress plan\n".to_owned();
    if let Some(schedule) = schedule(plan, style.now) {
        let _ = writeln!(text, "\n**{}**", said(&schedule));
    }
    let _ = writeln!(text, "\n{}", said(&headline(plan)));
    if let Some(price) = price(plan) {
        let _ = writeln!(text, "\n{}", said(&price));
    }
    for section in sections(plan) {
        let _ = writeln!(text, "\n#### {}\n", section.title);
        let has_devices = section.rows.iter().any(|row| row.devices.is_some());
        text += if has_devices { "| Change | Devices |\n|---|---|\n" } else { "" };
        for row in &section.rows {
            let mark = match row.mark {
                Mark::Danger => "⚠️ ",
                Mark::Added => "➕ ",
                Mark::Removed => "➖ ",
                Mark::Changed => "✏️ ",
                Mark::Plain => "",
            };
            let notes: String = row.notes.iter().map(|note| format!("<br>{}", rich(note))).collect();
            let what = rich(&row.what);
            text += &if has_devices {
                format!("| {mark}{what}{notes} | {} |\n", devices(plan, row, style))
            } else {
                format!("- {mark}{what}{notes}\n")
            };
        }
    }
    text
}

/// The devices of a row, behind a click if they are many.
fn devices(plan: &Plan, row: &Row<'_>, style: Style<'_>) -> String {
    let Some(devices) = row.devices else { return String::new() };
    let (names, more) = names(plan, devices, NAMED, style);
    // As code, so that no `@` in a name mentions somebody.
    let mut list = names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(list, ", … and {more} more");
    }
    if devices.count() <= OPEN {
        return list;
    }
    format!("<details><summary>{}</summary>{list}</details>", count(devices.count(), "device"))
}

fn rich(words: &Words) -> String {
    let rich = |word: &Word| match word {
        Word::Said(text) => said(text),
        Word::Value(value) => code(value),
    };
    words.0.iter().map(rich).collect()
}

/// Our own words; those between backticks stay code.
fn said(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A value as code: nothing in it means anything to Markdown, or to a table.
fn code(value: &str) -> String {
    let value = one_line(value).replace('|', "\\|");
    let longest = value.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let space = if value.starts_with('`') || value.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{value}{space}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_code_whatever_they_hold() {
        assert_eq!(code("0.10.65"), "`0.10.65`");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a\n<b>"), "`a\\n<b>`");
    }
}
