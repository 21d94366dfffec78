//! Puts recorded calls of system chaincodes to our own endorser, which must answer as the real peer did.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_proto::common::{BlockchainInfo, Config};
use selvedge_proto::protos::{
    ChaincodeAction, ChannelQueryResponse, ProposalResponse, ProposalResponsePayload, Response,
    SignedProposal,
};
use serde_json::Value;

use super::{CENTURY, Peer, plain, target};
use crate::endorser::{Endorser, Received};

/// What a call asks for: the chaincode and its arguments.
struct Asked {
    chaincode: String,
    function: String,
    proposal: SignedProposal,
}

impl Asked {
    fn read(exchange: &Value) -> Self {
        let request = hex::decode(exchange["request"].as_str().unwrap()).unwrap();
        let proposal = SignedProposal::decode(request.as_slice()).unwrap();
        let received =
            Received::read(proposal.clone(), std::time::SystemTime::now(), CENTURY, |_, _| None).unwrap();
        let function = received.input.args.first().cloned().unwrap_or_default();
        let function = String::from_utf8(function.to_vec()).unwrap();
        Self { chaincode: received.chaincode().to_owned(), function, proposal }
    }
}

fn recorded(exchange: &Value) -> Option<ProposalResponse> {
    let bytes = hex::decode(exchange["response"].as_str()?).unwrap();
    Some(ProposalResponse::decode(bytes.as_slice()).unwrap())
}

/// The answer to the first good call of a function.
fn told<M: Message + Default>(exchanges: &[Value], chaincode: &str, function: &str) -> M {
    let mut answers = exchanges.iter().filter_map(|exchange| {
        let asked = Some(Asked::read(exchange))
            .filter(|asked| asked.chaincode == chaincode && asked.function == function);
        asked.and(recorded(exchange)?.response).filter(|response| response.status == 200)
    });
    M::decode(answers.next().expect("a good call").payload).unwrap()
}

/// A peer as it was when the calls were recorded: its height and channels are what it told.
fn peer(corpus: &Corpus, exchanges: &[Value], organisation: &str) -> Peer {
    let index = corpus.json("streams/index.json");
    let channel = index["channel"].as_str().unwrap();
    let peer = Peer::new(corpus, channel, organisation);
    peer.commit_up_to(told::<BlockchainInfo>(exchanges, "qscc", "GetChainInfo").height);
    let joined: ChannelQueryResponse = told(exchanges, "cscc", "GetChannels");
    for other in joined.channels.iter().filter(|other| other.channel_id != channel) {
        peer.join(corpus, &other.channel_id);
    }
    peer
}

/// Puts all calls to our own peers. Returns how many of each function of each chaincode were compared.
pub(super) async fn replay(corpus: &Corpus) -> BTreeMap<(String, String), usize> {
    let exchanges = corpus.json_lines("exchanges/syscc.jsonl");
    let mut peers: BTreeMap<String, Peer> = BTreeMap::new();
    let mut compared = BTreeMap::new();
    for exchange in &exchanges {
        let organisation = target(exchange).to_owned();
        let peer =
            peers.entry(organisation.clone()).or_insert_with(|| peer(corpus, &exchanges, &organisation));
        let label = exchange["label"].as_str().unwrap();
        let asked = Asked::read(exchange);
        let answer = peer.endorser().process_proposal(asked.proposal).await;
        match recorded(exchange) {
            Some(recorded) => compare(label, &asked.function, answer.expect(label), recorded),
            None => {
                let error = answer.expect_err(label).to_string();
                assert_eq!(error, plain(exchange["grpc"]["message"].as_str().unwrap()), "{label} differs");
            }
        }
        *compared.entry((asked.chaincode, asked.function)).or_default() += 1;
    }
    compared
}

fn compare(label: &str, function: &str, found: ProposalResponse, recorded: ProposalResponse) {
    let response = |answer: &ProposalResponse| answer.response.clone().unwrap();
    compare_response(label, function, &response(&found), &response(&recorded));
    assert_eq!(found.payload.is_empty(), recorded.payload.is_empty(), "{label} differs: the payload");
    if !recorded.payload.is_empty() {
        let ((found, found_action), (recorded, recorded_action)) =
            (action(&found.payload), action(&recorded.payload));
        assert_eq!(found.proposal_hash, recorded.proposal_hash, "{label} differs: the proposal's hash");
        assert_eq!(found_action.results, recorded_action.results, "{label} differs: the set");
        assert_eq!(found_action.events, recorded_action.events, "{label} differs: the event");
        assert_eq!(found_action.chaincode_id, recorded_action.chaincode_id, "{label} differs: the chaincode");
        let response = |action: ChaincodeAction| action.response.unwrap();
        compare_response(label, function, &response(found_action), &response(recorded_action));
    }
    let shape = |answer: ProposalResponse| (answer.version, answer.interest, answer.endorsement.is_some());
    assert_eq!(shape(found), shape(recorded), "{label} differs: its shape");
}

fn action(payload: &Bytes) -> (ProposalResponsePayload, ChaincodeAction) {
    let payload = ProposalResponsePayload::decode(payload.clone()).unwrap();
    let action = ChaincodeAction::decode(payload.extension.clone()).unwrap();
    (payload, action)
}

fn compare_response(label: &str, function: &str, found: &Response, recorded: &Response) {
    let said = |response: &Response| (response.status, plain(&response.message));
    assert_eq!(said(found), said(recorded), "{label} differs");
    if function == "GetChannelConfig" {
        // The peer encodes it anew, with its maps in any order.
        let config = |response: &Response| Config::decode(response.payload.clone()).unwrap();
        assert_eq!(config(found), config(recorded), "{label} differs: the configuration");
    } else {
        assert!(found.payload == recorded.payload, "{label} differs: the result");
    }
}

#[tokio::test]
async fn golden_calls_of_system_chaincodes_are_answered_as_recorded() {
    let compared = replay(Corpus::get()).await;
    let functions = [
        ("qscc", "GetChainInfo"),
        ("qscc", "GetBlockByNumber"),
        ("qscc", "GetBlockByHash"),
        ("qscc", "GetBlockByTxID"),
        ("qscc", "GetTransactionByID"),
        ("cscc", "GetChannels"),
        ("cscc", "GetConfigBlock"),
        ("cscc", "GetChannelConfig"),
        ("cscc", "JoinChain"),
        ("cscc", "JoinBySnapshotStatus"),
    ];
    for (chaincode, function) in functions {
        let key = (chaincode.to_owned(), function.to_owned());
        assert!(
            compared.get(&key).is_some_and(|count| *count > 0),
            "{chaincode} {function} was not compared"
        );
    }
}
