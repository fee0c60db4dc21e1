//! The layout of `out/`: where each file lies, what it is, when it is published, and who may fetch it.
//!
//! ```text
//! files/dev1/OwnTracks.jad                              JADs, where otapURI says: not below jars/ or vc/
//! jars/0.10.66/<16 hexadecimal digits>/OwnTracks.jar    its path names its content: caches may keep it
//! jars/SHA256SUMS
//! vc/<IMEI>.json
//! otapress.json                                         marks the directory as ours
//! ```

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::id::Imei;
use crate::out_path::{OutPath, OutPathError};

/// Marks a directory as ours and describes what is published in it.
pub const SITE_FILE: &str = "otapress.json";

/// The directory of the JARs.
pub const JARS: &str = "jars";

/// The directory of the version-check answers.
pub const ANSWERS: &str = "vc";

/// The list of checksums, inside [`JARS`].
const CHECKSUMS: &str = "SHA256SUMS";

/// The end of a JAD's name; modems take no other.
pub const JAD_SUFFIX: &str = ".jad";

/// What the names of files and directories start with while they are being written; a killed build leaves
/// them behind.
pub const TEMP_PREFIX: &str = ".otapress-tmp-";

/// The directory in which a first build that cannot rename `out/` itself prepares everything. As long as it
/// is there and [`SITE_FILE`] is not, what lies beside it is the beginning of that build.
pub const STAGING: &str = ".otapress-tmp-new";

/// The file of a device's version-check answer.
pub fn answer_path(imei: Imei) -> OutPath {
    OutPath::known(format!("{ANSWERS}/{imei}.json"))
}

/// The same file below a directory.
pub fn answer_file(out: &Path, imei: Imei) -> PathBuf {
    // A responder makes one for every check.
    let mut file =
        PathBuf::with_capacity(out.as_os_str().len() + ANSWERS.len() + "/352090000000005.json/".len());
    file.push(out);
    file.push(ANSWERS);
    file.push(format!("{imei}.json"));
    file
}

/// The device that a file is the answer of.
pub fn imei_of(path: &OutPath) -> Option<Imei> {
    path.as_str().strip_prefix(ANSWERS)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
}

/// The file of a release's JAR.
///
/// # Errors
/// If the version or the name cannot stand in a path.
pub fn jar_path(version: &str, sha256: Sha256, name: &str) -> Result<OutPath, JarNameError> {
    Ok(format!("{JARS}/{version}/{}/{}", sha256.short(), jar_file(name)?).parse()?)
}

/// Why a suite's name cannot be that of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JarNameError {
    /// It would be a directory and a file.
    #[error("it contains a `/`")]
    Slash,
    /// The file would be hidden, and not served.
    #[error("it starts with a dot")]
    Hidden,
    /// No path can contain it.
    #[error(transparent)]
    Path(#[from] OutPathError),
}

/// The name of the file that a suite's JAR is published as.
///
/// # Errors
/// If no file can have that name.
pub fn jar_file(midlet_name: &str) -> Result<String, JarNameError> {
    if midlet_name.contains('/') {
        return Err(JarNameError::Slash);
    }
    if midlet_name.starts_with('.') {
        return Err(JarNameError::Hidden);
    }
    let file = format!("{}.jar", jar_name(midlet_name));
    file.parse::<OutPath>()?;
    Ok(file)
}

/// The name of a suite's JAR without its suffix: that of the suite, with its bytes beyond ASCII as `=C3`, so
/// that no URL and no server has to encode or decode it.
pub fn jar_name(midlet_name: &str) -> Cow<'_, str> {
    if midlet_name.is_ascii() {
        return midlet_name.into();
    }
    let encoded = midlet_name.bytes().map(|byte| match byte {
        0..=127 => char::from(byte).to_string(),
        _ => format!("={byte:02X}"),
    });
    encoded.collect()
}

/// The file of the JARs' checksums.
pub fn checksums_path() -> OutPath {
    OutPath::known(format!("{JARS}/{CHECKSUMS}"))
}

/// The file that describes the site.
pub fn site_path() -> OutPath {
    OutPath::known(SITE_FILE.to_owned())
}

/// How [`CHECKSUMS`] names a JAR: `sha256sum -c` runs in its directory.
pub fn below_jars(path: &OutPath) -> &str {
    below(path, JARS).unwrap_or(path.as_str())
}

fn below<'a>(path: &'a OutPath, dir: &str) -> Option<&'a str> {
    path.as_str().strip_prefix(dir)?.strip_prefix('/')
}

/// A part of `out/`, as people speak of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// JARs and their checksums.
    Jars,
    /// Descriptors, one for each device or shared.
    Jads,
    /// Version-check answers.
    Answers,
    /// `otapress.json`.
    Site,
}

impl Part {
    /// Each part, in the order in which reports name them.
    pub const ALL: [Part; 4] = [Part::Jars, Part::Jads, Part::Answers, Part::Site];

    /// The part that a file belongs to; `None` if it is not ours, and so is never removed or served.
    pub fn of(path: &OutPath) -> Option<Part> {
        match path.as_str() {
            SITE_FILE => Some(Part::Site),
            _ if below(path, JARS).is_some() => Some(Part::Jars),
            _ if below(path, ANSWERS).is_some() => Some(Part::Answers),
            text => text.ends_with(JAD_SUFFIX).then_some(Part::Jads),
        }
    }

    /// What its files are called.
    pub fn name(self) -> &'static str {
        ["jars", "jads", "answers", "site"][self as usize]
    }

    /// When its files are published and, in reverse, withdrawn.
    pub fn tier(self) -> Tier {
        match self {
            Part::Jars => Tier::Jar,
            Part::Jads => Tier::Jad,
            Part::Answers => Tier::Answer,
            Part::Site => Tier::Site,
        }
    }
}

/// When a file is published: a tier is complete before the next one begins, and files are withdrawn in
/// reverse, so that what a file refers to is there as long as the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Version-check answers that offer nothing: they take back what sent devices to a JAD, and refer to
    /// nothing.
    NoOffer,
    /// JARs and their checksums refer to nothing.
    Jar,
    /// JADs name a JAR.
    Jad,
    /// Version-check answers that send devices to a JAD.
    Answer,
    /// `otapress.json` names the releases.
    Site,
}

impl Tier {
    /// In the order of publication.
    pub const ALL: [Tier; 5] = [Tier::NoOffer, Tier::Jar, Tier::Jad, Tier::Answer, Tier::Site];

    /// The part whose files are published then.
    pub fn part(self) -> Part {
        match self {
            Tier::Jar => Part::Jars,
            Tier::Jad => Part::Jads,
            Tier::NoOffer | Tier::Answer => Part::Answers,
            Tier::Site => Part::Site,
        }
    }
}

/// A file that devices and operators may fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// Modems refuse a JAD of any other type without a notification.
    Jad,
    /// The one file that is large.
    Jar {
        /// Its path names its content, so it may be cached for ever.
        immutable: bool,
    },
    /// For operators: `sha256sum -c`.
    Checksums,
}

impl Served {
    /// `None` for everything that is not a device's business.
    pub fn of(path: &OutPath) -> Option<Served> {
        let text = path.as_str();
        if text.split('/').any(|component| component.starts_with('.')) {
            return None;
        }
        match Part::of(path)? {
            Part::Jads => Some(Served::Jad),
            Part::Jars if text.ends_with(".jar") => Some(Served::Jar { immutable: is_immutable(path) }),
            Part::Jars if below(path, JARS) == Some(CHECKSUMS) => Some(Served::Checksums),
            Part::Jars | Part::Answers | Part::Site => None,
        }
    }

    /// The value of Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Served::Jad => "text/vnd.sun.j2me.app-descriptor",
            Served::Jar { .. } => "application/java-archive",
            Served::Checksums => "text/plain",
        }
    }

    /// The value of Cache-Control.
    pub fn cache_control(self) -> &'static str {
        match self {
            Served::Jar { immutable: true } => "public, max-age=31536000, immutable, no-transform",
            _ => "no-cache, no-transform",
        }
    }

    /// Whether only those with credentials may fetch it, where there are credentials.
    pub fn is_protected(self) -> bool {
        matches!(self, Served::Jad | Served::Jar { .. })
    }
}

/// Whether a path is one that [`jar_path`] makes.
fn is_immutable(path: &OutPath) -> bool {
    let mut parts = path.as_str().split('/').skip(2);
    let is_hash = |part: &str| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.next().is_some_and(is_hash) && parts.count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> OutPath {
        text.parse().unwrap()
    }

    #[test]
    fn only_what_devices_fetch_is_served() {
        assert_eq!(Served::of(&path("files/d/OwnTracks.jad")), Some(Served::Jad));
        let jar = "jars/0.10.66/0123456789abcdef/OwnTracks.jar";
        assert_eq!(Served::of(&path(jar)), Some(Served::Jar { immutable: true }));
        for mutable in ["jars/OwnTracks.jar", "jars/1.0/OwnTracks.jar", "jars/1.0/x/OwnTracks.jar"] {
            assert_eq!(Served::of(&path(mutable)), Some(Served::Jar { immutable: false }), "{mutable}");
        }
        assert_eq!(Served::of(&path("jars/SHA256SUMS")), Some(Served::Checksums));
        for hidden in [
            "otapress.json",
            "vc/123456789012345.json",
            "vc/x.jad",
            "x/1.0/0123456789abcdef/O.jar",
            "files/.tmp/x.jad",
            ".x.jar",
            "x.JAD",
            "x.jad.tmp",
            "jad",
            "SHA256SUMS",
        ] {
            assert_eq!(Served::of(&path(hidden)), None, "{hidden}");
        }
    }

    #[test]
    fn what_we_name_is_ours() {
        let imei: Imei = "123456789012345".parse().unwrap();
        let jar = jar_path("0.10.66", Sha256::of(b""), "OwnTracks").unwrap();
        assert_eq!(jar.as_str(), "jars/0.10.66/e3b0c44298fc1c14/OwnTracks.jar");
        assert_eq!(below_jars(&jar), "0.10.66/e3b0c44298fc1c14/OwnTracks.jar");
        let jar_of = |name| jar_path("1.0", Sha256::of(b""), name);
        assert_eq!(jar_of("Züge").unwrap().as_str(), "jars/1.0/e3b0c44298fc1c14/Z=C3=BCge.jar");
        assert_eq!((jar_of("a/b"), jar_of(".a")), (Err(JarNameError::Slash), Err(JarNameError::Hidden)));
        assert!(jar_of("ü b").is_err() && jar_of(&"ü".repeat(43)).is_err());
        let named = [
            (jar, Part::Jars),
            (checksums_path(), Part::Jars),
            (path("all.jad"), Part::Jads),
            (answer_path(imei), Part::Answers),
            (site_path(), Part::Site),
        ];
        for (path, part) in named {
            assert_eq!(path.as_str().parse(), Ok(path.clone()), "a path as others are");
            assert_eq!(Part::of(&path), Some(part), "{path}");
            assert_eq!(imei_of(&path), (part == Part::Answers).then_some(imei), "{path}");
        }
        assert_eq!(answer_file("out".as_ref(), imei), answer_path(imei).below("out".as_ref()));
        for foreign in ["jars", "vc", "index.html", "otapress.json/x", "vcx/1.json"] {
            assert_eq!(Part::of(&path(foreign)), None, "{foreign}");
        }
    }
}
