//! Who may have the data of a collection.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message;
use selvedge_identity::msp::Principal;
use selvedge_identity::policy::SignaturePolicy;
use selvedge_identity::{ChannelConfig, Identity};
use selvedge_ledger::Snapshot;
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::msp::SerializedIdentity;
use selvedge_proto::protos::{StaticCollectionConfig, collection_policy_config};

use crate::lifecycle;

/// The collections of a channel by a state and a configuration, as the peers of one organisation see them.
pub(super) struct Collections<'a> {
    snapshot: &'a dyn Snapshot,
    config: &'a ChannelConfig,
    own_msp_id: &'a str,
    known: HashMap<(String, String), Option<StaticCollectionConfig>>,
}

impl<'a> Collections<'a> {
    pub(super) fn new(snapshot: &'a dyn Snapshot, config: &'a ChannelConfig, own_msp_id: &'a str) -> Self {
        Self { snapshot, config, own_msp_id, known: HashMap::new() }
    }

    /// The settings of a collection; one whose settings cannot be read counts as none.
    pub(super) fn get(&mut self, namespace: &str, collection: &str) -> Option<&StaticCollectionConfig> {
        let Self { snapshot, config, own_msp_id, known } = self;
        let key = (namespace.to_owned(), collection.to_owned());
        known
            .entry(key)
            .or_insert_with(|| {
                let found =
                    lifecycle::collection_config(*snapshot, config, own_msp_id, namespace, collection);
                found.unwrap_or_else(|error| {
                    tracing::warn!(namespace, collection, %error, "a collection's settings cannot be read");
                    None
                })
            })
            .as_ref()
    }

    /// Whether the organisation is a member of a collection, so that its peers should have the data.
    pub(super) fn is_member(&mut self, namespace: &str, collection: &str) -> bool {
        let own_msp_id = self.own_msp_id;
        self.get(namespace, collection).is_some_and(|found| names(found, own_msp_id))
    }

    /// Whether somebody may have the data of a collection.
    pub(super) fn admits(&mut self, namespace: &str, collection: &str, identity: &Arc<Identity>) -> bool {
        let config = self.config;
        self.get(namespace, collection).is_some_and(|found| admits(config, found, identity))
    }
}

/// Whether an identity satisfies a collection's `member_orgs_policy`.
pub(super) fn admits(
    config: &ChannelConfig,
    collection: &StaticCollectionConfig,
    identity: &Arc<Identity>,
) -> bool {
    members(collection).is_some_and(|members| {
        let policy = config.signature_policy(members);
        policy.and_then(|policy| policy.evaluate_identities(std::slice::from_ref(identity))).is_ok()
    })
}

/// Whether a collection's members include an organisation.
pub(super) fn names(collection: &StaticCollectionConfig, msp_id: &str) -> bool {
    let Some(Ok(policy)) = members(collection).map(SignaturePolicy::compile) else { return false };
    policy.principals().iter().any(|principal| match principal {
        Principal::Role { msp_id: named, .. } | Principal::OrganizationalUnit { msp_id: named, .. } => {
            named == msp_id
        }
        Principal::Identity(identity) => {
            SerializedIdentity::decode(identity.clone()).is_ok_and(|named| named.mspid == msp_id)
        }
        _ => false,
    })
}

fn members(collection: &StaticCollectionConfig) -> Option<&SignaturePolicyEnvelope> {
    let collection_policy_config::Payload::SignaturePolicy(members) =
        collection.member_orgs_policy.as_ref()?.payload.as_ref()?;
    Some(members)
}
