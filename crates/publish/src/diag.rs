//! Mistakes in the operator's input, as data.
//!
//! A mistake of the operator is a [`Diagnostic`]; all of them are collected and shown in one run
//! ([`otapress::report::diagnostics`] prints them). A failure of the environment (a disk, a permission) is an
//! error type of the module that met it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[expect(clippy::disallowed_types, reason = "reports print it")]
use serde::Serialize;

/// How bad a mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// Nothing is built.
    Error,
    /// Worth a look; fails only under `--strict`.
    Warning,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal $severity:ident,)*) => {
        /// The kind of a mistake. The texts are stable: scripts depend on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
            /// A class that a device could not start.
            Class(otapress_classfile::Code),
        }

        impl Code {
            /// Every code.
            pub fn all() -> impl Iterator<Item = Code> {
                let classes = otapress_classfile::Code::ALL.iter().map(|&code| Code::Class(code));
                [$(Code::$name),*].into_iter().chain(classes)
            }

            /// The code in kebab case.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* Code::Class(code) => code.as_str() }
            }

            /// How bad a mistake of this kind is.
            pub fn severity(self) -> Severity {
                match self {
                    $(Code::$name => Severity::$severity,)*
                    Code::Class(code) => match code.severity() {
                        otapress_classfile::Severity::Error => Severity::Error,
                        otapress_classfile::Severity::Warning => Severity::Warning,
                    },
                }
            }
        }

        impl fmt::Display for Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

codes! {
    // The file as YAML.
    /// The file cannot be read.
    Unreadable = "unreadable" Error,
    /// Not YAML, or YAML beyond the limits.
    Yaml = "yaml" Error,
    /// A key that occurs twice in one mapping.
    DuplicateKey = "duplicate-key" Error,
    /// A key that means nothing here.
    UnknownKey = "unknown-key" Error,
    /// A key that must be there is not.
    MissingKey = "missing-key" Error,
    /// A value of the wrong type, such as a mapping in place of text.
    WrongType = "wrong-type" Error,
    /// A text of the wrong form.
    BadValue = "bad-value" Error,

    // Identifiers and references.
    /// Not a clientID.
    BadClientId = "bad-client-id" Error,
    /// Not an IMEI.
    BadImei = "bad-imei" Error,
    /// The check digit of an IMEI is wrong.
    ImeiCheckDigit = "imei-check-digit" Warning,
    /// IMEIs of 14 digits that a spreadsheet may have shortened.
    ImeiLeadingZero = "imei-leading-zero" Warning,
    /// An IMEI beside the same with its check digit.
    SimilarImei = "similar-imei" Warning,
    /// A clientID that is another device's IMEI.
    ClientIdIsImei = "client-id-is-imei" Error,
    /// Two clientIDs that differ only in upper and lower case.
    SimilarClientId = "similar-client-id" Warning,
    /// A clientID that some file systems do not keep as it is.
    AwkwardClientId = "awkward-client-id" Warning,
    /// A device without an IMEI whose clientID is not one.
    MissingImei = "missing-imei" Error,
    /// Two devices with the same clientID.
    DuplicateDevice = "duplicate-device" Error,
    /// Two devices with the same IMEI.
    DuplicateImei = "duplicate-imei" Error,
    /// Not a version.
    BadVersion = "bad-version" Error,
    /// A release that is not in the catalog.
    UnknownRelease = "unknown-release" Error,
    /// A release that is to be sent to devices although it is withdrawn.
    WithdrawnRelease = "withdrawn-release" Error,
    /// A channel that is not defined.
    UnknownChannel = "unknown-channel" Error,
    /// A group that is not defined.
    UnknownGroup = "unknown-group" Error,
    /// A settings set that is not defined.
    UnknownSettings = "unknown-settings" Error,
    /// Defined and never used.
    Unused = "unused" Warning,

    // URIs and what the modem takes.
    /// Not an http URI of the required form.
    BadUri = "bad-uri" Error,
    /// An otapURI that is not below `site`.
    OutsideSite = "outside-site" Error,
    /// A URI that the responder of this site may never see.
    ForeignHost = "foreign-host" Warning,
    /// A host name that the modem's DNS (8.8.8.8) cannot resolve.
    PrivateHost = "private-host" Warning,
    /// A character that breaks the `AT^SJOTAP` command.
    ModemCharacter = "modem-character" Error,
    /// The file of a password cannot be read.
    PasswordMissing = "password-missing" Warning,
    /// The file of a password holds none that a modem can be told.
    BadPassword = "bad-password" Error,
    /// A pushed value that is not the one that the fleet reckons with.
    PushedValue = "pushed-value" Error,
    /// A secret in clear text where a file is wanted.
    SecretInFleet = "secret-in-fleet" Error,
    /// Longer than what modems are known to take.
    ModemLength = "modem-length" Warning,
    /// Two files of out/ with the same path.
    PathCollision = "path-collision" Error,
    /// Devices share a JAD but not its content.
    SharedJad = "shared-jad" Error,

    // Rollouts.
    /// Waves that do not ascend in time and percent.
    BadWaves = "bad-waves" Error,
    /// A wave that is to open by success, with nobody before it.
    EmptyWave = "empty-wave" Warning,
    /// A window in which some of the devices never ask.
    ShortWindow = "short-window" Warning,

    /// A brake that nothing can pull.
    NoBrake = "no-brake" Warning,

    // Harm by numbers.
    /// Checks that are so frequent that they cost, or so rare that a device is out of reach.
    VersionInterval = "version-interval" Warning,
    /// Settings that are sent so often that the flash wears out.
    FlashWear = "flash-wear" Warning,
    /// Settings that make much traffic.
    Traffic = "traffic" Warning,
    /// Offers of a release that may take much of a month's data.
    CostlyAttempts = "costly-attempts" Warning,
    /// An answer that is too long for a device.
    AnswerSize = "answer-size" Error,
    /// A JAD that is too long for a device.
    JadSize = "jad-size" Error,

    // Settings.
    /// A key that the firmware does not know.
    UnknownSetting = "unknown-setting" Warning,
    /// A value that the firmware would misread.
    BadSettingValue = "bad-setting-value" Error,
    /// A key that belongs to the firmware alone.
    InternalSetting = "internal-setting" Error,
    /// A key or value that would corrupt the settings file on the device.
    CorruptingSetting = "corrupting-setting" Error,
    /// A key that can cut the device off, without `allow`.
    DangerousSetting = "dangerous-setting" Error,

    // Inventories.
    /// A pattern of `inventory` that matches no file.
    EmptyInventory = "empty-inventory" Error,
    /// A CSV file that is malformed.
    BadCsv = "bad-csv" Error,

    // Import.
    /// Not what the predecessor's `otc` prints.
    BadDump = "bad-dump" Error,
    /// Something of the predecessor's that is not in the fleet file that was made of it.
    NotCarriedOver = "not-carried-over" Warning,

    // JARs.
    /// No JAR was found.
    EmptyCatalog = "empty-catalog" Error,
    /// Something in jars/ that is not a readable, plain file.
    JarUnreadable = "jar-unreadable" Error,
    /// Not a JAR that a device would install.
    JarInvalid = "jar-invalid" Error,
    /// The manifest is missing, malformed or contradictory.
    ManifestInvalid = "manifest-invalid" Error,
    /// A profile that the modules lack.
    JarProfile = "jar-profile" Error,
    /// A profile that some modules may lack.
    JarProfileDoubtful = "jar-profile-doubtful" Warning,
    /// A configuration that the modules lack.
    JarConfiguration = "jar-configuration" Error,
    /// A permission that nobody knows.
    JarPermission = "jar-permission" Warning,
    /// A MIDlet-Push-<n> that ends the installer.
    JarPush = "jar-push" Error,
    /// A MIDlet-Data-Size that is not a number.
    JarDataSize = "jar-data-size" Error,
    /// A Runtime-Execution-Environment that is not that of MIDlets.
    JarEnvironment = "jar-environment" Error,
    /// A JAR larger than `midlet.maxSize`.
    JarSize = "jar-size" Error,
    /// A JAR that unpacks to far more than `midlet.maxSize`.
    JarUnpackedSize = "jar-unpacked-size" Warning,
    /// A JAR much larger than the release before it.
    JarGrowth = "jar-growth" Warning,
    /// Signature files of desktop Java.
    JarSignatureFiles = "jar-signature-files" Warning,
    /// A JAR with classes for several releases of Java.
    JarMultiRelease = "jar-multi-release" Warning,
    /// A JAR within the JAR.
    JarNested = "jar-nested" Warning,
    /// A MIDlet-Name or MIDlet-Vendor beyond ASCII.
    JarNonAscii = "jar-non-ascii" Warning,
    /// Another MIDlet-Name or MIDlet-Vendor than the release before has.
    SuiteRenamed = "suite-renamed" Error,
    /// Another MIDlet-1 than the release before has.
    MidletChanged = "midlet-changed" Warning,
    /// A release that cannot ask for the next one.
    HttpPermissionDropped = "http-permission-dropped" Error,
    /// A permission that the release before has.
    PermissionDropped = "permission-dropped" Warning,
    /// The MIDlet-Name or MIDlet-Vendor is not the fleet's.
    WrongMidlet = "wrong-midlet" Error,
    /// Two JARs with the same version and other bytes.
    VersionConflict = "version-conflict" Error,
    /// Other bytes than the ones published under this version.
    VersionChanged = "version-changed" Error,

    // Templates.
    /// The template cannot be read, parsed or rendered.
    Template = "template" Error,
    /// The template's output is not a JAD that a device would accept.
    JadInvalid = "jad-invalid" Error,
}

/// `` did you mean `…`? `` if one of the names is close to `word`.
pub fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|name| (strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(score, _)| score > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| format!("did you mean `{name}`?"))
}

/// A text that diagnostics can point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of bytes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The end, exclusive.
    pub end: u32,
}

impl Span {
    /// Only its first character.
    pub fn at_start(self) -> Self {
        Span { end: self.start, ..self }
    }
}

/// The place of a mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A range of a text.
    Span(Span),
    /// A whole file, named as the operator would.
    File(PathBuf),
}

impl From<Span> for Place {
    fn from(span: Span) -> Self {
        Place::Span(span)
    }
}

impl From<&Path> for Place {
    fn from(path: &Path) -> Self {
        Place::File(path.into())
    }
}

/// A mistake: its kind, its place and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Diagnostic {
    /// The kind of mistake.
    pub code: Code,
    /// The mistake in words: lower case, no full stop, names in backticks.
    pub message: String,
    /// The place.
    pub place: Place,
    /// How to mend it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A mistake without a hint yet.
    pub fn new(code: Code, place: impl Into<Place>, message: impl Into<String>) -> Self {
        Diagnostic { code, message: visible(message.into()), place: place.into(), hint: None }
    }

    /// Adds a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether it stops a build.
    pub fn is_error(&self) -> bool {
        self.code.severity() == Severity::Error
    }
}

/// The text with `U+200B` and the like for characters that nobody sees, because they may be what is wrong.
fn visible(text: String) -> String {
    let is_hidden = |c: char| match c {
        ' ' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}' => true,
        _ => c.is_whitespace() || c.is_control(),
    };
    if !text.chars().any(is_hidden) {
        return text;
    }
    text.chars().map(|c| if is_hidden(c) { format!("U+{:04X}", u32::from(c)) } else { c.into() }).collect()
}

/// A text with its name.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the operator would write it.
    pub path: PathBuf,
    /// The text.
    pub text: Arc<str>,
    /// The starts of its lines; computed on first use.
    lines: OnceLock<Vec<u32>>,
}

impl Source {
    /// The line (from 1) of a byte, and the range of that line without its line end.
    pub fn line(&self, at: u32) -> (usize, Range<usize>) {
        let starts = self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|&(_, b)| b == b'\n');
            let after = ends.map(|(i, _)| u32::try_from(i + 1).unwrap_or(u32::MAX));
            std::iter::once(0).chain(after).collect()
        });
        let line = starts.partition_point(|&start| start <= at);
        let start = starts[line - 1] as usize;
        let end = starts.get(line).map_or(self.text.len(), |&next| next as usize - 1);
        (line, start..end)
    }
}

/// The texts that spans point into.
#[derive(Clone, Debug, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Keeps a text.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> SourceId {
        self.0.push(Source { path: path.into(), text: text.into(), lines: OnceLock::new() });
        SourceId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 sources"))
    }

    /// The text of an id that [`Sources::add`] gave.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// Every text, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.0.iter()
    }

    /// Line and column of a span's start, both from 1, the column in characters.
    pub fn line_column(&self, span: Span) -> (usize, usize) {
        let source = self.get(span.source);
        let (line, range) = source.line(span.start);
        (line, source.text[range.start..span.start as usize].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_in_kebab_case() {
        let texts: BTreeSet<_> = Code::all().map(Code::as_str).collect();
        assert_eq!(texts.len(), Code::all().count());
        for text in texts {
            assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{text}");
        }
    }

    #[test]
    fn hidden_characters_are_shown() {
        for (text, shown) in
            [("dev 1", "dev 1"), ("dev\u{200b}1", "devU+200B1"), ("\u{a0}é\t", "U+00A0éU+0009")]
        {
            assert_eq!(visible(text.into()), shown);
        }
    }

    #[test]
    fn columns_count_characters() {
        let mut sources = Sources::default();
        let source = sources.add("f", "a\näb: c\n");
        assert_eq!(sources.line_column(Span { source, start: 7, end: 8 }), (2, 5));
    }
}
