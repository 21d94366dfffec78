//! Builds the first block of a channel, with the policies of Fabric's test network.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::implicit_meta_policy::Rule;
use selvedge_proto::common::msp_role::MspRoleType::{self, Admin, Client, Member, Peer};
use selvedge_proto::common::policy::PolicyType;
use selvedge_proto::common::{
    Block, BlockData, BlockDataHashingStructure, BlockHeader, BlockMetadata, Capability, ChannelHeader,
    Config, ConfigEnvelope, ConfigGroup, ConfigPolicy, ConfigValue, Envelope, HashingAlgorithm, Header,
    HeaderType, ImplicitMetaPolicy, LastConfig, Metadata, OrdererAddresses, OrdererBlockMetadata, Payload,
    Policy, SignatureHeader, SignaturePolicyEnvelope,
};
use selvedge_proto::etcdraft::{ConfigMetadata, Consenter, Options};
use selvedge_proto::msp::MspConfig;
use selvedge_proto::orderer::{BatchSize, BatchTimeout, ChannelRestrictions, ConsensusType};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{AcLs, AnchorPeer, AnchorPeers, ApiResource};

use crate::policy::{role_principal, signed_by_any_role};
use crate::signature::sha256;

/// A channel to be.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The channel's id.
    pub channel_id: String,
    /// The organizations that endorse and read.
    pub organizations: Vec<Organization>,
    /// The organizations that order.
    pub orderers: Vec<OrderingOrganization>,
    /// The nodes that order, as an etcdraft channel lists them.
    pub consenters: Vec<Consenter>,
    /// The greatest number of envelopes in a block.
    pub max_message_count: u32,
    /// The greatest size of a block's envelopes together, in bytes.
    pub absolute_max_bytes: u32,
    /// The size in bytes a block should keep to.
    pub preferred_max_bytes: u32,
    /// How long a block waits to be filled, in Go's notation, such as `2s`.
    pub batch_timeout: String,
    /// The channel capability, such as `V2_0` or `V3_0`.
    pub channel_capability: String,
    /// The orderer capability, such as `V2_0`.
    pub orderer_capability: String,
    /// The application capability, such as `V2_5`.
    pub application_capability: String,
    /// Access rules that differ from the defaults: resource name to policy path.
    pub access: BTreeMap<String, String>,
    /// Seconds since 1970, as the header carries them.
    pub created_at: i64,
    /// Random bytes that make the block unique; 24 by convention.
    pub nonce: Bytes,
}

/// An organization that endorses and reads.
#[derive(Clone, Debug)]
pub struct Organization {
    /// The name of its group, such as `Org1`.
    pub name: String,
    /// Its MSP's id, which must be the one in `msp`.
    pub msp_id: String,
    /// Its MSP; see [`crate::msp::msp_config`].
    pub msp: MspConfig,
    /// The peers others may contact.
    pub anchor_peers: Vec<AnchorPeer>,
}

/// An organization that orders.
#[derive(Clone, Debug)]
pub struct OrderingOrganization {
    /// The name of its group, such as `OrdererOrg`.
    pub name: String,
    /// Its MSP's id, which must be the one in `msp`.
    pub msp_id: String,
    /// Its MSP; see [`crate::msp::msp_config`].
    pub msp: MspConfig,
    /// Where clients reach its orderers, each `host:port`.
    pub endpoints: Vec<String>,
}

impl Genesis {
    /// The block. The same description gives the same bytes.
    pub fn block(&self) -> Block {
        let config = ConfigEnvelope {
            config: Some(Config { sequence: 0, channel_group: Some(self.channel_group()) }),
            last_update: None,
        };
        let header = ChannelHeader {
            r#type: HeaderType::Config as i32,
            version: 1,
            timestamp: Some(Timestamp { seconds: self.created_at, nanos: 0 }),
            channel_id: self.channel_id.clone(),
            // The creator is empty, so the id is the hash of the nonce alone.
            tx_id: sha256(&[&self.nonce]).iter().map(|byte| format!("{byte:02x}")).collect(),
            ..ChannelHeader::default()
        };
        let signature_header = SignatureHeader { creator: Bytes::new(), nonce: self.nonce.clone() };
        let payload = Payload {
            header: Some(Header {
                channel_header: encode(&header),
                signature_header: encode(&signature_header),
            }),
            data: encode(&config),
        };
        let envelope = encode(&Envelope { payload: encode(&payload), signature: Bytes::new() });
        Block {
            header: Some(BlockHeader {
                number: 0,
                previous_hash: Bytes::new(),
                data_hash: Bytes::copy_from_slice(&sha256(&[&envelope])),
            }),
            data: Some(BlockData { data: vec![envelope] }),
            metadata: Some(BlockMetadata { metadata: metadata() }),
        }
    }

    fn channel_group(&self) -> ConfigGroup {
        let mut group = group();
        set(&mut group, "HashingAlgorithm", &HashingAlgorithm { name: "SHA256".to_owned() });
        set(&mut group, "BlockDataHashingStructure", &BlockDataHashingStructure { width: u32::MAX });
        set(&mut group, "Capabilities", &capability(&self.channel_capability));
        readers_writers_admins(&mut group);
        group.groups.insert("Orderer".to_owned(), self.orderer_group());
        group.groups.insert("Application".to_owned(), self.application_group());
        group
    }

    fn orderer_group(&self) -> ConfigGroup {
        let mut group = group();
        let metadata = ConfigMetadata { consenters: self.consenters.clone(), options: Some(raft_options()) };
        let consensus =
            ConsensusType { r#type: "etcdraft".to_owned(), metadata: encode(&metadata), state: 0 };
        set(&mut group, "ConsensusType", &consensus);
        let size = BatchSize {
            max_message_count: self.max_message_count,
            absolute_max_bytes: self.absolute_max_bytes,
            preferred_max_bytes: self.preferred_max_bytes,
        };
        set(&mut group, "BatchSize", &size);
        set(&mut group, "BatchTimeout", &BatchTimeout { timeout: self.batch_timeout.clone() });
        set(&mut group, "ChannelRestrictions", &ChannelRestrictions::default());
        set(&mut group, "Capabilities", &capability(&self.orderer_capability));
        readers_writers_admins(&mut group);
        implicit(&mut group, "BlockValidation", Rule::Any, "Writers");
        for org in &self.orderers {
            group.groups.insert(org.name.clone(), org.group());
        }
        group
    }

    fn application_group(&self) -> ConfigGroup {
        let mut group = group();
        set(&mut group, "Capabilities", &capability(&self.application_capability));
        if !self.access.is_empty() {
            let rule = |(resource, path): (&String, &String)| {
                (resource.clone(), ApiResource { policy_ref: path.clone() })
            };
            set(&mut group, "ACLs", &AcLs { acls: self.access.iter().map(rule).collect() });
        }
        readers_writers_admins(&mut group);
        implicit(&mut group, "Endorsement", Rule::Majority, "Endorsement");
        implicit(&mut group, "LifecycleEndorsement", Rule::Majority, "Endorsement");
        for org in &self.organizations {
            group.groups.insert(org.name.clone(), org.group());
        }
        group
    }
}

impl Organization {
    /// The organization as channels carry it, with the policies of Fabric's samples; so it can be added to a channel.
    pub fn group(&self) -> ConfigGroup {
        let mut group = group();
        set(&mut group, "MSP", &self.msp);
        if !self.anchor_peers.is_empty() {
            set(&mut group, "AnchorPeers", &AnchorPeers { anchor_peers: self.anchor_peers.clone() });
        }
        any_role(&mut group, "Readers", &self.msp_id, &[Admin, Peer, Client]);
        any_role(&mut group, "Writers", &self.msp_id, &[Admin, Client]);
        any_role(&mut group, "Admins", &self.msp_id, &[Admin]);
        any_role(&mut group, "Endorsement", &self.msp_id, &[Peer]);
        group
    }
}

impl OrderingOrganization {
    fn group(&self) -> ConfigGroup {
        let mut group = group();
        set(&mut group, "MSP", &self.msp);
        if !self.endpoints.is_empty() {
            set(&mut group, "Endpoints", &OrdererAddresses { addresses: self.endpoints.clone() });
        }
        any_role(&mut group, "Readers", &self.msp_id, &[Member]);
        any_role(&mut group, "Writers", &self.msp_id, &[Member]);
        any_role(&mut group, "Admins", &self.msp_id, &[Admin]);
        group
    }
}

/// The policy that guards changes of every element.
const MOD_POLICY: &str = "Admins";

fn group() -> ConfigGroup {
    ConfigGroup { mod_policy: MOD_POLICY.to_owned(), ..ConfigGroup::default() }
}

fn set(group: &mut ConfigGroup, name: &str, value: &impl Message) {
    let value = ConfigValue { version: 0, value: encode(value), mod_policy: MOD_POLICY.to_owned() };
    group.values.insert(name.to_owned(), value);
}

fn set_policy(group: &mut ConfigGroup, name: &str, kind: PolicyType, value: Bytes) {
    let policy = Some(Policy { r#type: kind as i32, value });
    group
        .policies
        .insert(name.to_owned(), ConfigPolicy { version: 0, policy, mod_policy: MOD_POLICY.to_owned() });
}

fn implicit(group: &mut ConfigGroup, name: &str, rule: Rule, sub_policy: &str) {
    let policy = ImplicitMetaPolicy { sub_policy: sub_policy.to_owned(), rule: rule as i32 };
    set_policy(group, name, PolicyType::ImplicitMeta, encode(&policy));
}

fn any_role(group: &mut ConfigGroup, name: &str, msp_id: &str, roles: &[MspRoleType]) {
    let principals = roles.iter().map(|role| role_principal(msp_id, *role)).collect();
    let policy: SignaturePolicyEnvelope = signed_by_any_role(principals);
    set_policy(group, name, PolicyType::Signature, encode(&policy));
}

fn readers_writers_admins(group: &mut ConfigGroup) {
    implicit(group, "Readers", Rule::Any, "Readers");
    implicit(group, "Writers", Rule::Any, "Writers");
    implicit(group, "Admins", Rule::Majority, "Admins");
}

fn capability(name: &str) -> CapabilityEntries {
    CapabilityEntries { entries: vec![CapabilityEntry { name: name.to_owned(), value: Some(Capability {}) }] }
}

/// The wire form of `Capabilities` with the empty value of each entry written out, as Fabric's own tools write it.
#[derive(Clone, PartialEq, Message)]
struct CapabilityEntries {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<CapabilityEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct CapabilityEntry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Capability>,
}

/// The options `configtxgen` fills in by default.
fn raft_options() -> Options {
    Options {
        tick_interval: "500ms".to_owned(),
        election_tick: 10,
        heartbeat_tick: 1,
        max_inflight_blocks: 5,
        snapshot_interval_size: 16 * 1024 * 1024,
    }
}

/// The five metadata entries. The genesis block is signed by nobody, but names itself as the last configuration.
fn metadata() -> Vec<Bytes> {
    let value =
        OrdererBlockMetadata { last_config: Some(LastConfig { index: 0 }), consenter_metadata: Bytes::new() };
    let signatures = encode(&Metadata { value: encode(&value), signatures: Vec::new() });
    vec![signatures, Bytes::new(), Bytes::new(), Bytes::new(), Bytes::new()]
}

fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
