//! Moments and spans in words.

use jiff::Timestamp;

/// A moment as in RFC 3339.
pub(crate) fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// A span as its two largest units down to minutes: `3 d 4 h`; seconds only if there are no minutes.
pub(crate) fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return format!("{} s", seconds.max(0));
    };
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, name) in UNITS.iter().skip(first).take(2) {
        let n = rest / unit;
        rest %= unit;
        if n > 0 {
            parts.push(format!("{n} {name}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        let spans: Vec<_> = [-5, 0, 59, 60, 61, 3599, 3600, 10800, 93_784, 864_000].map(span).into();
        let words = ["0 s", "0 s", "59 s", "1 min", "1 min", "59 min", "1 h", "3 h", "1 d 2 h", "10 d"];
        assert_eq!(spans, words);
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(1_795_428_000), "2026-11-23T10:00:00Z");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
