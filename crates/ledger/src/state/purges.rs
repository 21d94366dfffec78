//! Which private keys were purged, by the hash of the key, and where last. Private writes up to there are shown to
//! nobody any more.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{BlockChanges, StateSnapshot};
use crate::{Error, Version};

/// Namespace, collection and SHA-256 of the key; an empty hash stands for the last purge of any key of the
/// collection.
pub(super) type Key<'a> = (&'a str, &'a str, &'a [u8]);

pub(super) const PURGES: TableDefinition<'_, Key<'static>, (u64, u64)> =
    TableDefinition::new("block and index of the last purge by private key");

const ANY: &[u8] = &[];

impl StateSnapshot {
    /// Whether a private write of a key, known by its hash, was purged after it was made, or by the same transaction.
    pub(crate) fn is_purged(
        &self,
        namespace: &str,
        collection: &str,
        key_hash: &[u8],
        written: Version,
    ) -> Result<bool, Error> {
        let found = self.purges.get((namespace, collection, key_hash)).map_err(|error| self.failed(error))?;
        Ok(found.is_some_and(|last| {
            let (block, transaction) = last.value();
            written <= Version::new(block, transaction)
        }))
    }

    /// Whether any key of a collection was purged at this version or later.
    pub(crate) fn is_any_purged(
        &self,
        namespace: &str,
        collection: &str,
        written: Version,
    ) -> Result<bool, Error> {
        self.is_purged(namespace, collection, ANY, written)
    }
}

/// Notes what a block's transactions purge.
pub(super) fn write(transaction: &WriteTransaction, changes: &BlockChanges<'_>) -> Result<(), redb::Error> {
    let mut purges = changes.updates.purges().peekable();
    if purges.peek().is_none() {
        return Ok(());
    }
    let mut table = transaction.open_table(PURGES)?;
    for (space, key_hash, version) in purges {
        let Some(collection) = space.collection() else { continue };
        let at = (version.block, version.transaction);
        for hash in [key_hash.as_ref(), ANY] {
            let key = (space.namespace().as_ref(), collection.as_ref(), hash);
            let last = table.get(key)?.map(|last| last.value());
            table.insert(key, last.map_or(at, |last| last.max(at)))?;
        }
    }
    Ok(())
}
