//! Block to live: private values and their hashes go some blocks after they were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::protos::{CollectionConfigPackage, collection_config};

use crate::state::{Expiry, Outlived};
use crate::{Error, Snapshot, Space, Update, Updates};

const LIFECYCLE: &str = "_lifecycle";

/// How long collections keep their data: with a block to live of n what block b wrote goes once block b + n + 1 is
/// committed.
///
/// The collections are those of the chaincode definitions in a state; a definition cannot change the block to live of
/// a collection. Implicit collections keep everything.
pub(super) struct Lives<'a> {
    snapshot: &'a dyn Snapshot,
    known: BTreeMap<Arc<str>, BTreeMap<String, u64>>,
}

impl<'a> Lives<'a> {
    pub(super) fn new(snapshot: &'a dyn Snapshot) -> Self {
        Self { snapshot, known: BTreeMap::new() }
    }

    /// A collection's block to live, if it has one.
    fn of(&mut self, namespace: &str, collection: &str) -> Result<Option<u64>, Error> {
        if !self.known.contains_key(namespace) {
            let lives = blocks_to_live(self.snapshot, namespace)?;
            self.known.insert(namespace.into(), lives);
        }
        Ok(self.known.get(namespace).and_then(|lives| lives.get(collection)).copied())
    }

    /// Whether what `block` wrote to a collection is gone when this many blocks are committed.
    pub(super) fn has_expired(
        &mut self,
        namespace: &str,
        collection: &str,
        block: u64,
        height: u64,
    ) -> Result<bool, Error> {
        let last = height.saturating_sub(1);
        let life = self.of(namespace, collection)?;
        Ok(life.is_some_and(|life| last > block.saturating_add(life)))
    }

    /// What of these changes goes, and when.
    pub(super) fn expiries(&mut self, updates: &Updates) -> Result<Vec<Expiry>, Error> {
        let mut expiries = Vec::new();
        for (space, keys) in updates.spaces() {
            let Some(collection) = space.collection() else { continue };
            let Some(life) = self.of(space.namespace(), collection)? else { continue };
            expiries.extend(keys.iter().filter_map(|(key, update)| match update {
                Update::Put(stored) => {
                    let version = stored.version;
                    // A block that far away never comes.
                    let block = version.block.checked_add(life)?.checked_add(1)?;
                    Some(Expiry { block, space: space.clone(), key: key.clone(), version })
                }
                Update::Delete { .. } => None,
            }));
        }
        Ok(expiries)
    }

    /// Of the collections that a block writes those of which something has outlived its time with that block.
    pub(super) fn outlived(&mut self, block: u64, updates: &Updates) -> Result<Vec<Outlived>, Error> {
        let mut outlived = Vec::new();
        for (space, _) in updates.spaces().filter(|(space, _)| matches!(space, Space::Hashed { .. })) {
            let (namespace, Some(collection)) = (space.namespace(), space.collection()) else { continue };
            let life = self.of(namespace, collection)?;
            if let Some(last) = life.and_then(|life| block.checked_sub(life)?.checked_sub(1)) {
                let (namespace, collection) = (namespace.to_string(), collection.to_string());
                outlived.push(Outlived { namespace, collection, block: last });
            }
        }
        Ok(outlived)
    }
}

/// The blocks to live of a chaincode's collections, as far as they have one.
fn blocks_to_live(snapshot: &dyn Snapshot, chaincode: &str) -> Result<BTreeMap<String, u64>, Error> {
    let key = format!("namespaces/fields/{chaincode}/Collections");
    let Some(field) = snapshot.get(&Space::public(LIFECYCLE), key.as_bytes())? else {
        return Ok(BTreeMap::new());
    };
    Ok(collections(field.value).unwrap_or_else(|error| {
        // Nobody can use collections that cannot be read, so nothing of theirs has to go.
        tracing::warn!(chaincode, %error, "the chaincode's collections cannot be read");
        BTreeMap::new()
    }))
}

fn collections(field: Bytes) -> Result<BTreeMap<String, u64>, prost::DecodeError> {
    let Some(state_data::Type::Bytes(package)) = StateData::decode(field)?.r#type else {
        return Ok(BTreeMap::new());
    };
    let lives = CollectionConfigPackage::decode(package)?.config.into_iter().filter_map(|config| {
        let collection_config::Payload::StaticCollectionConfig(collection) = config.payload?;
        (collection.block_to_live > 0).then_some((collection.name, collection.block_to_live))
    });
    Ok(lives.collect())
}
