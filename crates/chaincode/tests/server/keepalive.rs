//! Whether the other end still lives.

use std::net::SocketAddr;
use std::time::Duration;

use selvedge::tls::{DialOptions, Target, dial};
use selvedge::{Context, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::peer::Puppet;
use crate::support::{PATIENCE, Running, Stream, contract, soon};

/// Passes bytes on both ways until it is frozen; then it keeps its connections open and says nothing any more, as a
/// network does that has lost a machine.
struct Network {
    address: SocketAddr,
    frozen: CancellationToken,
}

impl Network {
    async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let frozen = CancellationToken::new();
        let is_frozen = frozen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.expect("a connection");
                let (from_client, to_client) = tokio::io::split(client);
                let (from_server, to_server) = tokio::io::split(server);
                tokio::spawn(pass_on(from_client, to_server, is_frozen.clone()));
                tokio::spawn(pass_on(from_server, to_client, is_frozen.clone()));
            }
        });
        Self { address, frozen }
    }
}

async fn pass_on(mut from: ReadHalf<TcpStream>, mut to: WriteHalf<TcpStream>, frozen: CancellationToken) {
    let mut buffer = [0; 4096];
    loop {
        let count = tokio::select! {
            biased;
            () = frozen.cancelled() => std::future::pending().await,
            read = from.read(&mut buffer) => read.unwrap_or(0),
        };
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Tells when it is dropped.
struct Guard(mpsc::Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn a_peer_that_has_vanished_is_noticed_and_its_transactions_are_cancelled() {
    let (dropped, mut cancelled) = mpsc::channel(1);
    let waiting = contract(move |ctx: Context| {
        let guard = Guard(dropped.clone());
        async move {
            let value = ctx.get("a").await;
            drop(guard);
            Response::success(format!("{value:?}"))
        }
    });
    let brief = Duration::from_millis(100);
    let server = Running::start_with(waiting, |server| server.keepalive(brief, brief)).await;
    let network = Network::before(server.address).await;
    let target = Target { host: "127.0.0.1".into(), port: network.address.port() };
    let options = DialOptions { timeout: PATIENCE, ..DialOptions::default() };
    let channel = selvedge::tls::channel(&target, &server.peer_tls(), &options).await.expect("a connection");
    let mut peer = Puppet::new(Stream::open(channel).await).await;
    peer.start("t1", &["x"]).await;
    peer.request().await;
    assert!(cancelled.try_recv().is_err(), "the transaction runs");

    network.frozen.cancel();
    soon(cancelled.recv()).await.expect("the transaction was cancelled");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_may_ask_as_often_as_it_likes() {
    let server = Running::start(contract(|_| async { Response::success("") })).await;
    let target = Target { host: "127.0.0.1".into(), port: server.address.port() };
    let connection = dial(&target, &server.peer_tls(), PATIENCE).await.expect("a connection");
    let (requests, mut http2) = h2::client::handshake(connection).await.expect("HTTP/2");
    let mut pings = http2.ping_pong().expect("pings");
    let driving = tokio::spawn(http2);
    // Go's server closes a connection that asks more often than it allows; a peer asks every 60 seconds.
    for _ in 0..1000 {
        soon(pings.ping(h2::Ping::opaque())).await.expect("an answer");
    }
    let mut requests = soon(requests.ready()).await.expect("a connection that is still good");
    let request =
        http::Request::post("http://server/grpc.health.v1.Health/Check").body(()).expect("a request");
    let (answer, _) = requests.send_request(request, true).expect("a stream");
    assert_eq!(soon(answer).await.expect("an answer").status(), 200);
    drop(requests);
    driving.abort();
    server.stop().await;
}
