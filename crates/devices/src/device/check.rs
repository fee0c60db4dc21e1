//! The version check: what a device posts, and what it makes of the reply.

use serde_json::Value;

use super::http::{Error, Framing, Request, latin1};
use super::settings::Corruption;
use super::{Device, Exchange, Purpose, Transport};
use otapress_core::version::Version;
use otapress_core::wire::{self, Setting};

/// The first firmware that looks for the JSON member; the ones before upgrade on any byte `1`.
const LOOKS_FOR_MEMBER: &str = "0.8.38";

/// The program that a device names in the User-Agent of its version check, before the slash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Program {
    /// The firmware of today: `GW/<IMEI>`.
    #[default]
    Gw,
    /// Older builds: `XAK/<IMEI>`.
    Xak,
    /// A simulator, which leaves no trace: `SIMU/<IMEI>`.
    Simu,
}

/// How a device's version check deviates from the usual request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// The program in the User-Agent.
    pub program: Program,
    /// What a platform appends to the User-Agent, such as ` UNTRUSTED/1.0`.
    pub agent_suffix: String,
    /// Headers that are left out, whatever their case: `User-Agent`, `Host`, `Content-Length` …
    pub omit: Vec<String>,
    /// Headers that are added.
    pub add: Vec<(String, String)>,
    /// Whether it speaks HTTP/1.0.
    pub http10: bool,
    /// How the body goes over the wire.
    pub framing: Framing,
    /// Posted in place of the running version.
    pub body: Option<Vec<u8>>,
}

/// A version check, from request to consequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The exchange; `None` if the device has no versionURI and does not ask.
    pub exchange: Option<Exchange>,
    /// The device's next step.
    pub outcome: CheckOutcome,
}

/// What a device does after a version check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// No versionURI: it never asks.
    Disabled,
    /// It was answered, and asks again after its versionInterval.
    Checked(Answered),
    /// It rejects the answer and posts again about every second.
    RepostsEverySecond(NoAnswer),
}

/// The effects of an answer on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Whether the answer told it to upgrade.
    pub upgrade: bool,
    /// The settings that it stored, in order.
    pub settings: Vec<Setting>,
    /// The settings that would have damaged its settings file.
    pub corruptions: Vec<Corruption>,
    /// The body was not JSON of the expected form and had no effect.
    pub garbage: bool,
}

/// What there is to read in the body of an answer, whatever the firmware makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    settings: Vec<Setting>,
    /// The member of that name is an integer other than 0.
    upgrade: bool,
    /// There is a digit 1 anywhere.
    has_one: bool,
    garbage: bool,
}

/// Why a device rejects a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// There was no complete reply.
    Http(Error),
    /// A status other than 200.
    Status(u16),
    /// A status line without a reason.
    NoReason,
    /// A `\u` in the body that is not followed by four hexadecimal digits.
    BadEscape,
    /// The answer was lost on its way.
    Lost,
}

impl CheckOutcome {
    /// Whether the device counts the check as done.
    pub fn is_checked(&self) -> bool {
        matches!(self, CheckOutcome::Checked(_))
    }

    /// Whether the device was told to upgrade.
    pub fn is_upgrade(&self) -> bool {
        matches!(self, CheckOutcome::Checked(answered) if answered.upgrade)
    }
}

impl Reading {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is no answer to a device.
    pub fn of(body: &[u8]) -> Result<Reading, NoAnswer> {
        // Nearly every answer, which says the same to all firmware.
        if body == wire::NO.as_bytes() {
            return Ok(Reading::default());
        }
        let text = latin1(body);
        if has_bad_escape(&text) {
            return Err(NoAnswer::BadEscape);
        }
        let has_one = text.contains('1');
        let Ok(Value::Object(members)) = serde_json::from_str::<Value>(&text) else {
            return Ok(Reading { has_one, garbage: true, ..Reading::default() });
        };
        // Only an integer counts: not `"1"`, `true`, `1.0` or `1e0`.
        let upgrade = members.get("upgrade").and_then(Value::as_i64).is_some_and(|upgrade| upgrade != 0);
        Ok(Reading { settings: pushed(members.get("settings")).collect(), upgrade, has_one, garbage: false })
    }
}

impl Device {
    /// Posts the running version and does what the answer says, except for upgrading: that only sets
    /// the flag that [`Device::turn`] acts on.
    pub fn check(&mut self) -> Check {
        self.check_unless_lost(&mut self.network.clone(), false)
    }

    /// Like [`Device::check`], but the answer never reaches the device.
    pub fn check_and_lose_the_answer(&mut self) -> Check {
        self.check_unless_lost(&mut self.network.clone(), true)
    }

    fn check_unless_lost(&mut self, transport: &mut dyn Transport, lost: bool) -> Check {
        let Some(uri) = self.settings.get("versionURI") else {
            return Check { exchange: None, outcome: CheckOutcome::Disabled };
        };
        let request = self.check_request(uri);
        let exchange = Exchange::make(transport, Purpose::VersionCheck, request);
        let outcome = match (&exchange.reply, lost) {
            (Err(error), _) => CheckOutcome::RepostsEverySecond(NoAnswer::Http(error.clone())),
            (Ok(_), true) => CheckOutcome::RepostsEverySecond(NoAnswer::Lost),
            (Ok(reply), false) => self.hear(reply.status, &reply.reason, &reply.body),
        };
        Check { exchange: Some(exchange), outcome }
    }

    /// Does what the reply to a version check says; an upgrade only sets a flag, see [`Device::check`].
    pub fn hear(&mut self, status: u16, reason: &str, body: &[u8]) -> CheckOutcome {
        self.hear_what_was_read(status, reason, &Reading::of(body))
    }

    /// The same where the body was read before.
    pub fn hear_what_was_read(
        &mut self,
        status: u16,
        reason: &str,
        read: &Result<Reading, NoAnswer>,
    ) -> CheckOutcome {
        let outcome = match self.take_answer(status, reason, read) {
            Ok(answered) => CheckOutcome::Checked(answered),
            Err(why) => CheckOutcome::RepostsEverySecond(why),
        };
        self.upgrade_flag |= outcome.is_upgrade();
        outcome
    }

    /// The User-Agent of its version checks.
    pub fn agent(&self) -> String {
        format!("{}/{}{}", self.quirks.program, self.imei, self.quirks.agent_suffix)
    }

    fn check_request(&self, uri: &str) -> Request {
        let quirks = &self.quirks;
        let body = quirks.body.as_deref().unwrap_or(self.version.as_bytes());
        let mut request = Request::post(uri, body, quirks.framing).header("User-Agent", &self.agent());
        request.http10 = quirks.http10;
        request.headers.retain(|(name, _)| !quirks.omit.iter().any(|o| o.eq_ignore_ascii_case(name)));
        request.headers.extend_from_slice(&quirks.add);
        request
    }

    fn take_answer(
        &mut self,
        status: u16,
        reason: &str,
        read: &Result<Reading, NoAnswer>,
    ) -> Result<Answered, NoAnswer> {
        if status != 200 {
            return Err(NoAnswer::Status(status));
        }
        if reason.is_empty() {
            return Err(NoAnswer::NoReason);
        }
        let Reading { settings, upgrade, has_one, garbage } = read.as_ref().map_err(NoAnswer::clone)?;
        let mut answered = Answered { upgrade: *upgrade, garbage: *garbage, ..Answered::default() };
        // Settings come first: they are stored even if an upgrade follows.
        for setting in settings {
            match self.settings.apply(&setting.key, &setting.val) {
                Ok(()) => answered.settings.push(setting.clone()),
                Err(corruption) => answered.corruptions.push(corruption),
            }
        }
        // Mostly both say the same, whatever the firmware.
        if has_one != upgrade && is_below(&self.version, LOOKS_FOR_MEMBER) {
            answered.upgrade = *has_one;
        }
        Ok(answered)
    }
}

/// Whether both are versions and the first is the lower one.
fn is_below(version: &str, limit: &str) -> bool {
    let parse = |text: &str| text.parse::<Version>().ok();
    parse(version).zip(parse(limit)).is_some_and(|(version, limit)| version < limit)
}

/// The settings of an answer; what is not `{"key": string, "val": string}` is passed over.
fn pushed(settings: Option<&Value>) -> impl Iterator<Item = Setting> {
    let text = |value: &Value, member: &str| value.get(member)?.as_str().map(String::from);
    settings
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(move |value| Some(Setting { key: text(value, "key")?, val: text(value, "val")? }))
}

/// Whether any `\u` lacks its four hexadecimal digits.
fn has_bad_escape(text: &str) -> bool {
    let mut rest = text;
    while let Some(i) = rest.find('\\') {
        let escape = &rest[i + 1..];
        if let Some(digits) = escape.strip_prefix('u')
            && !digits.get(..4).is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return true;
        }
        // The escaped character is passed over, so that `\\u` is a backslash and a letter.
        rest = escape.get(escape.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(version: &str) -> Device {
        Device::new("123456789012345".parse().unwrap(), version)
    }

    fn answered(device: &mut Device, body: &str) -> Answered {
        device.take_answer(200, "OK", &Reading::of(body.as_bytes())).unwrap()
    }

    fn upgrades(version: &str, body: &str) -> bool {
        answered(&mut device(version), body).upgrade
    }

    #[test]
    fn only_an_integer_upgrades() {
        for yes in [r#"{"upgrade":1}"#, r#" {"x":[1,"2"],"upgrade": -7 }"#, r#"{"upgrade":2,"settings":7}"#] {
            assert!(upgrades("0.10.65", yes), "{yes}");
        }
        for no in [
            r#"{"upgrade":0}"#,
            r#"{"upgrade":"1"}"#,
            r#"{"upgrade":true}"#,
            r#"{"upgrade":1.0}"#,
            r#"{"upgrade":1e0}"#,
            r#"{"Upgrade":1}"#,
            r#"{"upgrade":1"#,
            "[1]",
            "",
        ] {
            assert!(!upgrades("0.10.65", no), "{no}");
        }
    }

    #[test]
    fn old_firmware_upgrades_on_any_one() {
        let one_elsewhere = r#"{"upgrade":0,"at":"12:00"}"#;
        assert!(upgrades("0.8.37", one_elsewhere));
        assert!(!upgrades("0.8.37", r#"{"upgrade":0}"#));
        assert!(!upgrades("0.8.38", one_elsewhere));
    }

    #[test]
    fn anything_but_200_with_a_reason_is_no_answer() {
        let take = |status, reason, body: &str| {
            device("0.10.65").take_answer(status, reason, &Reading::of(body.as_bytes())).unwrap_err()
        };
        assert_eq!(take(204, "No Content", ""), NoAnswer::Status(204));
        assert_eq!(take(302, "Found", ""), NoAnswer::Status(302));
        assert_eq!(take(200, "", r#"{"upgrade":0}"#), NoAnswer::NoReason);
        assert_eq!(take(200, "OK", r#"{"a":"\u12"}"#), NoAnswer::BadEscape);
        answered(&mut device("0.1"), r#"{"a":"\\u12"}"#);
        let garbage = answered(&mut device("0.10.65"), "<html>");
        assert_eq!(garbage, Answered { garbage: true, ..Answered::default() });
    }

    #[test]
    fn settings_are_stored_in_order_even_with_an_upgrade() {
        let mut device = device("0.10.65");
        let body = concat!(
            r#"{"settings":[{"key":"tid","val":"D1"},{"key":"a=b","val":"c"},{"key":"n","val":1},"#,
            r#"{"key":"tid","val":"\u0044\u0032"}],"upgrade":1}"#
        );
        let answered = answered(&mut device, body);
        assert!(answered.upgrade);
        assert_eq!(device.settings.get("tid"), Some("D2"));
        assert_eq!(answered.settings.len(), 2);
        assert_eq!(answered.corruptions[0].key, "a=b");
    }
}
