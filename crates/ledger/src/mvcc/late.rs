use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use selvedge_proto::kvrwset::KvWrite;

use crate::hash::sha256;
use crate::reconciled::LateWrites;
use crate::{Error, Snapshot, Space, StoredValue, Update, Updates, Version};

use super::private::{decode, hashed_space};

/// What private writes of valid transactions of earlier blocks change now.
///
/// Of several writes of a key the last counts, and only if the hash of the key says that it still stands: with the
/// write's own version, or with the hash of its value, if only the metadata changed since. Fabric's
/// `RemoveStaleAndCommitPvtDataOfOldBlocks` is the source of these rules.
///
/// # Errors
/// Only those of the snapshot; sets that cannot be decoded are left out.
pub fn late(snapshot: &dyn Snapshot, sets: &[LateWrites]) -> Result<Updates, Error> {
    let mut last: BTreeMap<(Space, Bytes), (Version, KvWrite)> = BTreeMap::new();
    let mut renewed = BTreeSet::new();
    for set in sets {
        let Some(decoded) = decode(&set.rwset) else { continue };
        let version = Version::new(set.of.block, set.of.transaction);
        let space = Space::private(set.of.namespace.as_str(), set.of.collection.as_str());
        for write in decoded.metadata_writes {
            renewed.insert((space.clone(), Bytes::from(write.key)));
        }
        for write in decoded.writes {
            let key = (space.clone(), Bytes::copy_from_slice(write.key.as_bytes()));
            if last.get(&key).is_none_or(|(known, _)| *known < version) {
                last.insert(key, (version, write));
            }
        }
    }
    let mut updates = Updates::new();
    for ((space, key), (version, write)) in last {
        if let Some(update) = standing(snapshot, &space, &key, version, write)? {
            updates.insert(space, key, update);
        }
    }
    for (space, key) in renewed {
        if updates.get(&space, &key).is_none()
            && let Some(value) = renewed_value(snapshot, &space, &key)?
        {
            updates.insert(space, key, Update::Put(value));
        }
    }
    Ok(updates)
}

/// What a write comes to, unless something else happened to its key since.
fn standing(
    snapshot: &dyn Snapshot,
    space: &Space,
    key: &Bytes,
    version: Version,
    write: KvWrite,
) -> Result<Option<Update>, Error> {
    let Some(hashed) = hashed_space(space) else { return Ok(None) };
    let is_delete = write.is_delete || write.value.is_empty();
    let Some(hash) = snapshot.get(&hashed, &sha256([key.as_ref()]))? else {
        return Ok(is_delete.then_some(Update::Delete { version }));
    };
    let stands = hash.version == version || hash.value == sha256([write.value.as_ref()])[..];
    if is_delete || !stands {
        return Ok(None);
    }
    let stored = StoredValue { value: write.value, metadata: Bytes::new(), version: hash.version };
    Ok(Some(Update::Put(stored)))
}

/// The private value of a key whose metadata changed, with the version of its hash, so that it does not count as stale.
fn renewed_value(snapshot: &dyn Snapshot, space: &Space, key: &Bytes) -> Result<Option<StoredValue>, Error> {
    let Some(hashed) = hashed_space(space) else { return Ok(None) };
    let Some(hash) = snapshot.get(&hashed, &sha256([key.as_ref()]))? else { return Ok(None) };
    let value = snapshot.get(space, key)?.filter(|value| hash.value == sha256([value.value.as_ref()])[..]);
    Ok(value
        .filter(|value| value.version != hash.version)
        .map(|value| StoredValue { version: hash.version, ..value }))
}
