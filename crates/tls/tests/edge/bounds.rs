//! The listener's limits.

use selvedge_tls::{Limits, RefusalReason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Duration;

use crate::support::*;

#[tokio::test]
async fn connections_are_counted_and_given_back() {
    let ca = authority("CA");
    let limits = Limits { connections: 2, ..Limits::default() };
    let mut server = Running::start_at("127.0.0.1:0", mutual(&ca, &ca), limits).await;
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let first = connect(&server.target(), &security).await.unwrap();
    let second = connect(&server.target(), &security).await.unwrap();
    let third = connect(&server.target(), &security).await.unwrap_err();
    assert_eq!(third.verdict.name(), "closed", "{third}");
    assert_eq!(server.reason().await, RefusalReason::TooManyConnections { limit: 2 });
    who_am_i(first.clone()).await.unwrap();
    drop((first, second));
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(channel) = connect(&server.target(), &security).await {
                return channel;
            }
        }
    });
    who_am_i(again.await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let ca = authority("CA");
    let after = Duration::from_millis(100);
    let limits = Limits { handshake_timeout: after, ..Limits::default() };
    let mut server = Running::start_at("127.0.0.1:0", mutual(&ca, &ca), limits).await;
    for greeting in [&b""[..], &[22, 3, 1], b"P"] {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(greeting).await.unwrap();
        assert_eq!(server.reason().await, RefusalReason::HandshakeTimeout { after });
        // Whatever way it ends, it ends.
        let _ = tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut Vec::new())).await.unwrap();
    }
}

#[tokio::test]
async fn stalled_handshakes_hold_others_up_no_longer_than_their_time() {
    let ca = authority("CA");
    let after = Duration::from_millis(300);
    let limits = Limits { handshakes: 1, handshake_timeout: after, ..Limits::default() };
    let mut server = Running::start_at("127.0.0.1:0", mutual(&ca, &ca), limits).await;
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    stalled.write_all(&[22]).await.unwrap();
    assert_eq!(server.reason().await, RefusalReason::HandshakeTimeout { after });
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    who_am_i(connect(&server.target(), &security).await.unwrap()).await.unwrap();
}

/// The idle connections have far more time than the newcomer's patience.
#[tokio::test]
async fn idle_connections_hold_no_newcomer_up() {
    let ca = authority("CA");
    let handshake_timeout = Duration::from_secs(3600);
    let limits = Limits { handshakes: 2, handshake_timeout, ..Limits::default() };
    let server = Running::start_at("127.0.0.1:0", mutual(&ca, &ca), limits).await;
    let _first = TcpStream::connect(server.address).await.unwrap();
    let _second = TcpStream::connect(server.address).await.unwrap();
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let newcomer = tokio::time::timeout(PATIENCE, connect(&server.target(), &security)).await;
    who_am_i(newcomer.expect("in time").unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_explained() {
    let ca = authority("CA");
    let server = Running::start(mutual(&ca, &ca)).await;
    let error =
        selvedge_tls::Listener::bind(server.address, mutual(&ca, &ca), Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("another process listens there"), "{error}");
}

#[tokio::test]
async fn a_stopped_server_gives_its_port_back() {
    let ca = authority("CA");
    let server = Running::start(mutual(&ca, &ca)).await;
    let address = server.address.to_string();
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let channel = connect(&server.target(), &security).await.unwrap();
    who_am_i(channel).await.unwrap();
    server.stop().await;
    Running::start_at(&address, mutual(&ca, &ca), Limits::default()).await.stop().await;
}
