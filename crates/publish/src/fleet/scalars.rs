//! The small texts of fleet.yaml that mean a quantity: percentages, times of day, rates, names.

use std::fmt;
use std::str::FromStr;

use otapress_core::wire::percent;

/// Hundredths of a percent, 0–10000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// Everyone.
    pub const ALL: BasisPoints = BasisPoints(10_000);

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&percent(self.0))
    }
}

/// Why a text is not a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PercentError {
    #[error("write the unit: `5%`, or `500bp` for basis points (1/100 of a percent)")]
    Bare,
    #[error("write fractions of a percent as basis points: `12.5%` is `1250bp`")]
    Fraction,
    #[error("write `5%`, or `500bp` for basis points, from 0% to 100%")]
    Other,
}

impl FromStr for BasisPoints {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let (number, scale) = match (text.strip_suffix('%'), text.strip_suffix("bp")) {
            (Some(number), _) => (number, 100),
            (None, Some(number)) => (number, 1),
            (None, None) if text.parse::<f64>().is_ok() => return Err(PercentError::Bare),
            (None, None) => return Err(PercentError::Other),
        };
        if number.contains('.') {
            return Err(PercentError::Fraction);
        }
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PercentError::Other);
        }
        match number.parse::<u32>().ok().and_then(|number| number.checked_mul(scale)) {
            Some(points @ 0..=10_000) => Ok(BasisPoints(points as u16)),
            _ => Err(PercentError::Other),
        }
    }
}

/// `08:30` as minutes after midnight.
pub fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |part: &str, end: u16| {
        let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<u16>().ok().filter(|&n| digits && n < end)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// `500/h` as offers per hour, at least one and less than a billion.
pub fn per_hour(text: &str) -> Option<u32> {
    let number = text.strip_suffix("/h")?;
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    number.parse().ok().filter(|&n: &u32| digits && (1..1_000_000_000).contains(&n))
}

/// `30m`, `24h` or `7d` in seconds.
pub fn duration(text: &str) -> Option<u32> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    number.parse::<u32>().ok().filter(|_| digits)?.checked_mul(seconds)
}

/// Whether a text can name a channel, group or settings set: it becomes part of rollout ids and of other
/// lists.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// A size in bytes such as `300kB`; units are decimal.
pub(super) fn size(text: &str) -> Option<u64> {
    let units = [("kB", 1000), ("MB", 1_000_000), ("B", 1)];
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)))?;
    let plain = (1..=9).contains(&number.len()) && !number.starts_with('0');
    let plain = plain && number.bytes().all(|b| b.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| plain).map(|number| number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_a_unit() {
        let parse = str::parse::<BasisPoints>;
        assert_eq!(parse("5%").map(BasisPoints::get), Ok(500));
        assert_eq!(parse("1bp").map(BasisPoints::get), Ok(1));
        assert_eq!(parse("100%"), Ok(BasisPoints::ALL));
        assert_eq!(parse("5"), Err(PercentError::Bare));
        assert_eq!(parse("0.5"), Err(PercentError::Bare));
        assert_eq!(parse("12.5%"), Err(PercentError::Fraction));
        for bad in ["", "%", "101%", "-1%", "10001bp", "5 %", "99999999999%", "half"] {
            assert_eq!(parse(bad), Err(PercentError::Other), "{bad}");
        }
        assert_eq!(parse("1250bp").unwrap().to_string(), "1250bp");
        assert_eq!(parse("500bp").unwrap().to_string(), "5%");
    }

    #[test]
    fn times_rates_and_names() {
        assert_eq!(minute_of_day("01:00"), Some(60));
        assert_eq!(minute_of_day("23:59"), Some(1439));
        for bad in ["24:00", "1:00", "01:60", "0100", "", ":", "+1:00"] {
            assert_eq!(minute_of_day(bad), None, "{bad}");
        }
        assert_eq!(per_hour("500/h"), Some(500));
        for bad in ["0/h", "/h", "5", "5/d", "+5/h", "-1/h", "1000000000/h"] {
            assert_eq!(per_hour(bad), None, "{bad}");
        }
        assert_eq!(
            (duration("30m"), duration("24h"), duration("7d")),
            (Some(1800), Some(86_400), Some(604_800))
        );
        for bad in ["", "h", "24", "1.5h", "+1h", "-1h", "1ä", "99999999d"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert!(is_name("next-2.x_y"));
        assert!(!is_name("") && !is_name("a/b") && !is_name("ä") && !is_name(&"x".repeat(65)));
    }
}
