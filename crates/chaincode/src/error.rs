use std::fmt;
use std::time::Duration;

use selvedge_session::request::RequestError;
use selvedge_session::{MessageType, Violation, chaincode::CallError};
use serde_json::error::Category;

use crate::CheckError;

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
    /// The peer has not offered the operation, so it was not sent.
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
    /// The peer's answer to a request for several keys has another number of values.
    #[error("the peer has answered a request for {asked} keys with {sent} values")]
    Values {
        /// How many keys were asked for.
        asked: usize,
        /// How many values came.
        sent: usize,
    },
    /// Writes that were collected, and so had succeeded for the contract, were refused when they were sent. Nothing more
    /// is sent, and the transaction fails whatever the contract returns, so that no half of them is committed.
    #[error("{reason}")]
    Unwritten {
        /// The refusal.
        reason: String,
    },
    /// The chaincode that was called did not run to its end; the text is its own or the peer's.
    #[error("{reason}")]
    Callee {
        /// What it said.
        reason: String,
    },
    /// What is on the ledger is not of the type that is read, or what is written is no JSON.
    ///
    /// The text says where in the value, and not what stands there: that may be private, and errors reach clients and logs.
    #[error("the value of key {key:?} is not what it should be: {}", Place(.source))]
    Json {
        /// The key.
        key: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The call hints at a mistake, and the server is strict.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The peer announced more entries of a range and sent none.
    #[error("the peer announced more entries of iterator {id:?} and sent none")]
    EmptyPage {
        /// The iterator, as the peer named it.
        id: String,
    },
    /// The stream to the peer ended, so that the transaction cannot go on.
    #[error("the stream to the peer has ended, and transaction {tx_id} with it")]
    Closed {
        /// The transaction.
        tx_id: String,
    },
    /// The contract has returned already; a copy of its context was kept and used afterwards.
    #[error("transaction {tx_id} is over; its context cannot be used any more")]
    Over {
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
    #[error("first character of the key [{key}] contains a null character which is not allowed")]
    NullPrefix {
        /// The key.
        key: String,
    },
    /// Composite keys are told apart by these characters.
    #[error(
        "input contains unicode U+{:04X} starting at position [{position}]. U+0000 and U+10FFFF are not allowed in the input attribute of a composite key",
        u32::from(*.character)
    )]
    CompositeKeyCharacter {
        /// The character.
        character: char,
        /// Of the character, in bytes.
        position: usize,
    },
    /// A key is not made of parts.
    #[error("{key:?} is no composite key")]
    NotComposite {
        /// The key.
        key: String,
    },
    /// A policy on a key is not what the wire has.
    #[error("the endorsement policy of the key cannot be decoded: {reason}")]
    KeyPolicy {
        /// What is wrong with it.
        reason: String,
    },
    /// A collection needs a name; without one it would be public.
    #[error("collection must not be an empty string")]
    EmptyCollection,
    /// Names of chaincodes and channels hold no `/`, which divides them on the wire.
    #[error("{name:?} is no name of a chaincode or channel")]
    Name {
        /// The name.
        name: String,
    },
    /// A chaincode called on the caller's own channel may write, so it takes a [`Context`](crate::Context).
    #[error("{channel} is this transaction's own channel; use Context::call, which may write")]
    OwnChannel {
        /// The channel.
        channel: String,
    },
    /// The call hints at a mistake, and the server is strict.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The message would be larger than a peer takes.
    #[error("the request makes a message of {bytes} bytes; a peer takes at most {limit}")]
    TooLarge {
        /// Of the message.
        bytes: usize,
        /// 100 MiB.
        limit: usize,
    },
    /// The server was not told whose peers it serves, and a peer does not say it. The text begins with Go's.
    #[error(
        "'CORE_PEER_LOCALMSPID' is not set: the server needs it, or Server::peer_msp_id, to know the peer's MSP"
    )]
    NoPeerMspId,
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

/// Where in a JSON text something is wrong.
struct Place<'a>(&'a serde_json::Error);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.0.classify() {
            Category::Data => "a value of another type",
            Category::Syntax => "no JSON",
            Category::Eof => "it ends too early",
            Category::Io => "it cannot be written",
        };
        write!(f, "{problem} at line {} column {}", self.0.line(), self.0.column())
    }
}

/// Why a stream ended before its peer closed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StreamError {
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] Box<Violation>),
    /// The peer did not answer REGISTER, which is how a peer refuses.
    #[error(
        "the peer has not accepted the registration as {package_id:?} within {} s; the package id must be exactly the one that the peer shows for the installed package",
        .after.as_secs_f32()
    )]
    NotRegistered {
        /// What was registered.
        package_id: String,
        /// The limit.
        after: Duration,
    },
    /// The connection failed.
    #[error("the stream failed: {0}")]
    Transport(#[from] tonic::Status),
}

impl StreamError {
    /// A stable short name for metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "protocol",
            Self::NotRegistered { .. } => "not-registered",
            Self::Transport(_) => "transport",
        }
    }
}
