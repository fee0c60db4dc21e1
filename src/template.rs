//! The JAD template: where it comes from, what it is given, and what its mistakes look like.
//!
//! A template sees
//! - `device.clientID`, `device.imei`, `device.group`, `device.tid` (the last two may be undefined). A template that uses `device` is rendered for
//!   every device, any other once for each release;
//! - `release.version` (as in the manifest), `release.sha256`;
//! - `manifest["<attribute>"]`: the attributes of the JAR's manifest, verbatim;
//! - `midlets`: a list of `number` and `value` for every `MIDlet-<n>` of the manifest;
//! - `jar.url` and `jar.size`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tera::{Context, ErrorKind, Tera};

use crate::catalog::Entry;
use crate::diag::{Code, Diagnostic, Place, SourceId, Sources, Span};
use crate::fleet::{Device, Fleet, Midlet};

/// The templates that are built in, by name.
const BUILT_IN: &[(&str, &str)] = &[("OwnTracks.jad", include_str!("../templates/OwnTracks.jad"))];

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    tera: Tera,
    source: SourceId,
    per_device: bool,
}

/// The one name under which a template is kept.
const NAME: &str = "jad";

/// Finds the template in templates/ in `dir`, where fleet.yaml is, else among those that are built in, and parses it.
///
/// # Errors
/// If there is none, it cannot be read, or it cannot be parsed.
pub fn load(dir: &Path, midlet: &Midlet, sources: &mut Sources) -> Result<Template, Diagnostic> {
    let (path, text) = read(dir, &midlet.template, midlet.template_span.into())?;
    parse(path, text, sources)
}

fn read(dir: &Path, name: &str, named_at: Place) -> Result<(PathBuf, String), Diagnostic> {
    let path = dir.join("templates").join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
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
        Err(error) => {
            Err(Diagnostic::new(Code::Template, &*path, format!("the template cannot be read: {error}")))
        }
    }
}

fn parse(path: PathBuf, text: String, sources: &mut Sources) -> Result<Template, Diagnostic> {
    let mut tera = Tera::default();
    // A JAD is no HTML.
    tera.autoescape_on(Vec::<&str>::new());
    let result = tera.add_raw_template(NAME, &text);
    let source = sources.add(path, text);
    result.map_err(|error| diagnose(&error, source, sources))?;
    // What asks for the whole context may ask for the device.
    let per_device = tera
        .get_template_variables(NAME)
        .map_or(true, |names| names.contains("device") || names.contains("__tera_context"));
    Ok(Template { tera, source, per_device })
}

/// The error at its place in the template, without the excerpt that Tera adds.
fn diagnose(error: &tera::Error, source: SourceId, sources: &Sources) -> Diagnostic {
    let len = sources.get(source).text.len();
    let (range, message) = match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            (report.span().range.clone(), report.message().to_owned())
        }
        _ => (0..0, error.to_string()),
    };
    let clamp = |n: usize| u32::try_from(n.min(len)).unwrap_or(u32::MAX);
    let span = Span { source, start: clamp(range.start), end: clamp(range.end) };
    Diagnostic::new(Code::Template, span, format!("the template fails: {}", lower_first(&message)))
        .hint("the context is `device`, `release`, `manifest`, `midlets` and `jar`: see the README")
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
            self.tera.render(NAME, &context)
        } else {
            self.tera.render(NAME, &values.0)
        };
        rendered.map_err(|error| diagnose(&error, self.source, sources))
    }

    /// The place in the template of what became a line (from 1) of `rendered`: the line that starts with the same
    /// attribute name, else the whole template.
    pub fn place_of(&self, rendered: &str, line: usize, sources: &Sources) -> Place {
        let source = sources.get(self.source);
        let name = rendered
            .split(['\n', '\r'])
            .nth(line.wrapping_sub(1))
            .and_then(|line| line.split_once(':'))
            .map(|(name, _)| name.trim());
        let mut start = 0;
        for template_line in source.text.split_inclusive('\n') {
            let text = template_line.trim_end();
            if name.is_some_and(|name| !name.is_empty() && text.trim_start().starts_with(name)) {
                let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                return Span { source: self.source, start: clamp(start), end: clamp(start + text.len()) }
                    .into();
            }
            start += template_line.len();
        }
        Span { source: self.source, start: 0, end: 0 }.into()
    }
}
