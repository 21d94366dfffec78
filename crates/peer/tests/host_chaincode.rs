//! The chaincode host against real chaincode servers, over mutual TLS unless the test says otherwise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod host_server;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use host_server::{Certificates, Peer, Server, within};
use selvedge_package::Connection;
use selvedge_peer::host::{ExecuteError, Finished, LaunchError};
use selvedge_peer::invocation::{Invocation, TransactionContext};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeInput, ChaincodeMessage, Response, SignedProposal};
use selvedge_session::request::AnyRequest;
use selvedge_tls::ServerSecurity;
use tokio::sync::{Notify, oneshot};

/// State that is read and written at once; enough to see what crosses the stream.
#[derive(Default)]
struct Memory {
    state: BTreeMap<String, Bytes>,
    requests: usize,
}

impl TransactionContext for Memory {
    fn handle(&mut self, request: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
        self.requests += 1;
        let result = match request {
            AnyRequest::GetState(get) => Ok(self.state.get(&get.key).cloned().unwrap_or_default()),
            AnyRequest::PutState(put) => {
                self.state.insert(put.key, put.value);
                Ok(Bytes::new())
            }
            other => Err(format!("{:?} is not for this test", other.message_type())),
        };
        async move { result }.boxed()
    }
}

/// Answers only when it is told to; tells when it was asked, and by being dropped when it was given up.
#[derive(Clone, Default)]
struct Slow {
    asked: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl TransactionContext for Slow {
    fn handle(&mut self, _: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
        async {
            self.asked.notify_one();
            self.go_on.notified().await;
            Ok(Bytes::from_static(b"late"))
        }
        .boxed()
    }
}

fn invocation(tx_id: &str) -> Invocation {
    Invocation {
        channel_id: "mychannel".into(),
        tx_id: tx_id.into(),
        input: ChaincodeInput { args: vec![Bytes::from_static(b"go")], ..Default::default() },
        proposal: SignedProposal {
            proposal_bytes: Bytes::from_static(b"proposal"),
            signature: Bytes::from_static(b"signature"),
        },
        is_init: false,
    }
}

/// A call in a task of its own.
fn call(
    peer: &Peer,
    package_id: &str,
    tx_id: &str,
) -> tokio::task::JoinHandle<Result<Finished, ExecuteError>> {
    call_with(peer, package_id, tx_id, Memory::default())
}

fn call_with(
    peer: &Peer,
    package_id: &str,
    tx_id: &str,
    mut context: impl TransactionContext + 'static,
) -> tokio::task::JoinHandle<Result<Finished, ExecuteError>> {
    let (host, package_id, invocation) = (peer.host.clone(), package_id.to_owned(), invocation(tx_id));
    tokio::spawn(async move { host.execute(&package_id, invocation, &mut context).await })
}

/// A server, a peer with its package, and the package's id.
async fn connected() -> (Server, Peer, String) {
    let certificates = Certificates::new();
    let server = Server::start(certificates.mutual()).await;
    let peer = Peer::new();
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    (server, peer, package_id)
}

/// The error of a call, which is also checked to be the one a probe finds.
async fn launch_error(peer: &Peer, package_id: &str) -> (LaunchError, String) {
    let error = within(call(peer, package_id, "tx")).await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("could not launch chaincode {package_id}: ")), "{text}");
    let ExecuteError::Launch { source, .. } = error else { panic!("{text}") };
    (Arc::into_inner(source).unwrap(), text)
}

/// The verdict of a failed dial, whose error text is Fabric's up to the reason.
async fn dial_verdict(peer: &Peer, package_id: &str, address: impl std::fmt::Display) -> String {
    let (error, text) = launch_error(peer, package_id).await;
    let fabrics = format!(
        "could not launch chaincode {package_id}: connection to {package_id} failed: error cannot create \
         connection for {package_id}: error creating grpc connection to {address}: failed to create new \
         connection: cannot connect to {address}: "
    );
    assert!(text.starts_with(&fabrics), "{text}");
    match error {
        LaunchError::Dial { source, .. } => source.verdict.name().to_owned(),
        other => panic!("{other}"),
    }
}

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
async fn without_an_offer_ready_is_empty() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.offer = None);
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let (probe, ready) = tokio::join!(peer.host.probe(&package_id), async {
        let mut session = server.accept().await;
        session.register(&package_id).await;
        session.receive().await;
        session.receive().await
    });
    probe.unwrap();
    assert_eq!((ready.r#type(), ready.payload.len()), (Type::Ready, 0));
}

#[tokio::test]
async fn concurrent_first_calls_join_one_connection() {
    let (mut server, peer, package_id) = connected().await;
    let calls: Vec<_> = (0..20).map(|n| call(&peer, &package_id, &format!("tx{n}"))).collect();
    server.accept_ready(&package_id).await.answer_all(b"ok");
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap().response.payload, "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_wrong_id_is_refused_at_once_and_names_both() {
    let (mut server, peer, package_id) = connected().await;
    for wrong in ["basic_1:wrong", ""] {
        let running = call(&peer, &package_id, "tx");
        let mut session = server.accept().await;
        session.register(wrong).await;
        let text = within(running).await.unwrap().unwrap_err().for_client("tx");
        let start = format!(
            "failed to execute transaction tx: could not launch chaincode {package_id}: chaincode registration failed: "
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains(wrong) && text[start.len()..].contains(&package_id), "{text}");
        session.closed().await;
    }
    // A failed launch is forgotten.
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_first_message_that_is_no_registration_is_refused() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let session = server.accept().await;
    session.ask_get(&ChaincodeMessage::default(), "k").await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.contains("chaincode registration failed: ") && text.contains("REGISTER"), "{text}");
}

#[tokio::test]
async fn a_stream_that_ends_before_the_registration_fails_the_launch() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    drop(server.accept().await);
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.contains(&format!("connection to {package_id} terminated: ")), "{text}");

    let running = call(&peer, &package_id, "tx");
    server.accept().await.fail(tonic::Status::internal("out of order\n")).await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.ends_with(" terminated: Internal: out of order\\n"), "{text}");
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
async fn a_killed_server_is_found_again_when_it_is_back() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let address = server.address;
    let peer = Peer::new();
    let package_id = peer.install("basic_1", &certificates.connection(address)).await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    server.stop().await;
    drop(session);
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    assert_eq!(dial_verdict(&peer, &package_id, address).await, "refused");
    let mut server = Server::start_at(address, certificates.mutual()).await;
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
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
    let error = within(running).await.unwrap().unwrap_err();
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
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Timeout));
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

/// Java's chaincode server announces the end of every connection after 5 s and lets its streams live on.
#[tokio::test]
async fn a_stream_outlives_the_announced_end_of_its_connection() {
    let certificates = Certificates::new();
    let age = Duration::from_millis(50);
    let mut server = Server::start_with_connection_age(certificates.mutual(), age).await;
    let peer = Peer::new();
    let package_id = peer.install("java_1", &certificates.connection(server.address)).await;
    let first = call(&peer, &package_id, "first");
    let session = server.accept_ready(&package_id).await;
    // Long enough for the announcement to come; if it did not, this test would show less, but not fail.
    tokio::time::sleep(10 * age).await;
    session.answer_all(b"alive");
    within(first).await.unwrap().unwrap();
    let second = call(&peer, &package_id, "second");
    assert_eq!(within(second).await.unwrap().unwrap().response.payload, "alive");
    assert_eq!(server.connections(), 1);
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

#[tokio::test]
async fn every_reason_of_a_failed_connection_is_told() {
    let certificates = Certificates::new();
    let stranger = Authority::new(&AuthoritySpec::default()).unwrap();
    let stranger_leaf = stranger.issue(&LeafSpec::default()).unwrap();
    let server = Server::start(certificates.mutual()).await;
    let plaintext = Server::start(ServerSecurity::Plaintext).await;
    let good = certificates.connection(server.address);
    let cases = [
        ("client-certificate-required", Connection { client_auth_required: false, ..good.clone() }),
        (
            "client-certificate-refused",
            Connection {
                client_cert: stranger_leaf.certificate_pem.clone(),
                client_key: stranger_leaf.key_pem.as_str().to_owned(),
                ..good.clone()
            },
        ),
        ("unknown-issuer", Connection { root_cert: stranger.certificate_pem().to_owned(), ..good.clone() }),
        ("name-mismatch", Connection { domain: "other.example.com".into(), ..good.clone() }),
        ("server-is-plaintext", certificates.connection(plaintext.address)),
        ("server-is-tls", Connection { tls_required: false, ..good.clone() }),
    ];
    let peer = Peer::new();
    for (index, (expected, connection)) in cases.into_iter().enumerate() {
        let package_id = peer.install(&format!("case{index}"), &connection).await;
        assert_eq!(dial_verdict(&peer, &package_id, &connection.address).await, expected);
    }
}

#[tokio::test]
async fn plaintext_works_when_it_is_asked_for() {
    let mut server = Server::start(ServerSecurity::Plaintext).await;
    let peer = Peer::new();
    let address = server.address.to_string();
    let connection = Connection { address, ..Connection::default() };
    let package_id = peer.install("basic_1", &connection).await;
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn certificates_and_addresses_that_cannot_be_used_are_told_before_dialling() {
    let certificates = Certificates::new();
    let peer = Peer::new();
    let good = certificates.connection(([127, 0, 0, 1], 1).into());
    let bad_root = Connection { root_cert: "no PEM".into(), ..good.clone() };
    let package_id = peer.install("root", &bad_root).await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::Security { .. }), "{error}");
    let package_id = peer.install("address", &Connection { address: "nowhere".into(), ..good }).await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::Security { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_never_registers_runs_into_the_startup_timeout() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.startup_timeout = Duration::ZERO);
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let running = call(&peer, &package_id, "tx");
    let _session = server.accept().await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    let expected = format!("timeout expired while starting chaincode {package_id} for transaction: ");
    assert!(text.contains(&expected), "{text}");
}

#[tokio::test]
async fn a_warm_chaincode_is_connected_without_calls_and_again_after_its_stream_ends() {
    let (mut server, peer, package_id) = connected().await;
    peer.host.warm("unknown:00");
    peer.host.warm(&package_id);
    peer.host.warm(&package_id);
    drop(server.accept_ready(&package_id).await);
    let session = server.accept_ready(&package_id).await;
    session.answer_all(b"warm");
    let running = call(&peer, &package_id, "tx");
    assert_eq!(within(running).await.unwrap().unwrap().response.payload, "warm");
    assert_eq!(server.connections(), 2);
    within(peer.host.shutdown()).await;
}

#[tokio::test]
async fn a_shut_down_host_ends_its_streams_and_takes_no_calls() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    within(peer.host.shutdown()).await;
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    session.closed().await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::ShuttingDown));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_launch_for_others() {
    let (mut server, peer, package_id) = connected().await;
    let first = call(&peer, &package_id, "first");
    let session = server.accept().await;
    let second = call(&peer, &package_id, "second");
    first.abort();
    assert!(within(first).await.unwrap_err().is_cancelled());
    let (ready, told) = oneshot::channel();
    let id = package_id.clone();
    tokio::spawn(async move {
        let mut session = session;
        session.register(&id).await;
        session.receive().await;
        session.receive().await;
        session.answer_all(b"ok");
        let _ = ready.send(());
    });
    within(told).await.unwrap();
    assert_eq!(within(second).await.unwrap().unwrap().response.payload, "ok");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_unknown_package_is_told() {
    let peer = Peer::new();
    let error = peer.host.probe("none:00").await.unwrap_err();
    assert!(error.to_string().ends_with("chaincode install package 'none:00' not found"), "{error}");
}
