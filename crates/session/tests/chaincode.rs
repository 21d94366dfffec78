//! The chaincode's end, message by message.

use bytes::Bytes;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeAdditionalParams, ChaincodeInput, ChaincodeMessage, Response};
use selvedge_session::chaincode::{
    CallError, Created, Established, Event, Handshake, Limits, Offer, Ready, Refusal, Step,
};
use selvedge_session::request::{GetState, GetStateMultiple, WriteBatchState};
use selvedge_session::{Ended, MAX_ID_LENGTH, State, Ticket, TxKey, Violation, keepalive};

fn message(message_type: Type, key: &TxKey, payload: impl Into<Bytes>) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: message_type.into(),
        txid: key.tx_id.clone(),
        channel_id: key.channel_id.clone(),
        payload: payload.into(),
        ..Default::default()
    }
}

fn outside(message_type: Type) -> ChaincodeMessage {
    message(message_type, &TxKey::new("", ""), "")
}

fn established(limits: Limits) -> Established {
    let (created, _) = Created::new("label:hash", limits);
    match created.receive(outside(Type::Registered)) {
        Ok(Handshake::Done(established)) => established,
        other => panic!("{other:?}"),
    }
}

fn ready_after(payload: Vec<u8>, limits: Limits) -> Ready {
    let ready = ChaincodeMessage { payload: payload.into(), ..outside(Type::Ready) };
    match established(limits).receive(ready) {
        Ok(Handshake::Done(ready)) => ready,
        other => panic!("{other:?}"),
    }
}

fn ready() -> Ready {
    ready_after(Vec::new(), Limits { transactions: 2, queued_requests: 2 })
}

fn take(ready: Ready, message: ChaincodeMessage) -> (Ready, Step) {
    ready.receive(message).expect("a legal message")
}

fn started(key: &TxKey) -> Ready {
    let (ready, step) = take(ready(), message(Type::Transaction, key, ""));
    assert!(matches!(step.event, Some(Event::Start(_))));
    ready
}

fn get(key: &str) -> GetState {
    GetState { key: key.into(), ..Default::default() }
}

fn one() -> TxKey {
    TxKey::new("channel", "one")
}

#[track_caller]
fn assert_answer(step: &Step, expected: Ticket, payload: &str) {
    match &step.event {
        Some(Event::Answer { ticket, result: Ok(value), .. }) => {
            assert_eq!((*ticket, value.as_ref()), (expected, payload.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_ended(ended: &Ended, state: State, text: &str) {
    assert!(
        matches!(*ended.violation, Violation::Unexpected { state: found, .. } if found == state),
        "{ended}"
    );
    let sent = ended.send.as_ref().expect("an ERROR");
    assert_eq!(sent.r#type, i32::from(Type::Error));
    assert_eq!(sent.payload, text);
    assert_eq!((sent.txid.as_str(), sent.channel_id.as_str()), ("one", ""));
}

#[test]
fn a_message_out_of_order_is_answered_and_ends_the_stream() {
    let (created, _) = Created::new("label:hash", Limits::default());
    let ended = created.receive(message(Type::Transaction, &one(), "")).expect_err("too early");
    assert_ended(
        &ended,
        State::Created,
        "[one] Chaincode h cannot handle message (TRANSACTION) while in state: created",
    );

    let ended =
        established(Limits::default()).receive(message(Type::Response, &one(), "")).expect_err("early");
    assert_ended(
        &ended,
        State::Established,
        "[one] Chaincode h cannot handle message (RESPONSE) while in state: established",
    );

    let unknown = ChaincodeMessage { r#type: 99, ..message(Type::Ready, &one(), "") };
    let ended = ready().receive(unknown).expect_err("no such type");
    assert_ended(&ended, State::Ready, "[one] Chaincode h cannot handle message (99) while in state: ready");
    assert_eq!(
        ended.to_string(),
        "message 99 of transaction one(channel) came in state ready, which takes TRANSACTION, INIT, RESPONSE, ERROR \
         or KEEPALIVE"
    );
}

#[test]
fn keepalive_is_echoed_in_every_state() {
    let (created, _) = Created::new("label:hash", Limits::default());
    let Ok(Handshake::Waiting(created, echo)) = created.receive(keepalive()) else { panic!("not echoed") };
    assert_eq!(*echo, keepalive());
    let Ok(Handshake::Done(established)) = created.receive(outside(Type::Registered)) else { panic!("lost") };
    let Ok(Handshake::Waiting(_, echo)) = established.receive(keepalive()) else { panic!("not echoed") };
    assert_eq!(*echo, keepalive());
    let (_, step) = take(ready(), keepalive());
    assert_eq!(step.send, Some(keepalive()));
    assert!(step.event.is_none());
}

#[test]
fn what_ready_offers() {
    let offer = |payload| ready_after(payload, Limits::default()).offer();
    assert_eq!(offer(Vec::new()), Offer::default());
    assert_eq!(offer(vec![0xff, 0xff]), Offer::default());
    let mut params = ChaincodeAdditionalParams {
        use_write_batch: true,
        max_size_write_batch: 7,
        use_get_multiple_keys: false,
        max_size_get_multiple_keys: 500,
    };
    assert_eq!(
        offer(params.encode_to_vec()),
        Offer { write_batch: Some(Offer::MIN_SIZE), get_multiple_keys: None }
    );
    params.use_get_multiple_keys = true;
    assert_eq!(
        offer(params.encode_to_vec()),
        Offer { write_batch: Some(Offer::MIN_SIZE), get_multiple_keys: Some(500) }
    );
}

#[test]
fn what_is_not_offered_is_not_sent() {
    let mut ready = started(&one());
    let refused = ready.request(&one(), &WriteBatchState::default()).expect_err("not offered");
    assert_eq!(refused, CallError::NotOffered(Type::WriteBatchState.into()));
    let refused = ready.request(&one(), &GetStateMultiple::default()).expect_err("not offered");
    assert_eq!(refused, CallError::NotOffered(Type::GetStateMultiple.into()));
    let refused = ready.request_raw(&one(), Type::Completed, Bytes::new()).expect_err("no request");
    assert_eq!(refused, CallError::NotARequest(Type::Completed.into()));
}

#[test]
fn requests_wait_for_their_turn() {
    let mut ready = started(&one());
    let first = ready.request(&one(), &get("first")).expect("sent");
    assert!(first.send.is_some());
    let second = ready.request(&one(), &get("second")).expect("queued");
    let third = ready.request(&one(), &get("third")).expect("queued");
    assert!(second.send.is_none() && third.send.is_none());
    let full = ready.request(&one(), &get("fourth")).expect_err("full");
    assert_eq!(full, CallError::QueueFull { transaction: one(), limit: 2 });

    let (ready, step) = take(ready, message(Type::Response, &one(), "1"));
    assert_answer(&step, first.ticket, "1");
    assert_eq!(step.send.expect("the second").payload, get("second").encode_to_vec());
    let (ready, step) = take(ready, message(Type::Error, &one(), "no"));
    assert!(matches!(&step.event, Some(Event::Answer { ticket, result: Err(error), .. })
        if *ticket == second.ticket && error.0 == "no"));
    assert_eq!(step.send.expect("the third").payload, get("third").encode_to_vec());
    let (_, step) = take(ready, message(Type::Response, &one(), "3"));
    assert_answer(&step, third.ticket, "3");
    assert!(step.send.is_none());
}

#[test]
fn a_caller_that_goes_away_leaves_the_next_its_own_reply() {
    let mut ready = started(&one());
    let gone = ready.request(&one(), &get("gone")).expect("sent");
    let also_gone = ready.request(&one(), &get("also gone")).expect("queued");
    let stays = ready.request(&one(), &get("stays")).expect("queued");
    ready.cancel(&one(), gone.ticket);
    ready.cancel(&one(), also_gone.ticket);

    let (ready, step) = take(ready, message(Type::Response, &one(), "for the one that is gone"));
    assert!(step.event.is_none());
    assert_eq!(step.send.expect("the one that stays").payload, get("stays").encode_to_vec());
    let (mut ready, step) = take(ready, message(Type::Response, &one(), "own"));
    assert_answer(&step, stays.ticket, "own");

    // After an abandoned request without successors the next one is sent at once.
    let gone = ready.request(&one(), &get("gone")).expect("sent");
    ready.cancel(&one(), gone.ticket);
    let next = ready.request(&one(), &get("next")).expect("queued");
    assert!(next.send.is_none(), "the peer would drop it");
    let (_, step) = take(ready, message(Type::Response, &one(), ""));
    assert_eq!(step.send.expect("the next").payload, get("next").encode_to_vec());
}

#[test]
fn a_transaction_ends_only_after_its_open_request() {
    let mut ready = started(&one());
    let open = ready.request(&one(), &get("open")).expect("sent");
    let queued = ready.request(&one(), &get("queued")).expect("queued");
    let finished = ready.complete(&one(), &Response::default(), None).expect("running");
    assert!(finished.send.is_none());
    assert_eq!(finished.unanswered, [open.ticket, queued.ticket]);
    let over = CallError::UnknownTransaction(one());
    assert_eq!(ready.request(&one(), &get("late")).expect_err("over"), over);
    assert_eq!(ready.fail(&one(), "twice", None).expect_err("over"), over);
    assert_eq!(ready.live(), 1);

    let (ready, step) = take(ready, message(Type::Response, &one(), "too late"));
    assert!(step.event.is_none());
    assert_eq!(step.send.expect("the end").r#type, i32::from(Type::Completed));
    assert_eq!(ready.live(), 0);
}

#[test]
fn replies_that_nobody_waits_for_are_dropped() {
    let (ready, step) = take(started(&one()), message(Type::Response, &one(), "early"));
    assert!(matches!(step.event, Some(Event::Unsolicited { .. })) && step.send.is_none());
    let (_, step) = take(ready, message(Type::Error, &TxKey::new("other", "one"), "who?"));
    assert!(matches!(step.event, Some(Event::Unsolicited { .. })) && step.send.is_none());
}

#[test]
fn a_transaction_that_cannot_begin_is_answered() {
    let refused = |ready: Ready, key: &TxKey, payload: &'static [u8]| {
        let (ready, step) = take(ready, message(Type::Transaction, key, payload));
        let sent = step.send.expect("an answer");
        assert_eq!((sent.r#type, &sent.txid, &sent.channel_id), (7, &key.tx_id, &key.channel_id));
        let Some(Event::Refused { reason, .. }) = step.event else { panic!("{:?}", step.event) };
        assert_eq!(sent.payload, reason.to_string());
        (ready, reason)
    };
    let (ready, reason) = refused(started(&one()), &one(), b"");
    assert!(matches!(reason, Refusal::Duplicate));
    let (ready, reason) = refused(ready, &TxKey::new("channel", "two"), b"\xff\xff");
    assert!(matches!(reason, Refusal::Undecodable(_)));
    assert_eq!(ready.live(), 1);
    let (ready, _) = take(ready, message(Type::Init, &TxKey::new("other", "one"), ""));
    let (_, reason) = refused(ready, &TxKey::new("channel", "two"), b"");
    assert!(matches!(reason, Refusal::TooMany { limit: 2 }));
}

#[test]
fn the_event_rides_on_the_last_message() {
    let input = ChaincodeInput { args: vec!["f".into()], ..Default::default() };
    let (mut ready, _) = take(ready(), message(Type::Init, &one(), input.encode_to_vec()));
    let event = selvedge_proto::protos::ChaincodeEvent { event_name: "name".into(), ..Default::default() };
    let finished = ready.fail(&one(), "gives up", Some(event.clone())).expect("running");
    let last = finished.send.expect("the end");
    assert_eq!((last.payload.as_ref(), last.chaincode_event), (b"gives up".as_slice(), Some(event)));
    assert_eq!(ready.live(), 0);
}

#[test]
fn an_endless_id_ends_the_stream_without_being_repeated() {
    let key = TxKey::new("channel", "x".repeat(MAX_ID_LENGTH + 1));
    for message_type in [Type::Transaction, Type::Response, Type::Ready] {
        let ended = ready().receive(message(message_type, &key, "")).expect_err("too long");
        assert!(matches!(*ended.violation, Violation::IdTooLong { length: 1025, .. }), "{ended}");
        assert!(ended.send.is_none());
    }
}
