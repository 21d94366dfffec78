//! The private data of a block that a reader may see.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use selvedge_identity::{ChannelConfig, SignedData};
use selvedge_ledger::Snapshot;
use selvedge_ledger::block::TransactionView;
use selvedge_ledger::log::{PrivateWrites, Record};
use selvedge_ledger::rwset::{CollectionSet, ReadWriteSet};
use selvedge_proto::common::Block;
use selvedge_proto::kvrwset::KvrwSet;
use selvedge_proto::protos::{StaticCollectionConfig, collection_policy_config};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use crate::lifecycle;

/// Who reads, and by which rules: those of the definitions and the configuration in force, where Fabric asks those
/// before the block.
pub(super) struct Rules<'a> {
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) config: &'a ChannelConfig,
    pub(super) own_msp_id: &'a str,
    pub(super) reader: &'a SignedData,
    /// How many blocks are committed.
    pub(super) height: u64,
}

/// What of a record's private data the reader gets: the collections that anybody may read and those that the reader is
/// a member of, as far as they have not outlived their blocks. As in Fabric keys that a transaction purges are left
/// out of it, so that what remains does not hash to what was endorsed.
pub(super) fn readable(record: Record, rules: &Rules<'_>) -> PrivateWrites {
    let Record { block, private } = record;
    let number = block.header.as_ref().map(|header| header.number).unwrap_or_default();
    let mut known = BTreeMap::new();
    let mut readable = PrivateWrites::new();
    for (index, writes) in private {
        let hashes = hashes_of(&block, index).unwrap_or_default();
        let mut left = TxPvtReadWriteSet { data_model: writes.data_model, ns_pvt_rwset: Vec::new() };
        for set in writes.ns_pvt_rwset {
            let name = set.namespace.as_str();
            let collections = set.collection_pvt_rwset.into_iter().filter_map(|collection| {
                let key = (name.to_owned(), collection.collection_name.clone());
                let may_read = *known
                    .entry(key)
                    .or_insert_with(|| rules.may_read(name, &collection.collection_name, number));
                let hashes =
                    hashes.namespace(name).and_then(|set| set.collection(&collection.collection_name));
                may_read.then(|| without_purged(collection, hashes)).flatten()
            });
            let collection_pvt_rwset: Vec<_> = collections.collect();
            if !collection_pvt_rwset.is_empty() {
                left.ns_pvt_rwset.push(NsPvtReadWriteSet { namespace: set.namespace, collection_pvt_rwset });
            }
        }
        if !left.ns_pvt_rwset.is_empty() {
            readable.insert(index, left);
        }
    }
    readable
}

impl Rules<'_> {
    /// A collection whose settings cannot be found or read is nobody's.
    fn may_read(&self, namespace: &str, collection: &str, block: u64) -> bool {
        let found =
            lifecycle::collection_config(self.snapshot, self.config, self.own_msp_id, namespace, collection);
        match found {
            Ok(Some(found)) => {
                !self.has_expired(&found, block) && (!found.member_only_read || self.is_member(&found))
            }
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(namespace, collection, %error, "a collection's settings cannot be read");
                false
            }
        }
    }

    /// Whether what a block wrote to a collection is gone: with a block to live of n, once block b + n + 1 is there.
    fn has_expired(&self, collection: &StaticCollectionConfig, block: u64) -> bool {
        let life = collection.block_to_live;
        life > 0 && self.height.saturating_sub(1) > block.saturating_add(life)
    }

    fn is_member(&self, collection: &StaticCollectionConfig) -> bool {
        let members = collection.member_orgs_policy.as_ref().and_then(|policy| policy.payload.as_ref());
        let Some(collection_policy_config::Payload::SignaturePolicy(members)) = members else { return false };
        self.config
            .signature_policy(members)
            .and_then(|policy| policy.evaluate(std::slice::from_ref(self.reader)))
            .is_ok()
    }
}

fn hashes_of(block: &Block, index: u64) -> Option<ReadWriteSet> {
    let entry = block.data.as_ref()?.data.get(usize::try_from(index).ok()?)?;
    let action = TransactionView::parse(entry).ok()?.endorsed_action().ok()?.chaincode_action().ok()?;
    ReadWriteSet::parse(&action.results).ok()
}

/// A collection's writes without those of keys that the transaction itself purges.
fn without_purged(
    collection: CollectionPvtReadWriteSet,
    hashes: Option<&CollectionSet>,
) -> Option<CollectionPvtReadWriteSet> {
    let hashes = hashes?;
    let writes = hashes.hashed.hashed_writes.iter().filter(|write| write.is_purge);
    let purged: BTreeSet<&Bytes> = writes.map(|write| &write.key_hash).collect();
    if purged.is_empty() {
        return Some(collection);
    }
    let mut set = KvrwSet::decode(collection.rwset.clone()).ok()?;
    set.writes.retain(|write| {
        let hash = digest(&SHA256, write.key.as_bytes());
        !purged.contains(&Bytes::copy_from_slice(hash.as_ref()))
    });
    Some(CollectionPvtReadWriteSet { rwset: set.encode_to_vec().into(), ..collection })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use bytes::Bytes;
    use prost::Message;
    use selvedge_ledger::rwset::CollectionSet;
    use selvedge_proto::kvrwset::{HashedRwSet, KvWrite, KvWriteHash, KvrwSet};
    use selvedge_proto::rwset::CollectionPvtReadWriteSet;

    use super::without_purged;

    fn collection(keys: &[&str]) -> CollectionPvtReadWriteSet {
        let write = |key: &&str| KvWrite { key: (*key).to_owned(), ..KvWrite::default() };
        let set = KvrwSet { writes: keys.iter().map(write).collect(), ..KvrwSet::default() };
        CollectionPvtReadWriteSet { collection_name: "c".to_owned(), rwset: set.encode_to_vec().into() }
    }

    #[test]
    fn purged_keys_are_left_out() {
        let write = |key: &str, is_purge| {
            let key_hash = Bytes::copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
            KvWriteHash { key_hash, is_purge, ..KvWriteHash::default() }
        };
        let hashed_writes = vec![write("kept", false), write("purged", true), write("deleted", false)];
        let hashed = HashedRwSet { hashed_writes, ..HashedRwSet::default() };
        let hashes = CollectionSet { collection: "c".to_owned(), hashed, private_set_hash: Bytes::new() };
        let left = without_purged(collection(&["kept", "purged", "deleted"]), Some(&hashes));
        assert_eq!(left, Some(collection(&["kept", "deleted"])));
        assert_eq!(without_purged(collection(&["kept"]), None), None, "nobody knows what was purged");
    }
}
