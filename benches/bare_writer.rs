//! What a build is measured against: a program that writes the same files one by one and does nothing else.
//!
//! usage: bare_writer FROM TO [links]
//!
//! Reads the files of FROM into memory, then writes them below TO in the order of their paths, with one sync
//! at the end, and prints how many seconds the writing took. With `links` equal contents are hard links. One
//! thread, nothing but the standard library and syncfs.

#![allow(clippy::disallowed_methods, reason = "writes files, which is all that it does")]

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

fn main() -> io::Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let (from, to, links) = match &args[..] {
        [from, to] => (from, to, false),
        [from, to, links] if links.as_os_str() == "links" => (from, to, true),
        _ => return Err(io::Error::other("usage: bare_writer FROM TO [links]")),
    };
    let mut files = Vec::new();
    read(from, from, &mut files)?;
    files.sort();
    let begin = Instant::now();
    write(&files, to, links)?;
    println!("{:.3}", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Every file below `dir`: its path below `root`, and what it holds.
fn read(dir: &Path, root: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, root, files)?;
        } else {
            let below = path.strip_prefix(root).map_err(io::Error::other)?.to_owned();
            files.push((below, fs::read(path)?));
        }
    }
    Ok(())
}

fn write(files: &[(PathBuf, Vec<u8>)], to: &Path, links: bool) -> io::Result<()> {
    let mut first: HashMap<&[u8], PathBuf> = HashMap::new();
    let mut last_dir = PathBuf::new();
    for (below, bytes) in files {
        let path = to.join(below);
        if let Some(dir) = path.parent()
            && dir != last_dir
        {
            fs::create_dir_all(dir)?;
            last_dir = dir.to_owned();
        }
        if links
            && let Some(first) = first.get(&**bytes)
            && fs::hard_link(first, &path).is_ok()
        {
            continue;
        }
        File::create_new(&path)?.write_all(bytes)?;
        if links {
            first.insert(bytes, path);
        }
    }
    Ok(rustix::fs::syncfs(File::open(to)?)?)
}
