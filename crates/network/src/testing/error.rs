use std::error::Error as StdError;

use selvedge::contract::CallError;
use selvedge_peer::gateway::GatewayError;
use selvedge_proto::protos::TxValidationCode;

/// How gateways begin what a chaincode said, before its status.
const CHAINCODE_RESPONSE: &str = "chaincode response ";

/// Why a transaction of a test did not come to what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The contract answered with an error.
    #[error("the contract refused with status {status}: {message}")]
    Contract {
        /// At least 400.
        status: i32,
        /// The error's code, where the function's errors have codes.
        code: Option<String>,
        /// The contract's own text, with the code before it.
        message: String,
    },
    /// The transaction was not endorsed or not ordered, for another reason than the contract's. The text is what Fabric's
    /// gateway says, followed by what peers and orderers said.
    #[error("{0}")]
    Refused(String),
    /// The transaction is in a block, and is not valid there.
    #[error("transaction {tx_id} is in block {block}, but is not valid: {}", .code.as_str_name())]
    Invalid {
        /// The transaction.
        tx_id: String,
        /// The block.
        block: u64,
        /// Why it is not valid.
        code: TxValidationCode,
    },
    /// The call cannot be made, or its result not be read.
    #[error(transparent)]
    Call(#[from] CallError),
    /// With batch operations and without them the transaction does not come to the same: it depends on something else than
    /// its arguments and the ledger. Both read/write sets, events and responses follow.
    #[error(
        "the transaction depends on more than its arguments and the ledger: {batched} with batching, {single} without"
    )]
    Batching {
        /// With batch operations offered.
        batched: String,
        /// Without.
        single: String,
    },
    /// The network could not be set up, or something of it could not be read.
    #[error("the network under test failed: {0}")]
    Network(#[source] Box<dyn StdError + Send + Sync>),
    /// The network has no such channel or organisation.
    #[error("the network under test has no {0}")]
    Unknown(String),
    /// The network was shut down.
    #[error("the network under test was shut down")]
    Ended,
}

impl TestError {
    /// The contract's own text, without the code before it; the whole error's if it is not the contract's.
    pub fn message(&self) -> String {
        match self {
            Self::Contract { code: Some(code), message, .. } => {
                message.strip_prefix(code).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message).into()
            }
            Self::Contract { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }

    /// The code of the contract's error, where the function's errors have codes.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Contract { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// The status of the contract's error.
    pub fn status(&self) -> Option<i32> {
        match self {
            Self::Contract { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Why the transaction is not valid, if it is in a block.
    pub fn validation_code(&self) -> Option<TxValidationCode> {
        match self {
            Self::Invalid { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(super) fn setup(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Network(error.into())
    }

    /// What a gateway said. `code` finds the code in a contract's message.
    pub(super) fn from_gateway(error: GatewayError, code: impl Fn(&str) -> Option<String>) -> Self {
        let said = error.details.iter().map(|detail| detail.message.as_str());
        let said = said.chain(std::iter::once(error.message.as_str()));
        let contract = said.filter_map(|text| {
            let (status, message) = text.strip_prefix(CHAINCODE_RESPONSE)?.split_once(", ")?;
            Some((status.parse().ok()?, message.to_owned()))
        });
        if let Some((status, message)) = contract.into_iter().next() {
            return Self::Contract { status, code: code(&message), message };
        }
        let mut text = error.message;
        for detail in error.details {
            text.push_str(&format!("; {} ({}): {}", detail.address, detail.msp_id, detail.message));
        }
        Self::Refused(text)
    }
}
