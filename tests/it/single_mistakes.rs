//! One mistake in a good fleet is one diagnostic, not one for the mistake and more for what follows from it.

use crate::support::project::{Project, make_jar};

const FLEET: &str = r#"site: http://ota.example.com
name: Acme
dataPlan: { perMegabyte: 0.20, currency: EUR, perDevice: 10MB, drivingHours: 2 }
limits: { answer: 2kB, jad: 4kB }
provisioning:
  otapURI: http://ota.example.com/files/@/OwnTracks.jad
  notifyURI: http://ota.example.com/otap/notify?id=@
  versionURI: http://ota.example.com/otap/version
  versionInterval: 10800
  apn: internet
  otapUser: ota
  otapPasswordFile: secrets/otap
  formerly:
    versionURI: [http://ota.example.com/vc]
midlet:
  name: OwnTracks
  vendor: Choral
  jars: jars
  allow: []
channels:
  stable: 0.10.65
  next:
    release: 0.10.66
    otherwise: 0.10.65
    rollout:
      - { percent: 50%, at: 2036-12-01T08:00:00Z }
      - { percent: 100%, after: { success: 95%, reached: 50%, soak: 24h } }
    unproven: { least: 3, share: 10% }
    window: { days: [mon, tue, wed], from: "01:00", minutes: 240 }
    attempts: 3
    brake: { artifactFaults: 3, failures: 20%, after: 10 }
    downgrade: allow
    rate: 500/h
settings:
  quiet: { keepAlive: "300" }
  leash: { values: { maxInterval: "90" }, enforce: always }
default: { channel: stable }
groups:
  acme: { channel: next, settings: [quiet], comment: Acme couriers }
  vans: { settings: [leash] }
devices:
  dev1: { imei: "352099001761481", group: acme, tid: D1 }
  dev2: { imei: "352099001761499", release: 0.10.65, hold: true, comment: shop }
  dev3: { imei: "352099001761507", group: vans }
  dev4: { imei: "352099001761515", group: acme }
inventory: [devices/*.csv]
ignore: [depot]
"#;

const INVENTORY: &str = "clientID,imei,group,depot\n\
    bus-1,352099001761523,vans,north\n\
    bus-2,352099001761531,acme,south\n";

/// What is replaced in fleet.yaml, by what, and what is said.
const IN_FLEET: &[(&str, &str, &str)] = &[
    ("site: http://", "site: https://", "bad-uri"),
    ("site: http://ota.example.com", "site: ota.example.com", "bad-uri"),
    ("site: http://ota.example.com\n", "", "missing-key"),
    ("site: http://ota.example.com\n", "sit: http://ota.example.com\n", "unknown-key"),
    ("name: Acme", "nam: Acme", "unknown-key"),
    ("provisioning:", "provisoning:", "unknown-key"),
    ("  otapURI:", "  otapUri:", "unknown-key"),
    ("  notifyURI:", "  notifyUri:", "unknown-key"),
    ("  versionURI: http://ota.example.com/otap/version\n", "", "missing-key"),
    ("/OwnTracks.jad\n", "/OwnTracks.jar\n", "bad-uri"),
    ("/OwnTracks.jad\n", "/Own Tracks.jad\n", "modem-character"),
    ("  otapURI: http:", "  otapURI: https:", "bad-uri"),
    ("http://ota.example.com/files/@", "http://other.example.com/files/@", "outside-site"),
    ("versionInterval: 10800", "versionInterval: 3h", "bad-value"),
    ("versionInterval: 10800", "versionInterval: 0", "bad-value"),
    ("apn: internet", "apn: \"inter,net\"", "modem-character"),
    ("otapUser: ota\n", "otapUser: \"ota,x\"\n", "modem-character"),
    ("secrets/otap", "secrets/none", "password-missing"),
    ("  otapPasswordFile: secrets/otap\n", "", "missing-key"),
    ("  otapUser: ota\n", "", "missing-key"),
    ("  formerly:", "  formely:", "unknown-key"),
    (
        "    versionURI: [http://ota.example.com/vc]",
        "    versionURI: http://ota.example.com/vc",
        "wrong-type",
    ),
    ("midlet:\n", "midlets:\n", "unknown-key"),
    ("name: OwnTracks", "name: Owntracks", "wrong-midlet"),
    ("vendor: Choral", "vendor: Chorale", "wrong-midlet"),
    ("  vendor: Choral\n", "", "missing-key"),
    ("  vendor: Choral", "  vendr: Choral", "unknown-key"),
    ("  jars: jars", "  jars: jar", "jar-unreadable"),
    ("  allow: []", "  allow: [xyz]", "bad-value"),
    ("channels:\n", "chanels:\n", "unknown-key"),
    ("stable: 0.10.65", "stable: 0.10.64", "unknown-release"),
    ("stable: 0.10.65", "stable: 0.10", "unknown-release"),
    ("stable: 0.10.65", "stable: v0.10.65", "bad-version"),
    ("stable: 0.10.65", "stabel: 0.10.65", "unknown-channel"),
    ("    release: 0.10.66", "    release: 0.10.67", "unknown-release"),
    ("    release: 0.10.66\n", "", "missing-key"),
    ("    release: 0.10.66", "    relese: 0.10.66", "unknown-key"),
    ("    otherwise: 0.10.65", "    otherwise: 0.10.63", "unknown-release"),
    ("percent: 50%", "percent: 50", "bad-value"),
    ("percent: 50%", "percent: 150%", "bad-value"),
    ("percent: 50%", "procent: 50%", "unknown-key"),
    ("at: 2036-12-01T08:00:00Z", "at: tomorrow", "bad-value"),
    ("at: 2036-12-01T08:00:00Z", "at: 2036-13-01T08:00:00Z", "bad-value"),
    ("success: 95%", "succes: 95%", "unknown-key"),
    ("success: 95%", "success: 0", "bad-value"),
    ("soak: 24h", "soak: 24", "bad-value"),
    ("least: 3", "least: x", "bad-value"),
    ("share: 10%", "share: 10", "bad-value"),
    ("days: [mon, tue, wed]", "days: [mon, tuesday]", "bad-value"),
    ("from: \"01:00\"", "from: \"25:00\"", "bad-value"),
    ("minutes: 240", "minutes: 0", "bad-value"),
    ("attempts: 3", "attempts: 0", "bad-value"),
    ("attempts: 3", "atempts: 3", "unknown-key"),
    ("artifactFaults: 3", "artifactFault: 3", "unknown-key"),
    ("failures: 20%", "failures: 20", "bad-value"),
    ("downgrade: allow", "downgrade: yes", "bad-value"),
    ("rate: 500/h", "rate: 500", "bad-value"),
    ("keepAlive: \"300\"", "keepAlive: 300s", "bad-setting-value"),
    ("keepAlive: \"300\"", "keepAlive: [300]", "wrong-type"),
    ("keepAlive: \"300\"", "lastFix: \"300\"", "internal-setting"),
    ("keepAlive: \"300\"", "\"keep=Alive\": \"300\"", "corrupting-setting"),
    ("enforce: always", "enforce: allways", "bad-value"),
    ("  leash: { values: {", "  leash: { value: {", "unknown-key"),
    ("default: { channel: stable }", "default: { channel: stabel }", "unknown-channel"),
    ("default: { channel: stable }", "default: { chanel: stable }", "unknown-key"),
    ("default: { channel: stable }", "defaults: { channel: stable }", "unknown-key"),
    ("groups:\n", "group:\n", "unknown-key"),
    ("acme: { channel: next", "acme: { channel: nxt", "unknown-channel"),
    ("settings: [quiet]", "settings: [quite]", "unknown-settings"),
    ("settings: [quiet]", "settings: quiet", "wrong-type"),
    ("devices:\n", "device:\n", "unknown-key"),
    ("\"352099001761481\"", "\"35209900176148X\"", "bad-imei"),
    ("\"352099001761481\"", "\"352099001761499\"", "duplicate-imei"),
    ("\"352099001761481\"", "\"35209900176\"", "bad-imei"),
    ("imei: \"352099001761481\", ", "", "missing-imei"),
    ("imei: \"352099001761481\"", "imie: \"352099001761481\"", "unknown-key"),
    ("group: acme, tid", "group: acmee, tid", "unknown-group"),
    ("  dev2:", "  dev1:", "duplicate-device"),
    ("  dev2:", "  \"dev 2\":", "bad-client-id"),
    ("release: 0.10.65, hold", "release: 0.10.60, hold", "unknown-release"),
    ("hold: true", "hold: yes please", "bad-value"),
    ("tid: D1", "tiid: D1", "unknown-key"),
    ("inventory: [devices/*.csv]", "inventory: [device/*.csv]", "empty-inventory"),
    ("inventory: [devices/*.csv]", "inventory: devices/*.csv", "wrong-type"),
    ("inventory: [devices/*.csv]", "inventry: [devices/*.csv]", "unknown-key"),
    ("ignore: [depot]", "ignore: [depo]", "unknown-key"),
    ("limits: { answer: 2kB", "limits: { answer: 2 k", "bad-value"),
    ("perMegabyte: 0.20", "perMegabyte: cheap", "bad-value"),
    ("perMegabyte: 0.20, ", "", "missing-key"),
    ("groups:\n", "groups:\n\tx: 1\n", "yaml"),
    ("devices:\n", "devices: {\n", "yaml"),
    ("  acme: { channel: next", "  acme: { channel: next, channel: stable", "duplicate-key"),
    ("  name: OwnTracks", "  name: OwnTracks\n  template: None.jad", "template"),
    ("midlet:\n", "withdrawn: { 0.10.66: broken }\nmidlet:\n", "withdrawn-release"),
    ("midlet:\n", "withdrawn: [0.10.66]\nmidlet:\n", "wrong-type"),
    ("midlet:\n", "keep: [x/y]\nmidlet:\n", "bad-value"),
    ("midlet:\n  name: OwnTracks\n  vendor: Choral\n  jars: jars\n  allow: []\n", "", "missing-key"),
    ("channels:\n  stable: 0.10.65\n", "channels:\n  stable:\n", "missing-key"),
];

/// The same in the inventory.
const IN_INVENTORY: &[(&str, &str, &str)] = &[
    ("clientID,imei", "clientID,imie", "unknown-key"),
    ("clientID,imei", "client,imei", "unknown-key"),
    ("352099001761523", "352099001761531", "duplicate-imei"),
    ("bus-2", "bus-1", "duplicate-device"),
    ("bus-2", "dev1", "duplicate-device"),
    ("vans", "vens", "unknown-group"),
    ("north", "north,x", "bad-csv"),
    ("bus-1,", "\"bus-1,", "bad-csv"),
    ("bus-1", "bus 1", "bad-client-id"),
];

/// Files that are missing.
const MISSING: &[(&str, &str)] = &[
    ("jars/OwnTracks-0.10.66.jar", "unknown-release"),
    ("jars/OwnTracks-0.10.65.jar", "unknown-release"),
    ("secrets/otap", "password-missing"),
];

/// Files that hold something else.
const WRITTEN: &[(&str, &str, &str)] = &[
    ("secrets/otap", "a,b\n", "bad-password"),
    ("secrets/otap", "", "bad-password"),
    ("jars/OwnTracks-0.10.66.jar", "<html>", "jar-invalid"),
    ("templates/OwnTracks.jad", "MIDlet-Name: {{ nam }}\n", "template"),
    ("templates/OwnTracks.jad", "MIDlet-Name: {{ name }\n", "template"),
];

fn good() -> Project {
    let project = Project::empty().file("fleet.yaml", FLEET).file("devices/x.csv", INVENTORY);
    let project = project.file("secrets/otap", "s3cret\n");
    ["0.10.65", "0.10.66"].iter().fold(project, |project, version| {
        project.file(&format!("jars/OwnTracks-{version}.jar"), make_jar(version, "good"))
    })
}

/// The codes of all that is said.
fn said(project: &Project) -> Vec<String> {
    let text = project.run("check").stderr;
    let firsts = text.lines().filter(|line| line.contains(": error[") || line.contains(": warning["));
    firsts.map(|line| line.split(['[', ']']).nth(1).unwrap().to_owned()).collect()
}

#[test]
fn one_mistake_is_one_diagnostic() {
    assert_eq!(said(&good()), [""; 0]);
    let (mut wrong, mut tried) = (Vec::new(), 0);
    let mut try_it = |project: &Project, what: String, code: &str| {
        tried += 1;
        let said = said(project);
        if said != [code] {
            wrong.push(format!("{what}: {said:?} and not {code}"));
        }
    };
    for (file, cases) in [("fleet.yaml", IN_FLEET), ("devices/x.csv", IN_INVENTORY)] {
        for (old, new, code) in cases {
            let project = good();
            let text = project.read(file);
            assert!(text.contains(old), "{old}");
            project.write(file, text.replacen(old, new, 1));
            try_it(&project, format!("`{old}` → `{new}`"), code);
        }
    }
    for (file, code) in MISSING {
        let project = good();
        std::fs::remove_file(project.path(file)).unwrap();
        try_it(&project, format!("no {file}"), code);
    }
    for (file, content, code) in WRITTEN {
        let project = good();
        project.write(file, content);
        try_it(&project, format!("{file}: `{content}`"), code);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(tried >= 100, "{tried}");
}
