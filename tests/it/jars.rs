//! The example JARs in jars/ are what tests/jars/build.sh makes of the sources beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn the_example_jars_are_what_their_sources_give() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = tempfile::tempdir().unwrap();
    // Not finding a tool is a failure: a test that passes without looking proves nothing.
    assert!(
        Command::new("proguard").output().is_ok(),
        "`proguard` cannot be started: install it, as Debian's proguard-cli"
    );
    let output = Command::new(package.join("tests/jars/build.sh")).arg(built.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let committed = package.join("jars");
    assert_eq!(names(built.path()), names(&committed));
    for name in names(&committed) {
        let (fresh, kept) =
            (fs::read(built.path().join(&name)).unwrap(), fs::read(committed.join(&name)).unwrap());
        assert!(fresh == kept, "{} differs from a fresh build", committed.join(&name).display());
    }
}
