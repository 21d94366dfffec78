//! The private data of a block that a reader may see.

use std::collections::BTreeMap;

use selvedge_identity::{ChannelConfig, SignedData};
use selvedge_ledger::Snapshot;
use selvedge_ledger::log::PrivateWrites;
use selvedge_proto::protos::{StaticCollectionConfig, collection_policy_config};
use selvedge_proto::rwset::{NsPvtReadWriteSet, TxPvtReadWriteSet};

use crate::lifecycle;

/// Who reads, and by which rules: those of the definitions and the configuration in force, where Fabric asks those
/// before the block.
pub(super) struct Rules<'a> {
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) config: &'a ChannelConfig,
    pub(super) own_msp_id: &'a str,
    pub(super) reader: &'a SignedData,
}

/// What of a record's private data the reader gets: the collections that anybody may read and those that the reader is
/// a member of. What has outlived its blocks or was purged the ledger has left out already.
pub(super) fn readable(private: PrivateWrites, rules: &Rules<'_>) -> PrivateWrites {
    let mut known = BTreeMap::new();
    let mut readable = PrivateWrites::new();
    for (index, writes) in private {
        let mut left = TxPvtReadWriteSet { data_model: writes.data_model, ns_pvt_rwset: Vec::new() };
        for set in writes.ns_pvt_rwset {
            let name = set.namespace.as_str();
            let collections = set.collection_pvt_rwset.into_iter().filter_map(|collection| {
                let key = (name.to_owned(), collection.collection_name.clone());
                let may_read =
                    *known.entry(key).or_insert_with(|| rules.may_read(name, &collection.collection_name));
                may_read.then_some(collection)
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
    fn may_read(&self, namespace: &str, collection: &str) -> bool {
        let found =
            lifecycle::collection_config(self.snapshot, self.config, self.own_msp_id, namespace, collection);
        match found {
            Ok(Some(found)) => !found.member_only_read || self.is_member(&found),
            Ok(None) => false,
            Err(error) => {
                tracing::warn!(namespace, collection, %error, "a collection's settings cannot be read");
                false
            }
        }
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
