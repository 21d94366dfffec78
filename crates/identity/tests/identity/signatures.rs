use std::collections::BTreeSet;

use selvedge_golden::Corpus;
use selvedge_identity::signature::{PublicKey, VerificationCache};
use selvedge_identity::{Certificate, SignatureError, SigningIdentity};

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("a hex string")).expect("hex")
}

#[test]
fn golden_signatures_have_fabrics_verdict() {
    let corpus = Corpus::get();
    let cache = VerificationCache::new(64);
    let mut verdicts = BTreeSet::new();
    for case in corpus.json_lines("vectors/signatures.jsonl") {
        let name = &case["name"];
        let path = format!("vectors/{}", case["cert"].as_str().expect("a path"));
        let certificate = Certificate::from_pem(corpus.file(&path)).expect("a certificate");
        let key = PublicKey::from_certificate(&certificate).expect("a key Fabric knows");
        let (message, signature) = (bytes(&case["message"]), bytes(&case["signature"]));

        let verdict = key.verify(&message, &signature);
        match case["error"].as_str() {
            None => assert_eq!(verdict, Ok(()), "{name}"),
            Some(error) => {
                let ours = verdict.clone().expect_err(&format!("{name} must be refused")).to_string();
                // Fabric's texts go on with a dump of numbers or types.
                let kinds =
                    ["The signature is invalid", "Cannot be empty", "unmashalling", "Must be smaller"];
                let kind = kinds.iter().find(|kind| error.contains(*kind)).expect("a known kind of error");
                assert!(ours.contains(kind), "{name}: {ours}");
            }
        }
        verdicts.insert(verdict.is_ok());
        for _ in 0..2 {
            assert_eq!(cache.verify(&key, &message, &signature), verdict, "{name} through the cache");
        }
    }
    assert_eq!(verdicts, BTreeSet::from([false, true]), "the corpus has good and bad signatures");
}

#[test]
fn the_cache_is_bounded_and_keeps_no_failures() {
    let authority = crate::authority::Authority::new("Org1MSP");
    let signer = authority.signer("client", "client");
    let key = PublicKey::from_certificate(signer.certificate()).expect("P-256");
    let cache = VerificationCache::new(8);
    for number in 0..64_u32 {
        let message = number.to_be_bytes();
        let signature = signer.sign(&message).expect("signed");
        assert_eq!(cache.verify(&key, &message, &signature), Ok(()));
        assert_eq!(cache.verify(&key, b"another message", &signature), Err(SignatureError::Invalid));
    }
    assert!(cache.len() <= 16, "{} entries", cache.len());
    assert!(!cache.is_empty());
    let empty = VerificationCache::new(8);
    assert!(empty.verify(&key, b"message", b"").is_err());
    assert!(empty.is_empty());
}

#[test]
fn an_own_signature_counts_for_its_key_message_and_bytes_only() {
    let authority = crate::authority::Authority::new("Org1MSP");
    let (signer, other) = (authority.signer("peer", "peer"), authority.signer("client", "client"));
    let key = |signer: &SigningIdentity| PublicKey::from_certificate(signer.certificate()).expect("P-256");
    let cache = VerificationCache::new(8);
    let signature = signer.sign(b"message").expect("signed");
    cache.remember_own(&signer, b"message", &signature);
    assert_eq!(cache.verify(&key(&signer), b"message", &signature), Ok(()));
    assert_eq!(cache.len(), 1, "it was remembered before it was asked for");

    assert_eq!(cache.verify(&key(&other), b"message", &signature), Err(SignatureError::Invalid));
    assert_eq!(cache.verify(&key(&signer), b"another", &signature), Err(SignatureError::Invalid));
    let another = other.sign(b"message").expect("signed");
    assert_eq!(cache.verify(&key(&signer), b"message", &another), Err(SignatureError::Invalid));
}
