//! The README and the book in `docs/`: links lead somewhere, commands exist with their options, and fleets
//! are good.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::support::process::{self, Serve};
use crate::support::project::{Project, make_jar, repository};

/// Every text that people read on their way through the repository, by its path.
pub(crate) fn texts() -> Vec<PathBuf> {
    let dirs = [
        ".",
        "docs",
        "fuzz",
        "crates/core",
        "crates/devices",
        "crates/publish",
        "crates/responder",
        "crates/simulation",
    ];
    let mut paths: Vec<_> = dirs
        .iter()
        .flat_map(|dir| fs::read_dir(repository().join(dir)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    assert!(paths.len() > 20, "{paths:?}");
    paths
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// The anchors of a text's headings, as forges and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if !fenced && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}

/// Where the links of a text lead, but for those to other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.is_empty())
}

/// `a/b/../c` is `a/c`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

/// The links that lead to no file or no heading.
fn broken_links(texts: &[PathBuf]) -> Vec<String> {
    let mut broken = Vec::new();
    for path in texts {
        let text = read(path);
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => normal(&path.parent().unwrap().join(file)),
            };
            let found = target.exists() && (anchor.is_empty() || anchors(&read(&target)).contains(anchor));
            if !found {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    broken
}

#[test]
fn links_lead_to_files_and_headings() {
    assert_eq!(broken_links(&texts()), [""; 0]);
}

/// The pages that a summary names, and those that there are.
fn named_and_there(docs: &Path) -> (Vec<String>, Vec<String>) {
    let summary = read(&docs.join("SUMMARY.md"));
    let mut named: Vec<_> = links(&summary).map(String::from).collect();
    named.sort();
    let pages = fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<_> = pages.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    pages.sort();
    (named, pages)
}

#[test]
fn the_summary_names_every_page_once() {
    let (named, pages) = named_and_there(&repository().join("docs"));
    assert_eq!(named, pages);
}

/// What `make book` builds and the package holds: nothing there links to what is not there.
#[test]
fn the_book_is_whole_by_itself() {
    let copy = tempfile::tempdir().unwrap();
    let made = Command::new(repository().join("packaging/book-source")).arg(copy.path()).status();
    assert!(made.unwrap().success());
    let (named, pages) = named_and_there(copy.path());
    assert_eq!(named, pages);
    let texts: Vec<_> = pages.iter().map(|page| copy.path().join(page)).collect();
    assert_eq!(broken_links(&texts), [""; 0]);
    for path in texts {
        let text = read(&path);
        let leads_out = |link: &&str| !normal(&path.parent().unwrap().join(link)).starts_with(copy.path());
        assert_eq!(links(&text).filter(leads_out).collect::<Vec<_>>(), [""; 0], "{}", path.display());
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read(&repository().join("README.md")).lines().count();
    assert!(lines <= 180, "{lines}");
}

/// The fenced blocks of a text, by their language.
pub(crate) fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let fence = line.trim_start();
        let indent = line.len() - fence.len();
        if let Some(language) = fence.strip_prefix("```") {
            let inside: Vec<_> = lines
                .by_ref()
                .take_while(|line| line.trim_start() != "```")
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect();
            blocks.push((language, inside.join("\n")));
        }
    }
    blocks
}

/// The words of every call of otapress in a block of shell commands, up to the first word of the shell.
pub(crate) fn calls(block: &str) -> Vec<Vec<String>> {
    let joined = block.replace("\\\n", " ");
    let mut calls = Vec::new();
    for line in joined.lines() {
        let line = line.split(" #").next().unwrap_or_default();
        for part in line.split("&&").flat_map(|part| part.split('|')) {
            let part = part.trim();
            let part = part.strip_prefix("sudo ").unwrap_or(part);
            if let Some(words) = part.strip_prefix("otapress ") {
                let words = words.split_whitespace().take_while(|word| !word.starts_with(['>', '<', ';']));
                calls.push(words.map(|word| word.trim_matches(['"', '\'']).to_owned()).collect());
            }
        }
    }
    calls
}

/// `--help` behind them makes the command line itself be looked at, and nothing be done.
#[test]
fn commands_exist_with_their_options() {
    let project = Project::empty();
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for path in texts() {
        if path.ends_with("CHANGELOG.md") {
            continue;
        }
        let text = read(&path);
        for (_, block) in blocks(&text).iter().filter(|(language, _)| *language == "sh") {
            for call in calls(block) {
                let ran = project.run(&format!("{} --help", call.join(" ")));
                looked_at += 1;
                if ran.status != 0 {
                    wrong.push(format!("{}: {}: {}", path.display(), call.join(" "), ran.stderr));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(looked_at > 60, "{looked_at}");
}

#[test]
fn whole_fleets_are_good() {
    let mut fleets = 0;
    for path in texts() {
        let text = read(&path);
        for (_, block) in blocks(&text).iter().filter(|(language, _)| *language == "yaml") {
            if block.lines().any(|line| line.starts_with("site:")) {
                fleets += 1;
                let project = Project::new(block);
                let ran = project.run("check --strict -q");
                assert_eq!((ran.status, &*ran.stderr), (0, ""), "{}:\n{block}", path.display());
            }
        }
    }
    assert!(fleets >= 3, "{fleets}");
}

#[test]
fn the_quickstart_is_three_commands() {
    follow_the_quickstart(process::otapress(["serve"]), &path());
}

/// From nothing to a served fleet in the three commands of the README, with nothing but the program, which is
/// first in the path, and a JAR. The last command is `serve`.
pub(crate) fn follow_the_quickstart(mut serve: Command, path: &str) {
    let text = read(&repository().join("README.md"));
    let (_, after) = text.split_once("## A first fleet\n").unwrap();
    let (_, block) = blocks(after).into_iter().next().unwrap();
    let lines: Vec<_> = block.lines().collect();
    let [init, add, last] = lines[..] else { panic!("{block}") };
    assert!(init.ends_with(" && cd fleet") && last.starts_with("otapress serve "), "{block}");
    let project = Project::empty().file("OwnTracks.jar", make_jar("0.10.65", "good"));
    for (line, dir) in [(init, ""), (add, "fleet")] {
        let mut command = Command::new("/bin/sh");
        command.args(["-euc", line]).current_dir(project.path(dir)).env_clear().env("PATH", path);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }
    serve.args(["--listen", "127.0.0.1:0"]).current_dir(project.path("fleet"));
    let serve = Serve::start(serve).unwrap_or_else(|ended| panic!("{ended:?}"));
    assert_eq!(serve.get("/files/dev1/OwnTracks.jad").status, 200);
    assert!(project.path("fleet/out/otapress.json").exists(), "it is published beside the fleet");
}

/// Where the programs under test come before all others.
fn path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_otapress")).parent().unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

/// Every command of the tutorial but for those that wait for somebody.
#[test]
fn the_tutorial_works_as_it_is_written() {
    let text = read(&repository().join("docs/first-fleet.md"));
    let blocks = blocks(&text);
    let (_, fleet) = blocks.iter().find(|(language, _)| *language == "yaml").unwrap();
    let project = Project::empty()
        .file("fleet.yaml", fleet)
        .file("OwnTracks.jar", make_jar("0.10.65", "good"))
        .file("OwnTracks-0.10.66.jar", make_jar("0.10.66", "good"));
    let mut ran = 0;
    for (_, block) in blocks.iter().filter(|(language, block)| *language == "sh" && !block.contains("8810")) {
        for line in block.lines().filter(|line| *line != "otapress serve") {
            let output = Command::new("bash")
                .args(["-euc", line])
                .current_dir(project.path(""))
                .env("PATH", path())
                .env_remove("OTAPRESS_STATE")
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
            ran += 1;
        }
    }
    assert!(ran >= 9, "{ran}");
    assert!(project.read("out/files/dev1/OwnTracks.jad").contains("MIDlet-Version: 0.10.65\n"));
    assert!(project.read("fleet.yaml").contains("withdrawn:\n  0.10.66: "), "the way back");
}
