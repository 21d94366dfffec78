//! What the gateway reads of a proposal. Endorsers check it.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{ChannelHeader, Header};
use selvedge_proto::protos::{
    ChaincodeInvocationSpec, ChaincodeProposalPayload, ChaincodeSpec, Proposal, SignedProposal,
};

use crate::endorser::Refusal;
use crate::wire::proposal_payload_is_bounded;

/// A proposal's parts.
pub(super) struct Unpacked {
    pub(super) header: Header,
    pub(super) channel_id: String,
    pub(super) payload: ChaincodeProposalPayload,
    spec: Option<ChaincodeSpec>,
}

impl Unpacked {
    /// Decodes a proposal that is there.
    ///
    /// # Errors
    /// Fabric's text for the part that cannot be decoded.
    pub(super) fn read(signed: &SignedProposal) -> Result<Self, String> {
        let proposal: Proposal = decode("Proposal", &signed.proposal_bytes)?;
        let header: Header = decode("Header", &proposal.header)?;
        let channel: ChannelHeader = decode("ChannelHeader", &header.channel_header)?;
        if !proposal_payload_is_bounded(&proposal.payload) {
            return Err(Refusal::TooManyElements.to_string());
        }
        let payload: ChaincodeProposalPayload = decode("ChaincodeProposalPayload", &proposal.payload)?;
        let invocation: ChaincodeInvocationSpec = decode("ChaincodeInvocationSpec", &payload.input)?;
        Ok(Self { header, channel_id: channel.channel_id, payload, spec: invocation.chaincode_spec })
    }

    /// The chaincode's name, empty if there is none.
    pub(super) fn chaincode(&self) -> &str {
        let id = self.spec.as_ref().and_then(|spec| spec.chaincode_id.as_ref());
        id.map(|id| id.name.as_str()).unwrap_or_default()
    }

    /// Checks that the proposal names a channel and a chaincode.
    pub(super) fn check_names(&self) -> Result<(), String> {
        let channel = &self.channel_id;
        if channel.is_empty() {
            return Err("no channel id provided".to_owned());
        }
        let missing = |what| Err(format!("no chaincode {what} is provided, channel id [{channel}]"));
        let Some(spec) = &self.spec else { return missing("spec") };
        if spec.chaincode_id.is_none() {
            return missing("id");
        }
        if self.chaincode().is_empty() { missing("name") } else { Ok(()) }
    }

    /// Whether the proposal carries data that must not go to everybody.
    pub(super) fn has_transient(&self) -> bool {
        !self.payload.transient_map.is_empty()
    }
}

fn decode<M: Message + Default>(message: &str, bytes: &Bytes) -> Result<M, String> {
    M::decode(bytes.clone())
        .map_err(|_| format!("error unmarshalling {message}: {}", crate::endorser::INVALID_WIRE))
}
