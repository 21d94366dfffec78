//! Proposals and envelopes of which any part may be wrong.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_identity::SigningIdentity;
use selvedge_network::identities::{Organization, Role};
use selvedge_pki::{Authority, LeafSpec, Usage, Validity};
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

/// The same signature in its other form, which Fabric refuses: the second number is the group's order minus it.
pub(crate) fn high(signature: &[u8]) -> Bytes {
    /// The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    // A sequence of two integers: 30 length 02 length r 02 length s, all lengths below 128.
    let first_end = 4 + usize::from(signature[3]);
    let second = &signature[first_end + 2..];
    let mut number = [0; 32];
    number[32 - second.len().min(32)..].copy_from_slice(&second[second.len().saturating_sub(32)..]);
    let (mut high, mut borrow) = ([0_u8; 33], 0_i16);
    for place in (0..32).rev() {
        let difference = i16::from(ORDER[place]) - i16::from(number[place]) - borrow;
        borrow = i16::from(difference < 0);
        high[place + 1] = difference.rem_euclid(256) as u8;
    }
    // The high form's first bit is set, so that it needs the zero in front.
    let integers = [&signature[2..first_end], &[2, 33], &high].concat();
    [&[0x30, u8::try_from(integers.len()).unwrap()], &integers[..]].concat().into()
}

pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
