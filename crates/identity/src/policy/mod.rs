//! Policies: rules over the signers of a message.

pub mod dsl;
mod error;
mod implicit;
mod manager;
mod signature;
mod signed_data;

use std::sync::Arc;

use selvedge_proto::common::Policy as PolicyMessage;
use selvedge_proto::common::policy::PolicyType;

use crate::msp::{Identity, MspManager};

pub use error::PolicyError;
pub use implicit::ImplicitMetaPolicy;
pub use manager::PolicyManager;
pub use signature::{
    SignaturePolicy, envelope_of, n_out_of, role_principal, signed_by, signed_by_any_role,
    signed_by_each_role,
};
pub use signed_data::{SignedData, valid_identities};

/// A compiled policy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Policy {
    /// A rule over principals.
    Signature(SignaturePolicy),
    /// A rule over the policies of one name in the groups below.
    ImplicitMeta(ImplicitMetaPolicy),
}

impl Policy {
    /// Compiles a policy that refers to no other, which excludes implicit meta policies.
    pub(crate) fn compile_signature(policy: &PolicyMessage) -> Result<Self, PolicyError> {
        match PolicyType::try_from(policy.r#type) {
            Ok(PolicyType::Signature) => SignaturePolicy::decode(policy.value.clone()).map(Self::Signature),
            _ => Err(PolicyError::UnknownType(policy.r#type)),
        }
    }

    /// Whether signatures over the given data satisfy the policy. Signatures that do not count (unreadable
    /// identity, wrong signature, a second one by the same identity) are ignored, not refused.
    pub fn evaluate(&self, msps: &MspManager, signed: &[SignedData]) -> Result<(), PolicyError> {
        self.evaluate_identities(&valid_identities(msps, signed))
    }

    /// Whether identities satisfy the policy whose signatures were checked already; each counts once, so they must
    /// be distinct.
    pub fn evaluate_identities(&self, identities: &[Arc<Identity>]) -> Result<(), PolicyError> {
        match self {
            Self::Signature(policy) => policy.evaluate_identities(identities),
            Self::ImplicitMeta(policy) => policy.evaluate_identities(identities),
        }
    }
}

/// A policy together with the MSPs of its channel.
#[derive(Clone, Debug)]
pub struct ChannelPolicy {
    policy: Arc<Policy>,
    msps: Arc<MspManager>,
}

impl ChannelPolicy {
    pub(crate) fn new(policy: Arc<Policy>, msps: Arc<MspManager>) -> Self {
        Self { policy, msps }
    }

    /// See [`Policy::evaluate`].
    pub fn evaluate(&self, signed: &[SignedData]) -> Result<(), PolicyError> {
        self.policy.evaluate(&self.msps, signed)
    }

    /// See [`Policy::evaluate_identities`]. An identity that another configuration's MSP vouched for, be it an older
    /// one of this channel or another channel's, counts only if this channel's MSP of that id does so too: an id alone
    /// says nothing, since every channel chooses its own.
    pub fn evaluate_identities(&self, identities: &[Arc<Identity>]) -> Result<(), PolicyError> {
        if identities.iter().all(|identity| self.msps.has_read(identity)) {
            return self.policy.evaluate_identities(identities);
        }
        let own = identities.iter().filter_map(|identity| self.msps.deserialize(identity.serialized()).ok());
        self.policy.evaluate_identities(&own.collect::<Vec<_>>())
    }

    /// The policy itself.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}
