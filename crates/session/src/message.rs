use std::fmt;

use bytes::Bytes;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;

use crate::Violation;

/// The most bytes a channel id or transaction id on the stream may have.
///
/// Fabric's channel ids have at most 249 and its transaction ids 64; what is longer is refused before it is
/// repeated in error texts.
pub const MAX_ID_LENGTH: usize = 1024;

/// What names a transaction on a stream: the pair that joins requests and replies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TxKey {
    /// The channel; empty for calls outside any channel.
    pub channel_id: String,
    /// The transaction id, unique within its channel.
    pub tx_id: String,
}

impl TxKey {
    /// The key of a transaction.
    pub fn new(channel_id: impl Into<String>, tx_id: impl Into<String>) -> Self {
        Self { channel_id: channel_id.into(), tx_id: tx_id.into() }
    }

    /// The key that a message carries, refused if a part is longer than [`MAX_ID_LENGTH`].
    pub(crate) fn of(message: &mut ChaincodeMessage) -> Result<Self, Violation> {
        let key = Self {
            channel_id: std::mem::take(&mut message.channel_id),
            tx_id: std::mem::take(&mut message.txid),
        };
        match key.channel_id.len().max(key.tx_id.len()) {
            length if length > MAX_ID_LENGTH => {
                Err(Violation::IdTooLong { length, received: MessageType(message.r#type) })
            }
            _ => Ok(key),
        }
    }

    /// A message of this transaction.
    pub(crate) fn message(&self, message_type: Type, payload: Bytes) -> ChaincodeMessage {
        ChaincodeMessage {
            r#type: message_type.into(),
            payload,
            txid: self.tx_id.clone(),
            channel_id: self.channel_id.clone(),
            ..Default::default()
        }
    }
}

impl fmt::Display for TxKey {
    /// Fabric's own form, `txid(channel)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.tx_id, self.channel_id)
    }
}

/// The type of a message as it arrived; the number may be one that Fabric does not assign.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageType(pub i32);

impl MessageType {
    /// The assigned type, if the number has one.
    pub fn known(self) -> Option<Type> {
        Type::try_from(self.0).ok()
    }
}

impl From<Type> for MessageType {
    fn from(message_type: Type) -> Self {
        Self(message_type.into())
    }
}

impl fmt::Display for MessageType {
    /// Fabric's name, else the number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(message_type) => f.write_str(message_type.as_str_name()),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one request within one session. It is never reused, so that an answer which comes late cannot reach
/// the wrong caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Gives out tickets.
#[derive(Debug, Default)]
pub(crate) struct Tickets(u64);

impl Tickets {
    pub(crate) fn next(&mut self) -> Ticket {
        self.0 += 1;
        Ticket(self.0)
    }
}

/// Which of a chaincode's two entry points a transaction calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invocation {
    /// INIT: the proposal asked for initialisation.
    Init,
    /// TRANSACTION: everything else.
    Transaction,
}

impl From<Invocation> for Type {
    fn from(invocation: Invocation) -> Self {
        match invocation {
            Invocation::Init => Self::Init,
            Invocation::Transaction => Self::Transaction,
        }
    }
}

/// The message that keeps a stream busy. It names no transaction and needs no echo.
///
/// Node's shim up to 2.5.8 exits when it receives one, so a peer sends it only when told to.
pub fn keepalive() -> ChaincodeMessage {
    ChaincodeMessage { r#type: Type::Keepalive.into(), ..Default::default() }
}
