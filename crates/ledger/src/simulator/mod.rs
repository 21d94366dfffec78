//! Simulates a transaction: reads committed state, collects writes, and records both as Fabric's peers do.

mod cursor;
mod error;
mod interest;
mod record;
mod rich;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use selvedge_proto::kvrwset::{KvMetadataEntry, KvMetadataWrite};
use selvedge_proto::rwset::TxPvtReadWriteSet;

use crate::hash::sha256;
use crate::{Error, Snapshot, Space, StoredValue, Version};

use cursor::Cursor;
pub use error::SimulationError;
use record::{PrivateWrite, Range, Record};
use rich::RichQuery;

/// A key's metadata entries by name.
pub type Metadata = BTreeMap<String, Bytes>;

/// Simulates one transaction on a snapshot.
///
/// Reads see the snapshot only, never the transaction's own writes. An empty value is a deletion. The rules of
/// Fabric's simulator hold: after a write there are no paged and no private range queries, and after one of
/// those there are no writes.
///
/// Who may use a collection is for the caller to decide. The simulator only knows which collections exist, by
/// [`define_collections`](Self::define_collections).
///
/// One chaincode may ask for as many ranges and keys as it likes; bounding its requests is the caller's task.
pub struct Simulator {
    snapshot: Arc<dyn Snapshot>,
    transaction: String,
    collections: BTreeMap<String, BTreeSet<String>>,
    record: Record,
    ranges: Vec<OpenRange>,
    wrote: bool,
    paged: bool,
    queried_private: bool,
}

/// A range or rich query of one simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RangeId(usize);

/// One result of a range or rich query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
}

/// What a simulation came to.
#[derive(Clone, Debug, Default)]
pub struct Simulated {
    /// The marshalled `rwset.TxReadWriteSet`, for endorsement.
    pub public: Bytes,
    /// The private writes in clear, if there are any.
    pub private: Option<TxPvtReadWriteSet>,
    /// The namespaces of the public set in order, those that were only read among them.
    pub namespaces: Vec<String>,
    /// The collections from which private values were read in clear, as (namespace, collection).
    pub private_reads: BTreeSet<(String, String)>,
    /// The metadata that each written key had before, by (namespace, collection) and key; the collection is
    /// empty for public keys. It tells whose policies the writes will be judged by.
    pub written: BTreeMap<(String, String), BTreeMap<String, Metadata>>,
}

struct OpenRange {
    namespace: String,
    recorded: Option<Range>,
    /// Where results come from, until the query is closed.
    source: Option<Source>,
}

enum Source {
    Range(Cursor),
    Query(Box<RichQuery>),
}

impl Simulator {
    /// A simulator for the transaction of the given id.
    pub fn new(snapshot: Arc<dyn Snapshot>, transaction: impl Into<String>) -> Self {
        Self {
            snapshot,
            transaction: transaction.into(),
            collections: BTreeMap::new(),
            record: Record::default(),
            ranges: Vec::new(),
            wrote: false,
            paged: false,
            queried_private: false,
        }
    }

    /// The state that the simulation reads.
    pub fn snapshot(&self) -> &Arc<dyn Snapshot> {
        &self.snapshot
    }

    /// Whether the collections of a namespace were defined.
    pub fn knows_collections(&self, namespace: &str) -> bool {
        self.collections.contains_key(namespace)
    }

    /// Says which collections a namespace has, the implicit ones included. Without it every private operation
    /// in the namespace fails.
    pub fn define_collections(
        &mut self,
        namespace: impl Into<String>,
        names: impl IntoIterator<Item = String>,
    ) {
        self.collections.insert(namespace.into(), names.into_iter().collect());
    }

    /// Reads a key. The read is recorded once, whether the key exists or not.
    pub fn get(&mut self, namespace: &str, key: &str) -> Result<Option<Bytes>, SimulationError> {
        Ok(self.read(namespace, key)?.map(|stored| stored.value))
    }

    /// Reads a key's metadata, which is recorded as a read of the key.
    pub fn metadata(&mut self, namespace: &str, key: &str) -> Result<Metadata, SimulationError> {
        metadata_of(self.read(namespace, key)?.as_ref())
    }

    /// Writes a key; an empty value deletes it.
    pub fn put(&mut self, namespace: &str, key: &str, value: Bytes) -> Result<(), SimulationError> {
        self.before_write()?;
        self.record.namespace(namespace).writes.insert(key.to_owned(), value);
        self.note_public_write(namespace, key)
    }

    /// Deletes a key.
    pub fn delete(&mut self, namespace: &str, key: &str) -> Result<(), SimulationError> {
        self.put(namespace, key, Bytes::new())
    }

    /// Replaces a key's metadata; empty metadata removes what is there.
    pub fn put_metadata(
        &mut self,
        namespace: &str,
        key: &str,
        metadata: Metadata,
    ) -> Result<(), SimulationError> {
        self.before_write()?;
        self.record.namespace(namespace).metadata.insert(key.to_owned(), metadata);
        self.note_public_write(namespace, key)
    }

    /// Begins a range query from `start` (inclusive) to `end` (exclusive; empty for no end).
    ///
    /// What is recorded are the results that [`next`](Self::next) handed out, up to the moment of
    /// [`finish`](Self::finish), and whether it came to the end.
    pub fn range(&mut self, namespace: &str, start: &str, end: &str) -> RangeId {
        let space = Space::public(namespace);
        self.open(Some(Range::new(start, end)), namespace, space, start, end)
    }

    /// Begins a paged range query, which makes the transaction read-only. The caller pulls as many results as
    /// the page has and then asks for the [`bookmark`](Self::bookmark).
    pub fn paged_range(
        &mut self,
        namespace: &str,
        start: &str,
        end: &str,
    ) -> Result<RangeId, SimulationError> {
        self.before_page()?;
        Ok(self.range(namespace, start, end))
    }

    /// Begins a range query over private values, which makes the transaction read-only and is not recorded.
    pub fn private_range(
        &mut self,
        namespace: &str,
        collection: &str,
        start: &str,
        end: &str,
    ) -> Result<RangeId, SimulationError> {
        self.before_private_query(namespace, collection)?;
        let space = Space::private(namespace, collection);
        Ok(self.open(None, namespace, space, start, end))
    }

    /// The next result of a range or rich query, `None` at its end.
    ///
    /// # Errors
    /// [`SimulationError::UnknownRange`] for a closed query, and what a rich query's search fails with.
    pub fn next(&mut self, range: RangeId) -> Result<Option<KeyValue>, SimulationError> {
        let open = self.ranges.get_mut(range.0).ok_or(SimulationError::UnknownRange)?;
        let snapshot = self.snapshot.as_ref();
        let cursor = match open.source.as_mut().ok_or(SimulationError::UnknownRange)? {
            Source::Range(cursor) => cursor,
            Source::Query(query) => {
                let Some((found, version)) = query.next(snapshot)? else { return Ok(None) };
                if query.is_public() {
                    let reads = &mut self.record.namespace(&open.namespace).reads;
                    reads.insert(found.key.clone(), Some(version));
                }
                return Ok(Some(found));
            }
        };
        let Some((key, stored)) = cursor.next(snapshot)? else {
            if let Some(recorded) = &mut open.recorded {
                recorded.exhausted = true;
            }
            return Ok(None);
        };
        if let Some(recorded) = &mut open.recorded {
            recorded.add(&key, stored.version);
        }
        Ok(Some(KeyValue { key, value: stored.value }))
    }

    /// Closes a query and tells where its next page begins: of a range the key after the last result, empty at the end,
    /// of a rich query its bookmark. The look at that key is not recorded.
    pub fn bookmark(&mut self, range: RangeId) -> Result<String, SimulationError> {
        let open = self.ranges.get_mut(range.0).ok_or(SimulationError::UnknownRange)?;
        match open.source.take().ok_or(SimulationError::UnknownRange)? {
            Source::Range(mut cursor) => {
                Ok(cursor.next(self.snapshot.as_ref())?.map(|(key, _)| key).unwrap_or_default())
            }
            Source::Query(query) => query.into_bookmark(self.snapshot.as_ref()),
        }
    }

    /// Ends a range or rich query. What it handed out stays recorded.
    pub fn close(&mut self, range: RangeId) {
        if let Some(open) = self.ranges.get_mut(range.0) {
            open.source = None;
        }
    }

    /// The namespace of a range or rich query.
    pub fn range_namespace(&self, range: RangeId) -> Option<&str> {
        self.ranges.get(range.0).map(|open| open.namespace.as_str())
    }

    /// Reads a private value.
    ///
    /// # Errors
    /// [`SimulationError::StalePrivateValue`] if this peer's value is not the one that the hashes stand for.
    pub fn get_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, SimulationError> {
        self.check_collection(namespace, collection)?;
        let value = self.snapshot.get(&Space::private(namespace, collection), key.as_bytes())?;
        let hashed = self.hashed(namespace, collection, key)?;
        let (version, hashed) = (version_of(value.as_ref()), version_of(hashed.as_ref()));
        if version != hashed {
            return Err(SimulationError::StalePrivateValue { hashed, private: version });
        }
        self.record.private_read(namespace, collection, key, version);
        Ok(value.map(|stored| stored.value))
    }

    /// Reads one of several private values that are asked for together. As in Fabric, it is not compared with the
    /// version of its hash here: a stale value makes the transaction invalid when it is committed.
    pub fn get_private_of_multiple(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, SimulationError> {
        self.check_collection(namespace, collection)?;
        let value = self.snapshot.get(&Space::private(namespace, collection), key.as_bytes())?;
        self.record.private_read(namespace, collection, key, version_of(value.as_ref()));
        Ok(value.map(|stored| stored.value))
    }

    /// Reads the hash of a private value, which any peer can.
    pub fn get_private_hash(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<Bytes>, SimulationError> {
        Ok(self.read_hashed(namespace, collection, key)?.map(|stored| stored.value))
    }

    /// Reads a private key's metadata, which is recorded as a read of its hash.
    pub fn private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Metadata, SimulationError> {
        metadata_of(self.read_hashed(namespace, collection, key)?.as_ref())
    }

    /// Writes a private value; an empty one deletes the key.
    pub fn put_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        value: Bytes,
    ) -> Result<(), SimulationError> {
        self.write_private(namespace, collection, key, PrivateWrite { value, purge: false })
    }

    /// Deletes a private key.
    pub fn delete_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<(), SimulationError> {
        self.put_private(namespace, collection, key, Bytes::new())
    }

    /// Deletes a private key and has its earlier values removed from everywhere.
    pub fn purge_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<(), SimulationError> {
        self.write_private(namespace, collection, key, PrivateWrite { value: Bytes::new(), purge: true })
    }

    /// Replaces a private key's metadata; empty metadata removes what is there.
    pub fn put_private_metadata(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        metadata: Metadata,
    ) -> Result<(), SimulationError> {
        self.check_collection(namespace, collection)?;
        self.before_write()?;
        self.record.collection(namespace, collection).metadata.insert(key.to_owned(), metadata);
        self.note_private_write(namespace, collection, key)
    }

    /// Ends the simulation.
    pub fn finish(mut self) -> Simulated {
        for range in self.ranges {
            if let Some(recorded) = range.recorded {
                self.record.namespace(&range.namespace).add_range(recorded);
            }
        }
        self.record.finish()
    }

    fn open(
        &mut self,
        recorded: Option<Range>,
        namespace: &str,
        space: Space,
        start: &str,
        end: &str,
    ) -> RangeId {
        self.push(recorded, namespace, Source::Range(Cursor::new(space, start, end)))
    }

    fn push(&mut self, recorded: Option<Range>, namespace: &str, source: Source) -> RangeId {
        self.ranges.push(OpenRange { namespace: namespace.to_owned(), recorded, source: Some(source) });
        RangeId(self.ranges.len() - 1)
    }

    fn read(&mut self, namespace: &str, key: &str) -> Result<Option<StoredValue>, Error> {
        let stored = self.snapshot.get(&Space::public(namespace), key.as_bytes())?;
        self.record.namespace(namespace).reads.insert(key.to_owned(), version_of(stored.as_ref()));
        Ok(stored)
    }

    fn read_hashed(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<Option<StoredValue>, SimulationError> {
        self.check_collection(namespace, collection)?;
        let stored = self.hashed(namespace, collection, key)?;
        let version = version_of(stored.as_ref());
        self.record.collection(namespace, collection).reads.insert(key.to_owned(), version);
        Ok(stored)
    }

    fn write_private(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        write: PrivateWrite,
    ) -> Result<(), SimulationError> {
        self.check_collection(namespace, collection)?;
        self.before_write()?;
        self.record.collection(namespace, collection).writes.insert(key.to_owned(), write);
        self.note_private_write(namespace, collection, key)
    }

    fn note_public_write(&mut self, namespace: &str, key: &str) -> Result<(), SimulationError> {
        let stored = self.snapshot.get(&Space::public(namespace), key.as_bytes())?;
        self.record.note_write(namespace, "", key, metadata_of(stored.as_ref())?);
        Ok(())
    }

    fn note_private_write(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
    ) -> Result<(), SimulationError> {
        let stored = self.hashed(namespace, collection, key)?;
        self.record.note_write(namespace, collection, key, metadata_of(stored.as_ref())?);
        Ok(())
    }

    fn hashed(&self, namespace: &str, collection: &str, key: &str) -> Result<Option<StoredValue>, Error> {
        self.snapshot.get(&Space::hashed(namespace, collection), &sha256([key.as_bytes()]))
    }

    fn before_page(&mut self) -> Result<(), SimulationError> {
        if self.wrote {
            return Err(SimulationError::PagedAfterWrite { transaction: self.transaction.clone() });
        }
        self.paged = true;
        Ok(())
    }

    fn before_private_query(&mut self, namespace: &str, collection: &str) -> Result<(), SimulationError> {
        if self.wrote {
            return Err(SimulationError::PrivateQueryAfterWrite { transaction: self.transaction.clone() });
        }
        self.queried_private = true;
        self.check_collection(namespace, collection)
    }

    fn before_write(&mut self) -> Result<(), SimulationError> {
        if self.queried_private {
            return Err(SimulationError::WriteAfterPrivateQuery { transaction: self.transaction.clone() });
        }
        if self.paged {
            return Err(SimulationError::WriteAfterPaged { transaction: self.transaction.clone() });
        }
        self.wrote = true;
        Ok(())
    }

    fn check_collection(&self, namespace: &str, collection: &str) -> Result<(), SimulationError> {
        let Some(known) = self.collections.get(namespace) else {
            return Err(SimulationError::NoCollections { namespace: namespace.to_owned() });
        };
        // Fabric marks in its list of names that it is filled by an entry without a name, which a request
        // for the hash of a key in no collection then finds.
        if collection.is_empty() || known.contains(collection) {
            return Ok(());
        }
        Err(SimulationError::UndefinedCollection {
            namespace: namespace.to_owned(),
            collection: collection.to_owned(),
        })
    }
}

fn version_of(stored: Option<&StoredValue>) -> Option<Version> {
    stored.map(|stored| stored.version)
}

/// The entries of stored metadata by name; of two with one name the later counts, as in Fabric.
fn metadata_of(stored: Option<&StoredValue>) -> Result<Metadata, SimulationError> {
    use prost::Message;

    let Some(stored) = stored.filter(|stored| !stored.metadata.is_empty()) else {
        return Ok(Metadata::new());
    };
    let entries = KvMetadataWrite::decode(stored.metadata.clone())
        .map_err(|error| Error::Corrupt { what: format!("a key's metadata cannot be decoded: {error}") })?;
    Ok(entries.entries.into_iter().map(|KvMetadataEntry { name, value }| (name, value)).collect())
}
