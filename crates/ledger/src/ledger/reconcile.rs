//! Takes in private writes of blocks that were committed without them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::KvrwSet;

use super::Ledger;
use super::entry::read_set;
use super::expiry::Lives;
use crate::hash::sha256;
use crate::mvcc;
use crate::reconciled::{LateWrites, ReconciledStore};
use crate::rwset::CollectionSet;
use crate::state::{LateChanges, Missing, StateSnapshot, StateStore};
use crate::{Error, Snapshot, StoreError, Version};

impl Ledger {
    /// Takes in private writes that were missing, as far as they are those that the block's hashes stand for. They
    /// change the state only where the hash of a key says that they still stand. What has outlived its blocks is not
    /// kept, and missing no more. Returns how many sets are missing no more.
    ///
    /// Keys that were purged since may be lacking in a set. If the giver has seen more purges than this ledger, the set
    /// stays missing until this ledger has seen them too. Fabric's `extractValidPvtData` is the source of these rules.
    ///
    /// # Errors
    /// Those of the stores. After a failure to write, what was taken in comes into the state when the ledger is opened
    /// again.
    pub fn reconcile(&self, late: Vec<LateWrites>) -> Result<usize, StoreError> {
        let mut settled = Vec::new();
        let mut kept = Vec::new();
        let snapshot = self.snapshot();
        let mut lives = Lives::new(&*snapshot);
        let mut entries = BTreeMap::new();
        for LateWrites { of, rwset } in late {
            if !snapshot.is_missing(&of)? {
                continue;
            }
            if lives.has_expired(&of.namespace, &of.collection, of.block, snapshot.height())? {
                settled.push(of);
                continue;
            }
            let entries = match entries.entry(of.block) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown
                    .insert(self.block(of.block)?.and_then(|block| block.data).unwrap_or_default().data),
            };
            let entry = usize::try_from(of.transaction).ok().and_then(|index| entries.get(index));
            let hashes = entry.and_then(|entry| read_set(entry).ok()).unwrap_or_default();
            let hashes = hashes.namespace(&of.namespace).and_then(|set| set.collection(&of.collection));
            match hashes.map_or(Ok(None), |hashes| endorsed(&snapshot, &of, rwset, hashes))? {
                Some(rwset) => {
                    settled.push(of.clone());
                    kept.push(LateWrites { of, rwset });
                }
                None => tracing::warn!(
                    block = of.block,
                    transaction = of.transaction,
                    namespace = of.namespace,
                    collection = of.collection,
                    "private writes that came late are not those that were endorsed"
                ),
            }
        }
        if settled.is_empty() {
            return Ok(0);
        }
        let mut committer = self.lock();
        if committer.halted {
            return Err(StoreError::Halted { path: self.folder.clone() });
        }
        self.reconciled.put(&kept)?;
        committer.reconciliations += 1;
        apply(&self.state, &kept, &settled)?;
        committer.unsafe_blocks = 0;
        self.reconciled.settle()?;
        Ok(settled.len())
    }
}

/// Brings into the state what was kept and may not be there.
pub(super) fn finish(reconciled: &ReconciledStore, state: &StateStore) -> Result<(), StoreError> {
    let pending = reconciled.pending()?;
    if pending.is_empty() {
        return Ok(());
    }
    let settled: Vec<Missing> = pending.iter().map(|late| late.of.clone()).collect();
    apply(state, &pending, &settled)?;
    reconciled.settle()
}

fn apply(state: &StateStore, kept: &[LateWrites], settled: &[Missing]) -> Result<(), StoreError> {
    let snapshot = state.snapshot();
    let updates = mvcc::late(&*snapshot, kept)?;
    let expiries = Lives::new(&*snapshot).expiries(&updates)?;
    state.apply_late(&LateChanges { updates: &updates, expiries: &expiries, settled })
}

/// What of a set may be kept; `None` if it is not the one that was endorsed, or not all of it.
fn endorsed(
    snapshot: &StateSnapshot,
    of: &Missing,
    rwset: Bytes,
    hashes: &CollectionSet,
) -> Result<Option<Bytes>, Error> {
    let version = Version::new(of.block, of.transaction);
    if sha256([rwset.as_ref()])[..] == hashes.private_set_hash && !hashes.private_set_hash.is_empty() {
        return Ok(Some(rwset));
    }
    let mut expected = BTreeMap::new();
    for write in &hashes.hashed.hashed_writes {
        if !snapshot.is_purged(&of.namespace, &of.collection, &write.key_hash, version)? {
            expected.insert(&write.key_hash, &write.value_hash);
        }
    }
    if expected.len() == hashes.hashed.hashed_writes.len() {
        // Nothing was purged, so the whole set is wanted.
        return Ok(None);
    }
    let Some(set) = mvcc::decode_private(&rwset) else { return Ok(None) };
    let mut left = KvrwSet::default();
    for write in set.writes {
        let Some(value_hash) = expected.remove(&Bytes::copy_from_slice(&sha256([write.key.as_bytes()])))
        else {
            continue;
        };
        let is_delete = write.is_delete || write.value.is_empty();
        let is_endorsed =
            if is_delete { value_hash.is_empty() } else { *value_hash == sha256([write.value.as_ref()])[..] };
        if !is_endorsed {
            return Ok(None);
        }
        left.writes.push(write);
    }
    Ok(expected.is_empty().then(|| left.encode_to_vec().into()))
}
