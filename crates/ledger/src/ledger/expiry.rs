//! Block to live: private values and their hashes go some blocks after they were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::protos::{CollectionConfigPackage, collection_config};

use crate::state::Expiry;
use crate::{Error, Snapshot, Space, Update, Updates};

const LIFECYCLE: &str = "_lifecycle";

/// What of a block's private values goes, and when: a collection with a block to live of n drops what block b
/// wrote once block b + n + 1 is committed.
///
/// The collections are those of the chaincode definitions before the block; a definition cannot change the block
/// to live of a collection. Implicit collections keep everything.
pub(super) fn of(snapshot: &dyn Snapshot, block: u64, updates: &Updates) -> Result<Vec<Expiry>, Error> {
    let mut lives: BTreeMap<Arc<str>, BTreeMap<String, u64>> = BTreeMap::new();
    let mut expiries = Vec::new();
    for (space, keys) in updates.spaces() {
        let Some(collection) = space.collection() else { continue };
        let namespace = space.namespace();
        if !lives.contains_key(namespace) {
            lives.insert(Arc::clone(namespace), blocks_to_live(snapshot, namespace)?);
        }
        let Some(life) = lives.get(namespace).and_then(|lives| lives.get(&**collection)) else { continue };
        // A block that far away never comes.
        let Some(at) = block.checked_add(*life).and_then(|at| at.checked_add(1)) else { continue };
        expiries.extend(keys.iter().filter_map(|(key, update)| match update {
            Update::Put(stored) => {
                let version = stored.version;
                Some(Expiry { block: at, space: space.clone(), key: key.clone(), version })
            }
            Update::Delete { .. } => None,
        }));
    }
    Ok(expiries)
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
