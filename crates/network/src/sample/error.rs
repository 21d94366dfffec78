use selvedge_client::ClientError;

use crate::NetworkError;

/// Why a sample could not be brought onto a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The network could not do what was asked.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A transaction of the sample failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The sample's process ended, or did not begin to listen, or did not end.
    #[error("the sample's process {happened}{}", said(.stderr))]
    Process {
        /// What it did.
        happened: String,
        /// The last of what it wrote to its standard error.
        stderr: String,
    },
    /// The sample's answer is not what it answers with.
    #[error("the sample answered {0:?}")]
    Answer(String),
}

fn said(stderr: &str) -> String {
    let text = stderr.trim();
    if text.is_empty() { String::new() } else { format!(". It wrote: {text}") }
}
