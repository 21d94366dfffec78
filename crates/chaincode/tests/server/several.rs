//! Several peers at once, and several chaincodes in one process.

use selvedge::tls::ReceiveBudget;
use selvedge::{Context, Response};

use crate::peer::{Puppet, accept, registration, response};
use crate::support::{Running, contract};

async fn joined(ctx: Context) -> Response {
    let (first, second) = (ctx.get("a").await, ctx.get("b").await);
    match (first, second) {
        (Ok(first), Ok(second)) => {
            Response::success([first.unwrap_or_default(), second.unwrap_or_default()].concat())
        }
        failed => Response::error(format!("{failed:?}")),
    }
}

/// The organisations' peers endorse one proposal at the same moment, so that channel and txid are the same on all
/// streams.
#[tokio::test]
async fn the_same_transaction_on_several_streams_keeps_each_peers_answers_apart() {
    let server = Running::start(contract(joined)).await;
    let mut peers = Vec::new();
    for _ in 0..4 {
        peers.push(Puppet::new(server.connect().await).await);
    }
    for peer in &mut peers {
        peer.start("same", &["x"]).await;
    }
    let values = [("a0", "b0"), ("a1", "b1"), ("a2", "b2"), ("a3", "b3")];
    // All first requests are open before any is answered, and the answers come in another order.
    let mut open = Vec::new();
    for peer in &mut peers {
        open.push(peer.request().await);
    }
    for (peer, ((transaction, ticket, _), (first, _))) in peers.iter_mut().zip(open.iter().zip(values)).rev()
    {
        peer.respond(transaction, *ticket, Ok(first.into())).await;
    }
    for (peer, (_, second)) in peers.iter_mut().zip(values) {
        peer.give("b", second).await;
    }
    for (peer, (first, second)) in peers.iter_mut().zip(values) {
        let finished = peer.finished().await;
        assert_eq!(finished.transaction.tx_id, "same");
        assert_eq!(response(finished).payload, [first, second].concat());
    }

    // A stream that ends takes its own transaction with it and nobody else's.
    for peer in &mut peers {
        peer.start("again", &["x"]).await;
    }
    drop(peers.remove(0));
    for peer in &mut peers {
        peer.give("a", "still ").await;
        peer.give("b", "here").await;
        assert_eq!(response(peer.finished().await).payload, "still here");
    }
    drop(peers);
    server.stop().await;
}

#[tokio::test]
async fn several_package_ids_in_one_process_have_a_listener_each() {
    let budget = ReceiveBudget::default();
    let ids = ["first", "second", "third"].map(|label| format!("{label}:{}", "0a".repeat(32)));
    let mut servers = Vec::new();
    for id in &ids {
        let answer = id.clone();
        let chaincode = contract(move |_| std::future::ready(Response::success(answer.clone())));
        servers.push(Running::start_as(id, chaincode, |server| server.receive_budget(budget.clone())).await);
    }
    for (server, id) in servers.iter().zip(&ids) {
        assert_eq!(registration(&mut server.connect().await).await.name(), id);
        let mut stream = server.connect().await;
        drop(accept(&mut stream, None).await);
        let mut peer = Puppet::new(server.connect().await).await;
        peer.start("t1", &["x"]).await;
        assert_eq!(response(peer.finished().await).payload, id.as_bytes());
    }
    // One of them ends, and the others go on.
    servers.remove(0).stop().await;
    let mut peer = Puppet::new(servers[0].connect().await).await;
    peer.start("t2", &["x"]).await;
    assert_eq!(response(peer.finished().await).payload, ids[1].as_bytes());
    drop(peer);
    for server in servers {
        server.stop().await;
    }
}
