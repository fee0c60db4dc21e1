//! Bounds what one device adds to the events: whoever knows the published path and an IMEI could fill the
//! disk.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::event::EventKind;
use super::records::Few;

/// How many events of a kind are kept for each device and hour.
pub const KEPT: u32 = 12;

/// How many events of a device were kept in the current hour, and how many ever were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventBudget {
    hour: i64,
    /// In the order of the kinds.
    kept: Few<(EventKind, u32)>,
    left_out: u64,
}

impl EventBudget {
    /// Whether one more event of that kind is kept; else it is counted.
    pub(super) fn admits(&mut self, kind: EventKind, now: i64) -> bool {
        let hour = now.div_euclid(3600);
        if self.hour != hour {
            self.hour = hour;
            self.kept.clear();
        }
        let at = self.kept.binary_search_by_key(&kind, |(kind, _)| *kind).unwrap_or_else(|at| {
            self.kept.insert(at, (kind, 0));
            at
        });
        let (_, kept) = &mut self.kept[at];
        if *kept < KEPT {
            *kept += 1;
            return true;
        }
        self.left_out = self.left_out.saturating_add(1);
        false
    }

    /// How many events were not kept.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

/// As in a database: `57 494000 notified=12,offered=1`.
impl fmt::Display for EventBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.left_out, self.hour)?;
        for (n, (kind, kept)) in self.kept.iter().enumerate() {
            write!(f, "{}{kind}={kept}", if n == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for EventBudget {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ' ');
        let mut next = || parts.next().ok_or(());
        let left_out = next()?.parse().map_err(drop)?;
        let hour = next()?.parse().map_err(drop)?;
        let kinds = next()?.split(',').filter(|kind| !kind.is_empty());
        let kept = kinds.map(|kind| {
            let (kind, kept) = kind.split_once('=').ok_or(())?;
            Ok((EventKind::from_name(kind).ok_or(())?, kept.parse().map_err(drop)?))
        });
        let kept: BTreeMap<_, _> = kept.collect::<Result<_, ()>>()?;
        Ok(EventBudget { hour, kept: kept.into_iter().collect(), left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_kept_some_times_an_hour_and_then_counted() {
        let mut budget = EventBudget::default();
        let mut admitted = |kind, now| (0..100).filter(|_| budget.admits(kind, now)).count();
        assert_eq!(admitted(EventKind::Notified, 7200), 12);
        assert_eq!(admitted(EventKind::Offered, 7201), 12, "other kinds have their own number");
        assert_eq!(admitted(EventKind::Notified, 10_799), 0);
        assert_eq!(admitted(EventKind::Notified, 10_800), 12, "another hour");
        assert_eq!(budget.left_out(), 88 + 88 + 100 + 88);
        assert_eq!(budget.to_string(), "364 3 notified=12");
        assert_eq!(budget.to_string().parse(), Ok(budget));
        assert_eq!("0 0 ".parse(), Ok(EventBudget::default()));
        for bad in ["", "x", "1 2", "1 2 x=1", "1 2 notified", "1 2 notified=x"] {
            assert_eq!(bad.parse::<EventBudget>(), Err(()), "{bad}");
        }
    }
}
