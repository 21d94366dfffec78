use bytes::Bytes;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    DelState, GetState, GetStateMetadata, GetStateMultiple, GetStateMultipleResult, PurgePrivateState,
    PutState, StateMetadata, StateMetadataResult, WriteBatchState,
};
use selvedge_proto::wire::Shape;

use crate::request::{self, Request, RequestError};

/// Reads the SHA-256 of one private value; every member of the channel may, whoever the collection's members
/// are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetPrivateDataHash {
    /// The key.
    pub key: String,
    /// The private data collection.
    pub collection: String,
}

impl Request for GetPrivateDataHash {
    const TYPE: Type = Type::GetPrivateDataHash;
    /// Empty if the key has no value.
    type Reply = Bytes;

    fn encode(&self) -> Bytes {
        request::encode(&GetState { key: self.key.clone(), collection: self.collection.clone() })
    }

    fn decode(payload: Bytes) -> Result<Self, RequestError> {
        let GetState { key, collection } = request::decode::<Self, _>("GetState", payload)?;
        Ok(Self { key, collection })
    }
}

/// Writes one metadata entry of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PutStateMetadata {
    /// The key.
    pub key: String,
    /// Empty for public state, else the private data collection.
    pub collection: String,
    /// The entry.
    pub metadata: StateMetadata,
}

impl Request for PutStateMetadata {
    const TYPE: Type = Type::PutStateMetadata;
    type Reply = ();

    fn encode(&self) -> Bytes {
        request::encode(&selvedge_proto::protos::PutStateMetadata {
            key: self.key.clone(),
            collection: self.collection.clone(),
            metadata: Some(self.metadata.clone()),
        })
    }

    fn decode(payload: Bytes) -> Result<Self, RequestError> {
        let message: selvedge_proto::protos::PutStateMetadata =
            request::decode::<Self, _>("PutStateMetadata", payload)?;
        let metadata = message
            .metadata
            .ok_or(RequestError::Missing { message_type: Self::TYPE.into(), field: "metadata" })?;
        Ok(Self { key: message.key, collection: message.collection, metadata })
    }
}

/// Requests whose payload is one protobuf message without further rules than that its elements are counted. Keys and
/// values are single fields, however long they are, so that counting costs nothing where nothing is repeated.
macro_rules! plain_requests {
    ($($request:ident, $message_type:ident, $reply:ty;)*) => {
        $(impl Request for $request {
            const TYPE: Type = Type::$message_type;
            type Reply = $reply;

            fn encode(&self) -> Bytes {
                request::encode(self)
            }

            fn decode(payload: Bytes) -> Result<Self, RequestError> {
                request::decode_counted::<Self, _>(stringify!($request), payload, &Shape::FLAT)
            }
        })*
    };
}

plain_requests! {
    GetState, GetState, Bytes;
    PutState, PutState, ();
    DelState, DelState, ();
    PurgePrivateState, PurgePrivateData, ();
    GetStateMetadata, GetStateMetadata, StateMetadataResult;
    WriteBatchState, WriteBatchState, ();
    GetStateMultiple, GetStateMultiple, GetStateMultipleResult;
}
