//! The last stage: the answer to a proposal, signed if its chaincode succeeded.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use selvedge_identity::{SigningIdentity, VerificationCache};
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeId, Endorsement, ProposalResponse, ProposalResponsePayload, Response,
};

use super::simulated::{ERROR_THRESHOLD, Simulated};

/// From this status on a response stands for an error of the chaincode.
const ERROR: i32 = 500;

/// A proposal's answer.
pub(super) struct Endorsed(ProposalResponse);

impl Simulated {
    /// Makes the answer. Without a signer it lacks the endorsement.
    ///
    /// As in Fabric: statuses from 500 have the payload and no endorsement, by which an error of the chaincode differs
    /// from one of the peer; those from 400 have the response alone, as calls outside any channel have.
    pub(super) fn endorse(self, signer: Option<&SigningIdentity>) -> Result<Endorsed, String> {
        let status = self.response.status;
        let payload = Bytes::from(self.payload().encode_to_vec());
        let response = Some(self.response);
        let is_on_channel = self.proposal.place.is_some();
        let interest = self.outcome.map(|outcome| outcome.interest);
        if status >= ERROR {
            return Ok(Endorsed(ProposalResponse { response, payload, interest, ..Default::default() }));
        }
        if !is_on_channel || status >= ERROR_THRESHOLD {
            return Ok(Endorsed(ProposalResponse { response, ..Default::default() }));
        }
        let place = self.proposal.place.as_ref();
        let signatures = place.map(|place| place.channel.signatures().as_ref());
        let endorsement = signer.map(|signer| sign(signer, &payload, signatures)).transpose()?;
        Ok(Endorsed(ProposalResponse {
            version: 1,
            response,
            payload,
            endorsement,
            interest,
            ..Default::default()
        }))
    }

    fn payload(&self) -> ProposalResponsePayload {
        let action = ChaincodeAction {
            results: self.outcome.as_ref().map(|outcome| outcome.results.public.clone()).unwrap_or_default(),
            events: self.event.as_ref().map(|event| event.encode_to_vec().into()).unwrap_or_default(),
            response: Some(self.response.clone()),
            chaincode_id: Some(ChaincodeId {
                name: self.proposal.proposal.chaincode.clone(),
                version: self.version.clone(),
                ..ChaincodeId::default()
            }),
        };
        ProposalResponsePayload {
            proposal_hash: self.proposal.proposal.hash.clone(),
            extension: action.encode_to_vec().into(),
        }
    }
}

impl Endorsed {
    /// The answer as it goes to the client.
    pub(super) fn into_response(self) -> ProposalResponse {
        self.0
    }
}

/// The answer to a proposal that could not be simulated. It has no payload, so that it differs from one of the
/// chaincode.
pub(super) fn failure(message: String) -> ProposalResponse {
    let response = Some(Response { status: ERROR, message, payload: Bytes::new() });
    ProposalResponse { response, ..ProposalResponse::default() }
}

/// Signs the payload with the endorser's identity. The committer meets the same signature again, so it is remembered as
/// good.
fn sign(
    signer: &SigningIdentity,
    payload: &Bytes,
    signatures: Option<&VerificationCache>,
) -> Result<Endorsement, String> {
    let endorser = signer.serialized();
    let mut message = BytesMut::with_capacity(payload.len() + endorser.len());
    message.put_slice(payload);
    message.put_slice(endorser);
    let signature =
        signer.sign(&message).map_err(|error| format!("endorsing with plugin failed: {error}"))?;
    if let Some(signatures) = signatures {
        signatures.remember_own(signer, &message, &signature);
    }
    Ok(Endorsement { endorser: endorser.clone(), signature })
}
