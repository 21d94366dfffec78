//! The third stage: a proposal whose chaincode has run.

use std::sync::Arc;

use prost::Message;
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulated as Results;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeInterest, Response};

use super::context::Transaction;
use super::executor::{CallError, Executor};
use super::state::SharedState;
use super::verified::Place;
use super::{LIFECYCLE, Verified, is_system_chaincode};
use crate::private_data::{Endorsed, PrivateDataPeers, distribute};

/// From this status on a response stands for a failure, and nothing is endorsed.
pub(super) const ERROR_THRESHOLD: i32 = 400;

/// The version that Fabric gives its system chaincodes.
const SYSTEM_VERSION: &str = "syscc";

/// A proposal with what its chaincode answered, read and wrote.
pub(super) struct Simulated {
    pub(super) proposal: Verified,
    pub(super) response: Response,
    pub(super) event: Option<ChaincodeEvent>,
    /// The version of the chaincode's definition.
    pub(super) version: String,
    /// Absent for a call outside any channel, and for chaincodes that need no state.
    pub(super) outcome: Option<Outcome>,
}

/// What a transaction read and wrote on the ledger.
pub(super) struct Outcome {
    pub(super) results: Results,
    pub(super) interest: ChaincodeInterest,
    /// The state that it was simulated on.
    pub(super) snapshot: Arc<dyn Snapshot>,
}

/// What an invocation came to.
struct Invoked {
    response: Response,
    event: Option<ChaincodeEvent>,
    version: String,
}

impl Verified {
    /// Runs the chaincode. The error is what the client gets to read in a response of status 500.
    pub(super) async fn simulate(self, executor: &Executor) -> Result<Simulated, String> {
        let stateless = matches!(self.proposal.chaincode(), "qscc" | "cscc");
        let Some(Place { channel, config }) = self.place.clone().filter(|_| !stateless) else {
            let Invoked { response, event, version } = self.invoke_without_state(executor).await?;
            return Ok(Simulated { proposal: self, response, event, version, outcome: None });
        };
        let proposal = &self.proposal;
        let simulator = channel.ledger().simulator(proposal.tx_id());
        let snapshot = Arc::clone(simulator.snapshot());
        let transaction = Transaction {
            tx_id: proposal.tx_id().to_owned(),
            proposal: proposal.signed.clone(),
            chaincode: proposal.chaincode.clone(),
            creator: self.creator.clone(),
            state: SharedState::new(simulator),
            channel,
            config,
        };
        let Invoked { response, event, version } = self.invoke(&transaction, executor).await?;
        let results = transaction.state.take().map_err(in_simulation)?.finish();
        let interest = results.interest(is_system_chaincode).map_err(in_simulation)?;
        let outcome = Some(Outcome { results, interest, snapshot });
        Ok(Simulated { proposal: self, response, event, version, outcome })
    }

    async fn invoke(&self, transaction: &Transaction, executor: &Executor) -> Result<Invoked, String> {
        let proposal = &self.proposal;
        let name = proposal.chaincode.as_str();
        if is_system_chaincode(name) {
            return self.invoke_system(Some(transaction), executor).await;
        }
        let runnable = executor.resolve(transaction, name).map_err(|error| self.undefined(error))?;
        let failed = |error: CallError| in_simulation(error.for_client(proposal.tx_id()));
        let finished =
            executor.execute(transaction, name, &runnable, proposal.input.clone()).await.map_err(failed)?;
        let event = finished.event.filter(|_| finished.response.status < ERROR_THRESHOLD);
        let event = event.map(|event| ChaincodeEvent {
            chaincode_id: name.to_owned(),
            tx_id: proposal.tx_id().to_owned(),
            ..event
        });
        let version = runnable.definition.version.clone();
        Ok(Invoked { response: finished.response, event, version })
    }

    /// What is called outside any channel, and what needs no simulator inside one.
    async fn invoke_without_state(&self, executor: &Executor) -> Result<Invoked, String> {
        if is_system_chaincode(&self.proposal.chaincode) {
            return self.invoke_system(None, executor).await;
        }
        Err(self.undefined("could not get channel config for channel ''"))
    }

    async fn invoke_system(
        &self,
        transaction: Option<&Transaction>,
        executor: &Executor,
    ) -> Result<Invoked, String> {
        let proposal = &self.proposal;
        let (name, args) = (proposal.chaincode.as_str(), &proposal.input.args);
        let response = if name == LIFECYCLE {
            executor.lifecycle(transaction, &self.creator, args).await
        } else {
            let answered = executor.system(name, proposal.named.as_deref(), &self.creator, args).await;
            answered.unwrap_or_else(|missing| Err(missing.for_client(proposal.tx_id())))
        };
        let response = response.map_err(in_simulation)?;
        Ok(Invoked { response, event: None, version: SYSTEM_VERSION.to_owned() })
    }

    fn undefined(&self, reason: impl std::fmt::Display) -> String {
        let (name, channel) = (&self.proposal.chaincode, self.proposal.channel_id());
        format!(
            "make sure the chaincode {name} has been successfully defined on channel {channel} and try again: {reason}"
        )
    }
}

impl Simulated {
    /// Sends the private writes to other peers, and keeps them until the transaction comes back in a block. The error
    /// is as in [`Verified::simulate`].
    pub(super) async fn share_private_writes(
        &mut self,
        peers: &PrivateDataPeers,
        own_msp_id: &str,
    ) -> Result<(), String> {
        if self.response.status >= ERROR_THRESHOLD {
            // It gets no endorsement, so it never comes back.
            return Ok(());
        }
        let (Some(place), Some(outcome)) = (&self.proposal.place, &mut self.outcome) else { return Ok(()) };
        let Some(writes) = outcome.results.private.take() else { return Ok(()) };
        let endorsed = Endorsed {
            channel: place.channel.id(),
            config: &place.config,
            snapshot: &*outcome.snapshot,
            own_msp_id,
            transaction_id: self.proposal.proposal.tx_id(),
            writes: &writes,
        };
        distribute(peers, &endorsed).await.map_err(in_simulation)?;
        let (channel, height) = (place.channel.clone(), outcome.snapshot.height());
        let tx_id = self.proposal.proposal.tx_id().to_owned();
        tracing::debug!(tx_id, bytes = writes.encoded_len(), "keeping private writes");
        // The store makes them safe on the disk, which takes its time.
        let kept =
            tokio::task::spawn_blocking(move || channel.transient().put(&tx_id, height, &writes)).await;
        match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(in_simulation(format!("failed to keep the private data: {error}"))),
            Err(error) => Err(in_simulation(format!("failed to keep the private data: {error}"))),
        }
    }
}

pub(super) fn in_simulation(reason: impl std::fmt::Display) -> String {
    format!("error in simulation: {reason}")
}
