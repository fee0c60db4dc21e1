//! Judges the classes below a directory: `judge DIR [MIDLET…]`. tests/classes/libraries.sh runs it over real
//! libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use otapress_classfile::{CLASS_VERSION, Rules, judge};

#[expect(clippy::disallowed_methods, reason = "a program reads its arguments")]
fn main() -> std::io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((dir, midlets)) = args.split_first() else {
        eprintln!("usage: judge DIR [MIDLET…]");
        std::process::exit(2);
    };
    let mut files = Vec::new();
    read(Path::new(dir), Path::new(""), &mut files)?;
    files.sort();
    let entries: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let rules = Rules {
        midlets: midlets.iter().map(|midlet| ("MIDlet-1", midlet.as_str())).collect(),
        configuration_1_0: false,
        has_display: false,
        class_version: CLASS_VERSION,
        api: &[],
        allowed: &BTreeSet::new(),
    };
    let judgement = judge(&entries, &rules);
    for finding in &judgement.findings {
        println!("{} {}", finding.code, finding.message);
    }
    eprintln!("{} classes, {} findings", judgement.summary.classes.len(), judgement.findings.len());
    Ok(())
}

/// Reads every class below a directory; paths are those of a JAR.
fn read(dir: &Path, below: &Path, files: &mut Vec<(String, Vec<u8>)>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path: PathBuf = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(&entry.path(), &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "class") {
            files.push((path.display().to_string(), fs::read(entry.path())?));
        }
    }
    Ok(())
}
