//! A fleet directory of its own, and what `otapress` says when it runs in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use walkdir::WalkDir;

use super::jar::{JarBuilder, Member, zip};

/// MIDlet-Name of the fleets of the tests.
pub const NAME: &str = "OwnTracks";
/// MIDlet-Vendor of the fleets of the tests.
pub const VENDOR: &str = "Choral";

/// A small fleet without mistakes: two devices on `stable`, which is 0.10.65.
pub const SMALL: &str = "\
site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
midlet: { name: OwnTracks, vendor: Choral }
channels:
  stable: 0.10.65
default: { channel: stable }
devices:
  dev1: { imei: \"352099001761481\" }
  dev2: { imei: \"352099001761499\" }
";

/// The files of a directory by their paths below it.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A temporary directory, in memory if there is such a place.
pub fn in_memory() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { TempDir::new_in(shared) } else { TempDir::new() }.unwrap()
}

/// A directory with a fleet.
#[must_use]
pub struct Project {
    dir: TempDir,
}

impl Project {
    /// An empty directory.
    pub fn empty() -> Self {
        Project { dir: tempfile::tempdir().unwrap() }
    }

    /// An empty directory in memory.
    pub fn empty_in_memory() -> Self {
        Project { dir: in_memory() }
    }

    /// A fleet with the JARs of 0.10.65 and 0.10.66.
    pub fn new(fleet: &str) -> Self {
        Project::empty().file("fleet.yaml", fleet).jar("0.10.65").jar("0.10.66")
    }

    /// The example fleet of the repository, without what is published of it.
    pub fn example() -> Self {
        let project = Project::empty();
        for name in ["fleet.yaml", "devices", "jars", "templates"] {
            project.copy(&repository().join(name), name);
        }
        project
    }

    /// A copy of a directory. The JARs are made as `jars.txt` in it says ([`make_jar`]); without it, and
    /// without a directory `jars`, there are those of 0.10.65 and 0.10.66.
    pub fn copy_of(dir: &Path) -> Self {
        let project = Project::empty();
        project.copy(dir, ".");
        match fs::read_to_string(dir.join("jars.txt")) {
            Ok(recipes) => {
                for line in recipes.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                    let [path, version, kind] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                        panic!("{}/jars.txt: {line}", dir.display());
                    };
                    project.write(path, make_jar(version, kind));
                }
                project
            }
            Err(_) if project.path("jars").exists() => project,
            Err(_) => project.jar("0.10.65").jar("0.10.66"),
        }
    }

    fn copy(&self, from: &Path, to: &str) {
        copy_dir(from, &self.path(to));
    }

    /// The same with a file.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// The same with a good JAR in the catalog.
    pub fn jar(self, version: &str) -> Self {
        self.write(&format!("jars/{NAME}-{version}.jar"), make_jar(version, "good"));
        self
    }

    /// Writes a file.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a text that stands in a file exactly once.
    pub fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert_eq!(text.matches(old).count(), 1, "`{old}` in {path}");
        self.write(path, text.replace(old, new));
    }

    /// A path in the directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Every file below `out`.
    pub fn out(&self) -> Files {
        files(&self.path("out"))
    }

    /// The same if there is such a directory.
    pub fn out_or_nothing(&self) -> Files {
        if self.path("out").exists() { self.out() } else { Files::new() }
    }

    /// What `otapress` says to these arguments, separated by blanks.
    pub fn run(&self, args: &str) -> Ran {
        let args: Vec<_> = args.split_whitespace().collect();
        Ran::new(self.command().args(args).output().unwrap())
    }

    /// `otapress` in this directory with an environment that does not depend on who runs the tests.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otapress"));
        command
            .current_dir(self.dir.path())
            .env_remove("CLICOLOR_FORCE")
            .env_remove("OTAPRESS_STATE")
            .env("LC_ALL", "C");
        command
    }

    /// Builds, which must succeed.
    pub fn build(&self) -> &Self {
        self.run("build -q").expect(0, "", "");
        self
    }
}

/// What a run of `otapress` came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// From what the system says.
    pub fn new(output: Output) -> Self {
        Ran {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Compares all of it.
    #[track_caller]
    pub fn expect(&self, status: i32, stdout: &str, stderr: &str) {
        let wanted = Ran { status, stdout: stdout.into(), stderr: stderr.into() };
        assert!(*self == wanted, "is {}\nwanted {}", self.show(), wanted.show());
    }

    /// Compares all of it but how long it took, which stands as `TIME` in what is wanted.
    #[track_caller]
    pub fn expect_timed(&self, status: i32, stderr: &str) {
        let mut ran = self.clone();
        if let Some(at) = ran.stderr.rfind(", in ") {
            ran.stderr.truncate(at);
            ran.stderr += ", in TIME\n";
        }
        ran.expect(status, "", stderr);
    }

    fn show(&self) -> String {
        format!("status {}\n--- stdout\n{}--- stderr\n{}---", self.status, self.stdout, self.stderr)
    }
}

/// Copies a file, or every file below a directory.
pub fn copy_dir(from: &Path, to: &Path) {
    for entry in WalkDir::new(from).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file()) {
        let below = entry.path().strip_prefix(from).unwrap();
        let to = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
    }
}

/// Every file below a directory; a link or the like is an error.
pub fn files(dir: &Path) -> Files {
    let mut files = Files::new();
    for entry in WalkDir::new(dir).min_depth(1).into_iter().map(Result::unwrap) {
        if entry.file_type().is_dir() {
            continue;
        }
        assert!(entry.file_type().is_file(), "{}", entry.path().display());
        let below = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
        files.insert(below, fs::read(entry.path()).unwrap());
    }
    files
}

/// Modes of every file and directory below a directory.
pub fn modes(dir: &Path) -> BTreeMap<String, u32> {
    let mode = |entry: walkdir::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        (entry.path().strip_prefix(dir).unwrap().display().to_string(), mode)
    };
    WalkDir::new(dir).into_iter().map(Result::unwrap).map(mode).collect()
}

/// How two directories differ, as text; empty if they do not.
pub fn difference(is: &Files, wanted: &Files) -> String {
    let mut text = String::new();
    for path in is.keys().filter(|path| !wanted.contains_key(*path)) {
        let _ = writeln!(text, "unexpected: {path}");
    }
    for (path, wanted) in wanted {
        match is.get(path) {
            None => drop(writeln!(text, "missing: {path}")),
            Some(is) if is != wanted => {
                let (is, wanted) = (String::from_utf8_lossy(is), String::from_utf8_lossy(wanted));
                let _ = writeln!(text, "differs: {path}\n--- is\n{is}\n--- wanted\n{wanted}");
            }
            Some(_) => {}
        }
    }
    text
}

/// Whether golden files are to be rewritten. The run then fails all the same: what was rewritten has to be
/// read first.
pub fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

/// Compares a text with a golden file, or rewrites that; returns what is wrong.
pub fn against_golden(is: &str, path: &Path) -> Option<String> {
    let wanted = fs::read_to_string(path).unwrap_or_default();
    if is == wanted {
        return None;
    }
    if updating() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, is).unwrap();
        return Some(format!("rewritten: {}\n", path.display()));
    }
    Some(format!("{}\n--- is\n{is}\n--- wanted\n{wanted}\n", path.display()))
}

/// The directories in a directory, by name.
pub fn directories(dir: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    dirs.sort();
    dirs
}

/// A JAR of a kind that `jars.txt` names; its bytes are the same everywhere.
pub fn make_jar(version: &str, kind: &str) -> Vec<u8> {
    let good = JarBuilder::new(NAME, version, VENDOR);
    let (kind, rest) = kind.split_once(' ').unwrap_or((kind, ""));
    match kind {
        "good" => good.build(),
        "other-bytes" => good.entry("more", b"more").build(),
        "named" => JarBuilder::new(rest, version, VENDOR).build(),
        "of-vendor" => JarBuilder::new(NAME, version, rest).build(),
        "without" => good.without(rest).build(),
        "without-entry" => good.without_entry(rest).build(),
        "with" => {
            let (name, value) = rest.split_once(": ").unwrap();
            good.attribute(name, value).build()
        }
        "twice" => good.again(rest, "again").build(),
        "section" => good.section(&format!("Name: demo/OwnTracks.class\r\n{rest}\r\n\r\n")).build(),
        "truncated" => {
            let bytes = good.build();
            bytes[..bytes.len() - 30].to_vec()
        }
        "trailing" => [good.build(), b"trailing".to_vec()].concat(),
        "page" => b"<!DOCTYPE html><title>404 Not Found</title>".to_vec(),
        "empty" => Vec::new(),
        "damaged" => with_class(&good, |member| member.data[0] ^= 1),
        "encrypted" => with_class(&good, |member| *member = member.clone().both(|header| header.flags |= 1)),
        "bzip2" => with_class(&good, |member| *member = member.clone().both(|header| header.method = 12)),
        "bom" => {
            let manifest = [b"\xef\xbb\xbf".to_vec(), good.manifest_bytes()].concat();
            good.manifest(&manifest).build()
        }
        // Unusual, and good.
        "unusual" => good.manifest(unusual_manifest(version, "\r\n").as_bytes()).build(),
        "unusual-lf" => good.manifest(unusual_manifest(version, "\n").as_bytes()).build(),
        "unusual-cr" => good.manifest(unusual_manifest(version, "\r").as_bytes()).build(),
        other => panic!("no kind of JAR is called `{other}`"),
    }
}

fn with_class(jar: &JarBuilder, change: impl Fn(&mut Member)) -> Vec<u8> {
    let mut members = jar.members();
    change(&mut members[1]);
    zip(&members)
}

/// Everything that a manifest may do: values over several lines, a name that ends a line, several MIDlets out
/// of order, attributes that nobody knows, blanks around values, and a section that says nothing of MIDlets.
fn unusual_manifest(version: &str, end: &str) -> String {
    [
        "Manifest-Version: 1.0",
        "MIDlet-2: Settings,",
        "  /icons/settings.png, demo.Own",
        " Tracks",
        "MIDlet-Name: Own",
        " Tracks",
        &format!("MIDlet-Version:   {version}  "),
        "MIDlet-Vendor: Choral",
        "MIDlet-1: OwnTracks,,demo.OwnTracks",
        "MIDlet-Permissions: javax.microedition.io.Connector.http,javax.micro",
        " edition.io.Connector.socket,javax.microedition.io.Connector.comm",
        "Created-By: 1.8.0 (\u{00dc}n\u{ef}code Inc.)",
        "X-Note: colons: and = signs, \"quotes\"",
        "MicroEdition-Profile: IMP-NG",
        "MicroEdition-Configuration: CLDC-1.1",
        "",
        "Name: demo/OwnTracks.class",
        "X-Digest: none",
        "",
        "",
    ]
    .join(end)
}
