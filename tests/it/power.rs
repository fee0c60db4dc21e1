//! The power is cut under the whole program: what was acknowledged is there, and no device finds half a release.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use otapress_simulation::Prng;

use crate::interrupted::fleet;
use crate::kill::{Acknowledged, assert_kept, clients, published, serving};
use crate::support::disk::PowerDisk;
use crate::support::process::{Serve, heavy, otapress};
use crate::support::project::{Files, Project, difference, files};
use crate::support::release::{Release, violations};

/// Brings a directory from the disk to where SQLite finds it.
fn take(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn what_serve_acknowledged_survives_a_loss_of_power() {
    let _alone = heavy();
    let (tree, mut disk) = (published(), PowerDisk::new());
    let mut acknowledged = Acknowledged::default();
    for round in 0..12 {
        let command = serving(&tree, &disk.path("state"));
        let mut serve = Serve::start(disk.on_it(&command)).unwrap_or_else(|ended| panic!("{ended:?}"));
        let clients = clients(&serve, &tree, round);
        thread::sleep(Duration::from_millis(30 + 97 * round as u64 % 600));
        serve.with_process(|process| disk.cut(process));
        for client in clients {
            acknowledged.extend(client.join().unwrap());
        }
        take(&disk.seen("state"), &tree.state());
        assert_kept(&tree, &acknowledged);
        let checked = otapress(["state", "check", "-s"]).arg(tree.state()).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(said.starts_with("nothing is wrong"), "round {round}: {checked:?}");
    }
    let results = acknowledged.results.len();
    assert!(results > 100, "{results} results are no load");
}

#[test]
fn a_build_is_whole_after_a_loss_of_power() {
    const CUTS: usize = 30;
    let _alone = heavy();
    let texts = [fleet(60, "0.10.65"), fleet(60, "0.10.66"), fleet(30, "0.10.66")];
    let releases: Vec<_> = texts.iter().map(|text| Release::of(Project::new(text))).collect();
    let (project, mut disk, mut prng) = (Project::new(&texts[0]), PowerDisk::new(), Prng::new(1));
    let build = |disk: &PowerDisk| {
        let mut command = project.command();
        command.args(["build", "-q", "--allow-mass-removal", "-f"]).arg(project.path("fleet.yaml"));
        disk.on_it(command.arg("--out").arg(disk.path("out"))).spawn().unwrap()
    };
    let out = |disk: &PowerDisk| match disk.seen("out") {
        out if out.exists() => files(&out),
        _ => Files::new(),
    };
    let mut now: Option<usize> = None;
    let mut duration = Duration::from_millis(300);
    let mut in_the_middle = 0;
    for cut in 0..CUTS {
        let next = now.map_or(0, |now| (now + 1 + prng.below(2) as usize) % releases.len());
        let (before, after) = (now.map(|now| &releases[now]), &releases[next]);
        project.write("fleet.yaml", &texts[next]);
        let mut begun = build(&disk);
        thread::sleep(Duration::from_micros(prng.below(duration.as_micros() as u64)));
        disk.cut(&mut begun);
        let left = out(&disk);
        let found = violations(&left, before, after);
        assert!(found.is_empty(), "cut {cut}:\n{}", found.join("\n"));
        let is_before = before.map_or(left.is_empty(), |before| left == before.files);
        in_the_middle += usize::from(!is_before && left != after.files);
        let at = Instant::now();
        assert!(build(&disk).wait().unwrap().success());
        duration = at.elapsed();
        assert_eq!(difference(&out(&disk), &after.files), "");
        // What a build has said to be published is there after a loss of power, too.
        let mut idle = disk.on_it(Command::new("sleep").arg("60")).spawn().unwrap();
        disk.cut(&mut idle);
        assert_eq!(difference(&out(&disk), &after.files), "");
        now = Some(next);
    }
    assert!(in_the_middle > 2, "only {in_the_middle} of {CUTS} cuts came in the middle");
}
