//! The collections of a chaincode: those of its definition, and the implicit one of every organisation.

use std::collections::BTreeSet;

use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_identity::policy::{role_principal, signed_by_any_role};
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::protos::{
    CollectionConfigPackage, CollectionPolicyConfig, StaticCollectionConfig, collection_config,
    collection_policy_config,
};

use super::definition;
use super::error::LifecycleError;
use super::state::{Committed, Public};
use super::{LEGACY_NAMESPACE, NAMESPACE};

const IMPLICIT_PREFIX: &str = "_implicit_org_";

/// How many peers of its own organisation a peer sends data of the organisation's implicit collection to, at most.
/// It is the default of Fabric's `implicitCollectionDisseminationPolicy`; the fewest is 0.
const IMPLICIT_MAXIMUM_PEER_COUNT: i32 = 1;

/// The implicit collection of an organisation.
pub fn implicit_collection_name(msp_id: &str) -> String {
    format!("{IMPLICIT_PREFIX}{msp_id}")
}

/// The MSP id of the organisation whose implicit collection this is, if it is one.
pub fn implicit_collection_org(collection: &str) -> Option<&str> {
    collection.strip_prefix(IMPLICIT_PREFIX)
}

/// The settings of an organisation's implicit collection: its members are the organisation's, its data lives for
/// ever, anybody may read and write, and it goes only to peers of the organisation.
pub fn implicit_collection(msp_id: &str, own_msp_id: &str) -> StaticCollectionConfig {
    let members = signed_by_any_role(vec![role_principal(msp_id, MspRoleType::Member)]);
    StaticCollectionConfig {
        name: implicit_collection_name(msp_id),
        member_orgs_policy: Some(CollectionPolicyConfig {
            payload: Some(collection_policy_config::Payload::SignaturePolicy(members)),
        }),
        maximum_peer_count: if msp_id == own_msp_id { IMPLICIT_MAXIMUM_PEER_COUNT } else { 0 },
        ..StaticCollectionConfig::default()
    }
}

/// The explicit collections of a package.
pub fn explicit_collections(
    package: &CollectionConfigPackage,
) -> impl Iterator<Item = &StaticCollectionConfig> {
    package.config.iter().filter_map(|config| {
        let collection_config::Payload::StaticCollectionConfig(collection) = config.payload.as_ref()?;
        Some(collection)
    })
}

/// The collections that one chaincode has on a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Collections {
    explicit: CollectionConfigPackage,
    own_msp_id: String,
    organisations: Vec<String>,
}

impl Collections {
    fn new(explicit: CollectionConfigPackage, config: &ChannelConfig, own_msp_id: &str) -> Self {
        let organisations = config.orgs().iter().map(|org| org.msp_id.clone()).collect();
        Self { explicit, own_msp_id: own_msp_id.to_owned(), organisations }
    }

    /// The settings of a collection. As in Fabric, implicit collections of organisations that are not in the channel
    /// have settings too; it is the simulator that refuses them.
    pub fn get(&self, collection: &str) -> Option<StaticCollectionConfig> {
        match implicit_collection_org(collection) {
            Some(msp_id) => Some(implicit_collection(msp_id, &self.own_msp_id)),
            None => explicit_collections(&self.explicit).find(|known| known.name == collection).cloned(),
        }
    }

    /// The names of the explicit collections and of the implicit ones of the channel's organisations.
    pub fn names(&self) -> BTreeSet<String> {
        let explicit = explicit_collections(&self.explicit).map(|collection| collection.name.clone());
        explicit.chain(self.organisations.iter().map(|msp_id| implicit_collection_name(msp_id))).collect()
    }
}

/// The settings of a collection by committed state, the implicit ones included. `None` if the channel has no such
/// chaincode or the chaincode no such collection.
///
/// # Errors
/// When the definition cannot be read.
pub fn collection_config(
    snapshot: &dyn Snapshot,
    config: &ChannelConfig,
    own_msp_id: &str,
    namespace: &str,
    collection: &str,
) -> Result<Option<StaticCollectionConfig>, LifecycleError> {
    let explicit = if namespace == NAMESPACE {
        CollectionConfigPackage::default()
    } else {
        match definition::defined(namespace, &mut Committed(snapshot))? {
            Some(definition) => definition.collections,
            None => return Ok(None),
        }
    };
    Ok(Collections::new(explicit, config, own_msp_id).get(collection))
}

/// The collections of a chaincode for a transaction that is about to touch private data of it. Reads what Fabric's
/// peer reads then (the whole definition, not only its sequence), and tells the simulator which collections exist.
/// It is enough to call it once for each namespace and transaction.
///
/// # Errors
/// When the definition cannot be read.
pub fn read_collections(
    simulator: &mut Simulator,
    config: &ChannelConfig,
    own_msp_id: &str,
    namespace: &str,
) -> Result<Option<Collections>, LifecycleError> {
    let explicit = if namespace == NAMESPACE {
        CollectionConfigPackage::default()
    } else {
        match definition::defined(namespace, &mut Public(simulator))? {
            Some(definition) => definition.collections,
            None => return Ok(None),
        }
    };
    let collections = Collections::new(explicit, config, own_msp_id);
    simulator.define_collections(namespace, collections.names());
    Ok(Some(collections))
}

/// The collections of a chaincode of the lifecycle before 2.0. Fabric's peer looks there for whatever `_lifecycle` does
/// not define, which adds a read.
pub(super) fn read_legacy(
    simulator: &mut Simulator,
    name: &str,
) -> Result<Option<CollectionConfigPackage>, LifecycleError> {
    let mut get = |key: &str| {
        simulator
            .get(LEGACY_NAMESPACE, key)
            .map_err(LifecycleError::reading(|| format!("could not get state for key {key}")))
    };
    if get(name)?.is_none() {
        return Ok(None);
    }
    let Some(collections) = get(&format!("{name}~collection"))? else { return Ok(None) };
    let collections =
        CollectionConfigPackage::decode(collections).map_err(|error| LifecycleError::Malformed {
            what: format!("error unmarshalling the collections of chaincode {name}"),
            reason: error.to_string(),
        })?;
    Ok(Some(collections))
}
