//! Publishing with every call failing or being the last one: no device is ever hurt, and the next build
//! completes.
//!
//! Each transition from a release to another is tried with a fault at each of its calls. After every one of
//! them the directory is looked at as a device would, then built again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use otapress_publish::publish::hashes::Hashes;
use otapress_publish::publish::scan::{Existing, scan};
use otapress_simulation::Prng;
use tempfile::TempDir;
use walkdir::WalkDir;

use self::faulty::{Fault, Faulty, Op};
use crate::support::project::{Files, Project, SMALL, difference, files, in_memory};
use crate::support::release::{KEPT, Release, TEMPORARY, violations};

mod faulty;

/// Fleets that can follow each other.
fn releases() -> Vec<(&'static str, Release)> {
    let devices = |lines: &str| SMALL.split("devices:").next().unwrap().to_owned() + "devices:\n" + lines;
    let all = "  dev1: { imei: \"352099001761481\" }\n  dev2: { imei: \"352099001761499\" }\n  dev3: \
        { imei: \"352099001761507\" }\n  a@b: { imei: \"352099001761515\" }\n";
    let uri = |text: &str, path: &str| text.replace("files/@/OwnTracks.jad", path);
    let base = devices(all);
    let next = base.replace("stable: 0.10.65", "stable: 0.10.66");
    let few = devices(
        "  dev1: { imei: \"352099001761481\", hold: true }\n  dev3: { imei: \"352099001761507\" }\n  dev4: \
         { imei: \"352099001761523\" }\n",
    )
    .replace("stable: 0.10.65", "stable: 0.10.67");
    let below = devices(
        "  dev1: { imei: \"352099001761481\", hold: true }\n  dev2: { imei: \"352099001761499\" }\n  dev5: \
         { imei: \"352099001761531\" }\n",
    );
    let per_device = "MIDlet-1: {{ manifest[\"MIDlet-1\"] }}\nMIDlet-Jar-Size: {{ jar.size \
        }}\nMIDlet-Jar-URL: {{ jar.url }}\nMIDlet-Name: OwnTracks\nMIDlet-Vendor: Choral\nMIDlet-Version: {{ \
        release.version }}\nMicroEdition-Configuration: CLDC-1.1\nMicroEdition-Profile: IMP-NG\nX-Device: {{ \
        device.clientID }}\n";
    let project = |fleet: &str, versions: &[&str]| {
        versions
            .iter()
            .fold(Project::empty().file("fleet.yaml", fleet), |project, version| project.jar(version))
    };
    let split = base.replace(
        "channels:",
        "groups:\n  other: { provisioning: { otapURI: http://ota.example.com/elsewhere/@.jad } }\nchannels:",
    );
    let projects = [
        ("base", project(&base, &["0.10.65", "0.10.66"])),
        ("next", project(&next, &["0.10.65", "0.10.66", "0.10.67"])),
        ("few", project(&few, &["0.10.66", "0.10.67"])),
        ("shared", project(&uri(&base, "all.jad"), &["0.10.65"])),
        ("below", project(&uri(&below, "all.jad/@.jad"), &["0.10.65", "0.10.67"])),
        ("deeper", project(&uri(&next, "all.jad/@.jad/x.jad"), &["0.10.66"])),
        (
            "split",
            project(
                &uri(&split.replace("352099001761481\"", "352099001761481\", group: other"), "all.jad/@.jad"),
                &["0.10.65"],
            ),
        ),
        (
            "settings",
            project(
                &(next.clone() + "settings: { quiet: { keepAlive: \"300\" } }\n")
                    .replace("default: { channel", "default: { settings: [quiet], channel"),
                &["0.10.65", "0.10.66"],
            ),
        ),
        ("template", project(&next, &["0.10.66"]).file("templates/OwnTracks.jad", per_device)),
    ];
    projects.into_iter().map(|(name, project)| (name, Release::of(project))).collect()
}

/// A directory that is published to again and again.
struct Site {
    dir: TempDir,
    /// Whether a host keeps a file there, so that a first tree must be built inside.
    hosted: bool,
}

impl Site {
    fn new(hosted: bool) -> Self {
        Site { dir: in_memory(), hosted }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn files(&self) -> Files {
        if self.out().exists() { files(&self.out()) } else { Files::new() }
    }

    /// Makes it what a good build of a release leaves.
    fn reset(&self, before: Option<&Release>) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            std::fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        if self.hosted {
            std::fs::create_dir_all(self.out().join(KEPT)).unwrap();
            std::fs::write(self.out().join(KEPT).join("token"), "of the host").unwrap();
        }
        if let Some(before) = before {
            before.publish(&Faulty::new(Fault::Never), &self.out()).unwrap();
        }
    }

    /// What is wrong with it on its way, and after the next build.
    fn faults(&self, before: Option<&Release>, after: &Release) -> Vec<String> {
        let mut found = violations(&self.files(), before, after);
        match after.publish(&Faulty::new(Fault::Never), &self.out()) {
            Ok(()) => found.extend(self.not_complete(after)),
            Err(error) => found.push(format!("the next build fails: {error}")),
        }
        found
    }

    /// How it differs from what a good build of a release leaves.
    fn not_complete(&self, release: &Release) -> Vec<String> {
        let mut files = self.files();
        assert_eq!(files.remove(&format!("{KEPT}/token")).is_some(), self.hosted);
        let mut found = vec![difference(&files, &release.files)];
        let (existing, hidden) = scan(&self.out(), &mut Hashes::default()).unwrap();
        hidden.are_kept(&self.out(), &BTreeSet::from([KEPT.to_owned()])).unwrap();
        match existing {
            Existing::Published(published) => {
                found.extend(published.leftovers.iter().map(|path| format!("left over: {}", path.display())));
            }
            other => found.push(format!("{other:?}")),
        }
        let beside = WalkDir::new(self.dir.path()).max_depth(1).min_depth(1);
        found.extend(
            beside
                .into_iter()
                .map(|entry| entry.unwrap().path().display().to_string())
                .filter(|path| !path.ends_with("/out")),
        );
        found.retain(|fault| !fault.is_empty());
        found
    }
}

/// Every transition, also from nothing.
fn each_transition(test: impl Fn(&str, &Site, Option<&Release>, &Release) + Sync) {
    let releases = releases();
    let nothing = ("nothing", None);
    let befores: Vec<_> = std::iter::once(nothing)
        .chain(releases.iter().map(|(name, release)| (*name, Some(release))))
        .collect();
    // Two halves at a time.
    std::thread::scope(|scope| {
        for half in befores.chunks(befores.len().div_ceil(2)) {
            let (releases, test) = (&releases, &test);
            scope.spawn(move || {
                let site = Site::new(false);
                for (from, before) in half {
                    for (to, after) in releases.iter().filter(|(to, _)| follows(from, to)) {
                        test(&format!("from {from} to {to}"), &site, *before, after);
                    }
                }
            });
        }
    });
}

/// Paths are what differs most; that other things change as well is tried with one of them.
fn follows(before: &str, after: &str) -> bool {
    let special = |name| ["settings", "template"].contains(&name);
    before != after && (before == "next" || after == "next" || !special(before) && !special(after))
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

/// What a build of `after` asks of the disk.
fn ops(site: &Site, before: Option<&Release>, after: &Release) -> Vec<Op> {
    site.reset(before);
    let disk = Faulty::new(Fault::Never);
    after.publish(&disk, &site.out()).unwrap();
    disk.into_ops()
}

#[test]
fn any_call_can_fail_or_be_the_last() {
    each_transition(each_fault);
}

fn each_fault(what: &str, site: &Site, before: Option<&Release>, after: &Release) {
    let calls = ops(site, before, after).len();
    assert_none(what, &site.not_complete(after));
    for at in 0..calls {
        for fault in [Fault::Once(at), Fault::Last(at), Fault::Full(at)] {
            site.reset(before);
            let was = site.files();
            let result = after.publish(&Faulty::new(fault), &site.out());
            let what = format!("{what}, {fault:?} of {calls}, {:?}", result.as_ref().err());
            // Where it says that it is done, it is.
            if result.is_ok() {
                assert_none(&what, &site.not_complete(after));
            } else if matches!(fault, Fault::Full(_)) {
                assert_eq!(difference(&site.files(), &was), "", "{what}: a full disk changes nothing");
            }
            assert_none(&what, &site.faults(before, after));
        }
    }
}

#[test]
fn two_faults_in_a_row() {
    each_transition(some_pairs_of_faults);
}

fn some_pairs_of_faults(what: &str, site: &Site, before: Option<&Release>, after: &Release) {
    let calls = ops(site, before, after).len();
    let mut prng = Prng::new(calls as u64);
    for _ in 0..10 {
        site.reset(before);
        let first = Fault::Last(prng.below(calls as u64) as usize);
        let second = Fault::Last(prng.below(calls as u64) as usize);
        let _ = after.publish(&Faulty::new(first), &site.out());
        let _ = after.publish(&Faulty::new(second), &site.out());
        assert_none(&format!("{what}, {first:?}, then {second:?}"), &site.faults(before, after));
    }
}

#[test]
fn what_no_barrier_has_saved_can_be_lost() {
    each_transition(each_power_cut);
}

/// The machine stops: what came before the last barrier is on the disk; of what came after it, any part, and
/// of the files that were written then, any part of their content.
fn each_power_cut(what: &str, site: &Site, before: Option<&Release>, after: &Release) {
    let ops = ops(site, before, after);
    let mut prng = Prng::new(ops.len() as u64);
    let mut start = 0;
    for part in ops.split_inclusive(|op| *op == Op::Barrier) {
        for round in 0..8 + part.len() {
            site.reset(before);
            ops[..start].iter().for_each(|op| op.run().unwrap());
            for (n, op) in part.iter().enumerate() {
                // Each once alone, then at random.
                let is_kept = if round < part.len() { n == round } else { prng.below(2) == 0 };
                match op {
                    _ if !is_kept => {}
                    // What it depends on may be lost; then it is, too.
                    Op::Create(path, bytes) => {
                        let kept = prng.below(bytes.len() as u64 + 1) as usize;
                        let _ = Op::Create(path.clone(), bytes[..kept].into()).run();
                    }
                    op => drop(op.run()),
                }
            }
            let what = format!("{what}, call {start} to {}, round {round}", start + part.len());
            assert_none(&what, &site.faults(before, after));
        }
        start += part.len();
    }
}

/// A first tree that cannot be renamed into place as a whole.
#[test]
fn a_first_tree_can_be_built_inside() {
    let site = Site::new(true);
    for (name, release) in releases() {
        each_fault(name, &site, None, &release);
        some_pairs_of_faults(name, &site, None, &release);
        each_power_cut(name, &site, None, &release);
    }
}

/// Nor does the next build have to be of the same release.
#[test]
fn another_tree_can_follow_one_that_was_begun_inside() {
    let site = Site::new(true);
    let releases = releases();
    for ((name, one), (_, other)) in releases.iter().zip(&releases[1..]) {
        for at in 0..ops(&site, None, one).len() {
            site.reset(None);
            let _ = one.publish(&Faulty::new(Fault::Last(at)), &site.out());
            other.publish(&Faulty::new(Fault::Never), &site.out()).unwrap();
            assert_none(&format!("{name}, call {at}"), &site.not_complete(other));
        }
    }
}

/// The same with many devices and two threads.
#[test]
fn two_threads_can_fail_as_well() {
    let fleet = |release: &str, path: &str| {
        let list: String = (0..150).map(|n| format!("  dev{n}: {{ imei: \"3520990{n:07}\" }}\n")).collect();
        let head = SMALL.split("devices:").next().unwrap();
        head.replace("0.10.65", release).replace("files/@/OwnTracks.jad", path) + "devices:\n" + &list
    };
    let site = Site::new(false);
    let of = |release: &str, path: &str| Release::of(Project::new(&fleet(release, path)));
    let (one, other) = (of("0.10.65", "files/@/OwnTracks.jad"), of("0.10.66", "files/@.jad"));
    let mut prng = Prng::new(1);
    for round in 0..60 {
        let (before, after) = match round % 3 {
            0 => (None, &one),
            1 => (Some(&one), &other),
            _ => (Some(&other), &one),
        };
        site.reset(before);
        let at = prng.below(1200) as usize;
        let fault = if round % 2 == 0 { Fault::Last(at) } else { Fault::Once(at) };
        let result = after.publish(&Faulty::new(fault).concurrent(), &site.out());
        let what = format!("round {round}, {fault:?}");
        if result.is_ok() {
            assert_none(&what, &site.not_complete(after));
        }
        assert_none(&what, &site.faults(before, after));
    }
}

/// The checker finds what it is there to find.
#[test]
fn the_checker_sees_what_hurts() {
    let releases = releases();
    let of = |name: &str| &releases.iter().find(|(known, _)| *known == name).unwrap().1;
    let (before, after) = (of("base"), of("next"));
    assert_none("before", &violations(&before.files, Some(before), after));
    assert_none("after", &violations(&after.files, Some(before), after));
    let jad = "files/dev1/OwnTracks.jad";
    let answer = "vc/352099001761481.json";
    let jar = after.files.keys().find(|path| path.starts_with("jars/0.10.66/")).unwrap();
    type Hurt<'a> = Box<dyn Fn(&mut Files) + 'a>;
    let new = |path: &str, files: &mut Files| drop(files.insert(path.into(), after.files[path].clone()));
    let cases: Vec<(&str, Hurt<'_>, usize)> = vec![
        ("new JAD before the answer", Box::new(|files| new(jad, files)), 0),
        ("new answer before the JAD", Box::new(|files| new(answer, files)), 1),
        ("half a JAD", Box::new(|files| files.get_mut(jad).unwrap().truncate(100)), 3),
        ("no JAD", Box::new(|files| drop(files.remove(jad))), 2),
        ("no answer", Box::new(|files| drop(files.remove(answer))), 1),
        (
            "JAD before the JAR",
            Box::new(|files| {
                files.remove(jar);
                new(jad, files);
            }),
            3,
        ),
        ("damaged JAR", Box::new(|files| files.get_mut(jar).unwrap()[100] ^= 1), 2),
        ("empty otapress.json", Box::new(|files| files.get_mut("otapress.json").unwrap().clear()), 2),
        ("a stranger", Box::new(|files| drop(files.insert("vc/1.json".into(), b"{}".to_vec()))), 2),
        ("a temporary file", Box::new(|files| drop(files.insert(format!("vc/{TEMPORARY}x"), Vec::new()))), 0),
    ];
    for (what, hurt, count) in cases {
        let mut files = before.files.clone();
        hurt(&mut files);
        let found = violations(&files, Some(before), after);
        assert_eq!(found.len(), count, "{what}: {found:#?}");
    }
}
