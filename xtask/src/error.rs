//! Why a check did not pass.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::floors::TableError;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    // What was checked is not as it must be.
    #[error("the dependencies break the rules of the floors:\n{}", violations.join("\n"))]
    Floors { violations: Vec<String> },
    #[error("ARCHITECTURE.md has no usable table of floors")]
    Table(#[from] TableError),
    #[error("{file} differs from the official declarations:\n{differences}")]
    Protos { file: String, differences: String },
    #[error("{failed} of {total} interoperability scenarios failed")]
    Scenarios { failed: usize, total: usize },

    // A program that a check needs did not do its part.
    #[error("`{command}` ended with {status}")]
    Failed { command: String, status: std::process::ExitStatus },
    #[error("`{command}` was not done after {} s and was ended", limit.as_secs())]
    Slow { command: String, limit: Duration },
    #[error("cannot start `{command}`; is it installed?")]
    Start { command: String, source: io::Error },
    #[error("{process}: {reason}; the end of its log {}:\n{tail}", log.display())]
    Process { process: String, reason: String, log: PathBuf, tail: String },
    #[error("{what} is not as agreed: {reason}")]
    Contract { what: String, reason: String },

    // The machine or the checkout.
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot find a free port on 127.0.0.1")]
    Port(#[source] io::Error),
    #[error("cannot read the workspace")]
    Workspace(#[from] cargo_metadata::Error),
}
