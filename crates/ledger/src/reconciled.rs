//! Private writes that came after their block was committed.
//!
//! They belong to the log's truth: the state is rebuilt from the log's records and these together. What was put here
//! and may not be in the state yet is marked, so that opening the ledger puts it there.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use crate::log::PrivateWrites;
use crate::state::Missing;
use crate::storage::Storage;
use crate::{StoreError, database};

/// Block, index of the transaction, namespace and collection.
type Key<'a> = (u64, u64, &'a str, &'a str);

const WRITES: TableDefinition<'_, Key<'static>, &'static [u8]> =
    TableDefinition::new("private set by block, transaction and collection");
const PENDING: TableDefinition<'_, Key<'static>, ()> =
    TableDefinition::new("sets that may not be in the state yet");

/// Memory for the database's cache, in bytes: it is read when private data are delivered, and seldom otherwise.
const CACHE_BYTES: usize = 1 << 20;

/// A transaction's private writes to one collection that were found after the block was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateWrites {
    /// What they are the writes of.
    pub of: Missing,
    /// The marshalled `kvrwset.KVRWSet`.
    pub rwset: Bytes,
}

/// The store of what came late.
#[derive(Debug)]
pub(crate) struct ReconciledStore {
    database: Database,
    path: PathBuf,
}

impl ReconciledStore {
    /// Opens the store at `path`, or begins one. The caller holds whatever lock guards the folder.
    pub(crate) fn open(storage: &dyn Storage, path: &Path) -> Result<Self, StoreError> {
        let database = database::open(storage, path, CACHE_BYTES, |database| begin(database, path))?;
        Ok(Self { database, path: path.to_owned() })
    }

    /// Keeps sets, which are pending from now on. When this returns, they survive a loss of power.
    pub(crate) fn put(&self, sets: &[LateWrites]) -> Result<(), StoreError> {
        self.write(Durability::Immediate, |transaction| {
            let mut writes = transaction.open_table(WRITES)?;
            let mut pending = transaction.open_table(PENDING)?;
            for set in sets {
                writes.insert(key(&set.of), set.rwset.as_ref())?;
                pending.insert(key(&set.of), ())?;
            }
            Ok(())
        })
    }

    /// The sets that may not be in the state yet.
    pub(crate) fn pending(&self) -> Result<Vec<LateWrites>, StoreError> {
        self.read(|transaction| {
            let writes = transaction.open_table(WRITES)?;
            let mut sets = Vec::new();
            for row in transaction.open_table(PENDING)?.iter()? {
                let (key, _) = row?;
                if let Some(rwset) = writes.get(key.value())? {
                    sets.push(late(key.value(), rwset.value()));
                }
            }
            Ok(sets)
        })
    }

    /// Notes that everything pending is in the state, which is safe.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.write(Durability::None, |transaction| {
            transaction.open_table(PENDING)?.retain(|_, ()| false)?;
            Ok(())
        })
    }

    /// Adds the sets of a block to the private writes that its record has.
    pub(crate) fn complete(&self, block: u64, private: &mut PrivateWrites) -> Result<(), StoreError> {
        let sets = self.read(|transaction| {
            let writes = transaction.open_table(WRITES)?;
            let mut sets = Vec::new();
            for row in writes.range::<Key<'_>>((block, 0, "", "")..)? {
                let (key, rwset) = row?;
                if key.value().0 != block {
                    break;
                }
                sets.push(late(key.value(), rwset.value()));
            }
            Ok(sets)
        })?;
        for set in sets {
            add(private.entry(set.of.transaction).or_default(), set);
        }
        Ok(())
    }

    fn write(
        &self,
        durability: Durability,
        act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(durability)?;
            act(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        write().map_err(StoreError::database("keep private writes", &self.path))
    }

    fn read<T>(
        &self,
        act: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let read = || -> Result<T, redb::Error> { act(&self.database.begin_read()?) };
        read().map_err(StoreError::database("find private writes", &self.path))
    }
}

fn begin(database: &Database, path: &Path) -> Result<(), StoreError> {
    let write = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(WRITES)?;
        transaction.open_table(PENDING)?;
        transaction.commit()?;
        Ok(())
    };
    write().map_err(StoreError::database("be created", path))
}

fn key(missing: &Missing) -> Key<'_> {
    (missing.block, missing.transaction, &missing.namespace, &missing.collection)
}

fn late((block, transaction, namespace, collection): Key<'_>, rwset: &[u8]) -> LateWrites {
    let (namespace, collection) = (namespace.to_owned(), collection.to_owned());
    LateWrites {
        of: Missing { namespace, collection, block, transaction },
        rwset: Bytes::copy_from_slice(rwset),
    }
}

/// Adds a set where Fabric's peers have it: namespaces and collections are in order.
fn add(writes: &mut TxPvtReadWriteSet, set: LateWrites) {
    let LateWrites { of: Missing { namespace, collection, .. }, rwset } = set;
    let namespaces = &mut writes.ns_pvt_rwset;
    let place = namespaces.partition_point(|known| known.namespace < namespace);
    if namespaces.get(place).is_none_or(|known| known.namespace != namespace) {
        namespaces.insert(place, NsPvtReadWriteSet { namespace, collection_pvt_rwset: Vec::new() });
    }
    let collections = &mut namespaces[place].collection_pvt_rwset;
    let place = collections.partition_point(|known| known.collection_name < collection);
    if collections.get(place).is_none_or(|known| known.collection_name != collection) {
        collections.insert(place, CollectionPvtReadWriteSet { collection_name: collection, rwset });
    }
}
