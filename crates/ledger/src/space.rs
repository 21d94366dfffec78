use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::Version;

/// One key space of the state database. Keys of different spaces never meet.
///
/// The order is public spaces, then hashed ones, then private ones, each by namespace and collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// A namespace's public state; keys are the chaincode's own, as UTF-8.
    Public {
        /// The chaincode's name, or one of Fabric's own namespaces such as `_lifecycle`.
        namespace: Arc<str>,
    },
    /// The hashes of a collection, which every peer of the channel holds; keys and values are SHA-256 sums.
    Hashed {
        /// The chaincode's name.
        namespace: Arc<str>,
        /// The collection's name.
        collection: Arc<str>,
    },
    /// The private values of a collection, which only its members' peers hold.
    Private {
        /// The chaincode's name.
        namespace: Arc<str>,
        /// The collection's name.
        collection: Arc<str>,
    },
}

impl Space {
    /// The public state of a namespace.
    pub fn public(namespace: impl Into<Arc<str>>) -> Self {
        Self::Public { namespace: namespace.into() }
    }

    /// The hashes of a collection.
    pub fn hashed(namespace: impl Into<Arc<str>>, collection: impl Into<Arc<str>>) -> Self {
        Self::Hashed { namespace: namespace.into(), collection: collection.into() }
    }

    /// The private values of a collection.
    pub fn private(namespace: impl Into<Arc<str>>, collection: impl Into<Arc<str>>) -> Self {
        Self::Private { namespace: namespace.into(), collection: collection.into() }
    }

    /// The namespace that the space belongs to.
    pub fn namespace(&self) -> &Arc<str> {
        match self {
            Self::Public { namespace } | Self::Hashed { namespace, .. } | Self::Private { namespace, .. } => {
                namespace
            }
        }
    }

    /// The collection, unless the space is public.
    pub fn collection(&self) -> Option<&Arc<str>> {
        match self {
            Self::Public { .. } => None,
            Self::Hashed { collection, .. } | Self::Private { collection, .. } => Some(collection),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public { namespace } => write!(formatter, "{namespace}"),
            Self::Hashed { namespace, collection } => write!(formatter, "{namespace}/{collection} (hashes)"),
            Self::Private { namespace, collection } => write!(formatter, "{namespace}/{collection}"),
        }
    }
}

/// A value as the state database holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    /// The value; in a hashed space its SHA-256 sum.
    pub value: Bytes,
    /// A marshalled `kvrwset.KVMetadataWrite` that has only its entries; empty if the key has no metadata.
    pub metadata: Bytes,
    /// Where the value or its metadata was last written.
    pub version: Version,
}
