//! The files of `out/` in memory, as far as they are large: every device of a rollout fetches the same JAR.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Mutex;

use hyper::body::Bytes;

use otapress_core::out_path::OutPath;
use otapress_core::stamp::Stamp;
use otapress_responder::files::open;

/// Files below this size are read for each request; larger ones (JARs) are kept in memory.
const SMALL: u64 = 32 * 1024;

/// How many bytes of JARs are kept in memory at most.
const KEPT: u64 = 64 * 1024 * 1024;

/// The files below `out/`.
#[derive(Debug)]
pub struct Files {
    out: PathBuf,
    kept: Mutex<Kept>,
}

/// JARs in memory, the last used at the front.
#[derive(Debug, Default)]
struct Kept {
    jars: VecDeque<(Stamp, Bytes)>,
    bytes: u64,
}

impl Files {
    /// The files below `out`, which need not exist yet.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Files { out: out.into(), kept: Mutex::default() }
    }

    /// The content of a file; `None` if there is no such file below `out/`.
    ///
    /// # Errors
    /// If there is one and it cannot be read.
    pub fn read(&self, path: &OutPath) -> io::Result<Option<Bytes>> {
        open(&self.out, path)?.map(|(file, metadata)| self.content(file, &metadata)).transpose()
    }

    fn content(&self, mut file: File, metadata: &Metadata) -> io::Result<Bytes> {
        let size = metadata.len();
        let stamp = Stamp::from(metadata);
        let keep = (SMALL..KEPT / 2).contains(&size);
        if keep && let Some(bytes) = self.kept().find(stamp) {
            return Ok(bytes);
        }
        // Exactly as long as it was when it was opened, without asking where it ends.
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact(&mut bytes)?;
        let bytes = Bytes::from(bytes);
        if keep {
            self.kept().put(stamp, bytes.clone());
        }
        Ok(bytes)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // What a panicking thread left is a list of whole entries.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, stamp: Stamp) -> Option<Bytes> {
        let i = self.jars.iter().position(|(s, _)| *s == stamp)?;
        let entry = self.jars.remove(i)?;
        let bytes = entry.1.clone();
        self.jars.push_front(entry);
        Some(bytes)
    }

    fn put(&mut self, stamp: Stamp, bytes: Bytes) {
        if self.jars.iter().any(|(s, _)| *s == stamp) {
            return;
        }
        self.bytes += bytes.len() as u64;
        self.jars.push_front((stamp, bytes));
        while self.bytes > KEPT
            && let Some((_, dropped)) = self.jars.pop_back()
        {
            self.bytes -= dropped.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn path(text: &str) -> OutPath {
        text.parse().unwrap()
    }

    fn write(root: &Path, name: &str, content: &[u8]) {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    #[test]
    fn a_replaced_jar_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let old = vec![1; 100_000];
        write(dir.path(), "a.jar", &old);
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), old);
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), old);
        assert_eq!(files.kept().jars.len(), 1);
        let new = vec![2; 100_000];
        write(dir.path(), "tmp", &new);
        fs::rename(dir.path().join("tmp"), dir.path().join("a.jar")).unwrap();
        assert_eq!(files.read(&path("a.jar")).unwrap().unwrap(), new);
    }

    #[test]
    fn memory_for_jars_is_bounded() {
        let mut kept = Kept::default();
        let dir = tempfile::tempdir().unwrap();
        for i in 0..5 {
            write(dir.path(), &i.to_string(), b"");
            let stamp = Stamp::from(&fs::metadata(dir.path().join(i.to_string())).unwrap());
            kept.put(stamp, Bytes::from(vec![0; KEPT as usize / 3]));
            assert!(kept.find(stamp).is_some());
        }
        assert_eq!(kept.jars.len(), 3);
        assert_eq!(kept.bytes, 3 * (KEPT / 3));
    }
}
