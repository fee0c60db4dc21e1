//! Diagnostics for people (with the source line and a caret), for programs (JSON) and for GitHub's
//! annotations.

use std::fmt::Write as _;
use std::path::Path;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use super::json;
use super::words::one_line;
use otapress_publish::diag::{Code, Diagnostic, Place, Severity, Sources};

/// Where a diagnostic points, for people.
pub(super) struct At<'a> {
    pub path: &'a Path,
    pub line_column: Option<(usize, usize)>,
}

impl At<'_> {
    /// The line, for those who need one for a whole file, too.
    pub fn line(&self) -> usize {
        self.line_column.map_or(1, |(line, _)| line)
    }
}

pub(super) fn at<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> At<'a> {
    match &diagnostic.place {
        Place::Span(span) => {
            At { path: &sources.get(span.source).path, line_column: Some(sources.line_column(*span)) }
        }
        Place::File(path) => At { path, line_column: None },
    }
}

/// One diagnostic as text: `path:LINE:COL: error[code]: message`, then the source line and the hint. A whole
/// file is pointed at as `path:1:1`, so that every first line has the same form.
pub fn text(diagnostic: &Diagnostic, sources: &Sources, colour: bool) -> String {
    let At { path, line_column } = at(diagnostic, sources);
    let (line, column) = line_column.unwrap_or((1, 1));
    let severity = diagnostic.code.severity();
    let (bold, paint, reset) = match (colour, severity) {
        (false, _) => ("", "", ""),
        (true, Severity::Error) => ("\x1b[1m", "\x1b[1;31m", "\x1b[0m"),
        (true, Severity::Warning) => ("\x1b[1m", "\x1b[1;33m", "\x1b[0m"),
    };
    let mut text = format!(
        "{bold}{}:{line}:{column}:{reset} {paint}{}[{}]{reset}: {}\n",
        path.display(),
        severity,
        diagnostic.code,
        one_line(&diagnostic.message),
    );
    let hint = diagnostic.hint.as_deref().map(one_line);
    match &diagnostic.place {
        Place::Span(span) => {
            // One line shows the place; giving the renderer a huge file would make it search for lines.
            let source = sources.get(span.source);
            let (line, range) = source.line(span.start);
            let line_start = range.start;
            let excerpt = &source.text[range];
            let from = span.start as usize - line_start;
            let to = (span.end as usize).saturating_sub(line_start).clamp(from, excerpt.len());
            let level = match severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let snippet =
                Snippet::source(excerpt).line_start(line).annotation(AnnotationKind::Primary.span(from..to));
            let mut group = Group::with_level(level).element(snippet);
            if let Some(hint) = &hint {
                group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
            }
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            let _ = writeln!(text, "{}", renderer.render(&[group]));
        }
        Place::File(_) => {
            if let Some(hint) = hint {
                let _ = writeln!(text, "  = hint: {hint}");
            }
        }
    }
    text
}

#[derive(Serialize)]
struct View<'a> {
    code: Code,
    severity: Severity,
    message: &'a str,
    file: String,
    line: Option<usize>,
    column: Option<usize>,
    hint: Option<&'a str>,
}

/// All diagnostics as one JSON array with a line end.
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    let view = |diagnostic| {
        let At { path, line_column } = at(diagnostic, sources);
        View {
            code: diagnostic.code,
            severity: diagnostic.code.severity(),
            message: &diagnostic.message,
            file: path.display().to_string(),
            line: line_column.map(|(line, _)| line),
            column: line_column.map(|(_, column)| column),
            hint: diagnostic.hint.as_deref(),
        }
    };
    json::text(&diagnostics.iter().map(view).collect::<Vec<_>>())
}

/// One diagnostic as a workflow command of GitHub Actions, which shows it at the line of a merge request.
pub fn github(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let At { path, line_column } = at(diagnostic, sources);
    let (line, column) = line_column.unwrap_or((1, 1));
    let hint = diagnostic.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
    format!(
        "::{} file={},line={line},col={column},title={}::{}\n",
        diagnostic.code.severity(),
        escape(&path.display().to_string(), true),
        diagnostic.code,
        escape(&format!("{}{hint}", diagnostic.message), false),
    )
}

/// Escapes as GitHub's toolkit does.
fn escape(text: &str, property: bool) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    if property { text.replace(':', "%3A").replace(',', "%2C") } else { text }
}
