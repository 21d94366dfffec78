//! The endorser: checks a client's proposal, simulates it and signs the result.
//!
//! ```text
//! SignedProposal -> Received -> Verified -> Simulated -> Endorsed -> ProposalResponse
//!                   decoded     signed by    chaincode    answered,
//!                               a writer     has run      and signed if it succeeded
//! ```
//!
//! Each stage is a type that only the stage before it can make, so that nothing is simulated that was not verified.
//! A simulation holds a snapshot of the ledger and nothing else: neither commits nor other proposals wait for it.
//!
//! [`Endorser`] is what the gateway asks: [`LocalEndorser`] is this peer, [`RemoteEndorser`] another one.

mod access;
mod channels;
mod context;
mod endorsed;
mod error;
mod executor;
mod local;
mod received;
mod remote;
#[cfg(test)]
pub(crate) mod replay;
mod service;
mod simulated;
mod state;
mod system;
mod verified;

use async_trait::async_trait;
use bytes::Bytes;
use selvedge_proto::protos::{ProposalResponse, SignedProposal};

pub(crate) use access::check_signed;
pub use access::{AccessError, check_access};
pub use channels::Channels;
pub(crate) use error::INVALID_WIRE;
pub use error::{EndorserError, Refusal};
pub use local::{EndorserConfig, LocalEndorser};
pub use received::Received;
pub use remote::RemoteEndorser;
pub(crate) use selvedge_proto::MESSAGE_BYTES as MAX_MESSAGE;
pub use selvedge_session::query::Limits;
pub(crate) use service::too_many;
pub use service::{EndorserService, MAX_CONCURRENT_PROPOSALS};
pub use verified::Verified;

/// The name of Fabric's lifecycle chaincode.
pub(crate) const LIFECYCLE: &str = "_lifecycle";

/// The chaincodes that are part of Fabric's peer.
pub(crate) const SYSTEM_CHAINCODES: [&str; 4] = [LIFECYCLE, "cscc", "lscc", "qscc"];

/// Whether a name is that of a chaincode which is part of the peer.
pub(crate) fn is_system_chaincode(name: &str) -> bool {
    SYSTEM_CHAINCODES.contains(&name)
}

/// A peer that endorses.
#[async_trait]
pub trait Endorser: Send + Sync {
    /// The MSP id of its organisation.
    fn msp_id(&self) -> &str;

    /// Where clients reach it, `host:port`; error details name it.
    fn address(&self) -> &str;

    /// Its encoded `msp.SerializedIdentity`, by which policies judge its endorsements.
    fn identity(&self) -> &Bytes;

    /// Whether it can run a chaincode of a channel, as far as is known without asking it.
    fn runs(&self, _channel: &str, _chaincode: &str) -> bool {
        true
    }

    /// Gives the endorser a moment to commit what others have committed already, so that its simulation agrees with
    /// theirs. One that cannot tell, such as a remote one, does not wait.
    async fn catch_up(&self, _channel: &str, _height: u64) {}

    /// Simulates and endorses a proposal.
    ///
    /// # Errors
    /// When it cannot be asked, or refuses the proposal as such. A failure of the chaincode is a response of status 500.
    async fn process_proposal(&self, proposal: SignedProposal) -> Result<ProposalResponse, EndorserError>;

    /// Simulates a proposal whose result is only read. The response may lack the endorsement's signature.
    ///
    /// # Errors
    /// As for [`process_proposal`](Self::process_proposal).
    async fn evaluate(&self, proposal: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        self.process_proposal(proposal).await
    }
}
