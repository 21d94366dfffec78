//! The commit hash, written down byte by byte from its description: SHA-256 of the flags with their length before them,
//! the public and hashed changes as a protocol buffer, and the hash of the block before.

use std::collections::BTreeMap;

use selvedge_ledger::Space;

use super::{Change, Changes, sha256};

pub(crate) fn commit_hash(flags: &[u8], changes: &Changes, previous: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    length(flags.len(), &mut bytes);
    bytes.extend(flags);
    let mut last = (String::new(), String::new());
    for ((namespace, collection, key), change) in ordered(changes) {
        let mut write = Vec::new();
        // A name stands where it begins to hold.
        if namespace != last.0 {
            field(1, namespace.as_bytes(), &mut write);
        }
        if (&namespace, &collection) != (&last.0, &last.1) && !collection.is_empty() {
            field(2, collection.as_bytes(), &mut write);
        }
        field(3, &key, &mut write);
        match &change.entry {
            None => write.extend([4 << 3, 1]),
            Some(entry) if collection.is_empty() => field(5, &entry.value, &mut write),
            Some(entry) => field(5, &sha256(&entry.value), &mut write),
        }
        let mut version = Vec::new();
        for number in [change.version.block, change.version.transaction] {
            let digits: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            version.push(digits.len() as u8);
            version.extend(digits);
        }
        field(6, &version, &mut write);
        field(1, &write, &mut bytes);
        last = (namespace, collection);
    }
    bytes.extend(previous);
    sha256(&bytes).to_vec()
}

/// By namespace, then collection, public keys first, then key as it is hashed.
fn ordered(changes: &Changes) -> BTreeMap<(String, String, Vec<u8>), &Change> {
    let mut ordered = BTreeMap::new();
    for (space, keys) in changes {
        for (key, change) in keys {
            let (collection, key) = match space {
                Space::Public { .. } => (String::new(), key.as_bytes().to_vec()),
                Space::Hashed { collection, .. } => (collection.to_string(), sha256(key.as_bytes()).to_vec()),
                Space::Private { .. } => continue,
            };
            ordered.insert((space.namespace().to_string(), collection, key), change);
        }
    }
    ordered
}

fn field(number: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(number << 3 | 2);
    length(content.len(), bytes);
    bytes.extend(content);
}

fn length(mut length: usize, bytes: &mut Vec<u8>) {
    while length >= 128 {
        bytes.push((length % 128) as u8 | 128);
        length /= 128;
    }
    bytes.push(length as u8);
}
