//! The first block of a channel of this network.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization as GenesisOrganization};
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_proto::common::Block;
use selvedge_proto::etcdraft::Consenter;
use selvedge_proto::msp::MspConfig;
use selvedge_proto::protos::AnchorPeer;

use crate::NetworkError;
use crate::identities::{Organization, Role};

/// Where the network's servers are, as the genesis block tells clients.
pub(crate) struct Places<'a> {
    pub(crate) orderers: &'a Organization,
    pub(crate) orderer_port: u16,
    pub(crate) organizations: &'a [Organization],
}

/// The genesis block of a channel from its file, or a new one, which is saved there.
pub(crate) fn open(folder: &Path, channel_id: &str, places: &Places<'_>) -> Result<Block, NetworkError> {
    let path = folder.join("channels").join(format!("{channel_id}.block"));
    if path.exists() {
        let bytes = fs::read(&path).map_err(NetworkError::file("read", &path))?;
        let block = Block::decode(bytes.as_slice())
            .map_err(|source| NetworkError::Genesis { path: path.clone(), source })?;
        check(channel_id, &block, &path, places)?;
        return Ok(block);
    }
    let block = describe(channel_id, places)?.block();
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(NetworkError::file("create", parent))?;
    }
    // A crash must not leave half a block under the final name.
    let unfinished = path.with_extension("block.new");
    fs::write(&unfinished, block.encode_to_vec()).map_err(NetworkError::file("write", &unfinished))?;
    fs::rename(&unfinished, &path).map_err(NetworkError::file("rename", &unfinished))?;
    Ok(block)
}

/// Makes sure that the block's channel belongs to the organisations that are there now: others could neither
/// endorse nor read on it.
fn check(channel_id: &str, block: &Block, path: &Path, places: &Places<'_>) -> Result<(), NetworkError> {
    let config = ChannelConfig::from_block(block)
        .map_err(|source| NetworkError::Channel { path: path.to_owned(), source: Box::new(source) })?;
    let mut found: Vec<String> = config.orgs().iter().map(|org| org.msp_id.clone()).collect();
    let mut wanted: Vec<String> = places.organizations.iter().map(|org| org.msp_id().to_owned()).collect();
    found.sort();
    wanted.sort();
    if found == wanted {
        return Ok(());
    }
    Err(NetworkError::OtherOrganizations { channel: channel_id.to_owned(), found, wanted })
}

fn describe(channel_id: &str, places: &Places<'_>) -> Result<Genesis, NetworkError> {
    let orderer = places
        .orderers
        .members(Role::Orderer)
        .next()
        .ok_or_else(|| NetworkError::UnknownMember { name: "orderer".to_owned() })?;
    let certificate = Bytes::from(orderer.tls().certificate_pem.clone());
    let ordering = OrderingOrganization {
        name: "OrdererOrg".to_owned(),
        msp_id: places.orderers.msp_id().to_owned(),
        msp: msp(places.orderers),
        endpoints: vec![format!("{}:{}", orderer.name(), places.orderer_port)],
    };
    let consenter = Consenter {
        host: orderer.name().to_owned(),
        port: places.orderer_port.into(),
        client_tls_cert: certificate.clone(),
        server_tls_cert: certificate,
    };
    channel(channel_id, places.organizations.iter().map(application).collect(), ordering, consenter)
}

/// A channel as Fabric's test network has it.
pub(crate) fn channel(
    channel_id: &str,
    organizations: Vec<GenesisOrganization>,
    ordering: OrderingOrganization,
    consenter: Consenter,
) -> Result<Genesis, NetworkError> {
    let mut nonce = vec![0; 24];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| NetworkError::Randomness)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(Genesis {
        channel_id: channel_id.to_owned(),
        organizations,
        orderers: vec![ordering],
        consenters: vec![consenter],
        // The batch limits of Fabric's sample configuration.
        max_message_count: 500,
        absolute_max_bytes: 10 << 20,
        preferred_max_bytes: 2 << 20,
        batch_timeout: "2s".to_owned(),
        channel_capability: "V2_0".to_owned(),
        orderer_capability: "V2_0".to_owned(),
        application_capability: "V2_5".to_owned(),
        access: BTreeMap::new(),
        created_at: i64::try_from(now).unwrap_or(i64::MAX),
        nonce: nonce.into(),
    })
}

fn application(organization: &Organization) -> GenesisOrganization {
    // Clients without discovery never look at anchor peers, and discovery does not need the real port.
    let anchor_peers = organization
        .members(Role::Peer)
        .next()
        .map(|peer| AnchorPeer { host: peer.name().to_owned(), port: 7051 })
        .into_iter()
        .collect();
    GenesisOrganization {
        name: organization.msp_id().to_owned(),
        msp_id: organization.msp_id().to_owned(),
        msp: msp(organization),
        anchor_peers,
    }
}

/// The organisation's MSP configuration, as channels carry it and as its peers use it for themselves.
pub(crate) fn msp(organization: &Organization) -> MspConfig {
    msp_config(&MspDescription {
        id: organization.msp_id().to_owned(),
        root: Bytes::from(organization.authority().certificate_pem().to_owned()),
        intermediates: Vec::new(),
        tls_roots: vec![Bytes::from(organization.tls_authority().certificate_pem().to_owned())],
        revocation_lists: Vec::new(),
    })
}
