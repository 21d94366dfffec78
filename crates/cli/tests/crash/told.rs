//! What clients were told, and what administrators tried.

use selvedge_client::{Approval, Commit};

/// A transaction that the gateway has reported as committed, with its block and verdict.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    pub(crate) transaction: String,
    pub(crate) commit: Commit,
}

/// One step of an administrator, in the order of the steps.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) msp_id: String,
    pub(crate) what: Change,
    /// Whether the administrator was told that it is done. If not, it may have happened all the same.
    pub(crate) acknowledged: bool,
}

/// What an administrator changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Puts a package on the own peer.
    Install(String),
    /// Approves a definition for the own organisation.
    Approve(Approval),
    /// Commits a definition.
    Commit { name: String, sequence: i64, version: String },
}

/// All of it, over all starts of a network.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) transactions: Vec<Acknowledged>,
    pub(crate) steps: Vec<Step>,
    /// How many of the transactions were looked for at every peer already.
    pub(crate) asked: usize,
}
