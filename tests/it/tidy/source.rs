//! The project's own source as the tidiness tests see it: without comments, without the insides of literals and
//! without what is compiled for tests alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src/`.
#[derive(Debug)]
pub struct Source {
    /// Its path below the package, such as `src/fleet/raw.rs`.
    pub path: String,
    /// Its module, such as `["fleet", "raw"]`; none for the roots of the binaries and the library.
    pub module: Vec<String>,
    /// The text without comments, literals and test code.
    pub code: String,
    /// The modules that it declares for tests only.
    test_modules: Vec<String>,
}

impl Source {
    /// Reads a text that stands at `path`.
    pub fn new(path: &str, text: &str) -> Source {
        let (code, test_modules) = without_tests(&without_comments(text));
        Source { path: path.into(), module: module(path), code, test_modules }
    }

    /// Whether a path of identifiers, such as `fs::write`, stands in the code. An identifier is not found in the
    /// middle of another.
    pub fn mentions(&self, what: &str) -> bool {
        self.code.match_indices(what).any(|(at, _)| {
            let before = self.code[..at].chars().next_back();
            let after = self.code[at + what.len()..].chars().next();
            before.is_none_or(|c| !is_word(c)) && (!is_word_end(what) || after.is_none_or(|c| !is_word(c)))
        })
    }

    /// Every path from the crate's root that the code names: `use` trees and inline paths, `super` and `self` resolved.
    pub fn paths(&self) -> BTreeSet<Vec<String>> {
        let mut paths = BTreeSet::new();
        for (root, base) in
            [("crate", Vec::new()), ("super", parent(&self.module)), ("self", self.module.clone())]
        {
            let start = format!("{root}::");
            for (at, _) in self.code.match_indices(&start) {
                // The second `super` of a chain is part of the path that began with the first.
                let before = self.code[..at].chars().next_back();
                if before.is_none_or(|c| !is_word(c) && c != ':') {
                    expand(&self.code[at + start.len()..], base.clone(), &mut paths);
                }
            }
        }
        paths
    }
}

/// Every file of `src/`, but for those that hold tests alone.
pub fn all() -> Vec<Source> {
    let mut sources: Vec<_> = files("src")
        .iter()
        .map(|path| Source::new(path, &fs::read_to_string(package().join(path)).unwrap()))
        .collect();
    let for_tests: BTreeSet<Vec<String>> = sources
        .iter()
        .flat_map(|source| {
            source.test_modules.iter().map(|name| [&source.module[..], std::slice::from_ref(name)].concat())
        })
        .collect();
    sources.retain(|source| !for_tests.iter().any(|module| source.module.starts_with(module)));
    sources
}

/// Every Rust file below a directory of the package, sorted.
pub fn files(dir: &str) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&package().join(dir), &mut found);
    let mut files: Vec<_> =
        found.iter().map(|path| path.strip_prefix(package()).unwrap().to_str().unwrap().to_owned()).collect();
    files.sort();
    files
}

/// The directory of the package.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn module(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    match inside {
        "lib" | "main" => Vec::new(),
        _ if inside.starts_with("bin/") => Vec::new(),
        _ => inside.split('/').map(String::from).collect(),
    }
}

fn parent(module: &[String]) -> Vec<String> {
    module.split_last().map(|(_, parent)| parent.to_vec()).unwrap_or_default()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word_end(text: &str) -> bool {
    text.chars().next_back().is_some_and(is_word)
}

/// Adds what `rest` names below `base`: `a::b`, `a::{b, c::d}`, `super::a`.
fn expand(rest: &str, mut base: Vec<String>, paths: &mut BTreeSet<Vec<String>>) {
    let mut rest = rest.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            for item in items(group) {
                expand(item, base.clone(), paths);
            }
            return;
        }
        let word: String = rest.chars().take_while(|&c| is_word(c)).collect();
        rest = rest[word.len()..].trim_start();
        match word.as_str() {
            "" => break,
            "super" => base = parent(&base),
            "self" => {}
            _ => base.push(word),
        }
        match rest.strip_prefix("::") {
            Some(more) => rest = more.trim_start(),
            None => break,
        }
    }
    paths.insert(base);
}

/// The items of a group, up to its closing brace.
fn items(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..i]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// Drops comments and the insides of literals.
fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word_before = code.chars().next_back().is_some_and(is_word);
        let literal = if word_before { None } else { raw_string(rest) };
        let len = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(len) = literal {
            code += "\"\"";
            len
        } else if c == '"' {
            code += "\"\"";
            quoted(rest, '"')
        } else if c == '\'' && is_char_literal(rest) {
            code += "' '";
            quoted(rest, '\'')
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = &rest[len..];
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < text.len() {
        if text[i..].starts_with("/*") {
            (depth, i) = (depth + 1, i + 2);
        } else if text[i..].starts_with("*/") {
            (depth, i) = (depth - 1, i + 2);
            if depth == 0 {
                return i;
            }
        } else {
            i += text[i..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of a raw string at the start of `text`.
fn raw_string(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    inner[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let opened = text.len() - inner.len() + hashes + 1;
    Some(text[opened..].find(&end).map_or(text.len(), |at| opened + at + end.len()))
}

/// The length of what stands between two `quote`s, both included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return i + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether it is a character and not a lifetime.
fn is_char_literal(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    matches!((chars.next(), chars.next()), (Some('\\'), _) | (Some(_), Some('\'')))
}

/// Drops the items under `#[cfg(test)]`; gives the names of the modules among them, too.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const TEST: &str = "#[cfg(test)]";
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        kept += &rest[..at];
        let item = &rest[at + TEST.len()..];
        let end = item_end(item);
        let head = item[..end].split(['{', ';']).next().unwrap_or_default();
        if let Some((_, name)) = head.rsplit_once("mod ") {
            modules.push(name.trim().into());
        }
        rest = &item[end..];
    }
    (kept + rest, modules)
}

/// Where the first item ends: at its `;`, or at the brace that closes it.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (i, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            ';' if depth == 0 => return i + 1,
            _ => {}
        }
    }
    code.len()
}

mod tests {
    use super::*;

    fn paths(path: &str, text: &str) -> Vec<String> {
        Source::new(path, text).paths().iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let text = "use crate::{a::{self, b}, c};\nfn f() { crate::d::g(); super::super::h::<crate::i>() }";
        assert_eq!(paths("src/x/y.rs", text), ["a", "a::b", "c", "d::g", "h", "i"]);
        assert_eq!(
            paths("src/x/mod.rs", "use self::b; pub(crate) use super::{c, d::*};"),
            ["c", "d", "x::b"]
        );
        assert_eq!(
            paths(
                "src/main.rs",
                "// crate::a\n/* crate::b /* */ */ let s = (\"crate::c\", 'x', r#\"crate::d\"#);"
            ),
            [""; 0]
        );
    }

    #[test]
    fn test_code_does_not_count() {
        let text = "mod a;\n#[cfg(test)]\nmod tests {\n use crate::x; const S: &str = \"}\";\n}\n#[cfg(test)]\npub(crate) mod fixture;\nuse crate::y;";
        let source = Source::new("src/z/mod.rs", text);
        assert_eq!(paths("src/z/mod.rs", text), ["y"]);
        assert_eq!(source.test_modules, ["tests", "fixture"]);
    }

    #[test]
    fn words_are_whole() {
        let source = Source::new("src/z.rs", "fn f<'a>(x: &'a str) { std::fs::write(x); offs::writer(); }");
        assert!(source.mentions("fs::write"));
        assert!(!source.mentions("fs::writ"));
        assert!(!source.mentions("s::write"));
        assert!(source.mentions("offs::"));
    }
}
