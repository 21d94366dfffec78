//! Registration, the ledger, events, responses and failures.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use selvedge::{ArgumentError, Context, LedgerError, Response};
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::prost::Message;
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, ChaincodeEvent, ChaincodeId, ChaincodeProposalPayload, Proposal,
    SignedProposal,
};
use selvedge_session::Invocation;
use selvedge_session::request::AnyRequest;

use crate::peer::{self, CHANNEL, Peer, Puppet, failure, input, response};
use crate::support::{MESSAGE_BYTES, PACKAGE_ID, Running, contract};

/// Writes, reads and lists keys as the arguments say.
async fn keys(ctx: Context) -> Response {
    let (function, parameters) = ctx.function_and_parameters().expect("text");
    let result = match (function, parameters.as_slice()) {
        ("put", [key, value]) => ctx.put(key, value.to_string()).await.map(|()| Bytes::new()),
        ("get", [key]) => ctx.get(key).await.map(Option::unwrap_or_default),
        ("delete", [key]) => ctx.delete(key).await.map(|()| Bytes::new()),
        ("range", [start, end]) => range(&ctx, start, end).await.map(Bytes::from),
        other => panic!("{other:?}"),
    };
    match result {
        Ok(payload) => Response::success(payload),
        Err(error) => Response::error(error.to_string()),
    }
}

async fn range(ctx: &Context, start: &str, end: &str) -> Result<String, LedgerError> {
    let mut keys = Vec::new();
    let mut entries = ctx.range(start, end).await?;
    while let Some(entry) = entries.next().await? {
        keys.push(entry.key);
    }
    entries.close().await?;
    Ok(keys.join(","))
}

#[tokio::test]
async fn registers_first_and_with_its_package_id() {
    let server = Running::start(contract(keys)).await;
    let mut stream = server.connect().await;
    let register = stream.expect(Type::Register).await;
    let id = ChaincodeId::decode(register.payload).expect("a ChaincodeID");
    assert_eq!(id, ChaincodeId { name: PACKAGE_ID.into(), ..ChaincodeId::default() });
    server.stop().await;
}

#[tokio::test]
async fn takes_the_ready_of_every_version() {
    let server = Running::start(contract(keys)).await;
    let offer = ChaincodeAdditionalParams {
        use_write_batch: true,
        max_size_write_batch: 1000,
        use_get_multiple_keys: true,
        max_size_get_multiple_keys: 1000,
    };
    let readies = [Bytes::new(), offer.encode_to_vec().into(), Bytes::from_static(b"\xff\xff")];
    for payload in readies {
        let mut stream = server.connect().await;
        stream.expect(Type::Register).await;
        for (message_type, payload) in [(Type::Registered, Bytes::new()), (Type::Ready, payload)] {
            let message = selvedge_proto::protos::ChaincodeMessage {
                r#type: message_type.into(),
                payload,
                ..Default::default()
            };
            stream.send(message).await;
        }
        let args = input(&["put", "a", "1"]).encode_to_vec();
        stream.send(peer::message(Type::Transaction, "t1", args)).await;
        let put = stream.expect(Type::PutState).await;
        assert_eq!((put.channel_id.as_str(), put.txid.as_str()), (CHANNEL, "t1"));
        stream.send(peer::message(Type::Response, "t1", "")).await;
        stream.expect(Type::Completed).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn echoes_keepalive_at_any_time() {
    let server = Running::start(contract(keys)).await;
    let mut stream = server.connect().await;
    stream.expect(Type::Register).await;
    for message_type in [Type::Keepalive, Type::Registered, Type::Keepalive, Type::Ready, Type::Keepalive] {
        stream.send(peer::message(message_type, "", "")).await;
        if message_type == Type::Keepalive {
            stream.expect(Type::Keepalive).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn writes_reads_and_deletes() {
    let server = Running::start(contract(keys)).await;
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("1", &["put", "a", "one"]).await.status, 200);
    assert_eq!(peer.invoke("2", &["get", "a"]).await.payload, "one");
    assert_eq!(peer.invoke("3", &["delete", "a"]).await.status, 200);
    assert_eq!(peer.invoke("4", &["get", "a"]).await.payload, "");
    // Go's shim refuses the empty key for a put only; the ledger has the last word on the others.
    let put = peer.invoke("5", &["put", "", "x"]).await;
    assert_eq!((put.status, put.message.as_str()), (500, "key must not be an empty string"));
    assert_eq!(peer.invoke("6", &["get", ""]).await.status, 200);
    assert_eq!(peer.invoke("7", &["delete", ""]).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn reads_ranges_page_by_page() {
    let server = Running::start(contract(keys)).await;
    let state: BTreeMap<String, Bytes> =
        (0..250).map(|n| (format!("k{n:03}"), Bytes::from(format!("v{n}")))).collect();
    let peer = Peer::with_state(server.connect().await, state.clone()).await;
    for (start, end, from, to) in
        [("k000", "k100", 0, 100), ("k000", "k101", 0, 101), ("", "", 0, 250), ("k200", "k100", 0, 0)]
    {
        let expected: Vec<&str> = state.keys().map(String::as_str).take(to).skip(from).collect();
        let listed = peer.invoke(&format!("{start}-{end}"), &["range", start, end]).await;
        assert_eq!(listed.payload, expected.join(","), "{start} to {end}: {}", listed.message);
    }
    let refused = peer.invoke("null", &["range", "\0a", "b"]).await;
    assert_eq!(
        refused.message,
        "first character of the key [\0a] contains a null character which is not allowed"
    );
    server.stop().await;
}

#[tokio::test]
async fn hands_the_peers_refusal_over_unchanged() {
    let server = Running::start(contract(keys)).await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["get", "a"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Err("collection x could not be found")).await;
    let refused = response(peer.finished().await);
    assert_eq!(refused.status, 500);
    assert_eq!(refused.message, "GET_STATE failed: transaction ID: t1: collection x could not be found");
    server.stop().await;
}

#[tokio::test]
async fn sends_one_event_the_last_one() {
    let server = Running::start(contract(|ctx: Context| async move {
        assert_eq!(ctx.set_event("", "x"), Err(ArgumentError::EmptyEventName));
        ctx.set_event("first", "1").expect("a name");
        ctx.set_event("second", "2").expect("a name");
        Response { status: 201, message: "made".into(), payload: "p".into() }
    }))
    .await;
    let peer = Peer::new(server.connect().await).await;
    let finished = peer.transact("t1", Invocation::Transaction, input(&["x"]), None).await;
    let event =
        ChaincodeEvent { event_name: "second".into(), payload: "2".into(), ..ChaincodeEvent::default() };
    assert_eq!(finished.message.chaincode_event, Some(event));
    let made = response(finished);
    assert_eq!((made.status, made.message.as_str(), &made.payload[..]), (201, "made", &b"p"[..]));
    server.stop().await;
}

#[tokio::test]
async fn a_failed_init_is_an_error_and_a_failed_invoke_is_a_response() {
    let server = Running::start(contract(|ctx: Context| async move {
        let (status, _) = ctx.function_and_parameters().expect("text");
        Response { status: status.parse().expect("a status"), message: "why".into(), payload: Bytes::new() }
    }))
    .await;
    let peer = Peer::new(server.connect().await).await;
    for status in ["200", "400", "499", "500", "600"] {
        let invoked = peer.transact(status, Invocation::Transaction, input(&[status]), None).await;
        assert_eq!(response(invoked).status.to_string(), status);
        let begun = peer.transact(&format!("i{status}"), Invocation::Init, input(&[status]), None).await;
        if status < "500" {
            assert_eq!(response(begun).status.to_string(), status);
        } else {
            assert_eq!(failure(begun), "why");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn gives_the_proposals_contents_to_the_contract() {
    let server = Running::start(contract(|ctx: Context| async move {
        let timestamp = ctx.timestamp().expect("a timestamp");
        let secret = ctx.transient().get("secret").cloned().unwrap_or_default();
        let shown = format!("{ctx:?}");
        assert!(!shown.contains("hush") && !shown.contains("confidential"), "{shown}");
        Response::success(format!(
            "{} {} {} {} {} {}",
            ctx.channel_id(),
            ctx.tx_id(),
            ctx.args().len(),
            timestamp.seconds,
            String::from_utf8_lossy(&secret),
            String::from_utf8_lossy(ctx.creator_bytes()),
        ))
    }))
    .await;
    let peer = Peer::new(server.connect().await).await;
    let invoke = |header_type: HeaderType, tx_id: &'static str| {
        let args = input(&["confidential", "b"]);
        peer.transact(tx_id, Invocation::Transaction, args, Some(proposal(header_type, tx_id)))
    };
    let seen = response(invoke(HeaderType::EndorserTransaction, "t1").await);
    assert_eq!(seen.payload, format!("{CHANNEL} t1 2 1234 hush somebody"));
    let refused = failure(invoke(HeaderType::Message, "t2").await);
    assert!(refused.contains("invalid channel header type"), "{refused}");
    let broken = SignedProposal { proposal_bytes: "\x0a\x7f".into(), ..SignedProposal::default() };
    let refused = failure(peer.transact("t3", Invocation::Transaction, input(&["x"]), Some(broken)).await);
    assert!(refused.contains("its proposal cannot be decoded"), "{refused}");
    let others = Some(proposal(HeaderType::EndorserTransaction, "t9"));
    let refused = failure(peer.transact("t4", Invocation::Transaction, input(&["x"]), others).await);
    assert!(refused.contains("that of transaction t9, not of t4"), "{refused}");
    // Each has failed its own transaction only.
    let seen = response(invoke(HeaderType::EndorserTransaction, "t5").await);
    assert_eq!(seen.payload, format!("{CHANNEL} t5 2 1234 hush somebody"));
    server.stop().await;
}

/// No peer adds anything unless it has a plugin that does.
#[tokio::test]
async fn gives_the_peers_decorations_to_the_contract() {
    let server = Running::start(contract(|ctx: Context| async move {
        Response::success(ctx.decorations().get("seal").cloned().unwrap_or_default())
    }))
    .await;
    let peer = Peer::new(server.connect().await).await;
    let mut input = input(&["x"]);
    assert_eq!(response(peer.transact("t1", Invocation::Transaction, input.clone(), None).await).payload, "");
    input.decorations.insert("seal".into(), "red".into());
    assert_eq!(response(peer.transact("t2", Invocation::Transaction, input, None).await).payload, "red");
    server.stop().await;
}

fn proposal(header_type: HeaderType, tx_id: &str) -> SignedProposal {
    let channel = ChannelHeader {
        r#type: header_type.into(),
        tx_id: tx_id.to_owned(),
        timestamp: Some(Timestamp { seconds: 1234, nanos: 0 }),
        ..ChannelHeader::default()
    };
    let signature = SignatureHeader { creator: "somebody".into(), ..SignatureHeader::default() };
    let header = Header {
        channel_header: channel.encode_to_vec().into(),
        signature_header: signature.encode_to_vec().into(),
    };
    let payload = ChaincodeProposalPayload {
        transient_map: [("secret".to_owned(), Bytes::from("hush"))].into(),
        ..ChaincodeProposalPayload::default()
    };
    let proposal = Proposal {
        header: header.encode_to_vec().into(),
        payload: payload.encode_to_vec().into(),
        ..Proposal::default()
    };
    SignedProposal { proposal_bytes: proposal.encode_to_vec().into(), signature: "sig".into() }
}

#[tokio::test]
async fn a_panic_fails_its_own_transaction_only() {
    /// Panics once more when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let server = Running::start(contract(|ctx: Context| async move {
        let (function, _) = ctx.function_and_parameters().expect("text");
        match function {
            "at once" => panic!("at once"),
            "after a reply" => {
                ctx.get("a").await.expect("a value");
                panic!("after a reply")
            }
            "in drop" => {
                let _bomb = Bomb;
                ctx.get("a").await.expect("a value");
                Response::success("")
            }
            "with a bomb" => std::panic::panic_any(Bomb),
            _ => Response::success(ctx.get("a").await.expect("a value").unwrap_or_default()),
        }
    }))
    .await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("other", &["get"]).await;
    let (other, ticket, _) = peer.request().await;
    for function in ["at once", "after a reply", "in drop", "with a bomb"] {
        peer.start(function, &[function]).await;
        if matches!(function, "after a reply" | "in drop") {
            peer.give("a", "1").await;
        }
        let finished = peer.finished().await;
        assert_eq!(finished.transaction.tx_id, function);
        assert!(failure(finished).contains("panicked"));
    }
    peer.respond(&other, ticket, Ok("alive".into())).await;
    assert_eq!(response(peer.finished().await).payload, "alive");
    server.stop().await;
}

#[tokio::test]
async fn two_peers_with_one_transaction_id_do_not_meet() {
    let server = Running::start(contract(keys)).await;
    let mut one = Puppet::new(server.connect().await).await;
    let mut two = Puppet::new(server.connect().await).await;
    one.start("same", &["get", "a"]).await;
    two.start("same", &["get", "a"]).await;
    two.give("a", "two").await;
    assert_eq!(response(two.finished().await).payload, "two");
    one.give("a", "one").await;
    assert_eq!(response(one.finished().await).payload, "one");
    server.stop().await;
}

#[tokio::test]
async fn hundreds_of_transactions_share_a_stream() {
    let server = Running::start(contract(keys)).await;
    let peer = Peer::new(server.connect().await).await;
    let put =
        |n: usize| peer.invoke(&format!("put {n}"), &["put".to_owned(), format!("k{n:04}"), format!("v{n}")]);
    for response in join_all((0..800).map(put)).await {
        assert_eq!(response.status, 200, "{}", response.message);
    }
    let get = |n: usize| peer.invoke(&format!("get {n}"), &["get".to_owned(), format!("k{n:04}")]);
    for (n, response) in join_all((0..800).map(get)).await.into_iter().enumerate() {
        assert_eq!(response.payload, format!("v{n}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn the_largest_values_pass_both_ways_and_larger_ones_fail_alone() {
    let server = Running::start(contract(|ctx: Context| async move {
        let (function, _) = ctx.function_and_parameters().expect("text");
        if function == "respond" {
            return Response::success(vec![7; MESSAGE_BYTES]);
        }
        let value = ctx.get("large").await.expect("a value").expect("a value");
        let result = match function {
            "copy" => ctx.put("copy", value.clone()).await,
            _ => ctx.put("copy", [value.clone(), value].concat()).await,
        };
        match result {
            Ok(()) => Response::success(""),
            Err(error) => Response::error(error.to_string()),
        }
    }))
    .await;
    let mut peer = Puppet::new(server.connect().await).await;
    let large = Bytes::from(vec![42; MESSAGE_BYTES - 1024]);

    peer.start("copy", &["copy"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Ok(large.clone())).await;
    let (transaction, ticket, request) = peer.request().await;
    let AnyRequest::PutState(put) = request else { panic!("not a put") };
    assert!(put.value == large, "the value has changed");
    peer.respond(&transaction, ticket, Ok(Bytes::new())).await;
    assert_eq!(response(peer.finished().await).status, 200);

    peer.start("double", &["double"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Ok(large)).await;
    let refused = response(peer.finished().await);
    assert!(refused.message.contains("a peer takes at most"), "{}", refused.message);

    peer.start("respond", &["respond"]).await;
    let refused = failure(peer.finished().await);
    assert!(refused.contains("a peer takes at most"), "{refused}");
    server.stop().await;
}
