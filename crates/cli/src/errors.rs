//! From typed errors to what a person is told: what, evidence, cause, fix, and the code.

use std::error::Error;
use std::io;
use std::path::Path;

use selvedge_client::connect::ConnectError;
use selvedge_client::{ClientError, Code as Status};
use selvedge_package::PackageError;
use selvedge_package::connection::ConnectionError;
use selvedge_tls::{ConfigError, DialError};

use crate::catalogue::{self, Code};
use crate::failure::Failure;

/// A server cannot be reached.
pub(crate) fn dial(error: &DialError) -> Failure {
    let verdict = &*error.verdict;
    Failure::new(format!("{} cannot be reached", error.target))
        .code(catalogue::of_verdict(verdict.name()))
        .evidence(verdict.to_string())
        .cause(verdict.cause())
        .fix(verdict.fix())
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        use ConnectError as E;
        if let E::Dial(error) = &error {
            return dial(error);
        }
        let failure = Self::new(match &error {
            // The rest of its text is the evidence.
            E::MspFolder { .. } => "the MSP folder is not that of one identity".to_owned(),
            error => error.to_string(),
        });
        let failure = match &error {
            E::NotTold { flag, variable, .. } => {
                failure.code(catalogue::NOT_TOLD).evidence(format!("neither {flag} nor {variable} is set"))
            }
            E::Channel { described } => failure
                .code(catalogue::NOT_TOLD)
                .evidence(format!("the network's description names {described} channels")),
            E::Unknown { kind, known, .. } => {
                failure.code(catalogue::UNKNOWN_NAME).evidence(match &known[..] {
                    [] => format!("it has no {kind} at all"),
                    known => format!("it has {}", known.join(", ")),
                })
            }
            E::Description { source, .. } => failure.code(catalogue::CONFIG_FILE).chain(source),
            E::File { source, .. } | E::Folder { source, .. } => failure.code(catalogue::FILE).chain(source),
            E::MspFolder { folder, files } => failure
                .code(catalogue::IDENTITY)
                .evidence(format!("{} has {files} files where one is wanted", folder.display())),
            E::Identity { source, .. } => failure.code(catalogue::IDENTITY).chain(source),
            E::Address(source) => failure.code(catalogue::ADDRESS).chain(source),
            E::ClientCertificate(source) | E::Authority { source, .. } => {
                failure.code(catalogue::TLS_FILES).chain(source)
            }
            error => failure.code(catalogue::MACHINE).chain(error),
        };
        match error.fix() {
            Some(fix) => failure.fix(fix),
            None => failure,
        }
    }
}

/// A certificate, key or address cannot be used.
pub(crate) fn security(what: &str, error: &ConfigError) -> Failure {
    let code = match error {
        ConfigError::Address { .. } => catalogue::ADDRESS,
        _ => catalogue::TLS_FILES,
    };
    Failure::new(what).code(code).chain(error)
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
    Failure::new(what).code(code).chain(error).fix(error.fix())
}

/// connection.json would not work.
pub(crate) fn connection(what: impl Into<String>, error: &ConnectionError) -> Failure {
    Failure::new(what).code(catalogue::PACKAGE_CONNECTION).chain(error).cause(error.cause()).fix(error.fix())
}

/// A file cannot be read or written.
pub(crate) fn file(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot {action} {}", path.display())).code(catalogue::FILE).chain(error)
}

/// An argument or the content of a file has another form than it should.
pub(crate) fn text(code: Code, what: impl Into<String>, error: &(dyn Error + 'static)) -> Failure {
    Failure::new(what).code(code).chain(error)
}

/// Standard output cannot be written to.
pub(crate) fn output(error: &io::Error) -> Failure {
    Failure::new("standard output cannot be written to").code(catalogue::OUTPUT).chain(error)
}

/// A gateway or peer did not give what was asked for.
pub(crate) fn client(what: impl Into<String>, error: &ClientError) -> Failure {
    let failure = Failure::new(what).code(client_code(error));
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
        ClientError::Refused { .. } => catalogue::INSTALL_REFUSED,
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
        ClientError::Service { code, .. } => match code {
            Status::Unavailable => "see that all peers and the orderer run, and try again",
            Status::DeadlineExceeded => {
                "see that the chaincode's server runs with the package id that is installed"
            }
            Status::PermissionDenied | Status::Unauthenticated => {
                "use an identity of the peer's channel, and an administrator for the lifecycle"
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
