//! What can go wrong with a block on its way into the ledger.

use selvedge_identity::channel::BlockError;
use selvedge_ledger::StoreError;
use selvedge_ledger::block::IllFormed;

/// Why a block that a source gave is not accepted. The source is at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BadBlock {
    /// The block lacks a part.
    #[error("the block has no {part}")]
    Lacks {
        /// The part.
        part: &'static str,
    },
    /// Another block was asked for.
    #[error("block {expected} was asked for, but block {found} came")]
    Number {
        /// The number asked for.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// The block does not follow the last one.
    #[error("block {number} does not follow the block before it: it names another hash")]
    PreviousHash {
        /// The block's number.
        number: u64,
    },
    /// The block's data are not those of its header.
    #[error("the data of block {number} do not have the hash in its header")]
    DataHash {
        /// The block's number.
        number: u64,
    },
    /// An entry of the block has a form that no orderer makes.
    #[error("block {number} is ill-formed")]
    IllFormed {
        /// The block's number.
        number: u64,
        /// What is wrong with it.
        source: IllFormed,
    },
    /// The ordering service did not sign the block.
    #[error("block {number} is not signed by the channel's ordering service")]
    Signature {
        /// The block's number.
        number: u64,
        /// What is missing.
        source: BlockError,
    },
}

/// Why an acceptable block was not committed. This peer is at fault, or its disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CommitError {
    /// The ledger did not take the block.
    #[error("block {number} could not be committed")]
    Ledger {
        /// The block's number.
        number: u64,
        /// Why not.
        source: StoreError,
    },
    /// The state could not be read while the block was judged.
    #[error("the transactions of block {number} could not be judged")]
    Judging {
        /// The block's number.
        number: u64,
        /// Why not.
        source: selvedge_ledger::Error,
    },
}
