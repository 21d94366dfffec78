//! Connections that work, and what each end then knows about the other.

use selvedge_pki::Usage;
use selvedge_tls::{
    ClientRule, ClientSecurity, ClientTls, Fingerprint, ServerSecurity, ServerTls, Target, probe,
};

use crate::support::*;

#[tokio::test]
async fn both_ends_prove_who_they_are() {
    let (servers, clients) = (authority("server CA"), authority("client CA"));
    let server = Running::start(mutual(&servers, &clients)).await;
    let security = trusting_as(servers.certificate_pem(), &client_leaf(&clients));
    for target in [server.target(), server.localhost()] {
        let channel = connect(&target, &security).await.unwrap();
        assert_eq!(who_am_i(channel).await.unwrap(), "CN=client of none");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_session_is_the_best_there_is_and_an_address_sends_no_server_name() {
    let servers = authority("server CA");
    let server = Running::start(one_way(&server_leaf(&servers))).await;
    let security = trusting(servers.certificate_pem());
    let by_address = probe(&server.target(), &security, PATIENCE).await.unwrap().session.unwrap();
    assert_eq!(by_address.version, "TLSv1_3");
    assert_eq!(by_address.key_exchange, "X25519MLKEM768");
    assert_eq!(by_address.server_name, None);
    let by_name = probe(&server.localhost(), &security, PATIENCE).await.unwrap();
    assert_eq!(by_name.session.unwrap().server_name.as_deref(), Some("localhost"));
    assert_eq!(by_name.certificates.len(), 1);
}

#[tokio::test]
async fn plaintext_works_where_it_is_named_on_both_sides() {
    let server = Running::start(ServerSecurity::Plaintext).await;
    let channel = connect(&server.target(), &ClientSecurity::Plaintext).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "nobody of none");
    probe(&server.target(), &ClientSecurity::Plaintext, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_client_belongs_to_the_msp_of_its_authority() {
    let servers = authority("server CA");
    let (org1, org2, outside) = (authority("org1 CA"), authority("org2 CA"), authority("outside CA"));
    let tls = ServerTls::builder(identity(&server_leaf(&servers)))
        .require_clients_of([("Org1MSP", org1.certificate_pem()), ("Org2MSP", org2.certificate_pem())])
        .allow(ClientRule::Msp("Org1MSP".into()))
        .build()
        .unwrap();
    let mut server = Running::start(tls).await;
    let dial = async |authority| {
        connect(&server.target(), &trusting_as(servers.certificate_pem(), &client_leaf(authority))).await
    };
    assert_eq!(who_am_i(dial(&org1).await.unwrap()).await.unwrap(), "CN=client of Org1MSP");
    let org2 = dial(&org2).await.unwrap_err();
    assert_eq!(org2.verdict.name(), "client-certificate-refused", "{org2}");
    assert!(org2.to_string().contains("list of allowed clients"), "{org2}");
    let outside = dial(&outside).await.unwrap_err();
    assert!(outside.to_string().contains("does not know the authority"), "{outside}");
    assert_eq!(server.reason().await.name(), "not-allowed");
    assert_eq!(server.reason().await.name(), "unknown-issuer");
}

#[tokio::test]
async fn each_kind_of_rule_lets_its_client_in_and_no_other() {
    let ca = authority("CA");
    let (leaf, other) = (client_leaf(&ca), ca.issue(&spec("other", &["other"], Usage::Client)).unwrap());
    let fingerprint = identity(&leaf).certificate().fingerprint;
    let rules = [
        ClientRule::DnsName("PEER0.org1.example.com".into()),
        ClientRule::Uri("spiffe://org1/peer0".into()),
        ClientRule::Fingerprint(fingerprint.to_string().parse::<Fingerprint>().unwrap()),
    ];
    for rule in rules {
        let tls = ServerTls::builder(identity(&server_leaf(&ca)))
            .require_client_certificates(ca.certificate_pem())
            .allow(rule.clone())
            .build()
            .unwrap();
        let mut server = Running::start(tls).await;
        let channel = connect(&server.target(), &trusting_as(ca.certificate_pem(), &leaf)).await;
        assert_eq!(who_am_i(channel.unwrap()).await.unwrap(), "CN=client of none", "{rule:?}");
        refused(&server.target(), &trusting_as(ca.certificate_pem(), &other)).await;
        let refusal = server.refusal().await;
        assert_eq!(refusal.reason.name(), "not-allowed");
        assert_eq!(refusal.client.unwrap().subject, "CN=other");
    }
}

#[tokio::test]
async fn a_server_name_stands_in_for_the_address() {
    let ca = authority("CA");
    let leaf = ca.issue(&spec("cc", &["cc.example.com"], Usage::Server)).unwrap();
    let server = Running::start(one_way(&leaf)).await;
    let named = |name: &str| -> ClientSecurity {
        ClientTls::builder(ca.certificate_pem()).server_name(name).build().unwrap().into()
    };
    let channel = connect(&server.target(), &named("cc.example.com")).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "nobody of none");
    let seen = probe(&server.target(), &named("cc.example.com"), PATIENCE).await.unwrap();
    assert_eq!(seen.session.unwrap().server_name.as_deref(), Some("cc.example.com"));
    assert_eq!(refused(&server.target(), &named("10.1.2.3")).await.verdict.name(), "name-mismatch");
    assert_eq!(refused(&server.target(), &named("other.example.com")).await.verdict.name(), "name-mismatch");
}

#[tokio::test]
async fn a_channel_connects_anew_after_the_server_was_gone() {
    let ca = authority("CA");
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let server = Running::start(mutual(&ca, &ca)).await;
    let (address, target) = (server.address.to_string(), server.target());
    let channel = connect(&target, &security).await.unwrap();
    who_am_i(channel.clone()).await.unwrap();
    server.stop().await;
    // The first call may still meet the dying connection; one of the next finds nobody there.
    let mut refused = false;
    for _ in 0..10 {
        let status = who_am_i(channel.clone()).await.unwrap_err();
        refused |= sources(&status).contains("the connection was refused");
    }
    assert!(refused);
    let _server = Running::start_at(&address, mutual(&ca, &ca), selvedge_tls::Limits::default()).await;
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Ok(name) = who_am_i(channel.clone()).await {
                return name;
            }
        }
    });
    assert_eq!(again.await.unwrap(), "CN=client of none");
}

#[tokio::test]
async fn new_security_counts_for_newcomers_and_for_those_who_are_there() {
    let (old, new) = (authority("old CA"), authority("new CA"));
    let server = Running::start(mutual(&old, &old)).await;
    let (as_old, as_new) = (
        trusting_as(old.certificate_pem(), &client_leaf(&old)),
        trusting_as(new.certificate_pem(), &client_leaf(&new)),
    );
    let channel = connect(&server.target(), &as_old).await.unwrap();
    who_am_i(channel.clone()).await.unwrap();
    server.switch.replace(mutual(&new, &new));
    crate::live::ends(&channel).await;
    assert_eq!(refused(&server.target(), &as_old).await.verdict.name(), "unknown-issuer");
    who_am_i(connect(&server.target(), &as_new).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_is_its_own_chain() {
    let openssl_like = |name: &str| {
        selvedge_pki::self_signed(&spec(name, &["localhost", "127.0.0.1"], Usage::Unrestricted)).unwrap()
    };
    let (server_leaf, client_leaf) = (openssl_like("server"), openssl_like("client"));
    let tls = ServerTls::builder(identity(&server_leaf))
        .require_client_certificates(&client_leaf.certificate_pem)
        .build()
        .unwrap();
    let server = Running::start(tls).await;
    let security = trusting_as(&server_leaf.certificate_pem, &client_leaf);
    let channel = connect(&server.target(), &security).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "CN=client of none");
}

#[tokio::test]
async fn intermediates_are_followed() {
    let root = authority("root CA");
    let intermediate = root
        .issue_authority(&selvedge_pki::AuthoritySpec {
            common_name: "intermediate CA".into(),
            ..Default::default()
        })
        .unwrap();
    let leaf = server_leaf(&intermediate);
    let chain = format!("{}{}", leaf.certificate_pem, intermediate.certificate_pem());
    let with_chain = selvedge_tls::Identity::from_pem(chain, &leaf.key_pem).unwrap();
    let tls = ServerTls::builder(with_chain).without_client_certificates().unwrap();
    let server = Running::start(tls).await;
    connect(&server.target(), &trusting(root.certificate_pem())).await.unwrap();
    let server = Running::start(one_way(&leaf)).await;
    let error = refused(&server.target(), &trusting(root.certificate_pem())).await;
    assert_eq!(error.verdict.name(), "unknown-issuer");
    // Go takes an intermediate as an anchor, and so does this.
    connect(&server.target(), &trusting(intermediate.certificate_pem())).await.unwrap();
}

#[tokio::test]
async fn ipv6_works_with_and_without_a_name() {
    let ca = authority("CA");
    let tls = one_way(&server_leaf(&ca));
    let Ok(_) = std::net::TcpListener::bind("[::1]:0") else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let server = Running::start_at("[::1]:0", tls, selvedge_tls::Limits::default()).await;
    let target: Target = format!("[::1]:{}", server.address.port()).parse().unwrap();
    let channel = connect(&target, &trusting(ca.certificate_pem())).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "nobody of none");
}

fn sources(status: &tonic::Status) -> String {
    let mut text = status.to_string();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text.push_str(" / ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
