//! The manifest and the archive against the modules of a fleet (MIDP 2.0, "Over The Air User Initiated
//! Provisioning").

use super::fault::{Fault, shown};
use super::midlet;
use super::{Contents, Jar, Rules};
use crate::diag::{Code, did_you_mean};
use otapress_core::out;
use otapress_core::words::count;

/// Permissions that some module knows. IMP-NG's are the first nine; the others come with JSRs.
const PERMISSIONS: &[&str] = &[
    "javax.microedition.io.Connector.http",
    "javax.microedition.io.Connector.https",
    "javax.microedition.io.Connector.datagram",
    "javax.microedition.io.Connector.datagramreceiver",
    "javax.microedition.io.Connector.socket",
    "javax.microedition.io.Connector.serversocket",
    "javax.microedition.io.Connector.ssl",
    "javax.microedition.io.Connector.comm",
    "javax.microedition.io.PushRegistry",
    // JSR 75
    "javax.microedition.io.Connector.file.read",
    "javax.microedition.io.Connector.file.write",
    "javax.microedition.pim.ContactList.read",
    "javax.microedition.pim.ContactList.write",
    "javax.microedition.pim.EventList.read",
    "javax.microedition.pim.EventList.write",
    "javax.microedition.pim.ToDoList.read",
    "javax.microedition.pim.ToDoList.write",
    // JSR 82
    "javax.microedition.io.Connector.bluetooth.client",
    "javax.microedition.io.Connector.bluetooth.server",
    "javax.microedition.io.Connector.obex.client",
    "javax.microedition.io.Connector.obex.client.tcp",
    "javax.microedition.io.Connector.obex.server",
    "javax.microedition.io.Connector.obex.server.tcp",
    // JSR 120, JSR 205
    "javax.microedition.io.Connector.sms",
    "javax.wireless.messaging.sms.send",
    "javax.wireless.messaging.sms.receive",
    "javax.microedition.io.Connector.cbs",
    "javax.wireless.messaging.cbs.receive",
    "javax.microedition.io.Connector.mms",
    "javax.wireless.messaging.mms.send",
    "javax.wireless.messaging.mms.receive",
    // JSR 135
    "javax.microedition.media.control.RecordControl",
    "javax.microedition.media.control.VideoControl.getSnapshot",
    // JSR 177
    "javax.microedition.apdu.aid",
    "javax.microedition.apdu.sat",
    "javax.microedition.jcrmi",
    "javax.microedition.securityservice.CMSMessageSignatureService",
    // JSR 179
    "javax.microedition.location.Location",
    "javax.microedition.location.Orientation",
    "javax.microedition.location.ProximityListener",
    "javax.microedition.location.LandmarkStore.read",
    "javax.microedition.location.LandmarkStore.write",
    "javax.microedition.location.LandmarkStore.category",
    "javax.microedition.location.LandmarkStore.management",
    // JSR 180
    "javax.microedition.io.Connector.sip",
    "javax.microedition.io.Connector.sips",
];

/// Prefixes of permissions of the modules' makers, which no list has.
const MAKERS: [&str; 3] = ["com.siemens.", "com.cinterion.", "com.gemalto."];

/// An attribute's name and value.
type Attribute<'a> = (&'a str, &'a str);

/// What attributes of a manifest, or of a JAD, say that the modules do not take, by the attribute's name.
pub(crate) fn attributes<'a>(
    attributes: impl Iterator<Item = Attribute<'a>> + Clone,
    rules: &Rules,
) -> Vec<(&'a str, Fault)> {
    let found = attributes.clone().flat_map(|(name, value)| {
        let faults = attribute(name, value, attributes.clone(), rules);
        faults.into_iter().map(move |fault| (name, fault))
    });
    found.collect()
}

fn attribute<'a>(
    name: &str,
    value: &str,
    all: impl Iterator<Item = Attribute<'a>>,
    rules: &Rules,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    match name {
        "MicroEdition-Profile" => profile(value, rules, &mut faults),
        "MicroEdition-Configuration" => configuration(value, rules, &mut faults),
        "MIDlet-Permissions" | "MIDlet-Permissions-Opt" => permissions(name, value, &mut faults),
        "MIDlet-Data-Size" => data_size(value, &mut faults),
        "Runtime-Execution-Environment" if value != "MIDP.CLDC" => faults.push(
            Fault::of(Code::JarEnvironment, format!("`{name}` is `{}`", shown(value.as_bytes())))
                .hint("devices take MIDP.CLDC only and answer 908 to others: leave the attribute out"),
        ),
        "MIDlet-Vendor" if !value.is_ascii() => faults.push(
            Fault::of(
                Code::JarNonAscii,
                format!("`{name}` is `{}`, which is not ASCII", shown(value.as_bytes())),
            )
            .hint("devices may read the JAD's bytes differently and answer 905: use ASCII"),
        ),
        "MIDlet-Name" if !value.is_ascii() => faults.push(
            Fault::of(
                Code::JarNonAscii,
                format!("`{name}` is `{}`, which is not ASCII", shown(value.as_bytes())),
            )
            .hint(format!(
                "devices may read the JAD's bytes differently and answer 905, and one that names the file as \
                 its URL does, `{}.jar`, never starts it: use ASCII",
                out::jar_name(value)
            )),
        ),
        _ => {}
    }
    if name.strip_prefix("MIDlet-Push-").is_some_and(midlet::is_number) {
        push(name, value, all, &mut faults);
    }
    faults
}

fn profile(value: &str, rules: &Rules, faults: &mut Vec<Fault>) {
    for profile in value.split_ascii_whitespace().filter(|word| !rules.profiles.iter().any(|p| p == word)) {
        let known = rules.profiles.join(", ");
        // Descriptors of working suites have it.
        let (code, what) = match profile {
            "IMP-NG-2.0" => (Code::JarProfileDoubtful, "which some modules answer 908 to"),
            _ => (Code::JarProfile, "which the modules do not have"),
        };
        let profile = shown(profile.as_bytes());
        faults.push(
            Fault::of(code, format!("`MicroEdition-Profile` asks for `{profile}`, {what}"))
                .hint(format!("the fleet's modules have {known} (`midlet.profiles`)")),
        );
    }
}

fn configuration(value: &str, rules: &Rules, faults: &mut Vec<Fault>) {
    if !value.is_empty() && !rules.configurations.iter().any(|known| known == value) {
        let known = rules.configurations.join(", ");
        let message = format!(
            "`MicroEdition-Configuration` asks for `{}`, which the modules do not have",
            shown(value.as_bytes())
        );
        faults.push(
            Fault::of(Code::JarConfiguration, message).hint(format!(
                "devices answer 908; the fleet's modules have {known} (`midlet.configurations`)"
            )),
        );
    }
}

fn permissions(name: &str, value: &str, faults: &mut Vec<Fault>) {
    let unknown = |permission: &&str| {
        !PERMISSIONS.contains(permission) && !MAKERS.iter().any(|maker| permission.starts_with(maker))
    };
    for permission in value.split(',').map(str::trim).filter(unknown) {
        let what = match name {
            "MIDlet-Permissions" => {
                "which no module is known to have: it keeps the suite from being installed"
            }
            _ => "which no module is known to have: it is never granted",
        };
        let message = match permission {
            "" => format!("`{name}` has an empty permission"),
            _ => format!("`{name}` asks for `{}`, {what}", shown(permission.as_bytes())),
        };
        let near = did_you_mean(permission, PERMISSIONS.iter().copied());
        faults.push(Fault { hint: near, ..Fault::of(Code::JarPermission, message) });
    }
}

fn data_size(value: &str, faults: &mut Vec<Fault>) {
    let is_number = value.bytes().all(|b| b.is_ascii_digit()) && value.parse::<i32>().is_ok();
    if !is_number {
        faults.push(
            Fault::of(Code::JarDataSize, format!("`MIDlet-Data-Size` is `{}`", shown(value.as_bytes())))
                .hint("write a plain decimal number of bytes below 2147483648; devices answer 906 to others"),
        );
    }
}

/// `MIDlet-Push-<n>: connection, class, allowed senders`; the class is that of a MIDlet of the suite.
fn push<'a>(
    name: &str,
    value: &str,
    mut attributes: impl Iterator<Item = Attribute<'a>>,
    faults: &mut Vec<Fault>,
) {
    let fields: Vec<_> = value.split(',').map(str::trim).collect();
    let [connection, class, senders] = fields[..] else {
        faults.push(
            Fault::of(Code::JarPush, format!("`{name}` has {} and not three", count(fields.len(), "field")))
                .hint("write `connection, class, senders`: with less the installer ends without a word"),
        );
        return;
    };
    if connection.is_empty() || class.is_empty() || senders.is_empty() {
        faults.push(
            Fault::of(Code::JarPush, format!("`{name}` has an empty field"))
                .hint("write `connection, class, senders`; `*` stands for all senders"),
        );
    } else if !attributes.any(|(name, value)| {
        midlet::is_numbered(name) && value.split(',').nth(2).is_some_and(|other| other.trim() == class)
    }) {
        let message = format!("`{name}` names the class `{}`, which is no MIDlet's", shown(class.as_bytes()));
        faults.push(
            Fault::of(Code::JarPush, message).hint("name the class of one of the suite's `MIDlet-<n>`"),
        );
    }
}

/// What a suite must say somewhere and a JAD could say instead: every JAR that is accepted can be published.
pub(super) fn incomplete(jar: &Jar) -> Vec<Fault> {
    let missing = |name: &&str| jar.attribute(name).is_none_or(str::is_empty);
    let names =
        ["MIDlet-1", "MicroEdition-Profile", "MicroEdition-Configuration"].into_iter().filter(missing);
    names
        .map(|name| {
            Fault::manifest(format!("the manifest has no `{name}`"))
                .hint(format!("add a line `{name}: …` before the manifest's first blank line"))
        })
        .collect()
}

/// What the archive holds that devices do not want.
pub(super) fn archive(jar: &Jar, contents: &Contents, rules: &Rules) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (size, max) = (jar.size(), rules.max_size);
    if size > max {
        faults.push(
            Fault::of(Code::JarSize, format!("the JAR has {size} bytes; at most {max} are allowed"))
                .hint("raise `midlet.maxSize` if the modules' flash holds the old and the new JAR"),
        );
    }
    if contents.unpacked > max.saturating_mul(4) {
        let message =
            format!("the JAR unpacks to {} bytes, more than four times `midlet.maxSize`", contents.unpacked);
        faults.push(
            Fault::of(Code::JarUnpackedSize, message).hint("is there a file in it that no device needs?"),
        );
    }
    let (mut signatures, mut nested) = (Vec::new(), Vec::new());
    for name in &contents.names {
        let lower = name.to_ascii_lowercase();
        let is_signature = lower.strip_prefix("meta-inf/").is_some_and(|rest| {
            !rest.contains('/') && [".sf", ".rsa", ".dsa", ".ec"].iter().any(|end| rest.ends_with(end))
        });
        if is_signature {
            signatures.push(name);
        } else if lower.ends_with(".jar") {
            nested.push(name);
        }
    }
    if let Some(first) = signatures.first() {
        let message =
            format!("`{}` signs the JAR for desktop Java; devices ignore it", shown(first.as_bytes()));
        let hint = "MIDlet suites are signed in the JAD: leave the file out";
        faults.push(Fault::of(Code::JarSignatureFiles, message).hint(hint));
    }
    if let Some(first) = nested.first() {
        let message =
            format!("`{}` is a JAR within the JAR; devices do not look into it", shown(first.as_bytes()));
        faults.push(
            Fault::of(Code::JarNested, message).hint("put its classes into the suite, if they are needed"),
        );
    }
    if jar.attribute("Multi-Release").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        let message = "`Multi-Release` is true; devices know nothing of it and take the classes at the top";
        faults.push(Fault::of(Code::JarMultiRelease, message).hint("build the JAR for one release of Java"));
    }
    faults
}
