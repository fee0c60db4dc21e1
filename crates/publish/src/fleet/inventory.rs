//! `inventory`: more devices, in CSV files that other systems export.
//!
//! The first line names the columns: `clientID` and any of a device's keys, in any order. Several settings sets are
//! separated by `;`. Lines that start with `#` are comments.

use std::fs;
use std::path::{Path, PathBuf};

use super::keys;
use super::raw::Text;
use super::raw_device::RawDevice;
use super::reader::{Reader, did_you_mean};
use crate::diag::{Code, Diagnostic, SourceId, Sources, Span};

/// The files that a pattern beside fleet.yaml matches, sorted, and what is wrong with the pattern.
pub(super) fn files(dir: &Path, pattern: &Text) -> Result<Vec<PathBuf>, Diagnostic> {
    let full = Path::new(&glob::Pattern::escape(&dir.to_string_lossy())).join(&*pattern.text);
    let paths = glob::glob(&full.to_string_lossy()).map_err(|error| {
        Diagnostic::new(
            Code::BadValue,
            pattern.span,
            format!("`{}` is not a pattern of file names", pattern.text),
        )
        .hint(error.to_string())
    })?;
    let mut files: Vec<PathBuf> = paths.filter_map(Result::ok).collect();
    files.sort();
    if files.is_empty() {
        return Err(Diagnostic::new(
            Code::EmptyInventory,
            pattern.span,
            format!("`{}` matches no file", pattern.text),
        )
        .hint(format!(
            "paths are relative to `{}`",
            if dir.as_os_str().is_empty() { Path::new(".") } else { dir }.display()
        )));
    }
    Ok(files)
}

/// Reads one file.
pub(super) fn read(reader: &mut Reader, sources: &mut Sources, path: &Path) -> Vec<RawDevice> {
    let text = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            reader.report(
                Diagnostic::new(Code::Unreadable, path, "the file is not UTF-8 text")
                    .hint("export it as UTF-8"),
            );
            return Vec::new();
        }
        Err(error) => {
            reader.report(Diagnostic::new(
                Code::Unreadable,
                path,
                format!("the file cannot be read: {error}"),
            ));
            return Vec::new();
        }
    };
    read_text(reader, sources, path, &text)
}

/// Reads the text of one file.
pub(super) fn read_text(
    reader: &mut Reader,
    sources: &mut Sources,
    path: &Path,
    text: &str,
) -> Vec<RawDevice> {
    let source = sources.add(path, text.strip_prefix('\u{feff}').unwrap_or(text));
    Table { source, text: &sources.get(source).text }.read(reader)
}

/// The column that every inventory has.
const CLIENT_ID: &str = "clientID";

struct Table<'a> {
    source: SourceId,
    text: &'a str,
}

impl Table<'_> {
    fn read(&self, reader: &mut Reader) -> Vec<RawDevice> {
        let mut records = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .from_reader(self.text.as_bytes())
            .into_records();
        let Some(header) = records.next() else {
            reader.report(
                Diagnostic::new(Code::BadCsv, self.span(0, 0), "the file has no header line")
                    .hint("start it with `clientID,imei,group,…`"),
            );
            return Vec::new();
        };
        let Some(columns) =
            self.cells(reader, header).and_then(|cells| columns(reader, cells, self.span(0, 0)))
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

    /// The cells of a record with their places.
    fn cells(&self, reader: &mut Reader, record: csv::Result<csv::StringRecord>) -> Option<Vec<Text>> {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let start = error.position().map_or(0, |position| position.byte() as usize);
                reader.report(Diagnostic::new(Code::BadCsv, self.span(start, start), error.to_string()));
                return None;
            }
        };
        // Comments and empty lines in front of a record belong to its position.
        let mut start = record.position().map_or(0, |position| position.byte() as usize);
        while let Some(line) = self.text[start..].split_inclusive('\n').next()
            && (line.starts_with('#') || line.trim_end_matches(['\r', '\n']).is_empty())
        {
            start += line.len();
        }
        let places = cell_places(&self.text[start..]);
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

/// Where the cells of the record at the start of `text` begin and end. The CSV reader knows only where records begin.
fn cell_places(text: &str) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'"' => quoted = !quoted,
            b',' | b'\r' | b'\n' if !quoted => {
                places.push((start, i));
                start = i + 1;
                if b != b',' {
                    return places;
                }
            }
            _ => {}
        }
    }
    places.push((start, text.len()));
    places
}

/// The name of each column; none of them if the header is not good.
fn columns(reader: &mut Reader, header: Vec<Text>, start: Span) -> Option<Vec<&'static str>> {
    let known = || [CLIENT_ID].into_iter().chain(keys::DEVICE.iter().map(|key| key.name));
    let before = reader.found.len();
    let mut columns = Vec::with_capacity(header.len());
    for cell in &header {
        match known().find(|name| *name == &*cell.text) {
            Some(name) if columns.contains(&name) => reader.duplicate_key(cell),
            Some(name) => columns.push(name),
            None => reader.report(
                Diagnostic::new(Code::UnknownKey, cell.span, format!("unknown column `{}`", cell.text)).hint(
                    did_you_mean(&cell.text, known()).unwrap_or_else(|| {
                        format!("known columns are `{}`", known().collect::<Vec<_>>().join("`, `"))
                    }),
                ),
            ),
        }
    }
    if !columns.contains(&CLIENT_ID) {
        let at = header.first().map_or(start, |cell| cell.span);
        reader.report(
            Diagnostic::new(Code::MissingKey, at, "there is no column `clientID`")
                .hint("the first line names the columns: `clientID,imei,group,…`"),
        );
    }
    (reader.found.len() == before).then_some(columns)
}

fn fields(n: usize) -> String {
    if n == 1 { "1 field".into() } else { format!("{n} fields") }
}

fn device(reader: &mut Reader, columns: &[&'static str], cells: Vec<Text>) -> Option<RawDevice> {
    if cells.len() != columns.len() {
        let span = cells.first()?.span;
        reader.report(
            Diagnostic::new(
                Code::BadCsv,
                span,
                format!("the line has {}, but the header {}", fields(cells.len()), fields(columns.len())),
            )
            .hint("every line has as many fields as the header; one with a comma in it is put in double quotes, of which both are needed"),
        );
        return None;
    }
    let client_id = columns.iter().position(|column| *column == CLIENT_ID)?;
    let mut device = RawDevice::new(cells.get(client_id)?.clone());
    for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.text.is_empty()) {
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
