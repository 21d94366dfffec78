use selvedge_identity::signing::SigningError;
use selvedge_ledger::StoreError;

/// Why the orderer could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OrdererError {
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
    /// The chain orders no more.
    #[error("the chain has stopped")]
    Stopped,
    /// The channel's configuration cannot be used.
    #[error("the configuration of the channel cannot be used")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The channel exists already.
    #[error("the channel {0} exists already")]
    ChannelExists(String),
    /// The channel's genesis block differs from the one in the log.
    #[error("the log of channel {0} begins with another genesis block")]
    OtherGenesis(String),
}
