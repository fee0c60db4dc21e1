//! How long events are kept.

use otapress_responder::retention;

/// A number of days, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep(Option<u32>);

impl Keep {
    /// The default, as it is written.
    pub(super) const DEFAULT: &'static str = "400d";

    /// Reads `400d` or `forever`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Keep(None));
        }
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok()).filter(|days| *days > 0);
        days.map(|days| Keep(Some(days))).ok_or_else(|| {
            let default = retention::DAYS;
            format!("it is no number of days: write {default}d, or forever")
        })
    }

    /// The days; none: for ever.
    pub(super) fn days(self) -> Option<u32> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_or_for_ever() {
        assert_eq!(Keep::parse(Keep::DEFAULT), Ok(Keep(Some(retention::DAYS))));
        assert_eq!(Keep::parse("1d"), Ok(Keep(Some(1))));
        assert_eq!(Keep::parse("forever"), Ok(Keep(None)));
        for bad in ["", "400", "0d", "-1d", "1.5d", "d", "400h", "99999999999d", "400d "] {
            assert!(Keep::parse(bad).is_err(), "{bad}");
        }
    }
}
