//! What the manifest must say for a device to install the suite and for us to publish it.

use super::fault::{Fault, shown};
use super::manifest::Attributes;
use super::midlet::{self, Midlet};
use otapress_core::out;
use otapress_core::version::Version;

/// Name, version and vendor: what a suite is known by, and what JAD and manifest must have alike.
pub(crate) const IDENTITY: [&str; 3] = ["MIDlet-Name", "MIDlet-Version", "MIDlet-Vendor"];

/// What else a JAD repeats from the manifest, besides `MIDlet-<n>`.
const REPEATED: [&str; 4] =
    ["MIDlet-Permissions", "MIDlet-Permissions-Opt", "MicroEdition-Profile", "MicroEdition-Configuration"];

/// What the attributes mean.
pub(super) struct Suite {
    pub version: Version,
    pub midlets: Vec<Midlet>,
}

/// Checks the main section of a manifest.
pub(super) fn suite(attributes: &Attributes) -> Result<Suite, Vec<Fault>> {
    let mut faults = Vec::new();
    let get = |name: &str| attributes.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());

    misspelled(attributes, &mut faults);
    for name in IDENTITY {
        match get(name) {
            None => faults.push(
                Fault::manifest(format!("the manifest has no `{name}`"))
                    .hint(format!("add a line `{name}: …` before the manifest's first blank line")),
            ),
            Some("") => faults.push(Fault::manifest(format!("`{name}` is empty"))),
            Some(_) => {}
        }
    }
    not_for_a_jad(attributes, &mut faults);
    if let Some(Err(fault)) = get("MIDlet-Name").filter(|name| !name.is_empty()).map(file_name) {
        faults.push(fault);
    }
    let version = match get("MIDlet-Version").filter(|text| !text.is_empty()).map(str::parse::<Version>) {
        Some(Err(error)) => {
            let text = get("MIDlet-Version").unwrap_or_default();
            faults.push(
                Fault::manifest(format!("`MIDlet-Version` is `{}`", shown(text.as_bytes())))
                    .hint(error.to_string()),
            );
            None
        }
        other => other.and_then(Result::ok),
    };

    let pairs = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let numbered = midlet::numbered(pairs);
    faults.extend(numbered.faults.into_iter().map(|(name, what)| {
        Fault::manifest(format!("`{name}` {what}")).hint(
            "number the MIDlets from 1 without gaps, each as `name, icon, class`; the icon may be empty",
        )
    }));
    match version {
        Some(version) if faults.is_empty() => {
            Ok(Suite { version, midlets: numbered.midlets.into_iter().map(|(_, midlet)| midlet).collect() })
        }
        _ => Err(faults),
    }
}

/// Attribute names are case-sensitive on devices.
fn misspelled(attributes: &Attributes, faults: &mut Vec<Fault>) {
    for (name, _) in attributes {
        let known = IDENTITY.iter().chain(&REPEATED).find(|known| known.eq_ignore_ascii_case(name));
        let right = match known {
            Some(known) => (*known).to_owned(),
            None => match name.get(..7) {
                Some(head) if head.eq_ignore_ascii_case("MIDlet-") => format!("MIDlet-{}", &name[7..]),
                _ => continue,
            },
        };
        if right != *name && (known.is_some() || midlet::is_numbered(&right)) {
            faults.push(
                Fault::manifest(format!("attribute `{name}` is not spelled as devices look for it"))
                    .hint(format!("write `{right}`")),
            );
        }
    }
}

/// A JAD repeats these values, and nobody needs more than ASCII in them. Name and vendor are the operator's:
/// see [`super::device`].
fn not_for_a_jad(attributes: &Attributes, faults: &mut Vec<Fault>) {
    for (name, value) in attributes {
        let is_named = matches!(&**name, "MIDlet-Name" | "MIDlet-Vendor");
        let repeated =
            IDENTITY.contains(&&**name) || REPEATED.contains(&&**name) || midlet::is_numbered(name);
        if repeated && !is_named && !value.is_ascii() {
            faults.push(
                Fault::manifest(format!("`{name}` is `{}`, which is not ASCII", shown(value.as_bytes())))
                    .hint("the JAD must repeat it, and devices read a JAD's bytes differently: use ASCII"),
            );
        }
    }
}

/// The JAR is published under the suite's name.
fn file_name(name: &str) -> Result<(), Fault> {
    out::jar_file(name).map(drop).map_err(|why| {
        let shown = shown(name.as_bytes());
        Fault::manifest(format!("`MIDlet-Name` is `{shown}`, which cannot name a file: {why}"))
            .hint("use letters, digits and `- . _ ~ @ + =`, without a leading dot")
    })
}
