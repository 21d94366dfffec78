//! Batches towards peers that offer them: what goes out together, in which order, and what happens when it is refused.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use selvedge::{ArgumentError, Context, LedgerError, Response};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::write_record::Type as RecordType;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, GetStateMultipleResult, QueryResponse, QueryResultBytes,
};
use selvedge_proto::queryresult::Kv;
use selvedge_session::request::AnyRequest;

use crate::peer::{Puppet, failure, response};
use crate::support::{Running, contract};

const OFFER: ChaincodeAdditionalParams = ChaincodeAdditionalParams {
    use_write_batch: true,
    max_size_write_batch: 100,
    use_get_multiple_keys: true,
    max_size_get_multiple_keys: 100,
};

async fn text(result: impl Future<Output = Result<(), LedgerError>>) -> Response {
    match result.await {
        Ok(()) => Response::success("done"),
        Err(error) => Response::error(error.to_string()),
    }
}

/// Takes GET_STATE_MULTIPLE and answers each key with itself.
async fn give_all(peer: &mut Puppet) -> usize {
    let (transaction, ticket, request) = peer.request().await;
    let AnyRequest::GetStateMultiple(get) = request else { panic!("{request:?}") };
    let count = get.keys.len();
    let values = get.keys.into_iter().map(Into::into).collect();
    let reply = GetStateMultipleResult { values }.encode_to_vec().into();
    peer.respond(&transaction, ticket, Ok(reply)).await;
    count
}

#[tokio::test]
async fn joined_reads_go_out_together_whatever_the_timing() {
    let server = Running::start(contract(|ctx: Context| {
        text(async move {
            let keys: Vec<String> = (0..150).map(|n| format!("k{n}")).collect();
            let read = async |key: &String| {
                let first = ctx.get(key).await?.expect("a value");
                assert_eq!(first, key.as_str());
                // A thread that is slow now and then must not change what goes out together.
                if key.ends_with('7') {
                    std::thread::sleep(Duration::from_millis(1));
                }
                ctx.get(&format!("second {key}")).await.map(|_| ())
            };
            try_join_all(keys.iter().map(read)).await.map(|_| ())
        })
    }))
    .await;
    let mut seen = Vec::new();
    for round in 0..5 {
        let mut peer = Puppet::with_offer(server.connect().await, Some(&OFFER)).await;
        peer.start(&format!("t{round}"), &["x"]).await;
        // Two replies bring all first values; each lets the second reads of its keys begin.
        let mut counts = Vec::new();
        while counts.iter().sum::<usize>() < 300 {
            counts.push(give_all(&mut peer).await);
        }
        assert_eq!(response(peer.finished().await).status, 200);
        seen.push(counts);
    }
    assert!(seen.iter().all(|counts| *counts == seen[0] && counts[0] == 100), "{seen:?}");
    server.stop().await;
}

#[tokio::test]
async fn writes_go_out_in_order_before_whatever_could_tell_the_difference() {
    let server = Running::start(contract(|ctx: Context| {
        text(async move {
            ctx.put("a", "1").await?;
            ctx.delete("b").await?;
            // A plain read cannot tell.
            ctx.get("c").await?;
            ctx.put("a", "2").await?;
            let left: Vec<_> = ctx.range("", "").await?.try_collect().await?;
            assert!(left.is_empty());
            ctx.put("d", "4").await?;
            ctx.flush().await?;
            ctx.put("e", "5").await?;
            ctx.put("f", "6").await
        })
    }))
    .await;
    let mut peer = Puppet::with_offer(server.connect().await, Some(&OFFER)).await;
    peer.start("t1", &["x"]).await;
    peer.give("c", "").await;
    assert_eq!(batch(&mut peer).await, ["a=1", "-b", "a=2"]);
    let (transaction, ticket, request) = peer.request().await;
    assert!(matches!(request, AnyRequest::GetStateByRange(_)), "{request:?}");
    let none = QueryResponse { id: "it".into(), ..QueryResponse::default() };
    peer.respond(&transaction, ticket, Ok(none.encode_to_vec().into())).await;
    // One alone goes out as itself.
    let (transaction, ticket, request) = peer.request().await;
    assert!(matches!(&request, AnyRequest::PutState(put) if put.key == "d"), "{request:?}");
    peer.respond(&transaction, ticket, Ok("".into())).await;
    assert_eq!(batch(&mut peer).await, ["e=5", "f=6"]);
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stop().await;
}

async fn batch(peer: &mut Puppet) -> Vec<String> {
    let (transaction, ticket, request) = peer.request().await;
    let AnyRequest::WriteBatchState(batch) = request else { panic!("{request:?}") };
    peer.respond(&transaction, ticket, Ok("".into())).await;
    let record = |record: &selvedge_proto::protos::WriteRecord| match record.r#type() {
        RecordType::DelState => format!("-{}", record.key),
        _ => format!("{}={}", record.key, String::from_utf8_lossy(&record.value)),
    };
    batch.rec.iter().map(record).collect()
}

#[tokio::test]
async fn no_more_writes_pile_up_than_go_out_together() {
    let server = Running::start(contract(|ctx: Context| {
        text(async move {
            for n in 0..250 {
                ctx.put(&format!("k{n}"), "v").await?;
            }
            Ok(())
        })
    }))
    .await;
    let mut peer = Puppet::with_offer(server.connect().await, Some(&OFFER)).await;
    peer.start("t1", &["x"]).await;
    for count in [100, 100] {
        // The contract waits for the answer.
        let (transaction, ticket, request) = peer.request().await;
        assert!(
            matches!(&request, AnyRequest::WriteBatchState(batch) if batch.rec.len() == count),
            "{request:?}"
        );
        peer.respond(&transaction, ticket, Ok("".into())).await;
    }
    assert_eq!(batch(&mut peer).await.len(), 50);
    assert_eq!(response(peer.finished().await).payload, "done");

    // Who fills a batch that is refused is told so.
    peer.start("t2", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Err("no")).await;
    let refused = response(peer.finished().await);
    assert!(refused.status == 500 && refused.message.ends_with("no"), "{refused:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_success_whose_writes_were_refused_is_a_failure() {
    let server = Running::start(contract(|ctx: Context| async move {
        ctx.put("a", "1").await.expect("collected");
        ctx.put("b", "1").await.expect("collected");
        if ctx.args()[0] == "flush" {
            // Catching the error does not help.
            let refused = ctx.flush().await.expect_err("a refusal");
            assert!(matches!(refused, LedgerError::Peer(_)), "{refused:?}");
            assert!(matches!(ctx.put("c", "1").await, Err(LedgerError::Unwritten { .. })));
            assert!(matches!(ctx.get("c").await, Err(LedgerError::Unwritten { .. })));
        }
        Response::success("done")
    }))
    .await;
    for how in ["flush", "end"] {
        let mut peer = Puppet::with_offer(server.connect().await, Some(&OFFER)).await;
        peer.start("t1", &[how]).await;
        let (transaction, ticket, request) = peer.request().await;
        assert!(matches!(request, AnyRequest::WriteBatchState(_)), "{request:?}");
        peer.respond(&transaction, ticket, Err("Writes are not allowed")).await;
        let failed = failure(peer.finished().await);
        assert!(failed.ends_with("Writes are not allowed"), "{failed}");
    }
    server.stop().await;
}

#[tokio::test]
async fn without_an_offer_or_when_switched_off_nothing_is_batched() {
    for (offer, batching) in [(None, true), (Some(&OFFER), false)] {
        let server = Running::start_with(
            contract(|ctx: Context| {
                text(async move {
                    ctx.put("a", "1").await?;
                    ctx.put("b", "2").await?;
                    ctx.get_many(["c", "d"]).await.map(|_| ())
                })
            }),
            |server| server.batching(batching),
        )
        .await;
        let mut peer = Puppet::with_offer(server.connect().await, offer).await;
        peer.start("t1", &["x"]).await;
        for key in ["a", "b"] {
            let (transaction, ticket, request) = peer.request().await;
            assert!(matches!(&request, AnyRequest::PutState(put) if put.key == key), "{request:?}");
            peer.respond(&transaction, ticket, Ok("".into())).await;
        }
        peer.give("c", "3").await;
        peer.give("d", "4").await;
        assert_eq!(response(peer.finished().await).payload, "done");
        server.stop().await;
    }
}

#[tokio::test]
async fn an_iterator_that_is_dropped_early_is_closed() {
    let server = Running::start(contract(|ctx: Context| {
        text(async move {
            let mut entries = ctx.range("", "").await?;
            assert_eq!(entries.next().await?.expect("an entry").key, "a");
            drop(entries);
            ctx.get("next").await.map(|_| ())
        })
    }))
    .await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    let row = |key: &str| {
        let kv = Kv { key: key.into(), value: "v".into(), ..Kv::default() };
        QueryResultBytes { result_bytes: kv.encode_to_vec().into() }
    };
    let results = vec![row("a"), row("b")];
    let page = QueryResponse { results, has_more: true, id: "it".into(), ..QueryResponse::default() };
    peer.respond(&transaction, ticket, Ok(page.encode_to_vec().into())).await;
    let (transaction, ticket, request) = peer.request().await;
    assert!(matches!(&request, AnyRequest::QueryStateClose(close) if close.id == "it"), "{request:?}");
    peer.respond(&transaction, ticket, Ok("".into())).await;
    peer.give("next", "").await;
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stop().await;
}

#[tokio::test]
async fn strict_servers_refuse_what_is_hardly_meant() {
    let mistakes = |ctx: Context| async move {
        let of = |error: LedgerError| match error {
            LedgerError::Check(check) | LedgerError::Argument(ArgumentError::Check(check)) => Some(check),
            _ => None,
        };
        ctx.put("a", "1").await.expect("a write");
        ctx.set_event("one", "").expect("a name");
        let found = [
            ctx.get("a").await.err().and_then(of),
            ctx.put("a", "2").await.err().and_then(of),
            ctx.get_many(["b", "a"]).await.err().and_then(of),
            ctx.range("", "").await.err().and_then(of),
            ctx.set_event("two", "").err().map(Into::into).and_then(of),
        ];
        let found: Vec<String> = found.into_iter().flatten().map(|check| check.to_string()).collect();
        Response::success(found.join("|"))
    };
    for strict in [true, false] {
        let server = Running::start_with(contract(mistakes), |server| server.strict(strict)).await;
        let peer = crate::peer::Peer::new(server.connect().await).await;
        let found = peer.invoke("t1", &["x"]).await;
        let found = String::from_utf8(found.payload.to_vec()).expect("text");
        let found = found.split_terminator('|').count();
        assert_eq!(found, if strict { 5 } else { 0 });
        server.stop().await;
    }
}
