//! The recorded exchanges with a real orderer, repeated with our own keys.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_orderer::Cutting;
use selvedge_pki::Validity;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, Status};
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::{BroadcastResponse, DeliverResponse as OrdererAnswer};
use selvedge_proto::protos::DeliverResponse;
use selvedge_proto::protos::deliver_response::Type as PeerAnswer;
use serde_json::Value;

use crate::support::{CHANNEL, Call, Served, World, from_to, header, newest, number, sign, sign_payload};

fn bytes(value: &Value) -> Bytes {
    hex::decode(value.as_str().expect("hex")).expect("hex").into()
}

fn list(row: &Value, name: &str) -> Vec<Bytes> {
    row[name].as_array().map(|values| values.iter().map(bytes).collect()).unwrap_or_default()
}

fn label(row: &Value) -> &str {
    row["label"].as_str().expect("a label")
}

/// The envelope that a recorded exchange begins with, by our own members.
fn envelope_of(world: &World, row: &Value) -> Envelope {
    let label = label(row);
    let usual = header(HeaderType::EndorserTransaction, CHANNEL);
    let of_type = |kind| sign(&world.alice, &header(kind, CHANNEL), "content");
    let by = |who| sign(who, &usual, "content");
    match label {
        "accepted" => world.transaction("content"),
        "unsigned envelope" => Envelope { signature: Bytes::new(), ..world.transaction("content") },
        "bad signature" => Envelope { signature: "signature".into(), ..world.transaction("content") },
        "unknown channel" => {
            sign(&world.alice, &header(HeaderType::EndorserTransaction, "nochannel"), "content")
        }
        "creator of org3" => by(&world.org3.member("client")),
        "expired creator" => by(&world.org1.member_until("client", Validity::expired())),
        "peer as creator" => by(&world.org1.member("peer")),
        "empty envelope" => Envelope::default(),
        "undecodable payload" => Envelope { payload: "\u{7f}\u{7f}".into(), signature: "x".into() },
        "payload without header" => {
            let payload = Payload { header: None, data: "x".into() };
            Envelope { payload: payload.encode_to_vec().into(), signature: "x".into() }
        }
        "header type CONFIG" => of_type(HeaderType::Config),
        "header type CONFIG_UPDATE with other content" => {
            let recorded = Envelope::decode(list(row, "requests")[0].clone()).expect("an envelope");
            let content = Payload::decode(recorded.payload).expect("a payload").data;
            sign(&world.alice, &header(HeaderType::ConfigUpdate, CHANNEL), content)
        }
        "header type ORDERER_TRANSACTION" => of_type(HeaderType::OrdererTransaction),
        other => panic!("nothing is known of the recorded exchange {other:?}"),
    }
}

/// The channel that a recorded exchange is about; empty if that cannot be read.
fn channel_of(row: &Value) -> String {
    let envelope = Envelope::decode(list(row, "requests")[0].clone()).unwrap_or_default();
    let payload = Payload::decode(envelope.payload).unwrap_or_default();
    let header = payload.header.unwrap_or_default().channel_header;
    ChannelHeader::decode(header).unwrap_or_default().channel_id
}

#[tokio::test]
async fn golden_broadcasts_are_answered_as_recorded() {
    let world = World::new();
    let served = Served::start(world.joined(Cutting::Adaptive).0).await;
    let mut client = served.client().await;
    let rows = Corpus::get().json_lines("exchanges/broadcast.jsonl");
    assert!(!rows.is_empty());
    for row in &rows {
        let answer = client.broadcast_one(envelope_of(&world, row)).await;
        let recorded = list(row, "responses").into_iter().map(BroadcastResponse::decode);
        let recorded: Vec<_> = recorded.map(|answer| answer.expect("an answer")).collect();
        let [recorded] = recorded.as_slice() else { panic!("one answer to {}", label(row)) };
        let info = recorded.info.replace(&format!("'{}'", channel_of(row)), &format!("'{CHANNEL}'"));
        assert_eq!(answer, (recorded.status(), info), "{}", label(row));
    }
    drop(client);
    served.end().await;
}

/// What a Deliver stream says, whatever the form of its blocks.
#[derive(Debug, PartialEq)]
enum Told {
    Block(u64),
    Header(u64),
    Status(i32),
}

fn told(block: &selvedge_proto::common::Block) -> Told {
    match block.data {
        Some(_) => Told::Block(number(block)),
        None => Told::Header(number(block)),
    }
}

/// What a recorded answer says. Peers' and orderers' answers agree on the fields that orderers use.
fn told_by(recorded: &Bytes) -> Told {
    let answer = DeliverResponse::decode(recorded.clone()).expect("an answer");
    match answer.r#type.expect("a kind of answer") {
        PeerAnswer::Status(status) => Told::Status(status),
        PeerAnswer::Block(block) => told(&block),
        PeerAnswer::FilteredBlock(block) => Told::Block(block.number),
        PeerAnswer::BlockAndPrivateData(both) => told(both.block.as_ref().expect("a block")),
    }
}

/// The seek that a recorded one asks for: the same range, by our own identities and now, and with what its label
/// says is wrong.
fn seek_of(world: &World, label: &str, recorded: Bytes) -> Envelope {
    let recorded = Envelope::decode(recorded).expect("an envelope");
    let range = Payload::decode(recorded.payload.clone()).map(|payload| payload.data).unwrap_or_default();
    let usual = header(HeaderType::DeliverSeekInfo, CHANNEL);
    let good = sign(&world.alice, &usual, range.clone());
    let by = |who| sign(who, &usual, range.clone());
    let with = |header: ChannelHeader| sign(&world.alice, &header, range.clone());
    let (_, what) = label.split_once(": ").expect("a method and what is sought");
    match what {
        "unknown channel" => with(header(HeaderType::DeliverSeekInfo, "nochannel")),
        "org3" | "org3 identity" => by(&world.org3.member("client")),
        "expired identity" => by(&world.org1.member_until("client", Validity::expired())),
        "bad signature" => Envelope { signature: "signature".into(), ..good },
        "no signature" => Envelope { signature: Bytes::new(), ..good },
        "empty envelope" => Envelope::default(),
        "undecodable payload" => sign_payload(&world.alice, "\u{7f}\u{7f}"),
        "payload without header" => {
            sign_payload(&world.alice, Payload { header: None::<Header>, data: range }.encode_to_vec())
        }
        "timestamp an hour old" => {
            let mut header = usual.clone();
            if let Some(time) = &mut header.timestamp {
                time.seconds -= 3600;
            }
            with(header)
        }
        "no timestamp" => with(ChannelHeader { timestamp: None, ..usual.clone() }),
        "TLS certificate hash although TLS has no client certificate" => {
            with(ChannelHeader { tls_cert_hash: Bytes::from_static(&[7; 32]), ..usual.clone() })
        }
        "blocks 1 to 3"
        | "block 1"
        | "newest"
        | "the last blocks with events"
        | "oldest to 2"
        | "next commit (waits)"
        | "beyond the end, fail if not ready"
        | "from the last block on, fail if not ready"
        | "beyond the end (waits)"
        | "stop before start"
        | "no start"
        | "no stop"
        | "empty seek info"
        | "header with signature only"
        | "two seeks on one stream" => good,
        other => panic!("nothing is known of the recorded seek {other:?}"),
    }
}

/// The rules of Deliver are one handler in Fabric, for peers and orderers, so both recordings hold here. The one
/// seek that waits is checked last, since what ends its wait adds a block.
#[tokio::test]
async fn golden_seeks_are_answered_as_recorded() {
    let mut rows = Corpus::get().json_lines("exchanges/deliver.jsonl");
    rows.sort_by_key(|row| label(row).contains("(waits)") && row["responses"].is_null());
    let newest_recorded = rows.iter().find(|row| label(row) == "Deliver: newest").expect("that recording");
    let Told::Block(last) = told_by(&list(newest_recorded, "responses")[0]) else { panic!("no block") };

    let world = World::new();
    let (orderer, mut source) = world.joined(Cutting::Adaptive);
    for block in 1..=last {
        assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
        assert!(source.wait_for(block).await);
    }
    let served = Served::start(orderer).await;
    let mut client = served.client().await;
    for row in &rows {
        let mut call = client.deliver().await;
        for request in list(row, "requests") {
            call.send(seek_of(&world, label(row), request)).await;
        }
        let recorded: Vec<Told> = list(row, "responses").iter().map(told_by).collect();
        if recorded.is_empty() {
            assert!(next_block(&served, &world, &mut call).await > last, "{}", label(row));
            continue;
        }
        let succeeded = recorded.last() == Some(&Told::Status(Status::Success.into()));
        for expected in recorded {
            let answer = call.next().await.and_then(|answer| answer.r#type);
            let told = match answer.unwrap_or_else(|| panic!("{} ended early", label(row))) {
                Answer::Block(block) => told(&block),
                Answer::Status(status) => Told::Status(status),
            };
            assert_eq!(told, expected, "{}", label(row));
        }
        if row["end"] == "eof" {
            if succeeded {
                // After a success it is the reader who ends the stream.
                call.close();
            }
            assert_eq!(call.next().await, None, "{}", label(row));
        } else {
            call.send(world.seek(&from_to(newest(), newest()))).await;
            assert_eq!(number(&call.block().await), last, "{}", label(row));
        }
    }
    drop(client);
    served.end().await;
}

/// Adds blocks until a reader who waits for the next one has received it. The reader may not wait yet when the first
/// is added.
async fn next_block(served: &Served, world: &World, call: &mut Call<OrdererAnswer>) -> u64 {
    let adding = async {
        loop {
            assert_eq!(served.orderer.broadcast(world.transaction("next")).await.status(), Status::Success);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        block = call.block() => number(&block),
        () = adding => unreachable!("it goes on for ever"),
    }
}
