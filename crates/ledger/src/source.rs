//! Where a committer's blocks come from: the embedded orderer, or another node's Deliver service.

use std::error::Error as StdError;

pub use futures_util::stream::BoxStream;
use selvedge_proto::common::Block;

/// Gives a channel's blocks in order.
pub trait BlockSource: Send + Sync {
    /// The blocks from number `from` on, without gaps; the stream waits for those that do not exist yet. It ends
    /// only when the source is shut down, or after its first error; the reader then asks again from the block it
    /// lacks.
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>>;
}

/// Why a source stopped giving blocks.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The reader asked for blocks that the source will never have, or may not read them.
    #[error("the source of blocks refuses: {reason}")]
    Refused {
        /// The source's reason.
        reason: String,
    },
    /// The source cannot be reached or failed; asking again later may help.
    #[error("the source of blocks is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// The error beneath, if there is one.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The source gave a block that cannot be the next one, or no block at all.
    #[error("the source of blocks gave a wrong answer: {reason}")]
    Malformed {
        /// What was wrong with it.
        reason: String,
    },
}
