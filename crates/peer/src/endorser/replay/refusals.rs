//! Puts recorded proposals to our own endorser: what the real peer refused must be refused in the same words.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use prost::Message;
use prost_types::Timestamp;
use selvedge_golden::Corpus;
use selvedge_proto::common::{ChannelHeader, Header};
use selvedge_proto::protos::{Proposal, ProposalResponse, SignedProposal};
use serde_json::Value;

use super::{Peer, plain, target};
use crate::endorser::{Endorser, Refusal};

const WINDOW: Duration = Duration::from_secs(15 * 60);

/// When the recorded peer judged a proposal: it may have said so, else it was when the proposal was made.
fn judged_at(proposal: &SignedProposal, message: &str) -> SystemTime {
    let said = message.split_once("peer time ").and_then(|(_, rest)| rest.split_once(','));
    let said = said.map(|(time, _)| time.parse::<Timestamp>().unwrap());
    let made = || {
        let proposal = Proposal::decode(proposal.proposal_bytes.clone()).ok()?;
        let header = Header::decode(proposal.header).ok()?;
        ChannelHeader::decode(header.channel_header).ok()?.timestamp
    };
    said.or_else(made).unwrap_or_default().try_into().unwrap()
}

/// The answer of the peer itself, if it is one to a proposal that no chaincode has seen.
fn peers_own(exchange: &Value) -> Option<ProposalResponse> {
    let bytes = hex::decode(exchange["response"].as_str()?).unwrap();
    let response = ProposalResponse::decode(bytes.as_slice()).unwrap();
    let is_own =
        response.payload.is_empty() && response.response.as_ref().is_some_and(|inner| inner.status == 500);
    is_own.then_some(response)
}

/// Puts all proposals to our own peers. Returns how many were refused and how many accepted.
pub(super) async fn replay(corpus: &Corpus) -> (usize, usize) {
    let index = corpus.json("streams/index.json");
    let channel = index["channel"].as_str().unwrap();
    let mut peers: BTreeMap<String, Peer> = BTreeMap::new();
    let (mut refused, mut accepted) = (0, 0);
    for exchange in corpus.json_lines("exchanges/endorser.jsonl") {
        let label = exchange["label"].as_str().unwrap();
        let organisation = target(&exchange);
        let peer = peers.entry(organisation.to_owned()).or_insert_with(|| {
            let peer = Peer::new(corpus, channel, organisation);
            peer.commit_all();
            peer
        });
        let request = hex::decode(exchange["request"].as_str().unwrap()).unwrap();
        let proposal = SignedProposal::decode(request.as_slice()).unwrap();
        let message = plain(exchange["grpc"]["message"].as_str().unwrap_or_default());
        if let Some(expected) = peers_own(&exchange) {
            let found = peer.endorser().process_proposal(proposal).await.unwrap();
            assert_eq!(found, expected, "{label} differs");
            refused += 1;
            continue;
        }
        let judged = peer.judge(proposal.clone(), judged_at(&proposal, &message), WINDOW);
        if exchange["grpc"]["code"] == 0 {
            // A proposal made before its transaction was committed is a duplicate by now.
            assert!(matches!(judged, Ok(_) | Err(Refusal::Duplicate { .. })), "{label} differs: {judged:?}");
            accepted += 1;
        } else {
            let found = judged.expect_err(label).to_string();
            assert_eq!(found, message, "{label} differs");
            refused += 1;
        }
    }
    (refused, accepted)
}

#[tokio::test]
async fn golden_refusals_have_the_peers_words() {
    let (refused, accepted) = replay(Corpus::get()).await;
    assert!(refused > 0 && accepted > 0, "the corpus has refused and accepted proposals");
}
