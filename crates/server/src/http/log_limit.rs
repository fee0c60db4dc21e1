//! Bounds the log: what anybody may cause by a request is logged a few times a minute for each kind of line,
//! and counted beyond that.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many lines of a kind are logged in one window.
const LINES: u32 = 20;

const WINDOW: Duration = Duration::from_secs(60);

/// Which lines were logged lately. Kinds come from the program, never from a request, so that there are few.
#[derive(Debug, Default)]
pub struct LogLimit(Mutex<HashMap<&'static str, Lately>>);

#[derive(Clone, Copy, Debug)]
struct Lately {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a line of that kind may be logged now; else it is counted.
    pub fn admits(&self, kind: &'static str, now: Instant) -> bool {
        let mut all = self.all();
        let lately = all.entry(kind).or_insert(Lately { since: now, lines: 0, left_out: 0 });
        if now.duration_since(lately.since) >= WINDOW && lately.left_out == 0 {
            *lately = Lately { since: now, lines: 0, left_out: 0 };
        }
        if lately.lines < LINES {
            lately.lines += 1;
            return true;
        }
        lately.left_out += 1;
        false
    }

    /// The kinds of which lines were left out in a window that has ended, and how many; they begin anew.
    pub fn left_out(&self, now: Instant) -> Vec<(&'static str, u64)> {
        let mut all = self.all();
        let mut ended = Vec::new();
        all.retain(|kind, lately| {
            let has_ended = now.duration_since(lately.since) >= WINDOW;
            if has_ended && lately.left_out > 0 {
                ended.push((*kind, lately.left_out));
            }
            !has_ended
        });
        ended.sort_unstable();
        ended
    }

    fn all(&self) -> MutexGuard<'_, HashMap<&'static str, Lately>> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_frequent_is_counted_and_others_are_logged() {
        let limit = LogLimit::default();
        let begin = Instant::now();
        let admitted = (0..1000).filter(|_| limit.admits("no-imei", begin)).count();
        assert_eq!(admitted, 20);
        assert!(limit.admits("unknown-device", begin));
        assert_eq!(limit.left_out(begin), []);
        assert!(!limit.admits("no-imei", begin + WINDOW), "what was left out is said first");
        assert_eq!(limit.left_out(begin + WINDOW), [("no-imei", 981)]);
        assert!(limit.admits("no-imei", begin + WINDOW));
        assert_eq!(limit.left_out(begin + WINDOW), []);
    }
}
