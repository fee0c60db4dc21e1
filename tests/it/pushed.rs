//! What is pushed to devices: whatever stands in a settings set, they can check, download and report
//! afterwards.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use otapress_core::wire::AnswerFile;
use otapress_devices::device::{CheckOutcome, Device, Faults, OtapOutcome};
use otapress_publish::fleet::{EffectiveSettings, Fleet, parse};
use otapress_publish::provision::to_set;
use otapress_publish::settings::{KEYS, Key, Kind, is_provisioned};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::project::SMALL;
use crate::support::server::Server;
use crate::support::tree::{Tree, offer};

/// Values that some key or other takes, and some that none takes.
const VALUES: &[&str] = &[
    "",
    "0",
    "1",
    "60",
    "10800",
    "internet",
    "dev1",
    "http://ota.example.com/files/@/OwnTracks.jad",
    "http://ota.example.com/otap/notify?id=@",
    "http://ota.example.com/otap/version",
    "https://ota.example.com/otap/version",
    "tcp://broker.example.com",
    "owntracks/gw/",
];

/// What SMALL has of a key.
fn provisioned(key: &str) -> Vec<&'static str> {
    let value = match key {
        "otapURI" => "http://ota.example.com/files/@/OwnTracks.jad",
        "notifyURI" => "http://ota.example.com/otap/notify?id=@",
        "versionURI" => "http://ota.example.com/otap/version",
        "versionInterval" => "10800",
        "apn" => "internet",
        "clientID" => "dev1",
        _ => "",
    };
    vec![value]
}

/// A value, half of them of the kind that the key takes.
fn value(key: &Key) -> BoxedStrategy<String> {
    let words = |words: Vec<&str>| {
        prop::sample::select(words.into_iter().map(str::to_owned).collect::<Vec<_>>()).boxed()
    };
    let right = match key.kind {
        // Only what its fleet has provisioned.
        _ if is_provisioned(key.name) => words(provisioned(key.name)),
        Kind::Number(min, max) => {
            prop_oneof![Just(min), Just(max), min..=max].prop_map(|n| n.to_string()).boxed()
        }
        Kind::Flag => words(vec!["0", "1"]),
        Kind::OneOf(known) => words(known.to_vec()),
        Kind::LogLevel => words("PACEWNID".split("").collect()),
        Kind::Pin => "[0-9]{4,8}".boxed(),
        Kind::Broker => "(tcp|ssl)://[a-z]{1,9}(\\.[a-z]{1,9}){0,2}".boxed(),
        Kind::Topic => "[a-z/]{1,20}".boxed(),
        _ => words(VALUES.to_vec()),
    };
    let wrong = prop_oneof![
        words(VALUES.to_vec()),
        "[ -~]{0,12}",
        "(http|tcp)://[a-z%/@.]{0,12}",
        any::<u32>().prop_map(|n| n.to_string()),
    ];
    prop_oneof![right, wrong].boxed()
}

/// A fleet that pushes a value to dev1, if it may.
fn pushing(key: &str, value: &str, enforce: &str, imei: &str) -> Option<Fleet> {
    let value = serde_json::to_string(value).unwrap();
    let set = format!(
        "settings:\n  s: {{ values: {{ {key}: {value} }}, allow: [{key}], enforce: {enforce} }}\ndefault: {{"
    );
    let fleet = SMALL
        .replace("default: {", &set)
        .replace("352099001761481\" }", &format!("{imei}\", settings: [s] }}"));
    parse(fleet, None).fleet
}

/// Plays a device that is provisioned as its fleet says, runs an old release and is pushed settings.
fn play(server: &Server, tree: &Tree, offer: &AnswerFile, fleet: &Fleet) {
    let of_fleet = fleet.find("dev1").unwrap();
    let EffectiveSettings { settings, always, generation } = fleet.settings(of_fleet).clone();
    let mut answer = AnswerFile { settings: settings.clone(), ..offer.clone() };
    (answer.offer.always, answer.offer.generation) = (always, generation);
    let imei = of_fleet.imei.to_string();
    tree.vc(&imei, &answer);
    let mut device = Device::new(of_fleet.imei, "0.10.65");
    device.network = server.device("dev1", &imei, "0.10.65").network;
    for (key, val) in to_set(fleet, of_fleet, None) {
        device = device.with(key, &val).unwrap();
    }
    let turn = device.turn(&Faults::default());
    let Some(CheckOutcome::Checked(answered)) = turn.check.map(|check| check.outcome) else {
        panic!("{settings:?}")
    };
    assert_eq!((answered.upgrade, answered.settings.len()), (true, settings.len()), "{settings:?}");
    assert!(answered.corruptions.is_empty() && !answered.garbage, "{answered:?}");
    let otap = turn.otap.unwrap().outcome;
    assert!(
        matches!(otap, OtapOutcome::Finished { code: 900, delivered: true, .. }),
        "{settings:?}: {otap:?}"
    );
    assert!(matches!(turn.start.unwrap().outcome, CheckOutcome::Checked(answered) if !answered.upgrade));
    assert_eq!(device.version, "0.10.66");
    // A versionInterval later it is still there, and asks as seldom.
    server.advance(10_800);
    let CheckOutcome::Checked(answered) = device.check().outcome else { panic!("{settings:?}") };
    assert_eq!(answered.settings.len(), answer.offer.always.len(), "sent until confirmed: {settings:?}");
    assert_eq!(device.version_interval(), 10_800);
    assert!(can_publish(&device), "{settings:?}");
}

/// Whether the broker, the port, the topic and the rest are ones with which it is heard of again.
fn can_publish(device: &Device) -> bool {
    let settings = &device.settings;
    let host = settings.get("host").unwrap_or("tcp://localhost");
    host.len() > "tcp://".len()
        && !host.contains(' ')
        && (1..=65_535).contains(&settings.number("port", 1883))
        && !settings.get("publish").unwrap_or_default().contains(['+', '#'])
        && ["gprsTimeout", "mqttTimeout"].iter().all(|timeout| settings.number(timeout, 600) >= 30)
        && settings.get("apn").unwrap_or("internet") == "internet"
}

#[test]
fn any_pushed_value_is_refused_or_harmless() {
    let mut tree = Tree::new();
    let release = tree.release("0.10.66");
    tree.jad("dev1", &release);
    let (server, offer) = (Server::start(&tree), offer(&release));
    let (played, tried) = (RefCell::new(BTreeSet::new()), Cell::new(0));
    for key in KEYS {
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10) };
        let inputs = (value(key), prop::sample::select(&["until-confirmed", "always"][..]));
        let ran = TestRunner::new(config).run(&inputs, |(value, enforce)| {
            tried.set(tried.get() + 1);
            let imei = format!("3520990{:08}", tried.get());
            if let Some(fleet) = pushing(key.name, &value, enforce, &imei) {
                play(&server, &tree, &offer, &fleet);
                played.borrow_mut().insert(key.name);
            }
            Ok(())
        });
        ran.unwrap_or_else(|error| panic!("{}: {error}", key.name));
    }
    let keys = KEYS.iter().map(|key| key.name);
    let missing: Vec<_> = keys.filter(|key| !played.borrow().contains(key)).collect();
    // Without its file nothing is pushed.
    assert_eq!(missing, ["otapPassword"]);
}
