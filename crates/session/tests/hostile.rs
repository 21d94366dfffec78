//! Whatever bytes come, each end gives a verdict and goes on or ends; it never panics.

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage};
use selvedge_session::request::{
    AnyRequest, GetStateMultiple, MAX_ELEMENTS, QueryStateNext, Request, RequestError,
};
use selvedge_session::{Invocation, MessageType, TxKey, chaincode, host};

fn messages() -> impl Strategy<Value = ChaincodeMessage> {
    let id = prop_oneof![Just(String::new()), Just("known".to_owned()), ".{0,8}"];
    let payload = proptest::collection::vec(any::<u8>(), 0..24);
    (-2i32..30, payload, id.clone(), id).prop_map(|(r#type, payload, txid, channel_id)| ChaincodeMessage {
        r#type,
        payload: payload.into(),
        txid,
        channel_id,
        ..Default::default()
    })
}

/// The payloads of real requests, cut and damaged.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let real = (".{0,6}", ".{0,6}", ".{0,6}").prop_map(|(key, end, collection)| {
        selvedge_proto::protos::GetStateByRange {
            start_key: key,
            end_key: end,
            collection,
            metadata: Bytes::from_static(&[8, 3]),
        }
        .encode_to_vec()
    });
    let damaged =
        (real.clone(), any::<proptest::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        });
    prop_oneof![real, damaged, proptest::collection::vec(any::<u8>(), 0..40)]
}

proptest! {
    #[test]
    fn a_request_that_decodes_survives_its_encoding(number in -2i32..30, payload in payloads()) {
        let message_type = MessageType(number);
        match AnyRequest::decode(message_type, payload.into()) {
            Ok(request) => {
                prop_assert_eq!(MessageType::from(request.message_type()), message_type);
                let again = AnyRequest::decode(message_type, request.encode()).expect("our own encoding");
                prop_assert_eq!(again, request);
            }
            Err(error) => prop_assert!(error.to_string().contains(&message_type.to_string()), "{}", error),
        }
    }

    #[test]
    fn the_chaincode_survives_any_peer(messages in proptest::collection::vec(messages(), 0..40)) {
        let (created, _) = chaincode::Created::new("label:hash", chaincode::Limits::default());
        let mut created = Some(created);
        let mut established = None;
        let mut ready: Option<chaincode::Ready> = None;
        // Two of three runs begin in a later state, so that every state sees damage.
        for message in [2, 4].into_iter().take(messages.len() % 3).map(plain).chain(messages.iter().cloned()) {
            if let Some(state) = created.take() {
                match state.receive(message) {
                    Ok(chaincode::Handshake::Waiting(same, _)) => created = Some(same),
                    Ok(chaincode::Handshake::Done(next)) => established = Some(next),
                    Err(_) => break,
                }
            } else if let Some(state) = established.take() {
                match chaincode::Established::receive(state, message) {
                    Ok(chaincode::Handshake::Waiting(same, _)) => established = Some(same),
                    Ok(chaincode::Handshake::Done(next)) => ready = Some(next),
                    Err(_) => break,
                }
            } else if let Some(state) = ready.take() {
                match state.receive(message) {
                    Ok((same, _)) => ready = Some(same),
                    Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn the_host_survives_any_chaincode(messages in proptest::collection::vec(messages(), 0..40)) {
        let registered = host::Created::new(host::Limits::default()).receive(plain(1));
        let Ok(host::Handshake::Register(registering)) = registered else { panic!("REGISTER was not taken") };
        let (mut ready, _) = registering.accept(None);
        let known = TxKey::new("known", "known");
        ready.start(known, Invocation::Transaction, &ChaincodeInput::default(), None).expect("the first");
        for message in messages {
            let message_type = MessageType(message.r#type);
            let legal = AnyRequest::is_request(message_type) || [6, 7, 18].contains(&message.r#type);
            match ready.receive(message) {
                Ok((next, _)) => {
                    prop_assert!(legal);
                    ready = next;
                }
                Err(_) => {
                    prop_assert!(!legal);
                    break;
                }
            }
        }
    }
}

/// As many empty elements as the limit, or one more, at the beginning of a payload that is damaged behind them: a decoder
/// would make them all before it meets the damage.
fn empty_elements(field: u8, more: usize) -> Bytes {
    let mut payload = [field << 3 | 2, 0].repeat(MAX_ELEMENTS + more);
    payload.push(0xff);
    payload.into()
}

#[test]
fn elements_are_counted_before_they_are_decoded() {
    for (message_type, field) in [(24, 1), (25, 1)] {
        let decode = |more| AnyRequest::decode(MessageType(message_type), empty_elements(field, more));
        assert!(matches!(decode(0), Err(RequestError::Undecodable { .. })), "{message_type}");
        assert!(matches!(decode(1), Err(RequestError::TooMany { .. })), "{message_type}");
    }
    for more in [0, 1] {
        // The arguments of a called chaincode.
        let input = empty_elements(1, more);
        let mut spec = vec![0x1a];
        prost::encoding::encode_varint(input.len() as u64, &mut spec);
        spec.extend_from_slice(&input);
        let error = AnyRequest::decode(MessageType(11), spec.into()).unwrap_err();
        // The field of the input itself counts too.
        assert!(matches!(error, RequestError::TooMany { .. }), "{error}");
    }
    for (shown, refused) in [
        (
            GetStateMultiple::decode_reply(empty_elements(1, 0)).is_err(),
            GetStateMultiple::decode_reply(empty_elements(1, 1)).unwrap_err(),
        ),
        (
            QueryStateNext::decode_reply(empty_elements(1, 0)).is_err(),
            QueryStateNext::decode_reply(empty_elements(1, 1)).unwrap_err(),
        ),
    ] {
        assert!(shown && matches!(refused, RequestError::TooMany { .. }), "{refused}");
    }
}

#[test]
fn the_host_answers_a_request_with_too_many_elements() {
    let registered = host::Created::new(host::Limits::default()).receive(plain(1));
    let Ok(host::Handshake::Register(registering)) = registered else { panic!("REGISTER was not taken") };
    let (mut ready, _) = registering.accept(None);
    let transaction = TxKey::new("known", "known");
    ready.start(transaction, Invocation::Transaction, &ChaincodeInput::default(), None).expect("the first");
    let batch = ChaincodeMessage {
        txid: "known".to_owned(),
        channel_id: "known".to_owned(),
        payload: empty_elements(1, 1),
        ..plain(24)
    };
    let (_, step) = ready.receive(batch).expect("the stream goes on");
    let answer = step.send.expect("an answer");
    assert_eq!(answer.r#type, 7);
    let text = String::from_utf8_lossy(&answer.payload).into_owned();
    let expected =
        "WRITE_BATCH_STATE failed: transaction ID: known: the request has more than 1000000 elements";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_transaction_with_too_many_arguments_is_refused() {
    let (created, _) = chaincode::Created::new("label:hash", chaincode::Limits::default());
    let Ok(chaincode::Handshake::Done(established)) = created.receive(plain(2)) else { panic!("REGISTERED") };
    let Ok(chaincode::Handshake::Done(ready)) = established.receive(plain(4)) else { panic!("READY") };
    let call = ChaincodeMessage { txid: "tx".to_owned(), payload: empty_elements(1, 1), ..plain(5) };
    let (_, step) = ready.receive(call).expect("the stream goes on");
    let text = step.send.expect("an answer").payload;
    assert!(text.starts_with(b"more than 1000000 arguments"), "{text:?}");
}

fn plain(r#type: i32) -> ChaincodeMessage {
    ChaincodeMessage { r#type, ..Default::default() }
}
