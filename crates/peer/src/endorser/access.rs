//! Who may use what: the access rules of a channel, and those of the peer's own organisation.

use std::sync::Arc;

use selvedge_identity::channel::Access;
use selvedge_identity::policy::role_principal;
use selvedge_identity::{ChannelConfig, Identity, IdentityError, Msp, PolicyError, SignedData};
use selvedge_proto::common::msp_role::MspRoleType;

/// Why access is denied. The texts are Fabric's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// This peer has not joined the channel.
    #[error("Failed to get policy manager for channel [{0}]")]
    UnknownChannel(String),
    /// Nothing guards the resource.
    #[error("Unmapped policy for {0}")]
    NoPolicy(String),
    /// The signers do not satisfy the policy.
    #[error(
        "Failed evaluating policy on signed data during check policy on channel [{channel}] with policy [{policy}]: \
         [{reason}]"
    )]
    Denied {
        /// The channel.
        channel: String,
        /// The path of the policy.
        policy: String,
        /// What is missing.
        reason: PolicyError,
    },
    /// The creator is not of the peer's organisation.
    #[error(
        "Failed deserializing proposal creator during channelless check policy with policy [{policy}]: [{reason}]"
    )]
    Stranger {
        /// `Admins` or `Members`.
        policy: &'static str,
        /// Why the peer's MSP does not know the creator.
        reason: IdentityError,
    },
    /// The creator has another role in the peer's organisation.
    #[error(
        "Failed verifying that proposal's creator satisfies local MSP principal during channelless check policy with \
         policy [{policy}]: [{reason}]"
    )]
    Role {
        /// `Admins` or `Members`.
        policy: &'static str,
        /// What is missing.
        reason: IdentityError,
    },
    /// A policy of a channel guards the resource, but there is no channel.
    #[error(
        "Failed getting local MSP principal during channelless check policy with policy [{0}]: \
         [MSP Principal role [{0}] not recognized]"
    )]
    NeedsChannel(String),
}

/// Checks that identities whose signatures were checked may use a resource of a channel, such as `peer/Propose`.
///
/// # Errors
/// When the policy that guards it is not satisfied, or there is none.
pub fn check_access(
    config: &ChannelConfig,
    resource: &str,
    identities: &[Arc<Identity>],
) -> Result<(), AccessError> {
    let policy = config.acl(resource).ok_or_else(|| AccessError::NoPolicy(resource.to_owned()))?;
    config
        .policy(&policy)
        .and_then(|compiled| compiled.evaluate_identities(identities))
        .map_err(|reason| AccessError::Denied { channel: config.channel_id().to_owned(), policy, reason })
}

/// Checks that whoever signed something may use a resource of a channel. A signature that does not hold is none.
///
/// # Errors
/// As [`check_access`].
pub(crate) fn check_signed(
    config: &ChannelConfig,
    resource: &str,
    by: &SignedData,
) -> Result<(), AccessError> {
    let policy = config.acl(resource).ok_or_else(|| AccessError::NoPolicy(resource.to_owned()))?;
    config
        .policy(&policy)
        .and_then(|compiled| compiled.evaluate(std::slice::from_ref(by)))
        .map_err(|reason| AccessError::Denied { channel: config.channel_id().to_owned(), policy, reason })
}

/// Checks that a creator whose signature was checked may use a resource, whether a channel or the peer's own
/// organisation guards it.
pub(super) fn check_any_access(
    local_msp: &Msp,
    config: Option<&ChannelConfig>,
    resource: &str,
    creator: &Arc<Identity>,
) -> Result<(), AccessError> {
    match access(config, resource)? {
        Access::LocalAdmins => check_role(local_msp, "Admins", MspRoleType::Admin, creator),
        Access::LocalMembers => check_role(local_msp, "Members", MspRoleType::Member, creator),
        Access::Policy(policy) => match config {
            Some(config) => check_access(config, resource, std::slice::from_ref(creator)),
            None => Err(AccessError::NeedsChannel(policy)),
        },
        // What kind of rule this is nobody knows, so it lets nobody pass.
        _ => Err(AccessError::NoPolicy(resource.to_owned())),
    }
}

/// The rule of a resource. Outside any channel a function that works on a channel keeps its rule.
fn access(config: Option<&ChannelConfig>, resource: &str) -> Result<Access, AccessError> {
    let access = config.map_or_else(|| Access::by_default(resource), |config| config.access(resource));
    access.ok_or_else(|| AccessError::NoPolicy(resource.to_owned()))
}

fn check_role(
    local_msp: &Msp,
    policy: &'static str,
    role: MspRoleType,
    creator: &Identity,
) -> Result<(), AccessError> {
    let member = local_msp
        .deserialize(creator.serialized())
        .map_err(|reason| AccessError::Stranger { policy, reason })?;
    local_msp
        .satisfies(&member, &role_principal(local_msp.id(), role))
        .map_err(|reason| AccessError::Role { policy, reason })
}
