use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase};
use selvedge_proto::protos::TxValidationCode;

use super::history::{HISTORY, HISTORY_HEIGHT, Place};
use super::{
    BLOCK_HASH, BLOCKS, COMMIT_HASH, CURRENT_FORMAT, FORMAT, HEIGHT, META, STATE, TRANSACTIONS, Tip,
    TransactionPlace, encoding, missing, purges,
};
use crate::{Error, RangeIterator, Snapshot, Space, StoreError, StoredValue};

/// The state and its indexes after some block.
pub struct StateSnapshot {
    pub(super) path: PathBuf,
    tip: Tip,
    pub(super) history_height: u64,
    state: ReadOnlyTable<&'static [u8], &'static [u8]>,
    blocks: ReadOnlyTable<&'static [u8], u64>,
    transactions: ReadOnlyTable<&'static str, (u64, u32, i32)>,
    pub(super) history: ReadOnlyTable<Place<'static>, ()>,
    pub(super) missing: ReadOnlyTable<missing::Key<'static>, ()>,
    pub(super) purges: ReadOnlyTable<purges::Key<'static>, (u64, u64)>,
}

impl StateSnapshot {
    pub(super) fn take(database: &Database, path: &Path) -> Result<Self, StoreError> {
        let read = || -> Result<Option<Self>, redb::Error> {
            let transaction = database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let bytes = |name: &str| -> Result<Bytes, redb::Error> {
                Ok(meta.get(name)?.map(|found| Bytes::copy_from_slice(found.value())).unwrap_or_default())
            };
            let number = |name: &str| -> Result<Option<u64>, redb::Error> {
                let bytes = bytes(name)?;
                Ok(if bytes.is_empty() { Some(0) } else { bytes::Buf::try_get_u64(&mut &*bytes).ok() })
            };
            let heights = number(HEIGHT)?.zip(number(HISTORY_HEIGHT)?);
            let is_known = bytes(FORMAT)? == CURRENT_FORMAT;
            let Some((height, history_height)) = heights.filter(|_| is_known) else { return Ok(None) };
            Ok(Some(Self {
                path: path.to_owned(),
                tip: Tip { height, block_hash: bytes(BLOCK_HASH)?, commit_hash: bytes(COMMIT_HASH)? },
                history_height,
                state: transaction.open_table(STATE)?,
                blocks: transaction.open_table(BLOCKS)?,
                transactions: transaction.open_table(TRANSACTIONS)?,
                history: transaction.open_table(HISTORY)?,
                missing: transaction.open_table(missing::MISSING)?,
                purges: transaction.open_table(purges::PURGES)?,
            }))
        };
        read().map_err(StoreError::database("be read", path))?.ok_or_else(|| unknown_format(path))
    }

    /// The block that the state stands at.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The number of the block whose header has this hash.
    pub fn block_number(&self, header_hash: &[u8]) -> Result<Option<u64>, StoreError> {
        let found = self.blocks.get(header_hash).map_err(StoreError::database("find a block", &self.path))?;
        Ok(found.map(|number| number.value()))
    }

    /// Where the first transaction with this id is.
    pub fn transaction(&self, id: &str) -> Result<Option<TransactionPlace>, StoreError> {
        let found =
            self.transactions.get(id).map_err(StoreError::database("find a transaction", &self.path))?;
        Ok(found.map(|found| {
            let (block, index, code) = found.value();
            let code = TxValidationCode::try_from(code).unwrap_or(TxValidationCode::InvalidOtherReason);
            TransactionPlace { block, index, code }
        }))
    }

    pub(super) fn failed(&self, error: redb::StorageError) -> Error {
        StoreError::database("be read", &self.path)(error).into()
    }
}

impl Snapshot for StateSnapshot {
    fn height(&self) -> u64 {
        self.tip.height
    }

    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<StoredValue>, Error> {
        let found =
            self.state.get(encoding::key(space, key).as_slice()).map_err(|error| self.failed(error))?;
        found.map(|found| encoding::decode(found.value()).ok_or_else(|| damaged(space, key))).transpose()
    }

    fn range(&self, space: &Space, start: &[u8], end: &[u8]) -> Result<RangeIterator<'_>, Error> {
        let prefix = encoding::prefix(space);
        let first = [prefix.as_slice(), start].concat();
        let limit =
            if end.is_empty() { encoding::after(prefix.clone()) } else { [prefix.as_slice(), end].concat() };
        if first >= limit {
            return Ok(Box::new(std::iter::empty()));
        }
        let bounds = (Bound::Included(first.as_slice()), Bound::Excluded(limit.as_slice()));
        let rows = self.state.range::<&[u8]>(bounds).map_err(|error| self.failed(error))?;
        let space = space.clone();
        Ok(Box::new(rows.map(move |row| {
            let (key, value) = row.map_err(|error| self.failed(error))?;
            let key = key.value().get(prefix.len()..).unwrap_or_default();
            let stored = encoding::decode(value.value()).ok_or_else(|| damaged(&space, key))?;
            Ok((Bytes::copy_from_slice(key), stored))
        })))
    }
}

impl fmt::Debug for StateSnapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("StateSnapshot").field("tip", &self.tip).finish_non_exhaustive()
    }
}

fn damaged(space: &Space, key: &[u8]) -> Error {
    Error::Corrupt { what: format!("key {} of {space} has no readable value", key.escape_ascii()) }
}

fn unknown_format(path: &Path) -> StoreError {
    let reason = "it is no state database of a form this program knows".to_owned();
    StoreError::Corrupt { path: path.to_owned(), offset: 0, reason }
}
