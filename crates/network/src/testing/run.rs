//! From a call to an endorsed transaction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use selvedge::Call;
use selvedge_client::{Proposal, ProposalBuilder};
use selvedge_ledger::block::TransactionView;
use selvedge_proto::common::Envelope;
use selvedge_proto::gateway::{EndorseRequest, EvaluateRequest};
use serde::de::DeserializeOwned;

use super::network::Node;
use super::{Committed, Endorsed, Identity, Ledger, TestError};

/// A transaction that is about to be made: a call with everything that goes beside it.
#[must_use = "it is made by `submit`, `endorse` or `evaluate`"]
#[derive(Clone, Debug)]
pub struct Transaction<T> {
    ledger: Ledger,
    identity: Identity,
    call: Call<T>,
    transient: BTreeMap<String, Bytes>,
    endorsers: Vec<String>,
    made_at: Option<SystemTime>,
    is_init: bool,
}

impl<T> Transaction<T> {
    pub(super) fn new(ledger: Ledger, identity: Identity, call: Call<T>) -> Self {
        Self {
            ledger,
            identity,
            call,
            transient: BTreeMap::new(),
            endorsers: Vec::new(),
            made_at: None,
            is_init: false,
        }
    }

    /// Adds an entry to the transient map, beside those of the call.
    pub fn transient(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.transient.insert(name.into(), value.into());
        self
    }

    /// Has the peers of these organisations endorse, and nobody else; by default as many as the policies ask for. An
    /// evaluation runs on one of them.
    pub fn endorsed_by<O: Into<String>>(mut self, organizations: impl IntoIterator<Item = O>) -> Self {
        self.endorsers = organizations.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the proposal's timestamp, which is the contract's only clock. Peers under test take any; the system's time
    /// goes into those that name none.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.made_at = Some(time);
        self
    }

    /// Asks for the chaincode's initialisation: the contract gets INIT.
    pub fn init(mut self) -> Self {
        self.is_init = true;
        self
    }

    fn proposal(&self) -> Result<Proposal, TestError> {
        let input = self.call.input()?;
        let mut proposal = ProposalBuilder::new(self.ledger.channel(), self.ledger.chaincode()).args(input);
        for (name, value) in self.call.transient_map().iter().chain(&self.transient) {
            proposal = proposal.transient(name, value.clone());
        }
        if let Some(time) = self.made_at {
            proposal = proposal.at(time);
        }
        if self.is_init {
            proposal = proposal.init();
        }
        proposal.sign(&*self.identity.signing()?).map_err(TestError::setup)
    }

    fn code(&self, message: &str) -> Option<String> {
        self.call.error_code(message).map(str::to_owned)
    }
}

impl<T: DeserializeOwned + 'static> Transaction<T> {
    /// Runs the contract on one peer and gives its result; nothing is recorded.
    ///
    /// # Errors
    /// When the contract or the peer refuses.
    pub async fn evaluate(self) -> Result<T, TestError> {
        let proposal = self.proposal()?;
        self.ledger.network().compare(&self.identity, &self.endorsers, &proposal).await?;
        let request = EvaluateRequest {
            transaction_id: proposal.tx_id,
            channel_id: proposal.channel_id,
            proposed_transaction: Some(proposal.signed),
            target_organizations: self.endorsers.clone(),
        };
        let node = self.ledger.network().node_of(&self.identity)?;
        let answer = node.gateway.evaluate(request).await;
        let answer = answer.map_err(|error| TestError::from_gateway(error, |text| self.code(text)))?;
        Ok(self.call.result(&answer.result.unwrap_or_default().payload)?)
    }

    /// Has the transaction endorsed, and leaves it to the test what becomes of it.
    ///
    /// # Errors
    /// When the contract or a peer refuses, peers disagree, or too few endorse.
    pub async fn endorse(self) -> Result<Endorsed<T>, TestError> {
        let proposal = self.proposal()?;
        self.ledger.network().compare(&self.identity, &self.endorsers, &proposal).await?;
        let node = self.ledger.network().node_of(&self.identity)?;
        let envelope = endorse(node, &proposal, self.endorsers.clone(), |text| self.code(text)).await?;
        let entry = envelope.encode_to_vec().into();
        let view = TransactionView::parse(&entry).map_err(TestError::setup)?;
        let endorsed = view.endorsed_action().map_err(TestError::setup)?;
        let action = endorsed.chaincode_action().map_err(TestError::setup)?;
        let response = action.response.clone().unwrap_or_default();
        let result = self.call.result(&response.payload)?;
        Endorsed::new(self.ledger, self.identity, result, proposal.tx_id, envelope, &action)
    }

    /// Has the transaction endorsed, ordered and committed.
    ///
    /// # Errors
    /// As [`Transaction::endorse`], and when the transaction is not valid in its block.
    pub async fn submit(self) -> Result<Committed<T>, TestError> {
        self.endorse().await?.submit().await
    }
}

/// Has the peer's gateway collect endorsements. `code` finds the code in a contract's message.
pub(super) async fn endorse(
    node: &Node,
    proposal: &Proposal,
    endorsing_organizations: Vec<String>,
    code: impl Fn(&str) -> Option<String>,
) -> Result<Envelope, TestError> {
    let request = EndorseRequest {
        transaction_id: proposal.tx_id.clone(),
        channel_id: proposal.channel_id.clone(),
        proposed_transaction: Some(proposal.signed.clone()),
        endorsing_organizations,
    };
    let answer = node.gateway.endorse(request).await;
    let answer = answer.map_err(|error| TestError::from_gateway(error, code))?;
    answer.prepared_transaction.ok_or_else(|| TestError::Refused("the gateway gave no transaction".into()))
}
