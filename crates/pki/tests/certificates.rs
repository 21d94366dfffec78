//! What the certificates say, read back with an independent parser and, where it is installed, with openssl.

use std::collections::BTreeMap;
use std::process::Command;

use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, PkiError, Usage, Validity, self_signed};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

fn der(text: &str) -> Vec<u8> {
    pem::parse(text).expect("PEM").into_contents()
}

fn authority() -> Authority {
    let spec = AuthoritySpec {
        common_name: "ca.org1.example.com".into(),
        organization: Some("org1.example.com".into()),
        ..AuthoritySpec::default()
    };
    Authority::new(&spec).expect("an authority")
}

#[test]
fn an_authority_is_what_fabrics_msp_asks_for() {
    let bytes = der(authority().certificate_pem());
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    assert!(certificate.is_ca());
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && usage.crl_sign());
    let identifier = x509_parser::oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER;
    assert!(certificate.get_extension_unique(&identifier).unwrap().is_some());
    assert_eq!(certificate.subject().to_string(), "O=org1.example.com, CN=ca.org1.example.com");
    certificate.verify_signature(None).unwrap();
}

#[test]
fn a_signing_identity_carries_roles_and_attributes_and_no_names() {
    let authority = authority();
    let leaf = authority
        .issue(&LeafSpec {
            common_name: "user1".into(),
            organizational_units: vec!["client".into(), "department1".into()],
            usage: Usage::Signing,
            attributes: BTreeMap::from([("hf.EnrollmentID".into(), "us\"er1".into())]),
            ..LeafSpec::default()
        })
        .unwrap();
    let bytes = der(&leaf.certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    let units: Vec<_> =
        certificate.subject().iter_organizational_unit().map(|unit| unit.as_str().unwrap()).collect();
    assert_eq!(units, ["client", "department1"]);
    assert!(!certificate.is_ca());
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    assert!(certificate.extended_key_usage().unwrap().is_none());
    assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
    let oid = x509_parser::der_parser::oid!(1.2.3.4.5.6.7.8.1);
    let attributes = certificate.get_extension_unique(&oid).unwrap().unwrap();
    assert_eq!(attributes.value, br#"{"attrs":{"hf.EnrollmentID":"us\"er1"}}"#);

    let issuer = der(authority.certificate_pem());
    let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
    certificate.verify_signature(Some(issuer.public_key())).unwrap();
}

#[test]
fn names_are_told_apart_by_their_form() {
    let sans = ["localhost", "127.0.0.1", "::1", "spiffe://example.com/peer0"].map(String::from).to_vec();
    let leaf = authority().issue(&LeafSpec { sans, ..LeafSpec::default() }).unwrap();
    let bytes = der(&leaf.certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert!(matches!(
        names.value.general_names.as_slice(),
        [
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress([127, 0, 0, 1]),
            GeneralName::IPAddress([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            GeneralName::URI("spiffe://example.com/peer0"),
        ]
    ));
    for bad in ["", "bücher.example"] {
        let spec = LeafSpec { sans: vec![bad.into()], ..LeafSpec::default() };
        assert!(matches!(authority().issue(&spec), Err(PkiError::Name { .. })), "{bad}");
    }
}

#[test]
fn an_authority_returns_from_its_files_and_goes_on_signing() {
    let first = authority();
    let again = Authority::from_pem(first.certificate_pem(), first.key_pem().as_str()).unwrap();
    assert_eq!(again.certificate_pem(), first.certificate_pem());
    let leaf = again.issue(&LeafSpec { sans: vec!["localhost".into()], ..LeafSpec::default() }).unwrap();
    let (bytes, issuer) = (der(&leaf.certificate_pem), der(first.certificate_pem()));
    let (_, issuer) = X509Certificate::from_der(&issuer).unwrap();
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    assert_eq!(certificate.issuer().as_raw(), issuer.subject().as_raw());
    certificate.verify_signature(Some(issuer.public_key())).unwrap();
}

#[test]
fn what_is_no_authority_is_refused() {
    let (one, other) = (authority(), authority());
    let leaf = one.issue(&LeafSpec { common_name: "leaf".into(), ..LeafSpec::default() }).unwrap();
    let from = |certificate: &str, key: &str| Authority::from_pem(certificate, key).unwrap_err();
    let key = one.key_pem().as_str();
    assert!(matches!(from(other.certificate_pem(), key), PkiError::KeyMismatch { .. }));
    assert!(matches!(from(&leaf.certificate_pem, leaf.key_pem.as_str()), PkiError::NotAnAuthority { .. }));
    assert!(matches!(from(key, key), PkiError::Certificate { .. }));
    assert!(matches!(from("", key), PkiError::Certificate { .. }));
    assert!(matches!(from(one.certificate_pem(), "no key"), PkiError::Key { .. }));
    let two = format!("{}{}", one.certificate_pem(), other.certificate_pem());
    assert!(matches!(from(&two, key), PkiError::Certificate { .. }));
    let units = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let spec = LeafSpec { organizational_units: units, ..LeafSpec::default() };
    assert!(matches!(one.issue(&spec), Err(PkiError::OrganizationalUnits { count: 3 })));
}

#[test]
fn keys_are_not_printed() {
    let authority = authority();
    let leaf = authority.issue(&LeafSpec::default()).unwrap();
    let shown = format!("{authority:?} {leaf:?} {:?}", authority.key_pem());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
    assert!(leaf.key_pem.as_str().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn a_self_signed_certificate_is_what_openssl_makes() {
    let spec = LeafSpec {
        common_name: "cc".into(),
        sans: vec!["cc.example.com".into()],
        usage: Usage::Unrestricted,
        validity: Validity::days(30),
        ..LeafSpec::default()
    };
    let bytes = der(&self_signed(&spec).unwrap().certificate_pem);
    let (_, certificate) = X509Certificate::from_der(&bytes).unwrap();
    assert!(certificate.is_ca());
    assert!(certificate.key_usage().unwrap().is_none());
    assert!(certificate.extended_key_usage().unwrap().is_none());
    assert_eq!(certificate.subject().as_raw(), certificate.issuer().as_raw());
    certificate.verify_signature(None).unwrap();
}

#[test]
fn openssl_accepts_the_chain() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return;
    }
    let root = authority();
    let spec = AuthoritySpec { common_name: "intermediate".into(), ..AuthoritySpec::default() };
    let intermediate = root.issue_authority(&spec).unwrap();
    let leaf = intermediate.issue(&LeafSpec { sans: vec!["cc".into()], ..LeafSpec::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "cc", "-CAfile"])
        .arg(write("root.pem", root.certificate_pem()))
        .arg("-untrusted")
        .arg(write("intermediate.pem", intermediate.certificate_pem()))
        .arg(write("leaf.pem", &leaf.certificate_pem))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
