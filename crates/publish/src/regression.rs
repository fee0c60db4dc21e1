//! A new release against the one that devices were given before it, as `otapress.json` remembers that.

use std::collections::BTreeSet;
use std::path::Path;

use crate::catalog::Catalog;
use crate::diag::{Code, Diagnostic};
use crate::fleet::{Fleet, Midlet, Spanned};
use crate::jar::{self, Jar};
use otapress_core::id::Imei;
use otapress_core::out;
use otapress_core::version::Version;
use otapress_core::wire::{Release, Site};

/// The permission without which a release can never ask for the next one.
const HTTP: &str = "javax.microedition.io.Connector.http";

/// What new releases of a catalog lose that published ones have.
pub fn regressions(published: &Site, catalog: &Catalog, midlet: &Midlet) -> Vec<Diagnostic> {
    let entries = catalog.entries();
    entries.flat_map(|entry| of(published, entry.jar(), entry.shown_as(), midlet)).collect()
}

/// Releases without a signature for devices that were sent one with a signature: they answer 910. `unsigned`
/// are the releases whose JADs have none, and `target` is what is published for a device. What devices
/// outside a rollout get is theirs already.
pub fn unsigned(
    published: &Site,
    fleet: &Fleet,
    unsigned: &BTreeSet<Version>,
    target: impl Fn(Imei) -> Option<Version>,
) -> Vec<Diagnostic> {
    let code = Code::UnsignedAfterSigned;
    let version = |release: &Release| release.version.parse::<Version>().ok();
    let signed: BTreeSet<Version> =
        published.releases.iter().filter(|release| release.suite.signed).filter_map(version).collect();
    if signed.is_empty() || fleet.midlet().rules.allows(code) {
        return Vec::new();
    }
    // Every device of a higher version may have run a signed one before.
    let before = |release: Version| signed.range(..release).next_back().copied();
    let diagnostic = |release: Spanned<Version>, of: String, signed: Version| {
        let spelling = fleet.spelling(release.value);
        let message = match signed == release.value {
            true => format!("release {spelling} of {of} is not signed any more"),
            false => format!(
                "release {spelling} of {of} is not signed, and release {}, which is published, is",
                fleet.spelling(signed)
            ),
        };
        let hint = "devices answer 910 and keep what they have: sign the JAR with `otapress sign`";
        Diagnostic::new(code, release.span, message).hint(hint)
    };
    let mut found = Vec::new();
    for channel in fleet.channels().iter().filter(|channel| unsigned.contains(&channel.release.value)) {
        let was = published.channels.get(&channel.name).and_then(|release| release.parse().ok());
        let signed = was.filter(|was| signed.contains(was)).or_else(|| before(channel.release.value));
        found.extend(
            signed.map(|signed| diagnostic(channel.release, format!("channel `{}`", channel.name), signed)),
        );
    }
    for device in fleet.devices().iter().filter(|device| !device.hold) {
        let Some(pin) = device.release.filter(|pin| unsigned.contains(&pin.value)) else { continue };
        let was = target(device.imei).filter(|was| signed.contains(was));
        let signed = was.or_else(|| before(pin.value));
        found.extend(signed.map(|signed| diagnostic(pin, format!("device `{}`", device.client_id), signed)));
    }
    found
}

/// What one JAR loses that the published release before it has; nothing of a version that is published
/// itself.
pub fn of(published: &Site, jar: &Jar, place: &Path, midlet: &Midlet) -> Vec<Diagnostic> {
    let versions = |release: &Release| release.version.parse::<Version>().ok();
    let is_known = published.releases.iter().any(|release| versions(release) == Some(jar.version()));
    let before = published.releases.iter().filter(|release| versions(release) < Some(jar.version()));
    let Some(before) = before.max_by_key(|release| versions(release)).filter(|_| !is_known) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut add = |code, message: String, hint: &str| {
        if !midlet.rules.allows(code) {
            found.push(Diagnostic::new(code, place, message).hint(hint));
        }
    };
    let (old, version) = (&before.suite, &before.version);
    if !midlet.renamed {
        let name = before.path.rsplit('/').next().and_then(|file| file.strip_suffix(".jar"));
        let new = out::jar_name(jar.name());
        for (attribute, old, new) in
            [("MIDlet-Name", name, &*new), ("MIDlet-Vendor", old.vendor.as_deref(), jar.vendor())]
        {
            if let Some(old) = old.filter(|old| *old != new) {
                add(
                    Code::SuiteRenamed,
                    format!("{attribute} is `{new}`, and `{old}` in release {version}, which is published"),
                    "devices take it for another application and keep the old one: set `midlet.renamed: \
                     true` if you mean that",
                );
            }
        }
    }
    let midlet_1 = jar.attribute("MIDlet-1").unwrap_or_default();
    if let Some(old) = old.midlet.as_deref().filter(|old| *old != midlet_1) {
        add(
            Code::MidletChanged,
            format!("MIDlet-1 is `{midlet_1}`, and `{old}` in release {version}, which is published"),
            "devices start what MIDlet-1 names: is the class the right one?",
        );
    }
    let has: Vec<_> = jar::permissions(jar).collect();
    for permission in old.permissions.iter().filter(|old| !has.contains(&old.as_str())) {
        let message =
            format!("the JAR no longer asks for the permission `{permission}`, which release {version} has");
        match permission == HTTP {
            true => add(
                Code::HttpPermissionDropped,
                message,
                "without it the release cannot ask for the next version, and no device comes back",
            ),
            false => add(
                Code::PermissionDropped,
                message,
                "what needs it fails on the devices: add it to MIDlet-Permissions again, unless nothing does",
            ),
        }
    }
    found
}
