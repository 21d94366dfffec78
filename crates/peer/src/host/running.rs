//! Chaincode that a builder runs, and what it is told: `bin/run BLD RUNMETA`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::error::{FileError, LaunchError, StepError};
use super::registrar::{Expectation, Registrar};

/// Where chaincode that builders run dials the peer.
#[derive(Clone, Debug)]
pub struct PeerLaunch {
    /// Who lets it register.
    pub registrar: Registrar,
    /// Where the registrar's listener is, as the chaincode dials it: `host:port` (`peer.chaincodeAddress`).
    pub address: String,
    /// The peer's MSP.
    pub msp_id: String,
}

/// RUNMETA/chaincode.json, with Fabric's names.
#[derive(Serialize)]
struct RunMetadata<'a> {
    chaincode_id: &'a str,
    peer_address: &'a str,
    client_cert: &'a str,
    client_key: &'a str,
    root_cert: &'a str,
    mspid: &'a str,
}

/// A chaincode's process. It is asked to end when this is dropped.
pub(super) struct Running {
    _stop: DropGuard,
    ended: oneshot::Receiver<Result<(), StepError>>,
}

impl Running {
    /// A process that `spawn` runs until the token is cancelled, and whose end it tells.
    pub(super) fn new(spawn: impl FnOnce(CancellationToken, oneshot::Sender<Result<(), StepError>>)) -> Self {
        let stop = CancellationToken::new();
        let (tell, ended) = oneshot::channel();
        spawn(stop.clone(), tell);
        Self { _stop: stop.drop_guard(), ended }
    }

    /// How the process ended.
    pub(super) async fn ended(&mut self) -> Result<(), StepError> {
        (&mut self.ended).await.unwrap_or(Ok(()))
    }
}

/// The folder RUNMETA, which only the peer's user can read; it goes when it is dropped. Blocks.
pub(super) fn run_metadata(
    temp_dir: &Path,
    package_id: &str,
    launch: &PeerLaunch,
    expected: &Expectation,
) -> Result<TempDir, LaunchError> {
    let write = || -> Result<TempDir, FileError> {
        let folder = tempfile::Builder::new()
            .prefix("fabric-run")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(temp_dir)
            .map_err(FileError::new("create a folder in", temp_dir))?;
        let client = expected.client();
        let metadata = RunMetadata {
            chaincode_id: package_id,
            peer_address: &launch.address,
            client_cert: &client.certificate_pem,
            client_key: client.key_pem.as_str(),
            root_cert: launch.registrar.root_pem(),
            mspid: &launch.msp_id,
        };
        let path: PathBuf = folder.path().join("chaincode.json");
        let failed = FileError::new("write the file", &path);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(serde_json::to_string(&metadata)?.as_bytes()))
            .map_err(failed)?;
        Ok(folder)
    };
    write().map_err(LaunchError::RunMetadata)
}
