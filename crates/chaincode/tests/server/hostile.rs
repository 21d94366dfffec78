//! A peer that breaks the protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use selvedge::{Context, Response};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_session::chaincode::Limits;
use tonic::Code;

use crate::peer::{self, Peer, accept, input, message};
use crate::support::{MESSAGE_BYTES, Running, Stream, contract};

fn getting() -> impl selvedge::Chaincode {
    contract(|ctx: Context| async move {
        match ctx.get("a").await {
            Ok(value) => Response::success(value.unwrap_or_default()),
            Err(error) => Response::error(error.to_string()),
        }
    })
}

/// The stream ends with an ERROR that says why, then with a status; the server lives.
async fn assert_broken(server: &Running, mut stream: Stream) {
    let error = stream.expect(Type::Error).await;
    let text = String::from_utf8(error.payload.to_vec()).expect("text");
    assert!(text.contains("cannot handle message"), "{text}");
    let status = stream.next().await.expect_err("the end of the stream");
    assert_eq!(status.code(), Code::Unknown);
    assert!(status.message().contains("the peer broke the protocol"), "{status}");
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.status, 200);
}

#[tokio::test]
async fn messages_out_of_order_end_the_stream() {
    let server = Running::start(getting()).await;
    let mut stream = server.connect().await;
    stream.expect(Type::Register).await;
    stream.send(message(Type::Ready, "", "")).await;
    assert_broken(&server, stream).await;

    let mut stream = server.connect().await;
    stream.expect(Type::Register).await;
    stream.send(message(Type::Registered, "", "")).await;
    stream.send(message(Type::Transaction, "t1", "")).await;
    assert_broken(&server, stream).await;

    for wrong in [Type::Register as i32, Type::GetState as i32, Type::Completed as i32, 12, -1, 1000] {
        let mut stream = server.connect().await;
        accept(&mut stream, None).await;
        stream.send(ChaincodeMessage { r#type: wrong, ..message(Type::Keepalive, "t1", "") }).await;
        assert_broken(&server, stream).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn replies_for_nobody_and_inputs_that_are_none_are_survived() {
    let server = Running::start(getting()).await;
    let mut stream = server.connect().await;
    accept(&mut stream, None).await;
    stream.send(message(Type::Response, "nobody", "x")).await;
    stream.send(message(Type::Error, "nobody", "x")).await;
    stream.send(message(Type::Transaction, "bad", "\x0a\x7f")).await;
    let refused = stream.expect(Type::Error).await;
    assert!(String::from_utf8_lossy(&refused.payload).contains("failed to unmarshal chaincode input"));

    let transaction = message(Type::Transaction, "t1", input(&["x"]).encode_to_vec());
    stream.send(transaction.clone()).await;
    stream.expect(Type::GetState).await;
    // The same one again, while it runs.
    stream.send(transaction).await;
    let refused = stream.expect(Type::Error).await;
    assert!(String::from_utf8_lossy(&refused.payload).contains("still running"));
    server.stop().await;
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_fails_its_transaction_only() {
    let server = Running::start(contract(|ctx: Context| async move {
        match ctx.range("", "").await {
            Ok(_) => Response::success(""),
            Err(error) => Response::error(error.to_string()),
        }
    }))
    .await;
    let mut peer = peer::Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Ok("\x0a\x7f".into())).await;
    let refused = peer::response(peer.finished().await);
    assert!(refused.message.contains("the peer's answer cannot be used"), "{}", refused.message);
    server.stop().await;
}

#[tokio::test]
async fn transactions_over_the_limit_are_refused() {
    let limits = Limits { transactions: 2, ..Limits::default() };
    let server = Running::start_with(getting(), |server| server.session_limits(limits)).await;
    let mut peer = peer::Puppet::new(server.connect().await).await;
    for tx_id in ["t1", "t2"] {
        peer.start(tx_id, &["x"]).await;
    }
    let requests = [peer.request().await, peer.request().await];
    peer.start("t3", &["x"]).await;
    let refused = peer::failure(peer.finished().await);
    assert!(refused.contains("which is the limit"), "{refused}");
    for (transaction, ticket, _) in requests {
        peer.respond(&transaction, ticket, Ok("v".into())).await;
        assert_eq!(peer::response(peer.finished().await).payload, "v");
    }
    server.stop().await;
}

/// It is refused when its length is announced, and the stream ends with the reason.
#[tokio::test]
async fn a_message_that_is_too_large_is_not_received() {
    let server = Running::start(getting()).await;
    let mut stream = server.connect().await;
    accept(&mut stream, None).await;
    let payload = vec![0; MESSAGE_BYTES].into();
    stream.send(ChaincodeMessage { payload, ..message(Type::Transaction, "t1", "") }).await;
    let status = stream.next().await.expect_err("the end of the stream");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("grpc: received message larger than max"), "{status}");
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn inputs_together_have_a_limit() {
    let server = Running::start(getting()).await;
    let mut peer = peer::Puppet::new(server.connect().await).await;
    let large = vec![0_u8; MESSAGE_BYTES - 1024];
    for tx_id in ["t1", "t2", "t3", "t4"] {
        peer.start(tx_id, &[&large]).await;
        peer.request().await;
    }
    peer.start("t5", &[&large]).await;
    let refused = peer::failure(peer.finished().await);
    assert!(refused.contains("take all the memory"), "{refused}");
    server.stop().await;
}

/// It sends and never reads. Everything that its messages cause is bounded, so that it comes to a halt itself.
#[tokio::test]
async fn a_peer_that_does_not_read_is_not_read_either() {
    let ran = Arc::new(AtomicUsize::new(0));
    let server = Running::start(contract({
        let ran = Arc::clone(&ran);
        move |_| {
            ran.fetch_add(1, Ordering::SeqCst);
            async { Response::success(vec![0; 64 << 10]) }
        }
    }))
    .await;
    let mut stream = server.connect().await;
    accept(&mut stream, None).await;
    let input = input(&["x"]).encode_to_vec();
    let mut sent = 0_usize;
    // Nothing more can be sent once the server has stopped reading for a second.
    while let Ok(place) = tokio::time::timeout(std::time::Duration::from_secs(1), stream.to.reserve()).await {
        let place = place.expect("an open stream");
        // Padded, so that the windows are full soon.
        let mut transaction = message(Type::Transaction, &sent.to_string(), input.clone());
        transaction.proposal = None;
        place.send(ChaincodeMessage { channel_id: "c".repeat(1000), ..transaction });
        sent += 1;
        assert!(sent < 100_000, "the server reads on and on");
    }
    // Once it reads, it gets all its answers.
    let mut answered = 0;
    while answered < sent {
        let message = stream.next().await.expect("a stream in order").expect("a message");
        assert_eq!(message.r#type(), Type::Completed, "{}", String::from_utf8_lossy(&message.payload));
        answered += 1;
    }
    assert_eq!(ran.load(Ordering::SeqCst), sent);
    server.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, the stream ends or goes on; the server serves the next one.
    #[test]
    fn any_messages_leave_the_server_alive(
        messages in prop::collection::vec((0..27_i32, "[ab]", prop::collection::vec(any::<u8>(), 0..8)), 0..20)
    ) {
        tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let server = Running::start(getting()).await;
            let mut stream = server.connect().await;
            accept(&mut stream, None).await;
            for (message_type, tx_id, payload) in messages {
                let message =
                    ChaincodeMessage { r#type: message_type, ..message(Type::Keepalive, &tx_id, payload) };
                if stream.to.send(message).await.is_err() {
                    break;
                }
            }
            let peer = Peer::new(server.connect().await).await;
            assert_eq!(peer.invoke("t1", &["x"]).await.status, 200);
            drop(stream);
            server.stop().await;
        });
    }
}
