//! Proposals as nobody honest makes them, and the endorser as a service over a real connection.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod endorser_support;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use endorser_support::{Draft, Network, encode, sign_proposal, within};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use selvedge_peer::endorser::{Endorser, EndorserError, EndorserService, RemoteEndorser};
use selvedge_peer::gateway::{Gateway, GatewayService};
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage};
use selvedge_proto::common::{ChannelHeader, Header};
use selvedge_proto::gateway::gateway_client::GatewayClient;
use selvedge_proto::gateway::{EndorseRequest, EvaluateRequest};
use selvedge_proto::protos::endorser_server::Endorser as _;
use selvedge_proto::protos::{Proposal, ProposalResponse, SignedProposal};
use selvedge_tls::{
    ClientSecurity, ClientTls, DialOptions, Identity, Limits, Listener, ServerSecurity, ServerTls,
};
use tonic::{Code, Request};

/// How a proposal is spoilt.
#[derive(Clone, Debug)]
enum Spoil {
    Proposal(Edit),
    Header(Edit),
    ChannelHeader(Edit),
    SignatureHeader(Edit),
    Extension(Edit),
    Payload(Edit),
    Signature(Edit),
    Timestamp(i64, i32),
    Chaincode(String),
}

/// What happens to some bytes; places are taken modulo the length.
#[derive(Clone, Debug)]
enum Edit {
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, Vec<u8>),
    Replace(Vec<u8>),
}

impl Edit {
    fn apply(&self, bytes: &Bytes) -> Bytes {
        let mut edited = bytes.to_vec();
        match self {
            Self::Flip(at, mask) => {
                let length = edited.len().max(1);
                if let Some(byte) = edited.get_mut(at % length) {
                    *byte ^= mask;
                }
            }
            Self::Cut(at) => edited.truncate(at % (edited.len() + 1)),
            Self::Insert(at, more) => {
                let at = at % (edited.len() + 1);
                edited.splice(at..at, more.iter().copied());
            }
            Self::Replace(other) => edited.clone_from(other),
        }
        edited.into()
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (any::<usize>(), 1..=u8::MAX).prop_map(|(at, mask)| Edit::Flip(at, mask)),
        any::<usize>().prop_map(Edit::Cut),
        (any::<usize>(), bytes()).prop_map(|(at, more)| Edit::Insert(at, more)),
        bytes().prop_map(Edit::Replace),
    ]
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        edit().prop_map(Spoil::Proposal),
        edit().prop_map(Spoil::Header),
        edit().prop_map(Spoil::ChannelHeader),
        edit().prop_map(Spoil::SignatureHeader),
        edit().prop_map(Spoil::Extension),
        edit().prop_map(Spoil::Payload),
        edit().prop_map(Spoil::Signature),
        (any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Spoil::Timestamp(seconds, nanos)),
        ".{0,20}".prop_map(Spoil::Chaincode),
    ]
}

/// The proposal with everything spoilt, signed anew by the client so that what is inside is looked at.
fn spoilt(network: &Network, all: &[Spoil]) -> SignedProposal {
    let mut draft = Draft::new("_lifecycle", &[b"QueryChaincodeDefinitions", b""]);
    for spoil in all {
        if let Spoil::Chaincode(name) = spoil {
            draft.chaincode.clone_from(name);
        }
    }
    let mut proposal = draft.proposal(&network.org.client);
    let mut header = Header::decode(proposal.header.clone()).unwrap();
    let mut channel = ChannelHeader::decode(header.channel_header.clone()).unwrap();
    for spoil in all {
        match spoil {
            Spoil::Timestamp(seconds, nanos) => {
                channel.timestamp = Some(prost_types::Timestamp { seconds: *seconds, nanos: *nanos });
            }
            Spoil::Extension(edit) => channel.extension = edit.apply(&channel.extension),
            _ => {}
        }
    }
    header.channel_header = encode(&channel);
    for spoil in all {
        match spoil {
            Spoil::ChannelHeader(edit) => header.channel_header = edit.apply(&header.channel_header),
            Spoil::SignatureHeader(edit) => header.signature_header = edit.apply(&header.signature_header),
            Spoil::Payload(edit) => proposal.payload = edit.apply(&proposal.payload),
            _ => {}
        }
    }
    proposal.header = encode(&header);
    for spoil in all {
        if let Spoil::Header(edit) = spoil {
            proposal.header = edit.apply(&proposal.header);
        }
    }
    let mut bytes = encode(&proposal);
    for spoil in all {
        if let Spoil::Proposal(edit) = spoil {
            bytes = edit.apply(&bytes);
        }
    }
    let mut signed = sign_proposal(&network.org.client, bytes);
    for spoil in all {
        if let Spoil::Signature(edit) = spoil {
            signed.signature = edit.apply(&signed.signature);
        }
    }
    signed
}

/// Puts a proposal to the endorser and to the gateway. Whatever comes back, it is an answer.
async fn put(network: &Network, proposal: SignedProposal) {
    let answered = within(network.endorser.process_proposal(proposal.clone())).await;
    if let Ok(ProposalResponse { endorsement: Some(_), payload, .. }) = &answered {
        let header = Proposal::decode(proposal.proposal_bytes.clone()).unwrap().header;
        let creator =
            selvedge_proto::common::SignatureHeader::decode(Header::decode(header).unwrap().signature_header);
        assert_eq!(
            creator.unwrap().creator,
            *network.org.client.serialized(),
            "only members get endorsements"
        );
        assert!(!payload.is_empty());
    }
    let evaluate =
        EvaluateRequest { proposed_transaction: Some(proposal.clone()), ..EvaluateRequest::default() };
    let _ = within(network.gateway.evaluate(evaluate)).await;
    let endorse = EndorseRequest { proposed_transaction: Some(proposal), ..EndorseRequest::default() };
    let _ = within(network.gateway.endorse(endorse)).await;
}

#[test]
fn spoilt_proposals_are_answered() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let network = runtime.block_on(Network::start());
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&proptest::collection::vec(spoil(), 0..4), |all| {
            runtime.block_on(put(&network, spoilt(&network, &all)));
            Ok(())
        })
        .unwrap();
    runtime.block_on(network.peer.shutdown());
}

/// A server and a client that trust one authority.
fn security() -> (ServerSecurity, ClientSecurity) {
    let authority = Authority::new(&AuthoritySpec::default()).unwrap();
    let sans = vec!["127.0.0.1".to_owned()];
    let spec = LeafSpec { common_name: "peer0".to_owned(), sans, usage: Usage::Both, ..LeafSpec::default() };
    let leaf = authority.issue(&spec).unwrap();
    let identity = Identity::from_pem(&leaf.certificate_pem, leaf.key_pem.as_str()).unwrap();
    let server = ServerTls::builder(identity).without_client_certificates().unwrap();
    let client = ClientTls::builder(authority.certificate_pem()).build().unwrap();
    (server.into(), client.into())
}

#[tokio::test]
async fn a_peer_is_an_endorser_for_others() {
    let network = Network::start().await;
    let (server, client) = security();
    let listener = Listener::bind(("127.0.0.1", 0), server, Limits::default()).await.unwrap();
    let address = listener.local_addr().to_string();
    let endorser = EndorserService::new(Arc::new(network.endorser.clone())).server();
    let gateway: Gateway = network.gateway.clone();
    let services =
        Services::new(ServiceLimits::default()).with(endorser).with(GatewayService::new(gateway).server());
    let serving = tokio::spawn(services.serve(listener, std::future::pending()));
    let channel =
        selvedge_tls::channel(&address.parse().unwrap(), &client, &DialOptions::default()).await.unwrap();

    let remote =
        RemoteEndorser::new(channel.clone(), address.as_str(), network.endorser.identity().clone()).unwrap();
    assert_eq!(remote.msp_id(), "Org1MSP");
    let query = || Draft::new("_lifecycle", &[b"QueryChaincodeDefinitions", b""]);
    let answer = within(remote.process_proposal(query().sign(&network.org.client))).await.unwrap();
    assert_eq!(answer.response.unwrap().status, 200);
    assert_eq!(answer.endorsement.unwrap().endorser, network.endorser.identity());

    let mut unsigned = query().sign(&network.org.client);
    unsigned.signature = Bytes::new();
    let error = within(remote.process_proposal(unsigned.clone())).await.unwrap_err();
    let expected = "rpc error: code = Unknown desc = error validating proposal: empty signature bytes";
    assert!(matches!(error, EndorserError::Unavailable(_)), "Fabric's gateway sees no difference");
    assert_eq!(error.to_string(), expected);

    let request = EvaluateRequest { proposed_transaction: Some(unsigned), ..EvaluateRequest::default() };
    let status = within(GatewayClient::new(channel).evaluate(request)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(!status.details().is_empty(), "the details come in a trailer");
    serving.abort();
}

/// An endorser that never answers.
struct Silent(Bytes);

#[async_trait]
impl Endorser for Silent {
    fn msp_id(&self) -> &str {
        "Org1MSP"
    }

    fn address(&self) -> &str {
        "127.0.0.1:7051"
    }

    fn identity(&self) -> &Bytes {
        &self.0
    }

    async fn process_proposal(&self, _: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn one_proposal_too_many_is_refused() {
    let service = EndorserService::with_limit(Arc::new(Silent(Bytes::new())), 1);
    let mut waiting = Box::pin(service.process_proposal(Request::new(SignedProposal::default())));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let refused = service.process_proposal(Request::new(SignedProposal::default())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    assert_eq!(refused.message(), "too many requests for /protos.Endorser, exceeding concurrency limit (1)");
}
