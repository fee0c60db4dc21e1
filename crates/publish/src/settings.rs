//! The settings of the firmware: which keys there are, what they take and which can cut a device off.
//!
//! Read off the Greenwich firmware. A device keeps its settings as `key=value` lines in flash and reads
//! garbage in a number as 0, so a wrong value is worse than none.

use std::fmt::Write as _;

use otapress_core::digest::Sha256;
use otapress_core::id::ClientId;
use otapress_core::wire::Setting;

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `0` or `1`; words such as `true` read as 0.
    Flag,
    /// A whole number from the first to the second, both included.
    Number(u32, u32),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of the letters of the log levels.
    LogLevel,
    /// An MQTT broker: `tcp://…` or `ssl://…`.
    Broker,
    /// The PIN of a SIM card.
    Pin,
    /// A clientID.
    ClientId,
    /// An MQTT topic to publish to, or the start of one.
    Topic,
    /// A value that must be that of `provisioning`, whose rules it has.
    Provisioned,
    /// A password, which stands in a file.
    PasswordFile,
}

/// A setting that the firmware knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; case matters on the device.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether a mistake cuts the device off or leaks a secret in clear text.
    pub dangerous: bool,
}

const ANY: Kind = Kind::Number(0, i32::MAX as u32);
/// In seconds; a device that gives up at once never connects.
const TIMEOUT: Kind = Kind::Number(30, 86_400);
const QOS: Kind = Kind::Number(0, 2);

const fn key(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, dangerous: false }
}

const fn dangerous(name: &'static str, kind: Kind) -> Key {
    Key { name, kind, dangerous: true }
}

/// Every key of the firmware but the internal ones.
pub const KEYS: &[Key] = &[
    // GPRS
    dangerous("pin", Kind::Pin),
    dangerous("apn", Kind::Provisioned),
    dangerous("apnUser", Kind::Text),
    dangerous("apnPassword", Kind::Text),
    dangerous("gprsTimeout", TIMEOUT),
    key("cellInfo", Kind::Flag),
    // Device
    dangerous("sleep", ANY),
    key("motion", Kind::Number(0, 255)),
    dangerous("otapUser", Kind::Provisioned),
    dangerous("otapPassword", Kind::PasswordFile),
    dangerous("otapURI", Kind::Provisioned),
    dangerous("notifyURI", Kind::Provisioned),
    dangerous("versionURI", Kind::Provisioned),
    // Below a minute a fleet is busy with nothing else; 0 or garbage polls every second.
    dangerous("versionInterval", Kind::Number(60, i32::MAX as u32)),
    // In mV; a battery is never above 4200.
    dangerous("lowBattery", Kind::Number(0, 4200)),
    key("dExtVoltage", ANY),
    key("dBattVoltage", ANY),
    key("battery", Kind::Flag),
    key("useGPIO1", Kind::Flag),
    key("useGPIO2", Kind::Flag),
    key("useGPIO3", Kind::Flag),
    key("useGPIO5", Kind::Flag),
    // CAN
    key("fmsInterval", ANY),
    key("fmsLoops", ANY),
    key("fmsIdle", ANY),
    key("fmsSpeed", Kind::OneOf(&["25", "125", "250", "500", "1000"])),
    key("fmsMode", Kind::OneOf(&["STD", "EXT"])),
    key("fmsState", Kind::OneOf(&["ACTIVE", "SILENT"])),
    key("obd2Interval", ANY),
    key("obd2Sensors", ANY),
    key("obd2Addresses", Kind::Text),
    key("obd2Speeds", Kind::Text),
    key("obd2Modes", Kind::Text),
    // MQTT
    dangerous("cleanSession", Kind::Flag),
    dangerous("clientID", Kind::ClientId),
    dangerous("host", Kind::Broker),
    dangerous("port", Kind::Number(1, 65535)),
    dangerous("user", Kind::Text),
    dangerous("password", Kind::Text),
    key("keepAlive", ANY),
    dangerous("mqttTimeout", TIMEOUT),
    key("qos", QOS),
    key("retain", Kind::Flag),
    dangerous("publish", Kind::Topic),
    dangerous("subscription", Kind::Text),
    key("subscriptionQos", QOS),
    key("tid", Kind::Text),
    key("will", Kind::Text),
    key("willQos", QOS),
    key("willRetain", Kind::Flag),
    key("willTopic", Kind::Topic),
    // Sensors
    key("temperatureInterval", ANY),
    key("dTemperature", ANY),
    // Location
    key("fields", Kind::Text),
    key("sensitivity", ANY),
    key("minSpeed", ANY),
    key("minDistance", ANY),
    key("maxInterval", ANY),
    key("minInterval", ANY),
    key("fixTimeout", ANY),
    dangerous("offUntil", ANY),
    dangerous("maxSize", Kind::Number(1024, i32::MAX as u32)),
    key("raw", Kind::Flag),
    key("payload", Kind::OneOf(&["json", "csv"])),
    dangerous("killQueue", Kind::Flag),
    dangerous("killPersistent", Kind::Flag),
    // Log and the rest
    key("dbgComp", Kind::Text),
    key("stderrLogLevel", Kind::LogLevel),
    key("fileLogLevel", Kind::LogLevel),
    key("topicLogLevel", Kind::LogLevel),
    key("usbDebug", Kind::Flag),
    dangerous("secret", Kind::Text),
    dangerous("loginTimeout", ANY),
];

/// Keys in which the firmware keeps its own notes.
pub const INTERNAL: &[&str] = &["lastVersionCheck", "lastFix", "wakeupTime"];

/// The key of this name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether a key is pushed only with the value that `provisioning` or the device's own entry has.
pub fn is_provisioned(key: &str) -> bool {
    key == "versionInterval"
        || find(key)
            .is_some_and(|key| matches!(key.kind, Kind::Provisioned | Kind::PasswordFile | Kind::ClientId))
}

/// Keys with values that are nobody else's business.
const SECRET: &[&str] =
    &["pin", "apnUser", "apnPassword", "otapUser", "otapPassword", "user", "password", "secret"];

/// Whether the value of a key is not to be shown. Of a key that the firmware does not know, the name decides.
pub fn is_secret(key: &str) -> bool {
    let told_by_name = || {
        let name = key.to_ascii_lowercase();
        ["password", "passwd", "secret", "token", "credential"].iter().any(|word| name.contains(word))
            || name.ends_with("pin")
            || name.ends_with("key")
    };
    SECRET.contains(&key) || (find(key).is_none() && told_by_name())
}

/// What is wrong with a value, if anything: `` `x` takes a whole number from 0 to 2 `` and the like.
///
/// The empty value deletes the setting, which suits every key but `versionURI`, where it ends the version
/// checks; `allow` is asked for that one anyway.
pub fn value_fault(key: &Key, value: &str) -> Option<String> {
    if value.is_empty() {
        return None;
    }
    let (good, wants) = match key.kind {
        Kind::Text | Kind::Provisioned | Kind::PasswordFile => (true, String::new()),
        Kind::Flag => (matches!(value, "0" | "1"), "`0` or `1`".into()),
        Kind::Number(min, max) => {
            let digits = value.bytes().all(|b| b.is_ascii_digit());
            let fits = value.parse::<u32>().is_ok_and(|n| (min..=max).contains(&n));
            (digits && fits, format!("a whole number from {min} to {max}"))
        }
        Kind::OneOf(words) => (words.contains(&value), format!("one of `{}`", words.join("`, `"))),
        Kind::LogLevel => (
            value.len() == 1 && "PACEWNID".contains(value),
            "one of the letters `P`, `A`, `C`, `E`, `W`, `N`, `I`, `D`".into(),
        ),
        Kind::Broker => {
            let host = value.strip_prefix("tcp://").or_else(|| value.strip_prefix("ssl://"));
            let is_host = |host: &str| {
                host.split('.').all(|label| !label.is_empty())
                    && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            };
            (host.is_some_and(is_host), "`tcp://` or `ssl://` and a host".into())
        }
        Kind::Pin => {
            let digits = value.bytes().all(|b| b.is_ascii_digit());
            (digits && (4..=8).contains(&value.len()), "4 to 8 digits".into())
        }
        Kind::ClientId => (value.parse::<ClientId>().is_ok(), "a clientID".into()),
        Kind::Topic => (!value.contains(['+', '#']), "a topic without `+` and `#`".into()),
    };
    (!good).then(|| format!("`{}` takes {wants}, not `{value}`", key.name))
}

/// Why a key cannot stand in the `key=value` lines of the settings file on the device, if so.
pub fn corrupting_key(key: &str) -> Option<&'static str> {
    match key {
        "" => Some("is empty"),
        _ if key.contains('=') => Some("contains `=`"),
        _ if key.starts_with('#') => Some("starts with `#`"),
        _ => corrupting_text(key),
    }
}

/// Why a value cannot stand there.
pub fn corrupting_text(text: &str) -> Option<&'static str> {
    if text.bytes().any(|b| matches!(b, b'\r' | b'\n')) {
        Some("contains a line end")
    } else if !text.is_ascii() {
        Some("contains a character outside ASCII")
    } else if text.bytes().any(|b| b.is_ascii_control()) {
        Some("contains a control character")
    } else {
        None
    }
}

/// Names a list of settings: two lists have the same generation only if they are equal, so that a device
/// that has confirmed one is not sent it again, and is sent a changed one.
pub fn generation<'a>(settings: impl Iterator<Item = &'a Setting>) -> Option<String> {
    let mut text = String::new();
    for Setting { key, val } in settings {
        // Lengths keep ("a", "bc") and ("ab", "c") apart.
        write!(text, "{}:{key}{}:{val}", key.len(), val.len()).expect("writing to a string cannot fail");
    }
    (!text.is_empty()).then(|| Sha256::of(text.as_bytes()).short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn keys_are_unique_and_none_is_internal() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| key.name).collect();
        assert_eq!(names.len(), KEYS.len());
        assert!(INTERNAL.iter().all(|name| !names.contains(name)));
    }

    #[test]
    fn values_are_judged_by_kind() {
        let cases = [
            ("motion", "255", true),
            ("motion", "256", false),
            ("motion", "-1", false),
            ("motion", "4.0", false),
            ("motion", "+4", false),
            ("retain", "1", true),
            ("retain", "true", false),
            ("qos", "3", false),
            ("fmsSpeed", "250", true),
            ("fmsSpeed", "300", false),
            ("fmsMode", "ext", false),
            ("fileLogLevel", "E", true),
            ("fileLogLevel", "EE", false),
            ("fileLogLevel", "X", false),
            ("host", "tcp://broker", true),
            ("host", "broker", false),
            ("versionInterval", "0", false),
            ("maxSize", "1023", false),
            ("maxSize", "", true),
            ("fields", "anything at all", true),
        ];
        for (name, value, good) in cases {
            assert_eq!(value_fault(find(name).unwrap(), value).is_none(), good, "{name}={value}");
        }
    }

    #[test]
    fn what_corrupts_the_file_is_known() {
        for bad in ["", "a=b", "#a", "a\nb", "ä", "a\tb"] {
            assert!(corrupting_key(bad).is_some(), "{bad:?}");
        }
        assert_eq!(corrupting_key("keepAlive"), None);
        assert_eq!(corrupting_text("a=#b c"), None);
    }

    #[test]
    fn generations_tell_lists_apart() {
        let list = |pairs: &[(&str, &str)]| {
            let settings: Vec<_> =
                pairs.iter().map(|&(key, val)| Setting { key: key.into(), val: val.into() }).collect();
            generation(settings.iter())
        };
        assert_eq!(list(&[]), None);
        assert_eq!(list(&[("a", "1")]), list(&[("a", "1")]));
        assert_ne!(list(&[("a", "bc")]), list(&[("ab", "c")]));
        assert_ne!(list(&[("a", "1"), ("b", "2")]), list(&[("b", "2"), ("a", "1")]));
    }
}
