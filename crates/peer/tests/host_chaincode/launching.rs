//! Connections to chaincode servers: how they begin, fail, are joined, last and end.

use std::time::Duration;

use selvedge_package::Connection;
use selvedge_peer::host::{ExecuteError, LaunchError};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_tls::ServerSecurity;
use tokio::sync::oneshot;

use crate::host_server::{Certificates, Peer, Server, within};
use crate::support::{call, connected, dial_verdict, launch_error};

#[tokio::test]
async fn without_an_offer_ready_is_empty() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.offer = None);
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let (probe, ready) = tokio::join!(peer.host.probe(&package_id), async {
        let mut session = server.accept().await;
        session.register(&package_id).await;
        session.receive().await;
        session.receive().await
    });
    probe.unwrap();
    assert_eq!((ready.r#type(), ready.payload.len()), (Type::Ready, 0));
}

#[tokio::test]
async fn concurrent_first_calls_join_one_connection() {
    let (mut server, peer, package_id) = connected().await;
    let calls: Vec<_> = (0..20).map(|n| call(&peer, &package_id, &format!("tx{n}"))).collect();
    server.accept_ready(&package_id).await.answer_all(b"ok");
    for call in calls {
        assert_eq!(within(call).await.unwrap().unwrap().response.payload, "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_wrong_id_is_refused_at_once_and_names_both() {
    let (mut server, peer, package_id) = connected().await;
    for wrong in ["basic_1:wrong", ""] {
        let running = call(&peer, &package_id, "tx");
        let mut session = server.accept().await;
        session.register(wrong).await;
        let text = within(running).await.unwrap().unwrap_err().for_client("tx");
        let start = format!(
            "failed to execute transaction tx: could not launch chaincode {package_id}: chaincode registration failed: "
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(text.contains(wrong) && text[start.len()..].contains(&package_id), "{text}");
        session.closed().await;
    }
    // A failed launch is forgotten.
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_first_message_that_is_no_registration_is_refused() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let session = server.accept().await;
    session.ask_get(&ChaincodeMessage::default(), "k").await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.contains("chaincode registration failed: ") && text.contains("REGISTER"), "{text}");
}

#[tokio::test]
async fn a_stream_that_ends_before_the_registration_fails_the_launch() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    drop(server.accept().await);
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.contains(&format!("connection to {package_id} terminated: ")), "{text}");

    let running = call(&peer, &package_id, "tx");
    server.accept().await.fail(tonic::Status::internal("out of order\n")).await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    assert!(text.ends_with(" terminated: Internal: out of order\\n"), "{text}");
}

#[tokio::test]
async fn a_killed_server_is_found_again_when_it_is_back() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let address = server.address;
    let peer = Peer::new();
    let package_id = peer.install("basic_1", &certificates.connection(address)).await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    server.stop().await;
    drop(session);
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    assert_eq!(dial_verdict(&peer, &package_id, address).await, "refused");
    let mut server = Server::start_at(address, certificates.mutual()).await;
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
}

/// Java's chaincode server announces the end of every connection after 5 s and lets its streams live on.
#[tokio::test]
async fn a_stream_outlives_the_announced_end_of_its_connection() {
    let certificates = Certificates::new();
    let age = Duration::from_millis(50);
    let mut server = Server::start_with_connection_age(certificates.mutual(), age).await;
    let peer = Peer::new();
    let package_id = peer.install("java_1", &certificates.connection(server.address)).await;
    let first = call(&peer, &package_id, "first");
    let session = server.accept_ready(&package_id).await;
    // Long enough for the announcement to come; if it did not, this test would show less, but not fail.
    tokio::time::sleep(10 * age).await;
    session.answer_all(b"alive");
    within(first).await.unwrap().unwrap();
    let second = call(&peer, &package_id, "second");
    assert_eq!(within(second).await.unwrap().unwrap().response.payload, "alive");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn every_reason_of_a_failed_connection_is_told() {
    let certificates = Certificates::new();
    let stranger = Authority::new(&AuthoritySpec::default()).unwrap();
    let stranger_leaf = stranger.issue(&LeafSpec::default()).unwrap();
    let server = Server::start(certificates.mutual()).await;
    let plaintext = Server::start(ServerSecurity::Plaintext).await;
    let good = certificates.connection(server.address);
    let cases = [
        ("client-certificate-required", Connection { client_auth_required: false, ..good.clone() }),
        (
            "client-certificate-refused",
            Connection {
                client_cert: stranger_leaf.certificate_pem.clone(),
                client_key: stranger_leaf.key_pem.as_str().to_owned(),
                ..good.clone()
            },
        ),
        ("unknown-issuer", Connection { root_cert: stranger.certificate_pem().to_owned(), ..good.clone() }),
        ("name-mismatch", Connection { domain: "other.example.com".into(), ..good.clone() }),
        ("server-is-plaintext", certificates.connection(plaintext.address)),
        ("server-is-tls", Connection { tls_required: false, ..good.clone() }),
    ];
    let peer = Peer::new();
    for (index, (expected, connection)) in cases.into_iter().enumerate() {
        let package_id = peer.install(&format!("case{index}"), &connection).await;
        assert_eq!(dial_verdict(&peer, &package_id, &connection.address).await, expected);
    }
}

#[tokio::test]
async fn plaintext_works_when_it_is_asked_for() {
    let mut server = Server::start(ServerSecurity::Plaintext).await;
    let peer = Peer::new();
    let address = server.address.to_string();
    let connection = Connection { address, ..Connection::default() };
    let package_id = peer.install("basic_1", &connection).await;
    let running = call(&peer, &package_id, "tx");
    server.accept_ready(&package_id).await.answer_all(b"ok");
    within(running).await.unwrap().unwrap();
}

#[tokio::test]
async fn certificates_and_addresses_that_cannot_be_used_are_told_before_dialling() {
    let certificates = Certificates::new();
    let peer = Peer::new();
    let good = certificates.connection(([127, 0, 0, 1], 1).into());
    let bad_root = Connection { root_cert: "no PEM".into(), ..good.clone() };
    let package_id = peer.install("root", &bad_root).await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::Security { .. }), "{error}");
    let package_id = peer.install("address", &Connection { address: "nowhere".into(), ..good }).await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::Security { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_never_registers_runs_into_the_startup_timeout() {
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let peer = Peer::with(|config| config.startup_timeout = Duration::ZERO);
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    let running = call(&peer, &package_id, "tx");
    let _session = server.accept().await;
    let text = within(running).await.unwrap().unwrap_err().to_string();
    let expected = format!("timeout expired while starting chaincode {package_id} for transaction: ");
    assert!(text.contains(&expected), "{text}");
}

#[tokio::test]
async fn a_warm_chaincode_is_connected_without_calls_and_again_after_its_stream_ends() {
    let (mut server, peer, package_id) = connected().await;
    peer.host.warm("unknown:00");
    peer.host.warm(&package_id);
    peer.host.warm(&package_id);
    drop(server.accept_ready(&package_id).await);
    let session = server.accept_ready(&package_id).await;
    session.answer_all(b"warm");
    let running = call(&peer, &package_id, "tx");
    assert_eq!(within(running).await.unwrap().unwrap().response.payload, "warm");
    assert_eq!(server.connections(), 2);
    within(peer.host.shutdown()).await;
}

#[tokio::test]
async fn a_shut_down_host_ends_its_streams_and_takes_no_calls() {
    let (mut server, peer, package_id) = connected().await;
    let running = call(&peer, &package_id, "tx");
    let mut session = server.accept_ready(&package_id).await;
    session.receive().await;
    within(peer.host.shutdown()).await;
    assert!(matches!(within(running).await.unwrap().unwrap_err(), ExecuteError::Terminated));
    session.closed().await;
    let (error, _) = launch_error(&peer, &package_id).await;
    assert!(matches!(error, LaunchError::ShuttingDown));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_launch_for_others() {
    let (mut server, peer, package_id) = connected().await;
    let first = call(&peer, &package_id, "first");
    let session = server.accept().await;
    let second = call(&peer, &package_id, "second");
    first.abort();
    assert!(within(first).await.unwrap_err().is_cancelled());
    let (ready, told) = oneshot::channel();
    let id = package_id.clone();
    tokio::spawn(async move {
        let mut session = session;
        session.register(&id).await;
        session.receive().await;
        session.receive().await;
        session.answer_all(b"ok");
        let _ = ready.send(());
    });
    within(told).await.unwrap();
    assert_eq!(within(second).await.unwrap().unwrap().response.payload, "ok");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_unknown_package_is_told() {
    let peer = Peer::new();
    let error = peer.host.probe("none:00").await.unwrap_err();
    assert!(error.to_string().ends_with("chaincode install package 'none:00' not found"), "{error}");
}
