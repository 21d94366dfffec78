//! The state after the last block, with its indexes, in one redb database.
//!
//! A block enters in one transaction together with the height, so the database always stands at some block.
//! Most of these transactions are not made safe at once: after a crash the database stands at an earlier block,
//! and the ledger applies the later ones again from its log.

mod encoding;
mod history;
mod missing;
mod purges;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, TableDefinition, WriteTransaction};
use selvedge_proto::protos::TxValidationCode;

pub(crate) use self::history::{Places, ValidSets};
pub use self::missing::Missing;
pub(crate) use self::missing::Outlived;
pub use self::snapshot::StateSnapshot;
use crate::storage::Storage;
use crate::{Space, StoreError, Update, Updates, Version, database};

const STATE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("state");
const BLOCKS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("block number by header hash");
const TRANSACTIONS: TableDefinition<'_, &str, (u64, u32, i32)> =
    TableDefinition::new("block, index and code by transaction id");
const EXPIRIES: TableDefinition<'_, (u64, &[u8]), &[u8]> =
    TableDefinition::new("version by expiring block and key");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const FORMAT: &str = "format";
const CURRENT_FORMAT: &[u8] = b"3";
const HEIGHT: &str = "height";
const BLOCK_HASH: &str = "block hash";
const COMMIT_HASH: &str = "commit hash";

/// Where a transaction is, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionPlace {
    /// Number of its block.
    pub block: u64,
    /// Index in the block.
    pub index: u32,
    /// The verdict.
    pub code: TxValidationCode,
}

/// The block that the state stands at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tip {
    /// How many blocks the state has taken in.
    pub height: u64,
    /// SHA-256 of the last block's header; empty before the genesis block.
    pub block_hash: Bytes,
    /// The last block's commit hash; empty up to the genesis block, which has none.
    pub commit_hash: Bytes,
}

/// A private or hashed value that goes once a block is committed, unless it was written again before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) block: u64,
    pub(crate) space: Space,
    pub(crate) key: Bytes,
    pub(crate) version: Version,
}

/// What a block does to the state and its indexes.
pub(crate) struct BlockChanges<'a> {
    /// The state's tip once the block is in.
    pub(crate) tip: &'a Tip,
    pub(crate) updates: &'a Updates,
    pub(crate) expiries: &'a [Expiry],
    /// The transactions' ids, by index; `None` where there is none.
    pub(crate) transactions: &'a [(Option<String>, TxValidationCode)],
    /// What goes into the index of keys' histories, if the ledger keeps one.
    pub(crate) history: Option<&'a ValidSets>,
    /// The private writes of its valid transactions that are not at hand.
    pub(crate) missing: &'a [Missing],
    /// The collections of which something has outlived its time.
    pub(crate) outlived: &'a [Outlived],
}

/// What private writes that came after their block do to the state.
pub(crate) struct LateChanges<'a> {
    pub(crate) updates: &'a Updates,
    pub(crate) expiries: &'a [Expiry],
    /// What is missing no more.
    pub(crate) settled: &'a [Missing],
}

/// The state database.
#[derive(Debug)]
pub struct StateStore {
    database: Database,
    path: PathBuf,
    current: RwLock<Arc<StateSnapshot>>,
}

impl StateStore {
    /// Opens the database at `path`, or begins one at height 0. The caller holds whatever lock guards it.
    pub fn open(storage: &dyn Storage, path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        let database = database::open(storage, path, cache_bytes, |database| begin(database, path))?;
        let current = StateSnapshot::take(&database, path)?;
        Ok(Self { database, path: path.to_owned(), current: RwLock::new(Arc::new(current)) })
    }

    /// The state as it is now; it does not change, and holding it keeps nobody waiting.
    pub fn snapshot(&self) -> Arc<StateSnapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in the next block. One thread at a time.
    pub(crate) fn apply(&self, changes: &BlockChanges<'_>, durable: bool) -> Result<(), StoreError> {
        let transaction = self.begin(durable)?;
        write_block(&transaction, changes).map_err(self.failed("take in a block"))?;
        self.commit(transaction)
    }

    /// Takes in private writes of blocks that it has taken in before, and makes everything safe.
    pub(crate) fn apply_late(&self, changes: &LateChanges<'_>) -> Result<(), StoreError> {
        let transaction = self.begin(true)?;
        write_late(&transaction, changes).map_err(self.failed("take in private writes"))?;
        self.commit(transaction)
    }

    /// Makes everything applied so far safe.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.begin(true)?.commit().map_err(StoreError::database("be flushed", &self.path))
    }

    fn begin(&self, durable: bool) -> Result<WriteTransaction, StoreError> {
        let mut transaction =
            self.database.begin_write().map_err(StoreError::database("begin a transaction", &self.path))?;
        let durability = if durable { Durability::Immediate } else { Durability::None };
        transaction
            .set_durability(durability)
            .map_err(|error| self.failed("choose a durability")(error.into()))?;
        // Opening after a crash takes moments then, however large the state is.
        transaction.set_quick_repair(durable);
        Ok(transaction)
    }

    /// Ends a transaction and shows what it changed.
    fn commit(&self, transaction: WriteTransaction) -> Result<(), StoreError> {
        transaction.commit().map_err(StoreError::database("commit a change", &self.path))?;
        let next = Arc::new(StateSnapshot::take(&self.database, &self.path)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(redb::Error) -> StoreError {
        StoreError::database(action, &self.path)
    }
}

/// Makes the tables of a new database.
fn begin(database: &Database, path: &Path) -> Result<(), StoreError> {
    let write = || -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        transaction.open_table(STATE)?;
        transaction.open_table(BLOCKS)?;
        transaction.open_table(TRANSACTIONS)?;
        transaction.open_table(EXPIRIES)?;
        transaction.open_table(history::HISTORY)?;
        transaction.open_table(missing::MISSING)?;
        transaction.open_table(purges::PURGES)?;
        transaction.open_table(META)?.insert(FORMAT, CURRENT_FORMAT)?;
        transaction.commit()?;
        Ok(())
    };
    write().map_err(StoreError::database("be created", path))
}

fn write_block(transaction: &WriteTransaction, changes: &BlockChanges<'_>) -> Result<(), redb::Error> {
    let number = changes.tip.height.saturating_sub(1);
    write_state(transaction, number, changes)?;
    if let Some(sets) = changes.history {
        history::write(transaction, number, sets)?;
    }
    missing::write(transaction, changes)?;
    purges::write(transaction, changes)?;
    let mut blocks = transaction.open_table(BLOCKS)?;
    blocks.insert(&*changes.tip.block_hash, number)?;
    let mut transactions = transaction.open_table(TRANSACTIONS)?;
    for (index, (id, code)) in (0..).zip(changes.transactions) {
        // Of several transactions with one id the first counts, whatever its verdict.
        if let Some(id) = id
            && transactions.get(id.as_str())?.is_none()
        {
            transactions.insert(id.as_str(), (number, index, i32::from(*code)))?;
        }
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(HEIGHT, changes.tip.height.to_be_bytes().as_slice())?;
    meta.insert(BLOCK_HASH, &*changes.tip.block_hash)?;
    meta.insert(COMMIT_HASH, &*changes.tip.commit_hash)?;
    Ok(())
}

fn write_state(
    transaction: &WriteTransaction,
    number: u64,
    changes: &BlockChanges<'_>,
) -> Result<(), redb::Error> {
    let mut state = transaction.open_table(STATE)?;
    let mut expiries = transaction.open_table(EXPIRIES)?;
    for expired in expiries.extract_from_if(..(number + 1, [].as_slice()), |_, _| true)? {
        let (place, version) = expired?;
        let (_, key) = place.value();
        let current = state.get(key)?.is_some_and(|stored| stored.value().starts_with(version.value()));
        if current {
            state.remove(key)?;
        }
    }
    drop((state, expiries));
    write_updates(transaction, changes.updates, changes.expiries)
}

fn write_late(transaction: &WriteTransaction, changes: &LateChanges<'_>) -> Result<(), redb::Error> {
    write_updates(transaction, changes.updates, changes.expiries)?;
    missing::settle(transaction, changes.settled)
}

fn write_updates(
    transaction: &WriteTransaction,
    updates: &Updates,
    new_expiries: &[Expiry],
) -> Result<(), redb::Error> {
    let mut state = transaction.open_table(STATE)?;
    let mut expiries = transaction.open_table(EXPIRIES)?;
    for (space, keys) in updates.spaces() {
        let prefix = encoding::prefix(space);
        for (key, update) in keys {
            let key = [prefix.as_slice(), key].concat();
            match update {
                Update::Put(stored) => state.insert(key.as_slice(), encoding::value(stored).as_slice())?,
                Update::Delete { .. } => state.remove(key.as_slice())?,
            };
        }
    }
    for expiry in new_expiries {
        let key = encoding::key(&expiry.space, &expiry.key);
        expiries.insert((expiry.block, key.as_slice()), encoding::version(expiry.version).as_slice())?;
    }
    Ok(())
}
