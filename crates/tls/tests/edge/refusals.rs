//! What a listener says about those it does not let in, and what they see.

use selvedge_tls::{RefusalReason, ServerSecurity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

/// Sends bytes and reads until the server closes.
async fn say(server: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(server.address).await.expect("connected");
    tcp.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_end(&mut answer))
        .await
        .expect("in time")
        .expect("closed in order");
    answer
}

#[tokio::test]
async fn a_plaintext_client_is_told_so() {
    let ca = authority("CA");
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let answer = say(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "a TLS alert, protocol_version");
    assert_eq!(server.reason().await, RefusalReason::PlaintextClient { http2: true });
    let answer = say(&server, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 400 ") && answer.ends_with(b"requires TLS.\n"));
    assert_eq!(server.reason().await, RefusalReason::PlaintextClient { http2: false });
    let answer = say(&server, b"\x01\x02\x03\x04\x05\x06").await;
    assert_eq!(answer.first(), Some(&21), "an alert");
    let reason = server.reason().await;
    assert_eq!(reason, RefusalReason::Unintelligible { first_bytes: "010203040506".into() });
}

#[tokio::test]
async fn the_first_bytes_may_come_one_by_one() {
    let ca = authority("CA");
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in b"POST /x" {
        tcp.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(server.reason().await, RefusalReason::PlaintextClient { http2: false });
}

#[tokio::test]
async fn a_tls_client_at_a_plaintext_port_is_told_so() {
    let mut server = Running::start(ServerSecurity::Plaintext).await;
    let answer = say(&server, &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0]).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
    assert_eq!(server.reason().await, RefusalReason::TlsClient);
}

#[tokio::test]
async fn a_client_without_http2_is_refused() {
    let ca = authority("CA");
    let mut server = Running::start(one_way(&server_leaf(&ca))).await;
    for (offer, offered) in [(vec![], vec![]), (vec![b"http/1.1".to_vec()], vec!["http/1.1".to_owned()])] {
        let error = foreign_handshake(&server, &ca, offer).await.expect_err("refused");
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
        assert_eq!(server.reason().await, RefusalReason::NoHttp2Alpn { offered });
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let ca = authority("CA");
    let mut server = Running::start(one_way(&server_leaf(&ca))).await;
    drop(TcpStream::connect(server.address).await.unwrap());
    assert_eq!(server.reason().await, RefusalReason::Closed);
}

#[tokio::test]
async fn the_refused_are_named() {
    let (ca, strange) = (authority("CA"), authority("strange CA"));
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let stranger = client_leaf(&strange);
    refused(&server.target(), &trusting_as(ca.certificate_pem(), &stranger)).await;
    let refusal = server.refusal().await;
    assert!(refusal.remote.ip().is_loopback());
    assert_eq!(refusal.client.as_ref(), Some(identity(&stranger).certificate()));
    assert!(refusal.reason.to_string().contains("CN=strange CA"), "{}", refusal.reason);
}

/// A handshake with the library itself, which offers what it is told.
async fn foreign_handshake(
    server: &Running,
    ca: &selvedge_pki::Authority,
    alpn: Vec<Vec<u8>>,
) -> std::io::Result<()> {
    use rustls_pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    let root =
        rustls_pki_types::CertificateDer::from_pem_slice(ca.certificate_pem().as_bytes()).expect("PEM");
    roots.add(root).expect("an anchor");
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    let tcp = TcpStream::connect(server.address).await?;
    let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    connector.connect(name, tcp).await.map(drop)
}
