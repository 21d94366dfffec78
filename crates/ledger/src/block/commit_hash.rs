use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::hash::{Hash, sha256};
use crate::{Space, Update, Updates, Version};

/// The running hash of everything committed, as block number 1 and all later ones carry it: SHA-256 of the
/// filter with its length before it as a varint, the public and hashed updates, and the hash of the block
/// before (empty for block 1).
///
/// Private updates do not count, nor do those of the namespace "", and `updates` must not hold expiries yet.
pub fn commit_hash(filter: &[u8], updates: &Updates, previous: &[u8]) -> Hash {
    let mut length = Vec::new();
    prost::encoding::encode_varint(u64::try_from(filter.len()).unwrap_or(u64::MAX), &mut length);
    sha256([length.as_slice(), filter, &update_bytes(updates), previous])
}

/// A version as it stands in the commit hash: block and transaction as numbers whose bytes sort like they do,
/// each a length byte and the big-endian digits without leading zeros.
pub fn encode_version(version: Version) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(18);
    push_number(version.block, &mut bytes);
    push_number(version.transaction, &mut bytes);
    bytes
}

fn push_number(number: u64, bytes: &mut Vec<u8>) {
    let zeros = number.leading_zeros() / 8;
    bytes.push(u8::try_from(8 - zeros).unwrap_or_default());
    bytes.extend(number.to_be_bytes().iter().skip(usize::try_from(zeros).unwrap_or_default()));
}

/// Fabric's `Updates` message of the commit hash.
#[derive(Clone, PartialEq, Message)]
struct WrittenKeys {
    #[prost(message, repeated, tag = "1")]
    writes: Vec<WrittenKey>,
}

/// The namespace stands only on the first key of a namespace, the collection on the first of a collection.
#[derive(Clone, PartialEq, Message)]
struct WrittenKey {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    collection: String,
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
    #[prost(bool, tag = "4")]
    is_delete: bool,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
    #[prost(bytes = "bytes", tag = "6")]
    version: Bytes,
}

type Keys = BTreeMap<Bytes, Update>;

fn update_bytes(updates: &Updates) -> Vec<u8> {
    // The public keys of a namespace have the collection "", which sorts before all names.
    let mut ordered: BTreeMap<&Arc<str>, BTreeMap<&str, &Keys>> = BTreeMap::new();
    for (space, keys) in updates.spaces() {
        let collection = match space {
            Space::Private { .. } => continue,
            Space::Public { .. } => "",
            Space::Hashed { collection, .. } => collection,
        };
        if !space.namespace().is_empty() {
            ordered.entry(space.namespace()).or_default().insert(collection, keys);
        }
    }
    let mut writes = Vec::new();
    for (namespace, collections) in ordered {
        let first = writes.len();
        for (collection, keys) in collections {
            let first = writes.len();
            writes.extend(keys.iter().map(written));
            if let Some(write) = writes.get_mut(first) {
                write.collection = collection.to_owned();
            }
        }
        if let Some(write) = writes.get_mut(first) {
            write.namespace = namespace.to_string();
        }
    }
    WrittenKeys { writes }.encode_to_vec()
}

fn written((key, update): (&Bytes, &Update)) -> WrittenKey {
    let (value, is_delete) = match update {
        Update::Put(stored) => (stored.value.clone(), false),
        Update::Delete { .. } => (Bytes::new(), true),
    };
    WrittenKey {
        namespace: String::new(),
        collection: String::new(),
        key: key.clone(),
        is_delete,
        value,
        version: encode_version(update.version()).into(),
    }
}

#[cfg(test)]
mod tests {
    use selvedge_golden::Corpus;

    use super::push_number;

    #[test]
    fn golden_numbers_sort_as_bytes() {
        let vectors = Corpus::get().json_lines("vectors/order-preserving-varints.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let mut bytes = Vec::new();
            push_number(vector["number"].as_str().unwrap().parse().unwrap(), &mut bytes);
            assert_eq!(hex::encode(bytes), vector["bytes"]);
        }
    }
}
