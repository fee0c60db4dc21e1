//! The pages of the book that are made of the program: `docs/help.md` and `docs/diagnostics.md`. A new command,
//! option or code must appear there. `UPDATE_GOLDEN=1` rewrites them (and fails).

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use otapress_devices::probe;
use otapress_publish::diag::Code;
use strum::VariantArray as _;

use crate::support::project::{against_golden, directories, repository};

/// What `--help` prints of a command; `words` are those before it.
fn help(words: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otapress"));
    let output = command.args(words).arg("--help").env_remove("COLUMNS").output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split_once("\nCommands:\n").map_or("", |(_, rest)| rest);
    let lines = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(String::from).collect()
}

fn describe(words: &[String], page: &mut String) {
    let text = help(words);
    let trimmed: Vec<_> = text.lines().map(str::trim_end).collect();
    let name = ["otapress"].into_iter().chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let _ = writeln!(page, "\n## {name}\n\n```text\n{}\n```", trimmed.join("\n").trim_end());
    for command in commands(&text) {
        describe(&[words, &[command]].concat(), page);
    }
}

#[test]
fn the_help_is_in_the_book() {
    let mut page = "# The commands in full\n\nWhat `--help` prints of each; [Commands](commands.md) is the \
                    overview. This page is made by a test.\n"
        .to_owned();
    describe(&[], &mut page);
    assert!(page.matches("\n## otapress").count() > 25);
    let wrong = against_golden(&page, &repository().join("docs/help.md"));
    assert_eq!(wrong, None, "UPDATE_GOLDEN=1 cargo test --test it reference");
}

/// The diagnostics in an expected output, each with its source line and hint.
fn diagnostics(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let begins = line.contains(": error[") || line.contains(": warning[");
        let goes_on =
            line.starts_with(' ') || line.split_once(" |").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        if begins {
            found.push(line.to_owned());
        } else if let Some(last) = found.last_mut().filter(|_| inside && goes_on) {
            *last += "\n";
            *last += line.trim_end();
        }
        inside = begins || (inside && goes_on);
    }
    found
}

#[test]
fn every_diagnostic_is_in_the_book_with_an_example() {
    let of =
        |kind: &str| directories(&repository().join(kind)).into_iter().map(|dir| dir.join("expected.txt"));
    let goldens = ["bad-jars.txt", "doubtful-jars.txt", "regressions.txt", "signing.txt"];
    let goldens = goldens.map(|name| repository().join("tests").join(name));
    let examples: Vec<String> = of("tests/invalid")
        .chain(of("tests/import"))
        .chain(goldens)
        .flat_map(|path| diagnostics(&fs::read_to_string(path).unwrap()))
        .collect();
    let mut page = "# Diagnostics\n\nThe codes are stable: scripts and `midlet.allow` depend on them. Errors keep a fleet from \
                    being published; warnings fail under `--strict`. This page is made of what the tests hold.\n\n\
                    ## Of fleets, inventories and JARs\n"
        .to_owned();
    let mut codes: Vec<Code> = Code::all().collect();
    codes.sort_by_key(|code| code.as_str());
    for code in codes {
        let marker = format!("[{code}]: ");
        let example = examples.iter().filter(|example| example.lines().next().unwrap().contains(&marker));
        let example =
            example.min_by_key(|example| (example.len(), *example)).unwrap_or_else(|| panic!("{code}"));
        let _ = writeln!(page, "\n### {code}\n\n```text\n{example}\n```");
    }
    page += "\n## Of live sites\n\n`otapress probe` and `config … --check` print these, each with the exchange that shows it.\n\n\
             | Code | | How to mend it |\n|---|---|---|\n";
    let mut codes = probe::Code::VARIANTS.to_vec();
    codes.sort_by_key(ToString::to_string);
    for code in codes {
        let _ = writeln!(page, "| `{code}` | {} | {} |", code.severity(), code.mend());
    }
    let wrong = against_golden(&page, &repository().join("docs/diagnostics.md"));
    assert_eq!(wrong, None, "UPDATE_GOLDEN=1 cargo test --test it reference");
}
