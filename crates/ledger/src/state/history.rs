//! Where public keys were written: the places in the block log that make up a key's history.

use std::path::PathBuf;

use redb::{OwnedRange, TableDefinition, WriteTransaction};

use super::{META, StateSnapshot, StateStore};
use crate::StoreError;
use crate::rwset::ReadWriteSet;

/// By namespace, key, block and index in the block. The values stay in the log.
pub(super) const HISTORY: TableDefinition<'_, Place<'_>, ()> = TableDefinition::new("writes by key");

pub(super) type Place<'a> = (&'a str, &'a [u8], u64, u32);

/// How many blocks the index has taken in. It is behind the state's height if blocks were committed without it.
pub(super) const HISTORY_HEIGHT: &str = "history height";

/// The transactions of a block whose writes count, by their index in it.
pub(crate) type ValidSets = Vec<(u32, ReadWriteSet)>;

/// The places of a key's writes, the newest first.
pub(crate) struct Places {
    path: PathBuf,
    rows: OwnedRange<Place<'static>, ()>,
}

impl Iterator for Places {
    type Item = Result<(u64, u32), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.rows.next_back()?.map_err(StoreError::database("find a key's history", &self.path));
        Some(row.map(|(place, _)| {
            let (_, _, block, index) = place.value();
            (block, index)
        }))
    }
}

impl StateSnapshot {
    /// How many blocks the index of keys' histories has taken in.
    pub(crate) fn history_height(&self) -> u64 {
        self.history_height
    }

    /// The places of a key's writes in the blocks before number `height`.
    pub(crate) fn history(&self, namespace: &str, key: &[u8], height: u64) -> Result<Places, StoreError> {
        let range = (namespace, key, 0, 0)..(namespace, key, height, 0);
        let rows = self
            .history
            .range_owned(range)
            .map_err(StoreError::database("find a key's history", &self.path))?;
        Ok(Places { path: self.path.clone(), rows })
    }
}

impl StateStore {
    /// Takes a block into the index that the state has taken in without it. One thread at a time.
    pub(crate) fn add_history(&self, block: u64, sets: &ValidSets, durable: bool) -> Result<(), StoreError> {
        let transaction = self.begin(durable)?;
        write(&transaction, block, sets).map_err(self.failed("take in a block's history"))?;
        self.commit(transaction)
    }
}

pub(super) fn write(
    transaction: &WriteTransaction,
    block: u64,
    sets: &[(u32, ReadWriteSet)],
) -> Result<(), redb::Error> {
    let mut history = transaction.open_table(HISTORY)?;
    for (index, set) in sets {
        for namespace in &set.namespaces {
            for write in &namespace.public.writes {
                history.insert((namespace.namespace.as_str(), write.key.as_bytes(), block, *index), ())?;
            }
        }
    }
    transaction.open_table(META)?.insert(HISTORY_HEIGHT, (block + 1).to_be_bytes().as_slice())?;
    Ok(())
}
