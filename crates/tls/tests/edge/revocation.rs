//! Revocation lists, and what happens where there is none.

use selvedge_pki::time::{Duration, OffsetDateTime};
use selvedge_pki::{Authority, AuthoritySpec, Leaf};
use selvedge_tls::{ConfigError, PemProblem, ServerTls, UnknownRevocation};

use crate::live::{connect_before, ends};
use crate::support::*;

fn tomorrow() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::DAY
}

fn yesterday() -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::DAY
}

fn list(authority: &Authority, revoked: &[&Leaf], next_update: OffsetDateTime) -> String {
    let revoked: Vec<&str> = revoked.iter().map(|leaf| leaf.certificate_pem.as_str()).collect();
    authority.revocation_list(&revoked, next_update).expect("a revocation list")
}

fn server(ca: &Authority, clients: &str, lists: &[String], unknown: UnknownRevocation) -> ServerTls {
    let builder = ServerTls::builder(identity(&server_leaf(ca))).require_client_certificates(clients);
    let builder = lists.iter().fold(builder, |builder, list| builder.revocation_list(list));
    builder.unknown_revocation(unknown).build().expect("a server's configuration")
}

/// Connects and tells the name of the refusal, or `None` when it is let in.
async fn verdict(tls: ServerTls, ca: &Authority, client: &Leaf) -> Option<&'static str> {
    let mut running = Running::start(tls).await;
    let security = trusting_as(ca.certificate_pem(), client);
    match connect(&running.target(), &security).await {
        Ok(channel) => {
            who_am_i(channel).await.expect("an answer");
            None
        }
        Err(_) => Some(running.reason().await.name()),
    }
}

#[tokio::test]
async fn who_is_on_the_list_is_refused() {
    let ca = authority("CA");
    let (revoked, good) = (client_leaf(&ca), client_leaf(&ca));
    let lists = [list(&ca, &[&revoked], tomorrow())];
    for unknown in [UnknownRevocation::Refuse, UnknownRevocation::Allow] {
        let tls = || server(&ca, ca.certificate_pem(), &lists, unknown);
        assert_eq!(verdict(tls(), &ca, &revoked).await, Some("revoked"));
        assert_eq!(verdict(tls(), &ca, &good).await, None);
    }
}

#[tokio::test]
async fn without_a_list_of_the_issuer_the_setting_decides() {
    let (ca, other) = (authority("CA"), authority("other"));
    let client = client_leaf(&other);
    let both = format!("{}{}", ca.certificate_pem(), other.certificate_pem());
    let lists = [list(&ca, &[], tomorrow())];
    let tls = |unknown| server(&ca, &both, &lists, unknown);
    assert_eq!(verdict(tls(UnknownRevocation::Refuse), &ca, &client).await, Some("revocation-unknown"));
    assert_eq!(verdict(tls(UnknownRevocation::Allow), &ca, &client).await, None);
    // Where no list is configured at all, nothing is asked.
    assert_eq!(verdict(server(&ca, &both, &[], UnknownRevocation::Refuse), &ca, &client).await, None);
}

#[tokio::test]
async fn an_expired_list_vouches_for_nobody_but_still_refuses_whom_it_names() {
    let ca = authority("CA");
    let (revoked, good) = (client_leaf(&ca), client_leaf(&ca));
    let lists = [list(&ca, &[&revoked], yesterday())];
    let tls = |unknown| server(&ca, ca.certificate_pem(), &lists, unknown);
    let expired = Some("revocation-list-expired");
    assert_eq!(verdict(tls(UnknownRevocation::Refuse), &ca, &good).await, expired);
    assert!(verdict(tls(UnknownRevocation::Refuse), &ca, &revoked).await.is_some());
    assert_eq!(verdict(tls(UnknownRevocation::Allow), &ca, &good).await, None);
    assert_eq!(verdict(tls(UnknownRevocation::Allow), &ca, &revoked).await, Some("revoked"));
}

#[tokio::test]
async fn of_two_lists_of_one_authority_the_newer_counts() {
    let ca = authority("CA");
    let revoked = client_leaf(&ca);
    let (old, new) = (list(&ca, &[], yesterday()), list(&ca, &[&revoked], tomorrow()));
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let tls = server(&ca, ca.certificate_pem(), &lists, UnknownRevocation::Refuse);
        assert_eq!(verdict(tls, &ca, &revoked).await, Some("revoked"));
    }
}

#[tokio::test]
async fn a_list_that_another_key_signed_vouches_for_nobody() {
    let (ca, impostor) = (authority("CA"), authority("CA"));
    let client = client_leaf(&ca);
    let lists = [list(&impostor, &[], tomorrow())];
    let tls = server(&ca, ca.certificate_pem(), &lists, UnknownRevocation::Refuse);
    assert_eq!(verdict(tls, &ca, &client).await, Some("certificate-refused"));
}

#[tokio::test]
async fn a_revoked_intermediate_takes_its_clients_with_it() {
    let ca = authority("CA");
    let spec = AuthoritySpec { common_name: "intermediate".into(), ..AuthoritySpec::default() };
    let intermediate = ca.issue_authority(&spec).unwrap();
    let mut client = client_leaf(&intermediate);
    client.certificate_pem.push_str(intermediate.certificate_pem());
    let of_intermediate = list(&intermediate, &[], tomorrow());
    let revoking = ca.revocation_list(&[intermediate.certificate_pem()], tomorrow()).unwrap();
    let tls = |lists: &[String]| server(&ca, ca.certificate_pem(), lists, UnknownRevocation::Refuse);
    let good = [of_intermediate.clone(), list(&ca, &[], tomorrow())];
    assert_eq!(verdict(tls(&good), &ca, &client).await, None);
    assert_eq!(verdict(tls(&[of_intermediate, revoking]), &ca, &client).await, Some("revoked"));
}

#[tokio::test]
async fn a_certificate_that_is_itself_configured_is_not_looked_up() {
    let ca = authority("CA");
    let client = client_leaf(&ca);
    let lists = [list(&ca, &[&client], tomorrow())];
    let tls = server(&ca, &client.certificate_pem, &lists, UnknownRevocation::Refuse);
    assert_eq!(verdict(tls, &ca, &client).await, None);
}

#[tokio::test]
async fn a_list_that_names_a_connected_client_ends_its_connection() {
    let ca = authority("CA");
    let client = client_leaf(&ca);
    let mut running = Running::start(mutual(&ca, &ca)).await;
    let channel = connect(&running.target(), &trusting_as(ca.certificate_pem(), &client)).await.unwrap();
    who_am_i(channel.clone()).await.unwrap();
    let lists = [list(&ca, &[&client], tomorrow())];
    running.switch.replace(server(&ca, ca.certificate_pem(), &lists, UnknownRevocation::Refuse));
    let refusal = running.refusal().await;
    assert!(refusal.was_let_in);
    assert_eq!(refusal.reason.name(), "revoked");
    ends(&channel).await;
    running.stop().await;
}

#[tokio::test]
async fn a_connection_ends_when_its_revocation_list_expires() {
    let ca = authority("CA");
    let mut running = Running::start(mutual(&ca, &ca)).await;
    let switch = running.switch.clone();
    let channel = connect_before(&mut running, |next_update| {
        let lists = [list(&ca, &[], next_update)];
        switch.replace(server(&ca, ca.certificate_pem(), &lists, UnknownRevocation::Refuse));
        (trusting_as(ca.certificate_pem(), &client_leaf(&ca)), ())
    })
    .await;
    let refusal = running.refusal().await;
    assert!(refusal.was_let_in, "{}", refusal.reason);
    assert_eq!(refusal.reason.name(), "revocation-list-expired");
    ends(&channel).await;
    running.stop().await;
}

#[test]
fn what_is_no_revocation_list_is_refused() {
    let ca = authority("CA");
    let build = |list: &str| {
        ServerTls::builder(identity(&server_leaf(&ca)))
            .require_client_certificates(ca.certificate_pem())
            .revocation_list(list)
            .build()
            .unwrap_err()
    };
    let problem = |list: &str| match build(list) {
        ConfigError::Pem(error) => error.problem,
        other => panic!("{other}"),
    };
    assert!(matches!(problem(ca.certificate_pem()), PemProblem::WrongKind { .. }));
    assert!(matches!(problem("no PEM"), PemProblem::Empty));
    let relabelled = ca.certificate_pem().replace("CERTIFICATE", "X509 CRL");
    assert!(matches!(problem(&relabelled), PemProblem::NotACrl { number: 1, .. }));
    let whole = list(&ca, &[], tomorrow());
    let cut = whole.split("-----END").next().unwrap();
    assert!(matches!(problem(cut), PemProblem::Malformed { .. }));
}
