//! `edit`: devices change in fleet.yaml and in inventories, and nothing else does.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::support::asked::ask;
use crate::support::project::{Project, Ran, SMALL};

/// A fleet with devices in fleet.yaml and in an inventory, and a comment in each.
fn project() -> Project {
    let fleet = SMALL
        .replace("devices:\n", "inventory: [more.csv]\ndevices: # few\n")
        .replace("default:", "groups: { vans: {} }\ndefault:");
    Project::new(&fleet).file("more.csv", "# exported\nclientID,imei,hold\ndev3,352099001761507,\n")
}

#[test]
fn devices_are_held_wherever_they_stand() {
    let project = project();
    fs::set_permissions(project.path("fleet.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    let before = project.read("fleet.yaml");
    let shown = "\
fleet.yaml:12: - dev1: { imei: \"352099001761481\" }
fleet.yaml:12: + dev1: { imei: \"352099001761481\", hold: true }
more.csv:3: - dev3,352099001761507,
more.csv:3: + dev3,352099001761507,true
";
    let said = shown.replace("- dev1", "-   dev1").replace("+ dev1", "+   dev1").replace(":12:", ":13:");
    project.run("edit hold dev1 352099001761507 --dry-run").expect(0, &said, "");
    assert_eq!(project.read("fleet.yaml"), before);
    project.run("edit hold dev1 352099001761507").expect(0, &said, "");
    assert_eq!(project.read("fleet.yaml"), before.replace("761481\" }", "761481\", hold: true }"));
    assert_eq!(project.read("more.csv"), "# exported\nclientID,imei,hold\ndev3,352099001761507,true\n");
    let mode = fs::metadata(project.path("fleet.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    project.run("edit hold dev1 dev3").expect(0, "nothing to change\n", "");
    project.run("edit -q unhold dev1 dev3").expect(0, "", "");
    assert_eq!(project.read("fleet.yaml"), before);
    project.run("check -q --strict").expect(0, "", "");
}

#[test]
fn devices_come_from_the_standard_input() {
    let project = project();
    let mut command = project.command();
    let command = command.args(["edit", "-q", "pin", "-", "0.10.65", "--comment", "as it is"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"dev1\n\n# none\ndev2\n").unwrap();
    Ran::new(child.wait_with_output().unwrap()).expect(0, "", "");
    let fleet = project.read("fleet.yaml");
    assert_eq!(fleet.matches(", release: 0.10.65, comment: as it is }").count(), 2, "{fleet}");
    project.run("edit -q unpin dev2").expect(0, "", "");
    assert_eq!(project.read("fleet.yaml").matches("release: 0.10.65,").count(), 1);
}

#[test]
fn devices_come_move_and_go() {
    let project = project();
    let before = project.read("fleet.yaml");
    project.run("edit -q add-device dev4 --imei 352099001761515 --group vans").expect(0, "", "");
    project.run("edit -q add-device dev5 --imei 352099001761523 --inventory more.csv").expect(0, "", "");
    project.run("edit -q move dev2 --group vans").expect(0, "", "");
    project.run("edit -q replace dev4 --imei 352099001761531").expect(0, "", "");
    let fleet = project.read("fleet.yaml");
    assert!(fleet.ends_with("  dev4: { imei: \"352099001761531\", group: vans }\n"), "{fleet}");
    assert!(fleet.contains("  dev2: { imei: \"352099001761499\", group: vans }\n"), "{fleet}");
    assert!(project.read("more.csv").ends_with("\ndev5,352099001761523,\n"));
    project.run("edit -q remove-device dev4 dev5").expect(0, "", "");
    assert_eq!(project.read("fleet.yaml"), before.replace("761499\" }", "761499\", group: vans }"));
    assert_eq!(project.read("more.csv"), "# exported\nclientID,imei,hold\ndev3,352099001761507,\n");
}

#[test]
fn a_device_that_asks_is_adopted() {
    let project = project();
    project.build();
    let before = project.read("fleet.yaml");
    let imei = "352099001761515";
    let agent = format!("GW/{imei}");
    ask(&project.path("out"), &project.path("state"), 60, "/otap/version", &agent, "0.10.65");
    project.run(&format!("edit -q adopt {imei} --id dev9 --group vans")).expect(0, "", "");
    let added = format!("  dev9: {{ imei: \"{imei}\", group: vans }}\n");
    assert_eq!(project.read("fleet.yaml"), before + &added);
    project.run("check -q --strict").expect(0, "", "");
}

#[test]
fn a_release_is_withdrawn() {
    let project = project();
    let before = project.read("fleet.yaml");
    let ran = Ran::new(
        project
            .command()
            .args(["edit", "-q", "withdraw", "0.10.64", "--reason", "loses its clock"])
            .output()
            .unwrap(),
    );
    ran.expect(0, "", "");
    assert_eq!(project.read("fleet.yaml"), format!("{before}withdrawn:\n  0.10.64: loses its clock\n"));
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let project = project();
    let (fleet, table) = (project.read("fleet.yaml"), project.read("more.csv"));
    for (args, status, says) in [
        ("hold dev1 nobody", 1, "no device `nobody` in `fleet.yaml`"),
        ("pin dev1 latest", 2, "`latest` is not a release"),
        ("move dev1", 2, "--group"),
        ("move dev1 --group bikes", 1, "the edit would break the fleet, so nothing was written"),
        ("replace dev1 --imei 352099001761499", 1, "nothing was written"),
        ("replace dev1 --imei 12", 2, "an IMEI is 14 to 16 digits"),
        ("adopt 352099001761515", 1, "no device `352099001761515` has asked"),
        (
            "add-device dev9 --imei 352099001761515 --inventory other.csv",
            1,
            "`other.csv` is not an inventory",
        ),
    ] {
        let ran = project.run(&format!("edit {args}"));
        assert_eq!((ran.status, &*ran.stdout), (status, ""), "{args}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args}: {}", ran.stderr);
        assert_eq!((project.read("fleet.yaml"), project.read("more.csv")), (fleet.clone(), table.clone()));
    }
    project.edit("fleet.yaml", "stable: 0.10.65", "stable: x");
    let ran = project.run("edit hold dev1");
    assert_eq!(ran.status, 1);
    assert!(
        ran.stderr.ends_with("error: a fleet with errors is not edited: mend it first\n"),
        "{}",
        ran.stderr
    );
}
