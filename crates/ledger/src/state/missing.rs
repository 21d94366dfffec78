//! Which private writes of valid transactions this peer lacks, whether or not it may have them: who may changes when
//! a definition is upgraded.

use std::ops::Bound;

use redb::{TableDefinition, WriteTransaction};

use super::{BlockChanges, StateSnapshot};
use crate::{Error, StoreError};

/// Namespace, collection, block and index of the transaction, so that what expires of a collection is a stretch.
pub(super) type Key<'a> = (&'a str, &'a str, u64, u64);

pub(super) const MISSING: TableDefinition<'_, Key<'static>, ()> =
    TableDefinition::new("private writes that are missing");

/// A transaction's private writes to one collection, which this peer lacks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Missing {
    /// The chaincode's name.
    pub namespace: String,
    /// The collection's name.
    pub collection: String,
    /// Number of the block.
    pub block: u64,
    /// Index of the transaction in its block.
    pub transaction: u64,
}

/// A collection whose data up to a block have outlived their time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outlived {
    pub(crate) namespace: String,
    pub(crate) collection: String,
    /// The last block whose data are gone.
    pub(crate) block: u64,
}

impl Missing {
    pub(super) fn key(&self) -> Key<'_> {
        (&self.namespace, &self.collection, self.block, self.transaction)
    }
}

impl StateSnapshot {
    /// The collections of which private writes are missing, as namespace and collection.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn missing_collections(&self) -> Result<Vec<(String, String)>, Error> {
        let mut collections: Vec<(String, String)> = Vec::new();
        loop {
            let last = collections.last().map(|(namespace, collection)| {
                Bound::Excluded((namespace.as_str(), collection.as_str(), u64::MAX, u64::MAX))
            });
            let range = (last.unwrap_or(Bound::Unbounded), Bound::Unbounded);
            let next = self.missing.range::<Key<'_>>(range).and_then(|mut rows| rows.next().transpose());
            let Some((key, _)) = next.map_err(|error| self.failed(error))? else { return Ok(collections) };
            let (namespace, collection, ..) = key.value();
            collections.push((namespace.to_owned(), collection.to_owned()));
        }
    }

    /// What is missing of a collection, the newest first: at most `most` entries, all of them before the transaction
    /// `before` (block and index) if one is given.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn missing_of(
        &self,
        namespace: &str,
        collection: &str,
        before: Option<(u64, u64)>,
        most: usize,
    ) -> Result<Vec<Missing>, Error> {
        let end = match before {
            Some((block, transaction)) => Bound::Excluded((namespace, collection, block, transaction)),
            None => Bound::Included((namespace, collection, u64::MAX, u64::MAX)),
        };
        let start = Bound::Included((namespace, collection, 0, 0));
        let rows = self.missing.range::<Key<'_>>((start, end)).map_err(|error| self.failed(error))?;
        rows.rev()
            .take(most)
            .map(|row| {
                let (key, _) = row.map_err(|error| self.failed(error))?;
                let (namespace, collection, block, transaction) = key.value();
                let (namespace, collection) = (namespace.to_owned(), collection.to_owned());
                Ok(Missing { namespace, collection, block, transaction })
            })
            .collect()
    }

    /// Whether these private writes are missing.
    pub(crate) fn is_missing(&self, missing: &Missing) -> Result<bool, StoreError> {
        let found = self.missing.get(missing.key());
        Ok(found.map_err(StoreError::database("be read", &self.path))?.is_some())
    }
}

/// Notes what a block's transactions lack, and forgets what has outlived its time.
pub(super) fn write(transaction: &WriteTransaction, changes: &BlockChanges<'_>) -> Result<(), redb::Error> {
    if changes.missing.is_empty() && changes.outlived.is_empty() {
        return Ok(());
    }
    let mut table = transaction.open_table(MISSING)?;
    for outlived in changes.outlived {
        let of = |block, index| (outlived.namespace.as_str(), outlived.collection.as_str(), block, index);
        table.retain_in::<Key<'_>, _>(of(0, 0)..=of(outlived.block, u64::MAX), |_, ()| false)?;
    }
    for missing in changes.missing {
        table.insert(missing.key(), ())?;
    }
    Ok(())
}

/// Forgets what is missing no more.
pub(super) fn settle(transaction: &WriteTransaction, settled: &[Missing]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(MISSING)?;
    for missing in settled {
        table.remove(missing.key())?;
    }
    Ok(())
}
