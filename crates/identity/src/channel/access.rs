//! Access rules: which policy guards which operation of a peer.

use std::collections::BTreeMap;

use prost::Message;
use selvedge_proto::common::ConfigGroup;
use selvedge_proto::protos::AcLs;

use super::{ChannelError, malformed};
use DefaultAccess::{LocalAdmins, LocalMembers, Readers, Writers};

/// Who may use a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Whoever satisfies this policy of the channel.
    Policy(String),
    /// Administrators of the peer's own organization; a channel cannot change that.
    LocalAdmins,
    /// Members of the peer's own organization; a channel cannot change that.
    LocalMembers,
}

impl Access {
    /// Who may use a resource where no channel says otherwise.
    pub fn by_default(resource: &str) -> Option<Self> {
        resolve(&BTreeMap::new(), resource)
    }
}

/// A default, as a constant can hold it.
#[derive(Clone, Copy)]
enum DefaultAccess {
    Readers,
    Writers,
    LocalAdmins,
    LocalMembers,
}

/// Fabric's resources with their default rules.
const DEFAULT_ACCESS: [(&str, DefaultAccess); 31] = [
    ("_lifecycle/ApproveChaincodeDefinitionForMyOrg", LocalAdmins),
    ("_lifecycle/CheckCommitReadiness", Writers),
    ("_lifecycle/CommitChaincodeDefinition", Writers),
    ("_lifecycle/GetInstalledChaincodePackage", LocalAdmins),
    ("_lifecycle/InstallChaincode", LocalAdmins),
    ("_lifecycle/QueryApprovedChaincodeDefinition", LocalAdmins),
    ("_lifecycle/QueryApprovedChaincodeDefinitions", LocalAdmins),
    ("_lifecycle/QueryChaincodeDefinition", Writers),
    ("_lifecycle/QueryChaincodeDefinitions", Writers),
    ("_lifecycle/QueryInstalledChaincode", LocalAdmins),
    ("_lifecycle/QueryInstalledChaincodes", LocalAdmins),
    ("cscc/GetChannelConfig", Readers),
    ("cscc/GetChannels", LocalMembers),
    ("cscc/GetConfigBlock", Readers),
    ("cscc/JoinBySnapshotStatus", LocalAdmins),
    ("cscc/JoinChain", LocalAdmins),
    ("cscc/JoinChainBySnapshot", LocalAdmins),
    ("event/Block", Readers),
    ("event/FilteredBlock", Readers),
    ("gateway/ChaincodeEvents", Readers),
    ("gateway/CommitStatus", Readers),
    ("peer/ChaincodeToChaincode", Writers),
    ("peer/Propose", Writers),
    ("qscc/GetBlockByHash", Readers),
    ("qscc/GetBlockByNumber", Readers),
    ("qscc/GetBlockByTxID", Readers),
    ("qscc/GetChainInfo", Readers),
    ("qscc/GetTransactionByID", Readers),
    ("snapshot/cancelrequest", LocalAdmins),
    ("snapshot/listpending", LocalAdmins),
    ("snapshot/submitrequest", LocalAdmins),
];

/// The rules a channel sets itself: resource name to absolute policy path.
pub(super) fn read(application: &ConfigGroup) -> Result<BTreeMap<String, String>, ChannelError> {
    let Some(value) = application.values.get("ACLs") else { return Ok(BTreeMap::new()) };
    let rules = AcLs::decode(value.value.clone()).map_err(malformed("the value ACLs"))?;
    let absolute =
        |path: String| if path.starts_with('/') { path } else { format!("/Channel/Application/{path}") };
    Ok(rules
        .acls
        .into_iter()
        .filter(|(_, rule)| !rule.policy_ref.is_empty())
        .map(|(resource, rule)| (resource, absolute(rule.policy_ref)))
        .collect())
}

/// The rule of a resource. What is guarded by the peer's own organization stays so, whatever the channel says; any
/// other name may be given a policy by the channel.
pub(super) fn resolve(rules: &BTreeMap<String, String>, resource: &str) -> Option<Access> {
    let default = DEFAULT_ACCESS.iter().find(|(name, _)| *name == resource).map(|(_, default)| *default);
    let own = || rules.get(resource).cloned();
    let policy = |name: &str| Access::Policy(own().unwrap_or_else(|| format!("/Channel/Application/{name}")));
    match default {
        Some(LocalAdmins) => Some(Access::LocalAdmins),
        Some(LocalMembers) => Some(Access::LocalMembers),
        Some(Readers) => Some(policy("Readers")),
        Some(Writers) => Some(policy("Writers")),
        None => own().map(Access::Policy),
    }
}
