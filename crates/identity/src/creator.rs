//! The creator of a proposal: the identity a contract sees.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use prost::Message;
use selvedge_proto::msp::SerializedIdentity;
use serde_json::Value;
use thiserror::Error;

use crate::certificate::{Certificate, CertificateError};

/// Why creator bytes are not an X.509 identity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreatorError {
    /// Not a `SerializedIdentity` message.
    #[error("failed to unmarshal transaction invoker's identity: {0}")]
    NotAnIdentity(String),
    /// The identity holds no certificate. Idemix credentials, which hide their holder, are not supported.
    #[error("failed to parse certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate's attribute extension is not what Fabric CA writes.
    #[error("failed to get attributes from the transaction invoker's certificate: {0}")]
    Attributes(String),
}

/// A parsed `SerializedIdentity`. It says who claims to act; only an MSP can say whether the claim holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creator {
    msp_id: String,
    certificate: Certificate,
    attributes: BTreeMap<String, String>,
}

impl Creator {
    /// Reads the bytes that `SignatureHeader.creator` carries.
    pub fn parse(serialized: &[u8]) -> Result<Self, CreatorError> {
        let identity = SerializedIdentity::decode(serialized)
            .map_err(|error| CreatorError::NotAnIdentity(error.to_string()))?;
        let certificate = Certificate::from_pem(&identity.id_bytes)?;
        let attributes = match certificate.attributes() {
            Some(json) => read_attributes(json)?,
            None => BTreeMap::new(),
        };
        Ok(Self { msp_id: identity.mspid, certificate, attributes })
    }

    /// The id of the MSP the creator claims to belong to.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The creator's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// An attribute that Fabric CA put into the certificate, such as `hf.EnrollmentID`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// All attributes by name.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Whether the certificate's subject has this organizational unit.
    pub fn has_organizational_unit(&self, unit: &str) -> bool {
        self.certificate.organizational_units().any(|value| value == unit)
    }

    /// The client id that Go's client identity library computes: base64 of `x509::<subject>::<issuer>`. It stays
    /// the same when a certificate is renewed. The libraries for Node, Java and Python compute different ones, so
    /// a contract ported from those languages cannot compare ids it stored earlier.
    pub fn id(&self) -> String {
        STANDARD.encode(self.decoded_id())
    }

    /// What [`Creator::id`] encodes, `x509::<subject>::<issuer>`, which people can read.
    pub fn decoded_id(&self) -> String {
        format!("x509::{}::{}", self.certificate.subject(), self.certificate.issuer())
    }
}

/// The encoded `SerializedIdentity` of a certificate in PEM.
pub fn serialize(msp_id: &str, certificate_pem: &[u8]) -> Bytes {
    SerializedIdentity { mspid: msp_id.to_owned(), id_bytes: Bytes::copy_from_slice(certificate_pem) }
        .encode_to_vec()
        .into()
}

fn read_attributes(json: &[u8]) -> Result<BTreeMap<String, String>, CreatorError> {
    let wrong = |error: serde_json::Error| CreatorError::Attributes(error.to_string());
    // A map rather than a struct, which serde would also read from a JSON array.
    let mut fields: BTreeMap<String, Value> = serde_json::from_slice(json).map_err(wrong)?;
    match fields.remove("attrs") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(attributes) => serde_json::from_value(attributes).map_err(wrong),
    }
}
