use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
pub(crate) use selvedge_proto::MESSAGE_BYTES;
use selvedge_proto::common::{Envelope, Payload};
use selvedge_proto::gateway::gateway_client::GatewayClient;
use selvedge_proto::gateway::{
    CommitStatusRequest, EndorseRequest, EvaluateRequest, SignedCommitStatusRequest, SubmitRequest,
};
use selvedge_proto::protos::{ChaincodeAction, ChaincodeActionPayload, ProposalResponsePayload, Transaction};
use selvedge_proto::protos::{Response, TxValidationCode};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::{ClientError, Proposal, ProposalBuilder, sign_envelope};

/// How long each call may take. The defaults are those of Fabric's sample applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Evaluate: 5 s.
    pub evaluate: Duration,
    /// Endorse: 15 s.
    pub endorse: Duration,
    /// Submit: 5 s.
    pub submit: Duration,
    /// CommitStatus: 60 s.
    pub commit_status: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            evaluate: Duration::from_secs(5),
            endorse: Duration::from_secs(15),
            submit: Duration::from_secs(5),
            commit_status: Duration::from_secs(60),
        }
    }
}

/// A peer's gateway, used in the name of one identity. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Gateway {
    client: GatewayClient<Channel>,
    identity: Arc<SigningIdentity>,
    timeouts: Timeouts,
}

/// A transaction that is ordered, but not yet known to be committed.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The transaction.
    pub tx_id: String,
    /// The channel.
    pub channel_id: String,
    /// What the chaincode answered.
    pub response: Response,
}

/// Where a transaction ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The block.
    pub block: u64,
    /// The verdict of the committing peer.
    pub code: TxValidationCode,
}

impl Commit {
    /// Itself, when the transaction is valid.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when it is in a block without being valid.
    pub fn valid(self, tx_id: &str) -> Result<Self, ClientError> {
        if self.code == TxValidationCode::Valid {
            Ok(self)
        } else {
            Err(ClientError::Invalid { tx_id: tx_id.to_owned(), block: self.block, code: self.code })
        }
    }
}

impl Gateway {
    /// Uses the gateway at the other end of a connection.
    pub fn new(channel: Channel, identity: Arc<SigningIdentity>) -> Self {
        let client = GatewayClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Self { client, identity, timeouts: Timeouts::default() }
    }

    /// Sets how long each call may take.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The identity that signs.
    pub fn identity(&self) -> &Arc<SigningIdentity> {
        &self.identity
    }

    /// A stub of the service. Clones share the connection.
    pub(crate) fn client(&self) -> GatewayClient<Channel> {
        self.client.clone()
    }

    /// Runs a transaction on one peer and gives its response; nothing is recorded.
    ///
    /// # Errors
    /// With the gateway's status when the call fails or the chaincode answers with an error.
    pub async fn evaluate(&self, proposal: ProposalBuilder) -> Result<Response, ClientError> {
        self.evaluate_signed(&proposal.sign(&self.identity)?).await
    }

    /// [`Gateway::evaluate`] for a proposal that is signed already.
    ///
    /// # Errors
    /// As [`Gateway::evaluate`].
    pub async fn evaluate_signed(&self, proposal: &Proposal) -> Result<Response, ClientError> {
        let request = EvaluateRequest {
            transaction_id: proposal.tx_id.clone(),
            channel_id: proposal.channel_id.clone(),
            proposed_transaction: Some(proposal.signed.clone()),
            target_organizations: Vec::new(),
        };
        let answer = self
            .client
            .clone()
            .evaluate(timed(request, self.timeouts.evaluate))
            .await
            .map_err(failed("evaluate"))?;
        answer.into_inner().result.ok_or_else(|| ClientError::answer("evaluate", "it has no result"))
    }

    /// Has a transaction endorsed, signs it, and has it ordered.
    ///
    /// `organizations` names the MSPs whose peers must endorse; empty leaves the choice to the gateway.
    ///
    /// # Errors
    /// With the gateway's status when too few peers endorse or the orderer refuses.
    pub async fn submit(
        &self,
        proposal: ProposalBuilder,
        organizations: &[String],
    ) -> Result<Submitted, ClientError> {
        let proposal = proposal.sign(&self.identity)?;
        let envelope = self.endorse(&proposal, organizations).await?;
        self.submit_endorsed(proposal, envelope).await
    }

    /// Signs a transaction that this or another peer's gateway had endorsed, and has it ordered.
    ///
    /// # Errors
    /// With the gateway's status when the orderer refuses.
    pub async fn submit_endorsed(
        &self,
        proposal: Proposal,
        endorsed: Envelope,
    ) -> Result<Submitted, ClientError> {
        let response = response_of(&endorsed)?;
        let envelope = sign_envelope(endorsed, &self.identity)?;
        let request = SubmitRequest {
            transaction_id: proposal.tx_id.clone(),
            channel_id: proposal.channel_id.clone(),
            prepared_transaction: Some(envelope),
        };
        self.client.clone().submit(timed(request, self.timeouts.submit)).await.map_err(failed("submit"))?;
        Ok(Submitted { tx_id: proposal.tx_id, channel_id: proposal.channel_id, response })
    }

    /// Submits a transaction and waits until it is committed.
    ///
    /// # Errors
    /// As [`Gateway::submit`], and [`ClientError::Invalid`] when the transaction is in a block without being valid.
    pub async fn submit_and_wait(
        &self,
        proposal: ProposalBuilder,
        organizations: &[String],
    ) -> Result<(Submitted, Commit), ClientError> {
        let submitted = self.submit(proposal, organizations).await?;
        let commit = self.commit_status(&submitted.channel_id, &submitted.tx_id).await?;
        let commit = commit.valid(&submitted.tx_id)?;
        Ok((submitted, commit))
    }

    /// Waits until a transaction is in a block.
    ///
    /// # Errors
    /// With the gateway's status when it refuses or the time is over.
    pub async fn commit_status(&self, channel_id: &str, tx_id: &str) -> Result<Commit, ClientError> {
        self.commit_status_signed(self.sign_commit_status(channel_id, tx_id)?).await
    }

    /// Signs the question that [`Gateway::commit_status`] asks.
    ///
    /// # Errors
    /// When the signature fails.
    pub fn sign_commit_status(
        &self,
        channel_id: &str,
        tx_id: &str,
    ) -> Result<SignedCommitStatusRequest, ClientError> {
        let request = CommitStatusRequest {
            transaction_id: tx_id.to_owned(),
            channel_id: channel_id.to_owned(),
            identity: self.identity.serialized().clone(),
        };
        let request: Bytes = request.encode_to_vec().into();
        let signature = self.identity.sign(&request)?;
        Ok(SignedCommitStatusRequest { request, signature })
    }

    /// [`Gateway::commit_status`] for a question that is signed already.
    ///
    /// # Errors
    /// As [`Gateway::commit_status`].
    pub async fn commit_status_signed(
        &self,
        request: SignedCommitStatusRequest,
    ) -> Result<Commit, ClientError> {
        const OPERATION: &str = "commit status";
        let answer = self
            .client
            .clone()
            .commit_status(timed(request, self.timeouts.commit_status))
            .await
            .map_err(failed(OPERATION))?
            .into_inner();
        let code = TxValidationCode::try_from(answer.result)
            .map_err(|_| ClientError::answer(OPERATION, format!("{} is no code", answer.result)))?;
        Ok(Commit { block: answer.block_number, code })
    }

    /// Has a transaction endorsed, by the peers of these organisations or of those that the gateway chooses.
    ///
    /// # Errors
    /// With the gateway's status when too few peers endorse.
    pub async fn endorse(
        &self,
        proposal: &Proposal,
        organizations: &[String],
    ) -> Result<Envelope, ClientError> {
        let request = EndorseRequest {
            transaction_id: proposal.tx_id.clone(),
            channel_id: proposal.channel_id.clone(),
            proposed_transaction: Some(proposal.signed.clone()),
            endorsing_organizations: organizations.to_vec(),
        };
        let answer = self
            .client
            .clone()
            .endorse(timed(request, self.timeouts.endorse))
            .await
            .map_err(failed("endorse"))?;
        let envelope = answer.into_inner().prepared_transaction;
        envelope.ok_or_else(|| ClientError::answer("endorse", "it has no transaction"))
    }
}

fn timed<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

fn failed(operation: &'static str) -> impl Fn(Status) -> ClientError {
    move |status| ClientError::from_status(operation, &status)
}

/// The chaincode's response within a prepared transaction.
fn response_of(envelope: &Envelope) -> Result<Response, ClientError> {
    let unreadable = |error: prost::DecodeError| ClientError::answer("endorse", error);
    let missing = |what: &str| ClientError::answer("endorse", format!("the transaction has no {what}"));
    let payload = Payload::decode(envelope.payload.clone()).map_err(unreadable)?;
    let transaction = Transaction::decode(payload.data).map_err(unreadable)?;
    let action = transaction.actions.into_iter().next().ok_or_else(|| missing("action"))?;
    let action = ChaincodeActionPayload::decode(action.payload).map_err(unreadable)?;
    let endorsed = action.action.ok_or_else(|| missing("endorsed action"))?;
    let response = ProposalResponsePayload::decode(endorsed.proposal_response_payload).map_err(unreadable)?;
    let action = ChaincodeAction::decode(response.extension).map_err(unreadable)?;
    action.response.ok_or_else(|| missing("response"))
}
