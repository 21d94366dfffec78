//! Package files that a real peer accepted or refused.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use selvedge_golden::Corpus;
use selvedge_package::{Limits, Package, PackageError, PackageId};
use serde_json::Value;

#[test]
fn golden_packages_get_fabrics_verdict() {
    let corpus = Corpus::get();
    let vectors = corpus.json_lines("vectors/packages.jsonl");
    assert!(vectors.iter().any(|vector| vector["error"].is_null()), "no accepted package recorded");
    assert!(vectors.iter().any(|vector| !vector["error"].is_null()), "no refused package recorded");
    for vector in vectors {
        let file = vector["file"].as_str().unwrap();
        let parsed = Package::parse(corpus.file(&format!("vectors/{file}")).to_vec(), &Limits::default());
        match vector["error"].as_str() {
            Some(text) => check_refused(file, parsed.unwrap_err(), text),
            None => check_accepted(file, &parsed.unwrap_or_else(|error| panic!("{file}: {error}")), &vector),
        }
    }
}

fn check_refused(file: &str, error: PackageError, text: &str) {
    if let PackageError::Metadata(selvedge_package::JsonError::Syntax(_)) = error {
        // The verdict is Fabric's; where the syntax breaks is told with line and column instead of Go's words.
        let stage = "could not unmarshal metadata.json as json: ";
        assert!(text.starts_with(stage) && error.to_string().starts_with(stage), "{file}: {error} / {text}");
    } else {
        assert_eq!(error.to_string(), text, "{file}");
    }
    assert!(!error.fix().is_empty());
}

fn check_accepted(file: &str, package: &Package, vector: &Value) {
    let id = vector["package_id"].as_str().unwrap();
    assert_eq!(package.id().to_string(), id, "{file}");
    assert_eq!(id.parse::<PackageId>().unwrap(), *package.id(), "{file}");
    assert_eq!(hex::encode(package.code_sha256()), vector["code_sha256"], "{file}");
    let metadata = package.metadata();
    assert_eq!(metadata.label(), vector["label"], "{file}");
    assert_eq!(metadata.path(), vector["path"], "{file}");
    assert_eq!(metadata.chaincode_type(), vector["type"], "{file}");
    let later = vector.get("parse_error").is_some_and(|error| !error.is_null());
    assert_eq!(package.indexes(&Limits::default()).is_err(), later, "{file}");
}
