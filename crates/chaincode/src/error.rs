use selvedge_session::request::RequestError;
use selvedge_session::{MessageType, Violation, chaincode::CallError};

/// Why a call to the ledger failed. Only the transaction that made it is concerned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The peer refused the request; the text is the peer's own, unchanged.
    #[error("{0}")]
    Peer(String),
    /// The key or name cannot be used on the ledger; nothing was sent.
    #[error("{0}")]
    Argument(#[from] ArgumentError),
    /// Too many requests of this transaction wait already, or the peer has not offered the operation.
    #[error(transparent)]
    Refused(#[from] CallError),
    /// The peer's answer is not what the request is answered with.
    #[error("the peer's answer cannot be used: {0}")]
    Answer(#[from] RequestError),
    /// A record in the peer's answer cannot be read.
    #[error("a record in the peer's answer to {request} cannot be decoded")]
    Record {
        /// What was asked.
        request: MessageType,
        /// What is wrong with the record.
        #[source]
        source: prost::DecodeError,
    },
    /// The stream to the peer ended, so that the transaction cannot go on.
    #[error("the peer has closed the stream of transaction {tx_id}")]
    Closed {
        /// The transaction.
        tx_id: String,
    },
}

/// Why an argument of a call, or of the transaction itself, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// The ledger has no empty key.
    #[error("key must not be an empty string")]
    EmptyKey,
    /// Simple keys do not begin with U+0000, which is where composite keys live.
    #[error("first character of the key {key:?} contains a null character which is not allowed")]
    NullPrefix {
        /// The key.
        key: String,
    },
    /// Events are found by their names.
    #[error("event name can not be empty string")]
    EmptyEventName,
    /// The client sent bytes where text is needed.
    #[error("argument {index} is not UTF-8: {source}")]
    NotUtf8 {
        /// Which argument, the function's name being 0.
        index: usize,
        /// Where it stops being UTF-8.
        #[source]
        source: std::str::Utf8Error,
    },
    /// The proposal that came with the transaction cannot be read.
    #[error("the proposal of the transaction cannot be used: {reason}")]
    Proposal {
        /// What is wrong with it.
        reason: String,
    },
}

/// Why a stream ended before its peer closed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamError {
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] Box<Violation>),
    /// The connection failed.
    #[error("the stream failed: {0}")]
    Transport(#[from] tonic::Status),
}
