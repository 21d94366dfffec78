//! An administrator of each organisation at work: packages, approvals (whose content is private data), definitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_client::{Approval, ClientError, Definition};
use selvedge_package::Package;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::load::{Names, reason};
use crate::parties::{CHANNEL, Party};
use crate::told::{Change, Step};

/// How often a definition is tried to be committed: a peer that has not seen the last approval yet refuses it.
const ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(10);

/// The longest pause between two changes, in milliseconds.
const LONGEST_PAUSE: u64 = 60;

pub(crate) struct Administrator<P> {
    pub(crate) parties: Vec<Party>,
    pub(crate) dice: Dice,
    pub(crate) over: Arc<AtomicBool>,
    pub(crate) names: Arc<Names>,
    /// The package that runs.
    pub(crate) basic: String,
    /// Makes a package with a label.
    pub(crate) packages: P,
}

/// What the administrators did.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) steps: Vec<Step>,
    pub(crate) failures: Vec<String>,
}

impl Changes {
    /// Notes a step when it begins, and that it is done once that is known.
    async fn step(
        &mut self,
        party: &Party,
        what: Change,
        doing: impl Future<Output = Result<(), ClientError>>,
    ) -> Result<(), ClientError> {
        self.steps.push(Step { msp_id: party.msp_id.clone(), what, acknowledged: false });
        let done = doing.await;
        if let (Ok(()), Some(step)) = (&done, self.steps.last_mut()) {
            step.acknowledged = true;
        }
        done
    }

    /// Puts a package on every peer.
    pub(crate) async fn install(&mut self, parties: &[Party], package: &Package) -> Result<(), ClientError> {
        for party in parties {
            let installing = async { party.admin.install(package.bytes().clone()).await.map(|_| ()) };
            self.step(party, Change::Install(package.id().to_string()), installing).await?;
        }
        Ok(())
    }

    /// Approves a definition for every organisation, and commits it.
    pub(crate) async fn agree(
        &mut self,
        parties: &[Party],
        definition: &Definition,
        package_id: &str,
    ) -> Result<(), ClientError> {
        let approval = Approval { definition: definition.clone(), package_id: Some(package_id.to_owned()) };
        for party in parties {
            let approving = async { party.admin.approve(CHANNEL, &approval).await.map(|_| ()) };
            self.step(party, Change::Approve(approval.clone()), approving).await?;
        }
        let Definition { name, version, sequence, .. } = definition.clone();
        let all: Vec<String> = parties.iter().map(|party| party.msp_id.clone()).collect();
        let committing = async {
            let mut left = ATTEMPTS;
            loop {
                left -= 1;
                match parties[0].admin.commit(CHANNEL, definition, &all).await {
                    Err(error) if left > 0 && is_early(&error) => sleep(PAUSE).await,
                    done => return done.map(|_| ()),
                }
            }
        };
        self.step(&parties[0], Change::Commit { name, sequence, version }, committing).await
    }
}

/// Whether another attempt may go well: a peer lacks the last approval, or its endorsement came from an older state.
fn is_early(error: &ClientError) -> bool {
    matches!(error, ClientError::Service { code: selvedge_client::Code::Aborted, .. })
}

impl<P: Fn(&str) -> Package> Administrator<P> {
    pub(crate) async fn work(mut self) -> Changes {
        let mut changes = Changes::default();
        while !self.over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(self.dice.below(LONGEST_PAUSE))).await;
            if let Err(error) = self.change(&mut changes).await {
                changes.failures.push(format!("administrator: {}", reason(&error)));
            }
        }
        changes
    }

    /// A further chaincode with a package of its own, or the next definition of the one that runs.
    async fn change(&mut self, changes: &mut Changes) -> Result<(), ClientError> {
        let number = self.names.next();
        // What an administrator tries again is never quite what was tried before, so that each approval counts.
        let version = format!("version{number}");
        if self.dice.once_in(2) {
            let package = (self.packages)(&format!("more{number}"));
            changes.install(&self.parties, &package).await?;
            let definition =
                Definition { name: format!("more{number}"), version, sequence: 1, ..Definition::default() };
            return changes.agree(&self.parties, &definition, &package.id().to_string()).await;
        }
        let committed = self.parties[0].admin.committed(CHANNEL, "basic").await?;
        let sequence = committed.sequence + 1;
        let definition = Definition { name: "basic".to_owned(), version, sequence, ..Definition::default() };
        changes.agree(&self.parties, &definition, &self.basic).await
    }
}
