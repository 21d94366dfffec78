//! `protos.Chaincode` of the chaincode server, as a peer of the network might misuse it.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::spoilt;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage};

use crate::support::CHANNEL;
use crate::support::forge::encode;
use crate::support::line::frame;
use crate::support::scripted::message;
use crate::{STAGE, Stage};

const CONNECT: &str = "/protos.Chaincode/Connect";

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
        let (mut answered, mut ended) = (0, 0);
        for spoilt in spoilt(&whole) {
            let messages =
                [&registered, &ready, &Bytes::from(spoilt.bytes)].map(|message| frame(message)).concat();
            // It registers first, whatever it is sent.
            let answer = line.send_on(CONNECT, messages, 2).await;
            let first = ChaincodeMessage::decode(answer.messages[0].clone()).unwrap();
            assert_eq!(first.r#type(), Type::Register);
            answered += usize::from(answer.messages.len() == 2);
            ended += usize::from(answer.messages.len() == 1);
        }
        assert!(answered > 50 && ended > 5, "{answered} answered, {ended} ended");
        assert!(line.is_unbroken());
        stage.works(&stage.peer(0).await).await;
    });
}

#[test]
fn broken_and_half_messages_end_the_stream_of_the_chaincode_alone() {
    STAGE.run(async |stage| {
        let (line, peer) = (stage.chaincode().await, stage.peer(0).await);
        for (what, body) in crate::frames::broken() {
            let answer = line.send(CONNECT, body, usize::MAX).await;
            assert!(answer.status.is_some(), "{what}: {answer:?}");
            stage.works(&peer).await;
        }
        assert!(line.is_unbroken());
    });
}
