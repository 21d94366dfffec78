use std::error::Error as StdError;

/// Why the ledger could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store below failed: a disk, a file, the database.
    #[error("the ledger's store failed to {action}")]
    Store {
        /// What was being done, as a verb phrase.
        action: String,
        /// The store's own error.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// What the store returned cannot have been written by this ledger.
    #[error("the ledger's store is damaged: {what}")]
    Corrupt {
        /// What was read and why it cannot be right.
        what: String,
    },
    /// Bytes from outside do not have the form they should.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The message or field.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Bytes from outside do not have the form they should.
    pub fn malformed(what: &'static str, reason: impl ToString) -> Self {
        Self::Malformed { what, reason: reason.to_string() }
    }

    /// The store below failed to do something; `action` is a verb phrase.
    pub fn store(action: impl Into<String>, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Store { action: action.into(), source: source.into() }
    }
}
