//! Whether the file that the server reads is the one that would be printed now.

use std::fs;
use std::path::PathBuf;

use super::finding::{Code, Findings};

/// Compares the first of the files that exists with the printed text, line by line; comments do not count.
pub(super) fn is_as_printed(places: &[PathBuf], printed: &str, found: &mut Findings) {
    let Some(first) = places.first() else { return };
    let print = "print it again with the options that fit this host (`otapress config`, without `--check`)";
    let Some((file, text)) = places.iter().find_map(|file| Some((file, fs::read_to_string(file).ok()?)))
    else {
        let message = format!("`{}` is not there, or may not be read", first.display());
        let mend = format!("{print}, or name its place with `--installed`");
        return found.add(Code::ConfigMissing, message, mend);
    };
    let mut wanted = lines(printed);
    let mut has = lines(&text);
    loop {
        let (n, has, wanted) = match (has.next(), wanted.next()) {
            (None, None) => return,
            (Some((_, has)), Some((_, wanted))) if has == wanted => continue,
            (Some((n, has)), wanted) => (Some(n), has, wanted.map_or("", |(_, line)| line)),
            (None, wanted) => (None, "", wanted.map_or("", |(_, line)| line)),
        };
        let place = n.map_or_else(|| "ends early".to_owned(), |n| format!("has `{has}` in line {n}"));
        let instead = if wanted.is_empty() { "nothing".to_owned() } else { format!("`{wanted}`") };
        let message = format!("`{}` {place}, where {instead} would be printed now", file.display());
        let mend = format!("if that was not on purpose, {print}");
        return found.add(Code::ConfigDiffers, message, mend);
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
