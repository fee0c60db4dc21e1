//! `examples/rsync.sh` copies out/ as it must be copied: after every pass of it, what is served is whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use otapress_core::digest::Sha256;
use otapress_core::wire::AnswerFile;
use otapress_publish::jad;

use crate::support::hosts::{Site, program};
use crate::support::programs::write_program;
use crate::support::project::{difference, files};

/// Every JAD has its JAR, of exactly its size and content, and so has every answer.
fn is_whole(served: &Path) {
    let files = files(served);
    for (path, bytes) in files.iter().filter(|(path, _)| path.ends_with(".jad")) {
        let parsed = jad::parse(bytes).unwrap();
        let jar = parsed.get("MIDlet-Jar-URL").unwrap().strip_prefix("http://ota.example.com/").unwrap();
        let content = fs::read(served.join(jar)).unwrap_or_else(|error| panic!("{path:?}: {jar}: {error}"));
        assert_eq!(parsed.get("MIDlet-Jar-Size"), Some(&*content.len().to_string()), "{path:?}");
        assert!(jar.contains(&Sha256::of(&content).to_string()[..16]), "{path:?}: {jar}");
    }
    for (path, bytes) in files.iter().filter(|(path, _)| path.starts_with("vc/")) {
        if let Some(target) = AnswerFile::parse(bytes).unwrap().offer.target {
            assert!(served.join("jars").join(target.version.to_string()).exists(), "{path:?}");
        }
    }
}

/// Runs the script; gives a copy of what was served after each of its passes.
fn copy(site: &Site, run: usize) -> Vec<PathBuf> {
    let (bin, shots) = (site.path("tmp/bin"), site.path(&format!("tmp/shots{run}")));
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(&shots).unwrap();
    let wrapper = format!(
        "#!/bin/sh\n{} \"$@\" || exit\ncp -a {served} {shots}/$(ls {shots} | wc -l)\n",
        program("rsync").display(),
        served = site.text("served"),
        shots = shots.display(),
    );
    write_program(&bin.join("rsync"), &wrapper);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rsync.sh");
    let output = Command::new(script)
        .arg(site.path("out"))
        .arg(site.path("served"))
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let mut shots: Vec<_> = fs::read_dir(shots).unwrap().map(|shot| shot.unwrap().path()).collect();
    shots.sort();
    assert_eq!(shots.len(), 7);
    shots
}

fn edit(site: &Site, changes: &[(&str, &str)]) {
    let file = site.path("fleet.yaml");
    let mut yaml = fs::read_to_string(&file).unwrap();
    for (old, new) in changes {
        assert!(yaml.contains(old), "{old}");
        yaml = yaml.replace(old, new);
    }
    fs::write(file, yaml).unwrap();
    site.otapress(&["--quiet", "build", "--allow-mass-removal"]);
}

#[test]
fn what_is_served_is_whole_after_every_pass() {
    let site = Site::new(|yaml| yaml.replace("    release: 0.10.66\n", "    release: 0.10.65\n"));
    // Only the older release exists.
    let newer = fs::read_dir(site.path("jars")).unwrap().map(|jar| jar.unwrap().path());
    let newer = newer.into_iter().find(|jar| jar.to_str().unwrap().contains("0.10.66")).unwrap();
    fs::rename(&newer, site.path("tmp/newer.jar")).unwrap();
    fs::remove_dir_all(site.path("out")).unwrap();
    site.otapress(&["build"]);
    let same =
        |site: &Site| assert_eq!(difference(&files(&site.path("served")), &files(&site.path("out"))), "");
    copy(&site, 0).iter().for_each(|shot| is_whole(shot));
    same(&site);

    // A new release, a device less, and one in its place.
    fs::rename(site.path("tmp/newer.jar"), &newer).unwrap();
    let dev2 = "dev2: { imei: \"352099001761499\"";
    edit(
        &site,
        &[("    release: 0.10.65\n", "    release: 0.10.66\n"), (dev2, "dev9: { imei: \"352099001769991\"")],
    );
    copy(&site, 1).iter().for_each(|shot| is_whole(shot));
    same(&site);

    // A file of equal size and time is not taken for the same.
    let jad = site.path("served/files/dev1/OwnTracks.jad");
    let (bytes, time) = (fs::read(&jad).unwrap(), fs::metadata(&jad).unwrap().modified().unwrap());
    fs::write(&jad, vec![b'x'; bytes.len()]).unwrap();
    fs::File::options().write(true).open(&jad).unwrap().set_modified(time).unwrap();
    copy(&site, 2);
    same(&site);

    // Back, and the release is withdrawn altogether.
    fs::remove_file(newer).unwrap();
    edit(&site, &[("    release: 0.10.66\n", "    release: 0.10.65\n")]);
    copy(&site, 3).iter().for_each(|shot| is_whole(shot));
    same(&site);
    assert!(!site.path("served/jars/0.10.66").exists());
    let sums = fs::read_to_string(site.path("served/jars/SHA256SUMS")).unwrap();
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        assert_eq!(Sha256::of(&fs::read(site.path("served/jars").join(path)).unwrap()).to_string(), sum);
    }
}

#[test]
fn what_is_not_published_is_not_copied() {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rsync.sh");
    let output = Command::new(&script).arg(dir.path()).arg(dir.path().join("served")).output().unwrap();
    let said = format!("{} is not a published directory: run otapress build\n", dir.path().display());
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(1), said));
    assert!(!dir.path().join("served").exists());
}
