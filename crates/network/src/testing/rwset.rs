use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use selvedge_ledger::rwset;
use selvedge_proto::kvrwset::{HashedRwSet, KvMetadataEntry, KvrwSet};

use super::TestError;

/// What a transaction read and wrote. Two are equal if endorsers would have signed the same bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadWriteSet {
    bytes: Bytes,
    parsed: rwset::ReadWriteSet,
}

impl ReadWriteSet {
    pub(super) fn parse(bytes: &Bytes) -> Result<Self, TestError> {
        let parsed = rwset::ReadWriteSet::parse(bytes).map_err(TestError::setup)?;
        Ok(Self { bytes: bytes.clone(), parsed })
    }

    /// The marshalled `rwset.TxReadWriteSet`.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole of it: versions, ranges with their results, hashes of private sets.
    pub fn parsed(&self) -> &rwset::ReadWriteSet {
        &self.parsed
    }

    /// The chaincodes that it touched, and `_lifecycle`, where peers look up definitions.
    pub fn namespaces(&self) -> Vec<&str> {
        self.parsed.namespaces.iter().map(|set| set.namespace.as_str()).collect()
    }

    /// The public keys that a chaincode read one by one, in their order.
    pub fn reads(&self, chaincode: &str) -> Vec<&str> {
        self.public(chaincode).map_or_else(Vec::new, |set| set.reads.iter().map(|read| &*read.key).collect())
    }

    /// The public ranges that a chaincode read: start and end, as far as it has read them.
    pub fn ranges(&self, chaincode: &str) -> Vec<(&str, &str)> {
        let ranges = self.public(chaincode).map(|set| set.range_queries_info.iter());
        ranges.into_iter().flatten().map(|range| (&*range.start_key, &*range.end_key)).collect()
    }

    /// The public keys that a chaincode wrote, with their values; `None` is a deletion.
    pub fn writes(&self, chaincode: &str) -> Vec<(&str, Option<&Bytes>)> {
        let writes = self.public(chaincode).map(|set| set.writes.iter());
        let writes = writes.into_iter().flatten();
        writes.map(|write| (&*write.key, (!write.is_delete).then_some(&write.value))).collect()
    }

    /// The public keys whose metadata a chaincode wrote, such as their endorsement policies, with names and values.
    pub fn metadata_writes(&self, chaincode: &str) -> Vec<(&str, Vec<(&str, &Bytes)>)> {
        let writes = self.public(chaincode).map(|set| set.metadata_writes.iter());
        let writes = writes.into_iter().flatten();
        writes.map(|write| (&*write.key, write.entries.iter().map(entry).collect())).collect()
    }

    /// Whether a chaincode read the private key of a collection, which only its hash tells.
    pub fn reads_private(&self, chaincode: &str, collection: &str, key: &str) -> bool {
        let hash = sha256(key.as_bytes());
        self.hashed(chaincode, collection)
            .is_some_and(|set| set.hashed_reads.iter().any(|read| read.key_hash == hash))
    }

    /// Whether a chaincode wrote this value to the private key of a collection; `None` is a deletion or purge.
    pub fn writes_private(&self, chaincode: &str, collection: &str, key: &str, value: Option<&[u8]>) -> bool {
        let hash = sha256(key.as_bytes());
        let writes = self.hashed(chaincode, collection).map(|set| set.hashed_writes.iter());
        writes.into_iter().flatten().filter(|write| write.key_hash == hash).any(|write| match value {
            Some(value) => !write.is_delete && write.value_hash == sha256(value),
            None => write.is_delete,
        })
    }

    /// The collections of a chaincode that it touched.
    pub fn collections(&self, chaincode: &str) -> Vec<&str> {
        let set = self.parsed.namespace(chaincode);
        set.map_or_else(Vec::new, |set| set.collections.iter().map(|set| &*set.collection).collect())
    }

    fn public(&self, chaincode: &str) -> Option<&KvrwSet> {
        self.parsed.namespace(chaincode).map(|set| &set.public)
    }

    fn hashed(&self, chaincode: &str, collection: &str) -> Option<&HashedRwSet> {
        self.parsed.namespace(chaincode)?.collection(collection).map(|set| &set.hashed)
    }
}

fn entry(entry: &KvMetadataEntry) -> (&str, &Bytes) {
    (&entry.name, &entry.value)
}

pub(super) fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest(&SHA256, bytes).as_ref())
}
