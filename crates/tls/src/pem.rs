//! Strict reading of PEM: everything found must be what is wanted, and errors say what was found instead.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use crate::certificate::CertificateFacts;
use crate::text::escape;

/// No sound key or bundle of authorities is larger; a larger file is a mistake or an attack.
const LARGEST: usize = 4 * 1024 * 1024;

/// Where PEM text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemOrigin {
    /// Text handed over in memory, with what it was meant to be.
    Text(&'static str),
    /// A file.
    File(PathBuf),
}

impl fmt::Display for PemOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(name) => write!(f, "the {name}"),
            Self::File(path) => write!(f, "the file {}", escape(&path.to_string_lossy())),
        }
    }
}

/// PEM text or a file with it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin} {problem}")]
pub struct PemError {
    /// Which text or file.
    pub origin: PemOrigin,
    /// What is wrong with it.
    pub problem: PemProblem,
}

/// What is wrong with PEM text. Never quotes what a block contains.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PemProblem {
    /// The file cannot be read.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// The system's words.
        reason: String,
    },
    /// Far beyond what certificates and keys need.
    #[error("has {bytes} bytes, more than the {LARGEST} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// There is no `-----BEGIN …-----` line; DER files look like this.
    #[error(
        "holds no PEM block (no -----BEGIN line); a DER file must be converted with `openssl x509 -inform der`"
    )]
    Empty,
    /// A block is not closed, or its base64 is broken.
    #[error("is broken PEM: {reason}")]
    Malformed {
        /// What broke.
        reason: String,
    },
    /// A sound block of another kind.
    #[error("holds a block of kind \"{found}\" where {wanted} is wanted")]
    WrongKind {
        /// The block's label.
        found: String,
        /// What should have been there.
        wanted: &'static str,
    },
    /// A block says CERTIFICATE but its content is none.
    #[error("holds a block (number {number}) that says CERTIFICATE but is none: {reason}")]
    NotACertificate {
        /// Counted from 1.
        number: usize,
        /// Why it cannot be read.
        reason: String,
    },
    /// A block says X509 CRL but its content is none.
    #[error("holds a block (number {number}) that says X509 CRL but is none that can be used: {reason}")]
    NotACrl {
        /// Counted from 1.
        number: usize,
        /// Why it cannot be used.
        reason: String,
    },
    /// What should be PEM written in base64 once more is not.
    #[error("is not PEM encoded in base64: {reason}")]
    NotBase64 {
        /// What broke.
        reason: String,
    },
    /// A list of clients has a line that is no rule.
    #[error("is no list of clients: {reason}")]
    NotAList {
        /// The line and what is wrong with it.
        reason: String,
    },
    /// One key is wanted.
    #[error("holds {count} private keys where exactly one is wanted")]
    SeveralKeys {
        /// How many there are.
        count: usize,
    },
    /// Nobody is there to type a passphrase.
    #[error(
        "holds an encrypted private key; decrypt it first, for example with `openssl pkey`, and protect the file"
    )]
    Encrypted,
    /// The key is of a kind or size that TLS cannot use.
    #[error("holds a private key that cannot be used: {reason}")]
    UnusableKey {
        /// The library's words.
        reason: String,
    },
}

/// Reads one or more certificates; any other block is an error.
pub(crate) fn certificates(
    text: &[u8],
    origin: &PemOrigin,
) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let fail = |problem| PemError { origin: origin.clone(), problem };
    let labels = labels(text).map_err(fail)?;
    if let Some(found) = labels.iter().find(|label| *label != "CERTIFICATE") {
        return Err(fail(PemProblem::WrongKind { found: escape(found), wanted: "CERTIFICATE" }));
    }
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fail(PemProblem::Malformed { reason: error.to_string() }))?;
    if certificates.len() != labels.len() {
        return Err(fail(PemProblem::Malformed { reason: "a block is not closed".into() }));
    }
    for (index, certificate) in certificates.iter().enumerate() {
        CertificateFacts::from_der(certificate).map_err(|reason| {
            fail(PemProblem::NotACertificate { number: index + 1, reason: escape(&reason) })
        })?;
    }
    Ok(certificates)
}

/// Reads exactly one unencrypted private key: PKCS#8, PKCS#1 or SEC1, the last with or without the parameters
/// that `openssl ecparam -genkey` writes before it. The caller wipes the result.
pub(crate) fn private_key(text: &[u8], origin: &PemOrigin) -> Result<PrivateKeyDer<'static>, PemError> {
    let fail = |problem| PemError { origin: origin.clone(), problem };
    let mut labels = labels(text).map_err(fail)?;
    labels.retain(|label| label != "EC PARAMETERS");
    if labels.iter().any(|label| label == "ENCRYPTED PRIVATE KEY") || is_legacy_encrypted(text) {
        return Err(fail(PemProblem::Encrypted));
    }
    let known = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    if let Some(found) = labels.iter().find(|label| !known.contains(&label.as_str())) {
        return Err(fail(PemProblem::WrongKind { found: escape(found), wanted: "a private key" }));
    }
    let mut keys = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) =
            section.map_err(|error| fail(PemProblem::Malformed { reason: error.to_string() }))?;
        keys.extend(PrivateKeyDer::from_pem(kind, der));
    }
    match (keys.pop(), keys.len(), labels.len()) {
        (Some(key), 0, 1) => Ok(key),
        (None, ..) | (Some(_), 0, _) => {
            Err(fail(PemProblem::Malformed { reason: "a block is not closed".into() }))
        }
        (Some(mut last), others, _) => {
            last.zeroize();
            keys.iter_mut().for_each(Zeroize::zeroize);
            Err(fail(PemProblem::SeveralKeys { count: others + 1 }))
        }
    }
}

/// Reads a file, bounded, into memory that is wiped.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, PemError> {
    use std::io::Read;
    let fail = |problem| PemError { origin: PemOrigin::File(path.to_owned()), problem };
    let unreadable = |error: std::io::Error| fail(PemProblem::Unreadable { reason: error.to_string() });
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // Reserved up front, so that growing leaves no unwiped copies of a key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(64 * 1024));
    let limit = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() > LARGEST {
        return Err(fail(PemProblem::TooLarge { bytes: text.len() }));
    }
    Ok(text)
}

/// The label of every `-----BEGIN …-----` line.
pub(crate) fn labels(text: &[u8]) -> Result<Vec<String>, PemProblem> {
    if text.len() > LARGEST {
        return Err(PemProblem::TooLarge { bytes: text.len() });
    }
    let labels: Vec<String> = text
        .split(|byte| *byte == b'\n' || *byte == b'\r')
        .filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN "))
        .map(|label| String::from_utf8_lossy(label.strip_suffix(b"-----").unwrap_or(label)).into_owned())
        .collect();
    if labels.is_empty() { Err(PemProblem::Empty) } else { Ok(labels) }
}

/// The form of openssl before 1.0: the label does not tell, a header line does.
fn is_legacy_encrypted(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"Proc-Type:") && line.trim_ascii().ends_with(b"ENCRYPTED"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(
            text in "(-----BEGIN (CERTIFICATE|PRIVATE KEY|X)-----\n)?[ -~\n]{0,80}(\n-----END (CERTIFICATE|X)-----)?",
        ) {
            let origin = PemOrigin::Text("text");
            prop_assert!(certificates(text.as_bytes(), &origin).is_err());
            prop_assert!(private_key(text.as_bytes(), &origin).is_err());
        }
    }
}
