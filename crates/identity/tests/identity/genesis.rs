use std::collections::{BTreeMap, BTreeSet};
use std::slice::from_ref;

use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::channel::{ChannelConfig, config_envelope};
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization};
use selvedge_identity::{SignedData, SigningIdentity};
use selvedge_proto::common::{Block, ConfigGroup};
use selvedge_proto::etcdraft::{ConfigMetadata, Consenter};
use selvedge_proto::msp::MspConfig;
use selvedge_proto::orderer::{BatchTimeout, ConsensusType};
use selvedge_proto::protos::AnchorPeer;

use crate::authority::Authority;

struct Network {
    orgs: Vec<Authority>,
    orderer: Authority,
}

impl Network {
    fn new() -> Self {
        Self {
            orgs: vec![Authority::new("Org1MSP"), Authority::new("Org2MSP")],
            orderer: Authority::new("OrdererMSP"),
        }
    }

    fn genesis(&self) -> Genesis {
        let organization = |(index, authority): (usize, &Authority)| Organization {
            name: format!("Org{}", index + 1),
            msp_id: format!("Org{}MSP", index + 1),
            msp: authority.msp(),
            anchor_peers: vec![AnchorPeer { host: "127.0.0.1".to_owned(), port: 7051 }],
        };
        Genesis {
            channel_id: "mychannel".to_owned(),
            organizations: self.orgs.iter().enumerate().map(organization).collect(),
            orderers: vec![OrderingOrganization {
                name: "OrdererOrg".to_owned(),
                msp_id: "OrdererMSP".to_owned(),
                msp: self.orderer.msp(),
                endpoints: vec!["127.0.0.1:7050".to_owned()],
            }],
            consenters: vec![Consenter {
                host: "127.0.0.1".to_owned(),
                port: 7050,
                client_tls_cert: self.orderer.pem().into(),
                server_tls_cert: self.orderer.pem().into(),
            }],
            max_message_count: 500,
            absolute_max_bytes: 10 << 20,
            preferred_max_bytes: 2 << 20,
            batch_timeout: "2s".to_owned(),
            channel_capability: "V2_0".to_owned(),
            orderer_capability: "V2_0".to_owned(),
            application_capability: "V2_5".to_owned(),
            access: BTreeMap::new(),
            created_at: 1_700_000_000,
            nonce: vec![7; 24].into(),
        }
    }
}

#[test]
fn a_genesis_block_is_read_back_as_described() {
    let network = Network::new();
    let genesis = Genesis {
        access: BTreeMap::from([("peer/Propose".to_owned(), "/Channel/Application/Admins".to_owned())]),
        ..network.genesis()
    };
    let block = genesis.block();
    assert_eq!(block.encode_to_vec(), genesis.block().encode_to_vec(), "deterministic");
    let decoded = Block::decode(block.encode_to_vec().as_slice()).expect("a block");
    let config = ChannelConfig::from_block(&decoded).expect("a configuration");
    assert_eq!(config.channel_id(), "mychannel");
    assert_eq!(config.sequence(), 0);
    assert_eq!(config.orgs().iter().map(|org| org.name.as_str()).collect::<Vec<_>>(), ["Org1", "Org2"]);
    assert_eq!(config.orgs()[0].anchor_peers.len(), 1);
    assert_eq!(config.orderer_addresses(), ["127.0.0.1:7050"]);
    assert_eq!(config.batch().max_message_count, 500);
    assert_eq!(config.batch().timeout.as_secs(), 2);
    assert_eq!(config.acl("peer/Propose").as_deref(), Some("/Channel/Application/Admins"));
    assert!(config.capabilities().purge_private_data());
}

fn satisfied(config: &ChannelConfig, path: &str, signers: &[&SigningIdentity]) -> bool {
    let signed = |signer: &&SigningIdentity| SignedData {
        data: b"message".as_slice().into(),
        identity: signer.serialized().clone(),
        signature: signer.sign(b"message").expect("signed"),
    };
    let signed: Vec<_> = signers.iter().map(signed).collect();
    config.policy(path).expect("a policy").evaluate(&signed).is_ok()
}

#[test]
fn an_identity_of_another_channel_counts_only_if_this_channel_knows_it() {
    let (network, stranger) = (Network::new(), Network::new());
    let [config, again, other] =
        [&network, &network, &stranger].map(|network| ChannelConfig::from_block(&network.genesis().block()));
    let (config, again, other) = (config.expect("one"), again.expect("the same"), other.expect("another"));
    let writers = |config: &ChannelConfig| config.policy("/Channel/Application/Writers").expect("a policy");
    let known = again.deserialize(network.orgs[0].signer("client", "client").serialized()).expect("a member");
    let unknown =
        other.deserialize(stranger.orgs[0].signer("client", "client").serialized()).expect("a member");
    assert_eq!(known.msp_id(), unknown.msp_id());
    assert_eq!(writers(&other).evaluate_identities(from_ref(&unknown)), Ok(()));
    assert!(writers(&config).evaluate_identities(from_ref(&unknown)).is_err());
    assert_eq!(writers(&config).evaluate_identities(from_ref(&known)), Ok(()));
    assert_eq!(writers(&config).evaluate_identities(&[unknown, known]), Ok(()));
}

#[test]
fn the_policies_of_a_genesis_block_are_those_of_the_test_network() {
    let network = Network::new();
    let config = ChannelConfig::from_block(&network.genesis().block()).expect("a configuration");
    let of = |org: usize, unit: &str| network.orgs[org].signer("somebody", unit);
    let (client, peer1, peer2) = (of(0, "client"), of(0, "peer"), of(1, "peer"));
    let (admin1, admin2) = (of(0, "admin"), of(1, "admin"));
    let orderer = network.orderer.signer("orderer", "orderer");
    for (path, signers, expected) in [
        ("/Channel/Application/Writers", vec![&client], true),
        ("/Channel/Application/Writers", vec![&peer1], false),
        ("/Channel/Application/Readers", vec![&peer1], true),
        ("/Channel/Application/Readers", vec![&orderer], false),
        ("/Channel/Application/Admins", vec![&admin1], false),
        ("/Channel/Application/Admins", vec![&admin1, &admin2], true),
        ("/Channel/Application/Endorsement", vec![&peer1], false),
        ("/Channel/Application/Endorsement", vec![&peer1, &peer2], true),
        ("/Channel/Application/LifecycleEndorsement", vec![&peer1, &peer2], true),
        ("/Channel/Application/LifecycleEndorsement", vec![&peer1, &admin2], false),
        ("/Channel/Application/Org1/Endorsement", vec![&peer1], true),
        ("/Channel/Application/Org1/Endorsement", vec![&peer2], false),
        ("/Channel/Orderer/BlockValidation", vec![&orderer], true),
        ("/Channel/Orderer/BlockValidation", vec![&peer1], false),
        ("/Channel/Writers", vec![&client], true),
        ("/Channel/Writers", vec![&orderer], true),
    ] {
        assert_eq!(satisfied(&config, path, &signers), expected, "{path} by {signers:?}");
    }
}

/// Describes a recorded genesis block in the terms from which such blocks are built.
fn described(block: &Block) -> Genesis {
    let config = ChannelConfig::from_block(block).expect("a configuration");
    let root = root_of(block);
    let value = |group: &str, org: &str, name: &str| {
        let group = if group.is_empty() { &root } else { &root.groups[group] };
        let group = if org.is_empty() { group } else { &group.groups[org] };
        group.values[name].value.clone()
    };
    let msp = |group: &str, org: &str| MspConfig::decode(value(group, org, "MSP")).expect("an MSP");
    let raft = ConfigMetadata::decode(config.consensus().metadata.clone()).expect("settings of etcdraft");
    let capability = |names: &BTreeSet<String>| names.first().expect("a capability").clone();
    Genesis {
        channel_id: config.channel_id().to_owned(),
        organizations: config
            .orgs()
            .iter()
            .map(|org| Organization {
                name: org.name.clone(),
                msp_id: org.msp_id.clone(),
                msp: msp("Application", &org.name),
                anchor_peers: org.anchor_peers.clone(),
            })
            .collect(),
        orderers: config
            .orderer_orgs()
            .iter()
            .map(|org| OrderingOrganization {
                name: org.name.clone(),
                msp_id: org.msp_id.clone(),
                msp: msp("Orderer", &org.name),
                endpoints: org.endpoints.clone(),
            })
            .collect(),
        consenters: raft.consenters,
        max_message_count: config.batch().max_message_count,
        absolute_max_bytes: config.batch().absolute_max_bytes,
        preferred_max_bytes: config.batch().preferred_max_bytes,
        batch_timeout: BatchTimeout::decode(value("Orderer", "", "BatchTimeout")).expect("a time").timeout,
        channel_capability: capability(config.capabilities().channel()),
        orderer_capability: capability(config.capabilities().orderer()),
        application_capability: capability(config.capabilities().application()),
        access: BTreeMap::new(),
        created_at: 0,
        nonce: vec![7; 24].into(),
    }
}

fn root_of(block: &Block) -> ConfigGroup {
    let (_, envelope) = config_envelope(block).expect("a configuration");
    envelope.config.expect("a configuration").channel_group.expect("a root")
}

/// The tree without the timing of etcdraft, which nothing but etcdraft itself reads.
fn without_timing(block: &Block) -> ConfigGroup {
    let mut root = root_of(block);
    let orderer = root.groups.get_mut("Orderer").expect("a group");
    let value = orderer.values.get_mut("ConsensusType").expect("a value");
    let mut consensus = ConsensusType::decode(value.value.clone()).expect("a consensus type");
    let mut raft = ConfigMetadata::decode(consensus.metadata.clone()).expect("settings of etcdraft");
    raft.options = None;
    consensus.metadata = raft.encode_to_vec().into();
    value.value = consensus.encode_to_vec().into();
    root
}

/// Points at the first difference, since the whole trees are too long to look at.
fn compare(ours: &ConfigGroup, theirs: &ConfigGroup, path: &str) {
    assert_eq!(ours.groups.keys().collect::<Vec<_>>(), theirs.groups.keys().collect::<Vec<_>>(), "{path}");
    assert_eq!(ours.values.keys().collect::<Vec<_>>(), theirs.values.keys().collect::<Vec<_>>(), "{path}");
    assert_eq!(
        ours.policies.keys().collect::<Vec<_>>(),
        theirs.policies.keys().collect::<Vec<_>>(),
        "{path}"
    );
    for (name, value) in &ours.values {
        assert_eq!(value, &theirs.values[name], "{path} value {name}");
    }
    for (name, policy) in &ours.policies {
        assert_eq!(policy, &theirs.policies[name], "{path} policy {name}");
    }
    for (name, group) in &ours.groups {
        compare(group, &theirs.groups[name], &format!("{path}/{name}"));
    }
}

#[test]
fn golden_genesis_blocks_are_rebuilt_from_their_description() {
    let corpus = Corpus::get();
    let channels = corpus.channels();
    assert!(!channels.is_empty());
    for channel in channels {
        let recorded = Block::decode(corpus.blocks(channel)[&0]).expect("a block");
        let ours = described(&recorded).block();
        let (own, theirs) = (without_timing(&ours), without_timing(&recorded));
        compare(&own, &theirs, &format!("{channel}: Channel"));
        assert_eq!(own, theirs, "{channel}");
        let (own, theirs) = (ours.metadata.expect("metadata"), recorded.metadata.expect("metadata"));
        // The committer fills the third entry, the verdicts, when it joins.
        assert_eq!(own.metadata[0], theirs.metadata[0], "{channel}");
        assert_eq!(own.metadata.len(), theirs.metadata.len(), "{channel}");
    }
}
