use std::collections::HashMap;

use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeId, Response};
use selvedge_session::chaincode::{CallError, Created, Established, Event, Handshake, Limits, Offer, Ready};
use selvedge_session::request::{AnyRequest, Request};
use selvedge_session::{Invocation, Ticket, TxKey};

use crate::recording::{self, Leg, Line, assert_same};

/// Registers as the recorded chaincode did and takes what the recorded peer sent.
fn handshake(recorded: &recording::Handshake) -> Ready {
    let id = ChaincodeId::decode(recorded.register.message.payload.clone()).expect("a ChaincodeID");
    let (created, register) = Created::new(&id.name, Limits::default());
    assert_same(&register, &recorded.register, "handshake");
    let Ok(Handshake::Done(established)) = created.receive(recorded.registered.message.clone()) else {
        panic!("REGISTERED was not taken")
    };
    let Ok(Handshake::Done(ready)) = Established::receive(established, recorded.ready.message.clone()) else {
        panic!("READY was not taken")
    };
    ready
}

pub(crate) fn handshakes() {
    for (connection, recorded) in recording::handshakes() {
        let offer = handshake(&recorded).offer();
        let params =
            selvedge_proto::protos::ChaincodeAdditionalParams::decode(recorded.ready.message.payload)
                .expect("parameters");
        let expected = Offer {
            write_batch: params.use_write_batch.then_some(params.max_size_write_batch.max(100)),
            get_multiple_keys: params
                .use_get_multiple_keys
                .then_some(params.max_size_get_multiple_keys.max(100)),
        };
        assert_eq!(offer, expected, "connection {connection}");
    }
}

/// The recorded requests as the script, the recorded peer as the other side: what the machine sends is what
/// was recorded, but for these messages, which no shim may send. For each the test checks that the machine
/// refuses it: requests which the peer had not offered, requests of unknown transactions, types that are no
/// request, and a COMPLETED without a Response.
pub(crate) fn streams() {
    let handshakes = recording::handshakes();
    let (mut sent, mut refused) = (0, 0);
    for leg in recording::legs() {
        let mut play = Play {
            ready: handshake(&handshakes[&leg.connection]),
            open: HashMap::new(),
            sent: 0,
            refused: 0,
        };
        for line in &leg.lines {
            play = if line.from_peer { play.take(line, &leg) } else { play.send(line, &leg) };
        }
        let ended = leg
            .lines
            .iter()
            .any(|line| !line.from_peer && matches!(line.known(), Some(Type::Completed | Type::Error)));
        assert_eq!(play.ready.live(), usize::from(!ended), "{}", leg.file);
        sent += play.sent;
        refused += play.refused;
    }
    assert!(sent > 10 * refused, "{sent} messages compared, {refused} refused");
}

struct Play {
    ready: Ready,
    open: HashMap<TxKey, (Ticket, Option<AnyRequest>)>,
    sent: usize,
    refused: usize,
}

impl Play {
    /// The peer's message reaches the machine.
    fn take(mut self, line: &Line, leg: &Leg) -> Self {
        let file = &leg.file;
        let (ready, step) =
            self.ready.receive(line.message.clone()).unwrap_or_else(|ended| panic!("{file}: {ended}"));
        self.ready = ready;
        assert!(step.send.is_none(), "{file}: {:?}", step.send);
        match step.event.unwrap_or_else(|| panic!("{file}: nothing happened")) {
            Event::Start(start) => {
                let invocation = match line.known() {
                    Some(Type::Init) => Invocation::Init,
                    _ => Invocation::Transaction,
                };
                assert_eq!(start.invocation, invocation, "{file}");
                assert_eq!(start.transaction, line.key(), "{file}");
                assert_eq!(start.input.encode_to_vec(), line.message.payload, "{file}");
                assert_eq!(start.proposal, line.message.proposal, "{file}");
            }
            Event::Answer { transaction, ticket, result } => {
                let (asked, request) = self.open.remove(&transaction).expect("an open request");
                assert_eq!(ticket, asked, "{file}");
                match result {
                    Ok(payload) => {
                        assert_eq!(line.known(), Some(Type::Response), "{file}");
                        assert_eq!(payload, line.message.payload, "{file}");
                        reply_keeps_its_bytes(request.as_ref(), payload, file);
                    }
                    Err(error) => {
                        assert_eq!(line.known(), Some(Type::Error), "{file}");
                        assert_eq!(error.0.as_bytes(), line.message.payload, "{file}");
                    }
                }
            }
            // The answer to a request that this end has refused to send.
            Event::Unsolicited { transaction, .. } => {
                assert_eq!(transaction, line.key(), "{file}");
                assert!(self.refused > 0, "{file}");
            }
            other => panic!("{file}: {other:?}"),
        }
        self
    }

    /// The chaincode wants to send what was recorded.
    fn send(mut self, line: &Line, leg: &Leg) -> Self {
        let file = &leg.file;
        let key = line.key();
        let ours = match line.known() {
            Some(Type::Completed) => match Response::decode(line.message.payload.clone()) {
                Ok(response) => {
                    let event = line.message.chaincode_event.clone();
                    self.ready.complete(&key, &response, event).expect("a running transaction").send
                }
                Err(_) => {
                    self.refused += 1;
                    self.ready.fail(&key, "", None).expect("a running transaction");
                    return self;
                }
            },
            Some(Type::Error) => {
                let text = String::from_utf8(line.message.payload.to_vec()).expect("text");
                self.ready.fail(&key, text, line.message.chaincode_event.clone()).expect("running").send
            }
            Some(message_type) => {
                let typed = AnyRequest::try_from(&line.message).ok();
                let payload = typed.as_ref().map_or(line.message.payload.clone(), AnyRequest::encode);
                match self.ready.request_raw(&key, message_type, payload) {
                    Ok(requested) => {
                        assert!(self.open.insert(key, (requested.ticket, typed)).is_none(), "{file}");
                        requested.send
                    }
                    Err(error) => {
                        self.assert_refusal(&error, line, leg);
                        self.refused += 1;
                        return self;
                    }
                }
            }
            // A number that is no type cannot even be asked for.
            None => {
                self.refused += 1;
                return self;
            }
        };
        assert_same(&ours.unwrap_or_else(|| panic!("{file}: nothing was sent")), line, file);
        self.sent += 1;
        self
    }

    fn assert_refusal(&self, error: &CallError, line: &Line, leg: &Leg) {
        let started = leg.lines.iter().any(|other| {
            matches!(other.known(), Some(Type::Transaction | Type::Init))
                && other.from_peer
                && other.key() == line.key()
        });
        let right = match error {
            CallError::NotOffered(message_type) => {
                *message_type == line.message_type()
                    && matches!(line.known(), Some(Type::WriteBatchState | Type::GetStateMultiple))
            }
            CallError::UnknownTransaction(_) => !started,
            CallError::NotARequest(_) => !AnyRequest::is_request(line.message_type()),
            _ => false,
        };
        assert!(right, "{}: {error}", leg.file);
    }
}

/// Reads the reply as its request's type and writes it again.
fn reply_keeps_its_bytes(request: Option<&AnyRequest>, payload: bytes::Bytes, file: &str) {
    fn check<R: Request>(_: &R, payload: bytes::Bytes, file: &str) {
        let reply = R::decode_reply(payload.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(R::encode_reply(&reply), payload, "{file}");
    }
    match request {
        Some(AnyRequest::GetState(request)) => check(request, payload, file),
        Some(AnyRequest::PutState(request)) => check(request, payload, file),
        Some(AnyRequest::DelState(request)) => check(request, payload, file),
        Some(AnyRequest::InvokeChaincode(request)) => check(request, payload, file),
        Some(AnyRequest::GetStateByRange(request)) => check(request, payload, file),
        Some(AnyRequest::GetQueryResult(request)) => check(request, payload, file),
        Some(AnyRequest::QueryStateNext(request)) => check(request, payload, file),
        Some(AnyRequest::QueryStateClose(request)) => check(request, payload, file),
        Some(AnyRequest::GetHistoryForKey(request)) => check(request, payload, file),
        Some(AnyRequest::GetStateMetadata(request)) => check(request, payload, file),
        Some(AnyRequest::PutStateMetadata(request)) => check(request, payload, file),
        Some(AnyRequest::GetPrivateDataHash(request)) => check(request, payload, file),
        Some(AnyRequest::PurgePrivateState(request)) => check(request, payload, file),
        Some(AnyRequest::WriteBatchState(request)) => check(request, payload, file),
        Some(AnyRequest::GetStateMultiple(request)) => check(request, payload, file),
        other => panic!("{file}: a reply to {other:?}"),
    }
}
