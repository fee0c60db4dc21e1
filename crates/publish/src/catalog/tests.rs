//! What may lie in a directory of JARs.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::Mode;
use tempfile::TempDir;

use super::*;
use crate::diag::Place;
use crate::jar::support::JarBuilder;

/// The suite that the tests' JARs are, judged as by a fleet that says nothing else.
fn with_suite<T>(take: impl FnOnce(Option<Suite<'_>>) -> T) -> T {
    take(Some(Suite { name: "OwnTracks", vendor: "Choral", rules: &Rules::default(), signing: None }))
}

/// Nothing but what lies in a directory.
fn reach(dir: &Path) -> Reach {
    reach_and(dir, &[])
}

fn reach_and(dir: &Path, allowed: &[&str]) -> Reach {
    Reach::new(&dir.join("fleet.yaml"), &allowed.iter().map(PathBuf::from).collect::<Vec<_>>())
}

/// A directory with these files.
fn dir(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    dir
}

fn jar(version: &str) -> Vec<u8> {
    JarBuilder::new("OwnTracks", version, "Choral").build()
}

type Told = (Code, String, String);

fn told(diagnostics: Vec<Diagnostic>) -> Vec<Told> {
    diagnostics
        .into_iter()
        .map(|d| match d.place {
            Place::File(path) => (d.code, path.display().to_string(), d.message),
            Place::Span(_) => panic!("a JAR has no lines"),
        })
        .collect()
}

/// The versions and files of the catalog, and what was told.
fn loaded(dir: &TempDir) -> (Vec<String>, Vec<Told>) {
    loaded_within(&reach(dir.path()), dir)
}

fn loaded_within(reach: &Reach, dir: &TempDir) -> (Vec<String>, Vec<Told>) {
    let (catalog, diagnostics) = with_suite(|suite| load(reach, dir.path(), Path::new("jars"), suite));
    let files =
        catalog.entries().map(|e| format!("{} {}", e.jar().version_text(), e.shown_as().display())).collect();
    (files, told(diagnostics))
}

fn one(code: Code, path: &str, message: &str) -> Vec<Told> {
    vec![(code, path.into(), message.into())]
}

#[test]
fn releases_are_found_and_ordered_numerically() {
    let dir = dir(&[
        ("b/x.jar", &jar("0.10.66")),
        ("a.jar", &jar("0.10.9")),
        ("README.md", b"not a jar"),
        ("b/notes.jar.txt", b""),
    ]);
    let (catalog, diagnostics) =
        with_suite(|suite| load(&reach(dir.path()), dir.path(), Path::new("jars"), suite));
    assert_eq!(told(diagnostics), []);
    let versions: Vec<_> = catalog.versions().map(|v| v.to_string()).collect();
    assert_eq!(versions, ["0.10.9", "0.10.66"]);
    assert!(!catalog.is_empty());

    let entry = catalog.get("0.10.066".parse().unwrap()).unwrap();
    assert_eq!(entry.path(), dir.path().join("b/x.jar"));
    assert_eq!(entry.shown_as(), Path::new("jars/b/x.jar"));
    assert_eq!(entry.sha256(), Sha256::of(&jar("0.10.66")));
    assert!(catalog.get("0.10.67".parse().unwrap()).is_none());
}

#[test]
fn bytes_are_the_ones_that_were_validated() {
    let dir = dir(&[("a.jar", &jar("0.10.9"))]);
    let (catalog, _) = load(&reach(dir.path()), dir.path(), Path::new("jars"), None);
    let entry = catalog.entries().next().unwrap();
    assert_eq!(entry.bytes().unwrap(), jar("0.10.9"));
    fs::write(entry.path(), jar("0.10.10")).unwrap();
    let error = entry.bytes().unwrap_err();
    assert!(matches!(error.kind, FileErrorKind::Changed), "{error}");
    fs::remove_file(entry.path()).unwrap();
    assert!(matches!(entry.bytes().unwrap_err().kind, FileErrorKind::Io(_)));
}

#[test]
fn a_directory_without_jars_is_told_of() {
    let empty = (Code::EmptyCatalog, "jars".into(), "`jars` holds no file that ends in `.jar`".into());
    assert_eq!(loaded(&dir(&[])), (vec![], vec![empty.clone()]));
    assert_eq!(loaded(&dir(&[("a/b.txt", b"")])), (vec![], vec![empty]));

    let (catalog, diagnostics) =
        load(&Reach::default(), Path::new("/nonexistent/jars"), Path::new("jars"), None);
    assert!(catalog.is_empty());
    let message = "`jars` cannot be read: No such file or directory (os error 2)";
    assert_eq!(told(diagnostics), one(Code::JarUnreadable, "jars", message));

    let file = dir(&[("jars", b"")]);
    let (_, diagnostics) = load(&reach(file.path()), &file.path().join("jars"), Path::new("jars"), None);
    assert_eq!(told(diagnostics), one(Code::JarUnreadable, "jars", "`jars` is not a directory"));
}

#[test]
fn every_fault_of_every_jar_is_told() {
    let bad = JarBuilder::new("OwnTracks", "x", "Choral").without("MIDlet-Vendor").build();
    let dir = dir(&[("a.jar", b"hello"), ("b.jar", &bad), ("c.jar", &jar("0.10.66"))]);
    let (files, told) = loaded(&dir);
    assert_eq!(files, ["0.10.66 jars/c.jar"]);
    assert_eq!(
        told,
        [
            one(Code::JarInvalid, "jars/a.jar", "not a zip file"),
            one(Code::ManifestInvalid, "jars/b.jar", "the manifest has no `MIDlet-Vendor`"),
            one(Code::ManifestInvalid, "jars/b.jar", "`MIDlet-Version` is `x`"),
        ]
        .concat()
    );
}

#[test]
fn another_suite_is_refused() {
    let dir = dir(&[("a.jar", &JarBuilder::new("Other", "0.10.66", "Somebody").build())]);
    let (files, told) = loaded(&dir);
    assert_eq!(files, [""; 0]);
    assert_eq!(
        told,
        [
            one(
                Code::WrongMidlet,
                "jars/a.jar",
                "the JAR's `MIDlet-Name` is `Other`, but the fleet's is `OwnTracks`"
            ),
            one(
                Code::WrongMidlet,
                "jars/a.jar",
                "the JAR's `MIDlet-Vendor` is `Somebody`, but the fleet's is `Choral`"
            ),
        ]
        .concat()
    );
    assert!(load(&reach(dir.path()), dir.path(), Path::new("jars"), None).1.is_empty());
}

#[test]
fn a_version_names_one_jar() {
    let same = dir(&[("a.jar", &jar("1.1")), ("b.jar", &jar("1.1"))]);
    assert_eq!(loaded(&same), (vec!["1.1 jars/a.jar".into()], vec![]));

    let other = dir(&[("a.jar", &jar("1.1")), ("b.jar", &jar("1.1.0"))]);
    let message = "version `1.1.0` is already taken by `jars/a.jar`, whose content differs";
    assert_eq!(
        loaded(&other),
        (vec!["1.1 jars/a.jar".into()], one(Code::VersionConflict, "jars/b.jar", message))
    );
}

#[test]
fn names_are_case_sensitive() {
    let dir = dir(&[("a.JAR", &jar("1.1"))]);
    let message = "the name of `jars/a.JAR` does not end in `.jar`";
    assert_eq!(loaded(&dir), (vec![], one(Code::JarUnreadable, "jars/a.JAR", message)));
}

#[test]
fn what_is_not_a_file_is_not_opened() {
    let dir = dir(&[("c.jar/inner.jar", &jar("1.1")), ("z.jar", &jar("1.2"))]);
    let fifo = dir.path().join("a.jar");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    let _socket = UnixListener::bind(dir.path().join("b.jar")).unwrap();
    symlink("/dev/zero", dir.path().join("d.jar")).unwrap();
    let (files, told) = loaded_within(&reach_and(dir.path(), &["/dev"]), &dir);
    assert_eq!(files, ["1.2 jars/z.jar"]);
    assert_eq!(
        told,
        [
            one(Code::JarUnreadable, "jars/a.jar", "`jars/a.jar` is a named pipe, not a file"),
            one(Code::JarUnreadable, "jars/b.jar", "`jars/b.jar` is a socket, not a file"),
            one(Code::JarUnreadable, "jars/c.jar", "`jars/c.jar` is a directory, not a file"),
            one(Code::JarUnreadable, "jars/d.jar", "`jars/d.jar` is a device, not a file"),
        ]
        .concat()
    );
}

#[test]
fn links_are_followed_but_not_in_circles() {
    let dir = dir(&[("store/a", &jar("1.1"))]);
    symlink("store/a", dir.path().join("a.jar")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    symlink("self.jar", dir.path().join("self.jar")).unwrap();
    symlink("nowhere", dir.path().join("broken.jar")).unwrap();
    symlink("user@host.1234", dir.path().join(".#notes")).unwrap();
    let (files, told) = loaded(&dir);
    assert_eq!(files, ["1.1 jars/a.jar"]);
    let paths: Vec<_> = told.iter().map(|(code, path, _)| (*code, path.as_str())).collect();
    assert_eq!(
        paths,
        ["jars/broken.jar", "jars/loop", "jars/self.jar"].map(|path| (Code::JarUnreadable, path))
    );
    assert_eq!(told[1].2, "`jars/loop` is a symbolic link to a directory that it lies in");
}

#[test]
fn a_walk_that_leads_everywhere_ends() {
    let dir = dir(&[("a.jar", &jar("1.1")), ("b.jar", &jar("1.2")), ("c.jar", &jar("1.3"))]);
    let (files, diagnostics) = walk(&reach(dir.path()), dir.path(), Path::new("jars"), 3);
    assert_eq!(files.len(), 2);
    let message = "`jars` holds more than 3 files and directories";
    assert_eq!(told(diagnostics), one(Code::JarUnreadable, "jars", message));
    assert_eq!(walk(&reach(dir.path()), dir.path(), Path::new("jars"), 4).0.len(), 3);
}

#[test]
fn files_have_a_largest_size() {
    let dir = dir(&[]);
    let file = fs::File::create(dir.path().join("a.jar")).unwrap();
    file.set_len(MAX_JAR).unwrap();
    assert_eq!(loaded(&dir).1, one(Code::JarInvalid, "jars/a.jar", "not a zip file"));
    file.set_len(MAX_JAR + 1).unwrap();
    let message = "`jars/a.jar` has more than 16777216 bytes";
    assert_eq!(loaded(&dir).1, one(Code::JarUnreadable, "jars/a.jar", message));
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_cannot_be_read_is_told_of() {
    let dir = dir(&[]);
    // A plain file whose first page nobody can read, root included.
    symlink("/proc/self/mem", dir.path().join("a.jar")).unwrap();
    let message = "`jars/a.jar` cannot be read: Input/output error (os error 5)";
    let reach = reach_and(dir.path(), &["/proc"]);
    assert_eq!(loaded_within(&reach, &dir), (vec![], one(Code::JarUnreadable, "jars/a.jar", message)));
}

#[test]
fn permissions_are_respected() {
    let dir = dir(&[("a.jar", &jar("1.1")), ("b/b.jar", &jar("1.2"))]);
    let permit = |mode| {
        for name in ["a.jar", "b"] {
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    permit(0o000);
    let (files, told) = loaded(&dir);
    permit(0o700);
    if rustix::process::geteuid().is_root() {
        // Root reads them all the same.
        assert_eq!((files.len(), told), (2, vec![]));
        return;
    }
    assert_eq!(files, [""; 0]);
    let denied = |path: &str| {
        one(Code::JarUnreadable, path, &format!("`{path}` cannot be read: Permission denied (os error 13)"))
    };
    assert_eq!(told, [denied("jars/a.jar"), denied("jars/b")].concat());
}

#[test]
fn what_nobody_means_to_be_there_is_left_out() {
    let good = jar("0.10.66");
    let dir = dir(&[
        ("a.jar", &good),
        ("._a.jar", b"\0\x05\x16\x07"),
        (".DS_Store", b""),
        (".a.jar.swp", b""),
        (".git/objects/b.jar", b""),
        ("Thumbs.db", b""),
        ("a.jar~", b""),
        ("#a.jar#", b""),
        ("lost+found/b.jar", b""),
    ]);
    std::os::unix::fs::symlink("me@host.123:456", dir.path().join(".#a.jar")).unwrap();
    assert_eq!(loaded(&dir), (vec!["0.10.66 jars/a.jar".to_owned()], Vec::new()));
}

#[test]
fn a_pointer_of_git_lfs_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 210000\n";
    let (files, told) = loaded(&dir(&[("a.jar", pointer)]));
    assert_eq!(files, [""; 0]);
    assert_eq!(told, one(Code::JarInvalid, "jars/a.jar", "a Git LFS pointer, not the JAR itself"));
}
