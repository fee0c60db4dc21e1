//! What is in out/ now.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, fstat, openat, statat};
use rustix::io::Errno;

use super::PublishError;
use super::hashes::Hashes;
use super::listings::{Listing, Listings};
use super::parallel;
use crate::catalog::MAX_JAR;
use crate::clutter::{LOST_AND_FOUND, is_clutter};
use crate::files::{self, FileError, FileErrorKind};
use otapress_core::digest::Sha256;
use otapress_core::out::{Part, SITE_FILE, STAGING, TEMP_PREFIX};
use otapress_core::out_path::OutPath;
use otapress_core::stamp::Stamp;
use otapress_core::wire::Site;

/// What is at the place of out/.
#[derive(Debug)]
pub enum Existing {
    /// Nothing, or an empty directory.
    Nothing,
    /// What a killed first build has left that could not be renamed into place as a whole.
    Unfinished(Unfinished),
    /// A directory that we have made.
    Published(Box<Published>),
}

/// The beginning of a first build.
#[derive(Debug)]
pub struct Unfinished {
    /// The files and directories in out/ that were published, with what they hold.
    pub tops: BTreeSet<(Part, String)>,
    /// As [`Published::leftovers`].
    pub leftovers: Vec<PathBuf>,
}

/// Hidden files and directories in out/ that are not ours; what is in the directories was not looked at.
#[must_use = "what is hidden is not ours unless the fleet says so"]
#[derive(Debug)]
pub struct Hidden {
    paths: Vec<PathBuf>,
    is_published: bool,
}

impl Hidden {
    /// Sees that all of them have one of these names.
    ///
    /// # Errors
    /// If one has not.
    pub fn are_kept(self, out: &Path, names: &BTreeSet<String>) -> Result<(), PublishError> {
        let is_kept =
            |path: &Path| path.file_name().and_then(OsStr::to_str).is_some_and(|name| names.contains(name));
        match self.paths.into_iter().find(|path| !is_kept(path)) {
            None => Ok(()),
            Some(_) if !self.is_published => Err(PublishError::NotOurs(out.into())),
            Some(file) => Err(PublishError::Hidden { file, out: out.into() }),
        }
    }
}

/// A directory that we have made.
#[derive(Debug)]
pub struct Published {
    /// What `otapress.json` says.
    pub site: Site,
    /// Its files, by path.
    pub files: Vec<PublishedFile>,
    /// What a killed build has left behind: files and directories with temporary names, and directories
    /// without a file.
    pub leftovers: Vec<PathBuf>,
}

/// A file in out/.
#[derive(Debug)]
pub struct PublishedFile {
    /// Below out/.
    pub path: OutPath,
    /// Follows from the path.
    pub part: Part,
    /// Changes with the file.
    pub stamp: Stamp,
}

impl PublishedFile {
    /// The digest of its bytes, which are read if need be.
    ///
    /// # Errors
    /// If it has to be read, and cannot be.
    pub fn digest(&self, out: &Path, hashes: &mut Hashes) -> Result<Sha256, PublishError> {
        hashes.digest(self.stamp, || self.read(out))
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, out: &Path) -> Result<Vec<u8>, PublishError> {
        let path = self.path.below(out);
        fs::read(&path).map_err(PublishError::io("read", &path))
    }
}

/// Looks at `out` without changing anything; `hashes` knows what is in directories that nobody has touched,
/// and learns it of the others.
///
/// # Errors
/// If it is not ours, holds what is not ours, or cannot be read.
pub fn scan(out: &Path, hashes: &mut Hashes) -> Result<(Existing, Hidden), PublishError> {
    let site = read_site(out)?;
    if site.is_none() && !out.join(STAGING).is_dir() {
        return Ok((Existing::Nothing, Hidden { paths: strangers(out)?, is_published: false }));
    }
    let failed = |error| PublishError::io("read", out)(io::Error::from(error));
    let root = openat(CWD, out, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed)?;
    let stamp = Stamp::from(&fstat(&root).map_err(failed)?);
    let mut found = Found::default();
    Walk { out, root, known: hashes.listings() }.dir("", stamp, parallel::is_worthwhile(), &mut found)?;
    let Found { mut files, leftovers, listings, hidden, .. } = found;
    hashes.learn(listings);
    let existing = match site {
        Some(site) => {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            Existing::Published(Box::new(Published { site, files, leftovers }))
        }
        None => {
            let top =
                |file: &PublishedFile| file.path.as_str().split('/').next().unwrap_or_default().to_owned();
            let tops = files.iter().map(|file| (file.part, top(file))).collect();
            Existing::Unfinished(Unfinished { tops, leftovers })
        }
    };
    Ok((existing, Hidden { paths: hidden, is_published: true }))
}

/// What is hidden in a directory in which nothing is published, and does not exist or holds nothing else.
fn strangers(out: &Path) -> Result<Vec<PathBuf>, PublishError> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(PublishError::io("read", out))?,
    };
    let mut hidden = Vec::new();
    for entry in entries {
        let path = entry.map_err(PublishError::io("read", out))?.path();
        match path.file_name().and_then(OsStr::to_str) {
            Some(name) if is_left_alone("", name) => {}
            Some(name) if name.starts_with('.') => hidden.push(path),
            _ => return Err(PublishError::NotOurs(out.into())),
        }
    }
    Ok(hidden)
}

/// Whether something in the directory `below` out/ is neither ours nor anybody's.
fn is_left_alone(below: &str, name: &str) -> bool {
    is_clutter(name) || below.is_empty() && name == LOST_AND_FOUND
}

/// What is in a directory and below.
#[derive(Default)]
struct Found {
    files: Vec<PublishedFile>,
    leftovers: Vec<PathBuf>,
    listings: Vec<(Stamp, Listing)>,
    hidden: Vec<PathBuf>,
    /// How many things are not ours and stay, with those in `hidden`.
    others: usize,
}

struct Walk<'a> {
    out: &'a Path,
    /// `out`, opened: paths below it are short.
    root: OwnedFd,
    known: &'a Listings,
}

impl Walk<'_> {
    /// Looks at what is in the directory `below` out/, with two threads if that is much and these may be
    /// used.
    fn dir(
        &self,
        below: &str,
        stamp: Stamp,
        concurrent: bool,
        found: &mut Found,
    ) -> Result<(), PublishError> {
        let names = match self.known.get(stamp) {
            Some(known) => known.clone(),
            None => self.read(below, found)?,
        };
        let names = names.split_terminator('/');
        if !concurrent {
            return names.into_iter().try_for_each(|name| self.entry(below, name, false, found));
        }
        let names: Vec<_> = names.collect();
        let in_lanes = parallel::is_worthwhile_for(names.len());
        let lanes = parallel::run(in_lanes, &names, |names| {
            let mut found = Found::default();
            for name in names {
                self.entry(below, name, !in_lanes, &mut found)?;
            }
            // Here each lane sorts its part; what is then left to do is to merge them.
            found.files.sort_by(|a, b| a.path.cmp(&b.path));
            Ok(found)
        })?;
        for Found { files, leftovers, listings, hidden, others } in lanes {
            found.files.extend(files);
            found.leftovers.extend(leftovers);
            found.listings.extend(listings);
            found.hidden.extend(hidden);
            found.others += others;
        }
        Ok(())
    }

    /// Looks at what has this name in the directory `below` out/.
    fn entry(
        &self,
        below: &str,
        name: &str,
        concurrent: bool,
        found: &mut Found,
    ) -> Result<(), PublishError> {
        let path = if below.is_empty() { name.to_owned() } else { [below, "/", name].concat() };
        let is_temporary = name.starts_with(TEMP_PREFIX);
        if is_left_alone(below, name) {
            found.others += 1;
            return Ok(());
        }
        if name.starts_with('.') && !is_temporary {
            found.others += 1;
            found.hidden.push(self.out.join(path));
            return Ok(());
        }
        let stat = statat(&self.root, &*path, AtFlags::SYMLINK_NOFOLLOW).map_err(self.failed(below))?;
        let (file_type, stamp) = (FileType::from_raw_mode(stat.st_mode), Stamp::from(&stat));
        if file_type.is_symlink() {
            return Err(PublishError::Symlink(self.out.join(path)));
        }
        if is_temporary {
            found.leftovers.push(self.out.join(path));
        } else if file_type.is_dir() {
            let before = (found.files.len(), found.others);
            self.dir(&path, stamp, concurrent, found)?;
            if (found.files.len(), found.others) == before {
                found.leftovers.push(self.out.join(path));
            }
        } else {
            let ours = path.parse().ok().filter(|_| file_type.is_file());
            if stamp.size() > MAX_JAR {
                return Err(
                    FileError { path: self.out.join(&path), kind: FileErrorKind::TooLarge(MAX_JAR) }.into()
                );
            }
            match ours.and_then(|path| Some((Part::of(&path)?, path))) {
                Some((part, path)) => found.files.push(PublishedFile { path, part, stamp }),
                None => return Err(self.foreign(&path)),
            }
        }
        Ok(())
    }

    /// The names in a directory, which is noted if it is small.
    fn read(&self, below: &str, found: &mut Found) -> Result<Listing, PublishError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = if below.is_empty() { "." } else { below };
        let dir = openat(&self.root, path, flags, Mode::empty()).map_err(self.failed(below))?;
        // Whoever changes it while it is read changes this.
        let stamp = Stamp::from(&fstat(&dir).map_err(self.failed(below))?);
        let mut buffer = [MaybeUninit::uninit(); 32 << 10];
        let mut entries = RawDir::new(dir, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(self.failed(below))?;
            let name = entry.file_name();
            let Ok(name) = name.to_str() else {
                let path = Path::new(below).join(OsStr::from_bytes(name.to_bytes()));
                return Err(self.foreign(path));
            };
            if !matches!(name, "." | "..") {
                names.push([name, "/"].concat());
            }
        }
        names.sort_unstable();
        let listing: Listing = names.concat().into();
        if Listings::takes(&listing) {
            // Most directories look like the one before.
            let last = found.listings.last().map(|(_, last)| last).filter(|last| **last == listing);
            let listing = last.unwrap_or(&listing).clone();
            found.listings.push((stamp, listing));
        }
        Ok(listing)
    }

    /// The error of having read the directory `below` out/.
    fn failed(&self, below: &str) -> impl FnOnce(Errno) -> PublishError {
        move |error| PublishError::io("read", &self.out.join(below))(error.into())
    }

    fn foreign(&self, path: impl AsRef<Path>) -> PublishError {
        PublishError::Foreign { file: self.out.join(path), out: self.out.into() }
    }
}

/// What `otapress.json` in a directory says; none if there is no such file.
///
/// # Errors
/// If it cannot be read or understood.
pub fn read_site(out: &Path) -> Result<Option<Site>, PublishError> {
    let file = out.join(SITE_FILE);
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(PublishError::io("read", &file)(error)),
        Ok(metadata) if metadata.is_symlink() => return Err(PublishError::Symlink(file)),
        Ok(_) => {}
    }
    let text = files::read(&file, MAX_JAR)?;
    Site::parse(&text).map(Some).map_err(|error| PublishError::Format { file, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    const SITE: &str = concat!(
        r#"{"otapress":1,"site":"http://ota.example.com","versionPaths":[],"notifyPaths":[],"#,
        r#""auth":false,"releases":[]}"#
    );

    type Outcome = Result<(Vec<(OutPath, Stamp)>, Vec<PathBuf>), String>;

    /// What a scan finds, or why it fails.
    fn outcome(out: &Path, hashes: &mut Hashes) -> Outcome {
        let found = scan(out, hashes).and_then(|(existing, hidden)| {
            hidden.are_kept(out, &BTreeSet::new())?;
            Ok(existing)
        });
        match found.map_err(|error| error.to_string())? {
            Existing::Nothing | Existing::Unfinished(_) => Ok(Default::default()),
            Existing::Published(published) => {
                let Published { files, mut leftovers, .. } = *published;
                leftovers.sort();
                Ok((files.into_iter().map(|file| (file.path, file.stamp)).collect(), leftovers))
            }
        }
    }

    /// Returns when the clock of the file system has moved on, so that what is changed from now on gets
    /// another time.
    fn tick(dir: &Path) {
        let time = || {
            fs::write(dir.join("tick"), "").unwrap();
            Stamp::from(&rustix::fs::stat(dir.join("tick")).unwrap()).modified()
        };
        let before = time();
        while time() == before {}
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(String),
        Remove(String),
        Rename(String, String),
        Link(String, String),
        MakeDir(String),
    }

    fn path() -> impl Strategy<Value = String> {
        let dir = prop::sample::select(vec!["files", "files/a", "files/b", "files/b/c", "vc", "jars/1", "."]);
        let name = prop::sample::select(vec!["a", "b", "c", "x.jad", "y.jad", ".otapress-tmp-1", "z"]);
        (dir, name).prop_map(|(dir, name)| format!("{dir}/{name}"))
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            path().prop_map(Step::Write),
            path().prop_map(Step::Remove),
            (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
            (path(), path()).prop_map(|(from, to)| Step::Link(from, to)),
            path().prop_map(Step::MakeDir),
        ]
    }

    /// Does a step, as far as it can be done.
    fn take(out: &Path, step: &Step) {
        let _ = match step {
            Step::Write(path) => fs::write(out.join(path), path),
            Step::Remove(path) => {
                fs::remove_file(out.join(path)).or_else(|_| fs::remove_dir_all(out.join(path)))
            }
            Step::Rename(from, to) => fs::rename(out.join(from), out.join(to)),
            Step::Link(from, to) => std::os::unix::fs::symlink(from, out.join(to)),
            Step::MakeDir(path) => fs::create_dir_all(out.join(path)),
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        /// Whatever happened since the last build, of which only a part may have been remembered.
        #[test]
        fn what_is_remembered_of_directories_changes_nothing(
            builds in prop::collection::vec(prop::collection::vec(step(), 0..5), 1..6),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (out, cache) = (dir.path().join("out"), dir.path().join("cache"));
            for below in ["files/a", "files/b/c", "vc", "jars/1"] {
                fs::create_dir_all(out.join(below)).unwrap();
            }
            fs::write(out.join(SITE_FILE), SITE).unwrap();
            fs::write(out.join("files/a/x.jad"), "a").unwrap();
            for steps in builds {
                steps.iter().for_each(|step| take(&out, step));
                let mut hashes = Hashes::load(&cache);
                let found = outcome(&out, &mut hashes);
                prop_assert_eq!(&found, &outcome(&out, &mut Hashes::default()));
                if found.is_ok() {
                    hashes.save(&cache, SystemTime::now() + Duration::from_secs(3600)).unwrap();
                }
                tick(dir.path());
            }
        }
    }

    #[test]
    fn a_directory_that_nobody_has_touched_is_not_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (out, cache) = (dir.path().join("out"), dir.path().join("cache"));
        fs::create_dir_all(out.join("files/a")).unwrap();
        fs::write(out.join(SITE_FILE), SITE).unwrap();
        fs::write(out.join("files/a/x.jad"), "a").unwrap();
        let mut hashes = Hashes::default();
        let found = outcome(&out, &mut hashes);
        hashes.save(&cache, SystemTime::now() + Duration::from_secs(3600)).unwrap();
        let of = |path: &str| Stamp::from(&rustix::fs::stat(out.join(path)).unwrap());
        let mut hashes = Hashes::load(&cache);
        for (path, listing) in [("", "files/otapress.json/"), ("files", "a/"), ("files/a", "x.jad/")] {
            assert_eq!(hashes.listings().get(of(path)).map(|known| &**known), Some(listing), "{path}");
        }
        assert_eq!(outcome(&out, &mut hashes), found);
        // Nothing was learnt, so that nothing is to be saved.
        fs::remove_file(&cache).unwrap();
        hashes.save(&cache, SystemTime::now() + Duration::from_secs(3600)).unwrap();
        assert!(!cache.exists());
    }
}
