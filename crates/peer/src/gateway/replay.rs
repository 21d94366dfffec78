//! Puts recorded requests to our own gateway: what the real one refused without asking anybody must be refused in the
//! same way.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::channel::ApplicationOrg;
use selvedge_proto::common::{BlockchainInfo, Envelope};
use selvedge_proto::gateway::{
    ChaincodeEventsResponse, EndorseRequest, EvaluateRequest, EvaluateResponse, SignedChaincodeEventsRequest,
    SignedCommitStatusRequest, SubmitRequest,
};
use selvedge_proto::orderer::BroadcastResponse;
use selvedge_proto::protos::{ProposalResponse, SignedProposal};
use serde_json::Value;
use tonic::Code;

use super::{BroadcastError, Broadcaster, Gateway, GatewayChannel, GatewayConfig, GatewayError};
use crate::endorser::replay::{Peer, target};
use crate::endorser::{Endorser, EndorserError, Received};

/// How long a stream is watched for what should not come. A wait that is too short can only hide a mistake.
const QUIET: Duration = Duration::from_millis(200);

/// A node that nobody should ask.
#[derive(Default)]
struct Unasked {
    msp_id: String,
    identity: Bytes,
}

#[async_trait]
impl Endorser for Unasked {
    fn msp_id(&self) -> &str {
        &self.msp_id
    }

    fn address(&self) -> &str {
        "127.0.0.1:7051"
    }

    fn identity(&self) -> &Bytes {
        &self.identity
    }

    async fn process_proposal(&self, _: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        panic!("the recorded gateway asked nobody")
    }
}

#[async_trait]
impl Broadcaster for Unasked {
    fn msp_id(&self) -> &str {
        &self.msp_id
    }

    fn address(&self) -> &str {
        "127.0.0.1:7050"
    }

    async fn broadcast(&self, _: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        panic!("the recorded gateway asked nobody")
    }
}

/// The peer on the recorded channel whose gateway was asked.
fn peer(corpus: &Corpus, exchanges: &[Value]) -> Peer {
    let index = corpus.json("streams/index.json");
    Peer::new(corpus, index["channel"].as_str().unwrap(), target(&exchanges[0]))
}

/// A gateway on the whole recorded channel, which has nobody to ask.
fn gateway(corpus: &Corpus, exchanges: &[Value]) -> Gateway {
    let peer = peer(corpus, exchanges);
    peer.commit_all();
    let config = peer.channel.config();
    let node = |msp_id: &str| Unasked { msp_id: msp_id.to_owned(), ..Unasked::default() };
    let endorser = |org: &ApplicationOrg| Arc::new(node(&org.msp_id)) as Arc<dyn Endorser>;
    serving(&peer, config.orgs().iter().map(endorser).collect())
}

/// A gateway that asks these.
fn serving(peer: &Peer, endorsers: Vec<Arc<dyn Endorser>>) -> Gateway {
    let gateway = Gateway::new(peer.local_msp().id(), GatewayConfig::default());
    let broadcasters: Vec<Arc<dyn Broadcaster>> = vec![Arc::new(Unasked::default())];
    gateway.set_channel(GatewayChannel { channel: Arc::clone(&peer.channel), endorsers, broadcasters });
    gateway
}

/// The request of a call, or the only one of a stream.
fn recorded_request(exchange: &Value) -> Option<&str> {
    exchange["request"].as_str().or_else(|| exchange["requests"][0].as_str())
}

async fn call(gateway: &Gateway, exchange: &Value) -> Result<(), GatewayError> {
    fn request<M: Message + Default>(exchange: &Value) -> M {
        M::decode(hex::decode(recorded_request(exchange).unwrap()).unwrap().as_slice()).unwrap()
    }
    match exchange["method"].as_str().unwrap().rsplit('/').next().unwrap() {
        "Evaluate" => gateway.evaluate(request::<EvaluateRequest>(exchange)).await.map(drop),
        "Endorse" => gateway.endorse(request::<EndorseRequest>(exchange)).await.map(drop),
        "Submit" => gateway.submit(request::<SubmitRequest>(exchange)).await.map(drop),
        "CommitStatus" => {
            gateway.commit_status(request::<SignedCommitStatusRequest>(exchange)).await.map(drop)
        }
        "ChaincodeEvents" => gateway.chaincode_events(request(exchange)).map(drop),
        other => panic!("{other} is no unary call of the gateway"),
    }
}

/// Whether the gateway itself refused it, by what it knows of the channel.
fn is_own_refusal(exchange: &Value) -> bool {
    let grpc = &exchange["grpc"];
    let asked_others = [Code::Aborted, Code::DeadlineExceeded, Code::Unknown]
        .iter()
        .any(|code| grpc["code"].as_i64() == Some(i64::from(*code as i32)));
    // What these need is known of the endorsers, which have neither identities nor packages here.
    let by_endorsers = ["init required", "no package", "explicit org"]
        .iter()
        .any(|part| exchange["label"].as_str().unwrap().contains(part));
    grpc["code"] != 0
        && grpc["details"].as_array().is_none_or(Vec::is_empty)
        && recorded_request(exchange).is_some()
        && !asked_others
        && !by_endorsers
}

#[tokio::test]
async fn golden_refusals_of_the_gateway_are_ours() {
    let exchanges = Corpus::get().json_lines("exchanges/gateway.jsonl");
    let gateway = gateway(Corpus::get(), &exchanges);
    let refusals: Vec<_> = exchanges.iter().filter(|exchange| is_own_refusal(exchange)).collect();
    assert!(!refusals.is_empty(), "the corpus has refusals by the gateway itself");
    for exchange in refusals {
        let label = exchange["label"].as_str().unwrap();
        let error = call(&gateway, exchange).await.expect_err(label);
        let code = Code::from(i32::try_from(exchange["grpc"]["code"].as_i64().unwrap()).unwrap());
        // Go's protobuf library varies its texts by such spaces, so that nobody relies on them.
        let message = exchange["grpc"]["message"].as_str().unwrap().replace('\u{a0}', " ");
        assert_eq!((error.code, error.message), (code, message), "{label}");
        assert!(error.details.is_empty(), "{label}");
    }
}

#[tokio::test]
async fn golden_events_are_ours() {
    let exchanges = Corpus::get().json_lines("exchanges/gateway.jsonl");
    let gateway = gateway(Corpus::get(), &exchanges);
    let mut streams = 0;
    for exchange in exchanges {
        let is_good = exchange["grpc"]["code"] == 0;
        if !is_good || !exchange["method"].as_str().unwrap().ends_with("/ChaincodeEvents") {
            continue;
        }
        let label = exchange["label"].as_str().unwrap();
        let request = hex::decode(recorded_request(&exchange).unwrap()).unwrap();
        let request = SignedChaincodeEventsRequest::decode(request.as_slice()).unwrap();
        let mut events = gateway.chaincode_events(request).expect(label);
        for recorded in exchange["responses"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let recorded = hex::decode(recorded.as_str().unwrap()).unwrap();
            let recorded = ChaincodeEventsResponse::decode(recorded.as_slice()).unwrap();
            assert_eq!(events.next().await.unwrap(), recorded, "{label}");
        }
        // Whatever is read of the rest of the chain, no more events come.
        let more = tokio::time::timeout(QUIET, events.next()).await;
        assert!(more.is_err(), "{label}: {more:?}");
        streams += 1;
    }
    assert!(streams > 0, "the corpus has streams of events");
}

/// What the real gateway answered from a system chaincode, which needs no package.
#[tokio::test]
async fn golden_evaluations_of_system_chaincodes_are_ours() {
    let exchanges = Corpus::get().json_lines("exchanges/gateway.jsonl");
    let mut evaluated = 0;
    for exchange in
        exchanges.iter().filter(|exchange| exchange["method"].as_str().unwrap().ends_with("/Evaluate"))
    {
        let request = hex::decode(recorded_request(exchange).unwrap()).unwrap();
        let request = EvaluateRequest::decode(request.as_slice()).unwrap();
        let asks_qscc = request.proposed_transaction.as_ref().is_some_and(|proposal| {
            let window = Duration::from_secs(u32::MAX.into());
            let received = Received::read(proposal.clone(), SystemTime::now(), window, |_, _| None);
            received.is_ok_and(|received| received.chaincode() == "qscc")
        });
        let Some(recorded) = exchange["response"].as_str().filter(|_| asks_qscc) else { continue };
        let recorded = EvaluateResponse::decode(hex::decode(recorded).unwrap().as_slice()).unwrap();
        let peer = peer(Corpus::get(), &exchanges);
        // The answer says how many blocks there were, which is all that is taken from it.
        let payload = recorded.result.as_ref().unwrap().payload.clone();
        peer.commit_up_to(BlockchainInfo::decode(payload).unwrap().height);
        let gateway = serving(&peer, vec![Arc::new(peer.endorser())]);
        assert_eq!(gateway.evaluate(request).await.unwrap(), recorded);
        evaluated += 1;
    }
    assert!(evaluated > 0, "the corpus has an evaluation of qscc");
}
