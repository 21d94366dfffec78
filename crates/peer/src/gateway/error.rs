use prost::Message;
use prost_types::Any;
use selvedge_proto::gateway::ErrorDetail;
use selvedge_proto::google::rpc;
use tonic::{Code, Status};

use super::Broadcaster;
use crate::endorser::Endorser;

/// Why the gateway could not do what it was asked, as the client gets to see it. Codes, texts and details are Fabric's.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct GatewayError {
    /// The gRPC code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// Which endorser or orderer said what.
    pub details: Vec<ErrorDetail>,
}

impl GatewayError {
    /// An error without details.
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new() }
    }

    /// An error with what others said.
    pub(super) fn with_details(code: Code, message: impl Into<String>, details: Vec<ErrorDetail>) -> Self {
        Self { code, message: message.into(), details }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }
}

/// What an endorser said.
pub(super) fn endorser_detail(endorser: &dyn Endorser, message: impl Into<String>) -> ErrorDetail {
    ErrorDetail {
        address: endorser.address().to_owned(),
        msp_id: endorser.msp_id().to_owned(),
        message: message.into(),
    }
}

/// What an orderer said.
pub(super) fn broadcaster_detail(broadcaster: &dyn Broadcaster, message: impl Into<String>) -> ErrorDetail {
    ErrorDetail {
        address: broadcaster.address().to_owned(),
        msp_id: broadcaster.msp_id().to_owned(),
        message: message.into(),
    }
}

impl From<GatewayError> for Status {
    /// The details travel as a `google.rpc.Status` in the trailer `grpc-status-details-bin`.
    fn from(error: GatewayError) -> Self {
        let GatewayError { code, message, details } = error;
        if details.is_empty() {
            return Self::new(code, message);
        }
        let any = |detail: ErrorDetail| Any {
            type_url: "type.googleapis.com/gateway.ErrorDetail".to_owned(),
            value: detail.encode_to_vec(),
        };
        let details = details.into_iter().map(any).collect();
        let packed = rpc::Status { code: code as i32, message: message.clone(), details };
        Self::with_details(code, message, packed.encode_to_vec().into())
    }
}
