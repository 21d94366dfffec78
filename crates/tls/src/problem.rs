//! Why a certificate was refused, in the same words on both ends.

use crate::certificate::{Fingerprint, Timestamp};
use crate::text::list;

/// Why the other end's certificate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// No configured authority signed it, and it is not configured itself.
    #[error("the certificate {subject} was issued by {issuer}, which is not among the trusted authorities ({})", list(.trusted))]
    UnknownIssuer {
        /// Its subject.
        subject: String,
        /// Its issuer.
        issuer: String,
        /// The subjects of the authorities that are trusted.
        trusted: Vec<String>,
        /// An authority of the issuer's name is trusted, but with another key: it was made anew.
        same_name: bool,
    },
    /// The name that was dialled is not in it.
    #[error("the certificate {subject} is for {}, not for {expected}", list(.names))]
    NameMismatch {
        /// Its subject.
        subject: String,
        /// The name or address that was dialled or configured.
        expected: String,
        /// Its subject alternative names.
        names: Vec<String>,
    },
    /// It has no subject alternative name at all; a common name does not count.
    #[error("the certificate {subject} carries no subject alternative name{}", common_name_note(.common_name))]
    NoAlternativeName {
        /// Its subject.
        subject: String,
        /// The name or address that was dialled or configured.
        expected: String,
        /// Its common name, which Go's TLS, and so every Fabric peer, ignores.
        common_name: Option<String>,
    },
    /// Its time is over.
    #[error("the certificate {subject} expired at {not_after} (it is now {now})")]
    Expired {
        /// Its subject.
        subject: String,
        /// Its last moment.
        not_after: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// Its time has not begun.
    #[error("the certificate {subject} is valid from {not_before} only (it is now {now})")]
    NotYetValid {
        /// Its subject.
        subject: String,
        /// Its first moment.
        not_before: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// The only authorities that lead to it are themselves outside their time. Go counts a root's dates too.
    #[error(
        "the authority {authority} behind the certificate {subject} is outside its validity, {not_before} to {not_after} (it is now {now})"
    )]
    AuthorityOutsideValidity {
        /// The certificate's subject.
        subject: String,
        /// The authority's subject.
        authority: String,
        /// The authority's first moment.
        not_before: Timestamp,
        /// The authority's last moment.
        not_after: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// An extended key usage forbids this end of the connection.
    #[error("the certificate {subject} may be used for {} only, not for {required}", list(.present))]
    WrongUsage {
        /// Its subject.
        subject: String,
        /// `serverAuth` or `clientAuth`.
        required: &'static str,
        /// What it allows.
        present: Vec<String>,
    },
    /// It is an authority's certificate (CA:TRUE) that is not configured itself.
    #[error(
        "the certificate {subject} is an authority's (CA:TRUE), which cannot stand for a server or client unless it is trusted itself"
    )]
    AuthorityAsLeaf {
        /// Its subject.
        subject: String,
    },
    /// Its chain is sound, but no rule lets this client in.
    #[error("the certificate {subject} is valid, but no rule allows it (names: {}; MSP: {}; SHA-256: {fingerprint})", list(.names), .msp.as_deref().unwrap_or("none"))]
    NotAllowed {
        /// Its subject.
        subject: String,
        /// Its subject alternative names.
        names: Vec<String>,
        /// The MSP its authority is mapped to.
        msp: Option<String>,
        /// Its fingerprint, as a rule would name it.
        fingerprint: Fingerprint,
    },
    /// Its issuer has revoked it, or an authority on its way.
    #[error("the certificate {subject}, or an authority on its way, is revoked")]
    Revoked {
        /// Its subject.
        subject: String,
    },
    /// Revocation lists are configured, and none is of an issuer in its chain.
    #[error(
        "whether the certificate {subject} is revoked is unknown: no revocation list of {issuer}, or of an authority above it, is configured"
    )]
    RevocationUnknown {
        /// Its subject.
        subject: String,
        /// Its issuer.
        issuer: String,
    },
    /// The revocation list of an issuer in its chain is out of date.
    #[error(
        "whether the certificate {subject} is revoked is unknown: the revocation list of its chain was to be renewed by {next_update} (it is now {now})"
    )]
    RevocationListExpired {
        /// Its subject.
        subject: String,
        /// The list's next update.
        next_update: Timestamp,
        /// When it was judged.
        now: Timestamp,
    },
    /// It cannot be read.
    #[error("the certificate cannot be read: {reason}")]
    Malformed {
        /// Why.
        reason: String,
    },
    /// Anything else the library found in the chain.
    #[error("the certificate {subject} was refused: {reason}")]
    Other {
        /// Its subject.
        subject: String,
        /// The library's words.
        reason: String,
    },
}

impl CertificateProblem {
    /// A stable short name for machines and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::NameMismatch { .. } => "name-mismatch",
            Self::NoAlternativeName { .. } => "no-alternative-name",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::AuthorityOutsideValidity { .. } => "authority-outside-validity",
            Self::WrongUsage { .. } => "wrong-usage",
            Self::AuthorityAsLeaf { .. } => "authority-as-leaf",
            Self::NotAllowed { .. } => "not-allowed",
            Self::Revoked { .. } => "revoked",
            Self::RevocationUnknown { .. } => "revocation-unknown",
            Self::RevocationListExpired { .. } => "revocation-list-expired",
            Self::Malformed { .. } => "malformed-certificate",
            Self::Other { .. } => "certificate-refused",
        }
    }

    /// What usually leads here.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::UnknownIssuer { same_name: true, .. } => {
                "an authority of that name is trusted, but with another key: it was made anew, and one side still has the old one"
            }
            Self::UnknownIssuer { .. } => {
                "the two sides were given certificates of different authorities, or an intermediate certificate is missing from the chain"
            }
            Self::NameMismatch { .. } => "the address that is dialled is not among the certificate's names",
            Self::NoAlternativeName { .. } => {
                "the usual openssl recipe writes a common name only, which Go and so every Fabric peer ignores"
            }
            Self::Expired { .. } => "the certificate was not renewed in time",
            Self::NotYetValid { .. } => "one of the two clocks is wrong, or the certificate is for later",
            Self::AuthorityOutsideValidity { .. } => "the authority itself was not renewed in time",
            Self::WrongUsage { .. } => {
                "a client's certificate is used by a server, or a server's by a client"
            }
            Self::AuthorityAsLeaf { .. } => {
                "the authority's own certificate was configured as the server's or client's"
            }
            Self::NotAllowed { .. } => "the list of allowed clients does not name this one",
            Self::Revoked { .. } => "its authority has declared it void",
            Self::RevocationUnknown { .. } => {
                "once revocation lists are configured, each issuing authority needs one, be it empty"
            }
            Self::RevocationListExpired { .. } => "the revocation list was not renewed in time",
            Self::Malformed { .. } | Self::Other { .. } => {
                "the certificate was made in a way TLS does not allow"
            }
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::UnknownIssuer { issuer, .. } => format!(
                "add the certificate of {issuer} to the trusted authorities (root_cert in connection.json for servers), or use a certificate of a trusted one"
            ),
            Self::NameMismatch { expected, .. } | Self::NoAlternativeName { expected, .. } => format!(
                "issue the certificate with {expected} as a subject alternative name (openssl: -addext \"subjectAltName={}\"), or set the expected server name (`domain`)",
                san_option(expected)
            ),
            Self::Expired { .. } => "issue a new certificate".to_owned(),
            Self::NotYetValid { .. } => {
                "check the clocks of both machines, or issue a new certificate".to_owned()
            }
            Self::AuthorityOutsideValidity { .. } => {
                "renew the authority's certificate and give it to both sides".to_owned()
            }
            Self::WrongUsage { required, .. } => {
                format!("issue the certificate with the extended key usage {required}")
            }
            Self::AuthorityAsLeaf { .. } => {
                "issue a certificate with that authority, or trust exactly this one".to_owned()
            }
            Self::NotAllowed { .. } => {
                "if this client is welcome, add one of its names, its fingerprint or its MSP to the rules"
                    .to_owned()
            }
            Self::RevocationUnknown { .. } => {
                "configure a revocation list of that authority, or let such clients in (SELVEDGE_CRL_UNKNOWN=allow)"
                    .to_owned()
            }
            Self::RevocationListExpired { .. } => {
                "fetch the authority's new revocation list, or let such clients in (SELVEDGE_CRL_UNKNOWN=allow)"
                    .to_owned()
            }
            Self::Revoked { .. } | Self::Malformed { .. } | Self::Other { .. } => {
                "issue a new certificate".to_owned()
            }
        }
    }

    pub(crate) fn to_rustls(&self) -> rustls::Error {
        use rustls::CertificateError as E;
        // Chosen for the alert each of them sends: the other end should learn as much as TLS can say.
        let error = match self {
            Self::UnknownIssuer { .. } => E::UnknownIssuer,
            Self::NameMismatch { .. } | Self::NoAlternativeName { .. } => E::NotValidForName,
            Self::Expired { .. } | Self::AuthorityOutsideValidity { .. } => E::Expired,
            Self::NotYetValid { .. } => E::NotValidYet,
            Self::WrongUsage { .. } | Self::AuthorityAsLeaf { .. } => E::InvalidPurpose,
            Self::NotAllowed { .. } => E::ApplicationVerificationFailure,
            Self::Revoked { .. } => E::Revoked,
            Self::RevocationUnknown { .. } | Self::RevocationListExpired { .. } => E::UnknownRevocationStatus,
            Self::Malformed { .. } | Self::Other { .. } => E::BadEncoding,
        };
        rustls::Error::InvalidCertificate(error)
    }
}

fn common_name_note(common_name: &Option<String>) -> String {
    common_name.as_ref().map(|name| format!(", only the common name {name}")).unwrap_or_default()
}

fn san_option(expected: &str) -> String {
    let kind = if expected.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!("{kind}:{expected}")
}
