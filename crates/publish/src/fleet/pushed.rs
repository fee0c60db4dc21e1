//! Pushed values that the fleet reckons with: they are what provisioning says, or a device would leave the
//! fleet.
//!
//! A device applies settings before the upgrade that comes with them, and nothing validates them there. So a
//! pushed otapURI decides where that very upgrade comes from, and a pushed versionURI who is asked next. To
//! move a device, its provisioning is changed, the old value put into `formerly`, and the new one pushed.

use std::collections::BTreeSet;

use super::devices::Origins;
use super::provisioning::Provisioning;
use super::reader::Reader;
use super::{Device, Group};
use crate::diag::{Code, Diagnostic};

/// Checks the lists of settings of all devices that are sent any.
pub(super) fn check(reader: &mut Reader, groups: &[Group], devices: &[Device], origins: &[Origins]) {
    let mut seen = BTreeSet::new();
    for device in devices.iter().filter(|device| !device.hold) {
        let origins = &origins[device.settings.0 as usize];
        if origins.is_empty() {
            continue;
        }
        if seen.insert((device.group, device.settings)) {
            by_provisioning(reader, &groups[usize::from(device.group.0)], device, origins);
        }
        if let Some(value) = origins.get("clientID")
            && !is_client_id(&value.text, device)
            && seen_once(reader, value.span)
        {
            let message = format!("the clientID `{}` is pushed to device `{}`", value.text, device.client_id);
            reader.report(
                Diagnostic::new(Code::PushedValue, value.span, message)
                    .hint("push a clientID to the one device that has it, in a settings set of its own"),
            );
        }
    }
}

/// Without a clientID a device takes its IMEI.
fn is_client_id(pushed: &str, device: &Device) -> bool {
    let id = device.client_id.as_str();
    pushed == id || (pushed.is_empty() && id == device.imei.to_string())
}

/// One pushed clientID that many devices get is one mistake.
fn seen_once(reader: &Reader, span: crate::diag::Span) -> bool {
    !reader.found.iter().any(|found| found.code == Code::PushedValue && found.place == span.into())
}

fn by_provisioning(reader: &mut Reader, group: &Group, device: &Device, origins: &Origins) {
    for (key, value) in origins {
        let Some(wanted) = provisioned(&group.provisioning, key) else { continue };
        let pushed = value.file.as_deref().unwrap_or(&value.text);
        if pushed == wanted || !seen_once(reader, value.span) {
            continue;
        }
        let (pushed, wanted) = match (pushed, &*wanted) {
            ("", wanted) => ("nothing".into(), format!("`{wanted}`")),
            (pushed, "") => (format!("`{pushed}`"), "none".into()),
            (pushed, wanted) => (format!("`{pushed}`"), format!("`{wanted}`")),
        };
        let message = format!(
            "`{key}` is pushed as {pushed}, but the provisioning of device `{}` has {wanted}",
            device.client_id
        );
        reader.report(Diagnostic::new(Code::PushedValue, value.span, message).hint(
            "to move devices, change their `provisioning`, put the old value into `formerly`, and push the \
             new one",
        ));
    }
}

/// The value that a key must have when it is pushed; of a password, its file. Empty: the key is not set.
fn provisioned(provisioning: &Provisioning, key: &str) -> Option<String> {
    let auth = provisioning.auth.as_ref();
    Some(match key {
        "otapURI" => provisioning.otap_uri.value.as_str().into(),
        "notifyURI" => provisioning.notify_uri.value.as_str().into(),
        "versionURI" => provisioning.version_uri.value.as_str().into(),
        "versionInterval" => provisioning.version_interval.value.to_string(),
        "apn" => provisioning.apn.clone(),
        "otapUser" => auth.map_or_else(String::new, |auth| auth.user.clone()),
        "otapPassword" => auth.map_or_else(String::new, |auth| auth.password_file.display().to_string()),
        _ => return None,
    })
}
