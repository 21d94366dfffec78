use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::KvrwSet;
use selvedge_proto::protos::TxValidationCode;

use crate::hash::sha256;
use crate::rwset::{ReadWriteSet, check_private_elements};
use crate::{Error, Space, StoredValue, Update, Version};

use super::{Candidate, Overlay, Rules};

/// A private set that does not hash to what the transaction says, or cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateMismatch {
    /// The transaction's index in the block.
    pub transaction: u64,
    /// The chaincode's name.
    pub namespace: String,
    /// The collection's name.
    pub collection: String,
}

/// Applies the private writes of the valid transactions after the public and hashed ones.
pub(super) fn apply(
    state: &mut Overlay<'_>,
    block: u64,
    candidates: &[Candidate],
    codes: &[TxValidationCode],
    rules: Rules,
) -> Result<Vec<PrivateMismatch>, Error> {
    let mut mismatches = Vec::new();
    let mut renewed = BTreeSet::new();
    for ((candidate, code), index) in candidates.iter().zip(codes).zip(0..) {
        if *code != TxValidationCode::Valid {
            continue;
        }
        for_each_set(candidate, index, rules, &mut mismatches, |space, set| {
            apply_set(state, space, set, Version::new(block, index), &mut renewed);
        });
    }
    // A value that is purged follows no version any more.
    remove_purged(state)?;
    for (space, key) in renewed {
        renew_version(state, &space, key)?;
    }
    Ok(mismatches)
}

/// Hands out the private sets of a transaction that may be used.
fn for_each_set(
    candidate: &Candidate,
    transaction: u64,
    rules: Rules,
    mismatches: &mut Vec<PrivateMismatch>,
    mut visit: impl FnMut(&Space, KvrwSet),
) {
    let (Some(set), Some(private)) = (&candidate.set, &candidate.private) else { return };
    for namespace in &private.ns_pvt_rwset {
        for collection in &namespace.collection_pvt_rwset {
            let (name, collection_name) = (&namespace.namespace, &collection.collection_name);
            let is_endorsed =
                rules == Rules::Replay || is_endorsed(set, name, collection_name, &collection.rwset);
            match Some(&collection.rwset).filter(|_| is_endorsed).and_then(decode) {
                Some(writes) => visit(&Space::private(name.as_str(), collection_name.as_str()), writes),
                None => mismatches.push(PrivateMismatch {
                    transaction,
                    namespace: name.clone(),
                    collection: collection_name.clone(),
                }),
            }
        }
    }
}

fn is_endorsed(set: &ReadWriteSet, namespace: &str, collection: &str, private: &Bytes) -> bool {
    let expected = set.private_set_hash(namespace, collection);
    expected.is_some_and(|expected| *expected == sha256([private.as_ref()])[..])
}

/// A private set; `None` if it cannot be decoded or is larger than any endorser makes.
pub(crate) fn decode(private: &Bytes) -> Option<KvrwSet> {
    check_private_elements(private).ok()?;
    KvrwSet::decode(private.clone()).ok()
}

fn apply_set(
    state: &mut Overlay<'_>,
    space: &Space,
    set: KvrwSet,
    version: Version,
    renewed: &mut BTreeSet<(Space, Bytes)>,
) {
    for write in set.writes {
        let key = Bytes::from(write.key);
        if write.is_delete || write.value.is_empty() {
            state.delete(space, key, version);
        } else {
            state.put(space, key, StoredValue { value: write.value, metadata: Bytes::new(), version });
        }
    }
    renewed.extend(set.metadata_writes.into_iter().map(|write| (space.clone(), Bytes::from(write.key))));
}

/// A metadata write gives the key's hash a new version. The private value has to follow, or it would count as
/// stale. It follows only if it is the one the hash stands for.
fn renew_version(state: &mut Overlay<'_>, space: &Space, key: Bytes) -> Result<(), Error> {
    let Some(hashed) = hashed_space(space) else { return Ok(()) };
    let Some(Update::Put(hash)) = state.updates.get(&hashed, &sha256([key.as_ref()])) else { return Ok(()) };
    let hash = hash.clone();
    let Some(value) = state.get(space, &key)? else { return Ok(()) };
    if value.version != hash.version && hash.value == sha256([value.value.as_ref()])[..] {
        state.put(space, key, StoredValue { version: hash.version, ..value });
    }
    Ok(())
}

/// Removes the private values of purged keys whose deletion did not come with the private writes, since this
/// peer lacks them. The key is then known by its hash only and has to be searched for, among the values from before
/// and among those of this block that were written before the purge.
fn remove_purged(state: &mut Overlay<'_>) -> Result<(), Error> {
    let mut wanted: BTreeMap<Space, BTreeMap<Bytes, Version>> = BTreeMap::new();
    for (hashed, key_hash, version) in state.updates.purges() {
        if let Some(private) = private_space(hashed) {
            wanted.entry(private).or_default().insert(key_hash.clone(), version);
        }
    }
    for (space, mut hashes) in wanted {
        let mut found = Vec::new();
        for (key, update) in state.updates.space(&space).into_iter().flatten() {
            if let Some(version) = hashes.remove(&sha256([key.as_ref()])[..])
                && update.version() < version
            {
                found.push((key.clone(), version));
            }
        }
        if !hashes.is_empty() {
            for entry in state.snapshot.range(&space, &[], &[])? {
                let (key, _) = entry?;
                if let Some(version) = hashes.get(&sha256([key.as_ref()])[..]) {
                    found.push((key, *version));
                }
            }
        }
        for (key, version) in found {
            state.delete(&space, key, version);
        }
    }
    Ok(())
}

/// Where the hashes of a private space are.
pub(super) fn hashed_space(private: &Space) -> Option<Space> {
    Some(Space::hashed(private.namespace().clone(), private.collection()?.clone()))
}

fn private_space(hashed: &Space) -> Option<Space> {
    Some(Space::private(hashed.namespace().clone(), hashed.collection()?.clone()))
}
