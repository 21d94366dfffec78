//! The values of the configuration tree.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{BlockDataHashingStructure, ConfigGroup, HashingAlgorithm, OrdererAddresses};
use selvedge_proto::duration::GoDuration;
use selvedge_proto::msp::{FabricMspConfig, MspConfig};
use selvedge_proto::orderer::{BatchSize, BatchTimeout, ConsensusType, consensus_type};
use selvedge_proto::protos::{AnchorPeer, AnchorPeers};

use super::{ChannelError, malformed};
use crate::msp::MspVersion;

/// Organizations of a channel, per group.
const MAX_ORGS: usize = 256;
/// Addresses and anchor peers of one organization.
const MAX_ADDRESSES: usize = 256;

/// When the orderer cuts a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The greatest number of envelopes in a block.
    pub max_message_count: u32,
    /// The greatest size of a block's envelopes together, in bytes.
    pub absolute_max_bytes: u32,
    /// The size in bytes a block should keep to.
    pub preferred_max_bytes: u32,
    /// How long the first envelope of a block waits for others.
    pub timeout: Duration,
}

/// How the orderers agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consensus {
    /// `etcdraft` or `BFT`.
    pub kind: String,
    /// The protocol's own settings, encoded; for etcdraft a `ConfigMetadata`.
    pub metadata: Bytes,
    /// Whether transactions are taken.
    pub state: ConsensusState,
}

/// Whether a channel takes transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsensusState {
    /// It does.
    Normal,
    /// It takes configuration updates only.
    Maintenance,
}

/// An organization that endorses and reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationOrg {
    /// The name of its group, which paths of policies use.
    pub name: String,
    /// Its MSP's id.
    pub msp_id: String,
    /// The peers others may contact.
    pub anchor_peers: Vec<AnchorPeer>,
}

/// An organization that orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrdererOrg {
    /// The name of its group.
    pub name: String,
    /// Its MSP's id.
    pub msp_id: String,
    /// Where clients reach its orderers, each `host:port`.
    pub endpoints: Vec<String>,
}

pub(super) fn check_names(root: &ConfigGroup) -> Result<(), ChannelError> {
    for group in root.groups.values() {
        if group.groups.len() > MAX_ORGS {
            return Err(ChannelError::Value {
                value: "organizations",
                reason: format!("{} of them, more than the {MAX_ORGS} allowed", group.groups.len()),
            });
        }
    }
    match root.groups.keys().find(|name| !matches!(name.as_str(), "Application" | "Orderer")) {
        Some(name) => Err(ChannelError::Value {
            value: "groups",
            reason: format!("the group {name} belongs into no channel configuration"),
        }),
        None => Ok(()),
    }
}

pub(super) fn check_hashing(root: &ConfigGroup) -> Result<(), ChannelError> {
    let algorithm: HashingAlgorithm = required(root, "Channel", "HashingAlgorithm")?;
    if algorithm.name != "SHA256" {
        return Err(ChannelError::Value {
            value: "HashingAlgorithm",
            reason: format!("expected SHA256, found {}", algorithm.name),
        });
    }
    let structure: BlockDataHashingStructure = required(root, "Channel", "BlockDataHashingStructure")?;
    if structure.width != u32::MAX {
        return Err(ChannelError::Value {
            value: "BlockDataHashingStructure",
            reason: format!("expected the width {}, found {}", u32::MAX, structure.width),
        });
    }
    Ok(())
}

pub(super) fn msp_configs<const N: usize>(groups: [&ConfigGroup; N]) -> Result<Vec<MspConfig>, ChannelError> {
    let orgs = groups.iter().flat_map(|group| &group.groups);
    orgs.map(|(name, org)| required(org, name, "MSP")).collect()
}

pub(super) fn batch(orderer: &ConfigGroup) -> Result<Batch, ChannelError> {
    let size: BatchSize = required(orderer, "Orderer", "BatchSize")?;
    let unusable = |reason: &str| ChannelError::Value { value: "BatchSize", reason: reason.to_owned() };
    if size.max_message_count == 0 || size.absolute_max_bytes == 0 || size.preferred_max_bytes == 0 {
        return Err(unusable("every number must be greater than zero"));
    }
    if size.preferred_max_bytes > size.absolute_max_bytes {
        return Err(unusable("the preferred size is greater than the absolute one"));
    }
    let timeout: BatchTimeout = required(orderer, "Orderer", "BatchTimeout")?;
    let duration = timeout.timeout.parse().ok().and_then(GoDuration::to_std);
    let timeout = duration.filter(|timeout| !timeout.is_zero()).ok_or_else(|| ChannelError::Value {
        value: "BatchTimeout",
        reason: format!("expected a positive duration such as 2s, found '{}'", timeout.timeout),
    })?;
    Ok(Batch {
        max_message_count: size.max_message_count,
        absolute_max_bytes: size.absolute_max_bytes,
        preferred_max_bytes: size.preferred_max_bytes,
        timeout,
    })
}

pub(super) fn consensus(orderer: &ConfigGroup) -> Result<Consensus, ChannelError> {
    let consensus: ConsensusType = required(orderer, "Orderer", "ConsensusType")?;
    let state = match consensus_type::State::try_from(consensus.state) {
        Ok(consensus_type::State::Normal) => ConsensusState::Normal,
        Ok(consensus_type::State::Maintenance) => ConsensusState::Maintenance,
        Err(_) => {
            return Err(ChannelError::Value {
                value: "ConsensusType",
                reason: format!("unknown state {}", consensus.state),
            });
        }
    };
    Ok(Consensus { kind: consensus.r#type, metadata: consensus.metadata, state })
}

pub(super) fn application_orgs(application: &ConfigGroup) -> Result<Vec<ApplicationOrg>, ChannelError> {
    let read = |(name, group): (&String, &ConfigGroup)| {
        let anchors: AnchorPeers = optional(group, "AnchorPeers")?.unwrap_or_default();
        check_count("AnchorPeers", anchors.anchor_peers.len())?;
        Ok(ApplicationOrg {
            name: name.clone(),
            msp_id: msp_id(name, group)?,
            anchor_peers: anchors.anchor_peers,
        })
    };
    application.groups.iter().map(read).collect()
}

pub(super) fn orderer_orgs(orderer: &ConfigGroup) -> Result<Vec<OrdererOrg>, ChannelError> {
    let read = |(name, group): (&String, &ConfigGroup)| {
        let endpoints: OrdererAddresses = optional(group, "Endpoints")?.unwrap_or_default();
        check_count("Endpoints", endpoints.addresses.len())?;
        Ok(OrdererOrg { name: name.clone(), msp_id: msp_id(name, group)?, endpoints: endpoints.addresses })
    };
    orderer.groups.iter().map(read).collect()
}

pub(super) fn orderer_addresses(
    root: &ConfigGroup,
    orgs: &[OrdererOrg],
    version: MspVersion,
) -> Result<Vec<String>, ChannelError> {
    let global: OrdererAddresses = optional(root, "OrdererAddresses")?.unwrap_or_default();
    check_count("OrdererAddresses", global.addresses.len())?;
    if version >= MspVersion::V3_0 && !global.addresses.is_empty() {
        return Err(ChannelError::Value {
            value: "OrdererAddresses",
            reason:
                "with the channel capability V3_0 the addresses belong into each organization's Endpoints"
                    .to_owned(),
        });
    }
    let endpoints: Vec<_> = orgs.iter().flat_map(|org| &org.endpoints).cloned().collect();
    Ok(if endpoints.is_empty() { global.addresses } else { endpoints })
}

fn msp_id(org: &str, group: &ConfigGroup) -> Result<String, ChannelError> {
    let config: MspConfig = required(group, org, "MSP")?;
    Ok(FabricMspConfig::decode(config.config).map_err(malformed("the value MSP"))?.name)
}

fn check_count(value: &'static str, count: usize) -> Result<(), ChannelError> {
    if count > MAX_ADDRESSES {
        let reason = format!("{count} entries, more than the {MAX_ADDRESSES} allowed");
        return Err(ChannelError::Value { value, reason });
    }
    Ok(())
}

fn required<M: Message + Default>(
    group: &ConfigGroup,
    group_name: &str,
    value: &'static str,
) -> Result<M, ChannelError> {
    optional(group, value)?.ok_or_else(|| ChannelError::MissingValue { group: group_name.to_owned(), value })
}

fn optional<M: Message + Default>(
    group: &ConfigGroup,
    value: &'static str,
) -> Result<Option<M>, ChannelError> {
    let Some(entry) = group.values.get(value) else { return Ok(None) };
    M::decode(entry.value.clone()).map(Some).map_err(|error| ChannelError::Malformed {
        what: format!("the value {value}"),
        reason: error.to_string(),
    })
}
