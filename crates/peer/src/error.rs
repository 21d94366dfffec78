//! What can go wrong with a peer as a whole. Chaincode, endorsement and the gateway have their own errors.

use selvedge_identity::channel::ChannelError as ConfigError;
use selvedge_ledger::StoreError;

/// Why a channel cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The genesis block, or the configuration on the ledger, cannot be used.
    #[error("the channel's configuration cannot be used")]
    Config(#[from] ConfigError),
    /// A block does not lead to a valid configuration.
    #[error("block {block} of the ledger does not lead to a valid configuration")]
    NoConfiguration {
        /// The block's number.
        block: u64,
    },
    /// The ledger cannot be opened or read.
    #[error("the channel's ledger cannot be used")]
    Ledger(#[from] StoreError),
}

/// Why a peer cannot join a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The peer has joined the channel, or is about to.
    #[error("the peer has joined channel '{0}' already")]
    Joined(String),
    /// The peer was shut down.
    #[error("the peer was shut down")]
    ShutDown,
    /// The channel cannot be opened.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// A defect: the task that opened the channel broke off.
    #[error("opening channel '{0}' broke off; this is a defect of the peer")]
    BrokenOff(String),
}
