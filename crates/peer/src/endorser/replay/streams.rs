//! Plays recorded chaincode streams against the context: replies, read/write sets and answers must be the peer's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeInterest, ChaincodeMessage, ProposalResponse,
    QueryResponse, Response, SignedProposal,
};
use selvedge_session::host::{Created, Event, Handshake, Limits};
use selvedge_session::request::{AnyRequest, InvokeChaincode, Request};
use selvedge_session::{Invocation, MessageType, TxKey};
use serde_json::Value;

use super::{Peer, plain};
use crate::endorser::context::{Context, Transaction};
use crate::endorser::endorsed::failure;
use crate::endorser::executor::{CallError, no_input, parse_name};
use crate::endorser::is_system_chaincode;
use crate::endorser::simulated::{ERROR_THRESHOLD, Outcome, Simulated, in_simulation};
use crate::host::{ExecuteError, Finished, outcome};
use crate::invocation::TransactionContext;

/// How many requests there were, by the name of their type.
pub(super) type Tally = BTreeMap<String, usize>;

#[derive(Clone)]
struct Recorded {
    from_chaincode: bool,
    message: ChaincodeMessage,
}

/// The transcripts, in the order of the ledger's heights.
pub(super) fn transcripts(corpus: &Corpus) -> Vec<Value> {
    let index = corpus.json("streams/index.json");
    let mut transcripts = index["transcripts"].as_array().unwrap().clone();
    transcripts.sort_by_key(|transcript| transcript["ledger_height"].as_u64());
    transcripts
}

/// The messages of one transaction, on all streams.
fn messages(corpus: &Corpus, transcript: &Value) -> Vec<Recorded> {
    let lines = corpus.json_lines(&format!("streams/{}", transcript["file"].as_str().unwrap()));
    let read = |line: &Value| Recorded {
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
    messages: std::vec::IntoIter<Recorded>,
    /// Our names for the recorded iterators.
    iterators: BTreeMap<String, String>,
    answered: Tally,
}

impl Play<'_> {
    fn next(&mut self) -> Recorded {
        self.messages.next().unwrap_or_else(|| panic!("{} ends early", self.file))
    }

    /// Plays a chaincode, whose call was just sent to it, to its last message; `None` if it says no more.
    async fn chaincode(
        &mut self,
        transaction: &Transaction,
        name: &str,
        is_init: bool,
    ) -> Option<ChaincodeMessage> {
        let peer = self.peer;
        let mut context = Context::new(transaction, &peer.executor, name, is_init);
        loop {
            let recorded = self.messages.next()?;
            match recorded.message.r#type() {
                // An answer to a request that was sent again before.
                _ if !recorded.from_chaincode => {}
                Type::Keepalive => {}
                _ if AnyRequest::is_request(MessageType(recorded.message.r#type)) => {
                    self.request(transaction, &mut context, recorded).await;
                }
                _ => return Some(recorded.message),
            }
        }
    }

    async fn request(&mut self, transaction: &Transaction, context: &mut Context<'_>, recorded: Recorded) {
        let what = recorded.message.r#type();
        let mut answer = self.next();
        *self.answered.entry(format!("{what:?}")).or_default() += 1;
        let request = match AnyRequest::try_from(&recorded.message) {
            Ok(request) => request,
            Err(error) => {
                let text = text_of(&answer.message);
                assert!(
                    text.ends_with(error.fabric_cause()),
                    "{} differs: {what:?}: {error} is not {text}",
                    self.file
                );
                return;
            }
        };
        let mut in_any_order = false;
        let found = match &request {
            // The call goes to another chaincode, whose part comes next in the recording.
            AnyRequest::InvokeChaincode(call) if !answer.from_chaincode && is_call(&answer.message) => {
                let end = self.called(transaction, call).await;
                answer = self.next();
                Ok(InvokeChaincode::encode_reply(&end))
            }
            AnyRequest::InvokeChaincode(call) => {
                // `_lifecycle` lists its definitions in the order of a map of Go.
                in_any_order = is_system_chaincode(parse_name(&call.name).0);
                let found = context.handle(call.clone().into()).await;
                self.without_package(transaction, call, found)
            }
            _ => context.handle(self.translated(request)).await,
        };
        if in_any_order {
            let [found, expected] = [found.unwrap(), answer.message.payload].map(|bytes| {
                let mut bytes = bytes.to_vec();
                bytes.sort_unstable();
                bytes
            });
            assert_eq!(found, expected, "{} differs", self.file);
        } else {
            self.compare(what, found, &answer.message);
        }
    }

    /// What the recorded peer would say after it had found the package that is missing here.
    fn without_package(
        &self,
        transaction: &Transaction,
        call: &InvokeChaincode,
        found: Result<Bytes, String>,
    ) -> Result<Bytes, String> {
        let (name, _) = parse_name(&call.name);
        match &found {
            Err(reason) if reason.ends_with("but chaincode is not installed") => {
                let begun = self.peer.begin(transaction, name, false);
                if call.input.is_none() {
                    return Err(no_input());
                }
                begun.map_err(|reason| format!("execute failed: invalid invocation: {reason}"))?;
                found
            }
            _ => found,
        }
    }

    /// Plays a chaincode that another one calls, which may be on another channel.
    async fn called(&mut self, caller: &Transaction, call: &InvokeChaincode) -> ChaincodeMessage {
        let (name, channel) = parse_name(&call.name);
        let other = channel.filter(|channel| *channel != caller.channel.id());
        let transaction = match other {
            Some(channel) => self.peer.executor.enter(caller, name, channel).unwrap(),
            None => caller.clone(),
        };
        self.peer.begin(&transaction, name, false).unwrap();
        let end = Box::pin(self.chaincode(&transaction, name, false)).await;
        end.unwrap_or_else(|| panic!("{} ends within a call", self.file))
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
        let file = self.file;
        let text = text_of(expected);
        match (expected.r#type(), found) {
            (Type::Response, Ok(found)) => {
                let is_query = matches!(
                    what,
                    Type::GetStateByRange
                        | Type::GetQueryResult
                        | Type::GetHistoryForKey
                        | Type::QueryStateNext
                        | Type::QueryStateClose
                );
                let found = if is_query { self.renamed(found, &expected.payload) } else { found };
                assert_eq!(found, expected.payload, "{file} differs: {what:?}");
            }
            (Type::Error, Err(found)) => {
                // What needs the other chaincode's package ends earlier here.
                let elsewhere = text.contains("error sending: ") && found.contains("is not installed");
                assert!(
                    elsewhere || text.ends_with(&format!(": {found}")),
                    "{file} differs: {what:?}: {found} is not {text}"
                );
            }
            (_, found) => panic!("{file} differs: {what:?}: {found:?} is not {text}"),
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

fn is_call(message: &ChaincodeMessage) -> bool {
    message.r#type() == Type::Transaction
}

/// The text of an ERROR.
fn text_of(message: &ChaincodeMessage) -> String {
    plain(&String::from_utf8_lossy(&message.payload))
}

/// What the host makes of a chaincode's last message.
fn ending(key: TxKey, input: &ChaincodeInput, last: ChaincodeMessage) -> Result<Finished, ExecuteError> {
    let id = ChaincodeId { name: "played".to_owned(), ..ChaincodeId::default() };
    let register = ChaincodeMessage {
        r#type: Type::Register as i32,
        payload: id.encode_to_vec().into(),
        ..ChaincodeMessage::default()
    };
    let Ok(Handshake::Register(registering)) = Created::new(Limits::default()).receive(register) else {
        panic!("REGISTER was not taken")
    };
    let (mut ready, _) = registering.accept(None);
    let invocation = if input.is_init { Invocation::Init } else { Invocation::Transaction };
    ready.start(key, invocation, input, None).unwrap();
    match ready.receive(last) {
        Err(_) => Err(ExecuteError::Terminated),
        Ok((_, step)) => match step.event {
            Some(Event::Finished(finished)) => outcome(*finished),
            other => panic!("{other:?} ends no transaction"),
        },
    }
}

/// Plays a transcript and compares the answer to the client. Returns the requests that were compared.
async fn play(corpus: &Corpus, transcript: &Value, peer: &Peer) -> Tally {
    let text = |name: &str| transcript[name].as_str().unwrap_or_default();
    let file = text("file");
    peer.commit_up_to(transcript["ledger_height"].as_u64().unwrap());
    let proposal = hex::decode(text("signed_proposal")).unwrap();
    let verified = peer.verify(SignedProposal::decode(proposal.as_slice()).unwrap());
    let transaction = peer.transaction(&verified);
    let input = verified.proposal().input.clone();
    let name = verified.proposal().chaincode().to_owned();
    let messages = messages(corpus, transcript).into_iter();
    let mut play = Play { file, peer, messages, iterators: BTreeMap::new(), answered: Tally::new() };

    let begun = peer.begin(&transaction, &name, input.is_init);
    let finished = match &begun {
        Err(reason) => Err(CallError::Initialization(reason.clone())),
        Ok(_) => match play.chaincode(&transaction, &name, input.is_init).await {
            Some(last) => {
                let key = TxKey::new(&last.channel_id, &last.txid);
                ending(key, &input, last).map_err(CallError::Execute)
            }
            None => Err(CallError::Execute(ExecuteError::Timeout)),
        },
    };
    let answered = play.answered;
    let answer = match finished {
        Err(error) => failure(in_simulation(error.for_client(text("txid")))),
        Ok(finished) => {
            let simulator = transaction.state.take().unwrap();
            let snapshot = Arc::clone(simulator.snapshot());
            let results = simulator.finish();
            let interest = results.interest(is_system_chaincode).unwrap();
            let event = finished.event.filter(|_| finished.response.status < ERROR_THRESHOLD);
            let event = event.map(|event| ChaincodeEvent { chaincode_id: name, ..event });
            let simulated = Simulated {
                proposal: verified,
                response: finished.response,
                event,
                version: begun.unwrap().definition.version.clone(),
                outcome: Some(Outcome { results, interest, snapshot }),
            };
            simulated.endorse(None).unwrap().into_response()
        }
    };
    compare_answer(transcript, answer);
    answered
}

fn compare_answer(transcript: &Value, answer: ProposalResponse) {
    let file = transcript["file"].as_str().unwrap();
    let Response { status, message, .. } = answer.response.unwrap();
    let recorded = &transcript["response"];
    assert_eq!(i64::from(status), recorded["status"].as_i64().unwrap(), "{file} differs: its status");
    assert_eq!(message, plain(recorded["message"].as_str().unwrap()), "{file} differs: its message");
    let payload = transcript["simulated"]["proposal_response_payload"].as_str().unwrap_or_default();
    assert_eq!(hex::encode(&answer.payload), payload, "{file} differs: its payload");
    match transcript["interest"]["hex"].as_str() {
        None => assert_eq!(answer.interest, None, "{file} differs: its interest"),
        Some(interest) => {
            let expected = ChaincodeInterest::decode(hex::decode(interest).unwrap().as_slice()).unwrap();
            let found = sorted(answer.interest.unwrap());
            assert_eq!(found, sorted(expected), "{file} differs: its interest");
        }
    }
}

/// The order of the calls means nothing.
fn sorted(interest: ChaincodeInterest) -> Vec<Vec<u8>> {
    let mut calls: Vec<_> = interest.chaincodes.iter().map(Message::encode_to_vec).collect();
    calls.sort();
    calls
}

/// Plays transcripts on the peers that they were recorded at. Returns the requests that were compared.
pub(super) async fn replay(corpus: &Corpus, transcripts: &[Value]) -> Tally {
    let index = corpus.json("streams/index.json");
    let channel = index["channel"].as_str().unwrap();
    let others: BTreeSet<String> = transcripts
        .iter()
        .flat_map(|transcript| messages(corpus, transcript))
        .map(|recorded| recorded.message.channel_id)
        .filter(|other| other != channel && corpus.channels().contains(&other.as_str()))
        .collect();
    let mut peers: BTreeMap<&str, Peer> = BTreeMap::new();
    let mut compared = Tally::new();
    for transcript in transcripts {
        let organisation = transcript["peer"].as_str().unwrap();
        let peer = peers.entry(organisation).or_insert_with(|| {
            let peer = Peer::new(corpus, channel, organisation);
            others.iter().for_each(|other| peer.join(corpus, other));
            peer
        });
        for (what, count) in play(corpus, transcript, peer).await {
            *compared.entry(what).or_default() += count;
        }
    }
    compared
}

/// The requests that chaincode made in the recordings.
fn requests(corpus: &Corpus, transcripts: &[Value]) -> Tally {
    let mut requests = Tally::new();
    let messages = transcripts.iter().flat_map(|transcript| messages(corpus, transcript));
    for Recorded { from_chaincode, message } in messages {
        if from_chaincode && AnyRequest::is_request(MessageType(message.r#type)) {
            *requests.entry(format!("{:?}", message.r#type())).or_default() += 1;
        }
    }
    requests
}

/// All transcripts of the index, whatever shim made them and however they end: every request in them is compared.
#[tokio::test]
async fn golden_streams_get_the_peers_answers() {
    let corpus = Corpus::get();
    let transcripts = transcripts(corpus);
    let compared = replay(corpus, &transcripts).await;
    assert_eq!(compared, requests(corpus, &transcripts), "requests that were not compared");
    assert!(compared.len() > 1, "the corpus has requests of several types");
}
