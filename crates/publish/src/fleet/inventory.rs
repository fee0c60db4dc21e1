//! `inventory`: more devices, in CSV files that other systems export.
//!
//! The first line names the columns: `clientID` and any of a device's keys, in any order, and those that the
//! fleet says to `ignore`. Several settings sets are separated by `;`. Lines that start with `#` are
//! comments. What spreadsheets do to such files is read where it can mean only one thing: other separators,
//! rows and columns of empty cells, old line ends.

use std::path::Path;
use std::sync::Arc;

use super::keys;
use super::raw::Text;
use super::raw_device::RawDevice;
use super::reader::Reader;
use crate::diag::{Code, Diagnostic, SourceId, Sources, Span, nearest};
use otapress_core::words::count;

/// Reads inventories; columns whose names `ignored` holds are the fleet's own.
#[derive(Debug)]
pub(super) struct Inventories<'a> {
    ignored: &'a [Text],
    /// Of each ignored name, whether an inventory has such a column.
    found: Vec<bool>,
}

impl<'a> Inventories<'a> {
    pub(super) fn new(reader: &mut Reader, ignored: &'a [Text]) -> Self {
        for name in ignored.iter().filter(|name| known_columns().any(|known| known == &*name.text)) {
            reader.bad_value(name, "`ignore`", "the name of a column that means nothing here");
        }
        Inventories { ignored, found: vec![false; ignored.len()] }
    }

    /// Reads the text of one file.
    pub(super) fn read_text(
        &mut self,
        reader: &mut Reader,
        sources: &mut Sources,
        path: &Path,
        mut text: String,
    ) -> Vec<RawDevice> {
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        if !text.contains('\n') && text.contains('\r') {
            // Line ends of old Macs; lines are counted by LF.
            text = text.replace('\r', "\n");
        }
        let source = sources.add(path, text);
        let text = Arc::clone(&sources.get(source).text);
        let (start, separator) = separator(&text);
        Table { source, text: &text, start, separator }.read(reader, self)
    }

    /// Notes names to ignore that no inventory has.
    pub(super) fn report_unused(&self, reader: &mut Reader) {
        // The column may be in an inventory that was not read.
        if reader.has_errors() {
            return;
        }
        let unused = self.ignored.iter().zip(&self.found).filter(|(_, found)| !**found);
        for (name, _) in unused.filter(|(name, _)| known_columns().all(|known| known != &*name.text)) {
            reader.report(
                Diagnostic::new(
                    Code::Unused,
                    name.span,
                    format!("no inventory has a column `{}` to ignore", name.text),
                )
                .hint("remove it, or compare it with the first line of the inventory"),
            );
        }
    }

    /// The meaning of each column; none if the header is not good.
    fn columns(&mut self, reader: &mut Reader, mut header: Vec<Text>, at: Span) -> Option<Vec<Column>> {
        let before = reader.found.len();
        while header.last().is_some_and(|cell| cell.text.is_empty()) {
            header.pop();
        }
        let mut columns = Vec::with_capacity(header.len());
        let mut misspelt = false;
        for cell in &header {
            if let Some(name) = known_columns().find(|name| *name == &*cell.text) {
                if columns.contains(&Column::Known(name)) {
                    reader.duplicate_key(cell);
                }
                columns.push(Column::Known(name));
            } else if let Some(i) = self.ignored.iter().position(|name| name.text == cell.text) {
                self.found[i] = true;
                columns.push(Column::Ignored);
            } else {
                let meant = nearest(&cell.text, known_columns());
                misspelt |= meant == Some(CLIENT_ID);
                let known = || {
                    format!(
                        "known columns are `{}`; put a column of your own under `ignore`",
                        known_columns().collect::<Vec<_>>().join("`, `")
                    )
                };
                let hint = meant.map_or_else(known, |name| format!("did you mean `{name}`?"));
                let message = format!("unknown column `{}`", cell.text);
                reader.report(Diagnostic::new(Code::UnknownKey, cell.span, message).hint(hint));
            }
        }
        if !misspelt && !header.iter().any(|cell| &*cell.text == CLIENT_ID) {
            let at = header.first().map_or(at, |cell| cell.span);
            reader.report(
                Diagnostic::new(Code::MissingKey, at, "there is no column `clientID`")
                    .hint("the first line names the columns: `clientID,imei,group,…`"),
            );
        }
        (reader.found.len() == before).then_some(columns)
    }
}

/// The column that every inventory has.
const CLIENT_ID: &str = "clientID";

fn known_columns() -> impl Iterator<Item = &'static str> {
    [CLIENT_ID].into_iter().chain(keys::DEVICE.iter().map(|key| key.name))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Known(&'static str),
    Ignored,
}

/// Where the table starts, and what separates its cells: what a line `sep=` says, else the separator that
/// makes `clientID` a column. Spreadsheets take a semicolon where the comma is the decimal sign.
pub(crate) fn separator(text: &str) -> (usize, u8) {
    let first = text.split_inclusive('\n').next().unwrap_or_default();
    if let Some([separator]) = first.trim_end().trim_matches('"').strip_prefix("sep=").map(str::as_bytes) {
        return (first.len(), *separator);
    }
    let has_client_id = |separator: &u8| {
        let header = csv_reader(text, *separator).into_records().next();
        header.is_some_and(|header| {
            header.is_ok_and(|header| header.iter().any(|cell| cell.trim() == CLIENT_ID))
        })
    };
    (0, [b',', b';', b'\t'].into_iter().find(has_client_id).unwrap_or(b','))
}

fn csv_reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes())
}

struct Table<'a> {
    source: SourceId,
    text: &'a str,
    start: usize,
    separator: u8,
}

impl Table<'_> {
    fn read(&self, reader: &mut Reader, inventories: &mut Inventories<'_>) -> Vec<RawDevice> {
        let mut records = csv_reader(&self.text[self.start..], self.separator).into_records();
        let Some(header) = records.next() else {
            reader.report(
                Diagnostic::new(Code::BadCsv, self.span(0, 0), "the file has no header line")
                    .hint("start it with `clientID,imei,group,…`"),
            );
            return Vec::new();
        };
        let Some(columns) =
            self.cells(reader, header).and_then(|cells| inventories.columns(reader, cells, self.span(0, 0)))
        else {
            return Vec::new();
        };
        records
            .filter_map(|record| {
                let cells = self.cells(reader, record)?;
                device(reader, &columns, cells)
            })
            .collect()
    }

    /// The cells of a record with their places; none of a row that has only empty ones.
    fn cells(&self, reader: &mut Reader, record: csv::Result<csv::StringRecord>) -> Option<Vec<Text>> {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let start = self.start + error.position().map_or(0, |position| position.byte() as usize);
                reader.report(Diagnostic::new(Code::BadCsv, self.span(start, start), error.to_string()));
                return None;
            }
        };
        if record.iter().all(|cell| cell.trim().is_empty()) {
            return None;
        }
        // Comments and empty lines in front of a record belong to its position.
        let mut start = self.start + record.position().map_or(0, |position| position.byte() as usize);
        while let Some(line) = self.text[start..].split_inclusive('\n').next()
            && (line.starts_with('#') || line.trim_end_matches(['\r', '\n']).is_empty())
        {
            start += line.len();
        }
        let places = cell_places(&self.text[start..], self.separator);
        Some(
            record
                .iter()
                .zip(places)
                .map(|(cell, (from, to))| Text {
                    text: cell.trim().into(),
                    span: self.span(start + from, start + to),
                })
                .collect(),
        )
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }
}

/// Where the cells of the record at the start of `text` begin and end. The CSV reader knows only where
/// records begin.
fn cell_places(text: &str, separator: u8) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'"' => quoted = !quoted,
            b'\r' | b'\n' if !quoted => {
                places.push((start, i));
                return places;
            }
            _ if b == separator && !quoted => {
                places.push((start, i));
                start = i + 1;
            }
            _ => {}
        }
    }
    places.push((start, text.len()));
    places
}

fn device(reader: &mut Reader, columns: &[Column], mut cells: Vec<Text>) -> Option<RawDevice> {
    // Spreadsheets write the empty cells of their widest row.
    while cells.len() > columns.len() && cells.last().is_some_and(|cell| cell.text.is_empty()) {
        cells.pop();
    }
    if cells.len() != columns.len() {
        let span = cells.first()?.span;
        reader.report(
            Diagnostic::new(
                Code::BadCsv,
                span,
                format!(
                    "the line has {}, but the header {}",
                    count(cells.len(), "field"),
                    count(columns.len(), "field")
                ),
            )
            .hint(
                "every line must have as many fields as the header; put a field with a comma between two \
                double quotes",
            ),
        );
        return None;
    }
    let client_id = columns.iter().position(|column| *column == Column::Known(CLIENT_ID))?;
    let mut device = RawDevice::new(cells.get(client_id)?.clone());
    for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.text.is_empty()) {
        let Column::Known(column) = column else { continue };
        match device.text(column) {
            Some(place) => *place = Some(cell),
            None if *column == CLIENT_ID => {}
            None => {
                let names = cell.text.split(';').map(str::trim).filter(|name| !name.is_empty());
                device.set_settings(names.map(|name| Text { text: name.into(), span: cell.span }).collect());
            }
        }
    }
    Some(device)
}
