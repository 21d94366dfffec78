//! A channel's ledger: the block log, the state beneath the endorser and the committer, and their queries.

mod entry;
mod expiry;
mod history;
mod reconcile;
mod recovery;
mod validated;
mod visible;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{Block, Envelope};
use selvedge_proto::protos::TxValidationCode;
use tokio::sync::watch;

pub use self::history::History;
pub use self::validated::{Committed, Validated};
use crate::StoreError;
use crate::log::{BlockLog, LogOptions, PrivateWrites, Record};
use crate::reconciled::ReconciledStore;
use crate::simulator::Simulator;
use crate::state::{StateSnapshot, StateStore, Tip, TransactionPlace};
use crate::storage::{Lock, LockError, Storage};
use crate::transient::{TransientOptions, TransientStore};

/// How a ledger is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LedgerConfig {
    /// The folder, which belongs to this ledger alone. It holds `lock`, `blocks/`, `state.redb`, `reconciled.redb`
    /// (private writes that came after their block) and `transient.redb`; the state can be deleted while the ledger is
    /// closed, and is then built anew.
    pub folder: PathBuf,
    /// How the block log is kept.
    pub log: LogOptions,
    /// How private writes are kept between endorsement and commit.
    pub transient: TransientOptions,
    /// Memory for the state database's cache, in bytes.
    pub state_cache_bytes: usize,
    /// After how many blocks the state is made safe; as many must be applied again at most after a crash.
    pub durable_every: u64,
    /// Whether keys have a history (`ledger.history.enableHistoryDatabase`). If it is switched on later, opening the
    /// ledger reads the whole log once.
    pub history: bool,
}

impl LedgerConfig {
    /// The defaults: a safe log, 64 MiB of cache for the state, which is made safe every 100 blocks, and histories.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            log: LogOptions::default(),
            transient: TransientOptions::default(),
            state_cache_bytes: 64 << 20,
            durable_every: 100,
            history: true,
        }
    }
}

/// A transaction of the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerTransaction {
    /// The transaction as it stands in its block.
    pub envelope: Envelope,
    /// Where it stands, and the verdict.
    pub place: TransactionPlace,
}

/// The ledger of one channel. All calls may block on the disk. Any number of threads query and simulate while one
/// validates and commits; neither waits for the other.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    log: BlockLog,
    reconciled: ReconciledStore,
    state: StateStore,
    transient: TransientStore,
    durable_every: u64,
    keeps_history: bool,
    height: watch::Sender<u64>,
    committer: Mutex<Committer>,
    _lock: Box<dyn Lock>,
}

#[derive(Debug, Default)]
struct Committer {
    /// How many blocks the state has taken in since it was last made safe.
    unsafe_blocks: u64,
    /// The log may hold a block that the state lacks; opening the ledger again puts that right.
    halted: bool,
    /// How often private writes have come late since the ledger was opened.
    reconciliations: u64,
}

impl Ledger {
    /// Opens a ledger, or begins one with the genesis block. What a crash left behind is put right: an append cut
    /// short is taken back, and the blocks that the state lacks are applied again.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process, or another `Ledger` of this one, has it open;
    /// [`StoreError::NoGenesis`] and [`StoreError::OtherGenesis`] if `genesis` does not fit what is there.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: LedgerConfig,
        genesis: Option<Block>,
    ) -> Result<Self, StoreError> {
        let folder = config.folder;
        storage.create_folder(&folder).map_err(StoreError::io("create", &folder))?;
        let lock = lock(&*storage, &folder)?;
        let log = BlockLog::open(Arc::clone(&storage), &folder.join("blocks"), config.log)?;
        recovery::check_genesis(&log, &folder, genesis.as_ref())?;
        let state = StateStore::open(&*storage, &folder.join("state.redb"), config.state_cache_bytes)?;
        let transient = TransientStore::open(&*storage, &folder.join("transient.redb"), config.transient)?;
        let reconciled = ReconciledStore::open(&*storage, &folder.join("reconciled.redb"))?;
        if config.history {
            history::catch_up(&log, &state, config.durable_every)?;
        }
        recovery::replay(&log, &reconciled, &state, &folder, config.durable_every, config.history)?;
        reconcile::finish(&reconciled, &state)?;
        let ledger = Self {
            height: watch::Sender::new(log.height()),
            folder,
            log,
            reconciled,
            state,
            transient,
            durable_every: config.durable_every,
            keeps_history: config.history,
            committer: Mutex::default(),
            _lock: lock,
        };
        if let Some(genesis) = genesis.filter(|_| ledger.height() == 0) {
            let count = genesis.data.as_ref().map_or(0, |data| data.data.len());
            let genesis =
                ledger.validate(genesis, vec![TxValidationCode::Valid; count], PrivateWrites::new())?;
            ledger.commit(genesis)?;
        }
        Ok(ledger)
    }

    /// How many blocks are committed; at least 1.
    pub fn height(&self) -> u64 {
        *self.height.borrow()
    }

    /// Tells of every new height. Readers that are slow see only the newest.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.height.subscribe()
    }

    /// The last block's number, hash and commit hash.
    pub fn tip(&self) -> Tip {
        self.state.snapshot().tip().clone()
    }

    /// The state as it is now. It does not change, and holding it keeps nobody waiting.
    pub fn snapshot(&self) -> Arc<StateSnapshot> {
        self.state.snapshot()
    }

    /// A simulation of this transaction on the state as it is now.
    pub fn simulator(&self, transaction_id: impl Into<String>) -> Simulator {
        Simulator::new(self.snapshot(), transaction_id)
    }

    /// The private writes of transactions that are endorsed and not committed. The committer drops what a block
    /// brings.
    pub fn transient(&self) -> &TransientStore {
        &self.transient
    }

    /// Judges the next block: it must continue the chain, and its transactions are checked against the state.
    ///
    /// `verdicts` are those of all checks but the ones against the state (signatures, policies, forms), one per
    /// transaction. `private` are the private writes at hand, by the transaction's index.
    ///
    /// # Errors
    /// The first four of [`StoreError`] if it is not the next block of this chain. Nothing is written.
    pub fn validate(
        &self,
        block: Block,
        verdicts: Vec<TxValidationCode>,
        private: PrivateWrites,
    ) -> Result<Validated, StoreError> {
        let (basis, snapshot) = {
            let committer = self.lock();
            (committer.reconciliations, self.state.snapshot())
        };
        Validated::judge(&snapshot, basis, block, verdicts, private)
    }

    /// Adds a validated block. When this returns, the block survives a loss of power (unless
    /// [`LogOptions::sync`] is off), the state has taken it in and [`Ledger::height`] counts it.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] and [`StoreError::WrongPreviousHash`] if another block was committed since it
    /// was validated; nothing is written then. After a failure of the disk the ledger takes no more blocks until
    /// it is opened again.
    pub fn commit(&self, block: Validated) -> Result<Committed, StoreError> {
        let mut committer = self.lock();
        if committer.halted {
            return Err(StoreError::Halted { path: self.folder.clone() });
        }
        block.check_follows(self.state.snapshot().tip())?;
        let block = if block.basis == committer.reconciliations {
            block
        } else {
            block.again(&self.state.snapshot())?
        };
        self.log.append(block.block(), block.private())?;
        committer.halted = true;
        let durable = committer.unsafe_blocks + 1 >= self.durable_every;
        self.state.apply(&block.changes(self.keeps_history), durable)?;
        committer.halted = false;
        committer.unsafe_blocks = if durable { 0 } else { committer.unsafe_blocks + 1 };
        let height = block.number() + 1;
        self.height.send_replace(height);
        drop(committer);
        if let Err(error) = self.transient.block_committed(height, block.transaction_ids()) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "private writes that are committed stay in the transient store");
        }
        Ok(block.into_committed())
    }

    /// A block with its metadata, if it is committed.
    pub fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        if number < self.height() { self.log.block(number) } else { Ok(None) }
    }

    /// A block with the private writes that this peer holds of it, if it is committed. What came late is among them,
    /// and what has outlived its blocks or was purged since is not, so that what is left of a set need not hash to
    /// what was endorsed.
    pub fn record(&self, number: u64) -> Result<Option<Record>, StoreError> {
        if number >= self.height() {
            return Ok(None);
        }
        let Some(mut record) = self.log.record(number)? else { return Ok(None) };
        self.reconciled.complete(number, &mut record.private)?;
        visible::only(&self.state.snapshot(), number, &mut record.private)?;
        Ok(Some(record))
    }

    /// The block whose header has this SHA-256 sum.
    pub fn block_by_hash(&self, header_hash: &[u8]) -> Result<Option<Block>, StoreError> {
        let number = self.state.snapshot().block_number(header_hash)?;
        number.map_or(Ok(None), |number| self.log.block(number))
    }

    /// The block with the first transaction of this id.
    pub fn block_by_transaction(&self, id: &str) -> Result<Option<Block>, StoreError> {
        self.transaction_place(id)?.map_or(Ok(None), |place| self.log.block(place.block))
    }

    /// The first transaction of this id.
    pub fn transaction(&self, id: &str) -> Result<Option<LedgerTransaction>, StoreError> {
        let Some(place) = self.transaction_place(id)? else { return Ok(None) };
        let entry = self.entry(place.block, place.index)?;
        let envelope = Envelope::decode(entry).map_err(|_| self.lacks(place.block, place.index))?;
        Ok(Some(LedgerTransaction { envelope, place }))
    }

    /// An entry of a block, which an index says is there.
    fn entry(&self, block: u64, index: u32) -> Result<Bytes, StoreError> {
        let data = self.log.block(block)?.and_then(|block| block.data).unwrap_or_default().data;
        data.into_iter().nth(index as usize).ok_or_else(|| self.lacks(block, index))
    }

    fn lacks(&self, block: u64, index: u32) -> StoreError {
        recovery::inconsistent(&self.folder, format!("block {block} has no transaction {index}"))
    }

    /// Where the first transaction of this id stands, and its verdict.
    pub fn transaction_place(&self, id: &str) -> Result<Option<TransactionPlace>, StoreError> {
        self.state.snapshot().transaction(id)
    }

    /// Whether a transaction of this id is committed, whatever its verdict.
    pub fn contains_transaction(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.transaction_place(id)?.is_some())
    }

    /// Makes the state safe, so that opening the ledger after a crash applies no block again. Nothing is lost
    /// without it; a caller does it every few seconds, and dropping the ledger does it.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut committer = self.lock();
        if committer.unsafe_blocks > 0 && !committer.halted {
            self.state.flush()?;
            committer.unsafe_blocks = 0;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Committer> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "the state could not be made safe; the next start applies blocks again");
        }
    }
}

fn lock(storage: &dyn Storage, folder: &Path) -> Result<Box<dyn Lock>, StoreError> {
    let path = folder.join("lock");
    storage.lock(&path).map_err(|error| match error {
        LockError::Held { holder } => StoreError::Locked { folder: folder.to_owned(), holder },
        LockError::Io(source) => StoreError::Io { action: "lock", path, source },
    })
}
