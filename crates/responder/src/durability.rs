//! What a transaction promises.

/// What must survive once a transaction has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// It survives the end of this process, at any point.
    Process,
    /// It survives a loss of power too.
    Power,
}
