use pem::Pem;
use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};
use selvedge_identity::msp::{MspManager, MspVersion};
use selvedge_identity::{SigningError, SigningIdentity};

use crate::authority::Authority;

#[test]
fn signatures_are_accepted_by_the_msp_of_their_signer() {
    let authority = Authority::new("Org1MSP");
    let manager =
        MspManager::from_configs([&authority.msp()], MspVersion::V1_4_3, None).expect("a usable MSP");
    let signer = authority.signer("client", "client");
    let identity = manager.deserialize_valid(signer.serialized()).expect("a member");
    // Half of all signatures come out of ECDSA in the high form, so some of these had to be lowered.
    for number in 0..64_u32 {
        let message = number.to_be_bytes();
        let signature = signer.sign(&message).expect("signed");
        assert_eq!(identity.verify(&message, &signature), Ok(()));
        assert!(identity.verify(b"another", &signature).is_err());
    }
}

#[test]
fn keys_are_read_in_pkcs8_and_sec1() {
    let authority = Authority::new("Org1MSP");
    let (certificate, key) = authority.issue("client", Some("client"), None);
    let pkcs8 = key.serialize_pem();
    assert!(SigningIdentity::from_pem("Org1MSP", certificate.as_bytes(), pkcs8.as_bytes()).is_ok());

    let pair = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        &key.serialize_der(),
    )
    .expect("P-256");
    let encoded: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> =
        aws_lc_rs::encoding::AsDer::as_der(&pair.private_key()).expect("encoded");
    let parameters = pem::encode(&Pem::new("EC PARAMETERS", vec![6, 8, 42, 134, 72, 206, 61, 3, 1, 7]));
    let sec1 = pem::encode(&Pem::new("EC PRIVATE KEY", encoded.as_ref().to_vec()));
    for text in [sec1.clone(), parameters + &sec1] {
        assert!(SigningIdentity::from_pem("Org1MSP", certificate.as_bytes(), text.as_bytes()).is_ok());
    }
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let authority = Authority::new("Org1MSP");
    let (certificate, key) = authority.issue("client", Some("client"), None);
    let (_, other) = authority.issue("other", Some("client"), None);
    let refused = |certificate: &str, key: &str| {
        SigningIdentity::from_pem("Org1MSP", certificate.as_bytes(), key.as_bytes()).expect_err("refused")
    };
    assert!(matches!(refused(&certificate, &other.serialize_pem()), SigningError::Mismatch { .. }));
    assert!(matches!(refused(&certificate, &certificate), SigningError::NoKey(_)));
    assert!(matches!(refused(&certificate, "junk"), SigningError::NoKey(_)));
    assert!(matches!(refused("junk", &key.serialize_pem()), SigningError::Certificate(_)));
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem();
    assert!(matches!(refused(&certificate, &p384), SigningError::Key(_)));
    let damaged = pem::encode(&Pem::new("PRIVATE KEY", vec![1, 2, 3]));
    assert!(matches!(refused(&certificate, &damaged), SigningError::Key(_)));
}

#[test]
fn debug_output_has_no_key() {
    let signer = Authority::new("Org1MSP").signer("client", "client");
    let shown = format!("{signer:?}");
    assert!(shown.contains("Org1MSP"));
    assert!(!shown.to_lowercase().contains("key"), "{shown}");
}
