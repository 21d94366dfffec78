//! What the validator has to know about a namespace.

use bytes::Bytes;
use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_identity::policy::{envelope_of, n_out_of, role_principal, signed_by, signed_by_any_role};
use selvedge_ledger::Snapshot;
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::protos::{ApplicationPolicy, CollectionConfigPackage, application_policy};

use super::collections::{explicit_collections, implicit_collection_org};
use super::commit::policy_reference;
use super::definition::{Definition, committed};
use super::error::LifecycleError;
use super::{DEFAULT_VALIDATION_PLUGIN, LIFECYCLE_ENDORSEMENT_POLICY, NAMESPACE};

/// How writes to a namespace are validated.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidationInfo {
    /// The validation plugin; `vscc` is Fabric's only one.
    pub plugin: String,
    /// The plugin's parameter; for `vscc` a marshalled `protos.ApplicationPolicy`, the chaincode's endorsement policy.
    /// It is what was committed, which may be anything.
    pub policy: Bytes,
    collections: CollectionConfigPackage,
}

/// Why a collection has no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectionPolicyError {
    /// The chaincode has no such collection.
    #[error("no such collection '{0}'")]
    NoCollection(String),
    /// It is the implicit collection of an organisation that is not in the channel.
    #[error("no org found in channel with MSPID '{0}'")]
    NoOrganisation(String),
}

impl ValidationInfo {
    /// How a chaincode is validated by its definition.
    pub fn of(definition: &Definition) -> Self {
        Self {
            plugin: definition.validation_plugin.clone(),
            policy: definition.validation_parameter.clone(),
            collections: definition.collections.clone(),
        }
    }

    /// How `_lifecycle` itself is validated: by the channel's policy for it, else by a member of each of most
    /// organisations.
    pub fn of_lifecycle(config: &ChannelConfig) -> Self {
        let policy = if config.policy(LIFECYCLE_ENDORSEMENT_POLICY).is_ok() {
            policy_reference(LIFECYCLE_ENDORSEMENT_POLICY)
        } else {
            signature_policy(majority(config))
        };
        let collections = CollectionConfigPackage::default();
        Self { plugin: DEFAULT_VALIDATION_PLUGIN.to_owned(), policy, collections }
    }

    /// The endorsement policy of a collection as a marshalled `protos.ApplicationPolicy`: its own one, else the
    /// chaincode's. Writes to an organisation's implicit collection need the organisation alone, by its policy
    /// `Endorsement` if it has one, else by any of its members.
    ///
    /// # Errors
    /// When there is no such collection; a transaction that writes to it is invalid.
    pub fn collection_policy(
        &self,
        config: &ChannelConfig,
        collection: &str,
    ) -> Result<Bytes, CollectionPolicyError> {
        if let Some(msp_id) = implicit_collection_org(collection) {
            return implicit_policy(config, msp_id);
        }
        let known = explicit_collections(&self.collections)
            .find(|known| known.name == collection)
            .ok_or_else(|| CollectionPolicyError::NoCollection(collection.to_owned()))?;
        Ok(match &known.endorsement_policy {
            Some(policy) => policy.encode_to_vec().into(),
            None => self.policy.clone(),
        })
    }
}

/// How writes to a namespace are validated by committed state. `None` if the channel has no such chaincode; a
/// transaction that writes to it is invalid.
///
/// # Errors
/// When the state cannot be read, or what is stored under the name is no chaincode definition. The block cannot be
/// judged then.
pub fn validation_info(
    snapshot: &dyn Snapshot,
    config: &ChannelConfig,
    name: &str,
) -> Result<Option<ValidationInfo>, LifecycleError> {
    if name == NAMESPACE {
        return Ok(Some(ValidationInfo::of_lifecycle(config)));
    }
    Ok(committed(snapshot, name)?.as_ref().map(ValidationInfo::of))
}

fn implicit_policy(config: &ChannelConfig, msp_id: &str) -> Result<Bytes, CollectionPolicyError> {
    let org =
        config.org_of_msp(msp_id).ok_or_else(|| CollectionPolicyError::NoOrganisation(msp_id.to_owned()))?;
    let path = format!("/Channel/Application/{}/Endorsement", org.name);
    if config.policy(&path).is_ok() {
        return Ok(policy_reference(&path));
    }
    Ok(signature_policy(signed_by_any_role(vec![role_principal(msp_id, MspRoleType::Member)])))
}

fn majority(config: &ChannelConfig) -> SignaturePolicyEnvelope {
    let mut msp_ids: Vec<&str> = config.orgs().iter().map(|org| org.msp_id.as_str()).collect();
    msp_ids.sort_unstable();
    let needed = i32::try_from(msp_ids.len() / 2 + 1).unwrap_or(i32::MAX);
    let rules = (0..).take(msp_ids.len()).map(signed_by).collect();
    let members = msp_ids.into_iter().map(|msp_id| role_principal(msp_id, MspRoleType::Member)).collect();
    envelope_of(n_out_of(needed, rules), members)
}

fn signature_policy(envelope: SignaturePolicyEnvelope) -> Bytes {
    let policy = application_policy::Type::SignaturePolicy(envelope);
    ApplicationPolicy { r#type: Some(policy) }.encode_to_vec().into()
}
