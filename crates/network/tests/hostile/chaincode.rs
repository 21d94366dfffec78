//! `protos.Chaincode` of the chaincode server, as a peer of the network might misuse it.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::spoilt;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage, Response};

use crate::support::CHANNEL;
use crate::support::forge::encode;
use crate::support::line::{broken, frame};
use crate::support::scripted::message;
use crate::{STAGE, Stage, Tally, is_clear};

pub(crate) const CONNECT: &str = "/protos.Chaincode/Connect";

/// Everything that a peer sends for a transaction.
fn transaction(stage: &Stage) -> [ChaincodeMessage; 3] {
    let proposal = stage.good().sign(&stage.identity).unwrap();
    let input = ChaincodeInput { args: vec!["echo".into(), "fine".into()], ..Default::default() };
    let transaction = ChaincodeMessage {
        txid: proposal.tx_id,
        channel_id: CHANNEL.to_owned(),
        proposal: Some(proposal.signed),
        ..message(Type::Transaction, encode(&input))
    };
    [message(Type::Registered, ""), message(Type::Ready, ""), transaction]
}

#[test]
fn every_part_of_a_peers_transaction_spoilt_in_turn_ends_in_an_answer_or_with_the_stream() {
    STAGE.run(async |stage| {
        let line = stage.chaincode().await;
        let [registered, ready, whole] = transaction(stage).map(|message| encode(&message));
        let (mut tally, mut ended) = (Tally::default(), 0);
        for spoilt in spoilt(&whole) {
            let messages =
                [&registered, &ready, &Bytes::from(spoilt.bytes)].map(|message| frame(message)).concat();
            // It registers first, whatever it is sent.
            let answer = line.send_on(CONNECT, messages, 2).await;
            let first = ChaincodeMessage::decode(answer.messages[0].clone()).unwrap();
            assert_eq!(first.r#type(), Type::Register);
            let what = format!("{} {:?}", spoilt.field, spoilt.spoil);
            let Some(last) = answer.messages.get(1) else {
                is_clear(&what, answer.ended());
                ended += 1;
                continue;
            };
            let last = ChaincodeMessage::decode(last.clone()).unwrap();
            match last.r#type() {
                Type::Completed => {
                    let response = Response::decode(last.payload).unwrap();
                    assert!(response.status == 200 || !response.message.is_empty(), "{what}: {response:?}");
                    tally.taken(&what);
                }
                Type::Error => {
                    assert!(!String::from_utf8_lossy(&last.payload).is_empty(), "{what}: without a text");
                    tally.refused();
                }
                other => panic!("{what}: {other:?}"),
            }
        }
        assert!(tally.taken > 50 && ended > 5, "{} answered, {ended} ended", tally.taken);
        // The proposal is for the contract to read. Without its arguments, and under no channel, it is a transaction still;
        // under no id it is none that the proposal was made for.
        let around: Vec<_> = tally.optional.iter().filter(|part| !part.starts_with("5.")).collect();
        assert_eq!(around, ["3", "3.1", "3.1#1", "5", "7"]);
        assert!(line.is_unbroken());
        stage.works(&stage.peer(0).await).await;
    });
}

#[test]
fn broken_and_half_messages_end_the_stream_of_the_chaincode_alone() {
    STAGE.run(async |stage| {
        let (line, peer) = (stage.chaincode().await, stage.peer(0).await);
        for (what, body) in broken() {
            let answer = line.send(CONNECT, body, usize::MAX).await;
            is_clear(what, answer.ended());
            stage.works(&peer).await;
        }
        assert!(line.is_unbroken());
    });
}
