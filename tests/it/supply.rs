//! What otapress is built from: that nothing of it can move, what it needs to be built, and what a release
//! says about it. Licences, sources and advisories are for `cargo deny`, which `.ci/run` runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use walkdir::WalkDir;

use crate::support::project::repository;

#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.current_dir(repository()).env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn cargo(args: &[&str]) -> Value {
    // The plan of a build is not promised to look the same in the next version of cargo, which is why it has
    // to be asked for.
    let text = printed(Command::new(env!("CARGO")).args(args).env("RUSTC_BOOTSTRAP", "1"));
    serde_json::from_str(&text).unwrap()
}

fn lock_file() -> String {
    fs::read_to_string(repository().join("Cargo.lock")).unwrap()
}

/// A field of a package in Cargo.lock.
fn field<'a>(package: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = package.split_once(&format!("\n{key} = \""))?;
    rest.split('"').next()
}

/// Every package of the lock file has its checksum, so that the registry cannot give another one.
#[test]
fn the_lock_file_pins_everything() {
    let lock = lock_file();
    let packages: Vec<_> = lock.split("[[package]]").skip(1).collect();
    assert!(packages.len() > 100, "{}", packages.len());
    for package in packages {
        let is_ours = field(package, "name").is_some_and(|name| name.starts_with("otapress"));
        assert_eq!(field(package, "checksum").is_some(), !is_ours, "{package}");
    }
}

/// `1.95` as numbers that can be compared.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap()).collect()
}

#[test]
fn no_crate_needs_a_newer_rust_than_is_promised() {
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--all-features"]);
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &Value| package["rust_version"].as_str().map(str::to_owned);
    let ours = packages.iter().find(|package| package["name"] == "otapress").and_then(of).unwrap();
    let newer: Vec<_> = packages
        .iter()
        .filter_map(|package| Some((&package["id"], of(package)?)))
        .filter(|(_, version)| numbers(version) > numbers(&ours))
        .collect();
    assert!(newer.is_empty(), "{newer:#?}");
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    assert!(
        readme.contains(&format!("With Rust {ours} or newer")),
        "README.md names another one than {ours}"
    );
}

/// What cargo compiles for a program, and whether it ends up in it, by `name@version`.
fn compiled(program: &str, package: &str) -> BTreeMap<String, bool> {
    let build = ["build", "--release", "--locked", "-Zunstable-options", "--unit-graph"];
    let graph = cargo(&[&build[..], &["--package", package, "--bin", program]].concat());
    let units = graph["units"].as_array().unwrap();
    let index = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    // What runs while it is built is not in it: scripts, and macros that are programs.
    let is_linked = |unit: &Value| {
        let kinds = unit["target"]["kind"].as_array().unwrap();
        unit["mode"] == "build" && !kinds.iter().any(|kind| kind == "proc-macro" || kind == "custom-build")
    };
    let mut linked = BTreeSet::new();
    let mut next: Vec<_> = graph["roots"].as_array().unwrap().iter().map(index).collect();
    while let Some(at) = next.pop() {
        if is_linked(&units[at]) && linked.insert(at) {
            next.extend(
                units[at]["dependencies"].as_array().unwrap().iter().map(|unit| index(&unit["index"])),
            );
        }
    }
    let mut compiled = BTreeMap::new();
    for (at, unit) in units.iter().enumerate() {
        let id = name_and_version(unit["pkg_id"].as_str().unwrap());
        *compiled.entry(id).or_default() |= linked.contains(&at);
    }
    compiled.retain(|id, _| id.split('@').next() != Some(package));
    compiled
}

/// `name@version` of a package id, which leaves out the name where the package lies in a folder of that name.
fn name_and_version(id: &str) -> String {
    let (place, fragment) = id.rsplit_once('#').unwrap();
    if fragment.contains('@') {
        fragment.to_owned()
    } else {
        format!("{}@{fragment}", place.rsplit('/').next().unwrap())
    }
}

#[test]
fn package_ids_are_read_wherever_the_sources_lie() {
    let ids = [
        ("registry+https://github.com/rust-lang/crates.io-index#zip@9.8.1", "zip@9.8.1"),
        ("path+file:///somewhere/main#otapress@0.1.0", "otapress@0.1.0"),
        ("path+file:///somewhere/otapress#0.1.0", "otapress@0.1.0"),
        ("path+file:///somewhere/otapress/crates/core#otapress-core@0.1.0", "otapress-core@0.1.0"),
    ];
    for (id, expected) in ids {
        assert_eq!(name_and_version(id), expected);
    }
}

/// The programs, and the packages that hold them.
const PROGRAMS: [(&str, &str); 2] = [("otapress", "otapress"), ("otapress-cgi", "otapress-responder")];

fn sbom(program: &str, package: &str) -> String {
    printed(Command::new("packaging/sbom").args([program, package]))
}

/// The SBOM names what cargo compiles for that program, nothing less and nothing more, with the checksums of
/// the lock file.
#[test]
fn the_sbom_names_what_is_compiled() {
    let lock = lock_file();
    let checksums: BTreeMap<_, _> = lock
        .split("[[package]]")
        .filter_map(|package| {
            let id = format!("{}@{}", field(package, "name")?, field(package, "version")?);
            Some((id, field(package, "checksum")?))
        })
        .collect();
    for (program, package) in PROGRAMS {
        let text = sbom(program, package);
        assert_eq!(text, sbom(program, package), "printed twice, it is the same");
        assert!(!text.contains(repository().to_str().unwrap()), "{text}");
        let bom: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bom["metadata"]["component"]["name"], program);
        assert_eq!(bom["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        let mut named = BTreeMap::new();
        let mut references = BTreeSet::from([bom["metadata"]["component"]["bom-ref"].as_str().unwrap()]);
        for component in bom["components"].as_array().unwrap() {
            let text = |key: &str| component[key].as_str().unwrap();
            let id = format!("{}@{}", text("name"), text("version"));
            // Crates of this repository have none.
            assert_eq!(component["hashes"][0]["content"].as_str(), checksums.get(&id).copied(), "{id}");
            assert!(component["licenses"][0]["expression"].is_string(), "{id}");
            assert_eq!(text("purl"), format!("pkg:cargo/{}", id.replace('+', "%2B")));
            references.insert(text("bom-ref"));
            assert!(named.insert(id, text("scope") == "required").is_none());
        }
        assert_eq!(named, compiled(program, package), "{program}");
        // Who uses whom, for each of them once.
        let uses = bom["dependencies"].as_array().unwrap();
        let users: Vec<_> = uses.iter().map(|user| user["ref"].as_str().unwrap()).collect();
        assert_eq!(users.len(), references.len());
        assert_eq!(users.into_iter().collect::<BTreeSet<_>>(), references);
        for used in uses.iter().flat_map(|user| user["dependsOn"].as_array().unwrap()) {
            assert!(references.contains(used.as_str().unwrap()), "{used}");
        }
    }
}

/// What starts for every request has neither templates nor YAML nor an async runtime in it.
#[test]
fn the_cgi_program_is_made_of_little() {
    let [_, (program, package)] = PROGRAMS;
    let all = compiled(program, package);
    let names: BTreeSet<_> = all.keys().filter_map(|id| id.split('@').next()).collect();
    for heavy in ["tera", "serde-saphyr", "tokio", "hyper", "clap", "anyhow", "tracing", "rustls"] {
        assert!(!names.contains(heavy), "{heavy}");
    }
    assert!(names.contains("rusqlite") && names.len() < 60, "{names:?}");
}

/// What the sources of a crate embed, by its path in the package.
fn embedded(member: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for entry in WalkDir::new(member.join("src")).into_iter().map(Result::unwrap) {
        // Tests are not for those who only build the crate.
        if !entry.file_type().is_file() || entry.file_name() == "tests.rs" {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        let built = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for path in built.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let mut parts: Vec<_> = entry.path().parent().unwrap().components().collect();
            for part in Path::new(path).components() {
                match part {
                    Component::ParentDir => drop(parts.pop()),
                    part => parts.push(part),
                }
            }
            let file = parts.iter().collect::<PathBuf>();
            paths.insert(file.strip_prefix(member).unwrap().to_str().unwrap().to_owned());
        }
    }
    paths
}

/// `cargo package` puts everything that a crate needs into it, links as the files that they lead to.
#[test]
fn packages_hold_what_they_need() {
    let target = tempfile::tempdir().unwrap();
    let dir = target.path().to_str().unwrap();
    let options =
        ["--workspace", "--no-verify", "--offline", "--locked", "--allow-dirty", "--target-dir", dir];
    printed(Command::new(env!("CARGO")).arg("package").args(options));
    let metadata = cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"]);
    for package in metadata["packages"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap();
        let (name, version) = (text("name"), text("version"));
        let archive = target.path().join(format!("package/{name}-{version}.crate"));
        printed(Command::new("tar").args(["-xzf", archive.to_str().unwrap(), "-C", dir]));
        let unpacked = target.path().join(format!("{name}-{version}"));
        let member = Path::new(text("manifest_path")).parent().unwrap();
        let mut needed = embedded(member);
        needed.extend(["README.md", "LICENSE-APACHE", "LICENSE-MIT"].map(String::from));
        for path in needed {
            let file = unpacked.join(&path);
            assert!(file.symlink_metadata().is_ok_and(|found| found.is_file()), "{name} lacks {path}");
            assert!(fs::read(file).unwrap() == fs::read(member.join(&path)).unwrap(), "{name}: {path}");
        }
        assert!(!unpacked.join("proptest-regressions").exists(), "{name}: what tests remember is packaged");
        assert!(!package["keywords"].as_array().unwrap().is_empty(), "{name} has no keywords");
        assert!(!package["categories"].as_array().unwrap().is_empty(), "{name} has no categories");
    }
}

/// Each crate of a program is named with its licence, and a text where it has one.
#[test]
fn notices_are_given_for_every_crate() {
    let dir = tempfile::tempdir().unwrap();
    let mut linked = BTreeSet::new();
    let mut files = Vec::new();
    for (program, package) in PROGRAMS {
        let file = dir.path().join(program);
        fs::write(&file, sbom(program, package)).unwrap();
        files.push(file);
        let all = compiled(program, package);
        let others = all.into_iter().filter(|(id, linked)| *linked && !id.starts_with("otapress"));
        linked.extend(others.map(|(id, _)| id.replace('@', "-")));
    }
    let notices = printed(Command::new("packaging/notices").args(&files));
    let words: BTreeSet<_> = notices.split_whitespace().map(|word| word.trim_end_matches(':')).collect();
    let missing: Vec<_> = linked.iter().filter(|id| !words.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!notices.contains(Path::new(env!("CARGO_MANIFEST_DIR")).to_str().unwrap()));
}
