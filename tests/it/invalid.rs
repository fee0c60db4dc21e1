//! Fleets with mistakes, and exactly what is said of each.
//!
//! `tests/invalid/<topic>/` is a fleet directory; `expected.txt` in it is what `otapress check` prints to the
//! standard error. `expected.json` and the like are what the other formats print. `UPDATE_GOLDEN=1` rewrites
//! them (and fails).

use std::collections::BTreeSet;
use std::fs;

use otapress_publish::diag::{Code, Severity};

use crate::support::project::{Project, against_golden, directories, repository};

#[test]
fn mistakes_are_told_exactly() {
    let dirs = directories(&repository().join("tests/invalid"));
    assert!(dirs.len() >= 60, "{}", dirs.len());
    let mut wrong = String::new();
    for dir in dirs {
        let project = Project::copy_of(&dir);
        let ran = project.run("check");
        wrong += &against_golden(&ran.stderr, &dir.join("expected.txt")).unwrap_or_default();
        let (errors, warnings) = (count(&ran.stderr, "error"), count(&ran.stderr, "warning"));
        let status = i32::from(errors > 0);
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                wrong += &format!("{}: {what}\n", dir.display());
            }
        };
        claim(ran.status == status && ran.stdout.is_empty(), "the exit code is 1 for errors alone");
        claim(errors + warnings > 0, "something is wrong with it");
        claim(project.run("check --strict -q").status == 1, "a warning fails under --strict");
        // What `check` refuses, `build` does not publish.
        let before = project.out_or_nothing();
        let built = project.run("build -q").status;
        claim(built == status, "`build` agrees with `check`");
        claim(errors == 0 || project.out_or_nothing() == before, "nothing is published");
        for format in ["json", "github", "gitlab", "junit"] {
            let path = dir.join(format!("expected.{format}"));
            if path.exists() {
                let ran = project.run(&format!("check --format {format}"));
                if (ran.status, &*ran.stderr) != (status, "") {
                    wrong += &format!("{}: {ran:?}\n", path.display());
                }
                wrong += &against_golden(&ran.stdout, &path).unwrap_or_default();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The lines that start a diagnostic: `path:LINE:COL: severity[code]: message`.
fn first_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.contains(": error[") || line.contains(": warning["))
}

fn count(text: &str, severity: &str) -> usize {
    first_lines(text).filter(|line| line.contains(&format!(": {severity}["))).count()
}

#[test]
fn every_code_occurs_and_every_message_has_the_form() {
    let mut seen = BTreeSet::new();
    let of = |kind: &str| directories(&repository().join(kind)).into_iter();
    let expected = of("tests/invalid").chain(of("tests/import")).map(|dir| dir.join("expected.txt"));
    // The goldens of bad_jars.rs, diff.rs and signing.rs.
    let others = ["bad-jars.txt", "doubtful-jars.txt", "regressions.txt", "signing.txt"];
    let others = others.map(|name| repository().join("tests").join(name));
    for dir in expected.chain(others) {
        let text = fs::read_to_string(&dir).unwrap();
        for line in first_lines(&text) {
            let (place, rest) = line.split_once(": ").unwrap();
            let [path, row, column] = place.rsplitn(3, ':').collect::<Vec<_>>()[..] else {
                panic!("{}: {line}", dir.display());
            };
            let (path, column) = (column, path);
            assert!(!path.is_empty(), "{line}");
            assert!(row.parse::<u32>().unwrap() > 0 && column.parse::<u32>().unwrap() > 0, "{line}");
            let (severity, rest) = rest.split_once('[').unwrap();
            let (code, message) = rest.split_once("]: ").unwrap();
            let code = Code::all().find(|known| known.as_str() == code).unwrap();
            assert_eq!(severity, code.severity().to_string());
            assert!(!message.ends_with('.') && !message.starts_with("error"), "{line}");
            seen.insert(code);
        }
    }
    let unseen: Vec<_> = Code::all().filter(|code| !seen.contains(code)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
    assert!(seen.iter().any(|code| code.severity() == Severity::Warning));
}

#[test]
fn twenty_mistakes_are_named_in_one_run() {
    let dir = repository().join("tests/invalid/twenty-mistakes");
    let text = Project::copy_of(&dir).run("check").stderr;
    let lines: BTreeSet<_> = first_lines(&text).collect();
    let codes: BTreeSet<_> =
        lines.iter().map(|line| line.split_once('[').unwrap().1.split_once(']').unwrap().0).collect();
    assert_eq!(lines.len(), 20, "{text}");
    assert_eq!(codes.len(), 20, "{codes:?}");
}
