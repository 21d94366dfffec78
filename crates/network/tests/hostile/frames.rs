//! What is no gRPC message at all.

use bytes::Bytes;
use tonic::Code;

use crate::broadcast::BROADCAST;
use crate::chaincode::CONNECT;
use crate::deliver::{DELIVER, FILTERED, ORDERER, WITH_PRIVATE_DATA, delivers};
use crate::endorser::PROCESS_PROPOSAL;
use crate::gateway::{CHAINCODE_EVENTS, COMMIT_STATUS, ENDORSE, EVALUATE, SUBMIT};
use crate::support::line::{Line, broken, frame};
use crate::{STAGE, is_clear};

const OF_PEERS: [&str; 9] = [
    PROCESS_PROPOSAL,
    EVALUATE,
    ENDORSE,
    SUBMIT,
    COMMIT_STATUS,
    CHAINCODE_EVENTS,
    DELIVER,
    FILTERED,
    WITH_PRIVATE_DATA,
];

const OF_ORDERERS: [&str; 2] = [BROADCAST, ORDERER];

async fn all_are_refused(line: &Line, paths: &[&str]) {
    for path in paths {
        for (what, body) in broken() {
            is_clear(&format!("{path}: {what}"), line.send(path, body, 1).await.ended());
        }
    }
}

#[test]
fn broken_and_half_messages_are_refused_by_every_call_of_a_peer() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        all_are_refused(&line, &OF_PEERS).await;
        stage.works(&line).await;
    });
}

#[test]
fn broken_and_half_messages_are_refused_by_every_call_of_the_orderer() {
    STAGE.run(async |stage| {
        let line = stage.orderer().await;
        all_are_refused(&line, &OF_ORDERERS).await;
        assert!(line.is_unbroken());
        stage.commits("after the frames").await;
    });
}

#[test]
fn unary_calls_without_a_message_are_refused_and_streams_without_one_end() {
    STAGE.run(async |stage| {
        let (peer, orderer) = (stage.peer(0).await, stage.orderer().await);
        for path in [PROCESS_PROPOSAL, EVALUATE, ENDORSE, SUBMIT, COMMIT_STATUS, CHAINCODE_EVENTS] {
            is_clear(path, peer.send(path, Vec::new(), 1).await.ended());
        }
        for path in [DELIVER, FILTERED, WITH_PRIVATE_DATA] {
            assert_eq!(peer.send(path, Vec::new(), 1).await.ended().0, Code::Ok, "{path}");
        }
        for path in OF_ORDERERS {
            assert_eq!(orderer.send(path, Vec::new(), 1).await.ended().0, Code::Ok, "{path}");
        }
        stage.works(&peer).await;
    });
}

#[test]
fn unknown_methods_and_services_are_told() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        for path in [
            "/protos.Endorser/Nothing",
            "/gateway.Gateway/",
            "/protos.Nobody/ProcessProposal",
            "/orderer.AtomicBroadcast/Broadcast",
            "/",
        ] {
            assert_eq!(line.call(path, &[Bytes::new()], 1).await.ended().0, Code::Unimplemented, "{path}");
        }
        stage.works(&line).await;
    });
}

/// Calls that are given up in the middle of a message, again and again, leave their places free.
#[test]
fn calls_that_are_given_up_in_the_middle_leave_nothing_behind() {
    /// More often than there are requests on one connection of a chaincode server.
    const TIMES: usize = 100;
    STAGE.run(async |stage| {
        let (peer, orderer, chaincode) =
            (stage.peer(0).await, stage.orderer().await, stage.chaincode().await);
        let half = || frame(&[7; 1000])[..500].to_vec();
        for (line, paths) in [(&peer, &OF_PEERS[..]), (&orderer, &OF_ORDERERS), (&chaincode, &[CONNECT])] {
            for round in 0..TIMES {
                line.give_up(paths[round % paths.len()], half()).await;
            }
            assert!(line.is_unbroken(), "{paths:?}");
        }
        delivers(stage, &orderer, ORDERER).await;
        let registration = chaincode.send_on(CONNECT, frame(b""), 1).await;
        assert!(!registration.messages.is_empty(), "{registration:?}");
        assert!(chaincode.is_unbroken());
        stage.works(&peer).await;
        stage.commits("after what was given up").await;
    });
}
