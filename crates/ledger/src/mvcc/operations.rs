use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::{KvMetadataEntry, KvMetadataWrite, KvWriteHash};

use crate::hash::{HASH_LENGTH, sha256};
use crate::rwset::ReadWriteSet;
use crate::{Error, Space, StoredValue, Version};

use super::Overlay;

/// Applies the public and hashed writes of a valid transaction.
pub(super) fn apply(state: &mut Overlay<'_>, set: &ReadWriteSet, version: Version) -> Result<(), Error> {
    for (space, keys) in collect(set) {
        for (key, operation) in keys {
            merge(state, &space, key, operation, version)?;
        }
    }
    for namespace in &set.namespaces {
        for collection in &namespace.collections {
            for write in collection.hashed.hashed_writes.iter().filter(|write| write.is_purge) {
                let space = Space::hashed(namespace.namespace.as_str(), collection.collection.as_str());
                state.updates.purge(space, write.key_hash.clone(), version);
            }
        }
    }
    Ok(())
}

/// What a transaction does to one key.
///
/// Fabric adds the numbers of the kinds of writes up instead of joining them as bits. For what endorsers make
/// it is the same, but two writes of one key in a set add up to another kind. The verdict and the state have
/// to be those of every other peer of the channel, so the sum is kept here: a key that is written twice keeps
/// its value.
#[derive(Default)]
struct Operation {
    kinds: u8,
    value: Bytes,
    metadata: Bytes,
}

const PUT: u8 = 1;
const PUT_METADATA: u8 = 2;
const DELETE_METADATA: u8 = 4;
const DELETE: u8 = 8;

impl Operation {
    fn is(&self, kind: u8) -> bool {
        self.kinds & kind == kind
    }

    fn add(&mut self, kind: u8) {
        self.kinds = self.kinds.wrapping_add(kind);
    }

    fn write(&mut self, is_delete: bool, value: &Bytes) {
        if is_delete {
            self.add(DELETE);
        } else {
            self.add(PUT);
            self.value = value.clone();
        }
    }

    fn write_metadata(&mut self, entries: &[KvMetadataEntry]) {
        if entries.is_empty() {
            self.add(DELETE_METADATA);
        } else {
            self.add(PUT_METADATA);
            let stored = KvMetadataWrite { key: String::new(), entries: entries.to_vec() };
            self.metadata = stored.encode_to_vec().into();
        }
    }
}

type Operations = BTreeMap<Space, BTreeMap<Bytes, Operation>>;

fn collect(set: &ReadWriteSet) -> Operations {
    let mut operations = Operations::new();
    for namespace in &set.namespaces {
        let name: Arc<str> = namespace.namespace.as_str().into();
        let keys = operations.entry(Space::public(name.clone())).or_default();
        for write in &namespace.public.writes {
            let is_delete = write.is_delete || write.value.is_empty();
            keys.entry(key(&write.key)).or_default().write(is_delete, &write.value);
        }
        for write in &namespace.public.metadata_writes {
            keys.entry(key(&write.key)).or_default().write_metadata(&write.entries);
        }
        for collection in &namespace.collections {
            let space = Space::hashed(name.clone(), collection.collection.as_str());
            let keys = operations.entry(space).or_default();
            for write in &collection.hashed.hashed_writes {
                keys.entry(write.key_hash.clone()).or_default().write(deletes(write), &write.value_hash);
            }
            for write in &collection.hashed.metadata_writes {
                keys.entry(write.key_hash.clone()).or_default().write_metadata(&write.entries);
            }
        }
    }
    operations
}

/// Merges a transaction's write of a key with what the key has: a value written alone keeps the metadata,
/// metadata written alone keep the value, and are dropped if there is none.
fn merge(
    state: &mut Overlay<'_>,
    space: &Space,
    key: Bytes,
    operation: Operation,
    version: Version,
) -> Result<(), Error> {
    let Operation { value, metadata, .. } = &operation;
    if operation.is(DELETE) {
        state.delete(space, key, version);
        return Ok(());
    }
    let is_whole = operation.is(PUT) && (operation.is(PUT_METADATA) || operation.is(DELETE_METADATA));
    let stored = if is_whole {
        StoredValue { value: value.clone(), metadata: metadata.clone(), version }
    } else {
        let before = state.get(space, &key)?;
        if operation.kinds | PUT == PUT {
            let metadata = before.map(|before| before.metadata).unwrap_or_default();
            StoredValue { value: value.clone(), metadata, version }
        } else {
            let Some(before) = before else { return Ok(()) };
            StoredValue { value: before.value, metadata: metadata.clone(), version }
        }
    };
    state.put(space, key, stored);
    Ok(())
}

/// Whether a hashed write deletes its key: the hash of nothing counts as a deletion too.
fn deletes(write: &KvWriteHash) -> bool {
    let nothing: [u8; HASH_LENGTH] = sha256([]);
    write.is_delete || write.value_hash.is_empty() || write.value_hash == nothing[..]
}

fn key(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}
