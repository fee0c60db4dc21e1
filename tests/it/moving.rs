//! Devices that move to other URIs: what they may still have been told is kept alive.

use serde_json::{Value, json};

use crate::support::project::{Project, SMALL};

const FORMERLY: &str = "  formerly:
    otapURI: [http://old.example.com/old/@.jad, http://ota.example.com/files/@/OwnTracks.jad]
    notifyURI: [http://old.example.com/result?id=@]
    versionURI: [https://old.example.com/vc, http://ota.example.com/otap/version]
midlet:";

#[test]
fn former_paths_stay_published() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    project.edit("fleet.yaml", "midlet:", FORMERLY);
    project.edit("fleet.yaml", "/files/@/OwnTracks.jad\n  notify", "/new/@/OwnTracks.jad\n  notify");
    project.edit("fleet.yaml", "/otap/version\n  formerly", "/check\n  formerly");
    project.build();
    let after = project.out();
    let jad = &before["files/dev1/OwnTracks.jad"];
    for path in ["new/dev1/OwnTracks.jad", "old/dev1.jad", "files/dev1/OwnTracks.jad"] {
        assert_eq!(after.get(path), Some(jad), "{path}");
    }
    let site: Value = serde_json::from_slice(&after["otapress.json"]).unwrap();
    assert_eq!(site["versionPaths"], json!(["/check"]));
    assert_eq!(
        site["formerly"],
        json!({ "versionPaths": ["/otap/version", "/vc"], "notifyPaths": ["/result?id=@"] })
    );
    // Taken out of the fleet, they are gone.
    let fleet = project.read("fleet.yaml");
    let (start, end) = (fleet.find("  formerly:").unwrap(), fleet.find("midlet:").unwrap());
    project.write("fleet.yaml", format!("{}{}", &fleet[..start], &fleet[end..]));
    project.build();
    let paths: Vec<_> = project.out().into_keys().filter(|path| path.ends_with("dev1.jad")).collect();
    assert_eq!(paths, <[String; 0]>::default());
}

#[test]
fn a_pushed_password_is_read_from_its_file_and_shown_nowhere() {
    let auth = "  otapUser: ota\n  otapPasswordFile: secrets/new\n  formerly: \
        { otapPasswordFile: [secrets/old] }\nmidlet:";
    let set = "settings:\n  move: \
        { values: { otapPassword: { file: secrets/new } }, allow: [otapPassword] }\ndefault: \
        { settings: [move],";
    let project = Project::new(&SMALL.replace("midlet:", auth).replace("default: {", set))
        .file("secrets/new", "swordfish\n")
        .file("secrets/old", "goldfish\n");
    project.build();
    let answer = &project.out()["vc/352099001761481.json"];
    assert!(String::from_utf8_lossy(answer).contains(r#"{"key":"otapPassword","val":"swordfish"}"#));
    for command in ["show dev1", "show dev1 --json", "plan", "check"] {
        let ran = project.run(command);
        assert!(!ran.stdout.contains("swordfish") && !ran.stderr.contains("swordfish"), "{command}: {ran:?}");
    }
    // Another password is another answer.
    project.write("secrets/new", "sturgeon\n");
    assert_eq!(project.run("build --check").status, 3);
}

#[test]
fn many_jads_move_only_with_a_way_back() {
    let project = Project::new(SMALL);
    project.build();
    let before = project.out();
    project.edit("fleet.yaml", "/files/@/OwnTracks.jad", "/new/@/OwnTracks.jad");
    let ran = project.run("build");
    assert_eq!((ran.status, project.out() == before), (1, true));
    assert!(ran.stderr.contains("2 of 2 JADs would move to other paths"), "{}", ran.stderr);
    assert!(ran.stderr.contains("put the old `otapURI` into `formerly`"), "{}", ran.stderr);
    // To hold a device, or to lose its target, is no move.
    project.edit("fleet.yaml", "/new/@/OwnTracks.jad", "/files/@/OwnTracks.jad");
    project.edit("fleet.yaml", "\"352099001761481\" }", "\"352099001761481\", hold: true }");
    project.build();
    project.edit(
        "fleet.yaml",
        "midlet:",
        "  formerly: { otapURI: [http://ota.example.com/files/@/OwnTracks.jad] }\nmidlet:",
    );
    project.edit(
        "fleet.yaml",
        "otapURI: http://ota.example.com/files",
        "otapURI: http://ota.example.com/new",
    );
    project.build();
}

#[test]
fn a_shared_jad_moves_only_with_a_way_back() {
    let project = Project::new(&SMALL.replace("files/@/", "files/"));
    project.build();
    project.edit("fleet.yaml", "files/OwnTracks.jad", "new/OwnTracks.jad");
    assert_eq!(project.run("build").status, 1);
    assert_eq!(project.run("build --allow-mass-removal").status, 0);
}
