//! Paths that devices of the fleet should not post to, as they are noted among the unknown.

use super::UnknownRecord;
use otapress_core::id::Imei;

/// A path that a device of the fleet posts to and should not: it is not published, or a former one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrayPath<'a> {
    /// The path with its query.
    pub path: &'a str,
    /// The MIDlet asks there for its version; else the modem posts its results there.
    pub is_check: bool,
    /// It is a former path, where devices are answered until they have moved.
    pub is_former: bool,
}

impl<'a> StrayPath<'a> {
    /// How each kind is noted: whether it is a check, and whether the path is a former one.
    const SAID: [(&'static str, bool, bool); 4] = [
        ("asks at ", true, false),
        ("posts results to ", false, false),
        ("asks, as formerly, at ", true, true),
        ("posts results, as formerly, to ", false, true),
    ];

    pub(crate) fn to_said(self) -> String {
        let is_it = |(_, is_check, is_former): &&(&str, bool, bool)| {
            (*is_check, *is_former) == (self.is_check, self.is_former)
        };
        let start = Self::SAID.iter().find(is_it).map_or("", |(start, ..)| start);
        format!("{start}{}", self.path)
    }

    /// The name of the note: a device may ask at one former path and post results to another, and strangers
    /// who post in its name to unpublished ones hide neither.
    pub(crate) fn note_name(self, imei: Imei) -> String {
        match (self.is_former, self.is_check) {
            (false, _) => imei.to_string(),
            (true, true) => format!("{imei}/checks"),
            (true, false) => format!("{imei}/results"),
        }
    }

    /// What admits such devices: a line for fleet.yaml. `origin` is the site's URL without its path.
    pub fn remedy(self, origin: &str) -> String {
        let uri = if self.is_check { "versionURI" } else { "notifyURI" };
        format!("`formerly: {{ {uri}: [\"{origin}{}\"] }}` below `provisioning:`", self.path)
    }
}

impl UnknownRecord {
    /// The device of the fleet and the path that it should not post to, if that is what was noted.
    pub fn stray_path(&self) -> Option<(Imei, StrayPath<'_>)> {
        let imei = self.name.split('/').next()?.parse().ok()?;
        let path = |(start, is_check, is_former): &(&str, bool, bool)| {
            let path = self.said.strip_prefix(start)?;
            Some((imei, StrayPath { path, is_check: *is_check, is_former: *is_former }))
        };
        StrayPath::SAID.iter().find_map(path)
    }
}
