//! Whatever bytes come, each end gives a verdict and goes on or ends; it never panics.

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage};
use selvedge_session::request::AnyRequest;
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

fn plain(r#type: i32) -> ChaincodeMessage {
    ChaincodeMessage { r#type, ..Default::default() }
}
