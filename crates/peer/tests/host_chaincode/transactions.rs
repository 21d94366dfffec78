//! Transactions on the streams to chaincode servers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge_peer::host::ExecuteError;
use selvedge_peer::invocation::{Invocation, TransactionContext};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeInput, ChaincodeMessage, Response};
use selvedge_session::request::AnyRequest;

use crate::host_server::{Certificates, Peer, Server, within};
use crate::support::{Memory, Slow, call, call_with, connected, invocation};

#[tokio::test]
async fn a_transaction_reads_and_writes_over_mutual_tls() {
    let (mut server, peer, package_id) = connected().await;
    let (host, id) = (peer.host.clone(), package_id.clone());
    let running = tokio::spawn(async move {
        let mut memory = Memory::default();
        memory.state.insert("a".into(), Bytes::from_static(b"1"));
        let finished = host.execute(&id, invocation("tx1"), &mut memory).await;
        (memory, finished)
    });

    let mut session = server.accept().await;
    session.register(&package_id).await;
    assert_eq!(session.receive().await.r#type(), Type::Registered);
    let ready = session.receive().await;
    assert_eq!(
        (ready.r#type(), hex::encode(&ready.payload)),
        (Type::Ready, "080110e807180120e807".to_owned())
    );

    let transaction = session.receive().await;
    let expected = invocation("tx1");
    assert_eq!(transaction.r#type(), Type::Transaction);
    assert_eq!((transaction.txid.as_str(), transaction.channel_id.as_str()), ("tx1", "mychannel"));
    assert_eq!(transaction.payload, prost::Message::encode_to_vec(&expected.input));
    assert_eq!(transaction.proposal, Some(expected.proposal));

    let value = session.get(&transaction, "a").await;
    assert_eq!((value.r#type(), value.payload.as_ref()), (Type::Response, b"1".as_slice()));
    assert_eq!((value.txid.as_str(), value.channel_id.as_str()), ("tx1", "mychannel"));
    let put = session.put(&transaction, "b", b"2").await;
    assert_eq!((put.r#type(), put.payload.len()), (Type::Response, 0));
    session.reply(&transaction, Type::DelState, Bytes::new()).await;
    let refused = session.receive().await;
    assert_eq!(refused.r#type(), Type::Error);
    let text = "DEL_STATE failed: transaction ID: tx1: DelState is not for this test";
    assert_eq!(refused.payload, text);

    let response = Response { status: 500, message: "no".into(), payload: Bytes::from_static(b"p") };
    let event = ChaincodeEvent {
        chaincode_id: "forged".into(),
        tx_id: "forged".into(),
        event_name: "e".into(),
        payload: Bytes::from_static(b"x"),
    };
    let completed = ChaincodeMessage {
        r#type: Type::Completed.into(),
        payload: prost::Message::encode_to_vec(&response).into(),
        txid: "tx1".into(),
        channel_id: "mychannel".into(),
        chaincode_event: Some(event),
        ..Default::default()
    };
    session.send(completed.clone()).await;
    let (memory, finished) = within(running).await.unwrap();
    let finished = finished.unwrap();
    assert_eq!(finished.response, response);
    assert_eq!(finished.message, completed);
    let event = finished.event.unwrap();
    assert_eq!((event.tx_id.as_str(), event.event_name.as_str()), ("tx1", "e"));
    assert_eq!(memory.state.get("b").map(Bytes::as_ref), Some(b"2".as_slice()));
    assert_eq!(memory.requests, 3);
}

#[tokio::test]
async fn an_initialisation_is_sent_as_init() {
    let (mut server, peer, package_id) = connected().await;
    let (host, id) = (peer.host.clone(), package_id.clone());
    let running = tokio::spawn(async move {
        let init = Invocation { is_init: true, ..invocation("tx") };
        host.execute(&id, init, &mut Memory::default()).await
    });
    let mut session = server.accept_ready(&package_id).await;
    let message = session.receive().await;
    assert_eq!(message.r#type(), Type::Init);
    session.complete(&message, 200, b"").await;
    within(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn transactions_in_flight_fail_when_the_stream_ends_and_the_next_call_dials_anew() {
    let (mut server, peer, package_id) = connected().await;
    let idle = call(&peer, &package_id, "idle");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    let slow = Slow::default();
    let waiting = call_with(&peer, &package_id, "waiting", slow.clone());
    let transaction = session.receive().await;
    session.ask_get(&transaction, "k").await;
    within(slow.asked.notified()).await;
    drop(session);
    for running in [idle, waiting] {
        let error = within(running).await.unwrap().unwrap_err();
        assert!(matches!(error, ExecuteError::Terminated));
        let text = error.for_client("tx");
        assert_eq!(text, "failed to execute transaction tx: error sending: chaincode stream terminated");
    }
    for round in 2..4 {
        let running = call(&peer, &package_id, "again");
        let mut session = server.accept_ready(&package_id).await;
        let transaction = session.receive().await;
        session.complete(&transaction, 200, b"back").await;
        assert_eq!(within(running).await.unwrap().unwrap().response.payload, "back");
        assert_eq!(server.connections(), round);
        let running = call(&peer, &package_id, "in flight");
        session.receive().await;
        drop(session);
        assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    }
}

#[tokio::test]
async fn a_message_that_breaks_the_protocol_ends_the_stream() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    session.register(&package_id).await;
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    session.closed().await;
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_given_up_and_the_stream_goes_on() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.execute_timeout = Duration::from_secs(1));
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    let error = before_the_default(running).await.unwrap().unwrap_err();
    let text = "failed to execute transaction tx: error sending: timeout expired while executing transaction";
    assert_eq!(error.for_client("tx"), text);

    session.complete(&transaction, 200, b"too late").await;
    let late = session.get(&transaction, "k").await;
    assert_eq!(late.r#type(), Type::Error);
    assert_eq!(late.payload, "GET_STATE failed: transaction ID: tx: no ledger context");

    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_request_that_is_open_when_time_runs_out_is_answered() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.execute_timeout = Duration::from_secs(1));
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let running = call_with(&peer, &package_id, "tx", Slow::default());
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    let answer = session.get(&transaction, "k").await;
    assert_eq!(answer.r#type(), Type::Error);
    assert_eq!(answer.payload, "GET_STATE failed: transaction ID: tx: no ledger context");
    assert!(matches!(before_the_default(running).await.unwrap().unwrap_err(), ExecuteError::Timeout));
}

/// Waits for less than the 30 seconds after which a transaction is given up if nothing is configured.
async fn before_the_default<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("the time-out is the configured one")
}

#[tokio::test]
async fn a_dropped_call_gives_its_transaction_up() {
    let (mut server, peer, package_id) = connected().await;
    let slow = Slow::default();
    let running = call_with(&peer, &package_id, "tx", slow.clone());
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    session.ask_get(&transaction, "k").await;
    within(slow.asked.notified()).await;
    running.abort();
    assert!(within(running).await.unwrap_err().is_cancelled());
    let answer = session.receive().await;
    assert_eq!(answer.payload, "GET_STATE failed: transaction ID: tx: no ledger context");
    session.complete(&transaction, 200, b"not wanted").await;
    let late = session.get(&transaction, "k").await;
    assert_eq!(late.payload, "GET_STATE failed: transaction ID: tx: no ledger context");
    let running = call(&peer, &package_id, "tx");
    let transaction = session.receive().await;
    session.complete(&transaction, 200, b"mine").await;
    assert_eq!(within(running).await.unwrap().unwrap().response.payload, "mine");
}

#[tokio::test]
async fn a_transaction_may_end_while_its_request_is_open() {
    let (mut server, peer, package_id) = connected().await;
    let slow = Slow::default();
    let running = call_with(&peer, &package_id, "tx", slow.clone());
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    session.ask_get(&transaction, "k").await;
    within(slow.asked.notified()).await;
    session.complete(&transaction, 200, b"done").await;
    assert_eq!(within(running).await.unwrap().unwrap().response.payload, "done");
    assert_eq!(session.receive().await.payload, "GET_STATE failed: transaction ID: tx: no ledger context");
}

/// Fabric's peer drops it too, without an answer; the transaction and its stream go on.
#[tokio::test]
async fn a_second_request_while_one_is_open_is_dropped() {
    let (mut server, peer, package_id) = connected().await;
    let slow = Slow::default();
    let running = call_with(&peer, &package_id, "tx", slow.clone());
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    session.ask_get(&transaction, "first").await;
    within(slow.asked.notified()).await;
    session.ask_get(&transaction, "second").await;
    // Once this one is answered, the second has been read.
    let stranger = ChaincodeMessage { txid: "nobody's".into(), ..transaction.clone() };
    assert_eq!(session.get(&stranger, "k").await.txid, "nobody's");
    slow.go_on.notify_one();
    assert_eq!(session.receive().await.payload, "late");
    // The second gets no answer, then or later: what comes next answers what is asked next.
    assert_eq!(session.get(&stranger, "k").await.txid, "nobody's");
    slow.go_on.notify_one();
    let third = session.get(&transaction, "third").await;
    assert_eq!((third.txid.as_str(), third.payload.as_ref()), ("tx", b"late".as_slice()));
    assert_eq!(session.get(&stranger, "k").await.txid, "nobody's");
    session.complete(&transaction, 200, b"done").await;
    assert_eq!(within(running).await.unwrap().unwrap().response.payload, "done");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_slow_transaction_delays_no_other() {
    let (mut server, peer, package_id) = connected().await;
    let slow = Slow::default();
    let waiting = call_with(&peer, &package_id, "slow", slow.clone());
    let mut session = server.accept_ready(&package_id).await;
    let first = session.receive().await;
    session.ask_get(&first, "k").await;
    within(slow.asked.notified()).await;
    for n in 0..50 {
        let quick = call(&peer, &package_id, &format!("quick{n}"));
        let transaction = session.receive().await;
        assert_eq!(session.get(&transaction, "k").await.r#type(), Type::Response);
        session.complete(&transaction, 200, b"").await;
        within(quick).await.unwrap().unwrap();
    }
    slow.go_on.notify_one();
    assert_eq!(session.receive().await.payload, "late");
    session.complete(&first, 200, b"").await;
    within(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_chaincode_that_does_not_read_holds_up_only_itself() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.limits.queued_messages = 2);
    let connection = certificates.connection(server.address);
    let (deaf, other) =
        (peer.install("deaf_1", &connection).await, peer.install("other_1", &connection).await);
    let big = Invocation {
        input: ChaincodeInput { args: vec![Bytes::from(vec![0; 1 << 20])], ..Default::default() },
        ..invocation("")
    };
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let (host, id) = (peer.host.clone(), deaf.clone());
            let invocation = Invocation { tx_id: format!("tx{n}"), ..big.clone() };
            tokio::spawn(async move { host.execute(&id, invocation, &mut Memory::default()).await })
        })
        .collect();
    let session = server.accept_ready(&deaf).await;
    let quick = call(&peer, &other, "tx");
    server.accept_ready(&other).await.answer_all(b"ok");
    within(quick).await.unwrap().unwrap();
    assert!(calls.iter().all(|call| !call.is_finished()));
    drop(session);
    for call in calls {
        assert!(matches!(within(call).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    }
}

#[tokio::test]
async fn a_chaincode_that_asks_but_does_not_read_is_cut_off() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| {
        config.limits.transactions = 1;
        config.limits.queued_messages = 2;
    });
    let package_id = peer.install("deaf_1", &certificates.connection(server.address)).await;
    let running = call(&peer, &package_id, "tx");
    let session = server.accept_ready(&package_id).await;
    // Requests of a transaction that does not run are answered by the stream itself, with the name they carry.
    let unknown =
        ChaincodeMessage { r#type: Type::GetState.into(), txid: "x".repeat(1000), ..Default::default() };
    session.send_until_ended(unknown).await;
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
}

#[tokio::test]
async fn errors_of_the_chaincode_are_reported_in_fabrics_words() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    session.reply(&transaction, Type::Error, "out of luck").await;
    let error = within(running).await.unwrap().unwrap_err();
    assert_eq!(error.for_client("tx"), "transaction returned with failure: out of luck");
    let message = error.into_message().unwrap();
    assert_eq!((message.r#type(), message.payload.as_ref()), (Type::Error, b"out of luck".as_slice()));

    let running = call(&peer, &package_id, "tx");
    let transaction = session.receive().await;
    session.reply(&transaction, Type::Completed, vec![0xff]).await;
    let text = within(running).await.unwrap().unwrap_err().for_client("tx");
    assert!(text.starts_with("failed to unmarshal response for transaction tx: "), "{text}");
}

#[tokio::test]
async fn one_name_cannot_run_twice_and_the_number_is_bounded() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.limits.transactions = 2);
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let first = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    let text = within(call(&peer, &package_id, "tx")).await.unwrap().unwrap_err().to_string();
    assert_eq!(text, "error sending: txid: tx(mychannel) exists");
    let second = call(&peer, &package_id, "tx2");
    session.receive().await;
    let text = within(call(&peer, &package_id, "tx3")).await.unwrap().unwrap_err().to_string();
    assert!(text.contains("which is the limit"), "{text}");
    second.abort();
    assert!(within(second).await.unwrap_err().is_cancelled());
    session.complete(&transaction, 200, b"").await;
    within(first).await.unwrap().unwrap();
}

#[tokio::test]
async fn large_messages_pass_and_larger_ones_are_refused_alone() {
    struct Large(usize);
    impl TransactionContext for Large {
        fn handle(&mut self, _: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
            let size = self.0;
            async move { Ok(Bytes::from(vec![7; size])) }.boxed()
        }
    }
    let (mut server, peer, package_id) = connected().await;
    let running = call_with(&peer, &package_id, "tx", Large(20 << 20));
    let mut session = server.accept_ready(&package_id).await;
    let transaction = session.receive().await;
    let value = session.get(&transaction, "k").await;
    assert_eq!((value.r#type(), value.payload.len()), (Type::Response, 20 << 20));
    session.complete(&transaction, 200, &value.payload).await;
    assert_eq!(within(running).await.unwrap().unwrap().response.payload.len(), 20 << 20);

    let running = call_with(&peer, &package_id, "tx", Large(100 << 20));
    let transaction = session.receive().await;
    let refused = session.get(&transaction, "k").await;
    assert_eq!(refused.r#type(), Type::Error);
    session.complete(&transaction, 200, b"").await;
    within(running).await.unwrap().unwrap();

    let input = ChaincodeInput { args: vec![Bytes::from(vec![0; 100 << 20])], ..Default::default() };
    let huge = Invocation { input, ..invocation("tx") };
    let error = peer.host.execute(&package_id, huge, &mut Memory::default()).await.unwrap_err();
    assert!(matches!(error, ExecuteError::TooLarge { .. }), "{error}");
}
