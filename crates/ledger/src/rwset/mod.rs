//! Read/write sets: what a simulation read and wrote, as Fabric marshals it.

mod bounds;
mod summary;

use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::{HashedRwSet, KvrwSet, Version as WireVersion};
use selvedge_proto::rwset::{CollectionHashedReadWriteSet, NsReadWriteSet, TxReadWriteSet};

use crate::{Error, Version};

pub use bounds::MAX_ELEMENTS;
pub(crate) use bounds::check_private_elements;
pub use summary::{MAX_DEGREE, RangeSummary};

/// A transaction's public read/write set with the hashes of its private ones (`rwset.TxReadWriteSet`).
///
/// The order of namespaces, collections, keys and ranges is kept as parsed, since Fabric accepts any. What the
/// [`Simulator`](crate::simulator::Simulator) makes is sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadWriteSet {
    /// The sets of the namespaces that were touched.
    pub namespaces: Vec<NamespaceSet>,
}

/// What a transaction read and wrote in one namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NamespaceSet {
    /// The chaincode's name.
    pub namespace: String,
    /// The public reads, ranges and writes.
    pub public: KvrwSet,
    /// The hashed reads and writes of the collections.
    pub collections: Vec<CollectionSet>,
}

/// The hashes of what a transaction read and wrote in one collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectionSet {
    /// The collection's name.
    pub collection: String,
    /// The reads and writes with SHA-256 sums in place of keys and values.
    pub hashed: HashedRwSet,
    /// SHA-256 of the collection's marshalled private set; empty if nothing was written.
    pub private_set_hash: Bytes,
}

impl ReadWriteSet {
    /// Parses a marshalled `rwset.TxReadWriteSet`. As in Fabric, its data model is not looked at.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a message cannot be decoded, or if the set has more than [`MAX_ELEMENTS`]
    /// elements. A transaction with such a set is `BAD_RWSET`.
    pub fn parse(marshalled: &Bytes) -> Result<Self, Error> {
        bounds::check_elements(marshalled)?;
        let set: TxReadWriteSet = decode("read/write set", marshalled)?;
        let namespaces = set.ns_rwset.into_iter().map(NamespaceSet::from_wire).collect::<Result<_, _>>()?;
        Ok(Self { namespaces })
    }

    /// The marshalled `rwset.TxReadWriteSet`.
    pub fn encode(&self) -> Bytes {
        let ns_rwset = self.namespaces.iter().map(NamespaceSet::to_wire).collect();
        TxReadWriteSet { data_model: 0, ns_rwset }.encode_to_vec().into()
    }

    /// A namespace that the set has more than once; such a transaction is `ILLEGAL_WRITESET`.
    pub fn duplicate_namespace(&self) -> Option<&str> {
        let mut seen = BTreeSet::new();
        self.namespaces.iter().map(|set| set.namespace.as_str()).find(|name| !seen.insert(*name))
    }

    /// The set of a namespace.
    pub fn namespace(&self, name: &str) -> Option<&NamespaceSet> {
        self.namespaces.iter().find(|set| set.namespace == name)
    }

    /// Whether a collection has private writes that peers of its members should hold.
    pub fn has_private_writes(&self) -> bool {
        self.namespaces
            .iter()
            .flat_map(|set| &set.collections)
            .any(|collection| !collection.private_set_hash.is_empty())
    }

    /// The hash that a collection's private set must have.
    pub fn private_set_hash(&self, namespace: &str, collection: &str) -> Option<&Bytes> {
        self.namespace(namespace)?.collection(collection).map(|set| &set.private_set_hash)
    }
}

impl NamespaceSet {
    /// The hashes of a collection.
    pub fn collection(&self, name: &str) -> Option<&CollectionSet> {
        self.collections.iter().find(|set| set.collection == name)
    }

    /// Whether the namespace's value or metadata changes, in public or in a collection. A namespace that is
    /// only read needs no endorsement of its own.
    pub fn has_writes(&self) -> bool {
        !self.public.writes.is_empty()
            || !self.public.metadata_writes.is_empty()
            || self.collections.iter().any(CollectionSet::has_writes)
    }

    fn from_wire(set: NsReadWriteSet) -> Result<Self, Error> {
        Ok(Self {
            public: decode("read/write set of a namespace", &set.rwset)?,
            collections: set
                .collection_hashed_rwset
                .into_iter()
                .map(CollectionSet::from_wire)
                .collect::<Result<_, _>>()?,
            namespace: set.namespace,
        })
    }

    fn to_wire(&self) -> NsReadWriteSet {
        NsReadWriteSet {
            namespace: self.namespace.clone(),
            rwset: self.public.encode_to_vec().into(),
            collection_hashed_rwset: self.collections.iter().map(CollectionSet::to_wire).collect(),
        }
    }
}

impl CollectionSet {
    /// Whether a value or metadata changes.
    pub fn has_writes(&self) -> bool {
        !self.hashed.hashed_writes.is_empty() || !self.hashed.metadata_writes.is_empty()
    }

    fn from_wire(set: CollectionHashedReadWriteSet) -> Result<Self, Error> {
        Ok(Self {
            hashed: decode("hashed read/write set", &set.hashed_rwset)?,
            collection: set.collection_name,
            private_set_hash: set.pvt_rwset_hash,
        })
    }

    fn to_wire(&self) -> CollectionHashedReadWriteSet {
        CollectionHashedReadWriteSet {
            collection_name: self.collection.clone(),
            hashed_rwset: self.hashed.encode_to_vec().into(),
            pvt_rwset_hash: self.private_set_hash.clone(),
        }
    }
}

impl From<Version> for WireVersion {
    fn from(version: Version) -> Self {
        Self { block_num: version.block, tx_num: version.transaction }
    }
}

impl From<&WireVersion> for Version {
    fn from(version: &WireVersion) -> Self {
        Self { block: version.block_num, transaction: version.tx_num }
    }
}

fn decode<M: Message + Default>(what: &'static str, bytes: &Bytes) -> Result<M, Error> {
    M::decode(bytes.clone()).map_err(|error| Error::malformed(what, error))
}
