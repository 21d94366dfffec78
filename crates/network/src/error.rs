use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_client::ClientError;
use selvedge_orderer::OrdererError;
use selvedge_package::PackageError;
use selvedge_peer::JoinError;
use selvedge_peer::host::HostError;
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
    /// An address is not of the form `host:port`.
    #[error("{address:?} is no address of the form host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// A package could not be made.
    #[error("the chaincode package could not be made")]
    Package(#[from] PackageError),
    /// A server or client could not be secured, opened or reached.
    #[error("the TLS end of {name} failed")]
    Tls {
        /// Whose server it is.
        name: String,
        /// What happened.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The orderer could not begin a channel.
    #[error("the orderer failed")]
    Orderer(#[from] OrdererError),
    /// A peer could not open its chaincode store.
    #[error("a peer's chaincode host failed")]
    Host(#[from] HostError),
    /// A peer could not join a channel.
    #[error("a peer could not join a channel")]
    Join(#[from] JoinError),
    /// A call of the network's own services failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A peer is not on a channel, or no longer.
    #[error("{peer} is not on channel {channel}")]
    NotJoined {
        /// The peer.
        peer: String,
        /// The channel.
        channel: String,
    },
    /// The network has no peer.
    #[error("the network has no peer")]
    NoPeers,
    /// Work was broken off because the process ends.
    #[error("the work was broken off")]
    BrokenOff,
    /// Nobody of this name is in the network.
    #[error("the network has no member {name}")]
    UnknownMember {
        /// The name asked for.
        name: String,
    },
}

impl NetworkError {
    pub(crate) fn tls<E: Into<Box<dyn StdError + Send + Sync>>>(name: &str) -> impl FnOnce(E) -> Self {
        let name = name.to_owned();
        move |source| Self::Tls { name, source: source.into() }
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }
}
