//! What is pushed to devices: whatever stands in a settings set, they can check, download and report
//! afterwards.

use otapress_devices::device::Device;
use otapress_publish::fleet::parse;
use otapress_publish::provision::to_set;
use otapress_publish::settings::KEYS;
use proptest::prelude::*;

use crate::support::project::SMALL;

/// Values that some key or other takes, and some that none takes.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(
            &[
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
            ][..]
        )
        .prop_map(str::to_owned),
        "[ -~]{0,12}",
        "(http|tcp)://[a-z%/@.]{0,12}",
        any::<u32>().prop_map(|n| n.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_pushed_value_is_refused_or_harmless(key in prop::sample::select(KEYS), value in value()) {
        let set = format!(
            "settings:\n  s: {{ values: {{ {0}: {1} }}, allow: [{0}] }}\ndefault: {{",
            key.name,
            serde_json::to_string(&value).unwrap()
        );
        let fleet = SMALL.replace("default: {", &set).replace("761481\" }", "761481\", settings: [s] }");
        let loaded = parse(fleet, None);
        let Some(fleet) = loaded.fleet else { return Ok(()) };
        let device = fleet.find("dev1").unwrap();
        let mut simulated = Device::new(device.imei, "0.0.1");
        for (key, val) in to_set(&fleet, device, None) {
            simulated = simulated.with(key, &val).unwrap();
        }
        let told = |device: &Device| {
            let set = |key: &str| device.settings.get(key).unwrap_or_default().to_owned();
            (device.client_id(), device.expanded("otapURI"), device.expanded("notifyURI"), set("versionURI"), set("otapUser"))
        };
        let before = told(&simulated);
        for setting in &fleet.settings(device).settings {
            prop_assert!(simulated.settings.apply(&setting.key, &setting.val).is_ok());
        }
        prop_assert_eq!(told(&simulated), before);
        prop_assert_eq!(simulated.version_interval(), 10_800);
        prop_assert_eq!(simulated.settings.get("apn").unwrap_or("internet"), "internet");
        // What it publishes to: a broker, a port and a topic that there can be.
        let host = simulated.settings.get("host").unwrap_or("tcp://localhost");
        prop_assert!(host.len() > "tcp://".len() && !host.contains(' '), "{}", host);
        prop_assert!((1..=65_535).contains(&simulated.settings.number("port", 1883)));
        prop_assert!(!simulated.settings.get("publish").unwrap_or_default().contains(['+', '#']));
        for timeout in ["gprsTimeout", "mqttTimeout"] {
            prop_assert!(simulated.settings.number(timeout, 600) >= 30);
        }
    }
}
