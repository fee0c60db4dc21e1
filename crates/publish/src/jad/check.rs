//! What a well-formed JAD says, alone and against the JAR that it describes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ATTRIBUTE_MISMATCH, AUTHENTICATION, Fault, INVALID_DESCRIPTOR, INVALID_JAR, Jad, SIZE_MISMATCH, SUCCESS,
};
use crate::jar::{IDENTITY, Jar, numbered};
use crate::signing::{CERTIFICATE, SIGNATURE};
use otapress_core::version::Version;

const JAR_URL: &str = "MIDlet-Jar-URL";
const JAR_SIZE: &str = "MIDlet-Jar-Size";
const DATA_SIZE: &str = "MIDlet-Data-Size";

/// What the JAD tells about itself that no device would take, in the order of its lines.
pub fn check_alone(jad: &Jad) -> Vec<Fault> {
    let mut faults = Vec::new();
    for name in IDENTITY.into_iter().chain([JAR_URL, JAR_SIZE]).filter(|name| jad.get(name).is_none()) {
        let fault = Fault::new(0, INVALID_DESCRIPTOR, format!("the JAD has no `{name}`"));
        let similar = jad.attributes().map(|(n, _)| n).find(|n| n.eq_ignore_ascii_case(name));
        faults.push(match similar {
            Some(similar) => fault.hint(format!("line {} spells it `{similar}`", jad.line_of(similar))),
            None => fault.hint(format!("add a line `{name}: …`")),
        });
    }
    let wrong = |name: &str, message: String, hint: &str| {
        Fault::new(jad.line_of(name), INVALID_DESCRIPTOR, message).hint(hint)
    };
    if let Some(text) = jad.get("MIDlet-Version")
        && let Err(error) = text.parse::<Version>()
    {
        faults.push(wrong("MIDlet-Version", format!("`MIDlet-Version` is `{text}`"), &error.to_string()));
    }
    if let Some(text) = jad.get(JAR_SIZE)
        && size(text).is_none()
    {
        let code = match text.strip_prefix('+').and_then(size) {
            // Sun's installer takes it.
            Some(_) => SUCCESS,
            None => INVALID_DESCRIPTOR,
        };
        let fault = Fault::new(jad.line_of(JAR_SIZE), code, format!("`{JAR_SIZE}` is `{text}`"));
        faults.push(fault.hint("write a plain decimal number below 2147483648"));
    }
    if let Some(text) = jad.get(JAR_URL)
        && !text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
    {
        let hint = "write the whole URL; modems speak http only, and not all of them resolve a relative URL";
        let message = format!("`{JAR_URL}` is `{text}`, which is not an absolute http URL");
        faults.push(wrong(JAR_URL, message, hint));
    }
    for (name, what) in numbered(jad.attributes()).faults {
        let hint =
            "number the MIDlets from 1 without gaps, each as `name, icon, class`; the icon may be empty";
        faults.push(wrong(name, format!("`{name}` {what}"), hint));
    }
    signature(jad, &mut faults);
    in_order(faults)
}

/// What is wrong with the JAD of a JAR that is served at `jar_url`, in the order of its lines. Empty: a
/// device installs the suite and reports to the fleet's notifyURI.
pub fn check(jad: &Jad, jar: &Jar, jar_url: &str) -> Vec<Fault> {
    let mut faults = check_alone(jad);
    let mut wrong = |name: &str, code: u16, message: String, hint: Option<String>| {
        faults.push(Fault { line: jad.line_of(name), code_on_device: code, message, hint });
    };

    let signed = jad.get(SIGNATURE).is_some();
    for (name, value) in jad.attributes() {
        let Some(original) = jar.attribute(name).filter(|original| *original != value) else { continue };
        let message = format!("`{name}` is `{value}`, but the JAR's manifest has `{original}`");
        if IDENTITY.contains(&name) {
            let hint = "copy it from the manifest, character by character";
            wrong(name, ATTRIBUTE_MISMATCH, message, Some(hint.into()));
        } else if signed {
            let hint = "what a signed suite has in both must be equal";
            wrong(name, ATTRIBUTE_MISMATCH, message, Some(hint.into()));
        }
    }
    if let Some(said) = jad.get(JAR_SIZE).and_then(size).filter(|&said| said != jar.size()) {
        let message = format!("`{JAR_SIZE}` is {said}, but the JAR has {} bytes", jar.size());
        wrong(JAR_SIZE, SIZE_MISMATCH, message, None);
    }
    if let Some(url) = jad.get(JAR_URL).filter(|&url| url != jar_url) {
        let message = format!("`{JAR_URL}` is `{url}`, but the JAR is served at `{jar_url}`");
        wrong(JAR_URL, INVALID_JAR, message, None);
    }
    for (name, midlet) in numbered(jad.attributes()).midlets {
        if !jar.has_class(midlet.class()) {
            let message = format!("`{name}` names the class `{}`, which is not in the JAR", midlet.class());
            wrong(name, INVALID_JAR, message, None);
        }
    }
    for name in ["MIDlet-1", "MicroEdition-Profile", "MicroEdition-Configuration"] {
        if jad.get(name).is_none() && jar.attribute(name).is_none_or(str::is_empty) {
            let message = format!("neither the JAD nor the JAR's manifest has `{name}`");
            wrong(name, INVALID_DESCRIPTOR, message, Some(format!("add a line `{name}: …`")));
        }
    }
    if jar.attribute(DATA_SIZE).is_some() && jad.get(DATA_SIZE).is_none() {
        let message = format!("the JAR's manifest has `{DATA_SIZE}`, and the JAD has not");
        let hint = "devices read it in the JAD alone: add the line to the template";
        wrong(DATA_SIZE, SUCCESS, message, Some(hint.into()));
    }
    if jad.get("MIDlet-Install-Notify").is_some() {
        let hint = "remove the line: results are then posted to the notifyURI of fleet.yaml";
        let message = "`MIDlet-Install-Notify` overrides the device's notifyURI";
        wrong("MIDlet-Install-Notify", SUCCESS, message.into(), Some(hint.into()));
    }
    in_order(faults)
}

fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| fault.line);
    faults
}

/// A plain decimal number below 2³¹.
fn size(text: &str) -> Option<u64> {
    let plain = text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&size| plain && size < 1 << 31)
}

/// A signature comes with the chain `MIDlet-Certificate-1-1`, `-1-2` …; other chains count from 1 too.
fn signature(jad: &Jad, faults: &mut Vec<Fault>) {
    let mut wrong =
        |name: &str, message: String| faults.push(Fault::new(jad.line_of(name), AUTHENTICATION, message));

    let mut chains: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (name, value) in jad.attributes() {
        if let Some(numbers) = name.strip_prefix(CERTIFICATE) {
            match numbers.split_once('-').and_then(|(n, m)| Some((ordinal(n)?, ordinal(m)?))) {
                Some((n, m)) => {
                    chains.entry(n).or_default().insert(m);
                }
                None => wrong(name, format!("`{name}` is misnumbered: chains and certificates count from 1")),
            }
        } else if name != SIGNATURE {
            continue;
        }
        if !is_base64(value) {
            wrong(name, format!("the value of `{name}` is not base64 on one line"));
        }
    }
    let mut expected = 1;
    for (n, certificates) in &chains {
        if *n != expected {
            wrong("", format!("`{CERTIFICATE}{n}-…` comes without `{CERTIFICATE}{expected}-1`"));
        }
        expected = n.saturating_add(1);
        let missing = (1..).zip(certificates).find(|(m, have)| m != *have).map(|(m, _)| m);
        if let Some(m) = missing {
            wrong("", format!("the certificates of chain {n} come without `{CERTIFICATE}{n}-{m}`"));
        }
    }
    match (jad.get(SIGNATURE), chains.is_empty()) {
        (Some(_), true) => wrong(SIGNATURE, format!("`{SIGNATURE}` comes without `{CERTIFICATE}1-1`")),
        (None, false) => wrong("", format!("there are certificates, but no `{SIGNATURE}`")),
        _ => {}
    }
}

/// A number from 1 without leading zeros.
pub(super) fn ordinal(text: &str) -> Option<u32> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

/// RFC 4648 section 4, padded.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    !digits.is_empty()
        && text.len() - digits.len() <= 2
        && text.len().is_multiple_of(4)
        && digits.bytes().all(plain)
}
