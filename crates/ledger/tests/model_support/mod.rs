//! A channel's state in plain maps, and what blocks do to it.
//!
//! Keys and values of hashed spaces stand here in clear; what the ledger must hold of them is computed only where it is
//! compared.

pub(crate) mod commit_hash;
pub(crate) mod transaction;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use selvedge_ledger::{Space, Version};
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::protos::{
    CollectionConfig, CollectionConfigPackage, StaticCollectionConfig, TxValidationCode, collection_config,
};
use transaction::{Seen, Transaction, Write};

/// The namespaces; only the first has collections.
pub(crate) const NAMESPACES: [&str; 2] = [NAMESPACE, "b"];
pub(crate) const NAMESPACE: &str = "a";

/// The collections, and after how many blocks their values go; 0 is never.
pub(crate) const LIVES: [(&str, u64); 2] = [("kept", 0), ("short", 2)];

/// All that is compared.
pub(crate) fn model_spaces() -> Vec<Space> {
    let public = [NAMESPACES[0], NAMESPACES[1], "_lifecycle"].map(Space::public);
    let collections = LIVES
        .iter()
        .flat_map(|(name, _)| [Space::hashed(NAMESPACE, *name), Space::private(NAMESPACE, *name)]);
    public.into_iter().chain(collections).collect()
}

/// The definition of the collections, as the ledger looks for it.
pub(crate) fn lifecycle_value() -> (String, Bytes) {
    let config = LIVES.map(|(name, block_to_live)| CollectionConfig {
        payload: Some(collection_config::Payload::StaticCollectionConfig(StaticCollectionConfig {
            name: name.to_owned(),
            block_to_live,
            ..StaticCollectionConfig::default()
        })),
    });
    let package = CollectionConfigPackage { config: config.to_vec() }.encode_to_vec().into();
    let value = StateData { r#type: Some(state_data::Type::Bytes(package)) }.encode_to_vec();
    (format!("namespaces/fields/{NAMESPACE}/Collections"), value.into())
}

/// What a key has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) value: Bytes,
    pub(crate) metadata: Option<u8>,
    pub(crate) version: Version,
}

/// What a key has after a block that touched it: `None` when it is gone. The version is that of the change.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) entry: Option<Entry>,
    pub(crate) version: Version,
}

pub(crate) type Changes = BTreeMap<Space, BTreeMap<String, Change>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Model(BTreeMap<Space, BTreeMap<String, Entry>>);

impl Model {
    pub(crate) fn get(&self, space: &Space, key: &str) -> Option<&Entry> {
        self.0.get(space)?.get(key)
    }

    /// The keys from `start` to before `end`, which is open when it is empty.
    pub(crate) fn range(&self, space: &Space, start: &str, end: &str) -> Vec<(String, Entry)> {
        let keys = self.0.get(space).into_iter().flatten();
        keys.filter(|(key, _)| key.as_str() >= start && (end.is_empty() || key.as_str() < end))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect()
    }

    /// What the ledger must hold in a space.
    pub(crate) fn stored(&self, space: &Space) -> BTreeMap<Bytes, (Bytes, Option<u8>, Version)> {
        let is_hashed = matches!(space, Space::Hashed { .. });
        let bytes = |clear: &[u8]| if is_hashed { sha256(clear) } else { Bytes::copy_from_slice(clear) };
        let keys = self.0.get(space).into_iter().flatten();
        keys.map(|(key, entry)| (bytes(key.as_bytes()), (bytes(&entry.value), entry.metadata, entry.version)))
            .collect()
    }

    /// Begins a block.
    pub(crate) fn begin(&self, number: u64) -> Next {
        Next { number, before: self.clone(), now: self.clone(), changes: Changes::new(), later: Vec::new() }
    }

    fn set(&mut self, space: &Space, key: &str, entry: Option<Entry>) {
        let keys = self.0.entry(space.clone()).or_default();
        match entry {
            Some(entry) => drop(keys.insert(key.to_owned(), entry)),
            None => drop(keys.remove(key)),
        }
    }
}

/// A block in the making.
pub(crate) struct Next {
    number: u64,
    before: Model,
    /// The state with the valid transactions so far.
    now: Model,
    changes: Changes,
    /// What the valid transactions do to private values, in their order. It is done after everything else.
    later: Vec<(Space, String, Private, Version)>,
}

enum Private {
    Set(Option<Bytes>),
    /// Gone, also where the transaction's private writes are not at hand.
    Purged,
    /// The hash has a new version.
    Renewed,
}

impl Next {
    /// Everything that was seen must be there again, and no key that was read may have been touched in this block.
    pub(crate) fn judge(&self, seen: &Seen) -> TxValidationCode {
        for (name, seen) in &seen.0 {
            let space = Space::public(*name);
            if !seen.gets.iter().all(|(key, version)| self.is_there(&space, key, *version)) {
                return TxValidationCode::MvccReadConflict;
            }
            for range in &seen.ranges {
                let end = if range.exhausted { range.end.clone() } else { String::new() };
                let mut now = self.now.range(&space, &range.start, &end);
                if !range.exhausted {
                    let last = range.results.last().map(|(key, _)| key.clone()).unwrap_or_default();
                    now.retain(|(key, _)| *key <= last);
                }
                let now = now.into_iter().map(|(key, entry)| (key, entry.version));
                if !now.eq(range.results.iter().cloned()) {
                    return TxValidationCode::PhantomReadConflict;
                }
            }
            for ((collection, key), version) in &seen.hashed {
                if !self.is_there(&Space::hashed(*name, *collection), key, *version) {
                    return TxValidationCode::MvccReadConflict;
                }
            }
        }
        TxValidationCode::Valid
    }

    fn is_there(&self, space: &Space, key: &str, version: Option<Version>) -> bool {
        let is_touched = self.changes.get(space).is_some_and(|keys| keys.contains_key(key));
        !is_touched && self.now.get(space, key).map(|entry| entry.version) == version
    }

    /// Applies a valid transaction.
    pub(crate) fn apply(&mut self, transaction: &Transaction, index: u64, is_at_hand: bool) {
        let version = Version::new(self.number, index);
        for ((space, key), write) in transaction.writes() {
            self.write(&space, &key, &write, version);
            let Space::Hashed { namespace, collection } = space else { continue };
            let private = Space::private(namespace, collection);
            let mut later = |what| self.later.push((private.clone(), key.clone(), what, version));
            if write.purge {
                later(Private::Purged);
            } else if let Some(value) = write.value.clone().filter(|_| is_at_hand) {
                later(Private::Set(value));
            }
            if write.metadata.is_some() && is_at_hand {
                later(Private::Renewed);
            }
        }
    }

    /// Writes a key and nothing else.
    pub(crate) fn write_plain(&mut self, space: &Space, key: &str, value: Bytes, version: Version) {
        self.write(space, key, &Write { value: Some(Some(value)), ..Write::default() }, version);
    }

    /// A value that is not written stays, and so do metadata. Metadata of a key that is not there change nothing.
    fn write(&mut self, space: &Space, key: &str, write: &Write, version: Version) {
        let before = self.now.get(space, key).cloned();
        if before.is_none() && write.value.is_none() {
            return;
        }
        let value = write.value.clone().unwrap_or_else(|| before.as_ref().map(|entry| entry.value.clone()));
        let metadata = write.metadata.unwrap_or_else(|| before.and_then(|entry| entry.metadata));
        self.change(space, key, value.map(|value| Entry { value, metadata, version }), version);
    }

    fn change(&mut self, space: &Space, key: &str, entry: Option<Entry>, version: Version) {
        self.now.set(space, key, entry.clone());
        self.changes.entry(space.clone()).or_default().insert(key.to_owned(), Change { entry, version });
    }

    /// What the commit hash is made of.
    pub(crate) fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// The state after the block.
    pub(crate) fn finish(mut self) -> Model {
        let mut renewed = BTreeSet::new();
        for (space, key, what, version) in std::mem::take(&mut self.later) {
            let value = match what {
                Private::Renewed => {
                    renewed.insert((space, key));
                    continue;
                }
                Private::Set(value) => value,
                Private::Purged => None,
            };
            let entry = value.map(|value| Entry { value, metadata: None, version });
            self.change(&space, &key, entry, version);
        }
        for (space, key) in renewed {
            self.renew(&space, &key);
        }
        let mut after = self.before;
        for (space, keys) in &mut after.0 {
            keys.retain(|_, entry| !is_over(space, entry.version.block, self.number));
        }
        for (space, keys) in self.changes {
            for (key, change) in keys {
                after.set(&space, &key, change.entry);
            }
        }
        after
    }

    /// A private value follows the version of the hash that stands for it.
    fn renew(&mut self, private: &Space, key: &str) {
        let hashed = Space::hashed(private.namespace().clone(), private.collection().unwrap().clone());
        let changed = self.changes.get(&hashed).and_then(|keys| keys.get(key)?.entry.clone());
        let (Some(hash), Some(value)) = (changed, self.now.get(private, key).cloned()) else { return };
        if hash.value == value.value && hash.version != value.version {
            let version = hash.version;
            self.change(private, key, Some(Entry { version, ..value }), version);
        }
    }
}

/// Whether what a block wrote goes with this one.
fn is_over(space: &Space, written: u64, now: u64) -> bool {
    let life = space.collection().and_then(|name| LIVES.iter().find(|(other, _)| *other == &**name));
    life.is_some_and(|(_, life)| *life > 0 && written + life < now)
}

pub(crate) fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest(&SHA256, bytes).as_ref())
}
