use bytes::Bytes;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    GetHistoryForKey, QueryMetadata, QueryResponse, QueryStateClose, QueryStateNext,
};

use crate::request::{self, Request, RequestError};

/// Opens an iterator over a range of keys, or reads one page of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetStateByRange {
    /// The first key, inclusive.
    pub start_key: String,
    /// The end, exclusive; empty means the end of the namespace.
    pub end_key: String,
    /// Empty for public state, else the private data collection.
    pub collection: String,
    /// The page wanted; a bookmark in it takes the place of `start_key`. The peer does not page collections.
    pub paging: Option<QueryMetadata>,
}

impl Request for GetStateByRange {
    const TYPE: Type = Type::GetStateByRange;
    type Reply = QueryResponse;

    fn encode(&self) -> Bytes {
        request::encode(&selvedge_proto::protos::GetStateByRange {
            start_key: self.start_key.clone(),
            end_key: self.end_key.clone(),
            collection: self.collection.clone(),
            metadata: encode_paging(self.paging.as_ref()),
        })
    }

    fn decode(payload: Bytes) -> Result<Self, RequestError> {
        let message: selvedge_proto::protos::GetStateByRange =
            request::decode::<Self, _>("GetStateByRange", payload)?;
        Ok(Self {
            start_key: message.start_key,
            end_key: message.end_key,
            collection: message.collection,
            paging: decode_paging::<Self>(message.metadata)?,
        })
    }
}

/// Opens an iterator over the results of a rich query, or reads one page of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GetQueryResult {
    /// The selector as JSON text.
    pub query: String,
    /// Empty for public state, else the private data collection.
    pub collection: String,
    /// The page wanted. The peer does not page collections.
    pub paging: Option<QueryMetadata>,
}

impl Request for GetQueryResult {
    const TYPE: Type = Type::GetQueryResult;
    type Reply = QueryResponse;

    fn encode(&self) -> Bytes {
        request::encode(&selvedge_proto::protos::GetQueryResult {
            query: self.query.clone(),
            collection: self.collection.clone(),
            metadata: encode_paging(self.paging.as_ref()),
        })
    }

    fn decode(payload: Bytes) -> Result<Self, RequestError> {
        let message: selvedge_proto::protos::GetQueryResult =
            request::decode::<Self, _>("GetQueryResult", payload)?;
        Ok(Self {
            query: message.query,
            collection: message.collection,
            paging: decode_paging::<Self>(message.metadata)?,
        })
    }
}

/// Requests whose payload is one protobuf message without further rules; all are answered with results.
macro_rules! plain_requests {
    ($($request:ident),*) => {
        $(impl Request for $request {
            const TYPE: Type = Type::$request;
            type Reply = QueryResponse;

            fn encode(&self) -> Bytes {
                request::encode(self)
            }

            fn decode(payload: Bytes) -> Result<Self, RequestError> {
                request::decode::<Self, _>(stringify!($request), payload)
            }
        })*
    };
}

plain_requests!(QueryStateNext, QueryStateClose, GetHistoryForKey);

/// The paging that a query asks for. Fabric counts a page size of zero without a bookmark as none.
fn decode_paging<R: Request>(metadata: Bytes) -> Result<Option<QueryMetadata>, RequestError> {
    let paging: QueryMetadata = request::decode::<R, _>("QueryMetadata", metadata)?;
    Ok((paging != QueryMetadata::default()).then_some(paging))
}

fn encode_paging(paging: Option<&QueryMetadata>) -> Bytes {
    paging.map(request::encode).unwrap_or_default()
}
