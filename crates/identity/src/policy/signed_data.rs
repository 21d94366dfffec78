//! Signatures as policies see them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::{DecodeError, Message};
use selvedge_proto::common::{ConfigUpdateEnvelope, Envelope, Payload, SignatureHeader};

use crate::msp::{Identity, MspManager};

/// Signatures looked at in one evaluation.
const MAX_SIGNATURES: usize = 1024;

/// One signature: what it covers, who made it, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedData {
    /// The bytes the signature covers.
    pub data: Bytes,
    /// The signer's encoded `SerializedIdentity`.
    pub identity: Bytes,
    /// The signature.
    pub signature: Bytes,
}

impl SignedData {
    /// The creator's signature of an envelope, which covers its payload.
    pub fn from_envelope(envelope: &Envelope) -> Result<Self, DecodeError> {
        let payload = Payload::decode(envelope.payload.clone())?;
        let header = payload.header.unwrap_or_default();
        let signer = SignatureHeader::decode(header.signature_header)?;
        Ok(Self {
            data: envelope.payload.clone(),
            identity: signer.creator,
            signature: envelope.signature.clone(),
        })
    }

    /// The administrators' signatures of a configuration update. Each covers its own header and the update.
    pub fn from_config_update(envelope: &ConfigUpdateEnvelope) -> Result<Vec<Self>, DecodeError> {
        let signed = envelope.signatures.iter().map(|signature| {
            let signer = SignatureHeader::decode(signature.signature_header.clone())?;
            let length = signature.signature_header.len() + envelope.config_update.len();
            let mut data = BytesMut::with_capacity(length);
            data.put_slice(&signature.signature_header);
            data.put_slice(&envelope.config_update);
            Ok(Self { data: data.freeze(), identity: signer.creator, signature: signature.signature.clone() })
        });
        signed.collect()
    }
}

/// The distinct identities whose signatures hold, in order. Like Fabric this neither asks whether an identity is
/// valid, which the principals do, nor lets a wrong signature spoil a good one by the same identity.
pub fn valid_identities(msps: &MspManager, signed: &[SignedData]) -> Vec<Arc<Identity>> {
    let mut seen = HashSet::new();
    let mut identities = Vec::with_capacity(signed.len().min(MAX_SIGNATURES));
    for entry in signed.iter().take(MAX_SIGNATURES) {
        let identity = match msps.deserialize(&entry.identity) {
            Ok(identity) => identity,
            Err(error) => {
                tracing::debug!(%error, "a signature is ignored because its identity is not accepted");
                continue;
            }
        };
        let key = (identity.msp_id().to_owned(), *identity.identifier());
        if seen.contains(&key) {
            continue;
        }
        if let Err(error) = identity.verify(&entry.data, &entry.signature) {
            tracing::debug!(%error, ?identity, "a signature is ignored because it does not hold");
            continue;
        }
        seen.insert(key);
        identities.push(identity);
    }
    identities
}
