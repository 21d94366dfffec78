//! A gateway on a channel with real keys, and endorsers that follow a script.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::{SigningIdentity, VerificationCache};
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_peer::channel::Channel;
use selvedge_peer::endorser::{Endorser, EndorserError};
use selvedge_peer::gateway::{Broadcaster, Gateway, GatewayChannel, GatewayConfig, GatewayError};
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::gateway::EndorseRequest;
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeCall, ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInterest,
    ChaincodeInvocationSpec, ChaincodeProposalPayload, ChaincodeSpec, Endorsement, Proposal,
    ProposalResponse, ProposalResponsePayload, Response, SignedProposal, TxValidationCode,
};
use tonic::Code;

use super::committer_support::{CHANNEL, Network};

/// What an endorser that is down is reported with.
pub(crate) const DOWN: &str = "rpc error: code = Unavailable desc = connection refused";

/// What an endorser does with every proposal.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Endorses this result, which touched what is named.
    Endorse { payload: &'static str, interest: Vec<ChaincodeCall> },
    /// The chaincode answers with a status that is no success.
    Chaincode(i32, &'static str),
    /// The peer fails before or beside the chaincode.
    Peer(&'static str),
    /// The peer refuses the proposal.
    Refused(&'static str),
    /// A filter of the peer refuses it.
    Filtered(&'static str),
    /// It cannot be reached.
    Down,
    /// It never answers.
    Hang,
}

impl Answer {
    pub(crate) fn endorse(payload: &'static str) -> Self {
        Self::Endorse { payload, interest: Vec::new() }
    }
}

/// An endorser of one of the organizations.
pub(crate) struct Scripted {
    identity: Arc<SigningIdentity>,
    address: String,
    answer: Answer,
    has_packages: bool,
    asked: AtomicUsize,
    caught_up: AtomicU64,
}

impl Scripted {
    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The height that it was asked to reach before it endorses.
    pub(crate) fn caught_up(&self) -> u64 {
        self.caught_up.load(Ordering::SeqCst)
    }

    fn endorse(&self, payload: &'static str, interest: Vec<ChaincodeCall>) -> ProposalResponse {
        let response = Response { status: 200, message: String::new(), payload: payload.into() };
        let action = ChaincodeAction { response: Some(response), ..ChaincodeAction::default() };
        let extension = action.encode_to_vec().into();
        let payload: Bytes =
            ProposalResponsePayload { extension, ..Default::default() }.encode_to_vec().into();
        let endorser = self.identity.serialized().clone();
        let signature = self.identity.sign(&[&payload[..], &endorser].concat()).unwrap();
        ProposalResponse {
            version: 1,
            response: Some(Response { status: 200, ..Response::default() }),
            payload,
            endorsement: Some(Endorsement { endorser, signature }),
            interest: Some(ChaincodeInterest { chaincodes: interest }),
            ..ProposalResponse::default()
        }
    }
}

#[async_trait]
impl Endorser for Scripted {
    fn msp_id(&self) -> &str {
        self.identity.msp_id()
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn identity(&self) -> &Bytes {
        self.identity.serialized()
    }

    fn runs(&self, _: &str, _: &str) -> bool {
        self.has_packages
    }

    async fn catch_up(&self, _: &str, height: u64) {
        assert_eq!(self.asked(), 0, "it was asked to endorse before");
        self.caught_up.store(height, Ordering::SeqCst);
    }

    async fn process_proposal(&self, _: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let failed = |status, message: &str, payload: &'static [u8]| ProposalResponse {
            response: Some(Response { status, message: message.to_owned(), payload: Bytes::new() }),
            payload: payload.into(),
            ..ProposalResponse::default()
        };
        match self.answer.clone() {
            Answer::Endorse { payload, interest } => Ok(self.endorse(payload, interest)),
            Answer::Chaincode(status, message) => Ok(failed(status, message, b"a result")),
            Answer::Peer(message) => Ok(failed(500, message, b"")),
            Answer::Refused(message) => Err(EndorserError::Refused(message.to_owned())),
            Answer::Filtered(message) => Err(EndorserError::Unavailable(message.to_owned())),
            Answer::Down => Err(EndorserError::Unavailable(DOWN.to_owned())),
            Answer::Hang => std::future::pending().await,
        }
    }
}

/// A channel of Org1MSP and Org2MSP with the chaincodes `basic`, which both have to endorse, and `open`, for which one
/// is enough.
pub(crate) struct Setup {
    pub(crate) network: Network,
    pub(crate) channel: Arc<Channel>,
    pub(crate) endorsement_timeout: Duration,
    numbers: [AtomicUsize; 2],
}

impl Setup {
    pub(crate) fn new() -> Self {
        let network = Network::new();
        let genesis = network.genesis.clone();
        let config = LedgerConfig::new("/ledger");
        let storage = Arc::new(MemoryStorage::new());
        let signatures = VerificationCache::new(1000);
        let channel = Channel::open(storage, config, Some(genesis.clone()), signatures).unwrap();
        let block = network.block(&genesis, vec![network.definitions()]);
        let ledger = channel.ledger();
        let validated = ledger.validate(block, vec![TxValidationCode::Valid], BTreeMap::new()).unwrap();
        ledger.commit(validated).unwrap();
        let endorsement_timeout = GatewayConfig::default().endorsement_timeout;
        Self { network, channel: Arc::new(channel), endorsement_timeout, numbers: Default::default() }
    }

    /// Another endorser of an organization. They are called `peer<organization>-<number>:7051`.
    pub(crate) fn endorser(&self, org: usize, answer: Answer) -> Arc<Scripted> {
        self.scripted(org, answer, true)
    }

    /// An endorser on which nothing is installed.
    pub(crate) fn endorser_without_packages(&self, org: usize) -> Arc<Scripted> {
        self.scripted(org, Answer::Peer("chaincode is not installed"), false)
    }

    fn scripted(&self, org: usize, answer: Answer, has_packages: bool) -> Arc<Scripted> {
        let number = self.numbers[org].fetch_add(1, Ordering::SeqCst);
        Arc::new(Scripted {
            identity: Arc::clone(&self.network.orgs[org].peer),
            address: format!("peer{org}-{number}:7051"),
            answer,
            has_packages,
            asked: AtomicUsize::new(0),
            caught_up: AtomicU64::new(0),
        })
    }

    /// A gateway of Org1MSP.
    pub(crate) fn gateway<const N: usize>(&self, endorsers: [&Arc<Scripted>; N]) -> Gateway {
        self.gateway_of(
            endorsers.into_iter().map(|endorser| Arc::clone(endorser) as Arc<dyn Endorser>).collect(),
        )
    }

    pub(crate) fn gateway_of(&self, endorsers: Vec<Arc<dyn Endorser>>) -> Gateway {
        self.gateway_with(endorsers, Vec::new())
    }

    pub(crate) fn gateway_with(
        &self,
        endorsers: Vec<Arc<dyn Endorser>>,
        broadcasters: Vec<Arc<dyn Broadcaster>>,
    ) -> Gateway {
        let mut config = GatewayConfig::default();
        config.endorsement_timeout = self.endorsement_timeout;
        config.broadcast_timeout = self.endorsement_timeout;
        let gateway = Gateway::new("Org1MSP", config);
        gateway.set_channel(GatewayChannel { channel: Arc::clone(&self.channel), endorsers, broadcasters });
        gateway
    }

    pub(crate) fn client(&self) -> &SigningIdentity {
        &self.network.orgs[0].client
    }

    pub(crate) fn proposal(&self, chaincode: &str, transient: bool) -> SignedProposal {
        proposal(self.client(), CHANNEL, chaincode, transient)
    }

    pub(crate) fn endorse_request(&self, chaincode: &str, transient: bool) -> EndorseRequest {
        EndorseRequest {
            channel_id: CHANNEL.to_owned(),
            proposed_transaction: Some(self.proposal(chaincode, transient)),
            ..EndorseRequest::default()
        }
    }
}

/// A proposal as a client makes it.
pub(crate) fn proposal(
    client: &SigningIdentity,
    channel: &str,
    chaincode: &str,
    transient: bool,
) -> SignedProposal {
    let creator = client.serialized().clone();
    let nonce = Bytes::from_static(b"a nonce of 24 bytes here");
    let id = ChaincodeId { name: chaincode.to_owned(), ..ChaincodeId::default() };
    let tx_id =
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &[&nonce[..], &creator].concat()));
    let header = ChannelHeader {
        r#type: HeaderType::EndorserTransaction as i32,
        timestamp: Some(SystemTime::now().into()),
        channel_id: channel.to_owned(),
        tx_id,
        extension: encode(&ChaincodeHeaderExtension { chaincode_id: Some(id.clone()) }),
        ..ChannelHeader::default()
    };
    let input = ChaincodeInput { args: vec!["get".into(), "a".into()], ..ChaincodeInput::default() };
    let spec = ChaincodeSpec { chaincode_id: Some(id), input: Some(input), ..ChaincodeSpec::default() };
    let payload = ChaincodeProposalPayload {
        input: encode(&ChaincodeInvocationSpec { chaincode_spec: Some(spec) }),
        transient_map: transient
            .then(|| ("secret".to_owned(), Bytes::from_static(b"42")))
            .into_iter()
            .collect(),
    };
    let header = Header {
        channel_header: encode(&header),
        signature_header: encode(&SignatureHeader { creator, nonce }),
    };
    let proposal_bytes =
        encode(&Proposal { header: encode(&header), payload: encode(&payload), ..Proposal::default() });
    let signature = client.sign(&proposal_bytes).unwrap();
    SignedProposal { proposal_bytes, signature }
}

/// The details of an error as address, MSP id and message.
pub(crate) fn details(error: &GatewayError) -> Vec<(&str, &str, &str)> {
    let details = error.details.iter();
    details.map(|detail| (detail.address.as_str(), detail.msp_id.as_str(), detail.message.as_str())).collect()
}

/// An error of a real gateway.
pub(crate) struct Recorded {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The messages of the details.
    pub(crate) details: Vec<String>,
}

/// The recorded error of this label. The tests repeat what was recorded in the repository's own copy.
pub(crate) fn golden(label: &str) -> Recorded {
    let exchanges = Corpus::own().json_lines("exchanges/gateway.jsonl");
    let found = exchanges.iter().find(|exchange| exchange["label"] == label);
    let grpc = &found.unwrap_or_else(|| panic!("nothing is recorded as {label}"))["grpc"];
    let details = grpc["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    Recorded {
        code: Code::from(i32::try_from(grpc["code"].as_i64().unwrap()).unwrap()),
        message: grpc["message"].as_str().unwrap().to_owned(),
        details: details.iter().map(|detail| detail["message"].as_str().unwrap().to_owned()).collect(),
    }
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
