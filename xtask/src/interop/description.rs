//! What a started network says of itself: the agreement with the example `interop` of the crate
//! `network`, and with `interop/node-client`, which reads the same file.
//!
//! ```json
//! {"gateway": {"address": "localhost:7051", "tls_root": "…/tlsca.pem", "server_name": "peer0.org1.example.com"},
//!  "channel": "mychannel",
//!  "identity": {"msp_id": "Org1MSP", "certificate": "…/cert.pem", "key": "…/key.pem"},
//!  "chaincodes": [{"name": "basic", "package_id": "basic_1.0:…", "address": "127.0.0.1:9999",
//!                  "server_certificate": "…", "server_key": "…", "client_ca": "…"}]}
//! ```
//! Certificates and keys are paths of PEM files, absolute or relative to the folder of the file. The
//! `chaincodes` stand in the order of the addresses that the network was given.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::workspace;

/// The part of the file that this program needs.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    pub(crate) chaincodes: Vec<Chaincode>,
}

/// A chaincode that is committed and waits for its server.
#[derive(Debug, Deserialize)]
pub(crate) struct Chaincode {
    pub(crate) name: String,
    pub(crate) package_id: String,
    pub(crate) address: String,
    pub(crate) server_certificate: PathBuf,
    pub(crate) server_key: PathBuf,
    /// What the server must trust: the issuer of the peers' client certificates.
    pub(crate) client_ca: PathBuf,
}

impl Description {
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut description = Self::parse(&workspace::read(file)?)?;
        for chaincode in &mut description.chaincodes {
            let paths =
                [&mut chaincode.server_certificate, &mut chaincode.server_key, &mut chaincode.client_ca];
            for path in paths {
                *path = folder.join(&*path);
            }
        }
        Ok(description)
    }

    /// The chaincode that the network was asked to expect at `address`.
    pub(crate) fn chaincode_at(&self, address: &str) -> Result<&Chaincode, Error> {
        let found = self.chaincodes.iter().find(|chaincode| chaincode.address == address);
        found.ok_or_else(|| contract(format!("no chaincode is expected at {address}")))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|error| contract(error.to_string()))
    }
}

fn contract(reason: String) -> Error {
    Error::Contract { what: "the network's description".to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
        "gateway": {"address": "localhost:7051", "tls_root": "ca.pem", "server_name": "peer0.org1.example.com"},
        "channel": "mychannel",
        "identity": {"msp_id": "Org1MSP", "certificate": "cert.pem", "key": "key.pem"},
        "chaincodes": [{"name": "basic", "package_id": "basic_1.0:ab", "address": "127.0.0.1:9999",
            "server_certificate": "server.pem", "server_key": "/keys/server.key", "client_ca": "client/ca.pem"}]
    }"#;

    #[test]
    fn relative_paths_start_at_the_files_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("network.json");
        std::fs::write(&file, TEXT).unwrap();
        let description = Description::read(&file).unwrap();
        let chaincode = description.chaincode_at("127.0.0.1:9999").unwrap();
        assert_eq!((chaincode.name.as_str(), chaincode.package_id.as_str()), ("basic", "basic_1.0:ab"));
        assert_eq!(chaincode.server_certificate, folder.path().join("server.pem"));
        assert_eq!(chaincode.server_key, Path::new("/keys/server.key"));
        assert_eq!(chaincode.client_ca, folder.path().join("client/ca.pem"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = Description::parse(r#"{"chaincodes": [{"name": "basic"}]}"#).unwrap_err().to_string();
        assert!(error.contains("missing field `package_id`"), "{error}");
        let error = Description::parse(TEXT).unwrap().chaincode_at("127.0.0.1:1").unwrap_err().to_string();
        assert!(error.contains("no chaincode is expected at 127.0.0.1:1"), "{error}");
    }
}
