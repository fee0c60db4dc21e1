//! Patterns of file names, as the fleet file names inventories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};
use walkdir::{DirEntry, WalkDir};

use super::{FileErrorKind, Reach};
use crate::clutter::is_clutter;

/// The longest pattern, in bytes, and the most `*` in it: others take long to compare.
const LONGEST: usize = 1_000;
const MAX_STARS: usize = 16;

/// The most files and directories that are looked at for one pattern.
pub const MAX_ENTRIES: usize = 100_000;

/// The most links to directories: two in each of some directories are as many paths as one likes.
const MAX_LINKS: usize = 1_000;

/// The depth to which `**` leads.
const MAX_DEPTH: usize = 16;

/// `*` stands for no hidden file, and for no `/`.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Why a pattern names no files.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    /// It cannot be read.
    #[error("is not a pattern of file names")]
    Pattern(#[source] PatternError),
    /// It is longer than [`LONGEST`].
    #[error("is longer than {LONGEST} bytes")]
    TooLong,
    /// It has more than [`MAX_STARS`].
    #[error("has more than {MAX_STARS} `*`")]
    TooManyStars,
    /// More than [`MAX_ENTRIES`] lie below the directory that it begins with.
    #[error("leads to more than {MAX_ENTRIES} files and directories")]
    TooMany,
    /// A directory of it cannot be read or lies elsewhere.
    #[error("leads to `{}`, which {kind}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        kind: FileErrorKind,
    },
}

/// The files that a pattern in a file in `dir` names, sorted. Links are followed as far as `reach` goes.
///
/// # Errors
/// If it is not a pattern, or leads too far.
pub fn files(reach: &Reach, dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, GlobError> {
    if pattern.len() > LONGEST {
        return Err(GlobError::TooLong);
    }
    if pattern.matches('*').count() > MAX_STARS {
        return Err(GlobError::TooManyStars);
    }
    let (base, rest) = split(pattern);
    let base = dir.join(base);
    if rest.as_os_str().is_empty() {
        // A file by its name: what is wrong with it is said when it is read.
        return Ok(if base.symlink_metadata().is_ok() { vec![base] } else { Vec::new() });
    }
    let parse = |text: &OsStr| Pattern::new(&text.to_string_lossy()).map_err(GlobError::Pattern);
    let (pattern, name) = (parse(rest.as_os_str())?, parse(rest.file_name().unwrap_or_default())?);
    let failed = |path: &Path, kind| GlobError::Directory { path: path.into(), kind };
    let root = if base.as_os_str().is_empty() { Path::new(".") } else { &base };
    match reach.admit(root) {
        Err(FileErrorKind::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Vec::new());
        }
        admitted => drop(admitted.map_err(|kind| failed(root, kind))?),
    }
    let is_deep = rest.components().any(|component| component.as_os_str() == "**");
    let depth = if is_deep { MAX_DEPTH } else { rest.components().count() };
    let (mut files, mut links) = (Vec::new(), 0);
    let entries = WalkDir::new(root).max_depth(depth).follow_links(true).into_iter();
    // No wildcard stands for what is hidden, such as the objects of git.
    let entries = entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry));
    for (seen, entry) in entries.enumerate() {
        if seen >= MAX_ENTRIES {
            return Err(GlobError::TooMany);
        }
        // What cannot be looked at, or is a link to nothing or to a directory above, is no file.
        let Ok(entry) = entry else { continue };
        let below = entry.path().strip_prefix(root).unwrap_or(entry.path());
        if !entry.file_type().is_dir() {
            // Most files are told apart by their names alone, which is fast.
            if name.matches_path_with(Path::new(entry.file_name()), OPTIONS)
                && pattern.matches_path_with(below, OPTIONS)
                && !entry.file_name().to_str().is_some_and(is_clutter)
            {
                files.push(base.join(below));
            }
        } else if entry.path_is_symlink() {
            reach.admit(entry.path()).map_err(|kind| failed(entry.path(), kind))?;
            links += 1;
            if links > MAX_LINKS {
                return Err(GlobError::TooMany);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_bytes().starts_with(b".")
}

/// The directories of a pattern in which nothing stands for anything else, and what follows them.
fn split(pattern: &str) -> (PathBuf, PathBuf) {
    let is_plain =
        |component: &Component<'_>| !component.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let mut components = Path::new(pattern).components().peekable();
    let mut base = PathBuf::new();
    while let Some(component) = components.next_if(is_plain) {
        base.push(component);
    }
    (base, components.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn named(dir: &Path, pattern: &str) -> Result<Vec<String>, String> {
        let reach = Reach::new(&dir.join("fleet.yaml"), &[]);
        let relative = |path: PathBuf| path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
        files(&reach, dir, pattern)
            .map(|files| files.into_iter().map(relative).collect())
            .map_err(|error| error.to_string().replace(&format!("{}/", dir.display()), ""))
    }

    fn some(names: &[&str]) -> Result<Vec<String>, String> {
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn files_are_named_as_a_shell_does() {
        let all = tempfile::tempdir().unwrap();
        let dir = &all.path().join("fleet");
        fs::create_dir_all(dir.join("a/b")).unwrap();
        for name in ["x.csv", "y.csv", "a/x.csv", "a/b/z.csv", ".hidden.csv", "._x.csv", "x.txt", "[1].csv"] {
            fs::write(dir.join(name), "").unwrap();
        }
        symlink("a", dir.join("link")).unwrap();
        assert_eq!(named(dir, "*.csv"), some(&["[1].csv", "x.csv", "y.csv"]));
        assert_eq!(named(dir, "x.csv"), some(&["x.csv"]));
        assert_eq!(named(dir, "./a/?.csv"), some(&["a/x.csv"]));
        assert_eq!(named(dir, "link/*.csv"), some(&["link/x.csv"]));
        assert_eq!(named(dir, "*/*/*.csv"), some(&["a/b/z.csv", "link/b/z.csv"]));
        assert_eq!(named(dir, "a/**/*.csv"), some(&["a/b/z.csv", "a/x.csv"]));
        assert_eq!(named(dir, "[[]1].csv"), some(&["[1].csv"]));
        assert_eq!(named(dir, "nothing/*.csv"), some(&[]));
        assert_eq!(named(dir, "nothing.csv"), some(&[]));
        assert_eq!(named(dir, "[x"), Err("is not a pattern of file names".into()));
    }

    #[test]
    fn no_pattern_leads_far() {
        let all = tempfile::tempdir().unwrap();
        let dir = &all.path().join("fleet");
        fs::create_dir_all(dir.join("a")).unwrap();
        fs::write(dir.join("a").join("a".repeat(250)), "").unwrap();
        fs::write(all.path().join("secret.csv"), "").unwrap();
        let outside = |path: &str| {
            Err(format!("leads to `{path}`, which lies outside the directory of the fleet file"))
        };
        assert_eq!(named(dir, "/*/self/environ"), outside("/"));
        assert_eq!(named(dir, "../*.csv"), outside(".."));
        // A file by its name is refused when it is read.
        assert_eq!(named(dir, "/proc/self/environ"), some(&["/proc/self/environ"]));
        assert_eq!(named(dir, &"?".repeat(LONGEST + 1)), Err("is longer than 1000 bytes".into()));
        assert_eq!(named(dir, &"*a".repeat(MAX_STARS + 1)), Err("has more than 16 `*`".into()));
        assert_eq!(named(dir, &("a/".to_owned() + &"*a".repeat(MAX_STARS) + "b")), some(&[]));
        assert_eq!(named(dir, &("**/".repeat(MAX_STARS / 2) + "b")), some(&[]));
        // Links that lead in circles, and links that double the paths at each step.
        symlink(".", dir.join("a/loop")).unwrap();
        for n in 0..20 {
            fs::create_dir(dir.join(format!("d{n}"))).unwrap();
            for link in ["x", "y"] {
                symlink(format!("../d{}", n + 1), dir.join(format!("d{n}/{link}"))).unwrap();
            }
        }
        fs::create_dir(dir.join("d20")).unwrap();
        assert_eq!(named(dir, "**/*.csv"), Err("leads to more than 100000 files and directories".into()));
        symlink("..", dir.join("up")).unwrap();
        assert_eq!(named(dir, "*/*.csv"), outside("up"));
    }
}
