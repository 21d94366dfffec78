//! Proposals and envelopes of which any part may be wrong.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_identity::SigningIdentity;
use selvedge_network::identities::{Organization, Role};
use selvedge_pki::{Authority, LeafSpec, Usage, Validity, time};
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader};
use selvedge_proto::protos::{ChaincodeProposalPayload, Proposal, SignedProposal};

use super::CHANNEL;

/// A proposal in parts, which are put together and signed at last.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) channel: ChannelHeader,
    pub(crate) signature: SignatureHeader,
    pub(crate) payload: Bytes,
}

impl Draft {
    pub(crate) fn new(identity: &SigningIdentity, call: ProposalBuilder) -> Self {
        let signed = call.sign(identity).unwrap().signed;
        let proposal = Proposal::decode(signed.proposal_bytes).unwrap();
        let header = Header::decode(proposal.header).unwrap();
        Self {
            channel: ChannelHeader::decode(header.channel_header).unwrap(),
            signature: SignatureHeader::decode(header.signature_header).unwrap(),
            payload: proposal.payload,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header { channel_header: encode(&self.channel), signature_header: encode(&self.signature) }
    }

    pub(crate) fn proposal(&self) -> Bytes {
        let (header, payload) = (encode(&self.header()), self.payload.clone());
        encode(&Proposal { header, payload, extension: Bytes::new() })
    }

    pub(crate) fn sign(&self, identity: &SigningIdentity) -> SignedProposal {
        sign_proposal(identity, self.proposal())
    }

    /// Changes the payload.
    pub(crate) fn payload(&mut self, change: impl FnOnce(&mut ChaincodeProposalPayload)) {
        let mut payload = ChaincodeProposalPayload::decode(self.payload.clone()).unwrap();
        change(&mut payload);
        self.payload = encode(&payload);
    }
}

pub(crate) fn sign_proposal(identity: &SigningIdentity, proposal_bytes: Bytes) -> SignedProposal {
    let signature = identity.sign(&proposal_bytes).unwrap();
    SignedProposal { proposal_bytes, signature }
}

pub(crate) fn sign_payload(identity: &SigningIdentity, payload: impl Into<Bytes>) -> Envelope {
    let payload = payload.into();
    let signature = identity.sign(&payload).unwrap();
    Envelope { payload, signature }
}

/// An envelope of a header for the channel, with this content.
pub(crate) fn envelope(identity: &SigningIdentity, channel: &ChannelHeader, data: Bytes) -> Envelope {
    let creator = identity.serialized().clone();
    let signature = SignatureHeader { creator, nonce: Bytes::from_static(b"a nonce of some length..") };
    let header = Header { channel_header: encode(channel), signature_header: encode(&signature) };
    sign_payload(identity, Payload { header: Some(header), data }.encode_to_vec())
}

pub(crate) fn channel_header(kind: HeaderType) -> ChannelHeader {
    ChannelHeader {
        r#type: kind.into(),
        channel_id: CHANNEL.to_owned(),
        timestamp: Some(std::time::SystemTime::now().into()),
        ..ChannelHeader::default()
    }
}

/// An identity that an organisation issued.
pub(crate) fn issued(organization: &Organization, role: Option<Role>, validity: Validity) -> SigningIdentity {
    issue(organization.authority(), organization.msp_id(), role, validity)
}

/// A client of an organisation whose time is over, and who is beyond reproach otherwise: the certificate became valid
/// after that of its authority.
pub(crate) fn expired(organization: &Organization) -> SigningIdentity {
    let ago = |seconds| time::OffsetDateTime::now_utc() - time::Duration::seconds(seconds);
    let validity = Validity { not_before: ago(60), not_after: ago(30) };
    issued(organization, Some(Role::Client), validity)
}

/// An identity that says it is of an MSP, by an authority that the MSP does not know.
pub(crate) fn foreign(msp_id: &str) -> SigningIdentity {
    issue(&Authority::new(&Default::default()).unwrap(), msp_id, Some(Role::Client), Validity::default())
}

fn issue(authority: &Authority, msp_id: &str, role: Option<Role>, validity: Validity) -> SigningIdentity {
    let leaf = authority
        .issue(&LeafSpec {
            common_name: "somebody".to_owned(),
            organizational_units: role.iter().map(|role| role.organizational_unit().to_owned()).collect(),
            usage: Usage::Signing,
            validity,
            ..LeafSpec::default()
        })
        .unwrap();
    SigningIdentity::from_pem(msp_id, leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes()).unwrap()
}

pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
