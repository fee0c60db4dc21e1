//! `show` where it refuses, warns, or must keep a secret; what it says of the golden fleets is in
//! `golden.rs`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::programs::otapress_cgi;
use crate::support::project::{Project, SMALL};

const AUTH: &str = "  otapUser: ota\n  otapPasswordFile: secrets/otap\nmidlet:";

#[test]
fn an_unknown_device_is_an_error() {
    let project = Project::new(SMALL);
    project.run("show nobody").expect(1, "", "error: no device `nobody` in `fleet.yaml`\n");
    project.run("show 352099001769999").expect(1, "", "error: no device `352099001769999` in `fleet.yaml`\n");
}

#[test]
fn a_device_is_found_by_its_imei() {
    let project = Project::new(SMALL);
    let ran = project.run("show dev2");
    ran.expect(0, &ran.stdout, "");
    assert!(ran.stdout.starts_with("device     dev2\nIMEI       352099001761499\n"), "{}", ran.stdout);
    project.run("show 352099001761499").expect(0, &ran.stdout, "");
}

#[test]
fn traffic_has_a_price_where_the_fleet_says_so() {
    let project = Project::new(&format!("dataPlan: {{ perMegabyte: 0.20, currency: EUR }}\n{SMALL}"));
    let ran = project.run("show dev1");
    let month = "\ntraffic    ≈ 1.4 MB, 0.28 EUR a month: 0.1 MB of version checks, 1.3 MB of locations\n";
    assert!(ran.stdout.contains(month), "{}", ran.stdout);
    assert!(ran.stdout.contains(" for its target, ") && ran.stdout.contains(" if 3 attempts fail\n"));
    assert!(!Project::new(SMALL).run("show dev1").stdout.contains("\ntraffic"));
}

#[test]
fn an_entry_overrides_the_device_of_an_inventory() {
    let (head, _) = SMALL.split_once("devices:").unwrap();
    let fleet = format!(
        "{head}inventory: [d.csv]\nignore: [depot]\ndevices:\n  dev1: {{ hold: true, comment: lent }}\n"
    );
    let project = Project::new(&fleet).file(
        "d.csv",
        "clientID,imei,depot,tid\ndev1,352099001761481,north,A1\ndev2,352099001761499,south,A2\n",
    );
    let line = fleet.lines().count();
    let ran = project.run("show dev1");
    let declared = format!("\ndeclared   fleet.yaml:{line} says `hold`, `comment` over d.csv:2\n");
    assert!(ran.stdout.contains(&declared), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nbecause    `hold: true`") && ran.stdout.contains("\ncomment    lent\n"));
    assert!(ran.stdout.contains("set tid=A1\n"), "{}", ran.stdout);
    assert!(!project.run("show dev2").stdout.contains("declared"));
}

#[test]
fn a_fleet_with_errors_shows_them_instead() {
    let project = Project::new(&SMALL.replace("stable: 0.10.65", "stable: 0.10.64"));
    project.run("show dev1").expect(
        1,
        "",
        "\
fleet.yaml:8:11: error[unknown-release]: release `0.10.64` is not in jars/, which has 0.10.65 and 0.10.66
  |
8 |   stable: 0.10.64
  |           ^^^^^^^
  |
  = hint: add its JAR with `otapress add OwnTracks-0.10.64.jar`
",
    );
}

#[test]
fn the_password_is_printed_to_provision_and_never_else() {
    let project = Project::new(&SMALL.replace("midlet:", AUTH)).file("secrets/otap", "swordfish\n");
    for args in ["show dev1", "show dev1 --json", "show dev1 -v"] {
        let ran = project.run(args);
        assert_eq!((ran.status, &*ran.stderr), (0, ""), "{args}");
        assert!(!ran.stdout.contains("swordfish"), "{args}: {}", ran.stdout);
        assert!(ran.stdout.contains("<the line in secrets/otap>"), "{args}: {}", ran.stdout);
    }
    project.run("show dev1 --provision").expect(
        0,
        "\
set clientID=dev1
set apn=internet
set otapURI=http://ota.example.com/files/@/OwnTracks.jad
set notifyURI=http://ota.example.com/otap/notify?id=@
set versionURI=http://ota.example.com/otap/version
set versionInterval=10800
set otapUser=ota
set otapPassword=swordfish
",
        "",
    );
    project.run("show dev1 --provision=properties").expect(
        0,
        "\
clientID=dev1
apn=internet
otapURI=http://ota.example.com/files/@/OwnTracks.jad
notifyURI=http://ota.example.com/otap/notify?id=@
versionURI=http://ota.example.com/otap/version
versionInterval=10800
otapUser=ota
otapPassword=swordfish
",
        "",
    );
    // Nor does it reach out/.
    project.build();
    assert!(project.out().values().all(|bytes| !String::from_utf8_lossy(bytes).contains("swordfish")));
}

#[test]
fn what_the_modem_may_not_take_is_warned_of() {
    let fleet = SMALL.replace("midlet:", AUTH).replace("ota.example.com", "ota.lan");
    let project = Project::new(&(fleet + "limits: { url: 30, user: 2, password: 8 }\n"))
        .file("secrets/otap", "swordfish1\n");
    let ran = project.run("show dev1");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let warnings: Vec<_> = ran.stdout.lines().filter_map(|line| line.strip_prefix("warning    ")).collect();
    assert_eq!(
        warnings,
        [
            "otapURI has 39 characters, but modems may accept only 30",
            "notifyURI has 34 characters, but modems may accept only 30",
            "otapUser has 3 characters, but modems may accept only 2",
            "otapPassword has 10 characters, but modems may accept only 8",
            "`ota.lan` is unlikely to be known to 8.8.8.8, which the modem asks",
        ]
    );
}

#[test]
fn a_missing_password_is_a_warning_and_for_provisioning_an_error() {
    let project = Project::new(&SMALL.replace("midlet:", AUTH));
    let ran = project.run("show dev1");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(ran.stdout.contains("\nwarning    otapPassword is not known here: "), "{}", ran.stdout);
    let ran = project.run("show dev1 --provision");
    assert_eq!((ran.status, &*ran.stdout), (1, ""));
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("secrets/otap"), "{}", ran.stderr);
}

#[test]
fn messages_are_commands_that_the_device_takes() {
    let project = Project::new(SMALL);
    let texts = "\
login <secret>
set clientID=dev1
set apn=internet
set otapURI=http://ota.example.com/files/@/OwnTracks.jad
set notifyURI=http://ota.example.com/otap/notify?id=@
set versionURI=http://ota.example.com/otap/version
set versionInterval=10800
";
    let notes = "\
note: send each line as a message of its own, in this order; `<secret>` is the device's `secret`
note: the device answers a command that fails with `NACK`, and takes commands for `loginTimeout` seconds
note: [?] not confirmed: that the modem hands on `@` and `_`, so look at the values with `set <key>` \
afterwards
";
    project.run("show dev1 --provision=sms").expect(0, texts, notes);
    project.run("show dev1 --provision=sms -q").expect(0, texts, "");
    project
        .write("fleet.yaml", SMALL.replace("\"352099001761481\" }", "\"352099001761481\", tid: \"D 1\" }"));
    project.run("show dev1 --provision=sms").expect(
        1,
        "",
        "error: the value of `tid` has a blank, at which the command ends\n",
    );
}

/// Posts as a device does, to what `build` has published.
fn post(project: &Project, uri: &str, agent: &str, body: &str) -> String {
    let mut child = Command::new(otapress_cgi())
        .env_clear()
        .env("OTAPRESS_OUT", project.path("out"))
        .env("OTAPRESS_STATE", project.path("state"))
        .env("REQUEST_METHOD", "POST")
        .env("REQUEST_URI", uri)
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_USER_AGENT", agent)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_once("\r\n\r\n").or_else(|| text.split_once("\n\n")).unwrap().1.to_owned()
}

/// The lines about the state, with every moment as `TIME`.
fn state_lines(project: &Project, device: &str) -> Vec<String> {
    let ran = project.run(&format!("show {device}"));
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let is_time = |word: &str| word.starts_with("20") && word.contains('T') && word.contains('Z');
    ran.stdout
        .lines()
        .skip_while(|line| !line.starts_with("state"))
        .map(|line| {
            line.split(' ')
                .map(
                    |word| {
                        if is_time(word) { word.split_once('Z').map_or("", |(_, rest)| rest) } else { word }
                    },
                )
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

#[test]
fn what_the_responder_remembers_is_shown() {
    let project = Project::new(SMALL);
    project.build();
    assert_eq!(state_lines(&project, "dev1"), ["state      it has not asked yet"]);
    assert!(!project.path("state").exists(), "a look does not make a state");

    let check = |version: &str| post(&project, "/otap/version", "GW/352099001761481", version);
    assert_eq!(check("0.10.64"), "{\"upgrade\":1}");
    assert_eq!(
        state_lines(&project, "dev1"),
        [
            "state      first heard of , last ",
            "reports    0.10.64",
            "offers     1 of 0.10.65 in stable/0.10.65, last : open",
            "asked now  would be offered its target",
        ]
    );
    let modem = "TC65i/352099001761481 Profile/IMP-NG Configuration/CLDC-1.1";
    assert_eq!(post(&project, "/otap/notify?id=dev1", modem, "900 Success\r\n"), "");
    assert_eq!(check("0.10.65"), "{\"upgrade\":0}");
    let lines = state_lines(&project, "dev1");
    assert_eq!(
        lines,
        [
            "state      first heard of , last ",
            "reports    0.10.65",
            "offers     1 of 0.10.65 in stable/0.10.65, last : succeeded",
            "result     900 Success (success: installed, not yet proven running), ",
            "asked now  not offered an upgrade: current: it runs its target",
        ]
    );
    // The other device has not been heard of.
    assert_eq!(state_lines(&project, "dev2"), ["state      it has not asked yet"]);
}
