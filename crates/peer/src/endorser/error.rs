//! Why a proposal has no response. The texts are Fabric's, since clients get to see them.

use selvedge_ledger::StoreError;

use super::AccessError;

/// What Go's protobuf library says of bytes that are not the message.
pub(crate) const INVALID_WIRE: &str = "proto: cannot parse invalid wire-format data";

/// Why a proposal is refused before it is simulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    // The filters, which Fabric's peer puts before the endorser.
    /// A part that the filters look at cannot be decoded.
    #[error("failed parsing {part}: error unmarshalling {message}: {INVALID_WIRE}")]
    Unparsable {
        /// The part.
        part: &'static str,
        /// The message that was expected there.
        message: &'static str,
    },
    /// The proposal has more arguments and transient values than any real one. Our own rule; Fabric has no bound.
    #[error("the proposal has more than 100000 arguments, decorations and transient values")]
    TooManyElements,
    /// The creator's certificate is no longer valid.
    #[error("proposal client identity expired")]
    Expired,
    /// The proposal is too old, or from the future.
    #[error(
        "request unauthorized due to incorrect timestamp {proposal}, peer time {peer}, \
         peer.authentication.timewindow {window}"
    )]
    Timestamp {
        /// The proposal's time.
        proposal: String,
        /// The peer's time.
        peer: String,
        /// How much the two may differ.
        window: String,
    },

    // The form.
    /// A part cannot be decoded.
    #[error("error unmarshalling {0}: {INVALID_WIRE}")]
    Undecodable(&'static str),
    /// A part is absent.
    #[error("{0}")]
    Missing(&'static str),

    // The contents.
    /// The header type is neither that of a transaction nor CONFIG.
    #[error("error validating proposal: invalid header type {0}")]
    HeaderType(String),
    /// Epochs were never used.
    #[error("error validating proposal: epoch is non-zero")]
    Epoch,
    /// A part that must not be empty is.
    #[error("error validating proposal: {0}")]
    Empty(&'static str),
    /// The transaction id is not the hash of nonce and creator.
    #[error("error validating proposal: incorrectly computed txid '{found}' -- expected '{expected}'")]
    TransactionId {
        /// The id in the header.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The creator belongs to no organisation of the channel.
    #[error(
        "error validating proposal: access denied: channel [{channel}] creator org unknown, creator is malformed"
    )]
    UnknownCreator {
        /// The channel.
        channel: String,
    },
    /// The creator's identity is not valid, or did not sign the proposal.
    #[error("error validating proposal: access denied: channel [{channel}] creator org [{msp_id}]")]
    Creator {
        /// The channel.
        channel: String,
        /// The creator's MSP.
        msp_id: String,
    },
    /// A transaction of that id is committed.
    #[error("duplicate transaction found [{tx_id}]. Creator [{creator}]")]
    Duplicate {
        /// The transaction's id.
        tx_id: String,
        /// Its creator in hex.
        creator: String,
    },
    /// The creator may not propose transactions.
    #[error(transparent)]
    Access(#[from] AccessError),

    // The peer is at fault.
    /// The ledger cannot tell whether the transaction is a duplicate.
    #[error("the ledger cannot be read: {0}")]
    Ledger(#[from] StoreError),
}

impl Refusal {
    /// Whether it was refused by a filter. Fabric's gateway takes that for an endorser that is not there.
    pub fn is_filter(&self) -> bool {
        matches!(self, Self::Unparsable { .. } | Self::Expired | Self::Timestamp { .. })
    }
}

/// Why an endorser gave no response.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndorserError {
    /// It could not be asked, or did not get as far as looking at the proposal; another endorser may.
    #[error("{0}")]
    Unavailable(String),
    /// It refused the proposal; others would, too.
    #[error("{0}")]
    Refused(String),
}

impl From<Refusal> for EndorserError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_filter() {
            Self::Unavailable(refusal.to_string())
        } else {
            Self::Refused(refusal.to_string())
        }
    }
}
