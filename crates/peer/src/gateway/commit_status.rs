use prost::Message;
use selvedge_identity::SignedData;
use selvedge_proto::gateway::{CommitStatusRequest, CommitStatusResponse, SignedCommitStatusRequest};
use tonic::Code;

use super::{Gateway, GatewayError};
use crate::endorser::{AccessError, INVALID_WIRE, check_signed};

/// The resource that guards questions about transactions.
const COMMIT_STATUS: &str = "gateway/CommitStatus";

impl Gateway {
    /// Waits until a transaction is committed and tells the verdict. It waits for ever if the transaction never comes;
    /// dropping the future ends the wait.
    ///
    /// # Errors
    /// Fabric's: `PERMISSION_DENIED` for a channel that is unknown or that the client may not read.
    pub async fn commit_status(
        &self,
        signed: SignedCommitStatusRequest,
    ) -> Result<CommitStatusResponse, GatewayError> {
        if signed.request.is_empty() {
            return Err(GatewayError::invalid("a commit status request is required"));
        }
        let request = CommitStatusRequest::decode(signed.request.clone())
            .map_err(|_| GatewayError::invalid(format!("invalid status request: {INVALID_WIRE}")))?;
        if request.identity.is_empty() {
            return Err(GatewayError::invalid("no identity provided"));
        }
        if request.channel_id.is_empty() {
            return Err(GatewayError::invalid("no channel ID provided"));
        }
        if request.transaction_id.is_empty() {
            return Err(GatewayError::invalid("transaction ID should not be empty"));
        }
        let channel = self.channel(&request.channel_id);
        let denied = |error: AccessError| GatewayError::new(Code::PermissionDenied, error.to_string());
        let channel =
            channel.ok_or_else(|| denied(AccessError::UnknownChannel(request.channel_id.clone())))?;
        let by = SignedData { data: signed.request, identity: request.identity, signature: signed.signature };
        check_signed(&channel.channel.config(), COMMIT_STATUS, &by).map_err(denied)?;
        let status = channel.channel.notifier().wait(&request.transaction_id).await;
        let status = status.map_err(|error| GatewayError::new(Code::Aborted, error.to_string()))?;
        Ok(CommitStatusResponse { result: status.code as i32, block_number: status.block })
    }
}
