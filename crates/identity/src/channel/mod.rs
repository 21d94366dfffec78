//! A channel's configuration: its members, policies, access rules and ordering parameters.

mod access;
mod capabilities;
mod error;
mod groups;
pub mod update;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{
    ApplicationPolicy, Block, ChannelHeader, Config, ConfigEnvelope, ConfigGroup, Envelope, HeaderType,
    Payload, SignaturePolicyEnvelope, application_policy,
};

use crate::block;
use crate::msp::{AccessDenied, Identity, IdentityError, MspManager};
use crate::policy::{ChannelPolicy, Policy, PolicyError, PolicyManager, SignaturePolicy, SignedData};
use crate::signature::VerificationCache;

pub use access::Access;
pub use capabilities::Capabilities;
pub use error::{BlockError, ChannelError};
pub use groups::{ApplicationOrg, Batch, Consensus, ConsensusState, OrdererOrg};

/// The longest channel id.
const MAX_CHANNEL_ID_BYTES: usize = 249;

/// A channel's configuration, checked and compiled. It never changes; a configuration block makes a new one.
#[derive(Debug)]
pub struct ChannelConfig {
    channel_id: String,
    config: Config,
    msps: Arc<MspManager>,
    policies: PolicyManager,
    capabilities: Capabilities,
    batch: Batch,
    consensus: Consensus,
    application_orgs: Vec<ApplicationOrg>,
    orderer_orgs: Vec<OrdererOrg>,
    orderer_addresses: Vec<String>,
    access: BTreeMap<String, String>,
    signatures: Option<Arc<VerificationCache>>,
}

impl ChannelConfig {
    /// Reads a configuration block: the genesis block, or a later one with a single CONFIG envelope.
    pub fn from_block(block: &Block) -> Result<Self, ChannelError> {
        Self::from_block_with(block, None)
    }

    /// Like [`Self::from_block`], with a memory of good signatures shared by all identities of the channel.
    pub fn from_block_with(
        block: &Block,
        signatures: Option<Arc<VerificationCache>>,
    ) -> Result<Self, ChannelError> {
        let (channel_id, envelope) = config_envelope(block)?;
        let config = envelope.config.ok_or(ChannelError::NotConfiguration("it has no configuration"))?;
        Self::from_config_with(&channel_id, config, signatures)
    }

    /// Checks and compiles a configuration.
    pub fn from_config(channel_id: &str, config: Config) -> Result<Self, ChannelError> {
        Self::from_config_with(channel_id, config, None)
    }

    /// Like [`Self::from_config`], with a memory of good signatures shared by all identities of the channel.
    pub fn from_config_with(
        channel_id: &str,
        config: Config,
        signatures: Option<Arc<VerificationCache>>,
    ) -> Result<Self, ChannelError> {
        check_channel_id(channel_id)?;
        let root = config.channel_group.as_ref().ok_or(ChannelError::MissingGroup("Channel"))?;
        let orderer = group(root, "Orderer")?;
        let application = group(root, "Application")?;
        groups::check_names(root)?;
        groups::check_hashing(root)?;
        let capabilities = Capabilities::read(root, orderer, application)?;
        let configs = groups::msp_configs([orderer, application])?;
        let version = capabilities.msp_version();
        let msps = MspManager::from_configs(&configs, version, signatures.clone())?;
        let policies = PolicyManager::from_group("Channel", root)?;
        let orderer_orgs = groups::orderer_orgs(orderer)?;
        let orderer_addresses = groups::orderer_addresses(root, &orderer_orgs, version)?;
        Ok(Self {
            channel_id: channel_id.to_owned(),
            msps: Arc::new(msps),
            policies,
            capabilities,
            batch: groups::batch(orderer)?,
            consensus: groups::consensus(orderer)?,
            application_orgs: groups::application_orgs(application)?,
            orderer_orgs,
            orderer_addresses,
            access: access::read(application)?,
            config,
            signatures,
        })
    }

    /// Checks and compiles a configuration for the same channel, with the same memory of good signatures. Whether it may
    /// follow this one is another question.
    ///
    /// # Errors
    /// As [`Self::from_config`].
    pub fn following(&self, config: Config) -> Result<Self, ChannelError> {
        Self::from_config_with(&self.channel_id, config, self.signatures.clone())
    }

    /// The channel's id.
    pub fn channel_id(&self) -> &str {
        &self.channel_id
    }

    /// The number of the configuration, which grows by one with each update.
    pub fn sequence(&self) -> u64 {
        self.config.sequence
    }

    /// The configuration as it was given, for `cscc` and for updates.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The members' MSPs.
    pub fn msps(&self) -> &Arc<MspManager> {
        &self.msps
    }

    /// Reads an encoded `SerializedIdentity` and checks that it is a valid member of the channel.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        self.msps.deserialize_valid(serialized)
    }

    /// Checks that a message comes from a valid member of the channel, in Fabric's order and with its texts.
    pub fn verify_creator(&self, signed: &SignedData) -> Result<Arc<Identity>, AccessDenied> {
        self.msps.verify_creator(&self.channel_id, signed)
    }

    /// The policy at a path such as `/Channel/Application/Writers`.
    pub fn policy(&self, path: &str) -> Result<ChannelPolicy, PolicyError> {
        Ok(ChannelPolicy::new(self.policies.policy(path)?.clone(), self.msps.clone()))
    }

    /// All policies by path.
    pub fn policies(&self) -> &PolicyManager {
        &self.policies
    }

    /// Compiles a signature policy, such as a chaincode's or a key's, for this channel's members.
    pub fn signature_policy(&self, envelope: &SignaturePolicyEnvelope) -> Result<ChannelPolicy, PolicyError> {
        let policy = Policy::Signature(SignaturePolicy::compile(envelope)?);
        Ok(ChannelPolicy::new(Arc::new(policy), self.msps.clone()))
    }

    /// Decodes an `ApplicationPolicy`, as chaincode definitions and collections carry it: a signature policy of its
    /// own, or a reference to a policy of this configuration.
    pub fn application_policy(&self, encoded: Bytes) -> Result<ChannelPolicy, PolicyError> {
        let policy =
            ApplicationPolicy::decode(encoded).map_err(|error| PolicyError::Malformed(error.to_string()))?;
        match policy.r#type.ok_or(PolicyError::Empty)? {
            application_policy::Type::SignaturePolicy(envelope) => self.signature_policy(&envelope),
            application_policy::Type::ChannelConfigPolicyReference(path) => self.policy(&path),
        }
    }

    /// What the channel's members must support.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// When the orderer cuts a block.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// How the orderers agree.
    pub fn consensus(&self) -> &Consensus {
        &self.consensus
    }

    /// The organizations that endorse and read, in the order of their group names.
    pub fn orgs(&self) -> &[ApplicationOrg] {
        &self.application_orgs
    }

    /// The application organization of an MSP.
    pub fn org_of_msp(&self, msp_id: &str) -> Option<&ApplicationOrg> {
        self.application_orgs.iter().find(|org| org.msp_id == msp_id)
    }

    /// The organizations that order, in the order of their group names.
    pub fn orderer_orgs(&self) -> &[OrdererOrg] {
        &self.orderer_orgs
    }

    /// Where clients reach orderers, each `host:port`: the endpoints of the ordering organizations, or the
    /// channel-wide addresses of older configurations if no organization has any.
    pub fn orderer_addresses(&self) -> &[String] {
        &self.orderer_addresses
    }

    /// Who may use a resource such as `peer/Propose`: what the channel's ACLs say, else Fabric's default. `None`
    /// for a name that is no resource, which Fabric refuses.
    pub fn access(&self, resource: &str) -> Option<Access> {
        access::resolve(&self.access, resource)
    }

    /// The path of the channel policy that guards a resource. `None` if it is no resource of a channel.
    pub fn acl(&self, resource: &str) -> Option<String> {
        match self.access(resource)? {
            Access::Policy(path) => Some(path),
            Access::LocalAdmins | Access::LocalMembers => None,
        }
    }

    /// Checks that enough orderers signed a block, by the policy `/Channel/Orderer/BlockValidation`. Neither the
    /// block's data hash nor its place in the chain is looked at. The genesis block carries no signatures.
    pub fn verify_block(&self, block: &Block) -> Result<(), BlockError> {
        let signed = block::signed_data(block)?;
        Ok(self.policy("/Channel/Orderer/BlockValidation")?.evaluate(&signed)?)
    }
}

/// Whether a block holds a configuration. A block that cannot be decoded holds none.
pub fn is_config_block(block: &Block) -> bool {
    config_envelope(block).is_ok()
}

/// The channel id and the contents of a configuration block.
pub fn config_envelope(block: &Block) -> Result<(String, ConfigEnvelope), ChannelError> {
    let data = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    let [envelope] = data else {
        return Err(ChannelError::NotConfiguration("it does not hold exactly one envelope"));
    };
    let envelope = Envelope::decode(envelope.clone()).map_err(malformed("the envelope"))?;
    let payload = Payload::decode(envelope.payload).map_err(malformed("the payload"))?;
    let header = payload.header.ok_or(ChannelError::NotConfiguration("its payload has no header"))?;
    let header = ChannelHeader::decode(header.channel_header).map_err(malformed("the channel header"))?;
    if header.r#type != HeaderType::Config as i32 {
        return Err(ChannelError::NotConfiguration("its header type is not CONFIG"));
    }
    let contents = ConfigEnvelope::decode(payload.data).map_err(malformed("the configuration"))?;
    Ok((header.channel_id, contents))
}

/// Channel ids begin with a lower-case letter and go on with those, digits, dots and hyphens.
fn check_channel_id(id: &str) -> Result<(), ChannelError> {
    let mut bytes = id.bytes();
    let first_fits = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest_fits =
        bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if first_fits && rest_fits && id.len() <= MAX_CHANNEL_ID_BYTES {
        return Ok(());
    }
    Err(ChannelError::ChannelId(id.chars().take(MAX_CHANNEL_ID_BYTES).collect()))
}

fn group<'a>(parent: &'a ConfigGroup, name: &'static str) -> Result<&'a ConfigGroup, ChannelError> {
    parent.groups.get(name).ok_or(ChannelError::MissingGroup(name))
}

fn malformed(what: &'static str) -> impl FnOnce(prost::DecodeError) -> ChannelError {
    move |error| ChannelError::Malformed { what: what.to_owned(), reason: error.to_string() }
}
