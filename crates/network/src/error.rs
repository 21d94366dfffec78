use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_pki::PkiError;

/// Why a network could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// A file of the network's folder could not be used.
    #[error("could not {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A certificate or key could not be made or loaded.
    #[error("could not make or load a certificate")]
    Pki(#[from] PkiError),
    /// The certificate and key of a member do not form an identity.
    #[error("the identity of {name} cannot be used")]
    Identity {
        /// The member.
        name: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The file of a genesis block holds none.
    #[error("{} is no genesis block", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: prost::DecodeError,
    },
    /// The system gave no random bytes.
    #[error("the system's random source failed")]
    Randomness,
    /// Nobody of this name is in the network.
    #[error("the network has no member {name}")]
    UnknownMember {
        /// The name asked for.
        name: String,
    },
}

impl NetworkError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
