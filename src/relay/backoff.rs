//! The wait before the next try: pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Waits that double from try to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half and all of the nominal wait, so that clients of a lost broker do not all
    /// return at the same moment. `jitter` is a random number from 0 to 1.
    pub(crate) fn next(&mut self, jitter: f64) -> Duration {
        let due = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        due.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }

    /// Resets the wait after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_are_never_shorter_than_half() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff.next(0.0), Duration::from_secs(30));
        assert_eq!(backoff.next(7.0), LONGEST);
        for _ in 0..100 {
            assert!(backoff.next(0.5) <= LONGEST);
        }
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(250));
    }
}
