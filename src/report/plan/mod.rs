//! A plan for people (text, Markdown) and for programs (JSON).
//!
//! [`sections`] puts a plan into words once; each form only renders them.

pub(crate) mod json;
pub(crate) mod markdown;
mod rows;
mod sections;
pub(crate) mod text;

use otapress_publish::plan::Plan;
use otapress_publish::plan::names::Names;

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    /// The names of the devices.
    pub(crate) names: &'a Names<'a>,
    /// Every device by name.
    pub(crate) in_full: bool,
    /// The moment at which it is read: what is open then goes now.
    pub(crate) now: i64,
    /// With colours.
    pub(crate) colour: bool,
}

/// A few words, some of which are values of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Words(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Said(String),
    Value(String),
}

impl Words {
    fn said(text: impl Into<String>) -> Self {
        Words(vec![Word::Said(text.into())])
    }

    fn value(value: impl Into<String>) -> Self {
        Words(vec![Word::Value(value.into())])
    }

    fn then(mut self, more: Words) -> Self {
        self.0.extend(more.0);
        self
    }

    fn and(self, text: impl Into<String>) -> Self {
        self.then(Words::said(text))
    }

    fn and_value(self, value: impl Into<String>) -> Self {
        self.then(Words::value(value))
    }

    fn becomes(self, after: Words) -> Self {
        self.and(" → ").then(after)
    }
}

/// The tone of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Danger,
    Added,
    Removed,
    Changed,
    Plain,
}

/// One change.
#[derive(Debug)]
struct Row<'a> {
    mark: Mark,
    what: Words,
    devices: Option<&'a otapress_publish::plan::Devices>,
    notes: Vec<Words>,
}

/// Things of one kind that change.
#[derive(Debug)]
struct Section<'a> {
    title: &'static str,
    rows: Vec<Row<'a>>,
}

impl<'a> Row<'a> {
    fn new(mark: Mark, what: Words) -> Self {
        Row { mark, what, devices: None, notes: Vec::new() }
    }

    fn of(self, devices: &'a otapress_publish::plan::Devices) -> Self {
        Row { devices: Some(devices), ..self }
    }

    fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(Words::said(note));
        self
    }
}

/// The names of at most `most` devices, and how many more there are.
fn names(
    plan: &Plan,
    devices: &otapress_publish::plan::Devices,
    most: usize,
    style: Style<'_>,
) -> (Vec<String>, usize) {
    // `and 1 more` is no shorter than the name.
    let most = if style.in_full || devices.count() <= most + 1 { devices.count() } else { most };
    let imeis = plan.imeis(devices, most, style.names);
    let more = devices.count() - imeis.len();
    (imeis.into_iter().map(|imei| style.names.name(imei).into_owned()).collect(), more)
}
