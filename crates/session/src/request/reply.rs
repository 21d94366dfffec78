use bytes::Bytes;
use prost::{DecodeError, Message};
use selvedge_proto::protos::{ChaincodeMessage, GetStateMultipleResult, QueryResponse, StateMetadataResult};
use selvedge_proto::wire::Shape;

/// What a request is answered with, as the payload of RESPONSE.
pub trait Reply: Sized {
    /// What is counted of a payload before it is read; `None` for payloads that are not made of elements.
    const SHAPE: Option<&'static Shape> = None;

    /// The payload.
    fn encode(&self) -> Bytes;
    /// Reads a payload, which may be hostile.
    fn decode(payload: Bytes) -> Result<Self, DecodeError>;
}

/// Writes are answered without a payload; what a peer may still put there is ignored, as the shims do.
impl Reply for () {
    fn encode(&self) -> Bytes {
        Bytes::new()
    }

    fn decode(_: Bytes) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// A raw value. It is empty for a missing key, which the wire cannot tell from an empty value.
impl Reply for Bytes {
    fn encode(&self) -> Bytes {
        self.clone()
    }

    fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        Ok(payload)
    }
}

macro_rules! message_reply {
    ($($message:ty),*) => {
        $(impl Reply for $message {
            const SHAPE: Option<&'static Shape> = Some(&Shape::FLAT);

            fn encode(&self) -> Bytes {
                self.encode_to_vec().into()
            }

            fn decode(payload: Bytes) -> Result<Self, DecodeError> {
                Message::decode(payload)
            }
        })*
    };
}

message_reply!(QueryResponse, StateMetadataResult, GetStateMultipleResult, ChaincodeMessage);
