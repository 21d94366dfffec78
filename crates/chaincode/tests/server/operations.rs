//! The operations port.

use std::net::SocketAddr;

use selvedge::tls::ServerTls;
use selvedge::{Context, Operations, Response};
use selvedge_pki::{LeafSpec, Usage, Validity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peer::{Puppet, response};
use crate::support::{PACKAGE_ID, PATIENCE, Running, contract, identity, soon};

async fn get(ctx: Context) -> Response {
    match ctx.get("a").await {
        Ok(value) => Response::success(value.unwrap_or_default()),
        Err(error) => Response::error(error.to_string()),
    }
}

async fn open() -> Operations {
    Operations::bind("127.0.0.1:0").await.expect("a port")
}

/// Sends this and returns what comes until the end.
async fn talk(address: SocketAddr, request: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.expect("a connection");
    tcp.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    soon(tcp.read_to_string(&mut answer)).await.expect("an answer");
    answer
}

/// The status and the body of a page.
async fn page(operations: &Operations, path: &str) -> (u16, String) {
    let answer = talk(operations.local_addr(), &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

/// The value of a metric of the test's server, with these further labels.
async fn metric(operations: &Operations, name: &str, labels: &str) -> Option<f64> {
    let (status, text) = page(operations, "/metrics").await;
    assert_eq!(status, 200);
    let line = format!("selvedge_{name}{{package_id=\"{PACKAGE_ID}\"{labels}}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).map(|value| value.parse().expect("a number"))
}

/// Waits until a metric has a value.
async fn becomes(operations: &Operations, name: &str, labels: &str, value: f64) {
    soon(async { while metric(operations, name, labels).await != Some(value) {} }).await;
}

#[tokio::test]
async fn it_is_ready_without_a_peer_and_not_when_it_stops_or_its_certificate_has_expired() {
    let operations = open().await;
    assert_eq!(page(&operations, "/livez").await.0, 200);
    assert_eq!(page(&operations, "/readyz").await, (503, "no server listens yet\n".into()));

    let mut server =
        Running::start_with(contract(get), |server| server.drain(PATIENCE * 10).operations(&operations))
            .await;
    assert_eq!(page(&operations, "/readyz").await, (200, "ready\n".into()));
    assert_eq!(metric(&operations, "registered_peers", "").await, Some(0.0));
    assert_eq!(metric(&operations, "ready", "").await, Some(1.0));

    let good = server.security.current();
    let expired = LeafSpec { validity: Validity::expired(), usage: Usage::Server, ..LeafSpec::default() };
    let expired = server.servers.issue(&expired).expect("a certificate");
    let tls =
        ServerTls::builder(identity(&expired)).require_client_certificates(server.peers.certificate_pem());
    server.security.replace(tls.build().expect("a configuration"));
    let (status, reason) = page(&operations, "/readyz").await;
    assert_eq!(status, 503);
    assert!(reason.contains(PACKAGE_ID) && reason.contains("certificate"), "{reason}");
    server.security.replace(selvedge::tls::ServerSecurity::clone(&good));
    assert_eq!(page(&operations, "/readyz").await.0, 200);

    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    server.tell_to_stop();
    soon(async { while page(&operations, "/readyz").await.0 == 200 {} }).await;
    let stopping = format!("{PACKAGE_ID}: the server is stopping\n");
    assert_eq!(page(&operations, "/readyz").await, (503, stopping));
    assert_eq!(page(&operations, "/livez").await.0, 200);
    peer.respond(&transaction, ticket, Ok("done".into())).await;
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stopped().await;
}

#[tokio::test]
async fn what_happens_is_counted() {
    let operations = open().await;
    let server = Running::start_with(contract(get), |server| server.operations(&operations)).await;
    server.dial(&server.client(None)).await.expect_err("a refusal");
    becomes(&operations, "connections_refused_total", ",reason=\"no-client-certificate\"", 1.0).await;

    let mut peer = Puppet::new(server.connect().await).await;
    assert_eq!(metric(&operations, "streams", "").await, Some(1.0));
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    assert_eq!(metric(&operations, "registered_peers", "").await, Some(1.0));
    assert_eq!(metric(&operations, "transactions_running", "").await, Some(1.0));
    assert_eq!(metric(&operations, "transactions_waiting", "").await, Some(0.0));
    let before = metric(&operations, "payload_bytes_total", ",direction=\"received\"").await.expect("bytes");
    peer.respond(&transaction, ticket, Ok("0123456789".into())).await;
    assert_eq!(response(peer.finished().await).payload, "0123456789");
    let after = metric(&operations, "payload_bytes_total", ",direction=\"received\"").await.expect("bytes");
    assert!(after - before >= 10.0, "{before} to {after}");
    becomes(&operations, "transaction_seconds_count", ",outcome=\"success\"", 1.0).await;

    peer.start("t2", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Err("no such luck")).await;
    assert_eq!(response(peer.finished().await).status, 500);
    becomes(&operations, "transaction_seconds_count", ",outcome=\"error\"", 1.0).await;
    becomes(&operations, "transactions_running", "", 0.0).await;
    assert_eq!(metric(&operations, "outgoing_messages_waiting", "").await, Some(0.0));

    let expiry =
        metric(&operations, "expiry_timestamp_seconds", ",kind=\"server\",name=\"CN=chaincode\"").await;
    let authority = ",kind=\"client-authority\",name=\"CN=peers\"";
    let later = metric(&operations, "expiry_timestamp_seconds", authority).await;
    assert!(expiry.expect("the server's") < later.expect("the authority's"));

    drop(peer);
    becomes(&operations, "streams", "", 0.0).await;
    becomes(&operations, "registered_peers", "", 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn strange_requests_are_answered_or_ended_and_hold_nobody_up() {
    let operations = open().await;
    let address = operations.local_addr();
    assert_eq!(page(&operations, "/").await.0, 404);
    let posted = talk(address, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405") && posted.contains("GET, HEAD"), "{posted}");
    assert!(talk(address, "nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut tcp = TcpStream::connect(address).await.expect("a connection");
    // It may end before all is written.
    let _ = tcp.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = soon(tcp.read_to_end(&mut answer)).await;
    assert!(!String::from_utf8_lossy(&answer).contains("404"), "the headers are bounded");

    let mut silent = Vec::new();
    for _ in 0..31 {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    assert_eq!(page(&operations, "/livez").await.0, 200);
    // A connection that says nothing is ended.
    let mut first = silent.remove(0);
    soon(first.read_to_end(&mut answer)).await.expect("the end");
}

#[tokio::test]
async fn servers_of_one_process_share_a_port() {
    let operations = open().await;
    let mut servers = Vec::new();
    for label in ["first", "second"] {
        let id = format!("{label}:{}", "0a".repeat(32));
        servers.push(Running::start_as(&id, contract(get), |server| server.operations(&operations)).await);
    }
    let (_, text) = page(&operations, "/metrics").await;
    assert_eq!(text.matches("selvedge_ready{").count(), 2, "{text}");
    assert_eq!(text.matches("# TYPE selvedge_ready ").count(), 1, "{text}");
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_was_dropped_is_not_ready() {
    let operations = open().await;
    let security = selvedge::tls::ServerSecurity::Plaintext;
    let server = selvedge::Server::new(contract(get), PACKAGE_ID, security).operations(&operations);
    let bound = server.bind("127.0.0.1:0").await.expect("a port");
    assert_eq!(page(&operations, "/readyz").await.0, 200);
    drop(bound);
    assert_eq!(page(&operations, "/readyz").await.0, 503);
}
