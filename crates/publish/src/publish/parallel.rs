//! Work on a sorted list, by two threads where that is faster: one from the front, one from the back.
//!
//! What is near in the list is in one directory, which the system locks for each change of it; so the threads
//! are kept as far apart as they can be.

use std::sync::{Mutex, PoisonError};

use super::PublishError;

/// How many items a lane takes at a time.
const CHUNK: usize = 64;

/// Whether this machine can run two threads at once.
pub(super) fn is_worthwhile() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Whether this many items justify a second thread.
pub(super) fn is_worthwhile_for(items: usize) -> bool {
    items > CHUNK
}

/// Runs `lane` over all items in one or two threads and returns the results of the threads; the first failure
/// ends it. The first thread gets its items in order, the second one gets chunks from the back, each in
/// order.
pub(super) fn run<T: Sync, R: Send>(
    concurrent: bool,
    items: &[T],
    lane: impl Fn(&mut dyn Iterator<Item = &T>) -> Result<R, PublishError> + Sync,
) -> Result<Vec<R>, PublishError> {
    if !concurrent || !is_worthwhile_for(items.len()) {
        return Ok(vec![lane(&mut items.iter())?]);
    }
    let rest = Mutex::new(items);
    let run_lane = |from_the_back: bool| {
        let chunks = std::iter::from_fn(|| {
            let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
            let n = CHUNK.min(rest.len());
            let (chunk, others) = if from_the_back {
                let (others, chunk) = rest.split_at(rest.len() - n);
                (chunk, others)
            } else {
                rest.split_at(n)
            };
            *rest = others;
            (n > 0).then_some(chunk)
        });
        let result = lane(&mut chunks.flatten());
        if result.is_err() {
            *rest.lock().unwrap_or_else(PoisonError::into_inner) = &[];
        }
        result
    };
    std::thread::scope(|scope| {
        let second = scope.spawn(|| run_lane(true));
        let first = run_lane(false);
        let second = second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(vec![first?, second?])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        for concurrent in [false, true] {
            for len in [0, 1, CHUNK, CHUNK + 1, 10 * CHUNK + 7] {
                let items: Vec<usize> = (0..len).collect();
                let done = Mutex::new(Vec::new());
                let lane = |items: &mut dyn Iterator<Item = &usize>| {
                    items.for_each(|item| done.lock().unwrap().push(*item));
                    Ok(())
                };
                run(concurrent, &items, lane).unwrap();
                let mut done = done.into_inner().unwrap();
                done.sort_unstable();
                assert_eq!(done, items);
            }
        }
    }

    #[test]
    fn the_first_failure_ends_it() {
        let items: Vec<usize> = (0..10_000).collect();
        let lane = |items: &mut dyn Iterator<Item = &usize>| match items.next() {
            Some(_) => Err(PublishError::NotOurs("x".into())),
            None => Ok(()),
        };
        assert!(run(true, &items, lane).is_err());
    }
}
