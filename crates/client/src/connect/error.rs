use std::io;
use std::path::PathBuf;

use selvedge_identity::signing::SigningError;
use selvedge_tls::{ConfigError, DialError};

/// Why there is no connection to a peer in somebody's name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Something that has no default was not given.
    #[error("the command was not told {what}")]
    NotTold {
        /// What is missing.
        what: &'static str,
        /// The flag that gives it.
        flag: &'static str,
        /// The environment variable that gives it.
        variable: &'static str,
    },
    /// The network's description has several channels or none, and the command names none.
    #[error("the command was not told which channel")]
    Channel {
        /// How many the description names.
        described: usize,
    },
    /// The network's description has no such peer or user.
    #[error("{}", unknown(kind, asked.as_deref()))]
    Unknown {
        /// `peer` or `user`.
        kind: &'static str,
        /// The name that was asked for.
        asked: Option<String>,
        /// The names that it has.
        known: Vec<String>,
    },
    /// The network's description cannot be read.
    #[error("cannot read the network's description {path}")]
    NoDescription {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file does not describe a network.
    #[error("{path} does not describe a network")]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of an MSP folder cannot be read.
    #[error("cannot read the folder {path}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An MSP folder is not that of one identity: `signcerts` and `keystore` have one file each.
    #[error("the MSP folder is not that of one identity: {folder} has {files} files where one is wanted")]
    MspFolder {
        /// The folder within the MSP folder.
        folder: PathBuf,
        /// How many files it has.
        files: usize,
    },
    /// The certificate and key cannot sign.
    #[error("the identity in {certificate} cannot be used")]
    Identity {
        /// The file of the certificate.
        certificate: PathBuf,
        /// Why.
        source: SigningError,
    },
    /// The address is not of the form host:port.
    #[error("the peer's address cannot be understood")]
    Address(#[source] ConfigError),
    /// The client's own certificate or key cannot be used.
    #[error("the client certificate cannot be used")]
    ClientCertificate(#[source] ConfigError),
    /// The authority or the name of the peer's certificate cannot be used.
    #[error("the peer's authority in {path} cannot be used")]
    Authority {
        /// The file of the authority.
        path: PathBuf,
        /// Why.
        source: ConfigError,
    },
    /// The peer cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// What to do when the file that describes a network is not there.
pub const NO_DESCRIPTION: &str = "start a network with selvedge up and give the file that it names; what was in memory \
                                  is gone, with its file, when its network stops";

impl ConnectError {
    /// What to do about it, where that is known.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::NotTold { flag, variable, .. } => {
                format!("give {flag} or {variable}, or --config with a network's description")
            }
            Self::Channel { .. } => "give --channel (-C), for example -C mychannel".to_owned(),
            Self::Unknown { kind, .. } => format!("give --{kind}"),
            Self::NoDescription { .. } => NO_DESCRIPTION.to_owned(),
            Self::Description { .. } => "give the file that selvedge up --config-out has written".to_owned(),
            Self::Folder { .. } | Self::MspFolder { .. } => {
                "point --msp-dir (CORE_PEER_MSPCONFIGPATH) to a folder such as users/Admin@org1.example.com/msp"
                    .to_owned()
            }
            Self::Address(_) => "give host:port, for example localhost:7051".to_owned(),
            Self::Dial(error) => error.verdict.fix(),
            _ => return None,
        })
    }
}

fn unknown(kind: &str, asked: Option<&str>) -> String {
    match asked {
        Some(asked) => format!("the network's description has no {kind} {asked}"),
        None => format!("the network's description has no fitting {kind}"),
    }
}
