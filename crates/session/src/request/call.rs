use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeId, ChaincodeInput, ChaincodeMessage, ChaincodeSpec};
use selvedge_proto::wire::Shape;

use crate::request::{self, Request, RequestError};

/// Calls another chaincode within the same transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InvokeChaincode {
    /// `name[:version][/channel]`; the peer ignores the version, and without a channel takes the caller's.
    pub name: String,
    /// The arguments. A call without any is refused by the peer, but not before it has looked for the chaincode.
    pub input: Option<ChaincodeInput>,
}

impl Request for InvokeChaincode {
    const TYPE: Type = Type::InvokeChaincode;
    /// The message with which the called chaincode ended: COMPLETED with a `Response`, or ERROR.
    type Reply = ChaincodeMessage;

    fn encode(&self) -> Bytes {
        request::encode(&ChaincodeSpec {
            chaincode_id: Some(ChaincodeId { name: self.name.clone(), ..Default::default() }),
            input: self.input.clone(),
            ..Default::default()
        })
    }

    fn decode(payload: Bytes) -> Result<Self, RequestError> {
        /// Arguments and decorations are repeated in the input.
        const SPEC: Shape = Shape(&[(3, &Shape::FLAT)]);
        let spec: CalledSpec = request::decode_counted::<Self, _>("ChaincodeSpec", payload, &SPEC)?;
        let missing = |field| RequestError::Missing { message_type: Self::TYPE.into(), field };
        Ok(Self { name: spec.chaincode_id.ok_or_else(|| missing("chaincode_id"))?.name, input: spec.input })
    }
}

/// The fields of `ChaincodeSpec` that matter here. Python's shim (2.5.4) sends a `ChaincodeInput` instead,
/// whose first field has another wire type than the spec's; Go takes it for an unknown field and goes on to
/// find that the chaincode's id is missing, and so does this.
#[derive(Clone, PartialEq, Message)]
struct CalledSpec {
    #[prost(message, optional, tag = "2")]
    chaincode_id: Option<ChaincodeId>,
    #[prost(message, optional, tag = "3")]
    input: Option<ChaincodeInput>,
}
