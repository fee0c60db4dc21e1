//! `show` where it refuses, warns, or must keep a secret; what it says of the golden fleets is in `golden.rs`.

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
fn a_fleet_with_errors_shows_them_instead() {
    let project = Project::new(&SMALL.replace("stable: 0.10.65", "stable: 0.10.64"));
    project.run("show dev1").expect(
        1,
        "",
        "\
fleet.yaml:8:11: error[unknown-release]: release `0.10.64` is not in jars/; there are 0.10.65 and 0.10.66
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
    // Nor does it reach out/.
    project.build();
    assert!(project.out().values().all(|bytes| !String::from_utf8_lossy(bytes).contains("swordfish")));
}

#[test]
fn what_the_modem_may_not_take_is_warned_of() {
    let fleet = SMALL.replace("midlet:", AUTH).replace("ota.example.com", "ota.lan");
    let project = Project::new(&(fleet + "limits: { url: 30, user: 2, password: 8 }\n"))
        .file("secrets/otap", "sword fish\n");
    let ran = project.run("show dev1");
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let warnings: Vec<_> = ran.stdout.lines().filter_map(|line| line.strip_prefix("warning    ")).collect();
    assert_eq!(
        warnings,
        [
            "otapURI has 39 characters, and modems may take only 30",
            "notifyURI has 34 characters, and modems may take only 30",
            "otapUser has 3 characters, and modems may take only 2",
            "otapPassword has 10 characters, and modems may take only 8",
            "otapPassword has a character that breaks the modem's command",
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
