use std::fmt;

use selvedge_proto::protos::ChaincodeMessage;

use crate::{MessageType, TxKey};

/// The stream is over because the other side broke the protocol.
#[derive(Debug, thiserror::Error)]
#[error("{violation}")]
pub struct Ended {
    /// What was wrong.
    #[source]
    pub violation: Box<Violation>,
    /// Sent, if there is one, before the stream is closed.
    pub send: Option<Box<ChaincodeMessage>>,
}

impl From<Violation> for Ended {
    fn from(violation: Violation) -> Self {
        Self { violation: Box::new(violation), send: None }
    }
}

/// How the other side broke the protocol.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message whose type does not belong in this state and direction.
    #[error("message {received} of transaction {transaction} came in state {state}, which takes {expected}")]
    Unexpected {
        /// The state that received it.
        state: State,
        /// What the state takes.
        expected: &'static str,
        /// What came.
        received: MessageType,
        /// The transaction it named; both parts are empty outside a transaction.
        transaction: TxKey,
    },
    /// The registration cannot be read.
    #[error("the payload of REGISTER is no ChaincodeID: {0}")]
    Registration(#[source] prost::DecodeError),
    /// A channel id or transaction id is too long to be one.
    #[error("message {received} has an id of {length} bytes; at most {limit} are allowed", limit = crate::MAX_ID_LENGTH)]
    IdTooLong {
        /// Bytes of the longer id.
        length: usize,
        /// The message that carried it.
        received: MessageType,
    },
}

/// The states of a session, as Fabric names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Before the registration is answered.
    Created,
    /// Registered, before READY.
    Established,
    /// Transactions may run.
    Ready,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Established => "established",
            Self::Ready => "ready",
        })
    }
}
