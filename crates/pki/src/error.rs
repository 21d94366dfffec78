//! What can go wrong when certificates are made.

/// Why a certificate or an authority could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The text given for the authority's certificate is not exactly one PEM certificate.
    #[error("the authority's certificate is not usable: {reason}")]
    Certificate {
        /// What was found instead.
        reason: String,
    },
    /// The text given for the authority's key is not a private key that can sign.
    #[error("the authority's private key is not usable: {reason}")]
    Key {
        /// What was found instead; never the key itself.
        reason: String,
    },
    /// Certificate and key are both sound but do not belong together.
    #[error("the authority's private key does not belong to its certificate ({subject})")]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// The certificate may not sign others.
    #[error(
        "the certificate ({subject}) is not a certificate authority: it lacks CA:TRUE or, with a key usage, keyCertSign"
    )]
    NotAnAuthority {
        /// The certificate's subject.
        subject: String,
    },
    /// A name cannot stand in a certificate.
    #[error("{name:?} cannot be a subject alternative name: {reason}")]
    Name {
        /// The name as given.
        name: String,
        /// Why it cannot be encoded.
        reason: String,
    },
    /// A subject carries at most two organizational units.
    #[error("{count} organizational units were asked for; a certificate made here carries at most 2")]
    OrganizationalUnits {
        /// How many were asked for.
        count: usize,
    },
    /// The certificate library or the system's random source failed.
    #[error("the certificate could not be made: {reason}")]
    Making {
        /// The library's own words.
        reason: String,
    },
}

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Making { reason: error.to_string() }
    }
}
