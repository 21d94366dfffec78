use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Space, StoredValue, Version};

/// The last change of one key in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// The key has this value from now on.
    Put(StoredValue),
    /// The key is gone.
    Delete {
        /// Where it was deleted.
        version: Version,
    },
}

impl Update {
    /// Where the change was made.
    pub fn version(&self) -> Version {
        match self {
            Self::Put(stored) => stored.version,
            Self::Delete { version } => *version,
        }
    }
}

/// What a block changes: per space and key the last change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    spaces: BTreeMap<Space, BTreeMap<Bytes, Update>>,
    purges: BTreeMap<(Space, Bytes), Version>,
}

impl Updates {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty() && self.purges.is_empty()
    }

    /// Notes a change; an earlier change of the same key is replaced.
    pub fn insert(&mut self, space: Space, key: Bytes, update: Update) {
        self.spaces.entry(space).or_default().insert(key, update);
    }

    /// The change of a key.
    pub fn get(&self, space: &Space, key: &[u8]) -> Option<&Update> {
        self.spaces.get(space)?.get(key)
    }

    /// The changes of one space in key order.
    pub fn space(&self, space: &Space) -> Option<&BTreeMap<Bytes, Update>> {
        self.spaces.get(space)
    }

    /// All changes, by space and key.
    pub fn spaces(&self) -> impl Iterator<Item = (&Space, &BTreeMap<Bytes, Update>)> {
        self.spaces.iter()
    }

    /// Notes that a private key, known by its hash, was purged: besides its deletion from the state (which is
    /// among the changes), its earlier private writes (those before `version`, and the purge's own) are to be
    /// dropped from wherever blocks are kept with their private data.
    ///
    /// `space` is the collection's hashed space.
    pub fn purge(&mut self, space: Space, key_hash: Bytes, version: Version) {
        self.purges.insert((space, key_hash), version);
    }

    /// The purged keys: the collection's hashed space, the SHA-256 of the key, and where it was purged.
    pub fn purges(&self) -> impl Iterator<Item = (&Space, &Bytes, Version)> {
        self.purges.iter().map(|((space, key_hash), version)| (space, key_hash, *version))
    }
}
