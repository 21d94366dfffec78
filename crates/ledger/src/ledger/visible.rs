//! What of a block's private writes is shown: not what has outlived its blocks, nor what was purged since.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::KvrwSet;
use selvedge_proto::rwset::CollectionPvtReadWriteSet;

use super::expiry::Lives;
use crate::hash::sha256;
use crate::log::PrivateWrites;
use crate::state::StateSnapshot;
use crate::{Error, Snapshot, Version};

/// Leaves out what is gone by a state. A collection of which everything was purged stays, without writes.
pub(super) fn only(snapshot: &StateSnapshot, block: u64, private: &mut PrivateWrites) -> Result<(), Error> {
    let mut lives = Lives::new(snapshot);
    for (transaction, writes) in &mut *private {
        let version = Version::new(block, *transaction);
        for namespace in &mut writes.ns_pvt_rwset {
            let name = namespace.namespace.as_str();
            let mut left = Vec::with_capacity(namespace.collection_pvt_rwset.len());
            for mut set in std::mem::take(&mut namespace.collection_pvt_rwset) {
                if lives.has_expired(name, &set.collection_name, block, snapshot.height())? {
                    continue;
                }
                if snapshot.is_any_purged(name, &set.collection_name, version)? {
                    set.rwset = without_purged(snapshot, name, &set, version)?;
                }
                left.push(set);
            }
            namespace.collection_pvt_rwset = left;
        }
        writes.ns_pvt_rwset.retain(|namespace| !namespace.collection_pvt_rwset.is_empty());
    }
    private.retain(|_, writes| !writes.ns_pvt_rwset.is_empty());
    Ok(())
}

fn without_purged(
    snapshot: &StateSnapshot,
    namespace: &str,
    set: &CollectionPvtReadWriteSet,
    version: Version,
) -> Result<Bytes, Error> {
    let mut writes = KvrwSet::decode(set.rwset.clone())
        .map_err(|error| Error::Corrupt { what: format!("a private set cannot be decoded: {error}") })?;
    let before = writes.writes.len();
    let mut left = Vec::with_capacity(before);
    for write in writes.writes {
        let key_hash = sha256([write.key.as_bytes()]);
        if !snapshot.is_purged(namespace, &set.collection_name, &key_hash, version)? {
            left.push(write);
        }
    }
    if left.len() == before {
        return Ok(set.rwset.clone());
    }
    writes.writes = left;
    Ok(writes.encode_to_vec().into())
}
