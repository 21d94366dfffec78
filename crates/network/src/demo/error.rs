use std::io;
use std::path::{Path, PathBuf};

use selvedge_client::ClientError;
use selvedge_pki::PkiError;
use selvedge_tls::{BindError, ConfigError};

use crate::NetworkError;
use crate::sample::SampleError;

/// Why a step of the demonstration did not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The network could not do what was asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A transaction failed that should not.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A certificate could not be made.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] ConfigError),
    /// A port could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A file, folder, port or process could not be used.
    #[error("could not {action} {}", what.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        what: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The folder that is to be kept has something in it.
    #[error("the folder {} is not empty; name one that is empty or does not exist", .0.display())]
    NotEmpty(PathBuf),
    /// The chaincode's process did not do what it should.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Something else happened than should.
    #[error("expected {expected}, but {seen}")]
    Unexpected {
        /// What should happen.
        expected: String,
        /// What did.
        seen: String,
    },
}

impl DemoError {
    pub(super) fn io(action: &'static str, what: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let what = what.as_ref().to_owned();
        move |source| Self::Io { action, what, source }
    }

    pub(super) fn unexpected(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Unexpected { expected: expected.into(), seen: seen.into() }
    }
}
