//! What an endorser's answer means to the gateway.

use std::time::Duration;

use selvedge_proto::protos::{ProposalResponse, Response};
use tonic::Code;

use crate::endorser::EndorserError;

/// The text of Go's context when its time is over.
const DEADLINE_EXCEEDED: &str = "context deadline exceeded";

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    /// Whether another endorser may do better.
    pub(super) retry: bool,
}

/// Waits for an endorser and judges its answer. Success is a status from 200 to 399.
pub(super) async fn judged(
    limit: Duration,
    answer: impl Future<Output = Result<ProposalResponse, EndorserError>>,
) -> Result<ProposalResponse, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => judge(answer),
        Err(_) => Err(unavailable(DEADLINE_EXCEEDED.to_owned())),
    }
}

fn judge(answer: Result<ProposalResponse, EndorserError>) -> Result<ProposalResponse, Failure> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(EndorserError::Unavailable(message)) => return Err(unavailable(message)),
        Err(EndorserError::Refused(message)) => {
            return Err(Failure { code: Code::FailedPrecondition, message, retry: false });
        }
    };
    let none = Response::default();
    let Response { status, message, .. } = answer.response.as_ref().unwrap_or(&none);
    if (200..400).contains(status) {
        return Ok(answer);
    }
    // A chaincode's error has a payload; one of the peer has none.
    if *status == 500 && answer.payload.is_empty() {
        return Err(Failure { code: Code::Aborted, message: message.clone(), retry: true });
    }
    let message = format!("chaincode response {status}, {message}");
    Err(Failure { code: Code::Unknown, message, retry: false })
}

fn unavailable(message: String) -> Failure {
    Failure { code: Code::Unavailable, message, retry: true }
}
