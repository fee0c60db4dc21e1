//! docs/threats.md: every test that it names exists.

use std::fs;

use crate::support::project::repository;

/// `module::…::test` of tests/it, or `crate::module::…::test` of a crate below crates/.
fn exists(name: &str) -> bool {
    let (module, test) = name.rsplit_once("::").unwrap();
    let path = module.replace("::", "/");
    let (first, below) = path.split_once('/').unwrap_or((&path, ""));
    let outer = below.strip_suffix("/tests").unwrap_or(below);
    let sources = format!("crates/{first}/src");
    [
        format!("tests/it/{path}.rs"),
        format!("{sources}/{below}.rs"),
        format!("{sources}/{outer}.rs"),
        format!("{sources}/{outer}/mod.rs"),
        format!("crates/{first}/tests/{below}.rs"),
    ]
    .iter()
    .filter_map(|file| fs::read_to_string(repository().join(file)).ok())
    .any(|text| text.contains(&format!("fn {test}(")))
}

#[test]
fn every_defence_has_its_test() {
    let text = fs::read_to_string(repository().join("docs/threats.md")).unwrap();
    let names: Vec<_> = text.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains("::")).collect();
    assert!(names.len() >= 40, "{}", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
