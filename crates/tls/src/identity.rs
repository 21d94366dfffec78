//! A certificate chain with its private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};
use zeroize::Zeroize;

use crate::ConfigError;
use crate::certificate::CertificateFacts;
use crate::pem::{self, PemError, PemOrigin, PemProblem};

/// Who this end is: a certificate, what leads from it to an authority, and the private key that belongs to it.
///
/// The key lives only inside the cryptographic library, which wipes it; the text it came from is the caller's
/// to wipe. `Debug` shows the certificate.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    facts: Arc<CertificateFacts>,
}

impl Identity {
    /// From PEM text: the certificate first, then its intermediates if there are any; one private key.
    ///
    /// # Errors
    /// When either text is not exactly that, or the key does not belong to the certificate.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::load(
            chain.as_ref(),
            &PemOrigin::Text("certificate chain"),
            key.as_ref(),
            &PemOrigin::Text("private key"),
        )
    }

    /// From files with the same content. Warns in the log when others than the owner may read the key's file.
    ///
    /// # Errors
    /// As [`Identity::from_pem`], naming the file; also when a file cannot be read.
    pub fn from_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        warn_of_loose_permissions(key);
        let chain_text = pem::read(chain)?;
        let key_text = pem::read(key)?;
        Self::load(&chain_text, &PemOrigin::File(chain.into()), &key_text, &PemOrigin::File(key.into()))
    }

    /// What the certificate says.
    #[must_use]
    pub fn certificate(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The chain in DER, the certificate first.
    #[must_use]
    pub fn chain(&self) -> Vec<Bytes> {
        self.certified.cert.iter().map(|der| Bytes::copy_from_slice(der)).collect()
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    pub(crate) fn load(
        chain: &[u8],
        chain_origin: &PemOrigin,
        key: &[u8],
        key_origin: &PemOrigin,
    ) -> Result<Self, ConfigError> {
        let chain = pem::certificates(chain, chain_origin)?;
        let mut key_der = pem::private_key(key, key_origin)?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key_der);
        key_der.zeroize();
        let signer = signer.map_err(|error| PemError {
            origin: key_origin.clone(),
            problem: PemProblem::UnusableKey { reason: error.to_string() },
        })?;
        let facts = chain
            .first()
            .map(|leaf| CertificateFacts::from_der(leaf))
            .and_then(Result::ok)
            .ok_or_else(|| PemError { origin: chain_origin.clone(), problem: PemProblem::Empty })?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // A key that cannot tell its public half is judged by the first handshake.
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(_) => {
                return Err(ConfigError::KeyMismatch {
                    chain: chain_origin.clone(),
                    key: key_origin.clone(),
                    subject: facts.subject,
                });
            }
        }
        Ok(Self { certified: Arc::new(certified), facts: Arc::new(facts) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("subject", &self.facts.subject)
            .field("fingerprint", &self.facts.fingerprint)
            .finish_non_exhaustive()
    }
}

pub(crate) fn warn_of_loose_permissions(key: &Path) {
    if let Some(mode) = loose_permissions(key) {
        tracing::warn!(file = %key.display(), mode = %format_args!("{mode:04o}"),
            "others may read this private key; `chmod 600` keeps it to its owner");
    }
}

/// The permission bits of a file that others than its owner may read or write.
#[cfg(unix)]
fn loose_permissions(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn loose_permissions(_path: &Path) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::loose_permissions;

    #[test]
    fn a_key_that_others_may_read_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, noticed) in [(0o600, None), (0o400, None), (0o640, Some(0o640)), (0o604, Some(0o604))] {
            set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            assert_eq!(loose_permissions(file.path()), noticed);
        }
    }
}
