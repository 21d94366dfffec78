use selvedge_golden::Corpus;
use selvedge_identity::creator::{Creator, serialize};
use selvedge_identity::{Certificate, CreatorError};

use crate::authority::Authority;

#[test]
fn golden_attributes_of_fabric_ca_are_read() {
    let pem = Corpus::get().file("vectors/msp/attrs.pem");
    let creator = Creator::parse(&serialize("Org1MSP", pem)).expect("a creator");
    assert_eq!(creator.msp_id(), "Org1MSP");
    assert!(!creator.attributes().is_empty());
    for (name, value) in creator.attributes() {
        assert_eq!(creator.attribute(name), Some(value.as_str()));
    }
    assert_eq!(creator.attribute("no such attribute"), None);
    assert!(creator.has_organizational_unit("client"));
    assert!(!creator.has_organizational_unit("peer"));
    assert!(creator.certificate().not_before() < creator.certificate().not_after());
}

#[test]
fn attributes_must_be_the_json_of_fabric_ca() {
    let authority = Authority::new("Org1MSP");
    let parse = |json: &str| {
        let (certificate, _) = authority.issue("client", Some("client"), Some(json));
        Creator::parse(&serialize("Org1MSP", certificate.as_bytes()))
    };
    let creator = parse(r#"{"attrs":{"hf.EnrollmentID":"alice","role":"auditor"}}"#).expect("a creator");
    assert_eq!(creator.attribute("hf.EnrollmentID"), Some("alice"));
    assert_eq!(parse("{}").expect("a creator").attributes().len(), 0);
    for wrong in ["", "junk", "[]", r#"{"attrs":{"number":1}}"#] {
        assert!(matches!(parse(wrong), Err(CreatorError::Attributes(_))), "{wrong}");
    }
}

/// Subject `/C=US/ST=North Carolina/L=Raleigh/O=Hyper, Ledger/OU=client/OU=dept/CN= #lead trail `
/// `/serialNumber=77/emailAddress=a@b/DC=zz/street=S/postalCode=1`, self-signed.
const ODD_NAME: &str = include_str!("odd-name.pem");

#[test]
fn names_are_written_as_go_writes_them() {
    // Written down from Go 1.26: `pkix.Name.ToRDNSequence().String()` of that certificate's subject.
    let expected = r"SERIALNUMBER=77,CN=\ #lead trail\ ,OU=client+OU=dept,O=Hyper\, Ledger,POSTALCODE=1,STREET=S,L=Raleigh,ST=North Carolina,C=US";
    let certificate = Certificate::from_pem(ODD_NAME.as_bytes()).expect("a certificate");
    assert_eq!(certificate.subject(), expected);
    assert_eq!(certificate.issuer(), expected);
    let creator = Creator::parse(&serialize("Org1MSP", ODD_NAME.as_bytes())).expect("a creator");
    let decoded = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, creator.id());
    assert_eq!(decoded.expect("base64"), format!("x509::{expected}::{expected}").into_bytes());
    assert_eq!(creator.decoded_id(), format!("x509::{expected}::{expected}"));
}

#[test]
fn creators_without_a_certificate_are_refused() {
    assert!(matches!(Creator::parse(&[0xff]), Err(CreatorError::NotAnIdentity(_))));
    assert!(matches!(Creator::parse(&[]), Err(CreatorError::Certificate(_))));
    assert!(matches!(Creator::parse(&serialize("Org1MSP", b"no PEM")), Err(CreatorError::Certificate(_))));
}
