//! The inputs of a build as a rule for make: `build --depfile`.
//!
//! ```text
//! release.stamp: \
//!   devices \
//!   devices/vans.csv \
//!   fleet.yaml
//!
//! devices:
//! …
//! ```
//! The file `release.stamp.d` holds the rule for `release.stamp`. A rule of its own for each input lets make
//! go on when one of them has vanished.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::files::replace;

/// A rule that is ready to be written.
#[derive(Debug)]
pub(crate) struct Depfile<'a> {
    file: &'a Path,
    text: String,
}

impl<'a> Depfile<'a> {
    /// The rule for `file` without its `.d`. `busy` are directories that the build itself changes: they are
    /// never older than what it makes, so new files in them are not noticed.
    pub(crate) fn new(file: &'a Path, inputs: &BTreeSet<PathBuf>, busy: &[&Path]) -> anyhow::Result<Self> {
        let target = file.to_str().and_then(|name| name.strip_suffix(".d"));
        let Some(target) = target.filter(|name| !name.is_empty() && !name.ends_with('/')) else {
            bail!(
                "the name of a depfile ends in `.d`, and its rule is for the name without it: `{}` does not",
                file.display()
            );
        };
        let busy: Vec<_> = busy.iter().filter_map(|dir| real(dir)).collect();
        // Missing inputs, such as an optional template, are left out.
        let there = inputs.iter().filter(|input| real(input).is_some_and(|input| !busy.contains(&input)));
        let names = there.map(|input| escape(input)).collect::<anyhow::Result<Vec<_>>>()?;
        let mut text = escape(target.as_ref())? + ":";
        for name in &names {
            text += &format!(" \\\n  {name}");
        }
        text += "\n";
        for name in &names {
            text += &format!("\n{name}:\n");
        }
        Ok(Depfile { file, text })
    }

    /// Writes it, whole or not at all.
    pub(crate) fn write(self) -> anyhow::Result<()> {
        replace(self.file, self.text.as_bytes())
    }
}

/// A path without links in it; none if it does not exist.
fn real(path: &Path) -> Option<PathBuf> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    path.canonicalize().ok()
}

/// A name as GNU make reads it in a rule.
fn escape(name: &Path) -> anyhow::Result<String> {
    let unfit = || format!("no makefile can hold the name `{}`: rename it", name.display());
    let text = name.to_str().with_context(unfit)?;
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '$' => escaped += "$$",
            ' ' | '#' | ':' | '*' | '?' | '[' => escaped.extend(['\\', c]),
            '\\' | '%' | ';' | '=' | '|' => bail!(unfit()),
            '~' if escaped.is_empty() => bail!(unfit()),
            c if c.is_control() => bail!(unfit()),
            c => escaped.push(c),
        }
    }
    Ok(escaped)
}
