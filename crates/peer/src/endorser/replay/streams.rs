//! Plays recorded chaincode streams against the context: replies, read/write sets and answers must be the peer's.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeEvent, ChaincodeInterest, ChaincodeMessage, QueryResponse, Response, SignedProposal,
};
use selvedge_session::request::{AnyRequest, InvokeChaincode, Request, RequestError};
use serde_json::Value;

use super::Peer;
use crate::endorser::context::{Context, Transaction};
use crate::endorser::executor::parse_name;
use crate::endorser::is_system_chaincode;
use crate::endorser::simulated::{Outcome, Simulated};
use crate::invocation::TransactionContext;

#[derive(Clone)]
struct Recorded {
    stream: String,
    from_chaincode: bool,
    message: ChaincodeMessage,
}

/// The messages of one transaction, on all streams.
fn messages(transcript: &Value) -> Vec<Recorded> {
    let lines = Corpus::get().json_lines(&format!("streams/{}", transcript["file"].as_str().unwrap()));
    let read = |line: &Value| Recorded {
        stream: line["stream"].as_str().unwrap().to_owned(),
        from_chaincode: line["dir"] == "cc->peer",
        message: ChaincodeMessage::decode(hex::decode(line["hex"].as_str().unwrap()).unwrap().as_slice())
            .unwrap(),
    };
    let all = lines.iter().map(read);
    all.filter(|recorded| recorded.message.txid == transcript["txid"].as_str().unwrap()).collect()
}

/// One transcript on its way.
struct Play<'a> {
    file: &'a str,
    peer: &'a Peer,
    transaction: &'a Transaction,
    messages: std::vec::IntoIter<Recorded>,
    /// Our names for the recorded iterators.
    iterators: BTreeMap<String, String>,
    answered: usize,
}

impl Play<'_> {
    fn next(&mut self) -> Recorded {
        self.messages.next().unwrap_or_else(|| panic!("{} ends early", self.file))
    }

    /// Plays a chaincode, whose call was just sent to it, to its last message.
    async fn chaincode(&mut self, name: &str, is_init: bool) -> ChaincodeMessage {
        let peer = self.peer;
        let mut context = Context::new(self.transaction, &peer.executor, name, is_init);
        loop {
            let recorded = self.next();
            if !recorded.from_chaincode {
                // An answer to a request that was sent again before, or to one of another transaction.
                continue;
            }
            match recorded.message.r#type() {
                Type::Completed | Type::Error => return recorded.message,
                Type::Keepalive => {}
                _ => self.request(&mut context, recorded).await,
            }
        }
    }

    async fn request(&mut self, context: &mut Context<'_>, recorded: Recorded) {
        let what = recorded.message.r#type();
        let mut answer = self.next();
        let request = match AnyRequest::try_from(&recorded.message) {
            Ok(request) => request,
            Err(error) => {
                let text = text_of(&answer.message);
                assert!(
                    text.ends_with(error.fabric_cause()),
                    "{} {what:?}: {error} is not {text}",
                    self.file
                );
                return;
            }
        };
        let called = answer.stream != recorded.stream;
        let mut in_any_order = false;
        let found = match &request {
            AnyRequest::InvokeChaincode(call) if called => {
                let end = self.called(call, &answer.message).await;
                answer = self.next();
                Ok(InvokeChaincode::encode_reply(&end))
            }
            AnyRequest::InvokeChaincode(call) => {
                // `_lifecycle` lists its definitions in the order of a map of Go.
                in_any_order = is_system_chaincode(parse_name(&call.name).0);
                let found = context.handle(call.clone().into()).await;
                self.without_package(call, found)
            }
            _ => context.handle(self.translated(request)).await,
        };
        if in_any_order {
            let [found, expected] = [found.unwrap(), answer.message.payload].map(|bytes| {
                let mut bytes = bytes.to_vec();
                bytes.sort_unstable();
                bytes
            });
            assert_eq!(found, expected, "{}", self.file);
        } else {
            self.compare(what, found, &answer.message);
        }
    }

    /// What the recorded peer would say after it had found the package that is missing here.
    fn without_package(&self, call: &InvokeChaincode, found: Result<Bytes, String>) -> Result<Bytes, String> {
        let (name, _) = parse_name(&call.name);
        match &found {
            Err(reason) if reason.ends_with("but chaincode is not installed") => {
                let begun = self.peer.begin(self.transaction, name, false);
                begun.map_err(|reason| format!("execute failed: invalid invocation: {reason}"))?;
                found
            }
            _ => found,
        }
    }

    /// Plays a chaincode that another one calls.
    async fn called(&mut self, call: &InvokeChaincode, begin: &ChaincodeMessage) -> ChaincodeMessage {
        assert_eq!(begin.r#type(), Type::Transaction);
        let (name, _) = parse_name(&call.name);
        self.peer.begin(self.transaction, name, false).unwrap();
        Box::pin(self.chaincode(name, false)).await
    }

    /// The request with our name of the iterator in it.
    fn translated(&self, request: AnyRequest) -> AnyRequest {
        let ours = |id: String| self.iterators.get(&id).cloned().unwrap_or(id);
        match request {
            AnyRequest::QueryStateNext(mut next) => {
                next.id = ours(next.id);
                next.into()
            }
            AnyRequest::QueryStateClose(mut close) => {
                close.id = ours(close.id);
                close.into()
            }
            request => request,
        }
    }

    fn compare(&mut self, what: Type, found: Result<Bytes, String>, expected: &ChaincodeMessage) {
        self.answered += 1;
        let file = self.file;
        let text = text_of(expected);
        match (expected.r#type(), found) {
            (Type::Response, Ok(found)) => {
                let is_query =
                    matches!(what, Type::GetStateByRange | Type::QueryStateNext | Type::QueryStateClose);
                let found = if is_query { self.renamed(found, &expected.payload) } else { found };
                assert_eq!(found, expected.payload, "{file}: {what:?}");
            }
            (Type::Error, Err(found)) => {
                // What needs the other chaincode's package ends earlier here.
                let elsewhere = text.contains("error sending: ") && found.contains("is not installed");
                assert!(
                    elsewhere || text.ends_with(&format!(": {found}")),
                    "{file} {what:?}: {found} is not {text}"
                );
            }
            (_, found) => panic!("{file} {what:?}: {found:?} is not {text}"),
        }
    }

    /// The reply with the recorded name of the iterator in it.
    fn renamed(&mut self, found: Bytes, expected: &Bytes) -> Bytes {
        let mut found = QueryResponse::decode(found).unwrap();
        let expected = QueryResponse::decode(expected.clone()).unwrap();
        self.iterators.insert(expected.id.clone(), found.id);
        found.id = expected.id;
        found.encode_to_vec().into()
    }
}

/// The text of an ERROR. Go's protobuf library varies its texts by such spaces, so that nobody relies on them.
fn text_of(message: &ChaincodeMessage) -> String {
    String::from_utf8_lossy(&message.payload).replace('\u{a0}', " ")
}

/// Plays a transcript. Returns how many requests were compared.
async fn play(transcript: &Value, peer: &Peer) -> usize {
    let text = |name: &str| transcript[name].as_str().unwrap_or_default();
    let file = text("file");
    peer.commit_up_to(transcript["ledger_height"].as_u64().unwrap());
    let proposal = hex::decode(text("signed_proposal")).unwrap();
    let verified = peer.verify(SignedProposal::decode(proposal.as_slice()).unwrap());
    let transaction = peer.transaction(&verified);
    let mut messages = messages(transcript).into_iter();
    let is_init = messages.next().unwrap().message.r#type() == Type::Init;
    let name = verified.proposal().chaincode().to_owned();
    let runnable = peer.begin(&transaction, &name, is_init).unwrap();
    let iterators = BTreeMap::new();
    let mut play = Play { file, peer, transaction: &transaction, messages, iterators, answered: 0 };
    let end = play.chaincode(&name, is_init).await;
    let answered = play.answered;
    let results = transaction.state.take().unwrap().finish();
    let interest = results.interest(is_system_chaincode).unwrap();
    let response = Response::decode(end.payload).unwrap();
    let event = end.chaincode_event.filter(|_| response.status < 400);
    let event =
        event.map(|event| ChaincodeEvent { chaincode_id: name, tx_id: text("txid").to_owned(), ..event });
    let simulated = Simulated {
        proposal: verified,
        response,
        event,
        version: runnable.definition.version.clone(),
        outcome: Some(Outcome { results, interest, height: 0 }),
    };
    compare_answer(transcript, simulated);
    answered
}

fn compare_answer(transcript: &Value, simulated: Simulated) {
    let file = transcript["file"].as_str().unwrap();
    let answer = simulated.endorse(None).unwrap().into_response();
    let response = answer.response.unwrap();
    assert_eq!(
        response.status,
        i32::try_from(transcript["response"]["status"].as_i64().unwrap()).unwrap(),
        "{file}"
    );
    assert_eq!(response.message, transcript["response"]["message"].as_str().unwrap(), "{file}");
    let payload = transcript["simulated"]["proposal_response_payload"].as_str().unwrap_or_default();
    assert_eq!(hex::encode(&answer.payload), payload, "{file}");
    match transcript["interest"]["hex"].as_str() {
        None => assert_eq!(answer.interest, None, "{file}"),
        Some(interest) => {
            let expected = ChaincodeInterest::decode(hex::decode(interest).unwrap().as_slice()).unwrap();
            assert_eq!(sorted(answer.interest.unwrap()), sorted(expected), "{file}");
        }
    }
}

/// The order of the calls means nothing.
fn sorted(interest: ChaincodeInterest) -> Vec<Vec<u8>> {
    let mut calls: Vec<_> = interest.chaincodes.iter().map(Message::encode_to_vec).collect();
    calls.sort();
    calls
}

/// Whether this peer can play its part in a transcript.
fn is_playable(channel: &str, transcript: &Value) -> bool {
    let messages = messages(transcript);
    let ends_well = !transcript["response"].is_null()
        && !transcript["response"]["message"].as_str().unwrap().starts_with("error in simulation")
        && messages.first().is_some_and(|first| !first.from_chaincode);
    // History is not kept, other channels are not joined here, and the limits of queries cannot be set.
    ends_well
        && !transcript["group"].as_str().unwrap().ends_with("-params-small")
        && messages.iter().all(|recorded| {
            recorded.message.r#type() != Type::GetHistoryForKey
                && recorded.message.channel_id == channel
                && !is_call_without_input(&recorded.message)
        })
}

/// Fabric's peer reads the called chaincode's definition before it finds that the call has no input, and answers as if
/// it had read nothing. Ours does not read it.
fn is_call_without_input(message: &ChaincodeMessage) -> bool {
    message.r#type() == Type::InvokeChaincode
        && matches!(AnyRequest::try_from(message), Err(RequestError::Missing { field: "input", .. }))
}

#[tokio::test]
async fn golden_streams_get_the_peers_answers() {
    let index = Corpus::get().json("streams/index.json");
    let channel = index["channel"].as_str().unwrap();
    let mut transcripts: Vec<_> =
        index["transcripts"].as_array().unwrap().iter().filter(|found| is_playable(channel, found)).collect();
    transcripts.sort_by_key(|transcript| transcript["ledger_height"].as_u64());
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    let mut answered = 0;
    for transcript in &transcripts {
        let organisation = transcript["peer"].as_str().unwrap();
        let peer = peers.entry(organisation).or_insert_with(|| Peer::new(channel, organisation));
        answered += play(transcript, peer).await;
    }
    assert!(
        transcripts.len() > index["transcripts"].as_array().unwrap().len() / 2,
        "most transcripts are played"
    );
    assert!(answered > transcripts.len() / 2, "most transcripts have requests");
}
