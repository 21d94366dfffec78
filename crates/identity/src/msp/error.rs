//! What can be wrong with identities and MSPs.

use thiserror::Error;

use crate::certificate::CertificateError;
use crate::signature::{SignatureError, UnsupportedKey};

/// Why an identity is not accepted, or does not satisfy a principal. The texts are Fabric's where it has one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not an encoded `SerializedIdentity`.
    #[error("could not deserialize a SerializedIdentity: {0}")]
    Malformed(String),
    /// Larger than any identity may be.
    #[error("the identity has {0} bytes, more than the {limit} allowed", limit = crate::certificate::MAX_CERTIFICATE_BYTES)]
    TooLarge(usize),
    /// The channel has no such MSP.
    #[error("MSP {0} is unknown")]
    UnknownMsp(String),
    /// Given to the wrong MSP.
    #[error("expected MSP ID {expected}, received {received}")]
    OtherMsp {
        /// The id of the MSP asked.
        expected: String,
        /// The id in the identity.
        received: String,
    },
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate's key is of a kind the MSP does not accept.
    #[error(transparent)]
    UnsupportedKey(#[from] UnsupportedKey),
    /// The certificate does not chain to a root of the MSP.
    #[error("the supplied identity is not valid: x509: {0}")]
    Chain(#[from] ChainError),
    /// The identity is not valid under the MSP: it is revoked, a CA, or has the wrong organizational units.
    #[error("{0}")]
    Invalid(String),
    /// The identity is valid but the principal asks for something else.
    #[error("{0}")]
    NotSatisfied(String),
    /// The principal itself cannot be decoded or is of an unknown kind.
    #[error("{0}")]
    BadPrincipal(String),
}

/// Why a certificate has no chain of trust.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainError {
    /// No issuer among the MSP's roots and intermediates.
    #[error("certificate signed by unknown authority")]
    UnknownAuthority,
    /// A certificate of the chain was not valid at the time the leaf became valid.
    #[error(
        "certificate has expired or is not yet valid: {subject} is valid from {not_before} to {not_after}, checked at {time} (seconds since 1970)"
    )]
    Time {
        /// Whose validity does not fit.
        subject: String,
        /// The first second of its validity.
        not_before: i64,
        /// The last second of its validity.
        not_after: i64,
        /// The time it was checked at.
        time: i64,
    },
    /// An issuer may not issue certificates.
    #[error("invalid signature: parent certificate cannot sign this kind of certificate")]
    NotAnIssuer,
    /// More intermediates than an issuer allows.
    #[error("too many intermediates for path length constraint")]
    PathTooLong,
    /// A critical extension whose meaning is unknown.
    #[error("unhandled critical extension {0}")]
    UnknownExtension(String),
    /// The extended key usage of a certificate in the chain excludes the use as an identity.
    #[error("certificate specifies an incompatible key usage")]
    KeyUsage,
    /// More than one chain, so that the issuer is ambiguous.
    #[error("this MSP only supports a single validation chain, got {0}")]
    Ambiguous(usize),
}

/// Why an MSP configuration is not usable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MspError {
    /// The configuration cannot be decoded.
    #[error("failed unmarshalling fabric msp config: {0}")]
    Malformed(String),
    /// Only X.509 MSPs (type 0) are supported; idemix is type 1.
    #[error("MSP type {0} is not supported; only X.509 MSPs (type 0) are")]
    UnsupportedType(i32),
    /// The MSP has no name.
    #[error("the MSP has no id")]
    NoName,
    /// A list of the configuration is too long.
    #[error("the MSP {msp} has {count} {what}, more than the {limit} allowed")]
    TooMany {
        /// The MSP's id.
        msp: String,
        /// Which list.
        what: &'static str,
        /// Its length.
        count: usize,
        /// The greatest length allowed.
        limit: usize,
    },
    /// A hash function other than SHA-2 with 256 bits.
    #[error("the MSP {msp} asks for the hash {hash}; only SHA2 with SHA256 is supported")]
    Hash {
        /// The MSP's id.
        msp: String,
        /// The hash asked for.
        hash: String,
    },
    /// No root certificate.
    #[error("expected at least one CA certificate")]
    NoRoots,
    /// A certificate, revocation list, organizational unit or administrator is not usable.
    #[error("the MSP {msp} is not usable: {what}: {reason}")]
    Entry {
        /// The MSP's id.
        msp: String,
        /// Which entry.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither administrators nor an organizational unit for them.
    #[error("administrators must be declared when no admin ou classification is set")]
    NoAdministrators,
    /// Two MSPs of one id differ.
    #[error("attempted to define two different versions of MSP: {0}")]
    Conflict(String),
}

/// Why a message is not taken from its creator. The texts are those Fabric answers with, which keep the reason to
/// themselves; the reason is the error's source, for the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessDenied {
    /// The creator cannot be placed: it is malformed, of an organization outside the channel, or not issued by the
    /// CA of the organization it names.
    #[error("access denied: channel [{channel}] creator org unknown, creator is malformed")]
    UnknownCreator {
        /// The channel's id; empty for requests to the peer itself.
        channel: String,
        /// What is wrong with the creator.
        #[source]
        reason: IdentityError,
    },
    /// The creator's own organization does not accept it.
    #[error("access denied: channel [{channel}] creator org [{msp_id}]")]
    InvalidCreator {
        /// The channel's id; empty for requests to the peer itself.
        channel: String,
        /// The creator's MSP.
        msp_id: String,
        /// What is wrong with the creator.
        #[source]
        reason: IdentityError,
    },
    /// The signature does not hold.
    #[error("access denied: channel [{channel}] creator org [{msp_id}]")]
    BadSignature {
        /// The channel's id; empty for requests to the peer itself.
        channel: String,
        /// The creator's MSP.
        msp_id: String,
        /// What is wrong with the signature.
        #[source]
        reason: SignatureError,
    },
}
