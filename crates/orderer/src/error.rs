use std::sync::Arc;

use selvedge_identity::signing::SigningError;
use selvedge_ledger::StoreError;

/// Why the orderer could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrdererError {
    /// The channel's configuration cannot be used.
    #[error("the configuration of the channel cannot be used")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller's genesis block is not one.
    #[error("the genesis block of channel {channel} cannot be used: {reason}")]
    Genesis {
        /// The channel.
        channel: String,
        /// What is wrong with the block.
        reason: &'static str,
    },
    /// The channel exists already.
    #[error("the channel {0} exists already")]
    ChannelExists(String),
    /// There is no channel of this name.
    #[error("there is no channel {0}")]
    UnknownChannel(String),
    /// The channel's genesis block differs from the one in the log.
    #[error("the log of channel {0} begins with another genesis block")]
    OtherGenesis(String),
    /// The orderer is shut down and orders no more.
    #[error("the ordering service has been stopped")]
    Stopped,
    /// The log of the channel could not be written, so nothing more is ordered until the next start.
    #[error("the chain has halted: {0}")]
    Halted(Arc<str>),
    /// The log could not be read or written.
    #[error("the orderer's log failed")]
    Log(#[from] StoreError),
    /// The log of a channel has no block to continue from.
    #[error("the orderer's log has no genesis block")]
    EmptyLog,
    /// A block could not be signed.
    #[error("a block could not be signed")]
    Signing(#[from] SigningError),
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    Randomness,
}
