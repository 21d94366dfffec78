//! From typed errors to what a person is told: what, evidence, cause, fix, and the code.

mod connect;
mod network;
mod usage;

use std::error::Error;
use std::io;
use std::path::Path;

use selvedge_client::{ClientError, Code as Status};
use selvedge_package::PackageError;
use selvedge_package::connection::ConnectionError;
use selvedge_tls::ConfigError;

pub(crate) use self::network::{network, sample};
pub(crate) use self::usage::usage;
use crate::catalogue::{self, Code};
use crate::failure::Failure;

/// A certificate, key or address cannot be used.
pub(crate) fn security(what: &str, error: &ConfigError) -> Failure {
    let code = match error {
        ConfigError::Address { .. } => catalogue::ADDRESS,
        _ => catalogue::TLS_FILES,
    };
    Failure::new(code, what).chain(error)
}

/// A package cannot be made or read.
pub(crate) fn package(what: impl Into<String>, error: &PackageError) -> Failure {
    use PackageError as E;
    let code = match error {
        E::NotGzip(_) | E::Tar(_) | E::Entry { .. } => catalogue::PACKAGE_ARCHIVE,
        E::NotRegular { .. } | E::NoCode | E::NoMetadata | E::Duplicate(_) => catalogue::PACKAGE_CONTENT,
        E::Metadata(_) => catalogue::PACKAGE_METADATA,
        E::Label(_) => catalogue::PACKAGE_LABEL,
        E::Id(_) => catalogue::PACKAGE_ID,
        E::Limit { .. } => catalogue::PACKAGE_LIMIT,
        E::Io { .. } => catalogue::FILE,
        _ => catalogue::PACKAGE_CODE,
    };
    Failure::new(code, what).chain(error).fix(error.fix())
}

/// connection.json would not work.
pub(crate) fn connection(what: impl Into<String>, error: &ConnectionError) -> Failure {
    Failure::new(catalogue::PACKAGE_CONNECTION, what).chain(error).cause(error.cause()).fix(error.fix())
}

/// The system refused something that the command cannot do without.
pub(crate) fn machine(what: impl Into<String>, error: &(dyn Error + 'static)) -> Failure {
    text(catalogue::MACHINE, what, error)
}

/// A file cannot be read or written.
pub(crate) fn file(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(catalogue::FILE, format!("cannot {action} {}", path.display())).chain(error)
}

/// An argument or the content of a file has another form than it should.
pub(crate) fn text(code: Code, what: impl Into<String>, error: &(dyn Error + 'static)) -> Failure {
    Failure::new(code, what).chain(error)
}

/// Standard output cannot be written to.
pub(crate) fn output(error: &io::Error) -> Failure {
    let failure = Failure::new(catalogue::OUTPUT, "standard output cannot be written to").chain(error);
    if error.kind() == io::ErrorKind::BrokenPipe { failure.unheard() } else { failure }
}

/// A gateway or peer did not give what was asked for.
pub(crate) fn client(what: impl Into<String>, error: &ClientError) -> Failure {
    let failure = Failure::new(client_code(error), what);
    let failure = match error {
        ClientError::Service { code, message, details, .. } => {
            let said = details.iter().map(ToString::to_string);
            let failure = failure.evidence(format!("{code:?}: {message}"));
            said.fold(failure, Failure::evidence)
        }
        ClientError::Refused { status, message, .. } => {
            failure.evidence(format!("status {status}: {message}"))
        }
        error => failure.chain(error),
    };
    match fix(error) {
        Some(fix) => failure.fix(fix),
        None => failure,
    }
}

fn client_code(error: &ClientError) -> Code {
    match error {
        // Fabric's gateway has no status of its own for a channel that the peer has not joined.
        ClientError::Service { message, .. } if message.contains("failed to get config for channel") => {
            catalogue::SERVICE_NOT_FOUND
        }
        ClientError::Service { code, .. } => match code {
            Status::Unavailable => catalogue::SERVICE_UNAVAILABLE,
            Status::DeadlineExceeded | Status::Cancelled => catalogue::SERVICE_TIMEOUT,
            Status::PermissionDenied | Status::Unauthenticated => catalogue::SERVICE_DENIED,
            Status::Aborted => catalogue::SERVICE_ABORTED,
            Status::FailedPrecondition => catalogue::SERVICE_PRECONDITION,
            Status::NotFound => catalogue::SERVICE_NOT_FOUND,
            Status::InvalidArgument => catalogue::SERVICE_ARGUMENT,
            Status::Unknown => catalogue::SERVICE_CHAINCODE,
            Status::ResourceExhausted => catalogue::SERVICE_LIMIT,
            Status::Unimplemented => catalogue::SERVICE_UNIMPLEMENTED,
            _ => catalogue::SERVICE_OTHER,
        },
        ClientError::Refused { message, .. } if message.contains("already successfully installed") => {
            catalogue::INSTALL_TWICE
        }
        ClientError::Refused { status, .. } => match status {
            400 => catalogue::SERVICE_ARGUMENT,
            403 => catalogue::SERVICE_DENIED,
            404 => catalogue::SERVICE_NOT_FOUND,
            503 => catalogue::SERVICE_UNAVAILABLE,
            _ => catalogue::INSTALL_REFUSED,
        },
        ClientError::Invalid { code, .. } => match code.as_str_name() {
            "MVCC_READ_CONFLICT" | "PHANTOM_READ_CONFLICT" => catalogue::INVALID_CONFLICT,
            "ENDORSEMENT_POLICY_FAILURE" => catalogue::INVALID_POLICY,
            _ => catalogue::INVALID_OTHER,
        },
        ClientError::Answer { .. } => catalogue::SERVICE_ANSWER,
        ClientError::Signing(_) => catalogue::IDENTITY,
        _ => catalogue::MACHINE,
    }
}

fn fix(error: &ClientError) -> Option<&'static str> {
    Some(match error {
        ClientError::Service { message, .. } if message.contains("failed to get config for channel") => {
            "give a channel that the peer has joined with --channel (-C)"
        }
        ClientError::Service { code, operation, .. } => match code {
            Status::DeadlineExceeded if *operation == "commit status" => {
                "see whether the orderer closes blocks (with --cutting manual, selvedge cut does), and with selvedge tx \
                 whether the transaction is in one by now"
            }
            Status::Unavailable => "see that all peers and the orderer run, and try again",
            Status::DeadlineExceeded => {
                "see that the chaincode's server runs with the package id that is installed"
            }
            Status::PermissionDenied | Status::Unauthenticated => {
                "use an identity of the peer's channel, and an administrator for the lifecycle"
            }
            Status::FailedPrecondition => {
                "see with selvedge chaincode query-committed whether the channel has a chaincode of this name, and with \
                 query-installed whether the peers have its package"
            }
            Status::Unimplemented => "give the address of a peer, version 2.4 or later",
            Status::ResourceExhausted => "wait, and try again",
            _ => return None,
        },
        ClientError::Refused { message, .. } if message.contains("already successfully installed") => {
            "go on with selvedge chaincode approve"
        }
        ClientError::Invalid { code, .. } => match code.as_str_name() {
            "MVCC_READ_CONFLICT" | "PHANTOM_READ_CONFLICT" => "send the transaction again",
            "ENDORSEMENT_POLICY_FAILURE" => "name the organisations that must endorse with --org",
            _ => return None,
        },
        _ => return None,
    })
}
