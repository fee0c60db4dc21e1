//! The version of a MIDlet suite, as devices compare it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// `Major.Minor[.Micro]`, each part 0–99 (MIDP 2.0, "MIDlet-Version").
///
/// Compared numerically, and a missing micro counts as zero: `1.1` equals `1.1.0`. Leading zeros are
/// accepted and dropped; the exact text of a manifest, which a JAD must repeat, is kept by
/// [`otapress_publish::jar`].
#[derive(Clone, Copy, Debug)]
pub struct Version {
    major: u8,
    minor: u8,
    micro: Option<u8>,
}

impl Version {
    /// Firmware before this version upgrades on any byte `1` in an answer that does not come from
    /// an upgrade (the device's reader looked for the character, not for the JSON member).
    pub const READS_JSON: Version = Version { major: 0, minor: 8, micro: Some(73) };

    fn key(self) -> (u8, u8, u8) {
        (self.major, self.minor, self.micro.unwrap_or(0))
    }
}

/// Why a text is not a [`Version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is `Major.Minor` or `Major.Minor.Micro`, each a number from 0 to 99")]
pub struct VersionError;

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        // Every check reads several: in one pass.
        let (mut parts, mut at, mut digits) = ([0_u32; 3], 0, 0);
        for byte in text.bytes() {
            match byte {
                b'0'..=b'9' if digits < MOST_DIGITS => {
                    parts[at] = parts[at] * 10 + u32::from(byte - b'0');
                    digits += 1;
                }
                b'.' if digits > 0 && at + 1 < parts.len() => (at, digits) = (at + 1, 0),
                _ => return Err(VersionError),
            }
        }
        let part = |n: usize| u8::try_from(parts[n]).ok().filter(|part| *part <= 99).ok_or(VersionError);
        match (at, digits) {
            (0, _) | (_, 0) => Err(VersionError),
            (1, _) => Ok(Version { major: part(0)?, minor: part(1)?, micro: None }),
            _ => Ok(Version { major: part(0)?, minor: part(1)?, micro: Some(part(2)?) }),
        }
    }
}

/// The most digits of a part, leading zeros included.
const MOST_DIGITS: u32 = 9;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every check writes several.
        let mut text = [0; "99.99.99".len()];
        let mut len = 0;
        let mut push = |byte| {
            text[len] = byte;
            len += 1;
        };
        for (n, part) in [Some(self.major), Some(self.minor), self.micro].into_iter().flatten().enumerate() {
            if n > 0 {
                push(b'.');
            }
            if part >= 10 {
                push(b'0' + part / 10);
            }
            push(b'0' + part % 10);
        }
        f.pad(std::str::from_utf8(&text[..len]).unwrap_or_default())
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn compares_numerically_and_fills_the_micro() {
        assert!(v("0.10.9") < v("0.10.66"));
        assert!(v("0.9.99") < v("0.10.0"));
        assert_eq!(v("1.1"), v("1.1.0"));
        assert_eq!(v("0.10.066"), v("0.10.66"));
    }

    #[test]
    fn prints_what_was_meant() {
        assert_eq!(v("0.10").to_string(), "0.10");
        assert_eq!(v("00.1.007").to_string(), "0.1.7");
        assert_eq!(v("99.98.97").to_string(), "99.98.97");
        assert_eq!(format!("{:<8}|{:>5}", v("10.0"), v("1.2")), "10.0    |  1.2");
    }

    #[test]
    fn rejects_everything_else() {
        for bad in [
            "",
            "1",
            "1.",
            ".1",
            "1.2.3.4",
            "1.2.",
            "100.0",
            "1.-1",
            "v1.0",
            "1.0b",
            " 1.0",
            "1.0 ",
            "1..2",
            "+1.0",
            "0000000001.0",
            "1.0000000001",
            "1.100",
            "1.2.100",
            "1.2.999999999",
            "१.0",
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
    }
}
