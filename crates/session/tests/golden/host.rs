use std::collections::HashMap;

use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeAdditionalParams, ChaincodeId, ChaincodeInput, ChaincodeMessage};
use selvedge_session::host::{Created, Event, Finished, Handshake, Limits, Outcome, Ready};
use selvedge_session::request::AnyRequest;
use selvedge_session::{Invocation, Ticket, TxKey, Violation};

use crate::recording::{self, Leg, Line, assert_same};

/// Takes the recorded registration and makes the recorded offer.
fn handshake(recorded: &recording::Handshake) -> Ready {
    let id = ChaincodeId::decode(recorded.register.message.payload.clone()).expect("a ChaincodeID");
    let Ok(Handshake::Register(registering)) =
        Created::new(Limits::default()).receive(recorded.register.message.clone())
    else {
        panic!("REGISTER was not taken")
    };
    assert_eq!(registering.check(&id.name), Ok(()));
    let payload = &recorded.ready.message.payload;
    let offer = ChaincodeAdditionalParams::decode(payload.clone()).expect("parameters");
    let (ready, messages) = registering.accept((!payload.is_empty()).then_some(&offer));
    assert_same(&messages[0], &recorded.registered, "handshake");
    assert_same(&messages[1], &recorded.ready, "handshake");
    ready
}

pub(crate) fn handshakes() {
    for recorded in recording::handshakes().values() {
        handshake(recorded);
    }
}

/// The recorded chaincode as the other side, the payloads of the recorded answers as the ledger: what the
/// machine sends is what was recorded. Where the chaincode broke the protocol the stream ends, as it did when
/// recorded.
pub(crate) fn streams() {
    let handshakes = recording::handshakes();
    let mut compared = 0;
    for leg in recording::legs() {
        let file = &leg.file;
        let mut play = Some(Play { ready: handshake(&handshakes[&leg.connection]), answers: HashMap::new() });
        for line in &leg.lines {
            let current = play.take().unwrap_or_else(|| panic!("{file} goes on after the stream has ended"));
            play = if line.from_peer {
                compared += 1;
                Some(current.send(line, file))
            } else {
                current.take(line, &leg)
            };
        }
        match play {
            Some(mut play) if play.ready.live() > 0 => {
                // Nothing ended this transaction but the peer's patience.
                let message = leg.answer["message"].as_str().unwrap_or_default();
                assert!(
                    message.ends_with("timeout expired while executing transaction"),
                    "{file}: {message}"
                );
                assert!(play.ready.abandon(&leg.lines[0].key()), "{file}");
                assert_eq!(play.ready.live(), 0, "{file}");
            }
            Some(play) => assert!(play.answers.is_empty(), "{file}: answers that were never recorded"),
            None => {
                let message = leg.answer["message"].as_str().unwrap_or_default();
                assert!(message.ends_with("chaincode stream terminated"), "{file}: {message}");
            }
        }
    }
    assert!(compared > 0);
}

struct Play {
    ready: Ready,
    /// What is to become the next answer of a transaction.
    answers: HashMap<TxKey, Answer>,
}

enum Answer {
    /// The ledger's, for this request.
    Open(Ticket),
    /// The machine's own.
    Given(Box<ChaincodeMessage>),
}

impl Play {
    /// The peer is to send what was recorded.
    fn send(mut self, line: &Line, file: &str) -> Self {
        let key = line.key();
        let ours = match line.known() {
            Some(Type::Transaction) => self.start(Invocation::Transaction, line),
            Some(Type::Init) => self.start(Invocation::Init, line),
            Some(Type::Response | Type::Error) => {
                match self.answers.remove(&key).unwrap_or_else(|| panic!("{file}: an answer to nothing")) {
                    Answer::Given(message) => *message,
                    Answer::Open(ticket) => {
                        let result = match line.known() {
                            Some(Type::Response) => Ok(line.message.payload.clone()),
                            _ => Err(cause(line)),
                        };
                        self.ready
                            .respond(&key, ticket, result)
                            .unwrap_or_else(|error| panic!("{file}: {error}"))
                    }
                }
            }
            other => panic!("{file}: a peer does not send {other:?}"),
        };
        assert_same(&ours, line, file);
        self
    }

    fn start(&mut self, invocation: Invocation, line: &Line) -> ChaincodeMessage {
        let input = ChaincodeInput::decode(line.message.payload.clone()).expect("a ChaincodeInput");
        self.ready
            .start(line.key(), invocation, &input, line.message.proposal.clone())
            .expect("a new transaction")
    }

    /// The chaincode's message reaches the machine; `None` if it ended the stream.
    fn take(mut self, line: &Line, leg: &Leg) -> Option<Self> {
        let file = &leg.file;
        let (ready, step) = match self.ready.receive(line.message.clone()) {
            Ok(next) => next,
            Err(ended) => {
                assert!(ended.send.is_none(), "{file}: Fabric's peer says nothing");
                let Violation::Unexpected { received, .. } = *ended.violation else {
                    panic!("{file}: {ended}")
                };
                assert_eq!(received, line.message_type(), "{file}");
                assert!(!AnyRequest::is_request(received), "{file}");
                return None;
            }
        };
        self.ready = ready;
        if let Some(given) = step.send {
            self.answers.insert(line.key(), Answer::Given(Box::new(given)));
        }
        match step.event {
            None => assert_eq!(line.known(), Some(Type::Keepalive), "{file}"),
            Some(Event::Request { transaction, ticket, request }) => {
                assert_eq!(transaction, line.key(), "{file}");
                assert_eq!(Some(request.message_type()), line.known(), "{file}");
                assert!(self.answers.insert(transaction, Answer::Open(ticket)).is_none(), "{file}");
            }
            Some(Event::Finished(finished)) => check_end(&finished, line, leg),
            Some(Event::Late { transaction, .. } | Event::Malformed { transaction, .. }) => {
                assert_eq!(transaction, line.key(), "{file}");
                assert!(self.answers.contains_key(&transaction), "{file}");
            }
            Some(other) => panic!("{file}: {other:?}"),
        }
        Some(self)
    }
}

/// What the ledger said in a recorded ERROR: the text after `<TYPE> failed: transaction ID: <txid>: `.
fn cause(line: &Line) -> String {
    let text = String::from_utf8(line.message.payload.to_vec()).expect("text");
    let intro = format!(" failed: transaction ID: {}: ", line.message.txid);
    text.split_once(&intro).expect("an error text of Fabric's form").1.to_owned()
}

/// The end of the outermost chaincode is what the peer told the client.
fn check_end(finished: &Finished, line: &Line, leg: &Leg) {
    let file = &leg.file;
    assert_eq!(finished.message.encode_to_vec(), line.bytes, "{file}");
    assert_eq!(finished.open, None, "{file}");
    if leg.outermost.as_ref() != Some(&finished.transaction) {
        return;
    }
    let told = leg.answer["message"].as_str().unwrap_or_default();
    match &finished.outcome {
        Outcome::Completed(response) => {
            assert_eq!(leg.answer["status"], response.status, "{file}");
            assert_eq!(leg.answer["payload"], hex::encode(&response.payload), "{file}");
            assert_eq!(told, response.message, "{file}");
        }
        Outcome::Failed(text) => {
            assert_eq!(
                told,
                format!("error in simulation: transaction returned with failure: {text}"),
                "{file}"
            );
        }
        Outcome::Undecodable(_) => assert!(told.contains("failed to unmarshal response"), "{file}: {told}"),
    }
}
