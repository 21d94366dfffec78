use selvedge_proto::common::{Envelope, Status};
use selvedge_proto::gateway::{SubmitRequest, SubmitResponse};
use selvedge_proto::orderer::BroadcastResponse;
use tonic::Code;

use super::error::broadcaster_detail;
use super::{Broadcaster, Gateway, GatewayError, unknown_channel};

impl Gateway {
    /// Hands a signed transaction to the ordering service. It is ordered when this returns, not committed.
    ///
    /// # Errors
    /// Fabric's: `ABORTED` if an orderer refuses the transaction, `UNAVAILABLE` if none can take it.
    pub async fn submit(&self, request: SubmitRequest) -> Result<SubmitResponse, GatewayError> {
        let transaction = request
            .prepared_transaction
            .ok_or_else(|| GatewayError::invalid("a prepared transaction is required"))?;
        if transaction.signature.is_empty() {
            return Err(GatewayError::invalid("prepared transaction must be signed"));
        }
        let channel = self.channel(&request.channel_id).ok_or_else(|| {
            GatewayError::new(Code::FailedPrecondition, unknown_channel(&request.channel_id))
        })?;
        if channel.broadcasters.is_empty() {
            return Err(GatewayError::new(Code::Unavailable, "no orderer nodes available"));
        }
        let mut details = Vec::new();
        for broadcaster in &channel.broadcasters {
            match self.broadcast(broadcaster.as_ref(), &transaction).await {
                Ok(answer) if answer.status == Status::Success as i32 => return Ok(SubmitResponse {}),
                // Another node would find the same fault with it.
                Ok(answer) if (400..500).contains(&answer.status) => {
                    return Err(GatewayError::new(Code::Aborted, refusal(&answer)));
                }
                Ok(answer) => {
                    tracing::warn!(address = broadcaster.address(), "{}", refusal(&answer));
                }
                Err(reason) => details.push(broadcaster_detail(broadcaster.as_ref(), reason)),
            }
        }
        let message = "no orderers could successfully process transaction";
        Err(GatewayError::with_details(Code::Unavailable, message, details))
    }

    async fn broadcast(
        &self,
        broadcaster: &dyn Broadcaster,
        transaction: &Envelope,
    ) -> Result<BroadcastResponse, String> {
        let answer = broadcaster.broadcast(transaction.clone());
        match tokio::time::timeout(self.config().broadcast_timeout, answer).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("context deadline exceeded".to_owned()),
        }
    }
}

fn refusal(answer: &BroadcastResponse) -> String {
    let status = Status::try_from(answer.status).map_or("", |status| status.as_str_name());
    format!("received unsuccessful response from orderer: status={status}, info={}", answer.info)
}
