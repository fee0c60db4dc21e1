//! `simulate`: whole fleets against the server, as a library and as a command.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use otapress_core::wire::Release;
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::SqliteStore;
use otapress_simulation::{Play, Player, Report, Servers, play};

use crate::support::canned::NOBODY;
use crate::support::jar::{CLASS, JarBuilder};
use crate::support::ports::free_address;
use crate::support::process::{Fleet, Serve, YAML};
use crate::support::project::Ran;
use crate::support::proxy::{Proxy, Reply};
use crate::support::server::Server;
use crate::support::tls::Front;
use crate::support::tree::{Tree, offer};

const DEVICES: usize = 20;

fn imei(n: usize) -> String {
    format!("1234567890123{n:02}")
}

/// A site with a release that twenty devices are to run.
fn fleet() -> (Tree, Release) {
    let mut tree = Tree::new();
    tree.release("0.10.65");
    let release = tree.release("0.10.66");
    for n in 0..DEVICES {
        let mut file = offer(&release);
        // The failures here are meant, and must not stop the others.
        let brake = &mut file.offer.target.as_mut().unwrap().brake;
        (brake.artifact_faults, brake.failures_bp) = (0, 10_000);
        tree.jad(&format!("dev{n}"), &release);
        tree.vc(&imei(n), &file);
    }
    (tree, release)
}

fn players(server: &Server) -> Vec<Player> {
    (0..DEVICES)
        .map(|n| Player {
            device: server.device(&format!("dev{n}"), &imei(n), "0.10.65"),
            target: Some("0.10.66".parse().unwrap()),
            attempts: 3,
        })
        .collect()
}

fn plan() -> Play {
    Play { seed: 7, seconds: 7 * 3600, record: true, fail: None, silent: 0, lose: 0 }
}

fn run(what: &Play) -> (Report, Tree) {
    let (tree, _) = fleet();
    let server = Server::start(&tree);
    let report = play(what, players(&server), &mut Servers, &mut |_| true);
    server.stop();
    (report, tree)
}

/// How many devices, rollouts and events the state has.
fn state(tree: &Tree) -> (usize, usize, usize) {
    let mut counts = (0, 0, 0);
    SqliteStore::open(&tree.state(), Duration::from_secs(5))
        .unwrap()
        .read(&mut |tx| {
            counts = (tx.devices(None, 100)?.len(), tx.rollouts()?.len(), tx.events(0, 1000)?.len());
            Ok(())
        })
        .unwrap();
    counts
}

#[test]
fn a_fleet_upgrades_with_one_download_each() {
    let (report, tree) = run(&plan());
    assert!(report.is_clean(), "{}", report.to_text());
    assert_eq!((report.offered, report.upgraded, report.failed), (DEVICES, DEVICES, 0));
    assert_eq!(report.jar_downloads, [(1, DEVICES)].into());
    assert_eq!(report.requests["jar"], DEVICES);
    assert_eq!(report.reboots, DEVICES);
    // At start-up, after the upgrade, and then once in each versionInterval: three or four in seven hours.
    let checks = report.requests["check"];
    assert!((3 * DEVICES..=4 * DEVICES).contains(&checks), "{checks}");
    assert_eq!(report.curve.len(), 7);
    assert_eq!(report.curve.iter().sum::<usize>(), report.requests.values().sum::<usize>());
    // The start is spread over the first interval.
    assert!(report.curve[..3].iter().all(|&requests| requests > 0), "{:?}", report.curve);
    let (devices, rollouts, _) = state(&tree);
    assert_eq!((devices, rollouts), (DEVICES, 1));
}

#[test]
fn without_record_the_state_stays_empty() {
    let (report, tree) = run(&Play { record: false, fail: Some((1000, 904)), ..plan() });
    assert_eq!((report.upgraded, report.failed), (18, 2));
    assert_eq!(state(&tree), (0, 0, 0));
    // The responder does not remember the attempts, so the devices do.
    assert_eq!(report.jar_downloads, [(1, 18), (3, 2)].into());
}

#[test]
fn the_same_seed_gives_the_same_table() {
    let what = Play { fail: Some((2500, 907)), lose: 2000, ..plan() };
    let (first, second) = (run(&what).0, run(&what).0);
    assert_eq!(first, second);
    assert_eq!(first.to_text(), second.to_text());
    assert_eq!(serde_json::to_value(&first).unwrap(), serde_json::to_value(&second).unwrap());
    let other = run(&Play { seed: 8, ..what }).0;
    assert_ne!(first.curve, other.curve);
}

#[test]
fn failures_and_lost_answers_are_counted() {
    // 10 % of twenty devices, with three attempts each.
    let (report, tree) = run(&Play { fail: Some((1000, 904)), lose: 3000, ..plan() });
    assert_eq!((report.offered, report.upgraded, report.failed), (20, 18, 2));
    assert_eq!(report.attempts, [(Some(900), 18), (Some(904), 6)].into());
    assert_eq!(report.unexpected_failures, 0);
    assert!(report.lost > 0);
    assert!(report.is_clean(), "{}", report.to_text());
    let mut store = SqliteStore::open(&tree.state(), Duration::from_secs(5)).unwrap();
    store
        .read(&mut |tx| {
            let rollout = tx.rollout("next/0.10.66")?;
            assert_eq!((rollout.offered, rollout.succeeded, rollout.failed), (20, 18, 2));
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_goes_wrong_by_itself_is_not_clean() {
    let (tree, _) = fleet();
    let server = Server::start(&tree);
    let proxy = Proxy::start(server.address, |seen, reply| {
        if seen.line.contains("/otap/version") { Reply::new("405 Method Not Allowed", "") } else { reply }
    });
    let mut broken = players(&server);
    broken.iter_mut().for_each(|player| player.device.network.connect_to = Some(proxy.address));
    let report = play(&Play { seconds: 3600, ..plan() }, broken, &mut Servers, &mut |_| true);
    assert!(!report.is_clean());
    assert_eq!(report.offered, 0);
    let checks = report.requests["check"];
    // Ten posts, and then the device is spared.
    assert_eq!(checks, report.given_up * 10);
    assert_eq!(report.no_answers, [("status 405".into(), checks)].into());
    assert_eq!(report.not_200, [("check 405".to_owned(), checks)].into());

    fs::remove_dir_all(tree.out().join("files")).unwrap();
    for record in [false, true] {
        let report = play(&Play { record, ..plan() }, players(&server), &mut Servers, &mut |_| true);
        assert!(!report.is_clean());
        assert_eq!((report.upgraded, report.failed), (0, DEVICES));
        assert_eq!(report.unexpected, ["the modem refused: Status(404)"]);
        // Three attempts, although no minute passes on the server's clock.
        assert_eq!(report.attempts, [(None, 3 * DEVICES)].into());
    }
}

#[test]
fn an_interrupted_play_tells_what_is_known() {
    let (tree, _) = fleet();
    let server = Server::start(&tree);
    let report = play(&plan(), players(&server), &mut Servers, &mut |at| at < 3600);
    assert!(report.interrupted.is_some_and(|at| (3600..10800).contains(&at)));
    assert!(report.offered < DEVICES && report.offered > 0);
    assert_eq!(report.curve[1..], [0; 6]);
}

#[test]
fn a_play_without_a_server_ends() {
    let (tree, _) = fleet();
    let server = Server::start(&tree);
    let mut alone = players(&server);
    server.stop();
    alone.iter_mut().for_each(|player| player.device.network.connect_to = Some(NOBODY));
    let report = play(&plan(), alone, &mut Servers, &mut |_| true);
    assert!(!report.is_clean() && report.interrupted.is_some());
    assert_eq!(report.requests["check"], 10);
}

/// The example fleet of the repository, built in a directory of its own and served by the command.
struct Example {
    dir: tempfile::TempDir,
    url: String,
    server: Child,
}

impl Example {
    fn start() -> Example {
        let dir = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        fs::copy(root.join("fleet.yaml"), dir.path().join("fleet.yaml")).unwrap();
        for sub in ["jars", "devices"] {
            fs::create_dir(dir.path().join(sub)).unwrap();
            for entry in fs::read_dir(root.join(sub)).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), dir.path().join(sub).join(entry.file_name())).unwrap();
            }
        }
        let mut server = otapress(dir.path())
            .args(["--quiet", "serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://127.0.0.1:"), "{line}");
        Example { dir, url, server }
    }

    fn run(&self, args: &[&str]) -> Output {
        otapress(self.dir.path()).args(args).output().unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn otapress(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otapress"));
    command.current_dir(dir);
    command
}

fn json(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text} {output:?}"))
}

#[test]
fn the_commands_play_the_example() {
    let example = Example::start();
    let probed = example.run(&["probe", &example.url, "--json"]);
    assert_eq!(probed.status.code(), Some(0), "{probed:?}");
    let (report, all) = (json(&probed), json(&probed)["devices"].as_u64().unwrap());
    assert_eq!(report["findings"], serde_json::json!([]));
    assert!(all > 3);
    let sampled = json(&example.run(&["probe", &example.url, "--json", "--sample", "3"]));
    assert_eq!(sampled["devices"], 3);

    let simulated = example.run(&["simulate", "--url", &example.url, "--json", "--seed", "3"]);
    assert_eq!(simulated.status.code(), Some(0), "{simulated:?}");
    let report = json(&simulated);
    assert_eq!(report["devices"], all);
    assert_eq!(report["upgraded"], report["withTarget"]);
    let again = example.run(&["simulate", "--url", &example.url, "--json", "--seed", "3"]);
    assert_eq!(again.stdout, simulated.stdout);

    // A directory that is not what the fleet says.
    let jad = fs::read_dir(example.dir.path().join("out/files")).unwrap().next().unwrap().unwrap().path();
    fs::remove_dir_all(jad).unwrap();
    let probed = example.run(&["probe", &example.url]);
    assert_eq!(probed.status.code(), Some(1), "{probed:?}");

    assert_eq!(example.run(&["probe", &example.url, "--allow", "no-such-code"]).status.code(), Some(2));
    for wrong in [&["probe", "https://127.0.0.1/"][..], &["simulate", "--url", "http://127.0.0.1/x"]] {
        assert_eq!(example.run(wrong).status.code(), Some(1), "{wrong:?}");
    }
    assert_eq!(example.run(&["simulate", "--fail", "3%:900"]).status.code(), Some(2));
}

#[test]
fn ctrl_c_prints_what_is_known() {
    let example = Example::start();
    let mut simulated = otapress(example.dir.path())
        .args(["simulate", "--url", &example.url, "--speed", "1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says nothing before its end.
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_child(&simulated);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut text = String::new();
    simulated.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(report["interrupted"].as_u64().is_some_and(|second| second < 10800), "{text}");
    assert_eq!(simulated.wait().unwrap().code(), Some(1));
}

/// The MIDlet asks an https versionURI by itself; JADs, JARs and results stay with the modem.
#[test]
fn version_checks_over_https_trust_whom_they_are_told_to() {
    let address = free_address();
    let front = Front::start(address);
    let site = format!("http://{address}");
    let yaml = YAML.replace("http://ota.example.com", &site);
    let check = format!("versionURI: {site}/");
    let fleet = Fleet::new(&yaml.replace(&check, &format!("versionURI: https://{}/", front.address)));
    let _serve = Serve::start(fleet.command(&["serve", "--listen", &address.to_string()])).unwrap();
    let authority = front.authority();
    let simulate = |more: &[&str]| Ran::new(fleet.run(&[&["simulate", "--json", "--url"], more].concat()));
    let ran = simulate(&["--cafile", authority.to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.status, &report["upgraded"]), (0, &1.into()), "{ran:?}");
    // In clear text to the server behind it: no certificate is looked at.
    assert_eq!(simulate(&[&site]).status, 0);
    // Nobody else is trusted.
    let ran = simulate(&[]);
    assert!(ran.status == 1 && ran.stdout.contains("no encrypted connection: "), "{ran:?}");
    let ran = simulate(&["--cafile", fleet.path("fleet.yaml").to_str().unwrap()]);
    assert!(ran.status == 1 && ran.stderr.contains("holds no certificate in PEM"), "{ran:?}");
}

/// The JAR's URL and file are of ASCII; the JAD repeats the name as UTF-8.
#[test]
fn a_suite_whose_name_is_beyond_ascii_goes_all_the_way() {
    let address = free_address();
    let yaml = YAML.replace("http://ota.example.com", &format!("http://{address}"));
    let fleet = Fleet::new(&yaml.replace("name: OwnTracks, vendor: Choral", "name: Zürich, vendor: Chorál"));
    fs::remove_dir_all(fleet.path("jars")).unwrap();
    fs::create_dir(fleet.path("jars")).unwrap();
    for version in ["0.10.65", "0.10.66"] {
        let jar = JarBuilder::new("Zürich", version, "Chorál").attribute("MIDlet-1", &format!("Z,,{CLASS}"));
        fleet.write("new.jar", jar.build());
        let ran = Ran::new(fleet.run(&["add", fleet.path("new.jar").to_str().unwrap()]));
        assert_eq!((ran.status, ran.stderr.matches("warning[jar-non-ascii]").count()), (0, 2), "{ran:?}");
        assert!(fleet.path(&format!("jars/Z=C3=BCrich-{version}.jar")).exists());
    }
    let _serve = Serve::start(fleet.command(&["serve", "--listen", &address.to_string()])).unwrap();
    let jad = fs::read_to_string(fleet.path("out/files/dev1/OwnTracks.jad")).unwrap();
    assert!(jad.contains("MIDlet-Name: Zürich\n") && jad.contains("/Z=C3=BCrich.jar\n"), "{jad}");
    let probed = Ran::new(fleet.run(&["probe"]));
    assert_eq!(probed.status, 0, "{probed:?}");
    let played = Ran::new(fleet.run(&["simulate", "--json", "--url", &format!("http://{address}")]));
    let report: serde_json::Value = serde_json::from_str(&played.stdout).unwrap();
    assert_eq!((played.status, &report["upgraded"]), (0, &1.into()), "{played:?}");
    let mut sums = Command::new("sha256sum");
    let sums = sums.args(["-c", "SHA256SUMS"]).current_dir(fleet.path("out/jars"));
    assert!(sums.output().unwrap().status.success());
}
