use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use selvedge_client::ClientError;
use selvedge_orderer::OrdererError;
use selvedge_package::PackageError;
use selvedge_peer::JoinError;
use selvedge_peer::host::{HostError, RegistrarError};
use selvedge_pki::PkiError;
use selvedge_tls::BindError;

use crate::Holder;

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
    /// The file of a genesis block holds one that is none of a channel.
    #[error("{} begins no channel", path.display())]
    Channel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
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
    /// Another process runs the network of this folder.
    #[error("the network in {} is run by {}", folder.display(), described(holder))]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who, if it says so.
        holder: Option<Holder>,
    },
    /// The process that runs the network does not answer: it starts or ends at this moment.
    #[error("process {} runs the network and is not ready", process.pid)]
    NotReady {
        /// Who.
        process: Holder,
        /// What happened when it was asked.
        #[source]
        source: io::Error,
    },
    /// A file that should describe a network does not.
    #[error("{} does not describe a network", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The channel was begun with other organisations than those that shall run it now.
    #[error("channel {channel} was begun by {}, not by {}", found.join(", "), wanted.join(", "))]
    OtherOrganizations {
        /// The channel.
        channel: String,
        /// Whom its genesis block names.
        found: Vec<String>,
        /// Whom the configuration names.
        wanted: Vec<String>,
    },
    /// The port of a peer or orderer cannot be had.
    #[error("{name} cannot have port {port}")]
    Port {
        /// Whose it is.
        name: String,
        /// Which.
        port: u16,
        /// The system's reason.
        #[source]
        source: BindError,
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
    /// A peer could not let chaincode register that builders run.
    #[error("a peer could not let chaincode register")]
    Registrar(#[from] RegistrarError),
    /// A peer could not join a channel.
    #[error("a peer could not join a channel")]
    Join(#[from] JoinError),
    /// A call of the network's own services failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The channel has another definition of the chaincode than the one that is to be deployed.
    #[error("{channel} has another chaincode {name}: version {version}, sequence {sequence}")]
    OtherDefinition {
        /// The channel.
        channel: String,
        /// The chaincode.
        name: String,
        /// The version that is committed.
        version: String,
        /// How many definitions of it were committed.
        sequence: i64,
    },
    /// The answer of the socket in the folder is none, or refuses.
    #[error("the network's process answers: {0}")]
    Refused(String),
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

fn described(holder: &Option<Holder>) -> String {
    match holder {
        Some(Holder { pid, since }) => format!("process {pid} since {since}"),
        None => "a process that does not say which it is".to_owned(),
    }
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
