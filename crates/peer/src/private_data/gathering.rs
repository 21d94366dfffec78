//! Finds the private writes that belong to a block's hashes.

use std::collections::HashMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use selvedge_identity::ChannelConfig;
use selvedge_identity::msp::Principal;
use selvedge_identity::policy::SignaturePolicy;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::rwset::{CollectionSet, ReadWriteSet};
use selvedge_ledger::transient::TransientStore;
use selvedge_ledger::{Snapshot, StoreError};
use selvedge_proto::protos::{StaticCollectionConfig, TxValidationCode, collection_policy_config};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use crate::lifecycle;
use crate::validator::Examined;

/// Which collections an organization is a member of, by the state before the block.
pub(super) struct Members<'a> {
    snapshot: &'a dyn Snapshot,
    config: &'a ChannelConfig,
    msp_id: &'a str,
    known: HashMap<(String, String), bool>,
}

impl<'a> Members<'a> {
    pub(super) fn new(snapshot: &'a dyn Snapshot, config: &'a ChannelConfig, msp_id: &'a str) -> Self {
        Self { snapshot, config, msp_id, known: HashMap::new() }
    }

    /// A collection whose settings cannot be read has no members.
    fn is_member(&mut self, namespace: &str, collection: &str) -> bool {
        let key = (namespace.to_owned(), collection.to_owned());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let found =
            lifecycle::collection_config(self.snapshot, self.config, self.msp_id, namespace, collection);
        let is_member = match found {
            Ok(found) => found.is_some_and(|collection| names(&collection, self.msp_id)),
            Err(error) => {
                tracing::warn!(namespace, collection, %error, "a collection's settings cannot be read");
                false
            }
        };
        self.known.insert(key, is_member);
        is_member
    }
}

/// Takes the private writes of a block's transactions out of what the endorser kept, for the collections that this
/// organization is a member of. Only writes that hash to what was endorsed are taken. What is missing stays missing.
pub(super) fn gather(
    mut members: Members<'_>,
    transient: &TransientStore,
    examined: &Examined,
    codes: &[TxValidationCode],
) -> Result<PrivateWrites, StoreError> {
    let mut gathered = PrivateWrites::new();
    for (index, id, set) in examined.sets() {
        if codes.get(index) != Some(&TxValidationCode::Valid) || !set.has_private_writes() {
            continue;
        }
        let kept = transient.get(id)?;
        let writes = writes_of(set, &kept, id, &mut members);
        if !writes.ns_pvt_rwset.is_empty() {
            gathered.insert(index as u64, writes);
        }
    }
    Ok(gathered)
}

fn writes_of(
    set: &ReadWriteSet,
    kept: &[TxPvtReadWriteSet],
    id: &str,
    members: &mut Members<'_>,
) -> TxPvtReadWriteSet {
    let mut writes = TxPvtReadWriteSet::default();
    for namespace in &set.namespaces {
        let name = namespace.namespace.as_str();
        let mut found = Vec::new();
        for collection in namespace.collections.iter().filter(|set| !set.private_set_hash.is_empty()) {
            if !members.is_member(name, &collection.collection) {
                continue;
            }
            match find(kept, name, collection) {
                Some(rwset) => {
                    let collection_name = collection.collection.clone();
                    found.push(CollectionPvtReadWriteSet { collection_name, rwset });
                }
                None => tracing::warn!(
                    transaction = id,
                    namespace = name,
                    collection = collection.collection,
                    "this peer lacks private data of a collection that it is a member of"
                ),
            }
        }
        if !found.is_empty() {
            let namespace = name.to_owned();
            writes.ns_pvt_rwset.push(NsPvtReadWriteSet { namespace, collection_pvt_rwset: found });
        }
    }
    writes
}

/// The writes to a collection that have the endorsed hash. A client may have had several proposals endorsed with
/// one id, so that there can be others.
fn find(kept: &[TxPvtReadWriteSet], namespace: &str, collection: &CollectionSet) -> Option<Bytes> {
    kept.iter()
        .flat_map(|writes| &writes.ns_pvt_rwset)
        .filter(|set| set.namespace == namespace)
        .flat_map(|set| &set.collection_pvt_rwset)
        .filter(|set| set.collection_name == collection.collection)
        .map(|set| &set.rwset)
        .find(|set| digest::digest(&digest::SHA256, set).as_ref() == collection.private_set_hash)
        .cloned()
}

/// Whether a collection's members include an organization.
fn names(collection: &StaticCollectionConfig, msp_id: &str) -> bool {
    let policy = collection.member_orgs_policy.as_ref().and_then(|policy| policy.payload.as_ref());
    let Some(collection_policy_config::Payload::SignaturePolicy(envelope)) = policy else { return false };
    let Ok(policy) = SignaturePolicy::compile(envelope) else { return false };
    policy.principals().iter().any(|principal| match principal {
        Principal::Role { msp_id: named, .. } | Principal::OrganizationalUnit { msp_id: named, .. } => {
            named == msp_id
        }
        _ => false,
    })
}
