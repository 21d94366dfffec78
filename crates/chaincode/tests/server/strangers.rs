//! Who is let in.

use selvedge::Response;
use selvedge::tls::{ClientSecurity, RefusalReason};
use selvedge_pki::Usage;

use crate::peer::Peer;
use crate::support::{Running, Stream, authority, contract, leaf, soon};

fn answering() -> impl selvedge::Chaincode {
    contract(|_| async { Response::success("hello") })
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let mut server = Running::start(answering()).await;
    let security = server.client(None);
    server.dial(&security).await.expect_err("a refusal");
    let refusal = soon(server.refusals.recv()).await.expect("a refusal");
    assert_eq!(refusal.reason, RefusalReason::NoClientCertificate);
    assert!(refusal.reason.to_string().contains("no certificate"), "{}", refusal.reason);
    server.stop().await;
}

#[tokio::test]
async fn a_peer_of_a_strange_authority_is_refused() {
    let mut server = Running::start(answering()).await;
    let strange = leaf(&authority("strangers"), "peer0", Usage::Client);
    server.dial(&server.client(Some(&strange))).await.expect_err("a refusal");
    let refusal = soon(server.refusals.recv()).await.expect("a refusal");
    assert!(matches!(refusal.reason, RefusalReason::Certificate(_)), "{}", refusal.reason);
    assert!(refusal.client.expect("its certificate").subject.contains("peer0"));

    // The right one still gets in.
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.payload, "hello");
    server.stop().await;
}

#[tokio::test]
async fn plaintext_is_refused_unless_it_was_asked_for() {
    let mut server = Running::start(answering()).await;
    server.dial(&ClientSecurity::Plaintext).await.expect_err("a refusal");
    let refusal = soon(server.refusals.recv()).await.expect("a refusal");
    assert_eq!(refusal.reason, RefusalReason::PlaintextClient { http2: true });
    server.stop().await;

    let server = Running::start_plaintext(answering()).await;
    let channel = server.dial(&ClientSecurity::Plaintext).await.expect("a connection");
    let peer = Peer::new(Stream::open(channel).await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.payload, "hello");
    server.stop().await;
}
