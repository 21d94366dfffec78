use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{ChaincodeProposalPayload, Proposal, SignedProposal};

use crate::ArgumentError;

/// What a transaction says of itself, taken from the client's signed proposal.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProposalView {
    pub(crate) signed: Option<SignedProposal>,
    pub(crate) creator: Bytes,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) transient: BTreeMap<String, Bytes>,
    pub(crate) binding: Option<[u8; 32]>,
}

impl ProposalView {
    /// Reads the proposal of the transaction `tx_id`. The peer leaves it out for calls of its own, which then have no
    /// creator.
    ///
    /// Neither signature nor certificate is checked: that is the peer's part, whom TLS vouches for. But what contradicts
    /// itself is refused, so that nobody acts under a proposal that was made for another transaction. The channel may be
    /// another one: a chaincode that is called from another channel gets the caller's proposal.
    pub(crate) fn new(signed: Option<SignedProposal>, tx_id: &str) -> Result<Self, ArgumentError> {
        let Some(signed) = signed else { return Ok(Self::default()) };
        let proposal: Proposal = decode("proposal", signed.proposal_bytes.clone())?;
        let header: Header = decode("header", proposal.header)?;
        let channel: ChannelHeader = decode("channel header", header.channel_header)?;
        let signature: SignatureHeader = decode("signature header", header.signature_header)?;
        let allowed = [HeaderType::EndorserTransaction, HeaderType::Config];
        if !allowed.iter().any(|allowed| i32::from(*allowed) == channel.r#type) {
            let reason = format!(
                "invalid channel header type. Expected {:?} or {:?}, received {}",
                HeaderType::EndorserTransaction,
                HeaderType::Config,
                channel.r#type
            );
            return Err(ArgumentError::Proposal { reason });
        }
        if !channel.tx_id.is_empty() && channel.tx_id != tx_id {
            let reason =
                format!("it is that of transaction {}, not of {tx_id}", selvedge_tls::escape(&channel.tx_id));
            return Err(ArgumentError::Proposal { reason });
        }
        let payload: ChaincodeProposalPayload = decode("chaincode proposal payload", proposal.payload)?;
        Ok(Self {
            binding: Some(binding(&signature, channel.epoch)),
            signed: Some(signed),
            creator: signature.creator,
            timestamp: channel.timestamp,
            transient: payload.transient_map,
        })
    }
}

fn binding(signature: &SignatureHeader, epoch: u64) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&signature.nonce);
    hash.update(&signature.creator);
    hash.update(&epoch.to_le_bytes());
    let mut binding = [0; 32];
    binding.copy_from_slice(hash.finish().as_ref());
    binding
}

fn decode<M: Message + Default>(part: &str, bytes: Bytes) -> Result<M, ArgumentError> {
    M::decode(bytes)
        .map_err(|error| ArgumentError::Proposal { reason: format!("its {part} cannot be decoded: {error}") })
}
