//! Identities that can sign.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::Bytes;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::certificate::{Certificate, CertificateError, MAX_CERTIFICATE_BYTES};
use crate::creator;
use crate::signature::p256_low_s;

/// Why an identity cannot sign.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigningError {
    /// The certificate cannot be read.
    #[error("the signing certificate cannot be used: {0}")]
    Certificate(#[from] CertificateError),
    /// The key file holds no private key in PEM. The text names what it holds instead, never contents.
    #[error("no private key found: expected a PEM block `PRIVATE KEY` or `EC PRIVATE KEY`, found {0}")]
    NoKey(String),
    /// The key is damaged, encrypted, or not on the curve P-256.
    #[error(
        "the private key cannot be used: expected an unencrypted ECDSA key on P-256 (PKCS#8 or SEC 1): {0}"
    )]
    Key(String),
    /// Key and certificate are a pair of different identities.
    #[error(
        "the private key does not belong to the certificate of {subject}; give the key its certificate was issued for"
    )]
    Mismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// The system's random numbers failed.
    #[error("signing failed: no random numbers available")]
    Random,
}

/// A certificate with its private key, as a member of an MSP. The key is never shown, not in `Debug` output either.
pub struct SigningIdentity {
    msp_id: String,
    certificate: Certificate,
    certificate_pem: Bytes,
    serialized: Bytes,
    key: EcdsaKeyPair,
}

impl SigningIdentity {
    /// Reads a certificate and its private key, both in PEM. The key is on P-256, in PKCS#8 or SEC 1.
    pub fn from_pem(msp_id: &str, certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, SigningError> {
        let certificate = Certificate::from_pem(certificate_pem)?;
        let key = read_key(key_pem)?;
        if key.public_key().as_ref() != certificate.public_key.bytes.as_ref() {
            return Err(SigningError::Mismatch { subject: certificate.subject() });
        }
        let certificate_pem = Bytes::copy_from_slice(certificate_pem);
        let serialized = creator::serialize(msp_id, &certificate_pem);
        Ok(Self { msp_id: msp_id.to_owned(), certificate, certificate_pem, serialized, key })
    }

    /// The MSP this identity belongs to.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The encoded `SerializedIdentity`, as creators and endorsers are named.
    pub fn serialized(&self) -> &Bytes {
        &self.serialized
    }

    /// The certificate as it was given.
    pub fn certificate_pem(&self) -> &Bytes {
        &self.certificate_pem
    }

    /// The parsed certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs a message: ECDSA with SHA-256, in DER, always with the low S that Fabric requires.
    pub fn sign(&self, message: &[u8]) -> Result<Bytes, SigningError> {
        let fixed = self.key.sign(&SystemRandom::new(), message).map_err(|_| SigningError::Random)?;
        p256_low_s(fixed.as_ref()).map(Bytes::from).ok_or(SigningError::Random)
    }
}

impl fmt::Debug for SigningIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SigningIdentity")
            .field("msp_id", &self.msp_id)
            .field("subject", &self.certificate.subject())
            .finish_non_exhaustive()
    }
}

fn read_key(key_pem: &[u8]) -> Result<EcdsaKeyPair, SigningError> {
    if key_pem.len() > MAX_CERTIFICATE_BYTES {
        return Err(SigningError::NoKey(format!("{} bytes", key_pem.len())));
    }
    let blocks = pem::parse_many(key_pem).map_err(|_| SigningError::NoKey("no PEM".to_owned()))?;
    let labels: Vec<_> = blocks.iter().map(|block| format!("`{}`", block.tag())).collect();
    // OpenSSL writes a block `EC PARAMETERS` ahead of the key itself.
    let key = blocks
        .into_iter()
        .find(|block| matches!(block.tag(), "PRIVATE KEY" | "EC PRIVATE KEY"))
        .map(|block| Zeroizing::new(block.into_contents()))
        .ok_or_else(|| {
            SigningError::NoKey(if labels.is_empty() { "no PEM".to_owned() } else { labels.join(", ") })
        })?;
    EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &key)
        .map_err(|rejected| SigningError::Key(rejected.to_string()))
}
