//! Chaincode servers that misbehave behind a whole network: each fails its own transaction with a text that the
//! gateway's client can act on, and the next transaction works.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod spoilt;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_network::NetworkConfig;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeMessage, GetStateMultiple};
use support::scripted::{Scripted, Session, message};
use support::{Place, World, call, within};
use tokio::task::JoinHandle;

/// The most bytes of one message of a chaincode's stream.
const MESSAGE_BYTES: usize = 100 << 20;

const TERMINATED: &str = "error sending: chaincode stream terminated";

/// A network with one chaincode, whose server the test plays.
struct Stage {
    world: World,
    place: Place,
    server: Scripted,
}

impl Stage {
    async fn set() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut NetworkConfig)) -> Self {
        let world = World::with(change).await;
        let place = world.deploy("odd").await;
        let server = Scripted::start(&place).await;
        Self { world, place, server }
    }

    /// A transaction that has arrived on a stream of its own.
    async fn transaction(&mut self) -> (JoinHandle<Result<Bytes, String>>, Session, ChaincodeMessage) {
        let running = self.begin();
        let mut session = self.server.accept_ready(&self.place.package_id).await;
        let transaction = session.receive().await;
        assert_eq!(transaction.r#type(), Type::Transaction);
        (running, session, transaction)
    }

    fn begin(&self) -> JoinHandle<Result<Bytes, String>> {
        self.world.begin(call("odd", "act"))
    }

    /// The next transaction dials anew and works.
    async fn next_works(&mut self) -> Session {
        let (running, session, transaction) = self.transaction().await;
        session.complete(&transaction, "fine").await;
        assert_eq!(within(running).await.unwrap().unwrap(), "fine");
        session
    }

    /// The next transaction works on the stream that is there.
    async fn next_works_on(&self, session: &mut Session) {
        let running = self.begin();
        let transaction = session.receive().await;
        assert_eq!(transaction.r#type(), Type::Transaction);
        session.complete(&transaction, "fine").await;
        assert_eq!(within(running).await.unwrap().unwrap(), "fine");
    }

    async fn end(self) {
        self.server.stop().await;
        self.world.stop().await;
    }
}

#[track_caller]
fn says(error: &str, texts: &[&str]) {
    for text in texts {
        assert!(error.contains(text), "no {text:?} in: {error}");
    }
}

async fn failed(running: JoinHandle<Result<Bytes, String>>) -> String {
    within(running).await.unwrap().unwrap_err()
}

/// The startup time-out is five minutes here and the test's patience two, so that waiting for it would fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_package_id_is_told_at_once_with_both_ids() {
    let mut stage = Stage::set().await;
    let wrong = format!("odd_1:{}", "0".repeat(64));
    let running = stage.begin();
    let mut session = stage.server.accept().await;
    session.register(&wrong).await;
    let error = failed(running).await;
    says(&error, &["chaincode registration failed", &wrong, &stage.place.package_id]);
    session.closed().await;
    stage.next_works().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_no_registration_is_refused() {
    let mut stage = Stage::set().await;
    for first in [Type::Completed, Type::GetState, Type::Registered, Type::Ready, Type::Undefined] {
        let running = stage.begin();
        let session = stage.server.accept().await;
        session.send(message(first, "")).await;
        says(&failed(running).await, &["could not launch chaincode", "chaincode registration failed"]);
    }
    let running = stage.begin();
    drop(stage.server.accept().await);
    says(&failed(running).await, &["could not launch chaincode", "without registering"]);
    stage.next_works().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_that_never_registers_runs_into_the_configured_timeout() {
    let mut stage = Stage::with(|config| config.chaincode.startup = Duration::from_secs(5)).await;
    let running = stage.begin();
    let mut session = stage.server.accept().await;
    says(&failed(running).await, &["timeout expired while starting chaincode", "registration", "5 s"]);
    session.closed().await;
    stage.next_works().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_chaincode_that_breaks_the_protocol_loses_its_stream() {
    let mut stage = Stage::set().await;
    let package_id = stage.place.package_id.clone();
    for fault in ["second registration", "unknown type", "peer's message", "unknown type of a transaction"] {
        let (running, mut session, transaction) = stage.transaction().await;
        match fault {
            "second registration" => session.register(&package_id).await,
            "unknown type" => session.send(ChaincodeMessage { r#type: 99, ..Default::default() }).await,
            "peer's message" => session.reply(&transaction, Type::Ready, "").await,
            _ => session.send(ChaincodeMessage { r#type: 99, ..transaction }).await,
        }
        let error = failed(running).await;
        assert!(error.contains(TERMINATED), "{fault}: {error}");
        session.closed().await;
        stage.next_works().await.end().await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_turn_harm_nobody() {
    let mut stage = Stage::set().await;
    let (running, mut session, transaction) = stage.transaction().await;
    let stranger = ChaincodeMessage { txid: "nobody's".to_owned(), ..transaction.clone() };
    // An end for nobody has no effect; a request of nobody gets an error.
    session.complete(&stranger, "stolen").await;
    session.ask_get(&stranger, "k").await;
    let refused = session.receive().await;
    assert_eq!((refused.r#type(), refused.txid.as_str()), (Type::Error, "nobody's"));
    says(&String::from_utf8_lossy(&refused.payload), &["no ledger context"]);
    // The transaction's id on another channel is another transaction.
    let elsewhere = ChaincodeMessage { channel_id: "otherchannel".to_owned(), ..transaction.clone() };
    session.complete(&elsewhere, "stolen").await;
    session.ask_put(&elsewhere, "k", "stolen".into()).await;
    let refused = session.receive().await;
    assert_eq!((refused.r#type(), refused.channel_id.as_str()), (Type::Error, "otherchannel"));
    assert_eq!(refused.txid, transaction.txid);
    says(&String::from_utf8_lossy(&refused.payload), &["no ledger context"]);
    // The transaction itself goes on.
    session.ask_get(&transaction, "k").await;
    assert_eq!(session.receive().await.r#type(), Type::Response);
    session.complete(&transaction, "fine").await;
    assert_eq!(within(running).await.unwrap().unwrap(), "fine");
    // What comes after the end comes too late.
    session.complete(&transaction, "again").await;
    session.ask_get(&transaction, "k").await;
    assert_eq!(session.receive().await.r#type(), Type::Error);
    stage.next_works_on(&mut session).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_used_fail_their_transaction_only() {
    let mut stage = Stage::set().await;
    let (running, mut session, transaction) = stage.transaction().await;
    session.reply(&transaction, Type::Completed, vec![0xff]).await;
    says(&failed(running).await, &["failed to unmarshal response for transaction"]);

    let running = stage.begin();
    let transaction = session.receive().await;
    session.reply(&transaction, Type::Error, "out of luck").await;
    says(&failed(running).await, &["transaction returned with failure: out of luck"]);

    let running = stage.begin();
    let transaction = session.receive().await;
    session.reply(&transaction, Type::GetState, vec![0xff]).await;
    let refused = session.receive().await;
    assert_eq!(refused.r#type(), Type::Error);
    session.complete(&transaction, "told").await;
    assert_eq!(within(running).await.unwrap().unwrap(), "told");
    stage.next_works_on(&mut session).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_fails_what_runs_on_it() {
    let mut stage = Stage::set().await;
    // Before the transaction has done anything.
    let (running, session, _) = stage.transaction().await;
    drop(session);
    says(&failed(running).await, &[TERMINATED]);
    // While it asks for something.
    let (running, mut session, transaction) = stage.transaction().await;
    session.ask_put(&transaction, "k", "v".into()).await;
    assert_eq!(session.receive().await.r#type(), Type::Response);
    session.ask_get(&transaction, "k").await;
    drop(session);
    says(&failed(running).await, &[TERMINATED]);
    // After it: its result stands.
    let (running, session, transaction) = stage.transaction().await;
    session.complete(&transaction, "in time").await;
    session.end().await;
    assert_eq!(within(running).await.unwrap().unwrap(), "in time");
    stage.next_works().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_transaction_runs_into_the_configured_timeout() {
    let mut stage = Stage::with(|config| config.chaincode.execute = Duration::from_secs(1)).await;
    let (running, mut session, transaction) = stage.transaction().await;
    // The default is 30 seconds, which would be too late.
    let error = tokio::time::timeout(Duration::from_secs(20), failed(running)).await.unwrap();
    says(&error, &["timeout expired while executing transaction"]);
    session.complete(&transaction, "too late").await;
    stage.next_works_on(&mut session).await;
    stage.end().await;
}

/// 100 MiB is the limit of every message on the way.
#[tokio::test(flavor = "multi_thread")]
async fn values_of_100_mib_disturb_nobody() {
    let mut stage = Stage::set().await;
    let large = |less: usize| Bytes::from(vec![7; MESSAGE_BYTES - less]);

    // The message is larger than the peer takes, and gRPC gives up the stream.
    let (running, mut session, transaction) = stage.transaction().await;
    session.ask_put(&transaction, "k", large(0)).await;
    says(&failed(running).await, &[TERMINATED]);
    session.closed().await;

    // The peer takes the message, and the read/write set; the orderer does not take the transaction.
    let user = stage.world.user.clone();
    let submitting = tokio::spawn(async move { user.submit_and_wait(call("odd", "act"), &[]).await });
    let mut session = stage.server.accept_ready(&stage.place.package_id).await;
    let transaction = session.receive().await;
    session.ask_put(&transaction, "k", large(1 << 20)).await;
    assert_eq!(session.receive().await.r#type(), Type::Response);
    session.complete(&transaction, "").await;
    let error = within(submitting).await.unwrap().unwrap_err().to_string();
    says(&error, &["exceeds maximum allowed"]);

    // A response that leaves room for what surrounds it passes all the way.
    let running = stage.begin();
    let transaction = session.receive().await;
    session.complete(&transaction, large(1 << 20)).await;
    let response = within(running).await.unwrap();
    assert_eq!(response.map(|payload| payload.len()), Ok(MESSAGE_BYTES - (1 << 20)));

    stage.next_works_on(&mut session).await;
    stage.end().await;
}

/// The values that one request asks for are too large together: it is refused, and the stream goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_no_message_can_hold_is_refused() {
    let mut stage = Stage::set().await;
    let user = stage.world.user.clone();
    let submitting = tokio::spawn(async move { user.submit_and_wait(call("odd", "act"), &[]).await });
    let mut session = stage.server.accept_ready(&stage.place.package_id).await;
    let transaction = session.receive().await;
    session.ask_put(&transaction, "k", Bytes::from(vec![7; MESSAGE_BYTES / 20])).await;
    assert_eq!(session.receive().await.r#type(), Type::Response);
    session.complete(&transaction, "").await;
    within(submitting).await.unwrap().unwrap();

    let running = stage.begin();
    let transaction = session.receive().await;
    for (keys, answer) in [(21, Type::Error), (19, Type::Response)] {
        let get = GetStateMultiple { keys: vec!["k".to_owned(); keys], ..Default::default() };
        session.reply(&transaction, Type::GetStateMultiple, get.encode_to_vec()).await;
        let reply = session.receive().await;
        assert_eq!(reply.r#type(), answer, "{keys} values");
        if answer == Type::Error {
            let text = String::from_utf8_lossy(&reply.payload).into_owned();
            let expected =
                ["GET_STATE_MULTIPLE failed", "the limit of 104857600 bytes for a message; ask for less"];
            says(&text, &expected);
        }
    }
    session.complete(&transaction, "fine").await;
    assert_eq!(within(running).await.unwrap().unwrap(), "fine");
    stage.next_works_on(&mut session).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_chaincode_is_found_again() {
    let mut stage = Stage::set().await;
    for _ in 0..3 {
        let session = stage.next_works().await;
        stage.server.stop().await;
        session.end().await;
        let error = stage.world.evaluate(call("odd", "act")).await.unwrap_err();
        says(&error, &["could not launch chaincode", &stage.place.server.address, "refused"]);
        stage.server = Scripted::start(&stage.place).await;
    }
    stage.next_works().await;
    stage.end().await;
}
