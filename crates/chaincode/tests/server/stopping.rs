//! Stopping a server.

use std::time::{Duration, Instant};

use selvedge::{Context, Response};
use selvedge_session::host::Event;

use crate::peer::{Puppet, failure, response};
use crate::support::{PATIENCE, Running, contract, soon};

async fn get(ctx: Context) -> Response {
    match ctx.get("a").await {
        Ok(value) => Response::success(value.unwrap_or_default()),
        Err(error) => Response::error(error.to_string()),
    }
}

#[tokio::test]
async fn an_idle_stream_is_closed_at_once() {
    let mut server = Running::start_with(contract(get), |server| server.drain(PATIENCE * 10)).await;
    let mut peer = Puppet::new(server.connect().await).await;
    server.tell_to_stop();
    assert!(peer.stream.next().await.expect("a stream in order").is_none());
    server.stopped().await;
}

#[tokio::test]
async fn running_transactions_end_and_new_ones_are_refused() {
    let mut server = Running::start_with(contract(get), |server| server.drain(PATIENCE * 10)).await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("running", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    server.tell_to_stop();
    // The port is closed once the server has begun to stop.
    while server.dial(&server.peer_tls()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    peer.start("new", &["x"]).await;
    let refused = peer.finished().await;
    assert_eq!(refused.transaction.tx_id, "new");
    assert_eq!(failure(refused), "the chaincode is being stopped");

    peer.respond(&transaction, ticket, Ok("done".into())).await;
    assert_eq!(response(peer.finished().await).payload, "done");
    assert!(peer.stream.next().await.expect("a stream in order").is_none());
    server.stopped().await;
}

#[tokio::test]
async fn a_stream_that_does_not_end_is_cut_off_in_time() {
    let drain = Duration::from_millis(200);
    let mut server = Running::start_with(contract(get), |server| server.drain(drain)).await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("stuck", &["x"]).await;
    let Event::Request { .. } = peer.event().await else { panic!("a request was expected") };
    // Another one has not even answered the registration.
    let silent = server.connect().await;
    let told = Instant::now();
    server.tell_to_stop();
    server.stopped().await;
    assert!(told.elapsed() >= drain, "the transaction had no time to end");
    assert!(soon(peer.stream.from.message()).await.is_ok_and(|message| message.is_none()));
    drop(silent);
}

#[tokio::test]
async fn a_peer_that_never_accepts_the_registration_is_let_go() {
    let server =
        Running::start_with(contract(get), |server| server.registration_timeout(Duration::from_millis(50)))
            .await;
    let mut stream = server.connect().await;
    stream.next().await.expect("a stream in order").expect("REGISTER");
    let status = stream.next().await.expect_err("a reason");
    assert!(status.message().contains("package id"), "{status}");
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_a_package_id_does_not_start() {
    let security = selvedge::tls::ServerSecurity::Plaintext;
    let refused = selvedge::Server::new(contract(get), "", security).bind("127.0.0.1:0").await;
    assert!(matches!(refused.err(), Some(selvedge::ServerError::NoPackageId)));
}
