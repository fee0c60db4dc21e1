//! The JAD template: where it comes from, what it is given, and what its mistakes look like.
//!
//! A template sees
//! - `device.clientID`, `device.imei`, `device.group`, `device.tid` (the last two may be undefined). A
//!   template that uses `device` is rendered for every device, any other once for each release;
//! - `release.version` (as in the manifest), `release.sha256`;
//! - `manifest["<attribute>"]`: the attributes of the JAR's manifest, verbatim;
//! - `midlets`: a list of `number` and `value` for every `MIDlet-<n>` of the manifest;
//! - `jar.url` and `jar.size`.

#![expect(clippy::disallowed_types, reason = "what a template sees; nobody reads it back")]

pub mod bounded;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tera::Context;

use self::bounded::{Bounded, MAX_TEMPLATE, RenderError};
use crate::catalog::Entry;
use crate::diag::{Code, Diagnostic, Place, SourceId, Sources, Span};
use crate::files::{FileError, FileErrorKind, Reach};
use crate::fleet::{Device, Fleet, Midlet};

/// The templates that are built in, by name.
const BUILT_IN: &[(&str, &str)] = &[("OwnTracks.jad", include_str!("../../templates/OwnTracks.jad"))];

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    templates: Bounded,
    source: SourceId,
    per_device: bool,
}

/// The one name under which a template is kept.
const NAME: &str = "jad";

/// Finds the template in templates/ in `dir`, where fleet.yaml is, else among those that are built in, and
/// parses it.
///
/// # Errors
/// If there is none, it cannot be read, or it cannot be parsed.
pub fn load(
    reach: &Reach,
    dir: &Path,
    midlet: &Midlet,
    sources: &mut Sources,
) -> Result<Template, Diagnostic> {
    let (path, text) = read(reach, dir, &midlet.template, midlet.template_span.into())?;
    parse(path, text, sources)
}

fn read(reach: &Reach, dir: &Path, name: &str, named_at: Place) -> Result<(PathBuf, String), Diagnostic> {
    let path = dir.join("templates").join(name);
    match reach.text(&path, MAX_TEMPLATE) {
        Ok(text) => Ok((path, text)),
        Err(FileError { kind: FileErrorKind::Io(error), .. }) if error.kind() == ErrorKind::NotFound => {
            match BUILT_IN.iter().find(|(built_in, _)| *built_in == name) {
                Some((_, text)) => Ok((Path::new("(built in)").join(name), (*text).into())),
                None => Err(Diagnostic::new(
                    Code::Template,
                    named_at,
                    format!("there is no template `{}`", path.display()),
                )
                .hint("create it, or leave `template` out to use the one that is built in")),
            }
        }
        Err(FileError { kind, .. }) => {
            let diagnostic = Diagnostic::new(Code::Template, &*path, format!("the template {kind}"));
            Err(kind.hint().into_iter().fold(diagnostic, Diagnostic::hint))
        }
    }
}

fn parse(path: PathBuf, text: String, sources: &mut Sources) -> Result<Template, Diagnostic> {
    let result = Bounded::parse([(NAME, &*text)]);
    let source = sources.add(path, text);
    let templates = result.map_err(|error| diagnose(&error, source, sources))?;
    // What asks for the whole context may ask for the device.
    let per_device = templates
        .tera()
        .get_template_variables(NAME)
        .map_or(true, |names| names.contains("device") || names.contains("__tera_context"));
    Ok(Template { templates, source, per_device })
}

/// The error at its place in the template, without the excerpt that Tera adds.
fn diagnose(error: &tera::Error, source: SourceId, sources: &Sources) -> Diagnostic {
    let len = sources.get(source).text.len();
    let (range, message) = match error.kind() {
        tera::ErrorKind::SyntaxError(report) | tera::ErrorKind::RenderingError(report) => {
            (report.span().range.clone(), report.message().to_owned())
        }
        _ => reported(&error.to_string(), &sources.get(source).text),
    };
    let clamp = |n: usize| u32::try_from(n.min(len)).unwrap_or(u32::MAX);
    let span = Span { source, start: clamp(range.start), end: clamp(range.end) };
    Diagnostic::new(
        Code::Template,
        span,
        format!("the template fails: {}", lower_first(message.trim_end_matches('.'))),
    )
    .hint("the context is `device`, `release`, `manifest`, `midlets` and `jar`: see docs/templates.md")
}

/// The first place and message of a report that Tera gives as nothing but text, as it does for unknown
/// filters, tests and functions.
fn reported(report: &str, template: &str) -> (std::ops::Range<usize>, String) {
    let mut lines = report.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let place = lines.find_map(|line| line.strip_prefix("--> ")?.strip_prefix(NAME)?.strip_prefix(':'));
    let start = place.and_then(|place| {
        let (line, column) = place.split_once(':')?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let mut before = template.split_inclusive('\n');
        let line_start: usize = before.by_ref().take(line.checked_sub(1)?).map(str::len).sum();
        let text = before.next()?;
        let column = text.char_indices().nth(column.checked_sub(1)?)?.0;
        Some((line_start + column)..(line_start + text.trim_end().len()).max(line_start + column))
    });
    (start.unwrap_or(0..0), message)
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[derive(Serialize)]
struct ReleaseContext<'a> {
    version: &'a str,
    sha256: String,
}

#[derive(Serialize)]
struct JarContext<'a> {
    url: &'a str,
    size: u64,
}

#[derive(Serialize)]
struct MidletContext<'a> {
    number: u32,
    value: &'a str,
}

#[derive(Serialize)]
struct DeviceContext<'a> {
    #[serde(rename = "clientID")]
    client_id: &'a str,
    imei: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<&'a str>,
}

/// What a template is told of a release, made once for all devices.
#[derive(Debug)]
pub struct ReleaseValues(Context);

impl ReleaseValues {
    /// For a JAR that is published at `url`.
    pub fn new(entry: &Entry, url: &str) -> Self {
        let jar = entry.jar();
        let mut context = Context::new();
        let release = ReleaseContext { version: jar.version_text(), sha256: jar.sha256().to_string() };
        context.insert("release", &release);
        context.insert("jar", &JarContext { url, size: jar.size() });
        context.insert("manifest", &jar.attributes().collect::<BTreeMap<_, _>>());
        let midlets: Vec<_> = (1..)
            .map_while(|number| {
                jar.attribute(&format!("MIDlet-{number}")).map(|value| MidletContext { number, value })
            })
            .collect();
        context.insert("midlets", &midlets);
        ReleaseValues(context)
    }
}

impl Template {
    /// Whether what it renders depends on the device.
    pub fn is_per_device(&self) -> bool {
        self.per_device
    }

    /// Renders a JAD.
    ///
    /// # Errors
    /// If the template asks for what is not there, and the like.
    pub fn render(
        &self,
        values: &ReleaseValues,
        fleet: &Fleet,
        device: &Device,
        sources: &Sources,
    ) -> Result<String, Diagnostic> {
        let rendered = if self.per_device {
            let mut context = values.0.clone();
            let device = DeviceContext {
                client_id: device.client_id.as_str(),
                imei: device.imei.to_string(),
                group: fleet.group(device).name.as_deref(),
                tid: device.tid.as_deref(),
            };
            context.insert("device", &device);
            self.templates.render(NAME, context)
        } else {
            self.templates.render(NAME, values.0.clone())
        };
        rendered.map_err(|error| match error {
            RenderError::Template(error) => diagnose(&error, self.source, sources),
            limit => Diagnostic::new(
                Code::Template,
                Span { source: self.source, start: 0, end: 0 },
                format!("the template fails: {limit}"),
            ),
        })
    }

    /// The place in the template of what became a line (from 1) of `rendered`: the same line, else the one
    /// that starts with the same attribute name, else the whole template.
    pub fn place_of(&self, rendered: &str, line: usize, sources: &Sources) -> Place {
        let text = &sources.get(self.source).text;
        let lines: Vec<_> = rendered.split('\n').take(line).collect();
        let place = match (line, lines.last()) {
            (1.., Some(wanted)) if lines.len() == line => {
                let same = |other: &str| other == wanted.trim_end();
                let again = lines.iter().filter(|line| same(line.trim_end())).count() - 1;
                nth_line(text, again, same).or_else(|| {
                    let name = attribute_name(wanted)?;
                    let again = lines.iter().filter(|line| attribute_name(line) == Some(name)).count() - 1;
                    nth_line(text, again, |line| attribute_name(line) == Some(name))
                        .or_else(|| nth_line(text, 0, |line| attribute_name(line) == Some(name)))
                })
            }
            _ => None,
        };
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (start, end) = place.unwrap_or((0, 0));
        Span { source: self.source, start: clamp(start), end: clamp(end) }.into()
    }
}

/// What stands before the colon of a line.
fn attribute_name(line: &str) -> Option<&str> {
    line.split_once(':').map(|(name, _)| name.trim()).filter(|name| !name.is_empty())
}

/// Start and end of the line of `text` that fits after `n` others that do, without its end.
fn nth_line(text: &str, n: usize, fits: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    let mut start = 0;
    text.split_inclusive('\n')
        .map(|line| {
            let from = start;
            start += line.len();
            (from, line.trim_end())
        })
        .filter(|(_, line)| fits(line))
        .nth(n)
        .map(|(from, line)| (from, from + line.len()))
}
