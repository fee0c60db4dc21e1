//! What happens next: the clock of a simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What is to happen, by its time; within a second in the order of what it is.
#[derive(Clone, Debug)]
pub struct Agenda<T, E>(BinaryHeap<Reverse<(T, E)>>);

impl<T: Ord, E: Ord> Default for Agenda<T, E> {
    fn default() -> Self {
        Agenda(BinaryHeap::new())
    }
}

impl<T: Ord, E: Ord> Agenda<T, E> {
    /// Adds what happens at that time.
    pub fn add(&mut self, at: T, what: E) {
        self.0.push(Reverse((at, what)));
    }

    /// Takes what happens next, and when.
    #[expect(clippy::should_implement_trait, reason = "what is taken makes more to be taken")]
    pub fn next(&mut self) -> Option<(T, E)> {
        self.0.pop().map(|Reverse(next)| next)
    }
}
