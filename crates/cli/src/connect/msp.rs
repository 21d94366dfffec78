//! Identities from MSP folders and from single files.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_identity::SigningIdentity;

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

const FIX: &str =
    "point --msp-dir (CORE_PEER_MSPCONFIGPATH) to a folder such as users/Admin@org1.example.com/msp";

/// The identity of an MSP folder: the certificate in signcerts and the key in keystore.
pub(super) fn identity(msp_id: &str, folder: &Path) -> Result<SigningIdentity, Failure> {
    let certificate = only_file(&folder.join("signcerts"))?;
    let key = only_file(&folder.join("keystore"))?;
    from_files(msp_id, &certificate, &key)
}

/// The identity of a certificate and a key, both PEM.
pub(super) fn from_files(msp_id: &str, certificate: &Path, key: &Path) -> Result<SigningIdentity, Failure> {
    let read = |path: &Path| fs::read(path).map_err(|error| errors::file("read", path, &error));
    SigningIdentity::from_pem(msp_id, &read(certificate)?, &read(key)?).map_err(|error| {
        errors::text(
            catalogue::IDENTITY,
            format!("the identity in {} cannot be used", certificate.display()),
            &error,
        )
    })
}

fn only_file(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| errors::file("read the folder", folder, &error).fix(FIX);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    match &files[..] {
        [only] => Ok(only.clone()),
        files => Err(Failure::new("the MSP folder is not that of one identity")
            .code(catalogue::IDENTITY)
            .evidence(format!("{} has {} files where one is wanted", folder.display(), files.len()))
            .fix(FIX)),
    }
}
