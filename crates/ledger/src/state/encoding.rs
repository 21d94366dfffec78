//! The bytes of keys and values in the state database.

use bytes::{Buf, BufMut, Bytes};

use crate::{Space, StoredValue, Version};

const VERSION: usize = 16;

/// What every key of a space begins with: a tag, then the names, each with its length before it. No space's
/// prefix begins another's, so the byte order inside a space is that of its keys.
pub(super) fn prefix(space: &Space) -> Vec<u8> {
    let (tag, names) = match space {
        Space::Public { namespace } => (0, [Some(namespace), None]),
        Space::Hashed { namespace, collection } => (1, [Some(namespace), Some(collection)]),
        Space::Private { namespace, collection } => (2, [Some(namespace), Some(collection)]),
    };
    let mut bytes = vec![tag];
    for name in names.into_iter().flatten() {
        bytes.put_u64(name.len() as u64);
        bytes.put_slice(name.as_bytes());
    }
    bytes
}

/// A key of a space.
pub(super) fn key(space: &Space, key: &[u8]) -> Vec<u8> {
    let mut bytes = prefix(space);
    bytes.extend_from_slice(key);
    bytes
}

/// The first bytes that are greater than all that begin with `prefix`.
pub(super) fn after(mut prefix: Vec<u8>) -> Vec<u8> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            break;
        }
    }
    prefix
}

pub(super) fn version(version: Version) -> [u8; VERSION] {
    let mut bytes = [0; VERSION];
    let mut fields = bytes.as_mut_slice();
    fields.put_u64(version.block);
    fields.put_u64(version.transaction);
    bytes
}

/// A value: its version, the length of its metadata, the metadata, and the value itself.
pub(super) fn value(stored: &StoredValue) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(VERSION + 8 + stored.metadata.len() + stored.value.len());
    bytes.put_slice(&version(stored.version));
    bytes.put_u64(stored.metadata.len() as u64);
    bytes.put_slice(&stored.metadata);
    bytes.put_slice(&stored.value);
    bytes
}

/// Reads a value; `None` if the bytes cannot have been written by [`value`].
pub(super) fn decode(bytes: &[u8]) -> Option<StoredValue> {
    let mut bytes = Bytes::copy_from_slice(bytes);
    let version = Version::new(bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
    let length = usize::try_from(bytes.try_get_u64().ok()?).ok()?;
    (length <= bytes.len()).then(|| {
        let metadata = bytes.split_to(length);
        StoredValue { value: bytes, metadata, version }
    })
}
