//! Connections that are judged again while they live.

use selvedge_pki::time::{Duration, OffsetDateTime};
use selvedge_pki::{Authority, Leaf, LeafSpec, Usage, Validity};
use selvedge_tls::{ClientRule, ServerTls};
use tonic::transport::Channel;

use crate::support::*;

/// Waits until the connection is gone.
pub(crate) async fn ends(channel: &Channel) {
    let gone = async { while who_am_i(channel.clone()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, gone).await.expect("the connection was closed");
}

fn named(authority: &Authority, name: &str) -> Leaf {
    authority.issue(&spec(name, &[name], Usage::Client)).expect("a client's certificate")
}

fn only(ca: &Authority, names: &[&str]) -> ServerTls {
    let rules = names.iter().map(|name| ClientRule::DnsName((*name).into()));
    ServerTls::builder(identity(&server_leaf(ca)))
        .require_client_certificates(ca.certificate_pem())
        .allow_all(rules)
        .build()
        .expect("a server's configuration")
}

#[tokio::test]
async fn a_client_that_is_struck_off_the_list_is_cut_off_and_the_others_go_on() {
    let ca = authority("CA");
    let mut server = Running::start(only(&ca, &["peer0", "peer1"])).await;
    let security = |name| trusting_as(ca.certificate_pem(), &named(&ca, name));
    let struck_off = connect(&server.target(), &security("peer0")).await.unwrap();
    let welcome = connect(&server.target(), &security("peer1")).await.unwrap();
    assert_eq!(who_am_i(struck_off.clone()).await.unwrap(), "CN=peer0 of none");

    server.switch.replace(only(&ca, &["peer1"]));
    let refusal = server.refusal().await;
    assert!(refusal.was_let_in);
    assert_eq!(refusal.reason.name(), "not-allowed");
    assert_eq!(refusal.client.unwrap().subject, "CN=peer0");
    ends(&struck_off).await;
    assert_eq!(who_am_i(welcome).await.unwrap(), "CN=peer1 of none");

    // The place is given back, and a newcomer is judged by the same list.
    let newcomer = connect(&server.target(), &security("peer0")).await.unwrap_err();
    assert_eq!(newcomer.verdict.name(), "client-certificate-refused");
    let refusal = server.refusal().await;
    assert!(!refusal.was_let_in);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_begins_to_require_certificates_closes_connections_without_one() {
    let ca = authority("CA");
    let mut server = Running::start(one_way(&server_leaf(&ca))).await;
    let nobody = connect(&server.target(), &trusting(ca.certificate_pem())).await.unwrap();
    assert_eq!(who_am_i(nobody.clone()).await.unwrap(), "nobody of none");
    server.switch.replace(mutual(&ca, &ca));
    assert_eq!(server.reason().await.name(), "no-client-certificate");
    ends(&nobody).await;
    server.stop().await;
}

/// Connects with certificates that live longer and longer until one lives long enough to connect at all, so that a slow
/// machine does not decide.
pub(crate) async fn connect_before<T>(
    server: &mut Running,
    mut make: impl FnMut(OffsetDateTime) -> (selvedge_tls::ClientSecurity, T),
) -> Channel {
    for seconds in [2, 8, 32] {
        let (security, _kept) = make(OffsetDateTime::now_utc() + Duration::seconds(seconds));
        match connect(&server.target(), &security).await {
            Ok(channel) => return channel,
            Err(_) => drop(server.refusal().await),
        }
    }
    panic!("the handshake takes longer than 32 s")
}

#[tokio::test]
async fn a_connection_ends_when_its_clients_certificate_expires() {
    let ca = authority("CA");
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let lasting =
        connect(&server.target(), &trusting_as(ca.certificate_pem(), &client_leaf(&ca))).await.unwrap();
    let channel = connect_before(&mut server, |not_after| {
        let validity = Validity { not_before: not_after - Duration::HOUR, not_after };
        let leaf = LeafSpec { validity, ..spec("brief", &["brief"], Usage::Client) };
        (trusting_as(ca.certificate_pem(), &ca.issue(&leaf).expect("a certificate")), ())
    })
    .await;
    let refusal = server.refusal().await;
    assert!(refusal.was_let_in, "{}", refusal.reason);
    assert_eq!(refusal.reason.name(), "expired");
    ends(&channel).await;
    assert_eq!(who_am_i(lasting).await.unwrap(), "CN=client of none");
    server.stop().await;
}
