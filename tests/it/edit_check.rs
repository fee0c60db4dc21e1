//! No command writes what `check` refuses: whatever is asked of a fleet without mistakes, it has none after.

use otapress_simulation::Prng;

use crate::support::project::{Files, Project, Ran, files};

/// A fleet in which much can go wrong: releases without a JAR or withdrawn, a group whose answer is too long,
/// one whose devices share a path.
const FLEET: &str = "\
site: http://ota.example.com
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
midlet: { name: OwnTracks, vendor: Choral }
channels:
  canary: 0.10.66
  stable: { release: 0.10.65, otherwise: 0.10.64, rollout: [{ percent: 5% }, { percent: 100%, at: 2099-01-01T00:00:00Z }] }
default: { channel: stable }
limits: { answer: 60B }
settings:
  long: { maxInterval: \"30\", minInterval: \"900\" }
groups:
  vans: {}
  cars: { settings: [long] }
inventory: [more.csv]
devices:
  dev1: { imei: \"352099001761481\" }
  dev2: { imei: \"352099001761499\", group: vans }
  held: { imei: \"352099001761523\", group: cars, hold: true }
withdrawn:
  0.10.63: loses its clock
";

fn project() -> Project {
    let project = Project::new(FLEET).jar("0.10.64").jar("0.10.63");
    project.file("more.csv", "clientID,imei,release\ndev3,352099001761507,\ndev4,352099001761515,0.10.66\n")
}

/// The fleet's own files, which commands may write.
fn written(project: &Project) -> Files {
    let is_own = |path: &String| path.starts_with("fleet") || path.starts_with("more");
    files(&project.path("")).into_iter().filter(|(path, _)| is_own(path)).collect()
}

fn run(project: &Project, args: &[String]) -> Ran {
    Ran::new(project.command().args(args).output().unwrap())
}

/// What chooses the commands.
struct Dice(Prng);

impl Dice {
    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.0.below(choices.len() as u64) as usize]
    }

    /// A command with choices in its words: `hold DEVICE`.
    fn command(&mut self) -> Vec<String> {
        let command = self.one_of(&[
            "edit hold DEVICE",
            "edit unhold DEVICE",
            "edit pin DEVICE RELEASE",
            "edit pin DEVICE DEVICE RELEASE",
            "edit unpin DEVICE",
            "edit move DEVICE --group GROUP",
            "edit move DEVICE --channel CHANNEL",
            "edit replace DEVICE --imei IMEI",
            "edit add-device NEW --imei IMEI --group GROUP",
            "edit add-device NEW --imei IMEI --inventory more.csv",
            "edit adopt IMEI --id NEW",
            "edit remove-device DEVICE",
            "edit withdraw RELEASE --reason bad",
            "promote CHANNEL RELEASE",
            "promote CHANNEL RELEASE --everyone",
            "promote CHANNEL RELEASE --everyone --otherwise RELEASE",
            "promote NEW RELEASE --new",
            "promote CHANNEL --back --force --reason bad",
            "promote CHANNEL --back --force --reason bad --to RELEASE",
        ]);
        let word = |word: &str| match word {
            "DEVICE" => self.one_of(&["dev1", "dev2", "dev3", "dev4", "held", "new1"]).to_owned(),
            "RELEASE" => self.one_of(&["0.10.63", "0.10.64", "0.10.65", "0.10.66", "0.10.67"]).to_owned(),
            "GROUP" => self.one_of(&["vans", "cars", "bikes"]).to_owned(),
            "CHANNEL" => self.one_of(&["canary", "stable", "night"]).to_owned(),
            "IMEI" => self.one_of(&["352099001761531", "352099001761549", "352099001761481"]).to_owned(),
            "NEW" => self.one_of(&["new1", "new2", "dev1"]).to_owned(),
            other => other.to_owned(),
        };
        command.split(' ').map(word).collect()
    }
}

#[test]
fn no_command_writes_what_check_refuses() {
    let (mut done, mut refused) = (0, 0);
    for seed in 1..=8 {
        let mut dice = Dice(Prng::new(seed));
        let project = project();
        project.run("check -q").expect(0, "", "");
        let mut history = Vec::new();
        for _ in 0..16 {
            let command = dice.command();
            let before = written(&project);
            let ran = run(&project, &command);
            let what = format!("seed {seed}, after {history:?}: {command:?}: {}", ran.stderr);
            if ran.status == 0 {
                done += 1;
                let check = project.run("check -q");
                assert_eq!(check.status, 0, "{what}: {}", check.stderr);
                history.push(command.join(" "));
            } else {
                refused += 1;
                assert_eq!(written(&project), before, "{what}");
                assert!(ran.stderr.contains("error"), "{what}");
            }
        }
    }
    assert!(done > 30 && refused > 30, "{done} done, {refused} refused");
}

#[test]
fn a_mistake_is_refused_with_the_way_out() {
    let project = project();
    let before = written(&project);
    let refused = |args: &str, says: &str| {
        for args in [args.to_owned(), format!("{args} --dry-run")] {
            let ran = project.run(&args);
            assert_eq!((ran.status, &*ran.stdout), (1, ""), "{args}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{args}: {}", ran.stderr);
            let end = "error: the edit would break the fleet, so nothing was written\n";
            assert!(ran.stderr.ends_with(end), "{args}: {}", ran.stderr);
            assert_eq!(written(&project), before, "{args}");
        }
    };
    refused("edit pin dev1 0.10.67", "hint: add its JAR with `otapress add OwnTracks-0.10.67.jar`");
    refused("edit pin dev3 0.10.63", "release `0.10.63` is withdrawn: loses its clock");
    refused("edit move dev1 --group cars", "error[answer-size]: the answer to device `dev1`");
    refused("edit unhold held", "error[answer-size]: the answer to device `held`");
    refused("edit withdraw 0.10.66 --reason bad", "hint: name another release");
}

/// Who has a mistake already mends it by command, or does something else.
#[test]
fn a_fleet_with_mistakes_is_mended_by_command() {
    let project = project();
    project.edit("more.csv", "dev3,352099001761507,", "dev3,352099001761507,0.10.67");
    project.edit("more.csv", "1761515,0.10.66", "1761515,0.10.67");
    project.edit("fleet.yaml", "group: cars, hold: true", "group: cars");
    assert_eq!(project.run("check -q").status, 1);
    // Another mistake of the same kind is one more.
    let ran = project.run("edit -q pin dev1 0.10.68");
    assert!(ran.status == 1 && ran.stderr.contains("release `0.10.68` is not in jars/"), "{}", ran.stderr);
    for args in ["hold dev2", "unpin dev3", "unpin dev4", "hold held"] {
        project.run(&format!("edit -q {args}")).expect(0, "", "");
    }
    project.run("check -q").expect(0, "", "");
}
