//! What an operator asks and tells: `show` with state, `retry`, `resume`.

use std::process::Output;

use otapress_responder::record::{DeviceRecord, EventKind};
use otapress_responder::service::Reply;
use otapress_responder::store::Store as _;
use otapress_responder::store::sqlite::SqliteStore;

use crate::support::asked::ask;
use crate::support::process::{Fleet, PATIENCE, YAML};

const IMEI: &str = "352099001761481";
const OTHER: &str = "352099001761499";

/// A fleet that is published, and devices that ask whenever they are told to.
struct Operated(Fleet);

fn yaml(channel: &str) -> String {
    YAML.replace("next: 0.10.66", &format!("next: {{ release: 0.10.66, {channel} }}"))
        + &format!("  dev2: {{ imei: \"{OTHER}\" }}\n")
}

impl Operated {
    fn new(yaml: &str) -> Self {
        let fleet = Fleet::new(yaml);
        let built = fleet.run(&["build"]);
        assert!(built.status.success(), "{built:?}");
        Operated(fleet)
    }

    /// Sends a request some seconds ago.
    fn ask(&self, ago: i64, target: &str, agent: &str, body: &str) -> Reply {
        ask(&self.0.path("out"), &self.0.path("state"), ago, target, agent, body)
    }

    fn check(&self, ago: i64, imei: &str, reported: &str) -> bool {
        let reply = self.ask(ago, "/otap/version", &format!("GW/{imei}"), reported);
        assert_eq!(reply.status, 200);
        reply.body.contains("\"upgrade\":1")
    }

    fn notify(&self, ago: i64, imei: &str, text: &str) {
        let agent = format!("TC65i/{imei} Profile/IMP-NG");
        assert_eq!(self.ask(ago, "/otap/notify?id=dev1", &agent, text).status, 200);
    }

    /// What a command prints, which must neither fail nor change the state.
    #[track_caller]
    fn shown(&self, arguments: &[&str]) -> String {
        let before = self.0.tree(".");
        let output = self.0.run(arguments);
        assert!(output.status.success(), "{output:?}");
        let same = |tree: Vec<(std::path::PathBuf, Vec<u8>)>| {
            // Who reads a database notes in its index of the log that it does.
            tree.into_iter().filter(|(path, _)| !path.ends_with("otapress.db-shm")).collect::<Vec<_>>()
        };
        let names = |tree: &[(std::path::PathBuf, Vec<u8>)]| {
            tree.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>()
        };
        let after = self.0.tree(".");
        assert_eq!(names(&after), names(&before));
        assert!(same(after) == same(before), "{arguments:?} has changed a file");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `show` says of the first device as its last line, after `asked now`.
    #[track_caller]
    fn now(&self) -> String {
        let text = self.shown(&["show", "dev1"]);
        let line = text.lines().last().unwrap();
        line.strip_prefix("asked now").unwrap_or_else(|| panic!("{text}")).trim_start().to_owned()
    }

    fn record(&self, imei: &str) -> DeviceRecord {
        let mut store = SqliteStore::open(&self.0.path("state"), PATIENCE).unwrap();
        let mut found = None;
        store
            .read(&mut |tx| {
                found = tx.device(imei.parse().unwrap())?;
                Ok(())
            })
            .unwrap();
        found.unwrap()
    }

    fn attempts(&self, imei: &str) -> u32 {
        self.record(imei).latest_offer().map_or(0, |offer| offer.attempts)
    }

    /// Uses the attempts of a device up.
    fn use_up(&self, imei: &str) {
        for n in 0..3 {
            assert!(self.check(3000 - 100 * n, imei, "0.10.65"));
        }
        assert!(!self.check(2000, imei, "0.10.65"));
        assert_eq!(self.attempts(imei), 3);
    }
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, message: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = std::str::from_utf8(&output.stderr).unwrap();
    assert!(said.lines().last().unwrap().contains(message), "{said}");
}

#[test]
fn without_state_there_is_nothing_to_tell_and_none_is_made() {
    let operated = Operated::new(YAML);
    assert!(operated.shown(&["show", "dev1"]).ends_with("state      it has not asked yet\n"));
    for (arguments, message) in [
        (&["retry", "dev1"][..], "no device has asked yet"),
        (&["retry", "--all"], "no device has asked yet"),
        (&["resume", "0.10.66"], "no device has asked yet"),
    ] {
        assert_fails(&operated.0.run(arguments), message);
    }
    assert!(!operated.0.path("state").exists());
}

#[test]
fn show_says_why_a_device_is_not_offered_its_target() {
    let operated = Operated::new(&yaml(
        "window: { days: [mon, tue, wed, thu, fri, sat, sun], from: \"00:00\", minutes: 1440 }",
    ));
    assert!(!operated.check(1000, OTHER, "nonsense"));
    assert!(operated.shown(&["show", "dev1"]).ends_with("it has not asked yet\n"), "only another one has");
    assert!(
        operated.shown(&["show", "dev2"]).ends_with("nothing can be offered before it reports a version\n")
    );
    assert!(operated.check(4000, IMEI, "0.10.65"));
    assert_eq!(operated.now(), "would be offered its target");

    // What the fleet says decides, not what was published.
    let fleet = &operated.0;
    for (from, to, expected) in [
        ("0.10.66,", "0.10.65,", "current: it runs its target"),
        (
            "0.10.66,",
            "0.10.66, rollout: [{ at: 2999-01-01T00:00:00Z, percent: 100% }],",
            "waiting-for-wave: its wave is not open yet",
        ),
        ("minutes: 1440 }", "minutes: 1440 }, rate: 1/h", "would be offered its target"),
    ] {
        fleet.edit("fleet.yaml", from, to);
        let now = operated.now();
        let now = now.strip_prefix("not offered an upgrade: ").unwrap_or(&now);
        assert_eq!(now, expected);
        fleet.edit("fleet.yaml", to, from);
    }
    // A window that opens in half a day, and one that was open half a day ago.
    let minutes = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() / 60;
    let later = (minutes + 720) % 1440;
    let window = format!("from: \"{:02}:{:02}\", minutes: 30 }}", later / 60, later % 60);
    fleet.edit("fleet.yaml", "from: \"00:00\", minutes: 1440 }", &window);
    assert_eq!(operated.now(), "not offered an upgrade: outside-window: the channel's window is closed");
    fleet.edit("fleet.yaml", &window, "from: \"00:00\", minutes: 1440 }");

    fleet.edit("fleet.yaml", "dev1: {", "dev1: { hold: true,");
    assert_eq!(operated.now(), "not offered an upgrade: held: `hold: true`");
    fleet.edit("fleet.yaml", "hold: true,", "");
    fleet.edit("fleet.yaml", "default: { channel: next }", "");
    assert_eq!(operated.now(), "not offered an upgrade: no-target: there is nothing that it should run");
    fleet.edit("fleet.yaml", "devices:", "default: { channel: next }\ndevices:");

    assert!(operated.check(600, IMEI, "0.10.67"), "git is right");
    fleet.edit("fleet.yaml", "0.10.66,", "0.10.66, downgrade: deny,");
    assert_eq!(
        operated.now(),
        "not offered an upgrade: downgrade-denied: it runs a higher version, and the channel says \
         `downgrade: deny`"
    );
}

#[test]
fn a_channel_that_has_offered_enough_for_this_hour() {
    let operated = Operated::new(&yaml("rate: 1/h"));
    assert!(operated.check(600, OTHER, "0.10.65"));
    assert!(!operated.check(500, IMEI, "0.10.65"));
    assert_eq!(
        operated.now(),
        "not offered an upgrade: rate-limited: the channel has made as many offers in the last hour as it may"
    );
}

#[test]
fn used_attempts_are_shown_and_given_back() {
    let operated = Operated::new(&yaml("attempts: 3"));
    operated.use_up(IMEI);
    operated.use_up(OTHER);
    operated.notify(1000, IMEI, "903 Loss of service");
    let text = operated.shown(&["show", IMEI]);
    for part in [
        "reports    0.10.65\n",
        "offers     3 of 0.10.66 in next/0.10.66, last ",
        ": failed\n",
        "result     903 Loss of service (loss of service), ",
        "asked now  not offered an upgrade: attempts-used: it has used its attempts; `otapress retry` gives \
         it new ones\n",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&operated.shown(&["show", "--json", "dev1"])).unwrap();
    let state = &json["state"];
    assert_eq!((state["refusal"].as_str(), state["offered"].as_bool()), (Some("attempts-used"), Some(false)));
    assert_eq!(state["offer"]["attempts"], 3);
    assert_eq!(state["result"]["code"], 903);

    let output = operated.0.run(&["retry", "dev1"]);
    assert_eq!(stdout(&output), "dev1 may try again\n");
    assert_eq!((operated.attempts(IMEI), operated.attempts(OTHER)), (0, 3), "only the one that was named");
    assert_eq!(operated.now(), "would be offered its target");
    assert!(operated.check(500, IMEI, "0.10.65"));
    assert_eq!(
        stdout(&operated.0.run(&["retry", IMEI, "dev2"])),
        format!("{IMEI} may try again\ndev2 may try again\n")
    );
    assert_eq!((operated.attempts(IMEI), operated.attempts(OTHER)), (0, 0));
    let output = operated.0.run(&["retry", "dev1"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "dev1 had used no attempt\n"));

    assert!(operated.check(300, IMEI, "0.10.65") && operated.check(300, OTHER, "0.10.65"));
    assert_eq!(stdout(&operated.0.run(&["retry", "--all", "--yes"])), "2 devices may try again\n");
    assert_eq!((operated.attempts(IMEI), operated.attempts(OTHER)), (0, 0));
}

#[test]
fn a_device_that_nobody_knows_gets_no_attempts() {
    let operated = Operated::new(&yaml("attempts: 3"));
    operated.use_up(IMEI);
    assert_fails(&operated.0.run(&["retry", "dev1", "nobody"]), "no device `nobody` in `");
    assert_eq!(operated.attempts(IMEI), 3, "all or none");
    let output = operated.0.run(&["retry", "999999999999999"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "999999999999999 is not in the fleet, and was offered nothing\n");
    assert_eq!(operated.0.run(&["retry"]).status.code(), Some(2));
    assert_eq!(operated.0.run(&["retry", "--all", "dev1"]).status.code(), Some(2));

    // With a mistake in the fleet, IMEIs are still known.
    operated.0.edit("fleet.yaml", "site:", "sight:");
    assert_fails(&operated.0.run(&["retry", "dev1"]), "clientIDs are known only from a fleet without errors");
    assert_eq!(stdout(&operated.0.run(&["retry", IMEI])), format!("{IMEI} may try again\n"));
    assert_eq!(operated.attempts(IMEI), 0);
}

#[test]
fn a_clientid_that_is_the_imei_of_another_device_is_a_clientid() {
    let yaml = YAML.to_owned() + &format!("  \"{OTHER}\": {{ imei: \"352099001761507\" }}\n");
    let operated = Operated::new(&yaml);
    assert!(operated.check(600, "352099001761507", "0.10.65"));
    assert_eq!(stdout(&operated.0.run(&["retry", OTHER])), format!("{OTHER} may try again\n"));
    assert_eq!(operated.attempts("352099001761507"), 0);
}

#[test]
fn a_halted_rollout_is_shown_and_goes_on() {
    let operated = Operated::new(&yaml("brake: { artifactFaults: 1, failures: 20%, after: 10 }"));
    assert_fails_to_resume(&operated);
    assert!(operated.check(4000, IMEI, "0.10.65"));
    operated.notify(3900, IMEI, "905 Attribute mismatch");
    assert!(!operated.check(3800, OTHER, "0.10.65"));
    for device in ["dev1", "dev2"] {
        let text = operated.shown(&["show", device]);
        let line = "not offered an upgrade: halted: 1 device reports a fault of the artifact; \
             `otapress resume next/0.10.66` lets it go on\n";
        assert!(text.ends_with(line), "{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&operated.shown(&["show", "--json", "dev2"])).unwrap();
    assert_eq!(json["state"]["halted"], "1 device reports a fault of the artifact");

    for (release, another) in [("next/0.10.66", "0.10.65"), ("0.10.66", "other/0.10.66")] {
        assert_fails(&operated.0.run(&["resume", another]), &format!("no rollout of `{another}` is halted"));
        let output = operated.0.run(&["resume", release]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), "next/0.10.66 goes on\n"));
        assert_eq!(operated.now(), "would be offered its target");
        assert_fails_to_resume(&operated);
        // The next fault pulls it again.
        let other = if release == "0.10.66" { break } else { OTHER };
        assert!(operated.check(3700, other, "0.10.65"));
        operated.notify(3600, other, "907 Invalid JAR");
        assert!(!operated.check(3500, IMEI, "0.10.65"));
    }
    let mut store = SqliteStore::open(&operated.0.path("state"), PATIENCE).unwrap();
    let mut kinds = Vec::new();
    store
        .read(&mut |tx| {
            kinds = tx.events(0, 1000)?.into_iter().map(|(_, event)| event.kind).collect();
            Ok(())
        })
        .unwrap();
    let count = |kind| kinds.iter().filter(|&&known| known == kind).count();
    assert_eq!((count(EventKind::Halted), count(EventKind::Resumed)), (2, 2));
}

#[track_caller]
fn assert_fails_to_resume(operated: &Operated) {
    if operated.0.path("state").exists() {
        assert_fails(&operated.0.run(&["resume", "0.10.66"]), "no rollout of `0.10.66` is halted");
    } else {
        assert_fails(&operated.0.run(&["resume", "0.10.66"]), "no device has asked yet");
    }
}

#[test]
fn settings_are_shown_as_sent_and_as_confirmed() {
    let yaml = YAML.replace("dev1: {", "dev1: { settings: [quiet],")
        + "settings: { quiet: { keepAlive: \"300\" } }\n";
    let operated = Operated::new(&yaml);
    let reply = operated.ask(12_000, "/otap/version", &format!("GW/{IMEI}"), "0.10.66");
    assert_eq!(reply.body, r#"{"upgrade":0,"settings":[{"key":"keepAlive","val":"300"}]}"#);
    let text = operated.shown(&["show", "dev1"]);
    assert!(
        text.contains("settings   sent 20") && text.contains(", not yet confirmed: generation "),
        "{text}"
    );
    let reply = operated.ask(900, "/otap/version", &format!("GW/{IMEI}"), "0.10.66");
    assert_eq!(reply.body, r#"{"upgrade":0}"#);
    let text = operated.shown(&["show", "dev1"]);
    assert!(text.contains("settings   confirmed: generation ") && !text.contains("not yet"), "{text}");
}

#[test]
fn whom_retry_touches_is_said_and_asked() {
    let operated = Operated::new(&yaml("attempts: 3"));
    operated.use_up(IMEI);
    operated.notify(1000, IMEI, "903 Loss of service");
    assert!(operated.check(900, OTHER, "0.10.65"));
    assert!(!operated.check(800, OTHER, "0.10.66"), "it runs its target, and has used an attempt");
    let retry = |arguments: &[&str]| operated.0.run(&[&["retry"], arguments].concat());
    for all in [&["--all"][..], &["--is", "failed,current"], &["--channel", "next", "--release", "0.10.66"]] {
        let output = retry(all);
        assert_eq!((output.status.code(), stdout(&output)), (Some(2), ""), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("dev1 ") && said.contains(" exhausted ") && !said.contains("dev2"), "{said}");
        assert!(said.contains("there is no terminal to confirm it on: say --yes"), "{said}");
    }
    assert_eq!(operated.attempts(IMEI), 3);
    for nobody in [&["--is", "silent"][..], &["--release", "0.10.65"]] {
        let output = retry(&[nobody, &["--yes"]].concat());
        let said = "no such device has used an attempt or takes a place\n";
        assert_eq!((output.status.code(), stdout(&output)), (Some(0), said));
    }
    assert_fails(&retry(&["--group", "couriers", "--yes"]), "no group `couriers`");
    let output = retry(&["--is", "exhausted", "--yes"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "1 device may try again\n"));
    assert_eq!(operated.attempts(IMEI), 0);
    for wrong in [&["--yes"][..], &["dev1", "--yes"], &["dev1", "--is", "failed"], &["--is", "lazy"]] {
        assert_eq!(retry(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// Nothing that an operator reads counts a wave as open that waits for success.
#[test]
fn a_wave_that_waits_for_success_is_closed_in_every_view() {
    // The bucket of dev1 is 2494, that of dev2 3933.
    let rollout = "rollout: [{ percent: 30% }, { percent: 100%, after: { success: 95% } }]";
    let operated = Operated::new(&yaml(rollout));
    assert!(!operated.check(7_300, OTHER, "0.10.65"));
    let status = operated.shown(&["status"]);
    let wave = |status: &str| {
        let line = status.lines().find(|line| line.trim_start().starts_with("wave 2"));
        line.unwrap_or_else(|| panic!("{status}")).trim_start().to_owned()
    };
    let closed = "to 100%, closed: 1 device";
    assert!(wave(&status).contains(closed), "{status}");
    let shown = operated.shown(&["show", "dev2"]);
    let waits = "its wave   opens when 1 of 1 has a verdict: none so far\n\
                 upgrade    this command by SMS, console or MQTT follows the JAD, which names 0.10.66 before \
                 the wave is open\n";
    assert!(shown.contains(waits), "{shown}");
    assert!(!operated.shown(&["show", "dev1"]).contains("its wave "));
    // None of its devices counts for a gate: there is nobody to judge by.
    let gate = ["status", "--gate", "--release", "0.10.66", "--min-success", "1%"];
    assert_eq!(operated.0.run(&gate).status.code(), Some(4));
    assert!(operated.check(7_200, IMEI, "0.10.65"));
    operated.notify(7_000, IMEI, "900 Success");
    assert!(!operated.check(6_900, OTHER, "0.10.65"), "installed is no verdict");
    assert!(!operated.check(6_800, IMEI, "0.10.66"));
    let status = operated.shown(&["status"]);
    assert!(wave(&status).contains("to 100%, open since 20"), "{status}");
    assert_eq!(operated.0.run(&gate).status.code(), Some(0));
    assert!(operated.check(60, OTHER, "0.10.65"));
}
