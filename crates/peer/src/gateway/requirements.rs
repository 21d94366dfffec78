//! What the endorsements of a transaction have to satisfy.

use std::collections::BTreeSet;

use selvedge_identity::policy::ChannelPolicy;
use selvedge_identity::{ChannelConfig, PolicyError};
use selvedge_ledger::Snapshot;
use selvedge_proto::protos::{ChaincodeCall, ChaincodeInterest, collection_policy_config};

use crate::channel::Channel;
use crate::endorser::is_system_chaincode;
use crate::lifecycle::{self, LifecycleError, ValidationInfo};

/// The policies that concern a transaction.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// The endorsers together have to satisfy each of these.
    pub(super) endorsement: Vec<ChannelPolicy>,
    /// Every single endorser has to satisfy each of these, since it reads private data.
    pub(super) membership: Vec<ChannelPolicy>,
    /// The chaincodes that every endorser has to run.
    pub(super) chaincodes: BTreeSet<String>,
}

/// Why the policies of a transaction cannot be found.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequirementsError {
    #[error("No metadata was found for chaincode {chaincode} in channel {channel}")]
    Undefined { chaincode: String, channel: String },
    #[error("policy not found: {0}")]
    Policy(String),
    #[error(transparent)]
    Ledger(#[from] LifecycleError),
}

impl From<PolicyError> for RequirementsError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error.to_string())
    }
}

/// Whether the channel has a chaincode of that name.
pub(super) fn is_defined(channel: &Channel, chaincode: &str) -> bool {
    if is_system_chaincode(chaincode) {
        return true;
    }
    lifecycle::committed(channel.ledger().snapshot().as_ref(), chaincode).is_ok_and(|found| found.is_some())
}

impl Requirements {
    /// The policies for the chaincodes and collections that a simulation touched.
    pub(super) fn of(channel: &Channel, interest: &ChaincodeInterest) -> Result<Self, RequirementsError> {
        let (config, snapshot) = (channel.config(), channel.ledger().snapshot());
        let mut requirements = Self::default();
        for call in &interest.chaincodes {
            requirements.add(&config, snapshot.as_ref(), call)?;
        }
        Ok(requirements)
    }

    fn add(
        &mut self,
        config: &ChannelConfig,
        snapshot: &dyn Snapshot,
        call: &ChaincodeCall,
    ) -> Result<(), RequirementsError> {
        let info = lifecycle::validation_info(snapshot, config, &call.name)?;
        let info = info.ok_or_else(|| RequirementsError::Undefined {
            chaincode: call.name.clone(),
            channel: config.channel_id().to_owned(),
        })?;
        self.chaincodes.insert(call.name.clone());
        if call.collection_names.is_empty() && !call.disregard_namespace_policy {
            self.endorsement.push(config.application_policy(info.policy.clone())?);
        }
        for collection in &call.collection_names {
            self.add_collection(config, snapshot, call, &info, collection)?;
        }
        for policy in &call.key_policies {
            self.endorsement.push(config.signature_policy(policy)?);
        }
        Ok(())
    }

    fn add_collection(
        &mut self,
        config: &ChannelConfig,
        snapshot: &dyn Snapshot,
        call: &ChaincodeCall,
        info: &ValidationInfo,
        collection: &str,
    ) -> Result<(), RequirementsError> {
        let not_found =
            |error: lifecycle::CollectionPolicyError| RequirementsError::Policy(error.to_string());
        let policy = info.collection_policy(config, collection).map_err(not_found)?;
        self.endorsement.push(config.application_policy(policy)?);
        if call.no_private_reads {
            return Ok(());
        }
        // Whose collection it is matters only for how far its data spread, which is not asked here.
        let settings = lifecycle::collection_config(snapshot, config, "", &call.name, collection)?;
        let members =
            settings.and_then(|settings| settings.member_orgs_policy).and_then(|policy| policy.payload);
        let Some(collection_policy_config::Payload::SignaturePolicy(members)) = members else {
            return Err(RequirementsError::Policy(format!("collection {collection} has no members")));
        };
        self.membership.push(config.signature_policy(&members)?);
        Ok(())
    }
}
