//! An inventory as lines whose cells know their bytes.

use std::collections::HashMap;
use std::ops::Range;

use super::yaml::Replacement;
use crate::fleet::inventory::separator;

/// The cells of a line, with the range of the whole line, its line end included.
struct Row {
    range: Range<usize>,
    cells: Vec<Range<usize>>,
}

/// A text of lines whose first names the columns. Lines that start with `#` and empty lines are none.
pub(super) struct Table<'a> {
    text: &'a str,
    separator: u8,
    columns: Vec<String>,
    /// The lines by clientID.
    rows: HashMap<String, Row>,
}

impl<'a> Table<'a> {
    pub fn parse(text: &'a str) -> Self {
        let (mut at, separator) = separator(text.trim_start_matches('\u{feff}'));
        at += text.len() - text.trim_start_matches('\u{feff}').len();
        let mut rows = Vec::new();
        while at < text.len() {
            let row = row(text, at, separator);
            at = row.range.end;
            let line = &text[row.range.clone()];
            if !line.starts_with('#') && !line.trim_end_matches(['\r', '\n']).is_empty() {
                rows.push(row);
            }
        }
        let mut rows = rows.into_iter();
        let value_of = |cell: &Range<usize>| value(&text[cell.clone()]);
        let columns: Vec<_> = rows.next().iter().flat_map(|row| &row.cells).map(value_of).collect();
        let id = columns.iter().position(|column| column == "clientID");
        let by_id = |row: Row| Some((value_of(row.cells.get(id?)?), row));
        Table { text, separator, rows: rows.filter_map(by_id).collect(), columns }
    }

    /// Puts a value into a cell; an empty one clears it. None: there is no such column, or no such device.
    pub fn set(&self, device: &str, column: &str, new: &str) -> Option<Replacement> {
        let column = self.columns.iter().position(|known| known == column)?;
        let range = self.rows.get(device)?.cells.get(column)?.clone();
        let was_quoted = self.text[range.clone()].trim().starts_with('"');
        let text = if was_quoted && !new.is_empty() { quoted(new) } else { self.cell(new) };
        Some(Replacement { range, text })
    }

    pub fn remove(&self, device: &str) -> Option<Replacement> {
        Some(Replacement { range: self.rows.get(device)?.range.clone(), text: String::new() })
    }

    /// A value as a cell, in quotes where it needs them.
    fn cell(&self, value: &str) -> String {
        let special = [char::from(self.separator), '"', '\r', '\n'];
        if value.contains(special) || value.starts_with(['#', ' ']) { quoted(value) } else { value.into() }
    }

    /// Adds a line at the end.
    pub fn append(&self, value_of: impl Fn(&str) -> Option<String>) -> Replacement {
        let end = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let cells = self
            .columns
            .iter()
            .map(|column| value_of(column).map_or(String::new(), |value| self.cell(&value)));
        let line = cells.collect::<Vec<_>>().join(&char::from(self.separator).to_string());
        let at = self.text.len();
        let text = if self.text.ends_with('\n') { line + end } else { format!("{end}{line}") };
        Replacement { range: at..at, text }
    }
}

fn row(text: &str, start: usize, separator: u8) -> Row {
    let is_comment = text[start..].starts_with('#');
    let (mut cells, mut from, mut quoted) = (Vec::new(), start, false);
    for (i, b) in text[start..].bytes().enumerate().map(|(i, b)| (start + i, b)) {
        match b {
            b'"' if !is_comment => quoted = !quoted,
            b if b == separator && !quoted => {
                cells.push(from..i);
                from = i + 1;
            }
            b'\n' if !quoted => {
                let end = if text[..i].ends_with('\r') { i - 1 } else { i };
                cells.push(from..end.max(from));
                return Row { range: start..i + 1, cells };
            }
            _ => {}
        }
    }
    cells.push(from..text.len());
    Row { range: start..text.len(), cells }
}

/// The value of a cell as written.
fn value(cell: &str) -> String {
    let cell = cell.trim();
    match cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\"").trim().to_owned(),
        None => cell.to_owned(),
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('"', "\"\""))
}
