//! MIDlet JARs: what is read of them, and why one is refused.
//!
//! A JAR comes from a build server, a colleague or a download, and ends on devices that nobody can reach
//! if it is bad. So [`read`] accepts only what every installer reads in the same way. It works on bytes
//! alone: no file, no clock. What a hostile or broken JAR could do, and what is done about it:
//!
//! 1. *Be cut off, be damaged, or not be a JAR.* The end record, with a comment at most, must end the file,
//!    sizes must fit, and the CRC of every entry is checked, not only of the manifest.
//! 2. *Carry other bytes before, between or behind the entries*, which devices answer with 907, or which
//!    hide a second archive. The file must be exactly its entries, its directory and its end record.
//! 3. *Show different readers different archives*, by an entry given twice, by local headers that
//!    contradict the directory, or by a name in an extra field. Everything said twice must be said alike, and
//!    the `zip` crate, a reader with another history, must see the same names.
//! 4. *Use what devices cannot read*: zip64, encryption, other compression, more than 65535 entries,
//!    several disks. Refused by name.
//! 5. *Exhaust memory or time*: a header that claims gigabytes, a bomb, overlapping entries. Nothing is
//!    allocated by a header's word, the claimed sizes have a limit, and unpacking stops at them.
//! 6. *Lie about the manifest*: a huge one, another case of its path, a byte order mark, a lost last line,
//!    an attribute twice or in the section of an entry, control characters. Refused.
//! 7. *Lead a path astray* by `..` or `/` in MIDlet-Name. The name must be fit for the file `<name>.jar`.
//! 8. *Promise what it does not hold*: a version that is none, MIDlets with gaps, values that a JAD cannot
//!    repeat. Refused.
//! 9. *Hold classes that no device starts*, which shows only when a device has installed them. [`judge`]
//!    reads every class as a CLDC VM does (crate `otapress-classfile`), and holds the manifest against the
//!    fleet's modules.
//! 10. *Break the reader.* Nothing panics on any input, and messages show foreign text escaped and short.

mod contents;
mod device;
mod diff;
mod fault;
mod layout;
mod manifest;
mod midlet;
mod rules;
mod suite;

use otapress_classfile::Summary;

pub(crate) use self::device::attributes as modules_lack;
pub(crate) use self::diff::permissions;
pub use self::diff::{AttributeChange, SuiteDiff};
pub use self::fault::Fault;
pub(crate) use self::fault::shown;
use self::layout::Entry;
pub(crate) use self::midlet::numbered;
pub use self::midlet::{Midlet, MidletError};
pub use self::rules::Rules;
pub(crate) use self::suite::IDENTITY;
use crate::diag::{Code, Severity};
use otapress_core::digest::Sha256;
use otapress_core::out;
use otapress_core::version::Version;

/// Where the manifest is; devices compare the path byte by byte.
const MANIFEST: &str = "META-INF/MANIFEST.MF";

/// The largest manifest that is read, in bytes.
const MAX_MANIFEST: u32 = 64 << 10;

/// The most faults that are told of one JAR.
const MAX_FAULTS: usize = 20;

/// The JAR's size must fit a signed 32-bit number on the device.
const MAX_JAR: u64 = (1 << 31) - 1;

/// A JAR that a device would install, and whose name is fit for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jar {
    version: Version,
    size: u64,
    sha256: Sha256,
    midlets: Vec<Midlet>,
    attributes: Vec<(String, String)>,
    summary: Summary,
}

impl Jar {
    /// MIDlet-Name. [`otapress_core::out::jar_name`] says under which name the JAR is published.
    pub fn name(&self) -> &str {
        self.attribute("MIDlet-Name").unwrap_or_default()
    }

    /// The name of its file in a directory of releases.
    pub fn file_name(&self) -> String {
        format!("{}-{}.jar", out::jar_name(self.name()), self.version_text())
    }

    /// MIDlet-Vendor.
    pub fn vendor(&self) -> &str {
        self.attribute("MIDlet-Vendor").unwrap_or_default()
    }

    /// MIDlet-Version as the manifest has it, which a JAD must repeat.
    pub fn version_text(&self) -> &str {
        self.attribute("MIDlet-Version").unwrap_or_default()
    }

    /// MIDlet-Version as devices compare it.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The size in bytes, below 2³¹.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of the whole file.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// MIDlet-1, MIDlet-2 … in this order; empty if the manifest leaves them to the JAD.
    pub fn midlets(&self) -> &[Midlet] {
        &self.midlets
    }

    /// MIDlet-Permissions.
    pub fn permissions(&self) -> Option<&str> {
        self.attribute("MIDlet-Permissions")
    }

    /// MicroEdition-Profile.
    pub fn profile(&self) -> Option<&str> {
        self.attribute("MicroEdition-Profile")
    }

    /// MicroEdition-Configuration.
    pub fn configuration(&self) -> Option<&str> {
        self.attribute("MicroEdition-Configuration")
    }

    /// An attribute of the manifest's main section: unfolded, trimmed, otherwise verbatim. Its name is
    /// case-sensitive.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Every attribute of the main section in the order of the manifest.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the JAR holds a class, named with dots.
    pub fn has_class(&self, class: &str) -> bool {
        self.summary.classes.contains_key(class)
    }

    /// What its classes hold and use.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// What an archive holds besides its manifest.
struct Contents {
    /// Every name, escaped where it is not UTF-8.
    names: Vec<String>,
    /// Path and bytes of each class.
    classes: Vec<(String, Vec<u8>)>,
    /// The size of everything, unpacked.
    unpacked: u64,
}

/// Reads a JAR as an installer does: its classes are not looked into.
///
/// # Errors
/// Every fault that can be found without guessing beyond another one.
pub fn read(bytes: &[u8]) -> Result<Jar, Vec<Fault>> {
    let (jar, contents) = parts(bytes).map_err(limited)?;
    let missing = Code::Class(otapress_classfile::Code::MidletMissing);
    let (jar, mut faults) = judge_classes(jar, &contents, &Rules::default());
    faults.retain(|fault| fault.code == missing);
    if faults.is_empty() { Ok(jar) } else { Err(limited(faults)) }
}

/// Reads a JAR and judges whether the fleet's devices install and start it: the JAR, if nothing is wrong that
/// stops a build, and everything that is wrong.
pub fn judge(bytes: &[u8], rules: &Rules) -> (Option<Jar>, Vec<Fault>) {
    let (jar, contents) = match parts(bytes) {
        Ok(parts) => parts,
        Err(faults) => return (None, limited(faults)),
    };
    let mut faults = device::incomplete(&jar);
    faults.extend(device::attributes(jar.attributes(), rules).into_iter().map(|(_, fault)| fault));
    faults.extend(device::archive(&jar, &contents, rules));
    let (jar, classes) = judge_classes(jar, &contents, rules);
    faults.extend(classes);
    faults.retain(|fault| !rules.allows(fault.code));
    let is_refused = faults.iter().any(Fault::is_error);
    ((!is_refused).then_some(jar), limited(faults))
}

/// Judges the classes, and notes in the JAR what they hold and use.
fn judge_classes(mut jar: Jar, contents: &Contents, rules: &Rules) -> (Jar, Vec<Fault>) {
    let names: Vec<_> = (1..=jar.midlets.len()).map(|n| format!("MIDlet-{n}")).collect();
    let midlets = names.iter().zip(&jar.midlets).map(|(name, midlet)| (name.as_str(), midlet.class()));
    let entries: Vec<_> =
        contents.classes.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let judgement = otapress_classfile::judge(
        &entries,
        &otapress_classfile::Rules {
            midlets: midlets.collect(),
            configuration_1_0: jar.configuration() == Some("CLDC-1.0"),
            has_display: rules.profiles.iter().any(|profile| profile.starts_with("MIDP-")),
            class_version: rules.class_version,
            api: &rules.api,
            allowed: &rules.allow,
        },
    );
    jar.summary = judgement.summary;
    let fault = |finding: otapress_classfile::Finding| Fault {
        code: Code::Class(finding.code),
        message: finding.message,
        hint: finding.hint,
    };
    (jar, judgement.findings.into_iter().map(fault).collect())
}

fn parts(bytes: &[u8]) -> Result<(Jar, Contents), Vec<Fault>> {
    if let Some(fault) = too_large(bytes.len() as u64) {
        return Err(vec![fault]);
    }
    let (entries, mut faults) = layout::read(bytes).map_err(|fault| vec![fault])?;
    if faults.is_empty() {
        faults.extend(second_reader(bytes, &entries));
    }
    let (manifest, contents) = unpack(&entries, &mut faults);
    let manifest =
        manifest.and_then(|manifest| manifest::parse(&manifest).map_err(|more| faults.extend(more)).ok());
    let suite = manifest.as_ref().map(suite::suite);
    match (manifest, suite) {
        (Some(attributes), Some(Ok(suite))) if faults.is_empty() => {
            let jar = Jar {
                version: suite.version,
                size: bytes.len() as u64,
                sha256: Sha256::of(bytes),
                midlets: suite.midlets,
                attributes,
                summary: Summary::default(),
            };
            Ok((jar, contents))
        }
        (_, suite) => {
            faults.extend(suite.and_then(Result::err).unwrap_or_default());
            Err(faults)
        }
    }
}

/// The attributes of a manifest's main section, with trimmed values, in the order of the file.
///
/// # Errors
/// Everything that is wrong with its form.
pub fn main_section(manifest: &[u8]) -> Result<Vec<(String, String)>, Vec<Fault>> {
    manifest::parse(manifest)
}

/// As many faults as somebody reads, errors first; a hostile archive holds one per entry.
fn limited(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| fault.code.severity() == Severity::Warning);
    if let Some(more) = faults.len().checked_sub(MAX_FAULTS).filter(|&more| more > 0) {
        let code = faults[MAX_FAULTS].code;
        faults.truncate(MAX_FAULTS);
        faults.push(Fault::of(code, format!("the JAR has {more} more faults")));
    }
    faults
}

/// Whether a size does not fit a JAD.
fn too_large(size: u64) -> Option<Fault> {
    (size > MAX_JAR).then(|| {
        Fault::archive(format!("the file has {size} bytes; MIDlet-Jar-Size must be below 2147483648"))
    })
}

/// Whether the `zip` crate sees other names. It honours, for one, the Info-ZIP Unicode Path field.
fn second_reader(bytes: &[u8], entries: &[Entry<'_>]) -> Option<Fault> {
    let mut archive = match zip::ZipArchive::new(std::io::Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => {
            return Some(Fault::archive(format!(
                "another reader refuses the archive: {}",
                shown(error.to_string().as_bytes())
            )));
        }
    };
    let same = archive.len() == entries.len()
        && entries.iter().enumerate().all(|(index, entry)| {
            archive.by_index_raw(index).is_ok_and(|other| other.name_raw() == entry.name)
        });
    (!same).then(|| {
        Fault::archive("another reader sees entries of other names in the archive")
            .hint("build the JAR with the JDK's `jar`")
    })
}

/// Checks the contents of every entry and returns the manifest's and the others'.
fn unpack(entries: &[Entry<'_>], faults: &mut Vec<Fault>) -> (Option<Vec<u8>>, Contents) {
    let misplaced: Vec<_> = entries
        .iter()
        .filter(|e| e.name != MANIFEST.as_bytes() && e.name.eq_ignore_ascii_case(MANIFEST.as_bytes()))
        .collect();
    faults.extend(misplaced.iter().map(|entry| {
        Fault::manifest(format!("the manifest is named `{}`", shown(entry.name)))
            .hint(format!("devices look for exactly `{MANIFEST}`"))
    }));
    if misplaced.is_empty() && entries.iter().all(|e| e.name != MANIFEST.as_bytes()) {
        faults.push(
            Fault::manifest(format!("the archive has no `{MANIFEST}`"))
                .hint("build it with the JDK's `jar --manifest`"),
        );
    }
    let bomb = contents::bomb(entries);
    let too_much = bomb.is_some();
    faults.extend(bomb);

    let mut manifest = None;
    let mut contents = Contents { names: Vec::new(), classes: Vec::new(), unpacked: 0 };
    for entry in entries {
        contents.names.push(String::from_utf8_lossy(entry.name).into_owned());
        contents.unpacked += u64::from(entry.size);
        let Some(data) = entry.data else { continue };
        let is_manifest = entry.name == MANIFEST.as_bytes();
        if is_manifest && entry.size > MAX_MANIFEST {
            faults.push(Fault::manifest(format!(
                "the manifest has {} bytes; at most {MAX_MANIFEST} are accepted",
                entry.size
            )));
            continue;
        }
        if too_much && !is_manifest {
            continue;
        }
        let class = std::str::from_utf8(entry.name).ok().filter(|name| name.ends_with(".class"));
        let mut kept = Vec::new();
        let unpacked = contents::unpack(entry, data, |piece| {
            if is_manifest || class.is_some() {
                kept.extend_from_slice(piece);
            }
        });
        match (unpacked, class) {
            (Err(fault), _) => faults.push(fault),
            (Ok(()), Some(class)) => contents.classes.push((class.into(), kept)),
            (Ok(()), None) if is_manifest => manifest = Some(kept),
            (Ok(()), None) => {}
        }
    }
    (manifest, contents)
}

#[cfg(test)]
#[path = "../../../../tests/it/support/jar.rs"]
pub(crate) mod support;
#[cfg(test)]
mod tests;
