//! The rows of `otc dbjson`, with their places.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use otapress_publish::diag::{Code, Diagnostic, SourceId, Sources, Span};
use otapress_publish::fleet::raw::Text;

/// A device of the predecessor; what is null or empty is not there.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its IMEI, unchecked.
    pub imei: Text,
    /// The customer.
    pub custid: Option<Text>,
    /// The tracker ID.
    pub tid: Option<Text>,
    /// The version that it is to run, or `*`.
    pub deliver: Option<Text>,
    /// The name of its settings set.
    pub sname: Option<Text>,
    /// For people.
    pub comment: Option<Text>,
    /// What it notifies of.
    pub flags: Option<Text>,
    /// Whether it is blocked.
    pub block: bool,
}

/// The keys that are understood; the last two are of the past, which the responder will learn anew.
const KNOWN: &[&str] =
    &["imei", "custid", "tid", "deliver", "sname", "comment", "flags", "block", "reported", "lastcheck"];

type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Reads the rows; those that are none, and keys that are not known, are reported and passed over.
///
/// # Errors
/// If the text is not a JSON array.
pub fn read(sources: &Sources, source: SourceId) -> Result<(Vec<Row>, Vec<Diagnostic>), Diagnostic> {
    let file = File { source, text: &sources.get(source).text };
    let items: Vec<&RawValue> = serde_json::from_str(file.text).map_err(|error| file.not_an_array(&error))?;
    let (mut rows, mut found, mut unknown) = (Vec::new(), Vec::new(), BTreeSet::new());
    for item in items {
        let Ok(object) = serde_json::from_str::<Object<'_>>(item.get()) else {
            found.push(left_out(file.span(item), "this is not a device, but something else").hint(HINT));
            continue;
        };
        for (key, value) in &object {
            if !KNOWN.contains(&key.as_str()) && unknown.insert(key.clone()) {
                let message = format!("unknown key `{key}`, found here first");
                found.push(left_out(file.span(value), &message));
            }
        }
        match file.row(&object, &mut found) {
            Some(row) => rows.push(row),
            None => found.push(left_out(file.span(item), "this device has no IMEI").hint(HINT)),
        }
    }
    Ok((rows, found))
}

const HINT: &str = "`otc dbjson` prints a list of `{\"imei\": …, \"custid\": …, …}`";

/// Says that something is not in the fleet file.
pub(super) fn left_out(span: Span, message: &str) -> Diagnostic {
    Diagnostic::new(Code::NotCarriedOver, span, message)
}

#[derive(Clone, Copy)]
struct File<'a> {
    source: SourceId,
    text: &'a str,
}

impl File<'_> {
    fn row(self, object: &Object<'_>, found: &mut Vec<Diagnostic>) -> Option<Row> {
        let mut text = |key: &str| {
            let value = object.get(key)?;
            let span = self.span(value);
            match scalar(value.get()) {
                Ok(Some(text)) if !text.trim().is_empty() => Some(Text { text: text.trim().into(), span }),
                Ok(_) => None,
                Err(()) => {
                    found.push(left_out(span, &format!("the `{key}` of this device is not a text")));
                    None
                }
            }
        };
        let block = text("block").is_some_and(|block| !matches!(&*block.text, "0" | "false"));
        let row = Row {
            imei: text("imei")?,
            custid: text("custid"),
            tid: text("tid"),
            deliver: text("deliver"),
            sname: text("sname"),
            comment: text("comment"),
            flags: text("flags"),
            block,
        };
        Some(row)
    }

    /// Where a value stands: it is a part of the text that was read.
    fn span(self, value: &RawValue) -> Span {
        let start = (value.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.span_at(start, value.get().len())
    }

    fn span_at(self, start: usize, len: usize) -> Span {
        let clamp = |n: usize| u32::try_from(n.min(self.text.len())).unwrap_or(u32::MAX);
        Span { source: self.source, start: clamp(start), end: clamp(start + len) }
    }

    fn not_an_array(self, error: &serde_json::Error) -> Diagnostic {
        let first = self.text.len() - self.text.trim_start().len();
        let whole = self.span_at(first, self.text.trim().len());
        match self.text.trim() {
            "" => return Diagnostic::new(Code::BadDump, whole, "the file is empty").hint(HINT),
            text if text == "null" || text.starts_with("Error talking to server") => {
                return Diagnostic::new(Code::BadDump, whole, "`otc` could not reach its server")
                    .hint("run `otc ping`; look at OTC_URL");
            }
            "\"NOP\"" => {
                return Diagnostic::new(Code::BadDump, whole, "the server has refused the key of `otc`")
                    .hint("`otc ping` answers `PONG` if OTC_KEY is right");
            }
            _ => {}
        }
        let line_start: usize =
            self.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let mut at = (line_start + error.column().saturating_sub(1)).min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = format!("this is not the JSON of a list: {}", error.to_string().replace(&place, ""));
        Diagnostic::new(Code::BadDump, self.span_at(at, 0), message).hint(HINT)
    }
}

/// A JSON scalar as text; null is none.
fn scalar(json: &str) -> Result<Option<String>, ()> {
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map(Some).map_err(drop),
        Some(b'n') => Ok(None),
        Some(b'{' | b'[') | None => Err(()),
        Some(_) => Ok(Some(json.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Line, column and message.
    type Told = (usize, usize, String);

    fn rows(text: &str) -> Result<(Vec<Row>, Vec<String>), Told> {
        let mut sources = Sources::default();
        let source = sources.add("db.json", text);
        let told = |found: &Diagnostic| match found.place {
            otapress_publish::diag::Place::Span(span) => {
                let (line, column) = sources.line_column(span);
                (line, column, found.message.clone())
            }
            otapress_publish::diag::Place::File(_) => unreachable!(),
        };
        let (rows, found) = read(&sources, source).map_err(|error| told(&error))?;
        let found = found.iter().map(told).map(|(line, column, text)| format!("{line}:{column}: {text}"));
        Ok((rows, found.collect()))
    }

    #[test]
    fn rows_are_read_leniently() {
        let (rows, found) = rows(
            r#"[
  {"imei":352099001761481,"custid":" acme ","block":"1","tid":null,"comment":"caf\u00e9 \ud83d\ude00"},
  {"imei": "352099001761499", "block": false, "deliver": "*", "owner": "x", "sname": ""},
  17,
  {"custid": "acme"},
  {"imei": "1", "tid": ["a"], "block": 0, "owner": "x", "comment": "\ud83d"}
]"#,
        )
        .unwrap();
        let texts: Vec<_> = rows.iter().map(|row| (&*row.imei.text, row.block)).collect();
        assert_eq!(texts, [("352099001761481", true), ("352099001761499", false), ("1", false)]);
        assert_eq!(rows[0].comment.as_ref().map(|text| &*text.text), Some("café 😀"));
        assert_eq!(rows[0].custid.as_ref().map(|text| &*text.text), Some("acme"));
        assert!(rows[1].sname.is_none() && rows[0].tid.is_none());
        assert_eq!(
            found,
            [
                "3:72: unknown key `owner`, found here first",
                "4:3: this is not a device, but something else",
                "5:3: this device has no IMEI",
                "6:24: the `tid` of this device is not a text",
                "6:68: the `comment` of this device is not a text",
            ]
        );
    }

    #[test]
    fn what_is_no_list_is_pointed_at() {
        for (text, line, column) in
            [("", 1, 1), ("\n null\n", 2, 2), ("\"NOP\"", 1, 1), ("[\n{\"imei\": },\n]", 2, 10), ("{}", 1, 1)]
        {
            let (at_line, at_column, message) = rows(text).unwrap_err();
            assert_eq!((at_line, at_column), (line, column), "{text:?}: {message}");
        }
        let (_, _, message) = rows("Error talking to server: refused\nnull\n").unwrap_err();
        assert_eq!(message, "`otc` could not reach its server");
    }
}
