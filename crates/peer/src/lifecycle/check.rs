//! Which definitions can be approved and committed at all.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_identity::policy::SignaturePolicy;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::common::msp_principal::Classification;
use selvedge_proto::common::signature_policy::Type;
use selvedge_proto::common::{MspPrincipal, MspRole, OrganizationUnit, SignaturePolicy as Rule};
use selvedge_proto::protos::{
    CollectionConfigPackage, StaticCollectionConfig, collection_config, collection_policy_config,
};

use super::collections::{explicit_collections, read_legacy};
use super::definition::{self, Definition};
use super::error::{DefinitionError, LifecycleError};
use super::state::Public;

const SYSTEM_CHAINCODES: [&str; 5] = ["cscc", "escc", "lscc", "qscc", "vscc"];

/// Checks a definition by itself, against the channel's organisations, and against what is committed.
pub(super) fn check_definition(
    definition: &Definition,
    config: Option<&ChannelConfig>,
    simulator: Option<&mut Simulator>,
) -> Result<(), DefinitionError> {
    check_names(&definition.name, &definition.version)?;
    let collections = all_static(&definition.collections)?;
    let (Some(config), Some(simulator)) = (config, simulator) else { return Err(DefinitionError::NoChannel) };
    let mut names = BTreeSet::new();
    for collection in &collections {
        if !is_collection_name(&collection.name) {
            return Err(DefinitionError::CollectionName(collection.name.clone()));
        }
        if !names.insert(&collection.name) {
            return Err(DefinitionError::DuplicateCollection(collection.name.clone()));
        }
        check_collection(collection, config)?;
    }
    let committed = committed_collections(&definition.name, simulator).map_err(|source| {
        DefinitionError::Committed { name: definition.name.clone(), source: Box::new(source) }
    })?;
    check_kept(&collections, &committed)
}

fn check_names(name: &str, version: &str) -> Result<(), DefinitionError> {
    if !is_chaincode_name(name) {
        return Err(DefinitionError::Name(name.to_owned()));
    }
    if SYSTEM_CHAINCODES.contains(&name) {
        return Err(DefinitionError::SystemChaincode(name.to_owned()));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte);
    if version.is_empty() || !version.bytes().all(fits) {
        return Err(DefinitionError::Version(version.to_owned()));
    }
    Ok(())
}

/// Words of letters and digits, with one hyphen or underscore between them.
fn is_chaincode_name(name: &str) -> bool {
    name.split(['-', '_'])
        .all(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

fn is_collection_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && !name.starts_with('_') && name.bytes().all(fits)
}

fn all_static(package: &CollectionConfigPackage) -> Result<Vec<&StaticCollectionConfig>, DefinitionError> {
    let collections = package.config.iter().map(|config| match &config.payload {
        Some(collection_config::Payload::StaticCollectionConfig(collection)) => Ok(collection),
        None => Err(DefinitionError::EmptyCollection),
    });
    collections.collect()
}

fn check_collection(
    collection: &StaticCollectionConfig,
    config: &ChannelConfig,
) -> Result<(), DefinitionError> {
    let name = || collection.name.clone();
    let (required, maximum) = (collection.required_peer_count, collection.maximum_peer_count);
    if maximum < required {
        return Err(DefinitionError::PeerCounts { collection: name(), maximum, required });
    }
    if required < 0 {
        return Err(DefinitionError::NegativePeerCount { collection: name(), required });
    }
    let members = collection.member_orgs_policy.as_ref().ok_or_else(|| DefinitionError::NoMembers(name()))?;
    let Some(collection_policy_config::Payload::SignaturePolicy(policy)) = &members.payload else {
        return Err(DefinitionError::EmptyMembers(name()));
    };
    // Fabric does not look at the version of this policy.
    let mut compiled = policy.clone();
    compiled.version = 0;
    SignaturePolicy::compile(&compiled)
        .map_err(|source| DefinitionError::Members { collection: name(), source })?;
    if let Some(n) = policy.rule.as_ref().and_then(first_threshold_above_one) {
        return Err(DefinitionError::NotAnyOf { collection: name(), n });
    }
    policy.identities.iter().try_for_each(|principal| check_member(&collection.name, principal, config))
}

/// The threshold of the first rule that is not satisfied by any one of its parts. The policy has been compiled, which
/// bounds its depth.
fn first_threshold_above_one(rule: &Rule) -> Option<i32> {
    match &rule.r#type {
        Some(Type::NOutOf(threshold)) if threshold.n != 1 => Some(threshold.n),
        Some(Type::NOutOf(threshold)) => threshold.rules.iter().find_map(first_threshold_above_one),
        Some(Type::SignedBy(_)) | None => None,
    }
}

fn check_member(
    collection: &str,
    principal: &MspPrincipal,
    config: &ChannelConfig,
) -> Result<(), DefinitionError> {
    let undecodable = |kind| {
        move |error: prost::DecodeError| DefinitionError::Principal {
            collection: collection.to_owned(),
            kind,
            reason: error.to_string(),
        }
    };
    let bytes = principal.principal.clone();
    let msp_id = match Classification::try_from(principal.principal_classification) {
        Ok(Classification::Role) => MspRole::decode(bytes).map_err(undecodable("MSPRole"))?.msp_identifier,
        Ok(Classification::OrganizationUnit) => {
            OrganizationUnit::decode(bytes).map_err(undecodable("OrganizationUnit"))?.msp_identifier
        }
        Ok(Classification::Identity) => {
            let known = config.msps().deserialize(&bytes).is_ok();
            let stranger = || DefinitionError::StrangeIdentity(collection.to_owned());
            return known.then_some(()).ok_or_else(stranger);
        }
        other => {
            let number = principal.principal_classification;
            let kind = other.map_or_else(|_| number.to_string(), |kind| kind.as_str_name().to_owned());
            return Err(DefinitionError::PrincipalKind { collection: collection.to_owned(), kind });
        }
    };
    match config.msps().msp(&msp_id) {
        Some(_) => Ok(()),
        None => Err(DefinitionError::Stranger { collection: collection.to_owned(), msp_id }),
    }
}

/// The explicit collections of what is committed under a name.
fn committed_collections(
    name: &str,
    simulator: &mut Simulator,
) -> Result<CollectionConfigPackage, LifecycleError> {
    match definition::defined(name, &mut Public(simulator))? {
        Some(committed) => Ok(committed.collections),
        None => Ok(read_legacy(simulator, name)?.unwrap_or_default()),
    }
}

/// Collections can be added, but neither removed nor made to keep their data for another time.
fn check_kept(
    proposed: &[&StaticCollectionConfig],
    committed: &CollectionConfigPackage,
) -> Result<(), DefinitionError> {
    if committed.config.is_empty() {
        return Ok(());
    }
    if proposed.is_empty() {
        return Err(DefinitionError::CollectionsDropped);
    }
    if explicit_collections(committed).count() < committed.config.len() {
        return Err(DefinitionError::CommittedCollection);
    }
    let proposed: BTreeMap<_, _> =
        proposed.iter().map(|collection| (collection.name.as_str(), *collection)).collect();
    for collection in explicit_collections(committed) {
        let kept = proposed
            .get(collection.name.as_str())
            .ok_or_else(|| DefinitionError::CollectionDropped(collection.name.clone()))?;
        if kept.block_to_live != collection.block_to_live {
            return Err(DefinitionError::BlockToLive {
                collection: collection.name.clone(),
                committed: collection.block_to_live,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{is_chaincode_name, is_collection_name};

    #[test]
    fn names_are_those_that_fabric_accepts() {
        for name in ["a", "A9", "a-b", "a_b-c", "0"] {
            assert!(is_chaincode_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a--b", "a_-b", "_a", "a.b", "ä", "a b", "a\n"] {
            assert!(!is_chaincode_name(name), "{name:?}");
        }
        for name in ["a", "-", "a_", "-_-", "a-b"] {
            assert!(is_collection_name(name), "{name}");
        }
        for name in ["", "_", "_a", "a.b", "ä", "a b", "a\n"] {
            assert!(!is_collection_name(name), "{name:?}");
        }
    }
}
