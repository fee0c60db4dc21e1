//! How one release differs from another, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::words::{bytes, count, one_line};
use otapress_publish::jar::{AttributeChange, SuiteDiff};

/// How many classes or members of one kind people are shown.
const NAMED: usize = 20;

/// How many members of one class of an API people are shown.
const MEMBERS: usize = 5;

/// One difference: a mark (`+`, `-`, `~`), what it is about, and the name or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) mark: char,
    pub(crate) said: &'static str,
    pub(crate) value: String,
    /// What follows the value.
    pub(crate) more: String,
}

impl Line {
    /// What stands between the value and the rest.
    pub(crate) fn separator(&self) -> &'static str {
        match (self.value.is_empty() || self.more.is_empty(), self.said) {
            (true, _) => "",
            (false, "attribute") => ": ",
            (false, _) => " ",
        }
    }
}

/// The sizes in one sentence.
pub(crate) fn headline(diff: &SuiteDiff) -> String {
    let ((old, new), (before, after)) = (diff.sizes, diff.classes);
    let growth = match new.cmp(&old) {
        std::cmp::Ordering::Greater => format!("{} more", bytes(new - old)),
        std::cmp::Ordering::Less => format!("{} less", bytes(old - new)),
        std::cmp::Ordering::Equal => "as large".into(),
    };
    format!(
        "{} ({growth}), {} (before: {before})",
        bytes(new),
        count(after, "class").replace("classs", "classes")
    )
}

/// Everything else, what weighs most first.
pub(crate) fn lines(diff: &SuiteDiff) -> Vec<Line> {
    let line = |mark, said, value: &str, more: String| Line { mark, said, value: one_line(value), more };
    let mut lines = Vec::new();
    for (mark, permissions) in [('+', &diff.permissions_gained), ('-', &diff.permissions_lost)] {
        lines.extend(permissions.iter().map(|name| line(mark, "permission", name, String::new())));
    }
    for change in &diff.attributes {
        let (mark, more) = match (&change.old, &change.new) {
            (Some(old), Some(new)) => ('~', format!("{} → {}", one_line(old), one_line(new))),
            (None, Some(new)) => ('+', one_line(new)),
            (Some(old), None) => ('-', one_line(old)),
            (None, None) => continue,
        };
        lines.push(line(mark, "attribute", &change.name, more));
    }
    let apis = diff.apis_used.iter().map(|(class, members)| {
        let mut named: Vec<_> = members.iter().take(MEMBERS).map(|member| one_line(member)).collect();
        if members.len() > MEMBERS {
            named.push(format!("… and {} more", members.len() - MEMBERS));
        }
        line('+', "uses", class, named.join(", "))
    });
    lines.extend(limited(apis.collect(), "uses"));
    for (mark, classes) in
        [('+', &diff.classes_added), ('-', &diff.classes_removed), ('~', &diff.classes_changed)]
    {
        let all = classes.iter().map(|name| line(mark, "class", name, String::new())).collect();
        lines.extend(limited(all, "class"));
    }
    lines
}

/// The first of them, and how many more there are.
fn limited(mut lines: Vec<Line>, said: &'static str) -> Vec<Line> {
    // `and 1 more` is no shorter than the name.
    if lines.len() > NAMED + 1 {
        let more = format!("… and {} more", lines.len() - NAMED);
        let mark = lines[0].mark;
        lines.truncate(NAMED);
        lines.push(Line { mark, said, value: String::new(), more });
    }
    lines
}

/// For a terminal.
pub(crate) fn text(diff: &SuiteDiff) -> String {
    let (old, new) = &diff.versions;
    let mut text = format!("{} → {}: {}\n", one_line(old), one_line(new), headline(diff));
    let lines = lines(diff);
    if lines.is_empty() {
        text += "  nothing else differs\n";
    }
    for line in lines {
        let Line { mark, said, value, more } = &line;
        let _ = writeln!(text, "  {mark} {said} {value}{}{more}", line.separator());
    }
    text
}

/// For a comment on a merge request.
pub(crate) fn markdown(diff: &SuiteDiff) -> String {
    let (old, new) = &diff.versions;
    let plain = |text: &str| one_line(text).replace('`', "'").replace('|', "\\|");
    let mut text = format!("### {} → {}\n\n{}\n", plain(old), plain(new), headline(diff));
    let lines = lines(diff);
    if !lines.is_empty() {
        text += "\n| | | |\n|:-:|---|---|\n";
    }
    for line in lines {
        let mark = match line.mark {
            '+' => "➕",
            '-' => "➖",
            _ => "✏️",
        };
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{}`", plain(text)) };
        let (value, more) = (code(&line.value), code(&line.more));
        let _ = writeln!(text, "| {mark} | {} | {value}{}{more} |", line.said, line.separator());
    }
    text
}

/// Everything, for programs.
pub(crate) fn json(diff: &SuiteDiff) -> Value {
    let change = |of: &AttributeChange| json!({ "name": of.name, "before": of.old, "after": of.new });
    json!({
        "before": { "version": diff.versions.0, "size": diff.sizes.0, "classes": diff.classes.0 },
        "after": { "version": diff.versions.1, "size": diff.sizes.1, "classes": diff.classes.1 },
        "attributes": diff.attributes.iter().map(change).collect::<Vec<_>>(),
        "permissionsGained": diff.permissions_gained,
        "permissionsLost": diff.permissions_lost,
        "classesAdded": diff.classes_added,
        "classesRemoved": diff.classes_removed,
        "classesChanged": diff.classes_changed,
        "apisUsed": diff.apis_used,
    })
}
