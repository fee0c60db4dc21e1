//! What a device may do wrong, to see whether a bound on its cost notices.

/// A flaw of all devices of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It restarts after every answer.
    RestartsAlways,
    /// It upgrades again without being told.
    UpgradesAgain,
    /// It fetches what it installs twice.
    FetchesTwice,
    /// It asks every second while nobody answers.
    AsksWithoutPause,
    /// It stores a setting at each of its checks.
    StoresAlways,
}

impl Flaw {
    /// Every one, with the words of the bound that must notice it.
    pub const ALL: [(Flaw, &str); 5] = [
        (Flaw::RestartsAlways, "restarts"),
        (Flaw::UpgradesAgain, "upgrades"),
        (Flaw::FetchesTwice, "bytes of an upgrade"),
        (Flaw::AsksWithoutPause, "posts without an answer"),
        (Flaw::StoresAlways, "settings"),
    ];
}
