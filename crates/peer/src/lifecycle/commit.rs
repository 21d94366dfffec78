//! `CheckCommitReadiness`, `CommitChaincodeDefinition` and what both have in common with approving.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::protos::{ApplicationPolicy, application_policy};

use super::approval;
use super::definition::{self, Definition};
use super::error::{Conflict, LifecycleError};
use super::layout::{self, NAMESPACES};
use super::state::Public;
use super::{DEFAULT_ENDORSEMENT_PLUGIN, DEFAULT_ENDORSEMENT_POLICY, DEFAULT_VALIDATION_PLUGIN};

/// Whether a definition is the next one of its name, and per organisation of the channel the fields in which its
/// approval differs.
pub(super) fn readiness(
    simulator: &mut Simulator,
    config: &ChannelConfig,
    definition: &mut Definition,
) -> Result<BTreeMap<String, Vec<&'static str>>, LifecycleError> {
    let committed = committed_sequence(simulator, &definition.name)?;
    let (requested, next) = (definition.sequence, committed.wrapping_add(1));
    if requested != next {
        return Err(Conflict::NotNext { requested, next }.into());
    }
    set_defaults(definition, config)?;
    approval::differences(simulator, definition, config.orgs().iter().map(|org| org.msp_id.as_str()))
}

/// Writes the definition, if this peer's organisation approved it. Whether enough organisations did is decided by
/// their endorsements when the transaction is validated.
pub(super) fn commit(
    simulator: &mut Simulator,
    config: &ChannelConfig,
    own_msp_id: &str,
    definition: &mut Definition,
) -> Result<(), LifecycleError> {
    if config.org_of_msp(own_msp_id).is_none() {
        return Err(LifecycleError::NotAMember);
    }
    let differences = readiness(simulator, config, definition)?;
    layout::store(NAMESPACES, &definition.name, definition, &mut Public(simulator))
        .map_err(LifecycleError::during(|| "could not serialize chaincode definition".to_owned()))?;
    match differences.get(own_msp_id) {
        Some(differences) if differences.is_empty() => Ok(()),
        _ => Err(LifecycleError::NotAgreed(own_msp_id.to_owned())),
    }
}

/// The committed sequence of a name; 0 if there is none.
pub(super) fn committed_sequence(simulator: &mut Simulator, name: &str) -> Result<i64, LifecycleError> {
    definition::sequence(name, &mut Public(simulator))
        .map_err(LifecycleError::during(|| "could not get current sequence".to_owned()))
}

/// Fills in what the definition leaves open.
pub(super) fn set_defaults(
    definition: &mut Definition,
    config: &ChannelConfig,
) -> Result<(), LifecycleError> {
    if definition.endorsement_plugin.is_empty() {
        DEFAULT_ENDORSEMENT_PLUGIN.clone_into(&mut definition.endorsement_plugin);
    }
    if definition.validation_plugin.is_empty() {
        DEFAULT_VALIDATION_PLUGIN.clone_into(&mut definition.validation_plugin);
    }
    if definition.validation_parameter.is_empty() {
        if config.policy(DEFAULT_ENDORSEMENT_POLICY).is_err() {
            return Err(LifecycleError::NoDefaultPolicy { channel: config.channel_id().to_owned() });
        }
        definition.validation_parameter = policy_reference(DEFAULT_ENDORSEMENT_POLICY);
    }
    Ok(())
}

/// A marshalled `protos.ApplicationPolicy` that refers to a policy of the channel.
pub(super) fn policy_reference(path: &str) -> Bytes {
    let reference = application_policy::Type::ChannelConfigPolicyReference(path.to_owned());
    ApplicationPolicy { r#type: Some(reference) }.encode_to_vec().into()
}
