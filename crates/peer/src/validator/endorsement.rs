//! Whether the endorsers of a transaction satisfy the policies for what it writes to a namespace.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::Identity;
use selvedge_ledger::rwset::NamespaceSet;
use selvedge_ledger::{Error, Snapshot, Space};
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::kvrwset::KvMetadataWrite;

use super::definitions::{self, Definitions};
use crate::lifecycle::ValidationInfo;

/// The name of the metadata that holds a key's endorsement policy, a marshalled `SignaturePolicyEnvelope`.
const VALIDATION_PARAMETER: &str = "VALIDATION_PARAMETER";

/// The keys whose metadata transactions of this block have changed so far. Their policies are not known until the
/// block is committed.
#[derive(Debug, Default)]
pub(super) struct ChangedKeys(HashMap<Space, HashSet<Bytes>>);

impl ChangedKeys {
    /// Adds the keys whose metadata a transaction changes in a namespace.
    pub(super) fn add(&mut self, set: &NamespaceSet) {
        for write in &set.public.metadata_writes {
            self.insert(public(set), Bytes::copy_from_slice(write.key.as_bytes()));
        }
        for collection in &set.collections {
            for write in &collection.hashed.metadata_writes {
                self.insert(hashed(set, &collection.collection), write.key_hash.clone());
            }
        }
    }

    fn insert(&mut self, space: Space, key: Bytes) {
        self.0.entry(space).or_default().insert(key);
    }

    fn contains(&self, space: &Space, key: &[u8]) -> bool {
        self.0.get(space).is_some_and(|keys| keys.contains(key))
    }
}

/// The check of one namespace of one transaction.
pub(super) struct Check<'a, 'b> {
    definitions: &'a mut Definitions<'b>,
    snapshot: &'a dyn Snapshot,
    changed: &'a ChangedKeys,
    namespace: &'a ValidationInfo,
    endorsers: &'a [Arc<Identity>],
    /// The collections whose policy was found satisfied; `None` is the chaincode's own.
    satisfied: HashSet<Option<String>>,
    /// Whether any policy was looked at.
    is_checked: bool,
}

impl<'a, 'b> Check<'a, 'b> {
    pub(super) fn new(
        definitions: &'a mut Definitions<'b>,
        snapshot: &'a dyn Snapshot,
        changed: &'a ChangedKeys,
        namespace: &'a ValidationInfo,
        endorsers: &'a [Arc<Identity>],
    ) -> Self {
        let satisfied = HashSet::new();
        Self { definitions, snapshot, changed, namespace, endorsers, satisfied, is_checked: false }
    }

    /// Whether the policies hold for everything that is written: the key's own policy if it has one, else the
    /// collection's, else the chaincode's. The chaincode's has to hold too if nothing is written.
    pub(super) fn holds(mut self, set: Option<&NamespaceSet>) -> Result<bool, Error> {
        if let Some(set) = set {
            let space = public(set);
            let writes = set.public.writes.iter().map(|write| &write.key);
            for key in writes.chain(set.public.metadata_writes.iter().map(|write| &write.key)) {
                if !self.key_holds(&space, key.as_bytes())? {
                    return Ok(false);
                }
            }
            for collection in &set.collections {
                let space = hashed(set, &collection.collection);
                let writes = collection.hashed.hashed_writes.iter().map(|write| &write.key_hash);
                let metadata = collection.hashed.metadata_writes.iter().map(|write| &write.key_hash);
                for key in writes.chain(metadata) {
                    if !self.key_holds(&space, key)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(self.is_checked || self.space_holds(None))
    }

    fn key_holds(&mut self, space: &Space, key: &[u8]) -> Result<bool, Error> {
        if self.changed.contains(space, key) {
            return Ok(false);
        }
        let parameter = self.parameter(space, key)?;
        if parameter.is_empty() {
            return Ok(self.space_holds(space.collection().map(AsRef::as_ref)));
        }
        self.is_checked = true;
        let Ok(policy) = SignaturePolicyEnvelope::decode(parameter) else { return Ok(false) };
        Ok(self.definitions.satisfied(&definitions::application_policy(policy), self.endorsers))
    }

    /// The key's own policy; empty if it has none.
    fn parameter(&self, space: &Space, key: &[u8]) -> Result<Bytes, Error> {
        let metadata = self.snapshot.get(space, key)?.map(|stored| stored.metadata).unwrap_or_default();
        let metadata = KvMetadataWrite::decode(metadata).map_err(|error| Error::Corrupt {
            what: format!("the metadata of key {} of {space}: {error}", key.escape_ascii()),
        })?;
        // Of several entries with the name the last counts, as in Fabric.
        let parameter = metadata.entries.into_iter().rfind(|entry| entry.name == VALIDATION_PARAMETER);
        Ok(parameter.map(|entry| entry.value).unwrap_or_default())
    }

    fn space_holds(&mut self, collection: Option<&str>) -> bool {
        let place = collection.map(str::to_owned);
        if self.satisfied.contains(&place) {
            return true;
        }
        let (namespace, endorsers) = (self.namespace, self.endorsers);
        let holds = match collection {
            None => self.definitions.satisfied(&namespace.policy, endorsers),
            Some(collection) => self.definitions.collection_satisfied(namespace, collection, endorsers),
        };
        self.is_checked = true;
        if holds {
            self.satisfied.insert(place);
        }
        holds
    }
}

fn public(set: &NamespaceSet) -> Space {
    Space::public(set.namespace.as_str())
}

fn hashed(set: &NamespaceSet, collection: &str) -> Space {
    Space::hashed(set.namespace.as_str(), collection)
}
