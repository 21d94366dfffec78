//! What is in a package, and what is wrong with it.

use std::fs;

use selvedge_package::connection::{Connection, Security, Warning};
use selvedge_package::pack::CONNECTION_FILE;
use selvedge_package::{Limits, Package, unpack};
use selvedge_tls::{CertificateFacts, Target};
use serde_json::{Value, json};

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

/// What was found.
pub(super) struct Findings {
    /// All of it.
    pub(super) document: Value,
    /// What is legal but most likely not meant.
    pub(super) warnings: Vec<String>,
    /// Whether a peer could use the package.
    pub(super) sound: bool,
    /// Whether a private key is inside.
    pub(super) secret: bool,
}

/// Reads a package as a peer and its builder do.
pub(super) fn inspect(package: &Package) -> Result<Findings, Failure> {
    let failed = |error| errors::package("the code within the package cannot be read", &error);
    let folder = tempfile::tempdir()
        .map_err(|error| errors::text(catalogue::MACHINE, "no temporary folder is to be had", &error))?;
    let code = folder.path().join("code");
    unpack::unpack(package.code(), &code, &Limits::default()).map_err(failed)?;
    let indexes = package.indexes(&Limits::default()).map_err(failed)?;
    let metadata = package.metadata();
    let mut document = json!({
        "package_id": package.id().to_string(),
        "label": metadata.label(),
        "type": metadata.chaincode_type(),
        "path": metadata.path(),
        "code_sha256": hex::encode(package.code_sha256()),
        "indexes": indexes.iter().map(|index| index.path.as_str()).collect::<Vec<_>>(),
    });
    let mut report = Report::default();
    for file in package.unexpected_files() {
        report.warnings.push(format!("the package holds {file:?}, which peers ignore"));
    }
    if metadata.is_ccaas() {
        let path = code.join(CONNECTION_FILE);
        match fs::read(&path) {
            Ok(text) => document["connection"] = report.connection(&text),
            Err(_) => report.errors.push("the code has no connection.json at its top".to_owned()),
        }
    } else {
        report.warnings.push(format!(
            "the type is {:?}: the ccaas builder takes packages of type \"ccaas\" only, in lower case",
            metadata.chaincode_type()
        ));
    }
    document["errors"] = json!(report.errors);
    document["warnings"] = json!(report.warnings);
    Ok(Findings {
        document,
        sound: report.errors.is_empty(),
        warnings: report.warnings,
        secret: report.secret,
    })
}

#[derive(Default)]
struct Report {
    errors: Vec<String>,
    warnings: Vec<String>,
    secret: bool,
}

impl Report {
    /// Judges a connection.json and describes it without any private key.
    fn connection(&mut self, text: &[u8]) -> Value {
        let (connection, warnings) = match Connection::parse(text).and_then(|connection| {
            let warnings = Connection::warnings(text)?;
            Ok((connection, warnings))
        }) {
            Ok(read) => read,
            Err(error) => {
                self.errors.push(format!("connection.json: {error}; fix: {}", error.fix()));
                return Value::Null;
            }
        };
        self.secret = warnings.contains(&Warning::EmbeddedKey);
        self.warnings.extend(warnings.iter().map(ToString::to_string));
        let server = connection.server();
        match &server {
            Err(error) => self.errors.push(format!("connection.json: {error}; fix: {}", error.fix())),
            Ok(server) => {
                if let Security::Tls { root_cert, .. } = &server.security {
                    self.roots(root_cert, &server.address);
                }
            }
        }
        json!({
            "address": connection.address,
            "dial_timeout": connection.dial_timeout.to_string(),
            "domain": connection.domain,
            "tls_required": connection.tls_required,
            "client_auth_required": connection.client_auth_required,
            "root_cert": certificates(&connection.root_cert),
            "client_cert": certificates(&connection.client_cert),
            "client_key": key(&connection.client_key),
        })
    }

    /// A server's own certificate as the root must name the host; an authority need not.
    fn roots(&mut self, text: &str, address: &str) {
        if text.contains("{{") {
            return;
        }
        let facts = facts(text);
        if facts.is_empty() {
            self.errors
                .push("root_cert holds no certificate: it is PEM text with \\n between the lines".to_owned());
        }
        let Ok(target) = address.parse::<Target>() else {
            if !address.contains("{{") {
                self.errors.push(format!("the address {address:?} is not host:port"));
            }
            return;
        };
        for facts in facts {
            let names = facts.alternative_names();
            if names.is_empty() && facts.common_name.as_deref() == Some(&target.host) {
                self.warnings.push(format!(
                    "root_cert is a certificate for {} by its common name only, without a subject alternative \
                     name: peers refuse a server that shows it ({})",
                    target.host,
                    catalogue::TLS_NO_ALTERNATIVE_NAME.code
                ));
            } else if !names.is_empty() && !names.contains(&target.host) {
                self.warnings.push(format!(
                    "root_cert is a certificate for {}, not for {}: peers refuse a server that shows it ({})",
                    names.join(", "),
                    target.host,
                    catalogue::TLS_NAME_MISMATCH.code
                ));
            }
        }
    }
}

fn facts(text: &str) -> Vec<CertificateFacts> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    blocks
        .iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .filter_map(|block| CertificateFacts::from_der(block.contents()).ok())
        .collect()
}

fn certificates(text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    if text.contains("{{") {
        return json!({ "template": text });
    }
    let describe = |facts: CertificateFacts| {
        json!({
            "subject": facts.subject,
            "issuer": facts.issuer,
            "names": facts.alternative_names(),
            "not_before": facts.not_before.to_string(),
            "not_after": facts.not_after.to_string(),
            "sha256": facts.fingerprint.to_string(),
        })
    };
    Value::Array(facts(text).into_iter().map(describe).collect())
}

/// Never the key itself.
fn key(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text if text.contains("{{") && !text.contains("PRIVATE KEY") => json!({ "template": text }),
        _ => json!("inside the package, not shown"),
    }
}
