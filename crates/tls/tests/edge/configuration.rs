//! Certificates, keys and authorities as they come in files, with all that can be wrong with them.

use selvedge_pki::{LeafSpec, Usage};
use selvedge_tls::{
    ClientRule, ClientTls, ConfigError, Fingerprint, Identity, PemError, PemProblem, ServerTls,
};

use crate::support::*;

fn problem(error: ConfigError) -> PemProblem {
    match error {
        ConfigError::Pem(PemError { problem, .. }) => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn each_mistake_with_an_identity_has_its_name() {
    let ca = authority("CA");
    let (one, two) = (server_leaf(&ca), server_leaf(&ca));
    let certificate = one.certificate_pem.as_str();
    let key = one.key_pem.as_str();
    let load = |chain: &str, key: &str| Identity::from_pem(chain, key).unwrap_err();

    let mismatch = load(certificate, two.key_pem.as_str());
    assert!(
        matches!(&mismatch, ConfigError::KeyMismatch { subject, .. } if subject == "CN=server"),
        "{mismatch}"
    );
    assert_eq!(problem(load("", key)), PemProblem::Empty);
    assert_eq!(problem(load(certificate, "nothing")), PemProblem::Empty);
    assert!(matches!(problem(load(key, key)), PemProblem::WrongKind { found, .. } if found == "PRIVATE KEY"));
    assert!(
        matches!(problem(load(certificate, certificate)), PemProblem::WrongKind { found, .. } if found == "CERTIFICATE")
    );
    let keys = format!("{key}{}", two.key_pem.as_str());
    assert_eq!(problem(load(certificate, &keys)), PemProblem::SeveralKeys { count: 2 });
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(problem(load(certificate, &encrypted)), PemProblem::Encrypted);
    let legacy =
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n";
    assert_eq!(problem(load(certificate, legacy)), PemProblem::Encrypted);
    let cut = certificate.get(..certificate.len() / 2).unwrap();
    assert!(matches!(problem(load(cut, key)), PemProblem::Malformed { .. }));
    let cut = key.get(..key.len() / 2).unwrap();
    assert!(matches!(problem(load(certificate, cut)), PemProblem::Malformed { .. }));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let second = format!("{certificate}{garbage}");
    assert!(matches!(problem(load(&second, key)), PemProblem::NotACertificate { number: 2, .. }));
    let garbage = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(problem(load(certificate, garbage)), PemProblem::UnusableKey { .. }));
}

#[test]
fn files_are_named_in_errors_and_text_around_blocks_is_allowed() {
    let leaf = server_leaf(&authority("CA"));
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let missing = Identity::from_files(&chain, &key).unwrap_err().to_string();
    assert!(missing.contains("key.pem") || missing.contains("chain.pem"), "{missing}");
    std::fs::write(&chain, format!("Certificate:\r\n  Data: x\r\n{}", leaf.certificate_pem)).unwrap();
    std::fs::write(&key, leaf.key_pem.as_bytes()).unwrap();
    assert_eq!(Identity::from_files(&chain, &key).unwrap().certificate().subject, "CN=server");
    std::fs::write(&key, "no key").unwrap();
    let error = Identity::from_files(&chain, &key).unwrap_err().to_string();
    assert!(error.contains("key.pem") && error.contains("no PEM block"), "{error}");
}

#[test]
fn keys_are_not_printed() {
    let leaf = server_leaf(&authority("CA"));
    let identity = identity(&leaf);
    let shown = format!("{identity:?}");
    assert!(shown.contains("CN=server") && shown.contains(&identity.certificate().fingerprint.to_string()));
    let secret = leaf.key_pem.as_str().lines().nth(1).unwrap();
    assert!(!shown.contains(secret));
}

#[test]
fn several_authorities_stand_in_one_file() {
    let (one, two) = (authority("one"), authority("two"));
    let both = format!("{}{}", one.certificate_pem(), two.certificate_pem());
    ClientTls::builder(&both).build().unwrap();
    assert!(matches!(problem(ClientTls::builder("").build().unwrap_err()), PemProblem::Empty));
    let key = one.key_pem().as_str();
    assert!(matches!(
        problem(ClientTls::builder(format!("{both}{key}")).build().unwrap_err()),
        PemProblem::WrongKind { .. }
    ));
}

#[test]
fn an_authority_serves_one_msp() {
    let ca = authority("CA");
    let identity = identity(&server_leaf(&ca));
    let both = [("Org1MSP", ca.certificate_pem()), ("Org2MSP", ca.certificate_pem())];
    let error = ServerTls::builder(identity.clone()).require_clients_of(both).build().unwrap_err();
    assert!(matches!(error, ConfigError::AmbiguousMsp { .. }), "{error}");
    let error = ServerTls::builder(identity)
        .require_client_certificates(ca.certificate_pem())
        .allow(ClientRule::Msp("Org1MSP".into()))
        .build()
        .unwrap_err();
    assert!(matches!(error, ConfigError::UnknownMsp { .. }), "{error}");
}

#[test]
fn certificates_are_read_for_people() {
    let ca = authority("CA");
    let sans = ["a.example.com", "10.0.0.1", "::1", "spiffe://x/y"];
    let leaf: LeafSpec = spec("leaf", &sans, Usage::Client);
    let identity = identity(&ca.issue(&leaf).unwrap());
    let facts = identity.certificate();
    assert_eq!(facts.alternative_names(), ["a.example.com", "10.0.0.1", "::1", "spiffe://x/y"]);
    assert_eq!(facts.common_name.as_deref(), Some("leaf"));
    assert_eq!(facts.issuer, "CN=CA");
    assert_eq!(facts.extended_key_usage.as_deref(), Some(&["clientAuth".to_owned()][..]));
    assert!(!facts.may_issue && facts.not_before < facts.not_after);
    let text = facts.fingerprint.to_string();
    let colons: Vec<String> =
        text.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    assert_eq!(colons.join(":").parse::<Fingerprint>().unwrap(), facts.fingerprint);
    assert!("abc".parse::<Fingerprint>().is_err());
}
