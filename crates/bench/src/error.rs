use std::io;

use selvedge_client::ClientError;
use selvedge_client::connect::ConnectError;
use selvedge_network::NetworkError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("a proposal could not be made: {0}")]
    Prepare(#[from] ClientError),
    #[error("warming up and measuring take more than {most} s together, and peers take no older proposals")]
    TooLong { most: u64 },
    #[error("the process {name} ({pid}) cannot be watched: {reason}")]
    Process { name: String, pid: u32, reason: String },
    #[error("{what}")]
    Io { what: &'static str, source: io::Error },
    #[error("the network failed")]
    Network(#[from] NetworkError),
    #[error("{0}")]
    Embedded(String),
    #[error("{row}: {errors} of its transactions failed; {example}")]
    Row { row: &'static str, errors: u64, example: String },
}

impl BenchError {
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
