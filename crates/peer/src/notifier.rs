//! Tells those who wait for a transaction, or follow a channel, what was committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use selvedge_ledger::{Committed, Ledger, StoreError};
use selvedge_proto::protos::TxValidationCode;
use tokio::sync::{broadcast, oneshot};

/// How many calls may wait for transactions of one channel at a time. Fabric's gateway serves 500 calls at once.
const MOST_WAITERS: usize = 10_000;

/// How many blocks a follower may lag behind before it has to read them from the ledger.
const BACKLOG: usize = 64;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionStatus {
    /// The verdict.
    pub code: TxValidationCode,
    /// The number of the block that holds the transaction.
    pub block: u64,
}

/// Why nobody can tell what becomes of a transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Too many wait already; the caller may try again.
    #[error("{limit} calls wait for transactions of this channel already; try again later")]
    TooMany {
        /// How many may wait at a time.
        limit: usize,
    },
    /// The channel takes in no more blocks.
    #[error("the channel takes in no more blocks")]
    Stopped,
    /// The ledger cannot be read.
    #[error("the ledger cannot be asked for the transaction")]
    Ledger(#[from] StoreError),
}

/// Tells of a channel's commits. Cheap to clone; clones are the same notifier.
#[derive(Clone, Debug)]
pub struct CommitNotifier {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    waiters: Mutex<Waiters>,
    next: AtomicU64,
    blocks: broadcast::Sender<Arc<Committed>>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_transaction: HashMap<String, HashMap<u64, oneshot::Sender<TransactionStatus>>>,
    count: usize,
    stopped: bool,
}

impl CommitNotifier {
    /// A notifier for this ledger.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        let blocks = broadcast::Sender::new(BACKLOG);
        let waiters = Mutex::new(Waiters::default());
        Self { shared: Arc::new(Shared { ledger, waiters, next: AtomicU64::new(0), blocks }) }
    }

    /// Waits until the transaction is committed, and gives the verdict of its first occurrence. At once if it is
    /// committed already. It waits for ever if the transaction never comes, so the caller sets a limit; dropping
    /// the future ends the wait.
    ///
    /// # Errors
    /// [`WaitError`]; also while waiting, when the channel stops.
    pub async fn wait(&self, transaction_id: &str) -> Result<TransactionStatus, WaitError> {
        // Registering comes first, so that a commit between the two steps is seen by one of them.
        let registered = self.register(transaction_id);
        if let Some(place) = self.shared.ledger.transaction_place(transaction_id)? {
            return Ok(TransactionStatus { code: place.code, block: place.block });
        }
        let mut waiter = registered?;
        (&mut waiter.receiver).await.map_err(|_| WaitError::Stopped)
    }

    /// Tells of every block from now on. A follower that lags by more than 64 blocks is told so, and then reads
    /// the ledger.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.shared.blocks.subscribe()
    }

    /// How many calls wait at the moment.
    pub fn waiting(&self) -> usize {
        self.shared.waiters.lock().count
    }

    /// Tells of a block that the ledger has taken in.
    pub(crate) fn committed(&self, committed: Committed) {
        let block = committed.number();
        let mut waiters = self.shared.waiters.lock();
        if waiters.count > 0 {
            for (id, code) in committed.transactions() {
                let Some(woken) = id.and_then(|id| waiters.by_transaction.remove(id)) else { continue };
                waiters.count -= woken.len();
                for waiter in woken.into_values() {
                    // Whoever waited may have left in this moment.
                    let _ = waiter.send(TransactionStatus { code, block });
                }
            }
        }
        drop(waiters);
        // There may be no follower.
        let _ = self.shared.blocks.send(Arc::new(committed));
    }

    /// Ends all waits, and those to come, since no block will be committed any more.
    pub(crate) fn stop(&self) {
        let mut waiters = self.shared.waiters.lock();
        *waiters = Waiters { stopped: true, ..Waiters::default() };
    }

    /// Lets calls wait again.
    pub(crate) fn start(&self) {
        self.shared.waiters.lock().stopped = false;
    }

    fn register(&self, transaction_id: &str) -> Result<Waiter<'_>, WaitError> {
        let (sender, receiver) = oneshot::channel();
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut waiters = self.shared.waiters.lock();
        if waiters.stopped {
            return Err(WaitError::Stopped);
        }
        if waiters.count >= MOST_WAITERS {
            return Err(WaitError::TooMany { limit: MOST_WAITERS });
        }
        waiters.count += 1;
        waiters.by_transaction.entry(transaction_id.to_owned()).or_default().insert(number, sender);
        drop(waiters);
        Ok(Waiter { shared: &self.shared, transaction_id: transaction_id.to_owned(), number, receiver })
    }
}

/// One call that waits. Dropping it ends the wait.
struct Waiter<'a> {
    shared: &'a Shared,
    transaction_id: String,
    number: u64,
    receiver: oneshot::Receiver<TransactionStatus>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = self.shared.waiters.lock();
        let Some(mine) = waiters.by_transaction.get_mut(&self.transaction_id) else { return };
        if mine.remove(&self.number).is_none() {
            return;
        }
        if mine.is_empty() {
            waiters.by_transaction.remove(&self.transaction_id);
        }
        waiters.count -= 1;
    }
}
