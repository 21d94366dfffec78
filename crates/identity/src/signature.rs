//! Signature verification with Fabric's rules.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{self as algorithms, EcdsaVerificationAlgorithm, UnparsedPublicKey};
use bytes::Bytes;
use quick_cache::sync::Cache;
use thiserror::Error;

use crate::certificate::{Certificate, PublicKeyInfo};
use crate::der;
use crate::signing::SigningIdentity;

/// The longest signature that is looked at, in bytes; a P-521 signature has at most 139.
const MAX_SIGNATURE_BYTES: usize = 1024;

/// Why a signature does not count.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignatureError {
    /// No signature bytes at all.
    #[error("could not determine the validity of the signature: Invalid signature. Cannot be empty.")]
    Empty,
    /// Not two integers in DER, or one of them out of range.
    #[error("could not determine the validity of the signature: Failed unmashalling signature [{0}]")]
    Malformed(&'static str),
    /// The second number of an ECDSA signature is above half the group order. Fabric refuses those because anyone
    /// could make one out of a valid signature.
    #[error(
        "could not determine the validity of the signature: Invalid S. Must be smaller than half the order"
    )]
    HighS,
    /// Well formed, but not made by this key over this message.
    #[error("The signature is invalid")]
    Invalid,
}

/// The certificate's key is of a kind Fabric does not verify signatures with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("failed to import certificate's public key: unsupported key algorithm {0}")]
pub struct UnsupportedKey(pub String);

/// A key that signatures of identities are checked with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    kind: KeyKind,
    bytes: Bytes,
}

/// The kinds of key Fabric identities may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-256.
    P384,
    /// ECDSA on P-521 with SHA-256.
    P521,
    /// Ed25519 over the message itself; needs the channel capability V3_0.
    Ed25519,
}

impl PublicKey {
    /// The key of a certificate.
    pub fn from_certificate(certificate: &Certificate) -> Result<Self, UnsupportedKey> {
        let info = &certificate.public_key;
        let kind = KeyKind::of(info).ok_or_else(|| UnsupportedKey(info.algorithm.clone()))?;
        Ok(Self { kind, bytes: info.bytes.clone() })
    }

    /// The kind of the key.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Checks a signature over `message`. Bytes after the signature's DER are ignored, as in Fabric.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if signature.is_empty() {
            return Err(SignatureError::Empty);
        }
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::Malformed("too long"));
        }
        let Some(curve) = self.kind.curve() else {
            return UnparsedPublicKey::new(&algorithms::ED25519, &self.bytes)
                .verify(message, signature)
                .map_err(|_| SignatureError::Invalid);
        };
        let (r, s) = read_signature(signature)?;
        if !curve.is_low(s) {
            return Err(SignatureError::HighS);
        }
        UnparsedPublicKey::new(curve.algorithm, &self.bytes)
            .verify(message, &write_signature(r, s))
            .map_err(|_| SignatureError::Invalid)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PublicKey").field(&self.kind).finish()
    }
}

impl KeyKind {
    fn of(info: &PublicKeyInfo) -> Option<Self> {
        match (info.algorithm.as_str(), info.curve.as_deref()) {
            (ED25519, None) => Some(Self::Ed25519),
            (EC_PUBLIC_KEY, Some("1.2.840.10045.3.1.7")) => Some(Self::P256),
            (EC_PUBLIC_KEY, Some("1.3.132.0.34")) => Some(Self::P384),
            (EC_PUBLIC_KEY, Some("1.3.132.0.35")) => Some(Self::P521),
            _ => None,
        }
    }

    fn curve(self) -> Option<Curve> {
        match self {
            Self::P256 => Some(P256),
            Self::P384 => Some(P384),
            Self::P521 => Some(P521),
            Self::Ed25519 => None,
        }
    }
}

/// A bounded memory of signatures that were found good, shared by everything that verifies the same messages more
/// than once (the endorser, the gateway and the committer see the same transaction). Only the arithmetic is
/// remembered, keyed by the exact key, message digest and signature; whether the identity is valid, and whether it
/// may do what it asks for, is decided anew each time.
pub struct VerificationCache {
    good: Cache<Verified, ()>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Verified {
    key: PublicKey,
    digest: [u8; 32],
    signature: Box<[u8]>,
}

impl Verified {
    fn new(key: PublicKey, message: &[u8], signature: &[u8]) -> Self {
        Self { key, digest: sha256(&[message]), signature: signature.into() }
    }
}

impl VerificationCache {
    /// Enough for the signatures of about ten thousand transactions.
    pub const DEFAULT_ENTRIES: usize = 50_000;

    /// Remembers up to `entries` signatures, at about 300 bytes each.
    pub fn new(entries: usize) -> Arc<Self> {
        Arc::new(Self { good: Cache::new(entries) })
    }

    /// Checks a signature, by memory if the same one was checked before.
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if signature.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::Malformed("too long"));
        }
        let entry = Verified::new(key.clone(), message, signature);
        if self.good.get(&entry).is_some() {
            return Ok(());
        }
        key.verify(message, signature)?;
        self.good.insert(entry, ());
        Ok(())
    }

    /// Remembers a signature that this process has just made with the identity's own key.
    pub fn remember_own(&self, signer: &SigningIdentity, message: &[u8], signature: &[u8]) {
        if let Ok(key) = PublicKey::from_certificate(signer.certificate()) {
            self.good.insert(Verified::new(key, message, signature), ());
        }
    }

    /// How many signatures are remembered at the moment.
    pub fn len(&self) -> usize {
        self.good.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.good.is_empty()
    }
}

impl fmt::Debug for VerificationCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("VerificationCache").field("entries", &self.len()).finish()
    }
}

/// SHA-256 over the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let hash = match parts {
        [part] => digest(&SHA256, part),
        _ => digest(&SHA256, &parts.concat()),
    };
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    bytes
}

/// Checks a signature that a certificate authority made over a certificate or a revocation list.
pub(crate) fn verify_issued(
    issuer: &PublicKeyInfo,
    algorithm: &str,
    to_be_signed: &[u8],
    signature: &[u8],
) -> Result<(), &'static str> {
    if issuer.algorithm == RSA_ENCRYPTION {
        let parameters = match algorithm {
            "1.2.840.113549.1.1.11" => &algorithms::RSA_PKCS1_2048_8192_SHA256,
            "1.2.840.113549.1.1.12" => &algorithms::RSA_PKCS1_2048_8192_SHA384,
            "1.2.840.113549.1.1.13" => &algorithms::RSA_PKCS1_2048_8192_SHA512,
            _ => return Err("unsupported signature algorithm"),
        };
        return check(UnparsedPublicKey::new(parameters, &issuer.bytes), to_be_signed, signature);
    }
    let kind = KeyKind::of(issuer).ok_or("unsupported key algorithm of the issuer")?;
    let verifier: &'static EcdsaVerificationAlgorithm = match (kind, algorithm) {
        (KeyKind::Ed25519, ED25519) => {
            return check(
                UnparsedPublicKey::new(&algorithms::ED25519, &issuer.bytes),
                to_be_signed,
                signature,
            );
        }
        (KeyKind::P256, ECDSA_SHA256) => &algorithms::ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, ECDSA_SHA384) => &algorithms::ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, ECDSA_SHA512) => &algorithms::ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, ECDSA_SHA256) => &algorithms::ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, ECDSA_SHA384) => &algorithms::ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, ECDSA_SHA512) => &algorithms::ECDSA_P384_SHA512_ASN1,
        (KeyKind::P521, ECDSA_SHA256) => &algorithms::ECDSA_P521_SHA256_ASN1,
        (KeyKind::P521, ECDSA_SHA384) => &algorithms::ECDSA_P521_SHA384_ASN1,
        (KeyKind::P521, ECDSA_SHA512) => &algorithms::ECDSA_P521_SHA512_ASN1,
        _ => return Err("unsupported signature algorithm"),
    };
    check(UnparsedPublicKey::new(verifier, &issuer.bytes), to_be_signed, signature)
}

/// The signature in its low form if it is an ECDSA signature in its high form.
pub(crate) fn lower(issuer: &PublicKeyInfo, signature: &[u8]) -> Option<Vec<u8>> {
    let curve = KeyKind::of(issuer)?.curve()?;
    let (r, s) = read_signature(signature).ok()?;
    (!curve.is_low(s)).then(|| curve.negate(s)).flatten().map(|low| write_signature(r, &low))
}

/// A signature in DER with the second number brought below half the group order of P-256.
pub(crate) fn p256_low_s(fixed: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = fixed.split_at_checked(32)?;
    if P256.is_low(s) {
        return Some(write_signature(r, s));
    }
    P256.negate(s).map(|low| write_signature(r, &low))
}

pub(crate) const ED25519: &str = "1.3.101.112";
const EC_PUBLIC_KEY: &str = "1.2.840.10045.2.1";
const RSA_ENCRYPTION: &str = "1.2.840.113549.1.1.1";
const ECDSA_SHA256: &str = "1.2.840.10045.4.3.2";
const ECDSA_SHA384: &str = "1.2.840.10045.4.3.3";
const ECDSA_SHA512: &str = "1.2.840.10045.4.3.4";

/// Whether a certificate carries an ECDSA signature.
pub(crate) fn is_ecdsa(algorithm: &str) -> bool {
    [ECDSA_SHA256, ECDSA_SHA384, ECDSA_SHA512].contains(&algorithm)
}

struct Curve {
    algorithm: &'static EcdsaVerificationAlgorithm,
    /// The group order, big-endian.
    order: &'static [u8],
}

const P256: Curve = Curve {
    algorithm: &algorithms::ECDSA_P256_SHA256_ASN1,
    order: &[
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ],
};

const P384: Curve = Curve {
    algorithm: &algorithms::ECDSA_P384_SHA256_ASN1,
    order: &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf, 0x58, 0x1a,
        0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
    ],
};

const P521: Curve = Curve {
    algorithm: &algorithms::ECDSA_P521_SHA256_ASN1,
    order: &[
        0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfa,
        0x51, 0x86, 0x87, 0x83, 0xbf, 0x2f, 0x96, 0x6b, 0x7f, 0xcc, 0x01, 0x48, 0xf7, 0x09, 0xa5, 0xd0, 0x3b,
        0xb5, 0xc9, 0xb8, 0x89, 0x9c, 0x47, 0xae, 0xbb, 0x6f, 0xb7, 0x1e, 0x91, 0x38, 0x64, 0x09,
    ],
};

impl Curve {
    /// Whether a number is at most half the group order, rounded down. Since the order is odd that means that its
    /// double is less than the order.
    fn is_low(&self, number: &[u8]) -> bool {
        let mut half = Vec::with_capacity(self.order.len());
        let mut carry = 0;
        for digit in self.order {
            half.push((digit >> 1) | carry);
            carry = digit << 7;
        }
        let number = significant(number);
        let half = significant(&half);
        number.len() < half.len() || (number.len() == half.len() && number <= half)
    }

    /// The group order minus a number below it.
    fn negate(&self, number: &[u8]) -> Option<Vec<u8>> {
        let number = significant(number);
        let mut padded = vec![0; self.order.len().checked_sub(number.len())?];
        padded.extend_from_slice(number);
        let mut difference = vec![0; self.order.len()];
        let mut borrow = 0_i16;
        for ((minuend, subtrahend), digit) in
            self.order.iter().zip(&padded).rev().zip(difference.iter_mut().rev())
        {
            let value = i16::from(*minuend) - i16::from(*subtrahend) - borrow;
            borrow = i16::from(value < 0);
            *digit = (value & 0xff) as u8;
        }
        (borrow == 0).then_some(difference)
    }
}

fn check(key: UnparsedPublicKey<&Bytes>, message: &[u8], signature: &[u8]) -> Result<(), &'static str> {
    key.verify(message, signature).map_err(|_| "the signature is invalid")
}

/// Reads the two numbers as Go's ASN.1 decoder does: elements after them and bytes after the sequence are ignored.
fn read_signature(signature: &[u8]) -> Result<(&[u8], &[u8]), SignatureError> {
    let malformed = SignatureError::Malformed;
    let (sequence, _) = der::read(signature).ok_or(malformed("asn1: syntax error"))?;
    if sequence.tag != der::SEQUENCE {
        return Err(malformed("asn1: structure error: not a sequence"));
    }
    let (r, rest) = read_positive(sequence.contents)?;
    let (s, _) = read_positive(rest)?;
    Ok((r, s))
}

fn read_positive(input: &[u8]) -> Result<(&[u8], &[u8]), SignatureError> {
    let malformed = SignatureError::Malformed;
    let (element, rest) = der::read(input).ok_or(malformed("asn1: syntax error"))?;
    if element.tag != der::INTEGER {
        return Err(malformed("asn1: structure error: not an integer"));
    }
    match element.contents {
        [] => Err(malformed("asn1: structure error: empty integer")),
        [0, second, ..] if second & 0x80 == 0 => {
            Err(malformed("asn1: structure error: integer not minimally-encoded"))
        }
        [0] => Err(malformed("must be larger than zero")),
        [first, ..] if first & 0x80 != 0 => Err(malformed("must be larger than zero")),
        number => Ok((number, rest)),
    }
}

fn write_signature(r: &[u8], s: &[u8]) -> Vec<u8> {
    let mut numbers = Vec::with_capacity(r.len() + s.len() + 6);
    der::write_integer(r, &mut numbers);
    der::write_integer(s, &mut numbers);
    let mut signature = Vec::with_capacity(numbers.len() + 3);
    der::write(der::SEQUENCE, &numbers, &mut signature);
    signature
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Curve, P256, P384, P521};

    fn halves(curve: &Curve) {
        let mut one = vec![0; curve.order.len()];
        if let Some(last) = one.last_mut() {
            *last = 1;
        }
        assert!(curve.is_low(&one));
        let high = curve.negate(&one).expect("one is below the order");
        assert!(!curve.is_low(&high));
        assert_eq!(curve.negate(&high).as_deref(), Some(one.as_slice()));
        assert!(!curve.is_low(curve.order));
    }

    #[test]
    fn negation_swaps_the_halves_of_the_group_order() {
        halves(&P256);
        halves(&P384);
        halves(&P521);
    }
}
