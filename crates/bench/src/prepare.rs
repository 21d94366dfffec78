//! Transactions that are made and signed before the load begins, so that it does not measure the client's signatures.

use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_client::{ClientError, Gateway, Proposal, ProposalBuilder};
use selvedge_proto::gateway::SignedCommitStatusRequest;
use serde::Serialize;

use crate::template::Template;

/// What is done with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    /// Run on one peer.
    Evaluate,
    /// Endorsed, and nothing more.
    Endorse,
    /// Endorsed, ordered, and waited for until it is valid in a block.
    Submit,
}

/// Which transactions there are.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) channel: String,
    pub(crate) chaincode: String,
    pub(crate) words: Vec<Template>,
}

/// A transaction that can be sent.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    proposal: Proposal,
    /// What is asked once it is ordered.
    status: Option<SignedCommitStatusRequest>,
}

/// Prepared transactions, each of which is handed out once. A peer may remember what it has verified, and a ledger takes
/// a transaction once only, so none is sent twice.
pub(crate) struct Stock {
    operation: Operation,
    prepared: Vec<Prepared>,
    next: AtomicUsize,
}

impl Stock {
    /// Makes and signs transactions on all cores.
    pub(crate) async fn make(
        call: &Call,
        gateway: &Gateway,
        run: &str,
        count: u32,
    ) -> Result<Self, ClientError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        let share = count.div_ceil(cores).max(1);
        let parts = (0..count).step_by(share as usize).map(|first| {
            let (call, gateway, run) = (call.clone(), gateway.clone(), run.to_owned());
            let last = first.saturating_add(share).min(count);
            tokio::task::spawn_blocking(move || {
                (first..last)
                    .map(|number| call.prepare(&gateway, number, &run))
                    .collect::<Result<Vec<_>, _>>()
            })
        });
        let parts: Vec<_> = parts.collect();
        let mut prepared = Vec::with_capacity(count as usize);
        for part in parts {
            prepared.append(&mut part.await.expect("signing does not panic")?);
        }
        Ok(Self { operation: call.operation, prepared, next: AtomicUsize::new(0) })
    }

    /// Sends the next transaction; none when all are sent.
    pub(crate) fn send(
        &self,
        gateway: &Gateway,
    ) -> Option<impl Future<Output = Result<(), ClientError>> + use<>> {
        let Prepared { proposal, status } =
            self.prepared.get(self.next.fetch_add(1, Ordering::Relaxed))?.clone();
        let (operation, gateway) = (self.operation, gateway.clone());
        Some(async move {
            if operation == Operation::Evaluate {
                return gateway.evaluate_signed(&proposal).await.map(drop);
            }
            let envelope = gateway.endorse(&proposal, &[]).await?;
            let Some(status) = status else { return Ok(()) };
            let submitted = gateway.submit_endorsed(proposal, envelope).await?;
            gateway.commit_status_signed(status).await?.valid(&submitted.tx_id).map(drop)
        })
    }
}

impl Call {
    fn prepare(&self, gateway: &Gateway, number: u32, run: &str) -> Result<Prepared, ClientError> {
        let proposal = ProposalBuilder::new(&self.channel, &self.chaincode)
            .args(self.words.iter().map(|word| word.fill(number, run)))
            .sign(gateway.identity())?;
        let status = match self.operation {
            Operation::Submit => Some(gateway.sign_commit_status(&proposal.channel_id, &proposal.tx_id)?),
            Operation::Evaluate | Operation::Endorse => None,
        };
        Ok(Prepared { proposal, status })
    }
}
