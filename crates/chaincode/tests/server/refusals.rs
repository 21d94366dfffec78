//! The peer's refusal of every call: an error of that call alone, with the peer's own text.

use bytes::Bytes;
use selvedge::{Context, KeyPolicy, KeyRole, LedgerError, Response};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{QueryResponse, QueryResultBytes};
use selvedge_proto::queryresult::Kv;
use selvedge_session::host::Event;
use selvedge_session::request::AnyRequest;

use crate::peer::{Puppet, response};
use crate::support::{Running, contract};

/// Every call of a context and a collection, with the request by which Fabric's texts name it.
const CALLS: [(&str, &str); 29] = [
    ("get", "GET_STATE"),
    ("get_many", "GET_STATE"),
    ("range", "GET_STATE_BY_RANGE"),
    ("range_page", "GET_STATE_BY_RANGE"),
    ("composite_range", "GET_STATE_BY_RANGE"),
    ("composite_range_page", "GET_STATE_BY_RANGE"),
    ("composite_keys_page", "GET_STATE_BY_RANGE"),
    ("next", "QUERY_STATE_NEXT"),
    ("close", "QUERY_STATE_CLOSE"),
    ("rich_query", "GET_QUERY_RESULT"),
    ("rich_query_page", "GET_QUERY_RESULT"),
    ("history", "GET_HISTORY_FOR_KEY"),
    ("endorsement_policy", "GET_STATE_METADATA"),
    ("set_endorsement_policy", "PUT_STATE_METADATA"),
    ("put", "PUT_STATE"),
    ("delete", "DEL_STATE"),
    ("call", "INVOKE_CHAINCODE"),
    ("call_on_channel", "INVOKE_CHAINCODE"),
    ("private get", "GET_STATE"),
    ("private get_many", "GET_STATE"),
    ("private hash", "GET_PRIVATE_DATA_HASH"),
    ("private range", "GET_STATE_BY_RANGE"),
    ("private composite_range", "GET_STATE_BY_RANGE"),
    ("private rich_query", "GET_QUERY_RESULT"),
    ("private endorsement_policy", "GET_STATE_METADATA"),
    ("private set_endorsement_policy", "PUT_STATE_METADATA"),
    ("private put", "PUT_STATE"),
    ("private delete", "DEL_STATE"),
    ("private purge", "PURGE_PRIVATE_DATA"),
];

async fn public(ctx: &Context, call: &str) -> Result<(), LedgerError> {
    let policy = KeyPolicy::all_of(KeyRole::Peer, ["Org1MSP"]);
    match call {
        "get" => ctx.get("k").await.map(drop),
        "get_many" => ctx.get_many(["k", "l"]).await.map(drop),
        "range" => ctx.range("a", "b").await.map(drop),
        "range_page" => ctx.range_page("a", "b", 1, "").await.map(drop),
        "composite_range" => ctx.composite_range("t", ["a"]).await.map(drop),
        "composite_range_page" => ctx.composite_range_page("t", ["a"], 1, "").await.map(drop),
        "composite_keys_page" => ctx.composite_keys_page(1, "").await.map(drop),
        "next" => {
            let mut entries = ctx.range("a", "b").await?;
            entries.next().await?;
            entries.next().await.map(drop)
        }
        "close" => ctx.range("a", "b").await?.close().await,
        "rich_query" => ctx.rich_query("{}").await.map(drop),
        "rich_query_page" => ctx.rich_query_page("{}", 1, "").await.map(drop),
        "history" => ctx.history("k").await.map(drop),
        "endorsement_policy" => ctx.endorsement_policy("k").await.map(drop),
        "set_endorsement_policy" => ctx.set_endorsement_policy("k", &policy).await,
        "put" => ctx.put("k", "v").await,
        "delete" => ctx.delete("k").await,
        "call" => ctx.call("other", ["f"]).await.map(drop),
        "call_on_channel" => ctx.call_on_channel("elsewhere", "other", ["f"]).await.map(drop),
        other => panic!("no call {other}"),
    }
}

async fn private(ctx: &Context, call: &str) -> Result<(), LedgerError> {
    let policy = KeyPolicy::all_of(KeyRole::Peer, ["Org1MSP"]);
    let collection = ctx.collection("secrets")?;
    match call {
        "get" => collection.get("k").await.map(drop),
        "get_many" => collection.get_many(["k", "l"]).await.map(drop),
        "hash" => collection.hash("k").await.map(drop),
        "range" => collection.range("a", "b").await.map(drop),
        "composite_range" => collection.composite_range("t", ["a"]).await.map(drop),
        "rich_query" => collection.rich_query("{}").await.map(drop),
        "endorsement_policy" => collection.endorsement_policy("k").await.map(drop),
        "set_endorsement_policy" => collection.set_endorsement_policy("k", &policy).await,
        "put" => collection.put("k", "v").await,
        "delete" => collection.delete("k").await,
        "purge" => collection.purge("k").await,
        other => panic!("no call {other}"),
    }
}

/// Makes the call that the argument names, and then one that the peer answers.
async fn refused(ctx: Context) -> Response {
    let (call, _) = ctx.function_and_parameters().expect("text");
    let result = match call.strip_prefix("private ") {
        Some(call) => private(&ctx, call).await,
        None => public(&ctx, call).await,
    };
    let Err(LedgerError::Peer(refusal)) = result else { panic!("{call}: {result:?}") };
    let after = ctx.get("after").await.expect("an answer").expect("a value");
    Response::success(format!("{refusal}, then {}", String::from_utf8_lossy(&after)))
}

/// One row, and more to come.
fn page() -> Bytes {
    let row = Kv { namespace: "basic".into(), key: "a".into(), value: "v".into() }.encode_to_vec().into();
    let results = vec![QueryResultBytes { result_bytes: row }];
    QueryResponse { results, has_more: true, id: "i".into(), ..Default::default() }.encode_to_vec().into()
}

/// What the peer answers while this call is made.
fn answer(call: &str, request: &AnyRequest) -> Result<Bytes, &'static str> {
    match request {
        AnyRequest::GetState(get) if get.key == "after" => Ok("there".into()),
        AnyRequest::GetStateByRange(_) if matches!(call, "next" | "close") => Ok(page()),
        // Whatever became of it, an iterator is closed.
        AnyRequest::QueryStateClose(_) if call == "next" => Ok(Bytes::new()),
        _ => Err("as asked"),
    }
}

#[tokio::test]
async fn the_peers_refusal_of_every_call_is_an_error_of_that_call_alone() {
    let server = Running::start(contract(refused)).await;
    let mut peer = Puppet::new(server.connect().await).await;
    for (number, (call, request)) in CALLS.into_iter().enumerate() {
        let tx_id = format!("t{number}");
        peer.start(&tx_id, &[call]).await;
        let finished = loop {
            match peer.event().await {
                Event::Request { transaction, ticket, request } => {
                    peer.respond(&transaction, ticket, answer(call, &request)).await;
                }
                Event::Finished(finished) => break *finished,
                other => panic!("{call}: {other:?}"),
            }
        };
        let response = response(finished);
        let expected = format!("{request} failed: transaction ID: {tx_id}: as asked, then there");
        assert_eq!((response.status, &response.payload[..]), (200, expected.as_bytes()), "{call}");
    }
    server.stop().await;
}
