use std::sync::Arc;

use prost::Message;
use selvedge_proto::gateway::{EvaluateRequest, EvaluateResponse};
use selvedge_proto::protos::{ChaincodeAction, ProposalResponse, ProposalResponsePayload, Response};
use tonic::Code;

use super::error::endorser_detail;
use super::judge::judged;
use super::proposal::Unpacked;
use super::requirements::is_defined;
use super::{Gateway, GatewayChannel, GatewayError, unknown_channel};
use crate::endorser::Endorser;

impl Gateway {
    /// Asks one endorser, or the next if one cannot do it.
    ///
    /// # Errors
    /// Fabric's, among them `UNKNOWN` for an error of the chaincode.
    pub async fn evaluate(&self, request: EvaluateRequest) -> Result<EvaluateResponse, GatewayError> {
        let unpack =
            |reason| GatewayError::invalid(format!("failed to unpack transaction proposal: {reason}"));
        let proposal = request
            .proposed_transaction
            .filter(|proposal| !proposal.proposal_bytes.is_empty())
            .ok_or_else(|| unpack("a signed proposal is required".to_owned()))?;
        let unpacked = Unpacked::read(&proposal).map_err(unpack)?;
        unpacked.check_names().map_err(unpack)?;
        let channel = self
            .channel(&unpacked.channel_id)
            .ok_or_else(|| GatewayError::new(Code::Unavailable, unknown_channel(&unpacked.channel_id)))?;
        let protected = unpacked.has_transient() && request.target_organizations.is_empty();
        let own = [self.msp_id().to_owned()];
        let targets = if protected { &own[..] } else { &request.target_organizations };
        let endorsers = self.evaluators(&channel, unpacked.chaincode(), targets);
        if endorsers.is_empty() {
            return Err(nobody(&unpacked, protected));
        }
        let mut details = Vec::new();
        let mut code = Code::Unavailable;
        for endorser in endorsers {
            let answer = endorser.evaluate(proposal.clone());
            let failure = match judged(self.config().endorsement_timeout, answer).await {
                Ok(answer) => return Ok(EvaluateResponse { result: Some(result(answer)) }),
                Err(failure) => failure,
            };
            details.push(endorser_detail(endorser.as_ref(), &failure.message));
            code = failure.code;
            if !failure.retry {
                let message = format!("evaluate call to endorser returned error: {}", failure.message);
                return Err(GatewayError::with_details(code, message, details));
            }
        }
        let message = "failed to evaluate transaction, see attached details for more info";
        Err(GatewayError::with_details(code, message, details))
    }

    /// The endorsers to ask, those of the own organisation first. No targets means all organisations.
    fn evaluators(
        &self,
        channel: &GatewayChannel,
        chaincode: &str,
        targets: &[String],
    ) -> Vec<Arc<dyn Endorser>> {
        if !is_defined(&channel.channel, chaincode) {
            return Vec::new();
        }
        let wanted = |endorser: &&Arc<dyn Endorser>| {
            (targets.is_empty() || targets.iter().any(|msp_id| msp_id == endorser.msp_id()))
                && endorser.runs(channel.channel.id(), chaincode)
        };
        let all = channel.endorsers.iter().filter(wanted).cloned();
        let (mut own, others): (Vec<_>, Vec<_>) =
            all.partition(|endorser| endorser.msp_id() == self.msp_id());
        own.extend(others);
        own
    }
}

fn nobody(unpacked: &Unpacked, protected: bool) -> GatewayError {
    let (chaincode, channel) = (unpacked.chaincode(), &unpacked.channel_id);
    let nobody = format!("no peers available to evaluate chaincode {chaincode} in channel {channel}");
    let message = if protected {
        format!(
            "no endorsers found in the gateway's organization; retry specifying target organization(s) to protect \
             transient data: {nobody}"
        )
    } else {
        nobody
    };
    GatewayError::new(Code::FailedPrecondition, message)
}

/// The chaincode's response. Its payload comes from what was signed, since the response beside it need not have one.
fn result(answer: ProposalResponse) -> Response {
    let signed = ProposalResponsePayload::decode(answer.payload)
        .and_then(|payload| ChaincodeAction::decode(payload.extension))
        .map(|action| action.response.unwrap_or_default().payload);
    let response = answer.response.unwrap_or_default();
    match signed {
        Ok(payload) => Response { payload, ..response },
        Err(_) => response,
    }
}
