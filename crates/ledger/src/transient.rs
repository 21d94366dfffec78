//! Private writes between endorsement and commit.
//!
//! An endorser keeps what a transaction wrote to collections until the transaction arrives in a block, where only
//! hashes stand. A set that never arrives goes after some blocks.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use prost::Message;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use selvedge_proto::rwset::TxPvtReadWriteSet;

use crate::storage::Storage;
use crate::{StoreError, database};

const SETS: TableDefinition<'_, SetKey<'static>, SetRow<'static>> =
    TableDefinition::new("height and private writes by transaction id and hash");
const HEIGHTS: TableDefinition<'_, (u64, &str, &[u8]), ()> =
    TableDefinition::new("height, transaction id and hash");
const TOTAL: TableDefinition<'_, (), u64> = TableDefinition::new("bytes of all private writes");

/// A transaction's id, and the SHA-256 of a marshalled set.
type SetKey<'a> = (&'a str, &'a [u8]);

/// The height that a set was simulated at, and the marshalled set.
type SetRow<'a> = (u64, &'a [u8]);

/// How much a [`TransientStore`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransientOptions {
    /// The most bytes of private writes; further ones are refused.
    pub bytes: u64,
    /// After how many blocks a set goes that arrived in none.
    pub retention: u64,
    /// Memory for the database's cache, in bytes.
    pub cache_bytes: usize,
}

impl Default for TransientOptions {
    /// 256 MiB for 1000 blocks (Fabric's `transientstoreMaxBlockRetention`).
    fn default() -> Self {
        Self { bytes: 256 << 20, retention: 1000, cache_bytes: 4 << 20 }
    }
}

/// Private writes by transaction id and by the hash of the set, so that proposals with one id and different
/// results do not replace each other.
#[derive(Debug)]
pub struct TransientStore {
    database: Database,
    path: PathBuf,
    options: TransientOptions,
}

impl TransientStore {
    /// Opens the store at `path`, or begins one. The caller holds whatever lock guards the folder.
    pub fn open(storage: &dyn Storage, path: &Path, options: TransientOptions) -> Result<Self, StoreError> {
        let database = database::open(storage, path, options.cache_bytes, |database| begin(database, path))?;
        Ok(Self { database, path: path.to_owned(), options })
    }

    /// Keeps a transaction's private writes, simulated at this height. When this returns, they survive a loss of
    /// power.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the store would hold more than [`TransientOptions::bytes`].
    pub fn put(&self, id: &str, height: u64, writes: &TxPvtReadWriteSet) -> Result<(), StoreError> {
        let bytes = writes.encode_to_vec();
        let hash = digest::digest(&digest::SHA256, &bytes);
        let failed = || StoreError::database("keep private writes", &self.path);
        let transaction = self.begin(Durability::Immediate).map_err(failed())?;
        let total = insert(&transaction, (id, hash.as_ref()), height, &bytes).map_err(failed())?;
        if total > self.options.bytes {
            let limit = self.options.bytes;
            return Err(StoreError::TooLarge {
                what: "the store of transient private writes",
                size: total,
                limit,
            });
        }
        transaction.commit().map_err(|error| failed()(error.into()))
    }

    /// The sets of private writes kept for a transaction, in no particular order.
    pub fn get(&self, id: &str) -> Result<Vec<TxPvtReadWriteSet>, StoreError> {
        let read = || -> Result<Vec<Vec<u8>>, redb::Error> {
            let sets = self.database.begin_read()?.open_table(SETS)?;
            let mut found = Vec::new();
            for row in sets.range((id, [].as_slice())..)? {
                let (key, set) = row?;
                if key.value().0 != id {
                    break;
                }
                found.push(set.value().1.to_vec());
            }
            Ok(found)
        };
        let found = read().map_err(StoreError::database("find private writes", &self.path))?;
        let decode = |bytes: Vec<u8>| TxPvtReadWriteSet::decode(bytes.as_slice());
        found.into_iter().map(decode).collect::<Result<_, _>>().map_err(|error| StoreError::Corrupt {
            path: self.path.clone(),
            offset: 0,
            reason: format!("the private writes of transaction {id} cannot be decoded: {error}"),
        })
    }

    /// Drops the writes of the transactions of a block that is committed, and those that have waited for more
    /// than [`TransientOptions::retention`] blocks; `height` counts that block. After a crash some of them may be
    /// there again until they are old.
    pub fn block_committed<'a>(
        &self,
        height: u64,
        ids: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Result<(), StoreError> {
        let failed = || StoreError::database("drop private writes", &self.path);
        let oldest = height.saturating_sub(self.options.retention);
        // Most blocks concern nothing here, and then no endorser that is writing need be waited for.
        if !self.keeps_any_of(ids.clone(), oldest).map_err(failed())? {
            return Ok(());
        }
        let transaction = self.begin(Durability::None).map_err(failed())?;
        drop_sets(&transaction, ids, oldest).map_err(failed())?;
        transaction.commit().map_err(|error| failed()(error.into()))
    }

    /// Whether the store keeps nothing.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        let read =
            || -> Result<bool, redb::Error> { Ok(self.database.begin_read()?.open_table(SETS)?.is_empty()?) };
        read().map_err(StoreError::database("be read", &self.path))
    }

    fn keeps_any_of<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a str>,
        oldest: u64,
    ) -> Result<bool, redb::Error> {
        let transaction = self.database.begin_read()?;
        if transaction.open_table(HEIGHTS)?.range(..(oldest, "", [].as_slice()))?.next().is_some() {
            return Ok(true);
        }
        let sets = transaction.open_table(SETS)?;
        for id in ids {
            let next = sets.range((id, [].as_slice())..)?.next().transpose()?;
            if next.is_some_and(|(key, _)| key.value().0 == id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        Ok(transaction)
    }
}

fn begin(database: &Database, path: &Path) -> Result<(), StoreError> {
    let write = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(SETS)?;
        transaction.open_table(HEIGHTS)?;
        transaction.open_table(TOTAL)?;
        transaction.commit()?;
        Ok(())
    };
    write().map_err(StoreError::database("be created", path))
}

/// Adds a set, unless it is there, and returns how many bytes there are then.
fn insert(
    transaction: &WriteTransaction,
    key: SetKey<'_>,
    height: u64,
    bytes: &[u8],
) -> Result<u64, redb::Error> {
    let mut sets = transaction.open_table(SETS)?;
    let mut totals = transaction.open_table(TOTAL)?;
    let mut total = totals.get(())?.map_or(0, |total| total.value());
    if sets.get(key)?.is_none() {
        sets.insert(key, (height, bytes))?;
        transaction.open_table(HEIGHTS)?.insert((height, key.0, key.1), ())?;
        total += bytes.len() as u64;
        totals.insert((), total)?;
    }
    Ok(total)
}

fn drop_sets<'a>(
    transaction: &WriteTransaction,
    ids: impl IntoIterator<Item = &'a str>,
    oldest: u64,
) -> Result<(), redb::Error> {
    let mut sets = transaction.open_table(SETS)?;
    let mut heights = transaction.open_table(HEIGHTS)?;
    let mut totals = transaction.open_table(TOTAL)?;
    let mut total = totals.get(())?.map_or(0, |total| total.value());
    for id in ids {
        let mut hashes = Vec::new();
        for row in sets.range((id, [].as_slice())..)? {
            let (key, _) = row?;
            if key.value().0 != id {
                break;
            }
            hashes.push(key.value().1.to_vec());
        }
        for hash in hashes {
            if let Some(set) = sets.remove((id, hash.as_slice()))? {
                let (height, bytes) = set.value();
                heights.remove((height, id, hash.as_slice()))?;
                total = total.saturating_sub(bytes.len() as u64);
            }
        }
    }
    for old in heights.extract_from_if(..(oldest, "", [].as_slice()), |_, ()| true)? {
        let (key, _) = old?;
        let (_, id, hash) = key.value();
        if let Some(set) = sets.remove((id, hash))? {
            total = total.saturating_sub(set.value().1.len() as u64);
        }
    }
    totals.insert((), total)?;
    Ok(())
}
