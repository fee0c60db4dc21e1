//! The rules of the source that neither the compiler nor clippy holds.

use std::fs;

use walkdir::WalkDir;

use crate::support::project::repository;

#[test]
fn files_are_small_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for root in ["src", "crates", "tests/it", "examples"] {
        for entry in WalkDir::new(repository().join(root)) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(repository()).unwrap().to_str().unwrap();
            if !path.ends_with(".rs") {
                continue;
            }
            let text = fs::read_to_string(entry.path()).unwrap();
            let lines = text.lines().count();
            let most = match path {
                "src/main.rs" => 39,
                // A row of cases is one idea, however long it gets.
                _ if path.starts_with("tests/") => 700,
                _ => 600,
            };
            if lines > most {
                faults.push(format!("{path}: {lines} lines, and {most} are the most"));
            }
            // Tests may hold what others say, and scripts.
            let is_test = path.starts_with("tests/") || path.contains("/tests");
            for (n, line) in text.lines().enumerate().filter(|(_, line)| line.chars().count() > 110) {
                // What has no space to break at stays whole.
                if !is_test && !line.trim_start().starts_with("r#") {
                    faults.push(format!(
                        "{path}:{}: {} columns, and 110 are the most",
                        n + 1,
                        line.chars().count()
                    ));
                }
            }
            if !text.starts_with("//!") {
                faults.push(format!("{path}: does not open with `//!` and its purpose"));
            }
        }
    }
    assert!(faults.is_empty(), "one idea for each file\n  {}", faults.join("\n  "));
}
