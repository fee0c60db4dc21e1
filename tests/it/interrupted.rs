//! Builds that are killed, meet a full or read-only disk or each other, and devices that download all the
//! time: nobody is hurt.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use otapress_core::digest::Sha256;
use otapress_publish::{jad, jar};
use otapress_simulation::Prng;

use crate::support::mounts::with_mounts;
use crate::support::process::{Serve, heavy, otapress};
use crate::support::project::{Files, Project, SMALL, difference, files};
use crate::support::release::{Release, violations};

/// A fleet of many devices that run one release.
pub fn fleet(devices: u32, release: &str) -> String {
    let list: String = (0..devices).map(|n| format!("  dev{n}: {{ imei: \"3520990{n:07}\" }}\n")).collect();
    SMALL.split("devices:").next().unwrap().replace("0.10.65", release) + "devices:\n" + &list
}

/// A build that has begun.
fn begin(project: &Project) -> std::process::Child {
    project.command().args(["build", "-q", "--allow-mass-removal"]).spawn().unwrap()
}

#[test]
fn killed_five_hundred_times() {
    const KILLS: usize = 250;
    let _alone = heavy();
    let in_the_middle = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            let in_the_middle = &in_the_middle;
            scope.spawn(move || in_the_middle.fetch_add(kill(KILLS, seed), Ordering::Relaxed));
        }
    });
    // The other ones came too early or too late to find anything half done.
    let in_the_middle = in_the_middle.into_inner();
    assert!(in_the_middle > 20, "only {in_the_middle} were killed while they wrote");
}

/// Kills builds on their way from a release to another; says how many of them were found in the middle of it.
fn kill(kills: usize, seed: u64) -> usize {
    // Enough for two threads.
    const DEVICES: u32 = 80;
    let text = |n: usize| match n {
        0 => fleet(DEVICES, "0.10.65"),
        1 => fleet(DEVICES, "0.10.66"),
        // Fewer devices, and one of them held.
        2 => fleet(DEVICES / 2, "0.10.66").replace("0000007\" }", "0000007\", hold: true }"),
        _ => fleet(DEVICES, "0.10.66").replace("files/@/OwnTracks.jad", "@.jad"),
    };
    let texts: Vec<String> = (0..4).map(text).collect();
    let releases: Vec<_> = texts.iter().map(|text| Release::of(Project::new(text))).collect();
    let project = Project::empty_in_memory();
    for (path, bytes) in files(&Project::new(SMALL).path("jars")) {
        project.write(&format!("jars/{path}"), bytes);
    }
    let mut prng = Prng::new(seed);
    let mut now: Option<usize> = None;
    let mut duration = Duration::from_millis(100);
    let (mut killed, mut in_the_middle) = (0, 0);
    while killed < kills {
        // Now and then all of it is new.
        if prng.below(8) == 0 && now.take().is_some() {
            fs::remove_dir_all(project.path("out")).unwrap();
        }
        let next = (now.unwrap_or(0) + 1 + prng.below(3) as usize) % releases.len();
        let (before, after) = (now.map(|now| &releases[now]), &releases[next]);
        project.write("fleet.yaml", &texts[next]);
        for _ in 0..=prng.below(3) {
            let mut build = begin(&project);
            let microseconds = prng.below(duration.as_micros() as u64);
            std::thread::sleep(Duration::from_micros(microseconds));
            build.kill().unwrap();
            let ended = build.wait().unwrap();
            killed += usize::from(ended.code().is_none());
            let out = project.out_or_nothing();
            let found = violations(&out, before, after);
            assert!(found.is_empty(), "killed after {microseconds} µs:\n{}", found.join("\n"));
            let nothing = Files::new();
            let is_before = out == *before.map_or(&nothing, |before| &before.files);
            let half_a_tree = project.path(".out.otapress-new").exists();
            in_the_middle += usize::from(half_a_tree || !is_before && out != after.files);
        }
        let begun = Instant::now();
        assert!(begin(&project).wait().unwrap().success());
        duration = begun.elapsed();
        assert_eq!(difference(&project.out(), &after.files), "");
        now = Some(next);
    }
    in_the_middle
}

#[test]
fn a_full_disk_keeps_the_fleet_and_what_lies_beside_out() {
    let project = Project::new(SMALL);
    let script = "
        mkdir disk
        mount -t tmpfs tmpfs disk
        cp -a fleet.yaml jars disk/
        cd disk
        \"$0\" build -q --depfile r.d
        \"$0\" plan -O plan.json > ../said
        cp -a . ../before
        mount -o remount,nr_inodes=$(find . | wc -l) tmpfs .
        for command in 'edit hold dev1' 'plan -O plan.json' 'promote stable 0.10.66' 'build --depfile r.d'; do
            \"$0\" $command >> ../said 2>&1 && echo $command >> ../done
        done
        cp -a . ../after
        mount -o remount,nr_inodes=0 tmpfs .
        \"$0\" promote -q stable 0.10.66
        \"$0\" build -q --check && cp fleet.yaml ../next";
    with_mounts(script, &project.path(""), &[]);
    let said = project.read("said");
    assert!(!project.path("done").exists(), "{}{said}", project.read("done"));
    assert_eq!(said.matches("No space left on device").count(), 4, "{said}");
    let (before, after) = (files(&project.path("before")), files(&project.path("after")));
    assert_eq!(difference(&after, &before), "");
    assert_eq!(project.read("next"), SMALL.replace("stable: 0.10.65", "stable: 0.10.66"));
}

#[test]
fn a_full_disk_changes_nothing() {
    let (old, new) = (fleet(20, "0.10.65"), fleet(20, "0.10.66"));
    let before = Release::of(Project::new(&old));
    let after = Release::of(Project::new(&new));
    let project = Project::new(&old);
    project.build();
    project.write("fleet.yaml", &new);
    // The disk is full after so many files and directories more than there are.
    let script = "
        mkdir disk results
        for room in 0 1 2 3 5 8 13 21 34 55; do
            result=$PWD/results/$room
            mkdir $result
            mount -t tmpfs tmpfs disk
            cp -a fleet.yaml jars out disk/
            used=$(find disk | wc -l)
            mount -o remount,nr_inodes=$((used + room)) tmpfs disk
            (cd disk && \"$0\" build) 2> $result/said && echo 0 > $result/status || echo $? > $result/status
            cp -a disk/out $result/full
            mount -o remount,nr_inodes=0 tmpfs disk
            (cd disk && \"$0\" build -q)
            cp -a disk/out $result/next
            umount disk
        done";
    with_mounts(script, &project.path(""), &[]);
    let mut statuses = BTreeMap::new();
    for room in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        let result = |name: &str| project.path(&format!("results/{room}/{name}"));
        let said = fs::read_to_string(result("said")).unwrap();
        let status: i32 = fs::read_to_string(result("status")).unwrap().trim().parse().unwrap();
        if status == 0 {
            assert_eq!(difference(&files(&result("full")), &after.files), "", "{room}");
        } else {
            assert_eq!(status, 1);
            assert!(
                said.starts_with("error: cannot write `")
                    && said.ends_with("`: No space left on device (os error 28)\n"),
                "{said}"
            );
            assert_eq!(difference(&files(&result("full")), &before.files), "", "{room}");
        }
        *statuses.entry(status).or_insert(0) += 1;
        assert_eq!(difference(&files(&result("next")), &after.files), "", "{room}");
    }
    assert!(statuses[&1] >= 2 && statuses[&0] >= 1, "{statuses:?}");
}

#[test]
fn a_read_only_directory_is_said() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: 0.10.66");
    // The directory itself, and all that is around it; then it may still be looked at.
    let script = "
        mount --bind out out
        mount -o remount,bind,ro out
        \"$0\" build 2> said-out && exit 9 || [ $? = 1 ]
        mkdir all
        mount --bind . all
        mount -o remount,bind,ro all
        (cd all && \"$0\" build) 2> said-all && exit 9 || [ $? = 1 ]
        (cd all && \"$0\" build --check -q) && exit 9 || [ $? = 3 ]";
    with_mounts(script, &project.path(""), &[]);
    assert_eq!(difference(&project.out(), &before), "");
    let dir = fs::canonicalize(project.path("")).unwrap();
    let dir = dir.display();
    let said = project.read("said-out");
    assert!(
        said.starts_with(&format!("error: cannot write `{dir}/out/"))
            && said.ends_with("`: Read-only file system (os error 30)\n"),
        "{said}"
    );
    let said = project.read("said-all");
    assert!(
        said.starts_with(&format!("error: cannot write `{dir}/all/out/"))
            && said.ends_with("`: Read-only file system (os error 30)\n"),
        "{said}"
    );
}

/// Places in which out/ cannot be renamed: each is built in, twice, and left as it was but for what is
/// published.
#[test]
fn out_can_be_where_nothing_is_renamed() {
    let release = Release::of(Project::new(SMALL));
    let project = Project::new(SMALL);
    let script = "
        build() { \"$0\" build \"$@\" && \"$0\" build --check -q \"$@\" && ls -A ${2:-out}/.. > beside; }
        # A volume of its own file system, with what mkfs leaves in it and what a desktop does.
        mkdir out
        mount -t tmpfs tmpfs out
        mkdir -m 700 out/lost+found
        touch out/.DS_Store
        build
        sed -i s/stable:\\ 0.10.65/stable:\\ 0.10.66/ fleet.yaml
        build
        sed -i s/stable:\\ 0.10.66/stable:\\ 0.10.65/ fleet.yaml
        build
        [ -d out/lost+found ] && [ -f out/.DS_Store ]
        rmdir out/lost+found
        rm out/.DS_Store
        cp -a out mounted
        umount out
        # A directory of the same file system, mounted there.
        mkdir elsewhere
        mount --bind elsewhere out
        build
        umount out
        cp -a elsewhere bound
        # Around it nothing can be written.
        mkdir -p parent/out ro
        mount --bind parent ro
        mount -o remount,bind,ro ro
        mount --bind parent/out ro/out
        build -o ro/out
        [ \"$(ls -A ro)\" = out ]
        cp -a ro/out within
        umount ro/out ro
        # A link to where nothing is yet.
        mkdir volume
        ln -s volume/public link
        build -o link
        cp -a volume/public linked";
    with_mounts(script, &project.path(""), &[]);
    for found in ["mounted", "bound", "within", "linked"] {
        assert_eq!(difference(&files(&project.path(found)), &release.files), "", "{found}");
    }
    assert!(project.path("link").is_symlink());
}

#[test]
fn no_build_leaves_a_lock() {
    let project = Project::new(SMALL);
    project.build();
    let names = |dir: &Path| -> Vec<_> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let locks =
        |names: Vec<String>| names.into_iter().filter(|name| name.contains("lock")).collect::<Vec<_>>();
    assert_eq!(locks(names(&project.path(""))), Vec::<String>::new());
    let nothing = Project::empty();
    assert_eq!(nothing.run("build").status, 1);
    assert_eq!(names(&nothing.path("")), Vec::<String>::new());
}

#[test]
fn builds_of_different_releases_at_once_leave_one_of_them() {
    let project = Project::new(SMALL);
    let texts = ["0.10.65", "0.10.66"].map(|release| fleet(100, release));
    let releases = texts.each_ref().map(|text| Release::of(Project::new(text)));
    for (n, text) in texts.iter().enumerate() {
        project.write(&format!("{n}.yaml"), text);
    }
    for _ in 0..5 {
        let builds: Vec<_> = (0..6)
            .map(|n| {
                let fleet = format!("{}.yaml", n % 2);
                project.command().args(["build", "-q", "-f", &fleet]).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for build in builds {
            let output = build.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let out = project.out();
        assert!(releases.iter().any(|release| release.files == out));
    }
}

/// Fetches a JAD and the JAR that it names, as a device does; `get` gives a file's bytes.
fn download(get: &mut dyn FnMut(&str) -> Vec<u8>, device: u32) {
    let path = format!("files/dev{device}/OwnTracks.jad");
    let parsed = jad::parse(&get(&path)).unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
    let url = parsed.get("MIDlet-Jar-URL").unwrap();
    let path = url.strip_prefix("http://ota.example.com/").unwrap();
    let bytes = get(path);
    assert!(path.contains(&Sha256::of(&bytes).short()), "{path}");
    let jar = jar::read(&bytes).unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
    // Size, name, version and vendor.
    assert_eq!(jad::check(&parsed, &jar, url), [], "{path}");
}

/// Ends the downloads, also if a build fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn downloads_during_two_hundred_builds_are_whole() {
    const DEVICES: u32 = 40;
    let _alone = heavy();
    let project = Project::new(&fleet(DEVICES, "0.10.65"));
    project.build();
    let out = project.path("out");
    let mut command = otapress(["serve", "--quiet", "--no-build", "--listen", "127.0.0.1:0"]);
    command.arg("--out").arg(&out).arg("--state").arg(project.path("state"));
    let serve = Serve::start(command).unwrap();
    let (done, downloads) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let each = |count: &AtomicUsize, get: &mut dyn FnMut(&str) -> Vec<u8>| {
        let mut device = 0;
        while !done.load(Ordering::Relaxed) {
            download(get, device % DEVICES);
            device += 1;
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| each(&downloads[0], &mut |path| fs::read(out.join(path)).unwrap()));
        scope.spawn(|| {
            let mut client = serve.connect();
            each(&downloads[1], &mut |path| {
                let reply =
                    client.send("GET", &format!("/{path}"), "TC65i/352099001761481", "", b"").unwrap();
                assert_eq!(reply.status, 200, "{path}");
                reply.body
            });
        });
        let _done = Done(&done);
        for n in 0..200 {
            let release = if n % 2 == 0 { "0.10.66" } else { "0.10.65" };
            project.write("fleet.yaml", fleet(DEVICES, release));
            project.build();
        }
    });
    let downloads = downloads.map(AtomicUsize::into_inner);
    assert!(downloads.iter().all(|count| *count > 1000), "{downloads:?}");
}

/// Ctrl-C says what it leaves; here while another build is at work.
#[test]
fn an_interrupted_build_says_what_it_leaves() {
    let project = Project::new(SMALL);
    project.build();
    let lock = File::open(project.path("out")).unwrap();
    lock.lock().unwrap();
    let mut child = project.command().arg("build").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "another build is at work: waiting for it");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(
        lines.next().unwrap().unwrap(),
        "interrupted: what is published is complete, and the rest is as it was; `otapress build` goes on \
         from there"
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(lock);
    project.build();
}
