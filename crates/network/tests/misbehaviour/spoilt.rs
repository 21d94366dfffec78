//! What a chaincode sends, spoilt part by part, and bytes that are no message at all.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::spoilt;
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeMessage, ChaincodeSpec, DelState, GetHistoryForKey,
    GetQueryResult, GetState, GetStateByRange, GetStateMetadata, GetStateMultiple, PutState,
    PutStateMetadata, QueryMetadata, QueryStateClose, QueryStateNext, Response, StateMetadata,
    WriteBatchState, WriteRecord,
};

use crate::support::forge::encode;
use crate::support::line::{broken, frame};
use crate::support::scripted::{Session, completed, message};
use crate::support::within;
use crate::{Stage, TERMINATED, failed, says};

/// A request of each kind, whole.
fn requests() -> Vec<(Type, Vec<u8>)> {
    let (key, collection) = (|| "key".to_owned(), || "collection".to_owned());
    let metadata = || QueryMetadata { page_size: 5, bookmark: "mark".to_owned() }.encode_to_vec().into();
    let entry = StateMetadata { metakey: "VALIDATION_PARAMETER".to_owned(), value: "policy".into() };
    let input = ChaincodeInput { args: vec!["a".into(), "b".into()], ..Default::default() };
    let record = |r#type: Type| WriteRecord {
        key: key(),
        value: "value".into(),
        collection: String::new(),
        metadata: Some(entry.clone()),
        r#type: r#type.into(),
    };
    vec![
        (Type::GetState, GetState { key: key(), collection: collection() }.encode_to_vec()),
        (Type::GetPrivateDataHash, GetState { key: key(), collection: collection() }.encode_to_vec()),
        (Type::GetStateMetadata, GetStateMetadata { key: key(), collection: collection() }.encode_to_vec()),
        (
            Type::GetStateMultiple,
            GetStateMultiple { keys: vec![key(), "other".to_owned()], collection: collection() }
                .encode_to_vec(),
        ),
        (
            Type::GetStateByRange,
            GetStateByRange {
                start_key: "a".to_owned(),
                end_key: "z".to_owned(),
                collection: String::new(),
                metadata: metadata(),
            }
            .encode_to_vec(),
        ),
        (
            Type::GetQueryResult,
            GetQueryResult {
                query: r#"{"selector":{}}"#.to_owned(),
                collection: collection(),
                metadata: metadata(),
            }
            .encode_to_vec(),
        ),
        (Type::GetHistoryForKey, GetHistoryForKey { key: key() }.encode_to_vec()),
        (Type::QueryStateNext, QueryStateNext { id: "iterator".to_owned() }.encode_to_vec()),
        (Type::QueryStateClose, QueryStateClose { id: "iterator".to_owned() }.encode_to_vec()),
        (
            Type::InvokeChaincode,
            ChaincodeSpec {
                chaincode_id: Some(ChaincodeId { name: "ghost".to_owned(), ..Default::default() }),
                input: Some(input),
                ..Default::default()
            }
            .encode_to_vec(),
        ),
        (
            Type::PutState,
            PutState { key: key(), value: "value".into(), collection: collection() }.encode_to_vec(),
        ),
        (Type::DelState, DelState { key: key(), collection: collection() }.encode_to_vec()),
        (Type::PurgePrivateData, DelState { key: key(), collection: collection() }.encode_to_vec()),
        (
            Type::PutStateMetadata,
            PutStateMetadata { key: key(), collection: collection(), metadata: Some(entry.clone()) }
                .encode_to_vec(),
        ),
        (
            Type::WriteBatchState,
            WriteBatchState { rec: vec![record(Type::PutState), record(Type::PutStateMetadata)] }
                .encode_to_vec(),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_request_spoilt_in_turn_is_answered_within_its_transaction() {
    let mut stage = Stage::set().await;
    let (running, mut session, transaction) = stage.transaction().await;
    let (mut served, mut refused) = (0, 0);
    for (kind, whole) in requests() {
        for spoilt in spoilt(&whole) {
            session.reply(&transaction, kind, spoilt.bytes).await;
            let answer = session.receive().await;
            let what = format!("{kind:?} {} {:?}", spoilt.field, spoilt.spoil);
            assert_eq!(answer.txid, transaction.txid, "{what}");
            match answer.r#type() {
                Type::Response => served += 1,
                Type::Error => {
                    says(&String::from_utf8_lossy(&answer.payload), &[kind.as_str_name(), &transaction.txid]);
                    refused += 1;
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    }
    assert!(served > 30 && refused > 100, "{served} served, {refused} refused");
    session.complete(&transaction, "fine").await;
    assert_eq!(within(running).await.unwrap().unwrap(), "fine");
    stage.next_works_on(&mut session).await;
    stage.end().await;
}

/// The end of a transaction, with all that it may have.
fn end(transaction: &ChaincodeMessage) -> Bytes {
    let event = ChaincodeEvent {
        chaincode_id: "odd".to_owned(),
        tx_id: transaction.txid.clone(),
        event_name: "told".to_owned(),
        payload: "something".into(),
    };
    let response = Response { status: 200, message: "done".to_owned(), payload: "ended".into() };
    encode(&ChaincodeMessage {
        timestamp: Some(Timestamp { seconds: 1, nanos: 1 }),
        txid: transaction.txid.clone(),
        channel_id: transaction.channel_id.clone(),
        chaincode_event: Some(event),
        ..message(Type::Completed, encode(&response))
    })
}

/// What became of transactions whose end was spoilt, by what was done to it.
#[derive(Default)]
struct Ends {
    taken: Vec<String>,
    failed: Vec<String>,
    /// The message was about another transaction.
    passed_over: Vec<String>,
    stream_ended: Vec<String>,
}

/// A part of the end of a transaction is spoilt, and a good end comes behind it: either the first ends it, or the peer
/// passes over it, or the stream ends. Then the next transaction takes its turn.
#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_an_end_spoilt_in_turn_concerns_its_transaction_or_its_stream_only() {
    let mut stage = Stage::set().await;
    let (mut open, mut ends) = (None, Ends::default());
    for number in 0.. {
        let running = stage.begin();
        let mut session = match open.take() {
            Some(session) => session,
            None => stage.server.accept_ready(&stage.place.package_id).await,
        };
        let transaction = session.receive().await;
        let good = frame(&encode(&completed(&transaction, "fine")));
        let Some(spoilt) = spoilt(&end(&transaction)).into_iter().nth(number) else {
            session.send_raw(good).await;
            assert_eq!(within(running).await.unwrap().unwrap(), "fine");
            break;
        };
        session.send_raw(frame(&spoilt.bytes)).await;
        session.send_if_open(good).await;
        let what = format!("{} {:?}", spoilt.field, spoilt.spoil);
        match within(running).await.unwrap() {
            Ok(payload) if payload == "fine" => ends.passed_over.push(what),
            Ok(_) => ends.taken.push(what),
            Err(error) if error.contains(TERMINATED) => {
                session.closed().await;
                ends.stream_ended.push(what);
                continue;
            }
            Err(error) => {
                let clear = ["chaincode response", "failed to unmarshal response for transaction"];
                assert!(clear.iter().any(|text| error.contains(text)), "{what}: {error}");
                ends.failed.push(what);
            }
        }
        open = Some(session);
    }
    // The time, the response's text and payload, and the event.
    let optional: Vec<_> = ends.taken.iter().filter_map(|what| what.strip_suffix(" Missing")).collect();
    assert_eq!(optional, ["2", "2.1", "2.2", "3.2", "3.3", "6", "6.1", "6.2", "6.3", "6.4"]);
    let elsewhere = ["4 Missing", "4 Empty", "4 Half", "7 Missing", "7 Empty", "7 Half"];
    assert_eq!(ends.passed_over, elsewhere);
    assert!(ends.failed.iter().any(|what| what == "3 Missing"), "{:?}", ends.failed);
    assert!(ends.stream_ended.iter().any(|what| what == "1 Missing"), "{:?}", ends.stream_ended);
    assert!(ends.failed.len() > 8 && ends.stream_ended.len() > 15);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_a_registration_spoilt_in_turn_is_accepted_or_fails_the_launch() {
    let mut stage = Stage::set().await;
    let name = stage.place.package_id.clone();
    let id = ChaincodeId { path: "path".to_owned(), name, version: "1.0".to_owned() };
    let whole = ChaincodeMessage {
        timestamp: Some(Timestamp { seconds: 1, nanos: 1 }),
        ..message(Type::Register, encode(&id))
    };
    let (mut refused, mut optional) = (0, Vec::new());
    for spoilt in spoilt(&encode(&whole)) {
        let what = format!("{} {:?}", spoilt.field, spoilt.spoil);
        let running = stage.begin();
        let mut session = stage.server.accept().await;
        session.send_raw(frame(&spoilt.bytes)).await;
        let Some(registered) = within(session.next()).await else {
            let error = failed(running).await;
            says(&error, &["could not launch chaincode", &stage.place.package_id]);
            let clear = ["chaincode registration failed: ", "failed to decode Protobuf message"];
            assert!(clear.iter().any(|text| error.contains(text)), "{what}: {error}");
            refused += 1;
            continue;
        };
        assert_eq!(registered.r#type(), Type::Registered, "{what}");
        assert_eq!(session.receive().await.r#type(), Type::Ready, "{what}");
        let transaction = session.receive().await;
        session.complete(&transaction, "fine").await;
        assert_eq!(within(running).await.unwrap().unwrap(), "fine", "{what}");
        session.end().await;
        optional.extend(what.strip_suffix(" Missing").map(str::to_owned));
    }
    // The time, and what an id has beside the name.
    assert_eq!(optional, ["2", "2.1", "2.2", "3.1", "3.3"]);
    assert!(refused > 15, "{refused}");
    stage.next_works().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_and_half_frames_fail_the_launch_or_what_runs_on_the_stream() {
    let mut stage = Stage::set().await;
    for (what, bytes) in broken() {
        // Of a half frame the peer awaits the rest until the stream ends; of all others it ends the stream itself.
        let is_half = matches!(what, "a frame's head in half" | "a message that ends too early");
        let end = async |mut session: Session| match is_half {
            true => session.end().await,
            false => session.closed().await,
        };
        let running = stage.begin();
        let session = stage.server.accept().await;
        session.send_raw(bytes.clone()).await;
        end(session).await;
        let error = failed(running).await;
        says(&error, &["could not launch chaincode", &stage.place.package_id]);

        let (running, session, _) = stage.transaction().await;
        session.send_raw(bytes).await;
        end(session).await;
        let error = failed(running).await;
        assert!(error.contains(TERMINATED), "{what}: {error}");
        stage.next_works().await.end().await;
    }
    stage.end().await;
}
