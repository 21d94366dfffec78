//! Several clients and an administrator at work, until the network is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use selvedge_client::{ClientError, Gateway, ProposalBuilder};
use selvedge_package::Package;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::changes::{Administrator, Changes};
use crate::dice::Dice;
use crate::parties::{CHANNEL, Party};
use crate::told::{Acknowledged, Told};

const CLIENTS: usize = 8;

/// How long a client waits after a failure, so that it does not only fail.
const PAUSE: Duration = Duration::from_millis(5);

/// Names for assets and definitions, none of which comes twice.
#[derive(Debug, Default)]
pub(crate) struct Names(AtomicU64);

impl Names {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// The work of one run of the network.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Work>>,
    administrator: JoinHandle<Changes>,
}

/// What one client did.
#[derive(Debug, Default)]
struct Work {
    acknowledged: Vec<Acknowledged>,
    ordered: u64,
    failures: BTreeMap<String, u64>,
}

/// How much was done, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Amount {
    /// Transactions that were ordered.
    pub(crate) ordered: u64,
    /// Those of them that clients were told the fate of.
    pub(crate) acknowledged: u64,
    /// Those of them that are valid.
    pub(crate) valid: u64,
    /// Steps of administrators.
    pub(crate) steps: u64,
    /// Why calls failed before and after the end of the network.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Load {
    /// Begins.
    pub(crate) fn begin(
        parties: &[Party],
        names: &Arc<Names>,
        packages: impl Fn(&str) -> Package + Send + 'static,
        basic: &Package,
        dice: &mut Dice,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let clients = parties.iter().cycle().take(CLIENTS).map(|party| {
            let client = Client {
                gateway: party.user.clone(),
                dice: dice.split(),
                over: Arc::clone(&over),
                names: Arc::clone(names),
            };
            tokio::spawn(client.work())
        });
        let clients = clients.collect();
        let administrator = Administrator {
            parties: parties.to_vec(),
            dice: dice.split(),
            over: Arc::clone(&over),
            names: Arc::clone(names),
            basic: basic.id().to_string(),
            packages,
        };
        let administrator = tokio::spawn(administrator.work());
        Self { over, clients, administrator }
    }

    /// Ends the work once the network is gone, and adds to what was told.
    pub(crate) async fn end(self, told: &mut Told, amount: &mut Amount) {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            let Work { acknowledged, ordered, failures } = client.await.unwrap();
            amount.ordered += ordered;
            amount.acknowledged += acknowledged.len() as u64;
            amount.valid +=
                acknowledged.iter().filter(|told| told.commit.valid(&told.transaction).is_ok()).count()
                    as u64;
            for (reason, count) in failures {
                *amount.failures.entry(reason).or_default() += count;
            }
            told.transactions.extend(acknowledged);
        }
        let changes = self.administrator.await.unwrap();
        amount.steps += changes.steps.iter().filter(|step| step.acknowledged).count() as u64;
        for reason in changes.failures {
            *amount.failures.entry(reason).or_default() += 1;
        }
        told.steps.extend(changes.steps);
    }
}

struct Client {
    gateway: Gateway,
    dice: Dice,
    over: Arc<AtomicBool>,
    names: Arc<Names>,
}

impl Client {
    async fn work(mut self) -> Work {
        let mut work = Work::default();
        while !self.over.load(Ordering::Relaxed) {
            if let Err(error) = self.submit(&mut work).await {
                *work.failures.entry(reason(&error)).or_default() += 1;
                sleep(PAUSE).await;
            }
        }
        work
    }

    async fn submit(&mut self, work: &mut Work) -> Result<(), ClientError> {
        let proposal = self.proposal();
        let transaction = self.gateway.submit(proposal, &[]).await?.tx_id;
        work.ordered += 1;
        let commit = self.gateway.commit_status(CHANNEL, &transaction).await?;
        work.acknowledged.push(Acknowledged { transaction, commit });
        Ok(())
    }

    /// New assets, a few that all clients fight for, and six at once.
    fn proposal(&mut self) -> ProposalBuilder {
        let asset = format!("asset{}", 1 + self.dice.below(6));
        match self.dice.below(20) {
            0 => call("InitLedger", []),
            1..=5 => call("TransferAsset", [asset, format!("owner{}", self.names.next())]),
            _ => create(self.names.next()),
        }
    }
}

/// Creates an asset that is not there yet.
pub(crate) fn create(name: u64) -> ProposalBuilder {
    call("CreateAsset", [format!("new{name}"), "blue".into(), "5".into(), "Ada".into(), "7".into()])
}

/// Calls the sample.
pub(crate) fn call<const N: usize>(function: &'static str, arguments: [String; N]) -> ProposalBuilder {
    ProposalBuilder::new(CHANNEL, "basic").arg(function).args(arguments)
}

/// The kind of an error, without what differs from call to call.
pub(crate) fn reason(error: &ClientError) -> String {
    match error {
        ClientError::Service { operation, code, .. } => format!("{operation}: {code:?}"),
        ClientError::Invalid { code, .. } => format!("invalid: {}", code.as_str_name()),
        error => error.to_string(),
    }
}
