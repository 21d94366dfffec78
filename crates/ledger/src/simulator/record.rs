use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::{
    HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvMetadataWriteHash, KvRead, KvReadHash, KvWrite,
    KvWriteHash, KvrwSet, RangeQueryInfo,
};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use crate::Version;
use crate::hash::sha256;
use crate::rwset::{CollectionSet, MAX_DEGREE, NamespaceSet, RangeSummary, ReadWriteSet};

use super::{Metadata, Simulated};

/// What a transaction has read and written so far.
#[derive(Default)]
pub(super) struct Record {
    namespaces: BTreeMap<String, NamespaceRecord>,
    private_reads: BTreeSet<(String, String)>,
    written: BTreeMap<(String, String), BTreeMap<String, Metadata>>,
}

#[derive(Default)]
pub(super) struct NamespaceRecord {
    pub(super) reads: BTreeMap<String, Option<Version>>,
    pub(super) writes: BTreeMap<String, Bytes>,
    pub(super) metadata: BTreeMap<String, Metadata>,
    ranges: Vec<RangeQueryInfo>,
    known_ranges: BTreeSet<(String, String, bool)>,
    collections: BTreeMap<String, CollectionRecord>,
}

/// Keys are in clear here, since Fabric sorts by them and not by their hashes.
#[derive(Default)]
pub(super) struct CollectionRecord {
    pub(super) reads: BTreeMap<String, Option<Version>>,
    pub(super) writes: BTreeMap<String, PrivateWrite>,
    pub(super) metadata: BTreeMap<String, Metadata>,
}

pub(super) struct PrivateWrite {
    pub(super) value: Bytes,
    pub(super) purge: bool,
}

/// What a range query has handed out so far.
pub(super) struct Range {
    start: String,
    end: String,
    last: String,
    pub(super) exhausted: bool,
    summary: Option<RangeSummary>,
}

impl Range {
    pub(super) fn new(start: &str, end: &str) -> Self {
        Self {
            start: start.to_owned(),
            end: end.to_owned(),
            last: String::new(),
            exhausted: false,
            summary: RangeSummary::new(MAX_DEGREE),
        }
    }

    pub(super) fn add(&mut self, key: &str, version: Version) {
        key.clone_into(&mut self.last);
        if let Some(summary) = &mut self.summary {
            summary.add(KvRead { key: key.to_owned(), version: Some(version.into()) });
        }
    }

    fn finish(self) -> RangeQueryInfo {
        RangeQueryInfo {
            start_key: self.start,
            end_key: if self.exhausted { self.end } else { self.last },
            itr_exhausted: self.exhausted,
            reads_info: self.summary.and_then(RangeSummary::finish),
        }
    }
}

impl Record {
    pub(super) fn namespace(&mut self, name: &str) -> &mut NamespaceRecord {
        if !self.namespaces.contains_key(name) {
            self.namespaces.insert(name.to_owned(), NamespaceRecord::default());
        }
        self.namespaces.get_mut(name).expect("the entry was made above")
    }

    pub(super) fn collection(&mut self, namespace: &str, name: &str) -> &mut CollectionRecord {
        self.namespace(namespace).collections.entry(name.to_owned()).or_default()
    }

    pub(super) fn private_read(
        &mut self,
        namespace: &str,
        collection: &str,
        key: &str,
        version: Option<Version>,
    ) {
        self.collection(namespace, collection).reads.insert(key.to_owned(), version);
        self.private_reads.insert((namespace.to_owned(), collection.to_owned()));
    }

    pub(super) fn note_write(&mut self, namespace: &str, collection: &str, key: &str, before: Metadata) {
        let keys = self.written.entry((namespace.to_owned(), collection.to_owned())).or_default();
        keys.insert(key.to_owned(), before);
    }

    pub(super) fn finish(self) -> Simulated {
        let mut set = ReadWriteSet::default();
        let mut private = TxPvtReadWriteSet::default();
        for (namespace, record) in self.namespaces {
            let (public, collections) = record.finish(namespace.clone());
            set.namespaces.push(public);
            if !collections.is_empty() {
                private.ns_pvt_rwset.push(NsPvtReadWriteSet { namespace, collection_pvt_rwset: collections });
            }
        }
        Simulated {
            public: set.encode(),
            private: (!private.ns_pvt_rwset.is_empty()).then_some(private),
            namespaces: set.namespaces.into_iter().map(|set| set.namespace).collect(),
            private_reads: self.private_reads,
            written: self.written,
        }
    }
}

impl NamespaceRecord {
    /// Adds a range unless one with the same keys and end is there, as Fabric does.
    pub(super) fn add_range(&mut self, range: Range) {
        let range = range.finish();
        let identity = (range.start_key.clone(), range.end_key.clone(), range.itr_exhausted);
        if self.known_ranges.insert(identity) {
            self.ranges.push(range);
        }
    }

    fn finish(self, namespace: String) -> (NamespaceSet, Vec<CollectionPvtReadWriteSet>) {
        let mut collections = Vec::new();
        let mut private = Vec::new();
        for (name, record) in self.collections {
            let private_set = record.private_set().map(|set| Bytes::from(set.encode_to_vec()));
            collections.push(CollectionSet {
                collection: name.clone(),
                hashed: record.hashed_set(),
                private_set_hash: private_set
                    .as_ref()
                    .map(|set| Bytes::copy_from_slice(&sha256([set.as_ref()])))
                    .unwrap_or_default(),
            });
            if let Some(rwset) = private_set {
                private.push(CollectionPvtReadWriteSet { collection_name: name, rwset });
            }
        }
        let public = KvrwSet {
            reads: self.reads.into_iter().map(|(key, version)| read(key, version)).collect(),
            range_queries_info: self.ranges,
            writes: self.writes.into_iter().map(|(key, value)| write(key, value)).collect(),
            metadata_writes: self
                .metadata
                .into_iter()
                .map(|(key, metadata)| KvMetadataWrite { key, entries: entries(&metadata) })
                .collect(),
        };
        (NamespaceSet { namespace, public, collections }, private)
    }
}

impl CollectionRecord {
    fn hashed_set(&self) -> HashedRwSet {
        HashedRwSet {
            hashed_reads: self
                .reads
                .iter()
                .map(|(key, version)| KvReadHash {
                    key_hash: hashed(key.as_bytes()),
                    version: version.map(Into::into),
                })
                .collect(),
            hashed_writes: self
                .writes
                .iter()
                .map(|(key, write)| KvWriteHash {
                    key_hash: hashed(key.as_bytes()),
                    is_delete: write.value.is_empty(),
                    value_hash: if write.value.is_empty() { Bytes::new() } else { hashed(&write.value) },
                    is_purge: write.purge,
                })
                .collect(),
            metadata_writes: self
                .metadata
                .iter()
                .map(|(key, metadata)| KvMetadataWriteHash {
                    key_hash: hashed(key.as_bytes()),
                    entries: entries(metadata),
                })
                .collect(),
        }
    }

    /// The private set has the written keys and, without their entries, those whose metadata is written: the
    /// version of their private values has to follow.
    fn private_set(&self) -> Option<KvrwSet> {
        if self.writes.is_empty() && self.metadata.is_empty() {
            return None;
        }
        Some(KvrwSet {
            writes: self.writes.iter().map(|(key, put)| write(key.clone(), put.value.clone())).collect(),
            metadata_writes: self
                .metadata
                .keys()
                .map(|key| KvMetadataWrite { key: key.clone(), entries: Vec::new() })
                .collect(),
            ..KvrwSet::default()
        })
    }
}

fn read(key: String, version: Option<Version>) -> KvRead {
    KvRead { key, version: version.map(Into::into) }
}

fn write(key: String, value: Bytes) -> KvWrite {
    KvWrite { key, is_delete: value.is_empty(), value }
}

fn entries(metadata: &Metadata) -> Vec<KvMetadataEntry> {
    let entry =
        |(name, value): (&String, &Bytes)| KvMetadataEntry { name: name.clone(), value: value.clone() };
    metadata.iter().map(entry).collect()
}

fn hashed(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&sha256([bytes]))
}
