use std::fmt;

use prost::Message;
use selvedge_identity::signing::SigningError;
use selvedge_proto::gateway;
use selvedge_proto::google::rpc;
use selvedge_proto::protos::TxValidationCode;
use tonic::{Code, Status};

/// Why a call of a Fabric service did not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The service answered with an error, or could not be reached.
    #[error("{operation} failed: {code:?}: {message}{}", Details(.details))]
    Service {
        /// What was asked of it.
        operation: &'static str,
        /// The gRPC code.
        code: Code,
        /// The service's text.
        message: String,
        /// What single peers and orderers said.
        details: Vec<ErrorDetail>,
    },
    /// An endorser answered with the status of an error.
    #[error("{operation} was refused with status {status}: {message}")]
    Refused {
        /// What was asked of it.
        operation: &'static str,
        /// The status of the response.
        status: i32,
        /// Its text.
        message: String,
    },
    /// The transaction is in a block, but is not valid there.
    #[error("transaction {tx_id} is in block {block}, but is not valid: {}", .code.as_str_name())]
    Invalid {
        /// The transaction.
        tx_id: String,
        /// The block.
        block: u64,
        /// Why it is not valid.
        code: TxValidationCode,
    },
    /// The service's answer is not what the call is answered with.
    #[error("the answer to {operation} cannot be used: {reason}")]
    Answer {
        /// What was asked of it.
        operation: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The proposal or the transaction could not be signed.
    #[error("the request could not be signed")]
    Signing(#[from] SigningError),
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    Randomness,
}

/// What one peer or orderer said about a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorDetail {
    /// Its address.
    pub address: String,
    /// The organisation it belongs to.
    pub msp_id: String,
    /// Its text.
    pub message: String,
}

impl fmt::Display for ErrorDetail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.address, self.msp_id, self.message)
    }
}

struct Details<'a>(&'a [ErrorDetail]);

impl fmt::Display for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|detail| write!(formatter, "; {detail}"))
    }
}

impl ClientError {
    /// The error of a gRPC status, with the details that Fabric's gateway packs into it.
    pub fn from_status(operation: &'static str, status: &Status) -> Self {
        let details = rpc::Status::decode(status.details())
            .map(|status| status.details)
            .unwrap_or_default()
            .into_iter()
            .filter(|any| any.type_url.ends_with("gateway.ErrorDetail"))
            .filter_map(|any| gateway::ErrorDetail::decode(any.value.as_slice()).ok())
            .map(|detail| ErrorDetail {
                address: detail.address,
                msp_id: detail.msp_id,
                message: detail.message,
            })
            .collect();
        Self::Service { operation, code: status.code(), message: status.message().to_owned(), details }
    }

    pub(crate) fn answer(operation: &'static str, reason: impl fmt::Display) -> Self {
        Self::Answer { operation, reason: reason.to_string() }
    }
}
