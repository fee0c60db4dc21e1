//! Looks at many devices: a part of them in each minute, all of them within an hour.

/// How many devices are looked at in a minute; more, where not all would have their turn within an hour.
pub const LOOKS: u32 = 1_000;

/// The devices of that many that have their turn in this minute: how many come before them, and their number.
pub(super) fn turn(count: u32, now: i64) -> (u32, u32) {
    let turns = count.div_ceil(LOOKS).clamp(1, 60);
    let size = count.div_ceil(turns);
    let turn = now.div_euclid(60).rem_euclid(turns.into());
    (size * u32::try_from(turn).unwrap_or(0), size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::NOW;

    #[test]
    fn everybody_has_a_turn_within_an_hour() {
        for count in [0, 1, 999, 1_000, 1_001, 59_999, 1_000_000] {
            let mut turns: Vec<_> = (0..60).map(|minute| turn(count, NOW + 60 * minute)).collect();
            turns.sort_unstable();
            let reached = turns.iter().fold(0, |reached, (offset, size)| {
                assert!(*offset <= reached, "{count}: {turns:?}");
                reached.max(offset + size)
            });
            assert!(reached >= count);
        }
        assert_eq!(turn(500, NOW), (0, 500));
    }
}
