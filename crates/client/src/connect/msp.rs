//! Identities from MSP folders and from single files.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_identity::SigningIdentity;

use super::ConnectError;

/// The identity of an MSP folder: the certificate in signcerts and the key in keystore.
pub(super) fn identity(msp_id: &str, folder: &Path) -> Result<SigningIdentity, ConnectError> {
    let certificate = only_file(&folder.join("signcerts"))?;
    let key = only_file(&folder.join("keystore"))?;
    from_files(msp_id, &certificate, &key)
}

/// The identity of a certificate and a key, both PEM.
pub(super) fn from_files(
    msp_id: &str,
    certificate: &Path,
    key: &Path,
) -> Result<SigningIdentity, ConnectError> {
    SigningIdentity::from_pem(msp_id, &super::read(certificate)?, &super::read(key)?)
        .map_err(|source| ConnectError::Identity { certificate: certificate.to_owned(), source })
}

fn only_file(folder: &Path) -> Result<PathBuf, ConnectError> {
    let failed = |source| ConnectError::Folder { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    match &files[..] {
        [only] => Ok(only.clone()),
        files => Err(ConnectError::MspFolder { folder: folder.to_owned(), files: files.len() }),
    }
}
