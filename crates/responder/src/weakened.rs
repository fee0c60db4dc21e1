//! Rules that a test can take away, to see whether it would be noticed.
//!
//! In every program that is shipped, [`holds`] is `true` and no more than that.

/// A rule that a simulation must miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray)]
#[expect(missing_docs, reason = "the place that asks for a rule says what it is")]
pub enum Rule {
    NothingForTheCurrent,
    NoDowngrade,
    NothingWithdrawn,
    WavesByTime,
    WavesBySuccess,
    Windows,
    Attempts,
    HaltedIsHalted,
    Places,
    PlacesAreCounted,
    PlaceOfALostAnswer,
    Rates,
    OnlyWhatIsThere,
    ProvenOnce,
    BlamedOnce,
    EpochOfTheAttempt,
    BrakeOfFaults,
    BrakeOfFailures,
    BrakeInEveryChannel,
    AnewAfterPatience,
    AttemptsBackAfterADay,
    ConfirmedAfterAnInterval,
    ConfirmedAtAll,
    DoubtAfterAnotherAnswer,
    NoOnesForOldFirmware,
    CommittedBeforeAnswered,
    RecordedBeforeAcknowledged,
}

#[cfg(not(any(test, feature = "testing")))]
mod state {
    pub(crate) const fn holds(_: super::Rule) -> bool {
        true
    }
}

#[cfg(any(test, feature = "testing"))]
mod state {
    use std::cell::Cell;

    use super::Rule;

    thread_local! {
        static WEAKENED: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(crate) fn holds(rule: Rule) -> bool {
        WEAKENED.get() != Some(rule)
    }

    /// Takes a rule away in this thread, or gives it back.
    pub fn weaken(rule: Option<Rule>) {
        WEAKENED.set(rule);
    }
}

pub(crate) use state::holds;
#[cfg(any(test, feature = "testing"))]
pub use state::weaken;
