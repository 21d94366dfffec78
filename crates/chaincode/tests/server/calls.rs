//! What the peer sees depends on what the contract does, not on how fast replies come; and each caller gets its own
//! reply.

use futures_util::FutureExt;
use futures_util::future::{join_all, select};
use selvedge::{Context, LedgerError, Response};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{QueryResponse, QueryResultBytes};
use selvedge_proto::queryresult::Kv;
use selvedge_session::chaincode::Limits;
use selvedge_session::request::AnyRequest;
use tokio::sync::oneshot;

use crate::peer::{Peer, Puppet, response};
use crate::support::{Running, contract, soon};

/// The context outside of its contract, with the contract's end.
///
/// The test then plays contract and peer in one, step by step.
async fn open(server: impl FnOnce(selvedge::Server) -> selvedge::Server) -> (Running, Puppet, Context, Done) {
    let (give, take) = oneshot::channel();
    let (done, wait) = oneshot::channel::<Response>();
    let slot = std::sync::Mutex::new(Some((give, wait)));
    let running = Running::start_with(
        contract(move |ctx: Context| {
            let (give, wait) = slot.lock().expect("not poisoned").take().expect("one transaction");
            async move {
                assert!(give.send(ctx).is_ok());
                wait.await.expect("a response")
            }
        }),
        server,
    )
    .await;
    let mut peer = Puppet::new(running.connect().await).await;
    peer.start("t1", &["x"]).await;
    let ctx = soon(take).await.expect("a context");
    (running, peer, ctx, done)
}

type Done = oneshot::Sender<Response>;

fn finish(done: Done) {
    done.send(Response::success("done")).expect("a contract that waits");
}

#[tokio::test]
async fn a_dropped_call_leaves_the_next_one_its_own_reply() {
    let (server, mut peer, ctx, done) = open(|server| server).await;
    assert!(ctx.get("dropped").now_or_never().is_none());
    let next = tokio::spawn({
        let ctx = ctx.clone();
        async move { ctx.get("next").await }
    });
    peer.give("dropped", "wrong").await;
    peer.give("next", "right").await;
    assert_eq!(soon(next).await.expect("no panic").expect("a value").expect("a value"), "right");
    finish(done);
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stop().await;
}

#[tokio::test]
async fn a_begun_call_is_sent_whether_or_not_it_is_dropped_in_time() {
    let (server, mut peer, ctx, done) = open(|server| server).await;
    // The peer has not answered the first when the second is dropped.
    for key in ["first", "second"] {
        assert!(ctx.get(key).now_or_never().is_none());
    }
    // The contract even ends meanwhile; its last message waits.
    finish(done);
    peer.give("first", "").await;
    peer.give("second", "").await;
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stop().await;
}

#[tokio::test]
async fn select_and_timeouts_do_not_cross_replies() {
    let (server, mut peer, ctx, done) = open(|server| server).await;
    let contract = tokio::spawn(async move {
        let (one, two) = (ctx.get("one"), ctx.get("two"));
        let first = select(std::pin::pin!(one), std::pin::pin!(two)).await.factor_first().0;
        // A time-out that is over as soon as the call has begun.
        let timed_out = tokio::select! {
            biased;
            _ = ctx.get("late") => false,
            () = std::future::ready(()) => true,
        };
        (first, timed_out, ctx.get("last").await)
    });
    for (key, value) in [("one", "1"), ("two", "2"), ("late", "3"), ("last", "4")] {
        peer.give(key, value).await;
    }
    let (first, timed_out, last) = soon(contract).await.expect("no panic");
    assert_eq!(first.expect("a value").expect("a value"), "1");
    assert!(timed_out);
    assert_eq!(last.expect("a value").expect("a value"), "4");
    finish(done);
    peer.finished().await;
    server.stop().await;
}

#[tokio::test]
async fn joined_calls_go_out_one_by_one_and_more_than_the_queue_holds_wait() {
    let limits = Limits { queued_requests: 3, ..Limits::default() };
    let server = Running::start_with(
        contract(|ctx: Context| async move {
            let keys: Vec<String> = (0..50).map(|n| format!("k{n}")).collect();
            let values = join_all(keys.iter().map(|key| ctx.get(key))).await;
            for (key, value) in keys.iter().zip(values) {
                assert_eq!(value.expect("a value").expect("a value"), key.as_str());
            }
            Response::success("")
        }),
        |server| server.session_limits(limits),
    )
    .await;
    let state = (0..50).map(|n| (format!("k{n}"), format!("k{n}").into())).collect();
    // This peer fails the test if a second request comes while one is open.
    let peer = Peer::with_state(server.connect().await, state).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_dropped_next_loses_no_entry() {
    let (server, mut peer, ctx, done) = open(|server| server).await;
    let opening = tokio::spawn({
        let ctx = ctx.clone();
        async move { ctx.range("", "").await }
    });
    let (transaction, ticket, request) = peer.request().await;
    let AnyRequest::GetStateByRange(range) = request else { panic!("{request:?}") };
    assert_eq!(range.start_key, "\u{1}");
    peer.respond(&transaction, ticket, Ok(page(&["a"], true))).await;
    let mut entries = soon(opening).await.expect("no panic").expect("an iterator");

    // Twice polled and dropped, the next page is asked for once.
    for _ in 0..2 {
        assert!(entries.next().now_or_never().is_none());
    }
    let (transaction, ticket, request) = peer.request().await;
    assert!(matches!(&request, AnyRequest::QueryStateNext(next) if next.id == "it"), "{request:?}");
    peer.respond(&transaction, ticket, Err("not now")).await;
    let refused = soon(entries.next()).await.expect_err("a refusal");
    assert!(matches!(&refused, LedgerError::Peer(text) if text.ends_with("not now")), "{refused}");

    // The entry is still there after a refusal.
    {
        let mut next = std::pin::pin!(entries.next());
        assert!(next.as_mut().now_or_never().is_none());
        let (transaction, ticket, _) = peer.request().await;
        peer.respond(&transaction, ticket, Ok(page(&["b"], true))).await;
        assert_eq!(soon(next).await.expect("an entry").expect("an entry").key, "a");
    }

    // A page that announces more and brings nothing is no silent end.
    {
        let mut next = std::pin::pin!(entries.next());
        assert!(next.as_mut().now_or_never().is_none());
        let (transaction, ticket, _) = peer.request().await;
        peer.respond(&transaction, ticket, Ok(page(&[], true))).await;
        assert!(matches!(soon(next).await, Err(LedgerError::EmptyPage { .. })));
    }
    finish(done);
    peer.finished().await;
    server.stop().await;
}

fn page(keys: &[&str], has_more: bool) -> bytes::Bytes {
    let results = keys
        .iter()
        .map(|key| {
            let kv = Kv { key: key.to_string(), value: "v".into(), ..Kv::default() };
            QueryResultBytes { result_bytes: kv.encode_to_vec().into() }
        })
        .collect();
    let page = QueryResponse { results, has_more, id: "it".into(), ..QueryResponse::default() };
    page.encode_to_vec().into()
}

#[tokio::test]
async fn a_context_that_outlives_its_transaction_is_refused() {
    let (server, mut peer, ctx, done) = open(|server| server).await;
    finish(done);
    peer.finished().await;
    let error = soon(ctx.put("a", "1")).await.expect_err("a refusal");
    assert!(matches!(&error, LedgerError::Over { tx_id } if tx_id == "t1"), "{error}");
    server.stop().await;
}
