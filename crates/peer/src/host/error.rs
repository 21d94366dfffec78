//! What can go wrong in the chaincode host. Where Fabric has a text, ours begins with it and goes on with the reason.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use selvedge_package::PackageError;
use selvedge_package::builder::BuilderError;
use selvedge_package::connection::ConnectionError;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_session::host::{RegistrationError, StartError};
use selvedge_session::{Ended, TxKey};
use selvedge_tls::{ConfigError, DialError};

use super::registrar::RegistrarError;
use crate::endorser::INVALID_WIRE;

/// A file or folder of the host cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} '{}': {source}", .path.display())]
pub struct FileError {
    /// What was tried.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub(super) fn new(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }
}

/// Why a host cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    // The configuration is at fault.
    /// A builder's folder is not an absolute path, so that it would depend on where the peer was started.
    #[error("the path of external builder '{name}' is not absolute: '{}'", .path.display())]
    BuilderPath {
        /// The builder.
        name: String,
        /// Its folder.
        path: PathBuf,
    },
    /// A builder has no name, or one that another builder has.
    #[error("every external builder needs a name of its own; '{0}' is empty or used twice")]
    BuilderName(String),
    // The machine is at fault.
    /// A folder cannot be made or read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Why a package was not installed. The texts are those of Fabric's `InstallChaincode`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    // The caller is at fault.
    /// The bytes are no chaincode package.
    #[error("could not parse as a chaincode install package: {0}")]
    Parse(#[source] PackageError),
    /// It is installed.
    #[error("chaincode already successfully installed (package ID '{0}')")]
    AlreadyInstalled(String),
    /// [`HostLimits::packages`](super::HostLimits::packages) are installed.
    #[error("{limit} chaincode packages are installed, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// No builder took it, or the one that did failed. The stored package has been deleted.
    #[error("could not build chaincode: {0}")]
    Build(#[source] Box<BuildError>),

    // The peer is at fault.
    /// The package cannot be stored.
    #[error("could not save cc install package: {0}")]
    Save(#[source] FileError),
    /// The host is shutting down.
    #[error("the chaincode host is shutting down")]
    ShuttingDown,
}

/// Why a package was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    // The package is at fault, or the list of builders.
    /// No builder recognised it.
    #[error("no external builder takes a chaincode of type '{chaincode_type}' (tried: {}); this peer has no Docker builder: add a builder whose detect accepts that type, or package it as type ccaas", .tried.join(", "))]
    NotDetected {
        /// The type in metadata.json.
        chaincode_type: String,
        /// The builders' names.
        tried: Vec<String>,
    },
    /// The stored package cannot be read any more.
    #[error("failed to get chaincode package for external build: {0}")]
    Package(#[source] PackageError),
    /// The package's code cannot be unpacked.
    #[error("external builder failed: could not create build context: could not untar source package: {0}")]
    Unpack(#[source] PackageError),
    /// `build` said no.
    #[error(
        "external builder failed: external builder failed to build: external builder '{builder}' failed: {source}"
    )]
    Build {
        /// The builder.
        builder: String,
        /// How it failed.
        #[source]
        source: StepError,
    },
    /// `release` said no.
    #[error(
        "external builder failed: external builder failed to release: builder '{builder}' release failed: {source}"
    )]
    Release {
        /// The builder.
        builder: String,
        /// How it failed.
        #[source]
        source: StepError,
    },
    /// What the builder left is too large or holds something that cannot be kept.
    #[error("external builder failed: the output of builder '{builder}' cannot be kept: {reason}")]
    Output {
        /// The builder.
        builder: String,
        /// What is wrong.
        reason: String,
    },

    /// The builders wrote more than they may leave; they and their children were killed.
    #[error(
        "external builder failed: the builders of chaincode {package_id} were killed, since their folder outgrew its limit: {reason}"
    )]
    Growth {
        /// The package.
        package_id: String,
        /// How large it is.
        reason: String,
    },

    // The configuration is at fault.
    /// The builder that made the kept build is not in the configuration any more.
    #[error(
        "external builder failed: existing build could not be restored: chaincode '{package_id}' was already built with builder '{builder}', but that builder is no longer available"
    )]
    BuilderGone {
        /// The package.
        package_id: String,
        /// The builder's name.
        builder: String,
    },

    // The machine is at fault.
    /// The kept build is damaged.
    #[error("external builder failed: existing build could not be restored: malformed build info at '{}': {reason}", .path.display())]
    BuildInfo {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder cannot be read or written.
    #[error("external builder failed: {0}")]
    File(#[from] FileError),
    /// The builders together took too long; they and their children were killed.
    #[error("timeout expired while building chaincode {package_id}: its builders ran longer than {} s and were killed", .limit.as_secs())]
    Timeout {
        /// The package.
        package_id: String,
        /// The time-out.
        limit: std::time::Duration,
    },
    /// The task that built it broke down.
    #[error("the build broke down: {0}")]
    Broken(String),
}

/// How one step of a builder failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// It ended with another exit code than 0, or by a signal.
    #[error("{status}{}", said(.last_line))]
    Exit {
        /// `exit status 1` or `signal: 9`.
        status: String,
        /// The last line of its stderr, cut and escaped; empty if it wrote none.
        last_line: String,
    },
    /// It could not be started.
    #[error("could not start '{}': {source}", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its end could not be awaited.
    #[error("could not wait for its end: {0}")]
    Wait(#[source] io::Error),
    /// The built-in builder said no, with the exit code that the stock builder has then.
    #[error("exit status 1: {0}")]
    BuiltIn(#[source] Box<BuilderError>),
}

fn said(last_line: &str) -> String {
    if last_line.is_empty() { String::new() } else { format!(": {last_line}") }
}

/// Why a chaincode has no stream. The texts are those that Fabric puts behind `could not launch chaincode ID: `,
/// followed by the reason that Fabric's peer keeps for its log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    // The caller is at fault.
    /// Nothing is installed under this package id.
    #[error(
        "error building chaincode: failed to get chaincode package for external build: chaincode install package '{0}' not found"
    )]
    NotInstalled(String),

    // The package, its builder or its connection.json is at fault.
    /// It could not be built.
    #[error("error building chaincode: {0}")]
    Build(#[source] Box<BuildError>),
    /// The builder's release has no `chaincode/server/connection.json`, so the builder would have to run the chaincode,
    /// but it has no program for that.
    #[error(
        "error starting container: builder '{builder}' released no chaincode/server/connection.json and has no bin/run; let bin/release write RELEASE/chaincode/server/connection.json, or let the builder have bin/run"
    )]
    NoRun {
        /// The builder.
        builder: String,
    },
    /// The builder would run the chaincode, but the peer has nowhere for it to register.
    #[error(
        "error starting container: builder '{builder}' released no chaincode/server/connection.json, so its bin/run would have to start the chaincode, and this peer has no listener for chaincode that dials it"
    )]
    NoListener {
        /// The builder.
        builder: String,
    },
    /// What the builder's run is told cannot be written.
    #[error("error starting container: {0}")]
    RunMetadata(#[source] FileError),
    /// The chaincode can be given no certificate.
    #[error("error starting container: {0}")]
    Registrar(#[source] Box<RegistrarError>),
    /// The builder's run ended before the chaincode had registered.
    #[error("chaincode registration failed: container exited with {reason}")]
    Exited {
        /// How it ended.
        reason: String,
    },
    /// connection.json cannot be used.
    #[error("error building chaincode: malformed chaincode info at '{}': {source}; cause: {}; fix: {}", .path.display(), .source.cause(), .source.fix())]
    Connection {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<ConnectionError>,
    },
    /// connection.json cannot be read.
    #[error("error building chaincode: {0}")]
    ConnectionFile(#[source] FileError),
    /// The certificates, the key or the address in connection.json cannot be used.
    #[error(
        "connection to {package_id} failed: error cannot create connection for {package_id}: error creating grpc connection to {address}: {source}"
    )]
    Security {
        /// The package.
        package_id: String,
        /// Where the server should be.
        address: String,
        /// What is wrong.
        #[source]
        source: Box<ConfigError>,
    },

    // The chaincode server is at fault, or the way to it.
    /// No connection.
    #[error(
        "connection to {package_id} failed: error cannot create connection for {package_id}: error creating grpc connection to {address}: failed to create new connection: {source}"
    )]
    Dial {
        /// The package.
        package_id: String,
        /// Where the server should be.
        address: String,
        /// Why, with evidence, cause and fix.
        #[source]
        source: Box<DialError>,
    },
    /// The server answered, but not as `protos.Chaincode/Connect` does.
    #[error(
        "connection to {package_id} failed: error creating grpc client connection to {package_id}: {reason}"
    )]
    Stream {
        /// The package.
        package_id: String,
        /// The server's status.
        reason: String,
    },
    /// The stream ended before the chaincode had registered.
    #[error("connection to {package_id} terminated: {reason}")]
    Ended {
        /// The package.
        package_id: String,
        /// How it ended.
        reason: String,
    },
    /// The chaincode's first message was no registration.
    #[error("chaincode registration failed: {0}")]
    Protocol(#[source] Ended),
    /// The chaincode registered under another id.
    #[error(
        "chaincode registration failed: {0}; configure the chaincode server with the package id of the installed package"
    )]
    Registration(#[source] RegistrationError),
    /// The whole start took too long.
    #[error("timeout expired while starting chaincode {package_id} for transaction: {during} took longer than {} s", .limit.as_secs())]
    Timeout {
        /// The package.
        package_id: String,
        /// What was being waited for.
        during: &'static str,
        /// The time-out.
        limit: std::time::Duration,
    },

    // The peer is at fault.
    /// The host is shutting down.
    #[error("the chaincode host is shutting down")]
    ShuttingDown,
    /// The task that launched it broke down.
    #[error("the launch broke down: {0}")]
    Broken(String),
}

/// Why a transaction has no response. The texts are those of Fabric's `Invoke`, which a calling chaincode sees behind
/// `execute failed: `; [`ExecuteError::for_client`] gives what a client sees.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecuteError {
    /// The chaincode has no stream.
    #[error("could not launch chaincode {package_id}: {source}")]
    Launch {
        /// The package.
        package_id: String,
        /// Why.
        #[source]
        source: Arc<LaunchError>,
    },
    /// The transaction cannot begin.
    #[error("error sending: {0}")]
    Start(#[source] StartError),
    /// Arguments and proposal do not fit into a message.
    #[error(
        "error sending: arguments and proposal of {size} bytes exceed the limit of {limit} for a message"
    )]
    TooLarge {
        /// Their size, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It took longer than the execute time-out.
    #[error("error sending: timeout expired while executing transaction")]
    Timeout,
    /// The stream ended before the transaction did.
    #[error("error sending: chaincode stream terminated")]
    Terminated,
    /// The chaincode answered ERROR.
    #[error("transaction returned with failure: {text}")]
    Failed {
        /// What it said.
        text: String,
        /// The whole message, which is the reply to INVOKE_CHAINCODE.
        message: Box<ChaincodeMessage>,
    },
    /// The chaincode answered COMPLETED with something that is no response.
    #[error("failed to unmarshal response for transaction {}: {INVALID_WIRE}", .transaction.tx_id)]
    Undecodable {
        /// The transaction.
        transaction: TxKey,
        /// What is wrong with it.
        #[source]
        source: prost::DecodeError,
        /// The whole message.
        message: Box<ChaincodeMessage>,
    },
}

impl ExecuteError {
    /// The text in which Fabric's endorser reports this error of the transaction to its client.
    pub fn for_client(&self, tx_id: &str) -> String {
        match self {
            Self::Failed { .. } | Self::Undecodable { .. } => self.to_string(),
            _ => format!("failed to execute transaction {tx_id}: {self}"),
        }
    }

    /// The message with which the chaincode ended the transaction, if it did; for a calling chaincode this is an
    /// answer and no failure.
    pub fn into_message(self) -> Result<ChaincodeMessage, Self> {
        match self {
            Self::Failed { message, .. } | Self::Undecodable { message, .. } => Ok(*message),
            other => Err(other),
        }
    }
}
