//! Who a device is: its clientID and its IMEI.

use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::sync::Arc;

/// The clientID: the device's name on MQTT and in the paths of otapURI and notifyURI.
///
/// 1 to 64 of `A-Z a-z 0-9 . _ @ -`, not starting with a dot: it becomes a file name and, unencoded,
/// part of a URL and of an AT command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The longest clientID that is accepted, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is not a [`ClientId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a clientID is 1 to 64 of the characters `A-Z a-z 0-9 . _ @ -` and does not start with a dot")]
pub struct ClientIdError;

impl FromStr for ClientId {
    type Err = ClientIdError;

    fn from_str(text: &str) -> Result<Self, ClientIdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-');
        let good =
            (1..=Self::MAX_LEN).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed);
        if good { Ok(ClientId(text.into())) } else { Err(ClientIdError) }
    }
}

/// A modem's IMEI: 14 to 16 decimal digits, leading zeros kept.
///
/// Fifteen is the rule (14 and a check digit); 14 (without it) and 16 (IMEISV) occur in the field.
/// A shorter one is less than a longer one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Imei(
    /// A 1 and then the digits, so that the number tells how many there are.
    NonZero<u64>,
);

impl Imei {
    fn len(self) -> usize {
        match self.0.get() {
            ..200_000_000_000_000 => 14,
            200_000_000_000_000..2_000_000_000_000_000 => 15,
            _ => 16,
        }
    }

    /// Whether the check digit is right (Luhn, 3GPP TS 23.003 annex B). Only a 15-digit IMEI has one;
    /// the other lengths pass.
    pub fn luhn_ok(self) -> bool {
        if self.len() != 15 {
            return true;
        }
        let from_the_back =
            std::iter::successors(Some(self.0.get()), |rest| Some(rest / 10)).map(|rest| rest % 10);
        let sum: u64 = from_the_back
            .take(15)
            .enumerate()
            .map(|(i, d)| match (i % 2, d) {
                (0, d) => d,
                (_, d) if d > 4 => d * 2 - 9,
                (_, d) => d * 2,
            })
            .sum();
        sum.is_multiple_of(10)
    }
}

impl fmt::Display for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every file of a fleet is named by one, so there is no general formatting.
        let mut text = [b'0'; 16];
        let mut rest = self.0.get();
        for digit in text.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        f.pad(std::str::from_utf8(&text[16 - self.len()..]).unwrap_or_default())
    }
}

impl fmt::Debug for Imei {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Imei({self})")
    }
}

/// Why a text is not an [`Imei`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an IMEI is 14 to 16 digits")]
pub struct ImeiError;

impl FromStr for Imei {
    type Err = ImeiError;

    fn from_str(text: &str) -> Result<Self, ImeiError> {
        if !(14..=16).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ImeiError);
        }
        let digits: u64 = text.parse().map_err(|_| ImeiError)?;
        NonZero::new(10_u64.pow(text.len() as u32) + digits).map(Imei).ok_or(ImeiError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imei_keeps_its_zeros_and_checks_its_digit() {
        let imei: Imei = "004901543237518".parse().unwrap();
        assert_eq!(imei.to_string(), "004901543237518");
        assert!("490154203237518".parse::<Imei>().unwrap().luhn_ok());
        assert!(!"490154203237517".parse::<Imei>().unwrap().luhn_ok());
        for bad in ["", "1234567890123", "12345678901234567", "12345678901234x", "１23456789012345"] {
            assert!(bad.parse::<Imei>().is_err(), "{bad}");
        }
    }

    #[test]
    fn imeis_are_in_the_order_of_their_length_and_their_digits() {
        let ordered = [
            "00000000000000",
            "00000000000001",
            "99999999999999",
            "000000000000000",
            "352099001761481",
            "999999999999999",
            "0000000000000000",
            "9999999999999999",
        ];
        let imeis: Vec<Imei> = ordered.iter().map(|text| text.parse().unwrap()).collect();
        assert!(imeis.is_sorted_by(|one, other| one < other));
        assert!(imeis.iter().map(Imei::to_string).eq(ordered));
    }

    #[test]
    fn client_id_is_safe_in_a_path() {
        for good in ["dev1", "a@b", "A-b_c.d", "-x", "123456789012345"] {
            assert_eq!(good.parse::<ClientId>().unwrap().as_str(), good);
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", ".x", "a/b", "a b", "a,b", "ä", "a\0", long.as_str()] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
    }
}
