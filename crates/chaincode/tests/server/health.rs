//! gRPC's health service on the chaincode's port.

use selvedge::Response;
use selvedge::tls::ServerTls;
use selvedge_pki::{LeafSpec, Usage, Validity};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::peer::Peer;
use crate::support::{PATIENCE, Running, contract, identity, soon};

fn answering() -> impl selvedge::Chaincode {
    contract(|_| async { Response::success("hello") })
}

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn the_server_says_that_it_serves_although_no_peer_is_there() {
    let server = Running::start(answering()).await;
    let channel = server.dial(&server.peer_tls()).await.expect("a connection");
    let mut health = HealthClient::new(channel);
    for service in ["", "protos.Chaincode"] {
        let answer = soon(health.check(about(service))).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let unknown = soon(health.check(about("protos.Endorser"))).await.expect_err("no such service");
    assert_eq!(unknown.code(), Code::NotFound);

    // The chaincode is served on the same port.
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.payload, "hello");
    server.stop().await;
}

#[tokio::test]
async fn whoever_watches_is_told_of_the_end_and_does_not_hold_it_up() {
    let mut server = Running::start_with(answering(), |server| server.drain(PATIENCE * 10)).await;
    let channel = server.dial(&server.peer_tls()).await.expect("a connection");
    let mut health = HealthClient::new(channel);
    let mut known = soon(health.watch(about(""))).await.expect("a stream").into_inner();
    let mut unknown = soon(health.watch(about("?"))).await.expect("a stream").into_inner();
    let first = soon(known.message()).await.expect("a stream in order").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);
    let first = soon(unknown.message()).await.expect("a stream in order").expect("a status");
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);

    server.tell_to_stop();
    let last = soon(known.message()).await.expect("a stream in order").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
    for stream in [&mut known, &mut unknown] {
        assert!(soon(stream.message()).await.expect("a stream in order").is_none());
    }
    server.stopped().await;
}

#[tokio::test]
async fn a_server_whose_own_certificate_has_expired_does_not_say_that_it_serves() {
    let server = Running::start(answering()).await;
    let channel = server.dial(&server.peer_tls()).await.expect("a connection");
    let mut health = HealthClient::new(channel);
    let mut watching = soon(health.watch(about(""))).await.expect("a stream").into_inner();
    let status = soon(watching.message()).await.expect("a stream in order").expect("a status").status();
    assert_eq!(status, ServingStatus::Serving);

    let expired = LeafSpec { validity: Validity::expired(), usage: Usage::Server, ..LeafSpec::default() };
    let expired = server.servers.issue(&expired).expect("a certificate");
    let tls =
        ServerTls::builder(identity(&expired)).require_client_certificates(server.peers.certificate_pem());
    server.security.replace(tls.build().expect("a configuration"));
    let answer = soon(health.check(about(""))).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let status = soon(watching.message()).await.expect("a stream in order").expect("a status").status();
    assert_eq!(status, ServingStatus::NotServing);
    server.stop().await;
}
