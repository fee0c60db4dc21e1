//! What is to be set on a device, the forms in which it can be set, and what the modem is told for an
//! upgrade.
//!
//! Confirmed by the firmware's source: the settings file is lines of `key=value`, each ended by LF alone (a
//! CR becomes part of the value, and a last line without its end is lost); `set` takes one `key=value`, up to
//! the first blank; a text message is one command; a command that changes anything must follow `login
//! <secret>` within `loginTimeout` seconds.
//!
//! Not confirmed on a device `[?]`: that a message in several parts is read part by part, as the modem stores
//! it; and that the modem hands `@` and `_`, whose codes in the alphabet of messages are those of control
//! characters, on as they are.

use crate::fleet::uri::expand;
use crate::fleet::{Device, Fleet};
use crate::settings::corrupting_text;

/// A form in which settings reach a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Commands of the console (with its dollar sign) and of MQTT, one in each line.
    Set,
    /// Lines of a:/file/OwnTracks.properties.
    Properties,
    /// Text messages, one in each line.
    Sms,
}

/// The lines in a form.
///
/// # Errors
/// A sentence for each value that cannot be set in this form.
pub fn text(form: Form, lines: &[(&'static str, String)]) -> Result<String, Vec<String>> {
    let faults: Vec<_> = lines
        .iter()
        .filter_map(|(key, value)| {
            let why = match form {
                // A blank cuts it off, but a person who reads the lines may set it in another way.
                Form::Set => None,
                Form::Properties => corrupting_text(value).map(str::to_owned),
                Form::Sms => not_in_a_message(key, value),
            };
            why.map(|why| format!("the value of `{key}` {why}"))
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(match form {
        Form::Set => commands(lines),
        Form::Properties => lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect(),
        Form::Sms => LOGIN.to_owned() + &commands(lines),
    })
}

/// The commands that set the lines.
pub fn commands(lines: &[(&'static str, String)]) -> String {
    lines.iter().map(|(key, value)| format!("set {key}={value}\n")).collect()
}

/// The fleet does not know the secret of a device.
const LOGIN: &str = "login <secret>\n";

/// For the person who sends the messages.
pub const SMS_NOTES: &[&str] = &[
    "send each line as a message of its own, in this order; `<secret>` is the device's `secret`",
    "the device answers a command that fails with `NACK`, and takes commands for `loginTimeout` seconds",
    "[?] not confirmed: that the modem hands on `@` and `_`, so look at the values with `set <key>` \
     afterwards",
];

fn not_in_a_message(key: &str, value: &str) -> Option<String> {
    if let Some(why) = corrupting_text(value) {
        return Some(why.into());
    }
    if value.contains(' ') {
        return Some("has a blank, at which the command ends".into());
    }
    let (needs, takes) = length(&format!("set {key}={value}"));
    (needs > takes).then(|| format!("makes a message of {needs} characters, and one takes {takes}"))
}

/// How long a message is and may be: 160 characters of the alphabet of messages, in which some count twice,
/// or else 70.
fn length(text: &str) -> (usize, usize) {
    let twice = |c: char| "^{}\\[~]|".contains(c);
    if text.contains('`') {
        (text.chars().count(), 70)
    } else {
        (text.chars().map(|c| if twice(c) { 2 } else { 1 }).sum(), 160)
    }
}

/// What has to be set on the device: what differs from the defaults of the firmware, spelled as there.
pub fn to_set(fleet: &Fleet, device: &Device, password: Option<&str>) -> Vec<(&'static str, String)> {
    let provisioning = &fleet.group(device).provisioning;
    let mut lines = Vec::new();
    if device.client_id.as_str() != device.imei.to_string() {
        lines.push(("clientID", device.client_id.to_string()));
    }
    lines.push(("apn", provisioning.apn.clone()));
    lines.push(("otapURI", provisioning.otap_uri.value.as_str().into()));
    lines.push(("notifyURI", provisioning.notify_uri.value.as_str().into()));
    lines.push(("versionURI", provisioning.version_uri.value.as_str().into()));
    lines.push(("versionInterval", provisioning.version_interval.value.to_string()));
    if let (Some(auth), Some(password)) = (&provisioning.auth, password) {
        lines.push(("otapUser", auth.user.clone()));
        lines.push(("otapPassword", password.into()));
    }
    if let Some(tid) = &device.tid {
        lines.push(("tid", tid.to_string()));
    }
    lines
}

/// What the firmware sends to the modem for an upgrade, with unquoted parameters.
pub fn at_command(fleet: &Fleet, device: &Device, notify_url: &str, password: Option<&str>) -> String {
    let provisioning = &fleet.group(device).provisioning;
    let otap = expand(provisioning.otap_uri.value.as_str(), &device.client_id);
    let user = provisioning.auth.as_ref().map_or("", |auth| &auth.user);
    let (password, apn) = (password.unwrap_or(""), &provisioning.apn);
    format!("AT^SJOTAP=,{otap},a:/app,{user},{password},gprs,{apn},,,8.8.8.8,{notify_url}")
}

/// `check` judges the longest clientID of a group; these are the warnings for one device.
pub fn warnings(fleet: &Fleet, device: &Device, notify_url: &str) -> Vec<String> {
    let provisioning = &fleet.group(device).provisioning;
    let limits = fleet.limits();
    let otap = expand(provisioning.otap_uri.value.as_str(), &device.client_id);
    let mut warnings = Vec::new();
    let mut too_long = |name: &str, len: usize, limit: usize| {
        if len > limit {
            warnings.push(format!("{name} has {len} characters, but modems may accept only {limit}"));
        }
    };
    too_long("otapURI", otap.len(), limits.url);
    too_long("notifyURI", notify_url.len(), limits.url);
    if let Some(auth) = &provisioning.auth {
        too_long("otapUser", auth.user.len(), limits.user);
        match fleet.password(&auth.password_file) {
            Ok(password) => too_long("otapPassword", password.len(), limits.password),
            Err(error) => warnings.push(format!("otapPassword is not known here: {error}")),
        }
    }
    if fleet.site().uri().is_private() {
        warnings.push(format!(
            "`{}` is unlikely to be known to 8.8.8.8, which the modem asks",
            fleet.site().uri().host()
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_the_length_that_modems_count() {
        assert_eq!(length("set a=b@_"), (9, 160));
        assert_eq!(length("[~]"), (6, 160));
        assert_eq!(length("a`b"), (3, 70));
    }

    #[test]
    fn what_does_not_fit_a_form_is_refused() {
        let lines = |value: &str| vec![("otapPassword", value.to_owned())];
        assert_eq!(text(Form::Properties, &lines("a b=#")).unwrap(), "otapPassword=a b=#\n");
        assert_eq!(text(Form::Sms, &lines("a")).unwrap(), "login <secret>\nset otapPassword=a\n");
        for (form, value, fault) in [
            (Form::Properties, "a\tb", "contains a control character"),
            (Form::Sms, "é", "contains a character outside ASCII"),
            (Form::Sms, "a b", "has a blank, at which the command ends"),
            (Form::Sms, &"x".repeat(144), "makes a message of 161 characters, and one takes 160"),
            (
                Form::Sms,
                &format!("`{}", "x".repeat(53)),
                "makes a message of 71 characters, and one takes 70",
            ),
        ] {
            let faults = text(form, &lines(value)).unwrap_err();
            assert_eq!(faults, [format!("the value of `otapPassword` {fault}")]);
        }
        assert!(text(Form::Sms, &lines(&"x".repeat(143))).is_ok());
    }
}
