//! Which policies guard a namespace, by the definitions in the state before the block.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::policy::{ChannelPolicy, PolicyError};
use selvedge_identity::{ChannelConfig, Identity};
use selvedge_ledger::{Error, Snapshot};
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::protos::{ApplicationPolicy, application_policy};

use crate::lifecycle::{self, LifecycleError, ValidationInfo};

/// Fabric's own validation plugin, the only one there is.
const PLUGIN: &str = "vscc";

/// The policies of a block's namespaces, each read and compiled once.
pub(super) struct Definitions<'a> {
    config: &'a ChannelConfig,
    snapshot: &'a dyn Snapshot,
    namespaces: HashMap<String, Option<Arc<ValidationInfo>>>,
    /// By the marshalled `ApplicationPolicy`.
    compiled: HashMap<Bytes, Result<ChannelPolicy, PolicyError>>,
}

impl<'a> Definitions<'a> {
    pub(super) fn new(config: &'a ChannelConfig, snapshot: &'a dyn Snapshot) -> Self {
        Self { config, snapshot, namespaces: HashMap::new(), compiled: HashMap::new() }
    }

    /// How writes to a namespace are validated; `None` if nothing may be written there.
    pub(super) fn namespace(&mut self, name: &str) -> Result<Option<Arc<ValidationInfo>>, Error> {
        if let Some(known) = self.namespaces.get(name) {
            return Ok(known.clone());
        }
        let read = self.read(name)?.filter(|info| info.plugin == PLUGIN).map(Arc::new);
        self.namespaces.insert(name.to_owned(), read.clone());
        Ok(read)
    }

    /// Whether the endorsers satisfy a marshalled `ApplicationPolicy`. One that is unusable is satisfied by nobody.
    pub(super) fn satisfied(&mut self, policy: &Bytes, endorsers: &[Arc<Identity>]) -> bool {
        let config = self.config;
        let compiled =
            self.compiled.entry(policy.clone()).or_insert_with(|| config.application_policy(policy.clone()));
        let evaluated = compiled.as_ref().map_err(Clone::clone);
        match evaluated.and_then(|policy| policy.evaluate_identities(endorsers)) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "an endorsement policy is not satisfied");
                false
            }
        }
    }

    /// Like [`Definitions::satisfied`], for the policy of a collection.
    pub(super) fn collection_satisfied(
        &mut self,
        namespace: &ValidationInfo,
        collection: &str,
        endorsers: &[Arc<Identity>],
    ) -> bool {
        match namespace.collection_policy(self.config, collection) {
            Ok(policy) => self.satisfied(&policy, endorsers),
            Err(error) => {
                tracing::debug!(%error, "a collection has no endorsement policy");
                false
            }
        }
    }

    fn read(&self, name: &str) -> Result<Option<ValidationInfo>, Error> {
        match lifecycle::validation_info(self.snapshot, self.config, name) {
            Ok(info) => Ok(info),
            Err(error) if is_of_the_store(&error) => Err(Error::store("read a chaincode definition", error)),
            Err(error) => {
                tracing::warn!(namespace = name, %error, "the chaincode's definition cannot be used");
                Ok(None)
            }
        }
    }
}

/// A signature policy as the validation parameter of a chaincode would hold it.
pub(super) fn application_policy(policy: SignaturePolicyEnvelope) -> Bytes {
    let policy = application_policy::Type::SignaturePolicy(policy);
    ApplicationPolicy { r#type: Some(policy) }.encode_to_vec().into()
}

/// Whether reading failed, and not just what was read is useless.
fn is_of_the_store(error: &LifecycleError) -> bool {
    match error {
        LifecycleError::State { .. } => true,
        LifecycleError::During { source, .. } => is_of_the_store(source),
        _ => false,
    }
}
