//! The peer's end, message by message.

use bytes::Bytes;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, ChaincodeId, ChaincodeInput, ChaincodeMessage, QueryResponse, Response,
};
use selvedge_session::host::{
    Created, Event, Finished, Handshake, Limits, NotOpen, Outcome, Ready, Registering, RegistrationError,
    StartError, Step,
};
use selvedge_session::request::{AnyRequest, GetState, QueryStateNext, RequestError};
use selvedge_session::{Invocation, MAX_ID_LENGTH, MessageType, State, Ticket, TxKey, Violation, keepalive};

fn message(message_type: Type, key: &TxKey, payload: impl Into<Bytes>) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: message_type.into(),
        txid: key.tx_id.clone(),
        channel_id: key.channel_id.clone(),
        payload: payload.into(),
        ..Default::default()
    }
}

fn one() -> TxKey {
    TxKey::new("channel", "one")
}

fn registering(name: &str) -> Registering {
    let id = ChaincodeId { name: name.into(), ..Default::default() };
    let register = message(Type::Register, &TxKey::new("", ""), id.encode_to_vec());
    let created = match Created::new(Limits { transactions: 2 }).receive(keepalive()) {
        Ok(Handshake::Waiting(created)) => created,
        other => panic!("{other:?}"),
    };
    match created.receive(register) {
        Ok(Handshake::Register(registering)) => registering,
        other => panic!("{other:?}"),
    }
}

fn begin(ready: &mut Ready, key: &TxKey) -> Result<ChaincodeMessage, StartError> {
    ready.start(key.clone(), Invocation::Transaction, &ChaincodeInput::default(), None)
}

fn started() -> Ready {
    let (mut ready, _) = registering("label:hash").accept(None);
    begin(&mut ready, &one()).expect("the first");
    ready
}

fn take(ready: Ready, message: ChaincodeMessage) -> (Ready, Step) {
    ready.receive(message).expect("a legal message")
}

fn get() -> ChaincodeMessage {
    message(Type::GetState, &one(), GetState { key: "k".into(), ..Default::default() }.encode_to_vec())
}

fn asked(ready: Ready) -> (Ready, Ticket) {
    let (ready, step) = take(ready, get());
    assert!(step.send.is_none());
    match step.event {
        Some(Event::Request { transaction, ticket, request: AnyRequest::GetState(request) }) => {
            assert_eq!((transaction, request.key.as_str()), (one(), "k"));
            (ready, ticket)
        }
        other => panic!("{other:?}"),
    }
}

fn finished(step: Step) -> Finished {
    match step.event {
        Some(Event::Finished(finished)) => *finished,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_error(step: &Step, text: &str) {
    let sent = step.send.as_ref().expect("an ERROR");
    assert_eq!((sent.r#type, sent.txid.as_str(), sent.channel_id.as_str()), (7, "one", "channel"));
    assert_eq!(sent.payload, text);
}

#[test]
fn only_a_registration_is_taken_first() {
    for message_type in [Type::GetState, Type::Completed, Type::Registered, Type::Error] {
        let ended =
            Created::new(Limits::default()).receive(message(message_type, &one(), "")).expect_err("early");
        assert!(ended.send.is_none());
        assert!(matches!(*ended.violation, Violation::Unexpected { state: State::Created, received, .. }
            if received == message_type.into()));
    }
    let garbage = message(Type::Register, &one(), vec![0xff, 0xff]);
    let ended = Created::new(Limits::default()).receive(garbage).expect_err("no ChaincodeID");
    assert!(matches!(*ended.violation, Violation::Registration(_)));
}

#[test]
fn a_wrong_name_is_reported_with_both_ids() {
    assert_eq!(registering("label:hash").check("label:hash"), Ok(()));
    let empty = registering("").check("label:hash").expect_err("empty");
    assert_eq!(empty, RegistrationError::Empty { expected: "label:hash".into() });
    let wrong = registering("label:other").check("label:hash").expect_err("wrong");
    assert_eq!(
        wrong.to_string(),
        "the chaincode registered as \"label:other\", but the package installed here is label:hash"
    );
    let endless = registering(&"x".repeat(10_000)).check("label:hash").expect_err("wrong");
    assert!(endless.to_string().len() < 400);
}

#[test]
fn ready_says_what_its_version_says() {
    let ready = |offer: Option<&ChaincodeAdditionalParams>| {
        let (_, [registered, ready]) = registering("label:hash").accept(offer);
        assert_eq!(registered.encode_to_vec(), [8, 2]);
        hex::encode(ready.encode_to_vec())
    };
    assert_eq!(ready(None), "0804");
    let off = ChaincodeAdditionalParams {
        max_size_write_batch: 1000,
        max_size_get_multiple_keys: 1000,
        ..Default::default()
    };
    assert_eq!(ready(Some(&off)), "08041a0610e80720e807");
}

#[test]
fn a_request_is_answered_once() {
    let (mut ready, ticket) = asked(started());
    let answer = ready.respond(&one(), ticket, Ok::<_, String>(Bytes::from("value"))).expect("open");
    assert_eq!(answer, message(Type::Response, &one(), "value"));
    let again = ready.respond(&one(), ticket, Ok::<_, String>(Bytes::new())).expect_err("answered");
    assert_eq!(again, NotOpen(one()));

    let (mut ready, newer) = asked(ready);
    assert!(ready.respond(&one(), ticket, Err::<Bytes, _>("old")).is_err(), "a ticket of an earlier request");
    let answer = ready.reply::<GetState>(&one(), newer, Err("no such collection")).expect("open");
    assert_eq!(answer.payload, "GET_STATE failed: transaction ID: one: no such collection");
}

#[test]
fn a_typed_reply_is_encoded() {
    let next = QueryStateNext { id: "it".into() };
    let (mut ready, step) = take(started(), message(Type::QueryStateNext, &one(), next.encode_to_vec()));
    let Some(Event::Request { ticket, .. }) = step.event else { panic!("{:?}", step.event) };
    let response = QueryResponse { id: "it".into(), ..Default::default() };
    let answer =
        ready.reply::<QueryStateNext>(&one(), ticket, Ok::<_, String>(response.clone())).expect("open");
    assert_eq!(answer.payload, response.encode_to_vec());
}

#[test]
fn a_second_request_is_dropped_and_reported() {
    let (ready, ticket) = asked(started());
    let (mut ready, step) = take(ready, message(Type::PutState, &one(), ""));
    assert!(step.send.is_none());
    let Some(Event::Dropped { transaction, dropped, open }) = step.event else { panic!("{:?}", step.event) };
    assert_eq!((transaction, dropped, open), (one(), Type::PutState.into(), Type::GetState.into()));
    ready.respond(&one(), ticket, Ok::<_, String>(Bytes::new())).expect("the first is still open");
}

#[test]
fn a_request_without_a_transaction_is_refused() {
    let (ready, _) = registering("label:hash").accept(None);
    let (ready, step) = take(ready, get());
    assert_error(&step, "GET_STATE failed: transaction ID: one: no ledger context");
    assert!(matches!(step.event, Some(Event::Late { .. })));
    let (_, step) = take(ready, message(Type::InvokeChaincode, &one(), ""));
    assert_error(&step, "INVOKE_CHAINCODE failed: transaction ID: one: could not get valid transaction");
}

#[test]
fn an_unreadable_request_is_refused_and_leaves_the_way_free() {
    let (ready, step) = take(started(), message(Type::GetState, &one(), vec![0xff, 0xff]));
    assert_error(
        &step,
        "GET_STATE failed: transaction ID: one: unmarshal failed: proto: cannot parse invalid wire-format data",
    );
    assert!(matches!(step.event, Some(Event::Malformed { error: RequestError::Undecodable { .. }, .. })));
    for (message_type, text) in [
        (Type::PutStateMetadata, "PUT_STATE_METADATA failed: transaction ID: one: panic during execution"),
        (Type::InvokeChaincode, "INVOKE_CHAINCODE failed: transaction ID: one: panic during execution"),
    ] {
        let (_, step) = take(started(), message(message_type, &one(), ""));
        assert_error(&step, text);
        assert!(matches!(step.event, Some(Event::Malformed { error: RequestError::Missing { .. }, .. })));
    }
    asked(ready);
}

#[test]
fn a_transaction_ends_with_its_outcome() {
    let response = Response { status: 500, message: "no".into(), ..Default::default() };
    let (ready, step) = take(started(), message(Type::Completed, &one(), response.encode_to_vec()));
    assert_eq!(finished(step).outcome, Outcome::Completed(response));
    assert_eq!(ready.live(), 0);
    let (_, step) = take(started(), message(Type::Completed, &one(), vec![0xff, 0xff]));
    assert!(matches!(finished(step).outcome, Outcome::Undecodable(_)));
    let (ready, step) = take(started(), message(Type::Error, &one(), "gives up"));
    assert_eq!(finished(step).outcome, Outcome::Failed("gives up".into()));

    let (_, step) = take(ready, message(Type::Completed, &one(), ""));
    assert!(matches!(step.event, Some(Event::Unsolicited { .. })) && step.send.is_none());
}

#[test]
fn a_request_that_outlives_its_transaction_is_still_answered() {
    let (ready, ticket) = asked(started());
    let (mut ready, step) = take(ready, message(Type::Error, &one(), "gives up"));
    assert_eq!(finished(step).open, Some(MessageType::from(Type::GetState)));
    assert_eq!(ready.live(), 1);
    assert_eq!(begin(&mut ready, &one()).expect_err("a request is open"), StartError::Exists(one()));
    assert!(!ready.abandon(&one()), "it has ended already");
    ready.respond(&one(), ticket, Ok::<_, String>(Bytes::new())).expect("open");
    assert_eq!(ready.live(), 0);
    begin(&mut ready, &one()).expect("the way is free");
}

#[test]
fn an_abandoned_transaction_is_late() {
    let mut ready = started();
    assert!(ready.abandon(&one()));
    assert_eq!(ready.live(), 0);
    let (_, step) = take(ready, get());
    assert_error(&step, "GET_STATE failed: transaction ID: one: no ledger context");
}

#[test]
fn transactions_have_one_name_and_a_limit() {
    let mut ready = started();
    let exists = begin(&mut ready, &one()).expect_err("exists");
    assert_eq!(exists.to_string(), "txid: one(channel) exists");
    begin(&mut ready, &TxKey::new("other", "one")).expect("another channel");
    let third = begin(&mut ready, &TxKey::new("channel", "three")).expect_err("too many");
    assert_eq!(third, StartError::TooMany { limit: 2 });
    let endless = TxKey::new("x".repeat(MAX_ID_LENGTH + 1), "");
    assert_eq!(begin(&mut ready, &endless).expect_err("too long"), StartError::IdTooLong { length: 1025 });
}

#[test]
fn what_no_chaincode_sends_ends_the_stream() {
    for number in [0, 1, 2, 3, 4, 5, 12, 13, 26, 99, -1] {
        let unexpected = ChaincodeMessage { r#type: number, ..message(Type::Undefined, &one(), "") };
        let ended = started().receive(unexpected).expect_err("illegal");
        assert!(matches!(*ended.violation, Violation::Unexpected { state: State::Ready, received, .. }
            if received == MessageType(number)));
        assert!(ended.send.is_none());
    }
    let (_, step) = take(started(), keepalive());
    assert!(step.send.is_none() && step.event.is_none());
}
