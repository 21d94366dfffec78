//! The requests of a chaincode, each a type with its reply.
//!
//! A request travels as the payload of a message of type [`Request::TYPE`], its reply as the payload of
//! RESPONSE. The chaincode's end uses [`Request::encode`] and [`Request::decode_reply`], the peer's end
//! [`AnyRequest::decode`] and [`Request::encode_reply`].
//!
//! Where Fabric's protobuf message says all there is to say, it is the request; the other requests are
//! structs of their own, because the wire shares one message between two requests or leaves a required part
//! optional.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::wire::{Shape, has_at_most};

use crate::MessageType;

mod call;
mod query;
mod reply;
mod state;

pub use call::InvokeChaincode;
pub use query::{GetQueryResult, GetStateByRange};
pub use reply::Reply;
pub use selvedge_proto::protos::{
    DelState, GetHistoryForKey, GetState, GetStateMetadata, GetStateMultiple, PurgePrivateState, PutState,
    QueryStateClose, QueryStateNext, WriteBatchState,
};
pub use state::{GetPrivateDataHash, PutStateMetadata};

/// The most fields that a payload may have, in all its messages that may be repeated: keys, arguments, records, results.
///
/// An empty element takes two bytes on the wire and up to 150 in memory, so that a message of 100 MiB could hold 8 GB of
/// them. It is our own rule; Fabric has none, and does not enforce the sizes that its peer advertises for batches. A
/// thousand times what it advertises are allowed.
pub const MAX_ELEMENTS: usize = 1_000_000;

/// One kind of request and its reply, as both ends see it.
pub trait Request: Sized {
    /// The message type that carries it.
    const TYPE: Type;
    /// What the peer answers when it succeeds.
    type Reply: Reply;

    /// The payload of the request.
    fn encode(&self) -> Bytes;

    /// Reads a request's payload, which may be hostile.
    fn decode(payload: Bytes) -> Result<Self, RequestError>;

    /// The payload of the reply.
    fn encode_reply(reply: &Self::Reply) -> Bytes {
        reply.encode()
    }

    /// Reads a reply's payload, which may be hostile.
    fn decode_reply(payload: Bytes) -> Result<Self::Reply, RequestError> {
        if Self::Reply::SHAPE.is_some_and(|shape| !has_at_most(MAX_ELEMENTS, &payload, shape)) {
            return Err(RequestError::TooMany { message_type: Self::TYPE.into() });
        }
        Self::Reply::decode(payload)
            .map_err(|source| RequestError::Reply { message_type: Self::TYPE.into(), source })
    }
}

/// Why a payload is not what its message type says.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The bytes are not the protobuf message that belongs there.
    #[error("the payload of {message_type} is no {expected}: {source}")]
    Undecodable {
        /// The request it belongs to.
        message_type: MessageType,
        /// The protobuf message that was expected.
        expected: &'static str,
        /// What was wrong with the bytes.
        #[source]
        source: prost::DecodeError,
    },
    /// The bytes of an answer are not what the request is answered with.
    #[error("the reply to {message_type} cannot be decoded: {source}")]
    Reply {
        /// The request that was answered.
        message_type: MessageType,
        /// What was wrong with the bytes.
        #[source]
        source: prost::DecodeError,
    },
    /// The payload, or that of the reply, has more than [`MAX_ELEMENTS`] elements.
    #[error("{message_type} with more than {MAX_ELEMENTS} elements, which is the limit")]
    TooMany {
        /// The request.
        message_type: MessageType,
    },
    /// A part is absent without which the request says nothing.
    #[error("the payload of {message_type} lacks {field}")]
    Missing {
        /// The request it belongs to.
        message_type: MessageType,
        /// The absent field.
        field: &'static str,
    },
    /// The message is no request of a chaincode.
    #[error(
        "{received} is no request of a chaincode; expected one of the types 8 to 11, 14 to 17 and 19 to 25"
    )]
    NotARequest {
        /// What came.
        received: MessageType,
    },
}

impl RequestError {
    /// What Fabric's peer gives as the cause when it meets this payload.
    ///
    /// A missing part makes Fabric's handler panic, which it catches and reports as such; chaincode on the
    /// other end sees the same text here, while the peer's own log has this error.
    pub fn fabric_cause(&self) -> &'static str {
        match self {
            Self::Undecodable { .. } | Self::Reply { .. } | Self::NotARequest { .. } => {
                "unmarshal failed: proto: cannot parse invalid wire-format data"
            }
            Self::Missing { .. } => "panic during execution",
            // Fabric has no such limit.
            Self::TooMany { .. } => {
                "the request has more than 1000000 elements, which is the limit of this peer"
            }
        }
    }
}

/// Defines [`AnyRequest`] from the list of requests.
macro_rules! any_request {
    ($($(#[$doc:meta])* $request:ident),* $(,)?) => {
        /// Any request of a chaincode, as the peer receives it.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum AnyRequest {
            $($(#[$doc])* $request($request),)*
        }

        impl AnyRequest {
            /// Reads the payload of a message of this type.
            pub fn decode(message_type: MessageType, payload: Bytes) -> Result<Self, RequestError> {
                match message_type.known() {
                    $(Some(<$request as Request>::TYPE) => <$request as Request>::decode(payload).map(Self::$request),)*
                    _ => Err(RequestError::NotARequest { received: message_type }),
                }
            }

            /// The message type that carries it.
            pub fn message_type(&self) -> Type {
                match self {
                    $(Self::$request(_) => <$request as Request>::TYPE,)*
                }
            }

            /// The payload of the request.
            pub fn encode(&self) -> Bytes {
                match self {
                    $(Self::$request(request) => Request::encode(request),)*
                }
            }

            /// Whether a message type carries a request.
            pub fn is_request(message_type: MessageType) -> bool {
                matches!(message_type.known(), $(Some(<$request as Request>::TYPE))|*)
            }
        }

        $(impl From<$request> for AnyRequest {
            fn from(request: $request) -> Self {
                Self::$request(request)
            }
        })*
    };
}

any_request! {
    /// GET_STATE
    GetState,
    /// PUT_STATE
    PutState,
    /// DEL_STATE
    DelState,
    /// INVOKE_CHAINCODE
    InvokeChaincode,
    /// GET_STATE_BY_RANGE
    GetStateByRange,
    /// GET_QUERY_RESULT
    GetQueryResult,
    /// QUERY_STATE_NEXT
    QueryStateNext,
    /// QUERY_STATE_CLOSE
    QueryStateClose,
    /// GET_HISTORY_FOR_KEY
    GetHistoryForKey,
    /// GET_STATE_METADATA
    GetStateMetadata,
    /// PUT_STATE_METADATA
    PutStateMetadata,
    /// GET_PRIVATE_DATA_HASH
    GetPrivateDataHash,
    /// PURGE_PRIVATE_DATA
    PurgePrivateState,
    /// WRITE_BATCH_STATE
    WriteBatchState,
    /// GET_STATE_MULTIPLE
    GetStateMultiple,
}

impl TryFrom<&ChaincodeMessage> for AnyRequest {
    type Error = RequestError;

    fn try_from(message: &ChaincodeMessage) -> Result<Self, RequestError> {
        Self::decode(MessageType(message.r#type), message.payload.clone())
    }
}

/// Decodes the protobuf message `expected` that belongs in a payload of `R`, and whose elements are counted before.
fn decode_counted<R: Request, M: Message + Default>(
    expected: &'static str,
    payload: Bytes,
    shape: &Shape,
) -> Result<M, RequestError> {
    if has_at_most(MAX_ELEMENTS, &payload, shape) {
        decode::<R, M>(expected, payload)
    } else {
        Err(RequestError::TooMany { message_type: R::TYPE.into() })
    }
}

/// Decodes the protobuf message `expected` that belongs in a payload of `R`.
fn decode<R: Request, M: Message + Default>(
    expected: &'static str,
    payload: Bytes,
) -> Result<M, RequestError> {
    M::decode(payload).map_err(|source| RequestError::Undecodable {
        message_type: R::TYPE.into(),
        expected,
        source,
    })
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
